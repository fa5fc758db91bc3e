//! Serving a router: a bound on connections, an end to idle and to endless ones, and a graceful stop.
//!
//! Where all places are taken and somebody waits, those leave who do least with theirs ([`super::seats`]).
#![expect(
    clippy::disallowed_methods,
    reason = "connections live on the real network and idle in real time, also where the clock is a test's"
)]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::Listen;
use super::seats::{Seat, Seats};
use crate::Drain;

/// A request that has not been answered for so long after its first byte is given up: a whole minute is no slow line, it is
/// somebody who holds a place.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);
/// How HTTP/2 begins (RFC 9113, 3.4). We speak HTTP/1.1; the library would take this up as soon as any other crate of a build switches
/// it on, with limits that nobody here has chosen.
const HTTP2: &[u8] = b"PRI * HTTP/2";
/// How often somebody is looked for who may leave, while a connection waits for a place.
const ROOM_EVERY: Duration = Duration::from_millis(200);

/// Serves until the drain starts, then lets requests in progress finish. `limits`: the listen section the listener was
/// bound from. Long-lived connections (WebSockets) must watch the drain themselves, and
/// ping more often than `idle_max`.
///
/// # Errors
/// When the listener itself breaks.
pub async fn serve(listener: TcpListener, router: Router, limits: &Listen, drain: &Drain) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections_max as usize));
    let (seats, idle_max) = (Arc::new(Seats::default()), limits.idle_max.duration());
    let bounded = Bounded { listener, places, seats, origin: Instant::now(), idle_max };
    let drain = drain.clone();
    axum::serve(bounded, router).with_graceful_shutdown(async move { drain.started().await }).await
}

/// Accepts only while there is a place.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    seats: Arc<Seats>,
    origin: Instant,
    idle_max: Duration,
}

impl Bounded {
    /// Takes a place, making room when all are taken. A connection waits for it, so that nobody leaves for nothing.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let place = Arc::clone(&self.places).acquire_owned();
            match tokio::time::timeout(ROOM_EVERY, place).await {
                Ok(place) => return place.ok(),
                Err(_) => {
                    let gone = self.seats.make_room(self.origin.elapsed());
                    if gone > 0 {
                        tracing::debug!(gone, "every place is taken: idle connections are closed");
                        crate::metric::counter("service_connections_sent_away_total", &[]).increment(gone as u64);
                    }
                }
            }
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let Some(place) = self.place().await else { std::future::pending().await };
                    // Small frames (a tick of a view) must not wait for the one before to be acknowledged.
                    let _ = stream.set_nodelay(true);
                    let (number, seat) = self.seats.sit(self.origin.elapsed());
                    let chair =
                        Chair { number, seat, seats: Arc::clone(&self.seats), origin: self.origin, _place: place };
                    return (Connection::new(stream, chair, self.idle_max), from);
                }
                Err(error) => {
                    // Out of file descriptors, mostly: waiting is better than spinning.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A place and what the others see of it; given back when dropped.
struct Chair {
    number: u64,
    seat: Arc<Seat>,
    seats: Arc<Seats>,
    origin: Instant,
    _place: OwnedSemaphorePermit,
}

impl Drop for Chair {
    fn drop(&mut self) {
        self.seats.stand_up(self.number);
    }
}

/// A connection that holds a place and breaks when it is idle too long, takes forever to ask, or the place is needed.
pub struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    active: Instant,
    idle_max: Duration,
    /// So many of its first bytes are those of [`HTTP2`]; `None`: it began otherwise.
    http2: Option<usize>,
    chair: Chair,
}

impl Connection {
    fn new(stream: TcpStream, chair: Chair, idle_max: Duration) -> Self {
        let idle = Box::pin(tokio::time::sleep(idle_max));
        Connection { stream, idle, active: Instant::now(), idle_max, http2: Some(0), chair }
    }

    /// The connection of something that keeps time and bounds of its own from here on (a WebSocket). Its place stays taken.
    pub fn upgraded(self) -> Upgraded {
        // It is not to be asked to leave for being quiet: whoever took it over judges that.
        self.chair.seats.stand_up(self.chair.number);
        Upgraded { stream: self.stream, _chair: self.chair }
    }

    /// Notes that something moved, or looks whether nothing has for too long. The timer is only set anew when it fires:
    /// a busy connection costs a look at the clock, not a timer for each frame.
    fn moved<T>(&mut self, poll: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.active = Instant::now();
            return poll;
        }
        if self.chair.seat.must_leave(cx.waker()) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        while self.idle.as_mut().poll(cx).is_ready() {
            let end = self.active + self.idle_max;
            if end <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.idle.as_mut().reset(end);
        }
        Poll::Pending
    }

    /// Whether all that came so far, and `more`, begins HTTP/2; in pieces, too.
    fn begins_http2(&mut self, more: &[u8]) -> bool {
        let Some(known) = self.http2 else { return false };
        let rest = &HTTP2[known..];
        let same = rest.iter().zip(more).take_while(|(wanted, byte)| wanted == byte).count();
        self.http2 = (same == rest.len().min(more.len())).then_some(known + same);
        same == rest.len()
    }

    fn now(&self) -> Duration {
        self.active.saturating_duration_since(self.chair.origin)
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        let poll = self.moved(poll, cx);
        if poll.is_ready() && buf.filled().len() > before {
            let since = self.chair.seat.asking_since();
            // Only whoever sends can be caught here; a request that is whole and being answered sends nothing.
            if since.is_some_and(|since| self.now().saturating_sub(since) > REQUEST_WITHIN) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.chair.seat.asked(self.now());
            if self.begins_http2(&buf.filled()[before..]) {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        poll
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        let poll = self.moved(poll, cx);
        if poll.is_ready() {
            self.chair.seat.served(self.now());
        }
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let poll = self.moved(poll, cx);
        if poll.is_ready() {
            self.chair.seat.served(self.now());
        }
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection that was upgraded: nothing looks after it any more but who has it.
pub struct Upgraded {
    stream: TcpStream,
    _chair: Chair,
}

impl Upgraded {
    /// Bounds what waits in the kernel for a peer that does not read; left alone, it grows to megabytes for each.
    ///
    /// # Errors
    /// When the kernel refuses; then its own bound stays.
    pub fn bound_unsent(&self, bytes: usize) -> io::Result<()> {
        // Linux doubles what it is told, to pay for its own books.
        socket2::SockRef::from(&self.stream).set_send_buffer_size(bytes / 2)
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
