//! From an event to the WebSocket frame that shows it, at ten thousand events a second, durable first.
//!
//! The whole way in one process, as `tidegate up` runs it: events come in through `POST /v1/ingest`, are on disk before they are
//! acknowledged, are admitted, are on disk again as the canonical record, are folded, told, painted and sent. A wallboard that follows
//! all open calls notes when each event's effect came. The disk's own sync is measured beside it, in the same folder.

mod disk;
mod load;
mod parts;
mod pipeline;
mod wallboard;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bench::crowd::Child;
use bench::{Aim, Figure, Finding, Spread};
use clap::Parser;
use service::{Clock, Drain, Tasks};

/// From an event to the WebSocket frame that shows it, durable first.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Events a second.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// How long, seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The pusher's tick, milliseconds; 0: as it is by default.
    #[arg(long, default_value_t = 0)]
    tick_ms: u64,
}

#[derive(clap::Subcommand)]
enum Role {
    /// The pipeline; started by this program itself.
    Pipeline {
        /// Where its files may be.
        folder: PathBuf,
        /// The pusher's tick, milliseconds; 0: as it is by default.
        tick_ms: u64,
    },
}

/// Until everything is warm, and then the delays count.
const WARM: Duration = Duration::from_secs(3);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Pipeline { folder, tick_ms }) => pipeline::serve(&folder, tick_ms),
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(run(arguments.rate, Duration::from_secs(arguments.seconds), arguments.tick_ms.to_string()))
        }
    }
}

async fn run(rate: u64, length: Duration, tick: String) -> anyhow::Result<()> {
    let clock = Clock::system();
    let folder = tempfile::tempdir()?;
    let before = disk::syncs(folder.path(), &clock)?;
    let mut server = Child::start([OsStr::new("pipeline"), folder.path().as_os_str(), OsStr::new(&tick)])?;
    let (door, face) = (server.hear()?, server.hear()?.parse()?);
    let seen = Arc::new(wallboard::Seen::default());
    let tasks = Tasks::new("latency", 4, clock.clone(), Drain::new());
    tasks.spawn("wallboard", wallboard::follow(face, Arc::clone(&seen)))?;
    clock.sleep(Duration::from_secs(1)).await;
    let (begun, used) = (clock.monotonic(), server.processor_time()?);
    let load = load::run(&door, rate, WARM + length, &clock, &seen).await?;
    let used = (server.processor_time()? - used).as_secs_f64() / (clock.monotonic() - begun).as_secs_f64();
    clock.sleep(Duration::from_secs(1)).await;
    let memory = server.resident()? / f64::from(1 << 20);
    server.ask("stop")?;
    let _ = tasks.shutdown(Duration::ZERO).await;
    let parts = parts::of_journal(folder.path(), &clock, &seen).await?;
    let after = disk::syncs(folder.path(), &clock)?;
    let disk: Spread = before.into_iter().chain(after).collect();
    let outcome = seen.outcome(load.counted_from_us);
    let who = "the disk's own append and fdatasync of 4 KiB, before and after, p99";
    let mut finding = Finding::new(
        "latency",
        "what happens is on the wallboard at once, and never before it is on disk twice",
        "script/bench latency",
    )
    .figure(
        Figure::new("event to frame, p99", outcome.late_ms.quantile(0.99), "ms")
            .peer(who, disk.quantile(0.99))
            .aim(Aim::AtMost(50.0)),
    )
    .figure(Figure::new("event to frame, p50", outcome.late_ms.median(), "ms").peer("the same, p50", disk.median()))
    .figure(
        Figure::new("events sent and acknowledged", load.events as f64 / load.took.as_secs_f64(), "events/s")
            .aim(Aim::AtLeast(0.97 * rate as f64)),
    )
    .figure(Figure::new("events whose effect was not seen", outcome.unseen as f64, "events").aim(Aim::AtMost(0.0)));
    for (what, spread) in [("event to acknowledgement", &load.acknowledged_ms)].into_iter().chain(parts.named()) {
        let (p50, p99) = (spread.median(), spread.quantile(0.99));
        finding = finding.figure(Figure::new(format!("{what}, p99 (p50 {p50:.1} ms)"), p99, "ms"));
    }
    finding
        .note(format!(
            "{} events of {} calls in {:.0} s, the first {} s not counted; {} delays. Posted each {} ms as they happen. The wallboard \
             follows all open calls; an event's delay ends when a frame shows its call in the stage that it led to, or a later one.",
            load.events,
            load.calls,
            load.took.as_secs_f64(),
            WARM.as_secs(),
            outcome.late_ms.len(),
            load::POST_EVERY.as_millis(),
        ))
        .note(format!(
            "Server and load share the machine's cores; the server used {used:.2} of them and {memory:.0} MiB. Parts are of each call's first \
             event, by the times in the journal and in the frames (milliseconds)."
        ))
        .save()
}
