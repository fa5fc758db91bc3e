//! Serving a router: a bound on connections, an end to idle ones, and a graceful stop.
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
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::Listen;
use crate::Drain;

/// The address a request came from: `ConnectInfo<Peer>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Peer(*stream.remote_addr())
    }
}

/// Serves until the drain starts, then lets requests in progress finish. `limits`: the listen section the listener was
/// bound from. Long-lived connections (WebSockets) must watch the drain themselves, and
/// ping more often than `idle_max`.
///
/// # Errors
/// When the listener itself breaks.
pub async fn serve(listener: TcpListener, router: Router, limits: &Listen, drain: &Drain) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections_max as usize));
    let bounded = Bounded { listener, places, idle_max: limits.idle_max.duration() };
    let drain = drain.clone();
    axum::serve(bounded, router.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(async move { drain.started().await })
        .await
}

/// Accepts only while there is a place.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_max: Duration,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { std::future::pending().await };
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    // Small frames (a tick of a view) must not wait for the one before to be acknowledged.
                    let _ = stream.set_nodelay(true);
                    return (Connection::new(stream, place, self.idle_max), from);
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

/// A connection that holds a place and breaks when it is idle too long.
struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    active: Instant,
    idle_max: Duration,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, idle_max: Duration) -> Self {
        let idle = Box::pin(tokio::time::sleep(idle_max));
        Connection { stream, idle, active: Instant::now(), idle_max, _place: place }
    }

    /// Notes that something moved, or looks whether nothing has for too long. The timer is only set anew when it fires:
    /// a busy connection costs a look at the clock, not a timer for each frame.
    fn moved<T>(&mut self, poll: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.active = Instant::now();
            return poll;
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
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.moved(poll, cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.moved(poll, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.moved(poll, cx)
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
