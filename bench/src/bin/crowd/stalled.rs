//! Readers that do not read, beside others that do.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bench::crowd::{Child, Client, Heard, Readers, now_us, stamp};
use bench::{Aim, Figure, Finding, Spread};
use service::Clock;

use super::SUBSCRIBE;

/// Good ones, and as many that stall.
const READERS: usize = 1_000;
/// Updates a second, and the calls that they go round.
const TOLD: &str = "tell 400 100";
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
/// Until what is sent to the stalled fills the kernel's buffers, and the server notices.
const FILL: Duration = Duration::from_millis(2_500);
/// The server's patience with a write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A stalled reader's own buffer in the kernel.
const RECEIVE: u32 = 4 << 10;

/// What became of the stalled.
#[derive(Default)]
struct Fate {
    /// Read again in time, and had the figures of then.
    current: usize,
    /// Frames that it took them.
    frames: Vec<f64>,
    /// Were told to come back, by the code for it.
    told: usize,
    /// Were cut off without a word.
    cut: usize,
}

/// Adds its figures.
pub async fn measure(clock: &Clock, folder: &Path, finding: Finding) -> anyhow::Result<Finding> {
    let folder = folder.join("stalled");
    std::fs::create_dir(&folder)?;
    let mut server = Child::start(["pusher", "--folder", &folder.display().to_string()])?;
    let address = server.hear()?.parse()?;
    server.ask(TOLD)?;
    let readers = Readers::connect(address, READERS, 50, SUBSCRIBE).await?;
    readers.are_current(READERS).await?;
    let (mut alone, mut beside, mut grown, mut kernel) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut fate = Fate::default();
    for round in 0..ROUNDS {
        alone.push(late(&readers, clock).await);
        let before = (server.resident()?, kernel_memory()?);
        let stalled = stall(address).await?;
        let stalled_at = clock.monotonic();
        clock.sleep(FILL).await;
        beside.push(late(&readers, clock).await);
        grown.push((server.resident()? - before.0) / READERS as f64);
        kernel.push((kernel_memory()? - before.1) / READERS as f64);
        if round + 1 == ROUNDS {
            fate = wake(stalled, clock, stalled_at).await;
        } else {
            drop(stalled);
            clock.sleep(Duration::from_secs(1)).await;
        }
    }
    anyhow::ensure!(readers.tally.closed().is_empty(), "good readers were closed: {:?}", readers.tally.closed());
    let seen = readers.tally.frames.load(Relaxed);
    readers.leave().await;
    let ratio = |share: f64| {
        alone
            .iter()
            .zip(&beside)
            .map(|(a, b): (&Spread, &Spread)| b.quantile(share) / a.quantile(share))
            .collect::<Spread>()
            .median()
    };
    let middle = |of: &[f64]| of.iter().copied().collect::<Spread>().median();
    let p99 = alone.iter().map(|spread| spread.quantile(0.99)).collect::<Spread>().median();
    Ok(finding
        .figure(
            Figure::new(format!("p99 from update to arrival at {READERS} readers, beside {READERS} that stall"), ratio(0.99) * p99, "ms")
                .peer("the same readers alone, in turn", p99)
                .aim(Aim::RatioAtMost(1.2)),
        )
        .figure(Figure::new("server's memory for a stalled reader", middle(&grown), "B").aim(Aim::AtMost(32_768.0)))
        .figure(Figure::new("kernel's memory for a stalled reader, both ends", middle(&kernel), "B"))
        .figure(Figure::new("of 500 stalled that read again in time: current", fate.current as f64, "readers").aim(Aim::AtLeast(500.0)))
        .figure(Figure::new("of 500 stalled that read again too late: closed with 4001", fate.told as f64, "readers").aim(Aim::AtLeast(500.0)))
        .note(format!(
            "{ROUNDS} rounds in turn, the middle ratio; {seen} frames in all; p50's ratio {:.2}. 400 updates a second, a frame each 50 ms at \
             most. Stalled: connected, subscribed, and not read from; half of them read again while the server still waits for them, and took \
             {:.0} frames to be current, the others after its patience ({} s) ended; {} were cut off without a code.",
            ratio(0.5),
            middle(&fate.frames),
            WRITE_TIMEOUT.as_secs(),
            fate.cut
        )))
}

/// Delays of a round.
async fn late(readers: &Readers, clock: &Clock) -> Spread {
    readers.tally.take_late_ms();
    readers.tally.measuring.store(true, Relaxed);
    clock.sleep(ROUND).await;
    readers.tally.measuring.store(false, Relaxed);
    readers.tally.take_late_ms()
}

async fn stall(address: SocketAddr) -> anyhow::Result<Vec<Client>> {
    let mut stalled = Vec::new();
    while stalled.len() < READERS {
        let some = futures::future::join_all((0..50).map(|_| async {
            let mut client = Client::connect(address, Some(RECEIVE)).await?;
            client.say(SUBSCRIBE).await?;
            anyhow::Ok(client)
        }));
        for client in some.await {
            stalled.push(client?);
        }
    }
    Ok(stalled)
}

/// Half of them read again at once, the others after the server's patience has ended.
async fn wake(mut stalled: Vec<Client>, clock: &Clock, stalled_at: Duration) -> Fate {
    let late = stalled.split_off(stalled.len() / 2);
    let mut fate = Fate::default();
    let woken_us = now_us();
    let again = futures::future::join_all(stalled.into_iter().map(|client| until_current(client, woken_us)));
    for frames in again.await {
        match frames {
            Some(frames) => {
                fate.current += 1;
                fate.frames.push(frames as f64);
            }
            None => fate.cut += 1,
        }
    }
    // Filled within the time for it; then the patience; then a moment.
    let over = stalled_at + FILL + WRITE_TIMEOUT + Duration::from_secs(1);
    clock.sleep(over.saturating_sub(clock.monotonic())).await;
    for code in futures::future::join_all(late.into_iter().map(until_closed)).await {
        match code {
            4001 => fate.told += 1,
            _ => fate.cut += 1,
        }
    }
    fate
}

/// How many frames came until one showed an update made after the waking.
async fn until_current(mut client: Client, woken_us: u64) -> Option<usize> {
    let mut frames = 0;
    loop {
        match client.hear().await.ok()? {
            Heard::Text(text) => {
                frames += 1;
                if stamp(text).is_some_and(|made| made >= woken_us) {
                    return Some(frames);
                }
            }
            Heard::Closed(_) => return None,
        }
    }
}

async fn until_closed(mut client: Client) -> u16 {
    loop {
        match client.hear().await {
            Ok(Heard::Text(_)) => {}
            Ok(Heard::Closed(code)) => return code,
            Err(_) => return 0,
        }
    }
}

/// What the kernel keeps for all connections of this machine, bytes.
fn kernel_memory() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/net/sockstat")?;
    let words = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default().split(' ');
    let pages: f64 = words.skip_while(|word| *word != "mem").nth(1).and_then(|word| word.parse().ok()).unwrap_or(0.0);
    Ok(pages * 4096.0)
}
