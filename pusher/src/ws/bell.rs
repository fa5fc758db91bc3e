//! A stream that is polled when it was woken, and not because something else in its task was.
//!
//! A connection wakes with each tick to write; asking its socket for messages each time was a twentieth of what a frame costs.
//! (`futures::stream::SelectAll` does the same for many streams, but keeps the stream to itself: what is read here is written past.)

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::Stream;
use futures::task::AtomicWaker;

/// Has rung when its stream may have something.
#[derive(Debug)]
pub struct Bell {
    rope: Arc<Rope>,
    /// The rope as what a stream knows how to pull.
    waker: Waker,
}

#[derive(Debug)]
struct Rope {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Default for Bell {
    /// A bell that has rung: nobody has asked the stream yet.
    fn default() -> Bell {
        let rope = Arc::new(Rope { rung: AtomicBool::new(true), task: AtomicWaker::new() });
        Bell { waker: Waker::from(Arc::clone(&rope)), rope }
    }
}

impl Bell {
    /// What comes next in `stream`, which must be the same each time. Safe to drop and call again.
    pub fn next<S: Stream + Unpin>(&self, stream: &mut S) -> impl Future<Output = Option<S::Item>> {
        std::future::poll_fn(move |cx| self.poll(stream, cx))
    }

    fn poll<S: Stream + Unpin>(&self, stream: &mut S, cx: &Context<'_>) -> Poll<Option<S::Item>> {
        // First who is to be woken, then whether it rang: it may ring between the two.
        self.rope.task.register(cx.waker());
        if !self.rope.rung.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        let polled = Pin::new(stream).poll_next(&mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            // A stream that gave something has not promised to ring for more.
            self.rope.rung.store(true, Ordering::Release);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::task::noop_waker_ref;

    /// Gives what it has, and counts how often it is asked.
    #[derive(Default)]
    struct Asked {
        times: usize,
        has: Vec<u32>,
        waker: Option<Waker>,
    }

    impl Stream for Asked {
        type Item = u32;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u32>> {
            self.times += 1;
            self.waker = Some(cx.waker().clone());
            self.has.pop().map_or(Poll::Pending, |item| Poll::Ready(Some(item)))
        }
    }

    #[test]
    fn a_stream_is_asked_when_it_rang_and_until_it_has_nothing_more() {
        let (bell, mut stream) = (Bell::default(), Asked::default());
        let cx = Context::from_waker(noop_waker_ref());
        assert!(bell.poll(&mut stream, &cx).is_pending());
        assert!(bell.poll(&mut stream, &cx).is_pending());
        assert_eq!(stream.times, 1, "it was asked though it did not ring");
        stream.has = vec![2, 1];
        assert!(bell.poll(&mut stream, &cx).is_pending());
        stream.waker.take().unwrap().wake();
        assert_eq!(bell.poll(&mut stream, &cx), Poll::Ready(Some(1)));
        assert_eq!(bell.poll(&mut stream, &cx), Poll::Ready(Some(2)), "one ring, two messages");
        assert!(bell.poll(&mut stream, &cx).is_pending());
        assert!(bell.poll(&mut stream, &cx).is_pending());
        assert_eq!(stream.times, 4);
    }

    #[test]
    fn the_task_of_the_last_poll_is_woken() {
        let (bell, mut stream) = (Bell::default(), Asked::default());
        let (first, last) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
        for heard in [&first, &last] {
            let waker = Waker::from(Arc::clone(heard));
            assert!(bell.poll(&mut stream, &Context::from_waker(&waker)).is_pending());
        }
        stream.waker.take().unwrap().wake();
        assert!(!first.0.load(Ordering::Relaxed) && last.0.load(Ordering::Relaxed));
    }

    #[derive(Default)]
    struct Heard(AtomicBool);

    impl Wake for Heard {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
