//! The peer of the benches `fanout` and `crowd`: a broadcast with tokio-tungstenite and nothing else.
//!
//! Its tasks only write: they read no messages, answer no pings and keep no time, which no real server can do.
//!
//! Whoever calls [`serve`] chooses the allocator. `fanout` serves it from a program of ours, with mimalloc as we have it. `crowd` starts
//! the program of this package, which has that of the C library: under mimalloc the library's read buffers, 128 KiB for each client, are
//! resident though nothing is read into them, and its memory would be no measure for ours.
#![expect(clippy::disallowed_methods, reason = "a peer shares nothing with us, neither the clock nor the tasks")]

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::SinkExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Serves until standard input ends. Says its address; then takes orders, a line each: `frame TEXT`, `tell PER_SECOND`.
///
/// # Errors
///
/// When it cannot listen, or nobody hears it.
pub fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rate = Arc::new(AtomicU64::new(0));
    let text = Arc::new(Mutex::new(Utf8Bytes::default()));
    let address = runtime.block_on(start(Arc::clone(&rate), Arc::clone(&text)))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}")?;
    for order in std::io::stdin().lock().lines() {
        let order = order?;
        if let Some(frame) = order.strip_prefix("frame ") {
            *text.lock().unwrap_or_else(PoisonError::into_inner) = frame.to_owned().into();
        } else if let Some(number) = order.split(' ').nth(1).and_then(|word| word.parse().ok()) {
            rate.store(number, Relaxed);
        }
        writeln!(out, "ok")?;
    }
    std::process::exit(0);
}

async fn start(rate: Arc<AtomicU64>, text: Arc<Mutex<Utf8Bytes>>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (sender, _) = broadcast::channel::<Utf8Bytes>(64);
    let frames = sender.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(follow(stream, frames.subscribe()));
        }
    });
    tokio::spawn(tell(sender, rate, text));
    Ok(address)
}

async fn tell(sender: broadcast::Sender<Utf8Bytes>, rate: Arc<AtomicU64>, text: Arc<Mutex<Utf8Bytes>>) {
    let (mut pace, mut told, mut since) = (0, 0, Instant::now());
    loop {
        let (per_second, now) = (rate.load(Relaxed), Instant::now());
        if pace != per_second {
            (pace, told, since) = (per_second, 0, now);
        }
        while told < ((now - since).as_secs_f64() * per_second as f64) as u64 {
            told += 1;
            let frame = text.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Nobody may listen yet.
            let _ = sender.send(frame);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
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
