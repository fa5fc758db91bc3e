//! The peer: a broadcast with tokio-tungstenite and nothing else, in a child process with as many threads.
//!
//! Its tasks only write: they read no messages, answer no pings and keep no time, which no real server can do.
//!
//! It has our allocator, mimalloc, because it is in our program. Under it the library's read buffers, 128 KiB for each client, are
//! resident though nothing is read into them (136 kB a client; 10 kB with that of the C library): its memory is no measure for ours.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::SinkExt;
use service::{Clock, Drain, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::process::{answer, orders};

/// Serves until the parent is gone. Says its address; then takes orders: `frame TEXT`, `tell PER_SECOND`.
///
/// # Errors
///
/// When it cannot listen.
pub fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rate = Arc::new(AtomicU64::new(0));
    let text = Arc::new(Mutex::new(Utf8Bytes::default()));
    let address = runtime.block_on(start(Arc::clone(&rate), Arc::clone(&text)))?;
    answer(address);
    for order in orders() {
        if let Some(frame) = order.strip_prefix("frame ") {
            *text.lock().unwrap_or_else(PoisonError::into_inner) = frame.to_owned().into();
        } else if let Some(number) = order.split(' ').nth(1).and_then(|word| word.parse().ok()) {
            rate.store(number, Relaxed);
        }
        answer("ok");
    }
    std::process::exit(0);
}

async fn start(rate: Arc<AtomicU64>, text: Arc<Mutex<Utf8Bytes>>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let clock = Clock::system();
    let (sender, _) = broadcast::channel::<Utf8Bytes>(64);
    let tasks = Tasks::new("bare", 20_000, clock.clone(), Drain::new());
    let (doors, frames) = (tasks.clone(), sender.clone());
    tasks.spawn("door", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = doors.spawn("client", follow(stream, frames.subscribe()));
        }
    })?;
    tasks.spawn("sender", tell(sender, clock, rate, text))?;
    Ok(address)
}

async fn tell(sender: broadcast::Sender<Utf8Bytes>, clock: Clock, rate: Arc<AtomicU64>, text: Arc<Mutex<Utf8Bytes>>) {
    let (mut pace, mut told, mut since) = (0, 0, clock.monotonic());
    loop {
        let (per_second, now) = (rate.load(Relaxed), clock.monotonic());
        if pace != per_second {
            (pace, told, since) = (per_second, 0, now);
        }
        while told < ((now - since).as_secs_f64() * per_second as f64) as u64 {
            told += 1;
            let frame = text.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let _ = sender.send(frame);
        }
        clock.sleep(Duration::from_millis(1)).await;
    }
}

async fn follow(stream: TcpStream, mut frames: broadcast::Receiver<Utf8Bytes>) {
    let _ = stream.set_nodelay(true);
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    loop {
        let sent = match frames.recv().await {
            Ok(frame) => socket.send(Message::Text(frame)).await,
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}
