//! A crowd of wallboards: `cargo run -p pusher --example crowd -- ADDRESS CLIENTS SECONDS`. Each subscribes to the headline and the
//! queues; prints frames and bytes a second, how old the frames were when they came, and what a client costs the server at
//! `PID`, if a fourth argument names it.
#![allow(clippy::disallowed_methods, reason = "a measuring tool lives in real time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

#[derive(Default)]
struct Seen {
    frames: AtomicU64,
    bytes: AtomicU64,
    late_ms: std::sync::Mutex<Vec<i64>>,
}

fn resident_kib(pid: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

async fn follow(address: String, seen: Arc<Seen>) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/v1/ws")).await?;
    socket.send(Message::text(r#"{"op":"subscribe","id":"c","topics":["totals","queues"]}"#)).await?;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let frames = seen.frames.fetch_add(1, Ordering::Relaxed);
        seen.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        if frames.is_multiple_of(50)
            && let Some(time) = text.split("\"time\":\"").nth(1).and_then(|rest| model::Time::parse(&rest[..24]).ok())
        {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
            seen.late_ms.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(now - time.ms());
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let address = args.get(1).cloned().unwrap_or_else(|| "127.0.0.1:7400".to_owned());
    let number = |n: usize, default: u64| args.get(n).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (clients, seconds) = (number(2, 1_000), number(3, 10));
    let before = args.get(4).and_then(|pid| resident_kib(pid));
    let seen = Arc::new(Seen::default());
    for _ in 0..clients {
        tokio::spawn(follow(address.clone(), Arc::clone(&seen)));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (frames, bytes, begun) =
        (seen.frames.load(Ordering::Relaxed), seen.bytes.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let took = begun.elapsed().as_secs_f64();
    let rate = |now: u64, then: u64| (now - then) as f64 / took;
    let frames = rate(seen.frames.load(Ordering::Relaxed), frames);
    let bytes = rate(seen.bytes.load(Ordering::Relaxed), bytes);
    println!("{clients} clients: {frames:.0} frames/s, {:.2} MB/s", bytes / 1e6);
    let mut late = seen.late_ms.lock().unwrap_or_else(std::sync::PoisonError::into_inner).split_off(0);
    late.sort_unstable();
    let at = |share: f64| late.get(((late.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(0);
    println!("from written to read: p50 {} ms, p99 {} ms", at(0.5), at(0.99));
    if let (Some(before), Some(after)) = (before, args.get(4).and_then(|pid| resident_kib(pid))) {
        println!("server memory: {} KiB a client", (after.saturating_sub(before)) as f64 / clients as f64);
    }
}
