//! From an event to the WebSocket frame that shows it, at up to ten thousand events a second, durable first.
//!
//! The whole way in one process, as `tidegate up` runs it: events come in through `POST /v1/ingest`, are on disk before they are
//! acknowledged, are admitted, are on disk again as the canonical record, are folded, told, painted and sent. A wallboard that follows
//! all open calls notes when each event's effect came. The disk's own sync is measured beside it, in the same folder.
//!
//! `--journal kafka`: the same on a journal over a Kafka of this machine; beside it, a bare client of that broker.

mod disk;
mod history;
mod load;
mod parts;
mod pipeline;
mod place;
mod wallboard;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bench::crowd::Child;
use bench::{Aim, Figure, Finding, Spread};
use clap::Parser;
use load::Length;
use place::{Kind, Place};
use service::{Clock, Drain, Tasks};

/// From an event to the WebSocket frame that shows it, durable first.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Events a second, one after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [2_500, 5_000, 10_000])]
    rates: Vec<u64>,
    /// How long each, seconds.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// The aggregators' tick, milliseconds, of which the pusher's is three quarters; 0: both as they are by default.
    #[arg(long, default_value_t = 0)]
    tick_ms: u64,
    /// Where the journal lies.
    #[arg(long, value_enum, default_value_t = Kind::Embedded)]
    journal: Kind,
}

#[derive(clap::Subcommand)]
enum Role {
    /// The pipeline; started by this program itself.
    Pipeline {
        /// Where its files may be.
        folder: PathBuf,
        /// The aggregators' tick, milliseconds; 0: as it is by default.
        tick_ms: u64,
        /// The broker, and what its topics' names begin with; none: the journal is a file.
        broker: Option<String>,
        prefix: Option<String>,
    },
}

/// How long the last effects are waited for.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Pipeline { folder, tick_ms, broker, prefix }) => {
            pipeline::serve(&folder, tick_ms, place::journal(&folder, broker.zip(prefix)))
        }
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let kind = arguments.journal;
            let length = Length { warm: kind.warm(), counted: Duration::from_secs(arguments.seconds) };
            runtime.block_on(run(arguments.rates, length, arguments.tick_ms, kind))
        }
    }
}

/// What was measured at a rate.
struct Measured {
    rate: u64,
    load: load::Load,
    outcome: wallboard::Outcome,
    parts: Option<parts::Parts>,
    /// Of the machine's cores, while events came.
    cores: f64,
    /// Of the server's processor time.
    us_per_event: f64,
    memory_mib: f64,
}

async fn run(rates: Vec<u64>, length: Length, tick_ms: u64, kind: Kind) -> anyhow::Result<()> {
    let clock = Clock::system();
    let place = Place::new(kind)?;
    let (mut peer, mut all) = (place.peer(&clock).await?, Vec::new());
    for rate in rates {
        let measured = at(rate, length, tick_ms, &place, &clock).await?;
        eprintln!("{rate} events/s: p50 {:.1} ms, p99 {:.1} ms", measured.late(0.5), measured.late(0.99));
        all.push(measured);
    }
    peer.extend(place.peer(&clock).await?);
    finding(&all, kind, peer.into_iter().collect()).save()
}

/// A server of its own for each rate: none begins with what another left.
async fn at(rate: u64, length: Length, tick_ms: u64, place: &Place, clock: &Clock) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let prefix = format!("at{rate}.");
    let journal = place.made(folder.path(), &prefix).await?;
    let mut words = vec!["pipeline".to_owned(), folder.path().display().to_string(), tick_ms.to_string()];
    words.extend(place.server().into_iter().flat_map(|server| [server, prefix.clone()]));
    let mut server = Child::start(words)?;
    let (door, face) = (server.hear()?, server.hear()?.parse()?);
    history::tell(&door, clock).await?;
    let seen = Arc::new(wallboard::Seen::default());
    let tasks = Tasks::new("latency", 4, clock.clone(), Drain::new());
    tasks.spawn("wallboard", wallboard::follow(face, Arc::clone(&seen)))?;
    clock.sleep(Duration::from_secs(1)).await;
    let (begun, used) = (clock.monotonic(), server.processor_time()?);
    let load = load::run(&door, rate, length, clock, &seen).await?;
    let cores = (server.processor_time()? - used).as_secs_f64() / (clock.monotonic() - begun).as_secs_f64();
    // What is late is waited for: its delay is part of the answer.
    let until = clock.monotonic() + PATIENCE;
    while clock.monotonic() < until && seen.outcome(0).unseen > 0 {
        clock.sleep(Duration::from_millis(250)).await;
    }
    let us_per_event = (server.processor_time()? - used).as_secs_f64() * 1e6 / load.events as f64;
    let memory_mib = server.resident()? / f64::from(1 << 20);
    server.ask("stop")?;
    let _ = tasks.shutdown(Duration::ZERO).await;
    let parts = parts::of_journal(&journal, clock, &seen, load.counted_from_us).await?;
    let outcome = seen.outcome(load.counted_from_us);
    Ok(Measured { rate, load, outcome, parts, cores, us_per_event, memory_mib })
}

impl Measured {
    fn late(&self, share: f64) -> f64 {
        self.outcome.late_ms.quantile(share)
    }

    /// Acknowledged, a second.
    fn carried(&self) -> f64 {
        self.load.events as f64 / self.load.took.as_secs_f64()
    }
}

fn finding(all: &[Measured], kind: Kind, peer: Spread) -> Finding {
    let (name, claim, who) = kind.words();
    let mut finding = Finding::new(name, claim, &format!("script/bench {name}"));
    let highest = all.iter().map(|one| one.rate).max().unwrap_or(0);
    for one in all {
        let named = |what: &str| format!("{} events/s: {what}", one.rate);
        let p99 = Figure::new(named("event to frame, p99"), one.late(0.99), "ms").peer(who, peer.quantile(0.99));
        finding = finding
            .figure(if one.rate == highest { p99.aim(Aim::AtMost(50.0)) } else { p99 })
            .figure(Figure::new(named("event to frame, p50"), one.late(0.5), "ms").peer("the same, p50", peer.median()))
            .figure(
                Figure::new(named("carried, all of it acknowledged"), one.carried(), "events/s")
                    .aim(Aim::AtLeast(0.97 * one.rate as f64)),
            )
            .figure(
                Figure::new(named("events whose effect was in no frame"), one.outcome.unseen as f64, "events")
                    .aim(Aim::AtMost(0.0)),
            )
            .figure(Figure::new(named("the server's processor time for an event"), one.us_per_event, "µs"));
        let parts = one.parts.iter().flat_map(parts::Parts::named);
        for (what, spread) in [("event to acknowledgement", &one.load.acknowledged_ms)].into_iter().chain(parts) {
            let (p50, p99) = (spread.median(), spread.quantile(0.99));
            finding = finding.figure(Figure::new(named(&format!("{what}, p99 (p50 {p50:.1} ms)")), p99, "ms"));
        }
        finding = finding.note(format!(
            "{} events/s: {} events of {} calls in {:.0} s, {} delays; the server used {:.2} cores and {:.0} MiB.",
            one.rate,
            one.load.events,
            one.load.calls,
            one.load.took.as_secs_f64(),
            one.outcome.late_ms.len(),
            one.cores,
            one.memory_mib,
        ));
    }
    finding
        .note(format!(
            "The first {} s at each rate are not counted. Posted each {} ms as they happen. The wallboard follows all open calls; an event's delay \
             begins when it happens, whether there is room to send it or not, and ends when a frame shows its call in the stage that it \
             led to, or a later one. What is late is waited for, {} s at most; a call that came and went between two frames is in none, which \
             happens where the figures are older than a call is long.",
            kind.warm().as_secs(),
            load::POST_EVERY.as_millis(),
            PATIENCE.as_secs(),
        ))
        .note(format!(
            "Before it begins, the board has a past: {} calls of the {} hours before, so that its windows and today are full.",
            history::CALLS,
            history::HOURS,
        ))
        .note(
            "Server and load share the machine's cores. Parts are of each call's first event, by the times in the journal and in the \
             frames (milliseconds).",
        )
}
