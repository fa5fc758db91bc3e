//! Who sits in the places of a face, so that those who do least with theirs can be asked to leave when others wait.
//!
//! Without this, a few hundred connections that say nothing, or one byte a second, keep everybody else out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// A connection that was served or accepted less long ago than this keeps its place.
const IDLE_MIN: Duration = Duration::from_secs(5);
/// The same of one that is in the middle of a request: it may still be sending, or wait for a long report.
const ASKING_MIN: Duration = Duration::from_secs(35);
/// How many leave at a time.
const LEAVE_AT_ONCE: usize = 16;

/// One connection's place, as the others see it.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// Since when it is idle or asking; milliseconds of the seats' own time.
    since_ms: AtomicU64,
    /// Whether something was read since something was last written.
    asking: AtomicBool,
    leave: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Seat {
    /// Something was written.
    pub(super) fn served(&self, now: Duration) {
        self.since_ms.store(ms(now), Ordering::Relaxed);
        self.asking.store(false, Ordering::Relaxed);
    }

    /// Something was read.
    pub(super) fn asked(&self, now: Duration) {
        if !self.asking.swap(true, Ordering::Relaxed) {
            self.since_ms.store(ms(now), Ordering::Relaxed);
        }
    }

    /// Since when a request is on its way without any answer.
    pub(super) fn asking_since(&self) -> Option<Duration> {
        let since = Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        self.asking.load(Ordering::Relaxed).then_some(since)
    }

    /// Whether the place is needed; if not, `waker` is woken when it is.
    pub(super) fn must_leave(&self, waker: &Waker) -> bool {
        let mut kept = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            *kept = Some(waker.clone());
        }
        // After the waker stands there: who sets it later finds it.
        self.leave.load(Ordering::Acquire)
    }

    fn send_away(&self) {
        self.leave.store(true, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// All places that are taken.
#[derive(Debug, Default)]
pub(super) struct Seats {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    seats: HashMap<u64, Arc<Seat>>,
    next: u64,
}

impl Seats {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection that came `now`, and its number.
    pub(super) fn sit(&self, now: Duration) -> (u64, Arc<Seat>) {
        let seat = Arc::new(Seat::default());
        seat.served(now);
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Arc::clone(&seat));
        (number, seat)
    }

    /// Whoever sits there is not asked to leave any more. A waker that stayed would keep the memory of a task that is over.
    pub(super) fn stand_up(&self, number: u64) {
        if let Some(seat) = self.taken().seats.remove(&number) {
            seat.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// Sends those away who did nothing for the longest time: first those who ask for nothing. How many.
    pub(super) fn make_room(&self, now: Duration) -> usize {
        let now = ms(now);
        let idle_for = |seat: &Seat| now.saturating_sub(seat.since_ms.load(Ordering::Relaxed));
        let mut idle: Vec<(bool, u64, Arc<Seat>)> = Vec::new();
        for seat in self.taken().seats.values() {
            let (asking, idle_ms) = (seat.asking.load(Ordering::Relaxed), idle_for(seat));
            let least = if asking { ASKING_MIN } else { IDLE_MIN };
            if idle_ms >= ms(least) && !seat.leave.load(Ordering::Relaxed) {
                idle.push((asking, u64::MAX - idle_ms, Arc::clone(seat)));
            }
        }
        idle.sort_by_key(|(asking, order, _)| (*asking, *order));
        idle.truncate(LEAVE_AT_ONCE);
        idle.iter().for_each(|(_, _, seat)| seat.send_away());
        idle.len()
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    struct Nobody;

    impl std::task::Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn the_longest_idle_leave_first_and_who_asks_stays_longer() {
        let seats = Seats::default();
        let (_, asking) = seats.sit(S(0));
        asking.asked(S(0));
        let all: Vec<_> = (0..20).map(|n| seats.sit(S(n)).1).collect();
        assert_eq!(seats.make_room(S(4)), 0, "nobody has been idle for long");
        assert_eq!(seats.make_room(S(30)), LEAVE_AT_ONCE);
        let gone = |seat: &Seat| seat.must_leave(Waker::noop());
        assert!(all[..LEAVE_AT_ONCE].iter().all(|seat| gone(seat)) && !gone(&all[LEAVE_AT_ONCE]) && !gone(&asking));
        assert_eq!(seats.make_room(S(60)), 5, "the rest, and who asked for so long");
        assert!(gone(&asking));
    }

    #[test]
    fn who_is_served_is_not_idle() {
        let seats = Seats::default();
        let (number, seat) = seats.sit(S(0));
        seat.asked(S(7));
        seat.asked(S(9));
        assert_eq!(seat.asking_since(), Some(S(7)), "from its first byte on");
        seat.served(S(50));
        assert_eq!((seat.asking_since(), seats.make_room(S(54))), (None, 0));
        let task = Arc::new(Nobody);
        assert!(!seat.must_leave(&Waker::from(Arc::clone(&task))));
        assert_eq!(Arc::strong_count(&task), 2);
        seats.stand_up(number);
        assert_eq!((seats.make_room(S(100)), Arc::strong_count(&task)), (0, 1), "the task is not kept");
    }
}
