//! How fast the embedded journal takes events durably, beside what the disk itself does: the same bytes appended to a plain file and
//! `fdatasync`ed, on the same file system, in the same run, turn by turn.
//!
//! `script/bench journal [DIRECTORY]`: the directory must be on the disk that matters; by default it is a new one beside the build.

mod disk;
mod load;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bench::{Aim, Figure, Finding, Spread};
use journal::embedded::{Embedded, Options};
use journal::{Journal, Stream, Topology};
use service::Clock;

use disk::Disk;
use load::{Pace, Turn};

/// Bytes of a value: a small event.
pub(crate) const VALUE_BYTES: usize = 300;
/// Turns of each side; medians are told.
const ROUNDS: usize = 5;
/// How long a turn takes.
const TURN: Duration = Duration::from_millis(700);

/// One comparison.
struct Load {
    what: &'static str,
    producers: usize,
    batch: usize,
    pace: Pace,
    aim: Option<Aim>,
}

/// The aims: one durable commit costs no more than 1 / 0.7 of a bare sync, whatever it holds; producers that come together share syncs, so
/// that 64 of them get ten events for each sync that the bare disk can do, and 256 of them thirty.
const LOADS: [Load; 6] = [
    Load {
        what: "1 producer, 1 event a call",
        producers: 1,
        batch: 1,
        pace: Pace::Full,
        aim: Some(Aim::RatioAtLeast(0.7)),
    },
    Load {
        what: "1 producer, 100 events a call",
        producers: 1,
        batch: 100,
        pace: Pace::Full,
        aim: Some(Aim::RatioAtLeast(0.5)),
    },
    Load {
        what: "1 producer, 1,000 events a call",
        producers: 1,
        batch: 1_000,
        pace: Pace::Full,
        aim: Some(Aim::RatioAtLeast(0.3)),
    },
    Load {
        what: "64 producers, 1 event a call",
        producers: 64,
        batch: 1,
        pace: Pace::Full,
        aim: Some(Aim::RatioAtLeast(10.0)),
    },
    Load {
        what: "256 producers, 1 event a call",
        producers: 256,
        batch: 1,
        pace: Pace::Full,
        aim: Some(Aim::RatioAtLeast(30.0)),
    },
    Load { what: "1,000 events/s, one a call", producers: 1, batch: 1, pace: Pace::PerSecond(1_000), aim: None },
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let place = match std::env::args().nth(1) {
        Some(given) => tempfile::tempdir_in(given)?,
        None => tempfile::tempdir_in(beside_the_build())?,
    };
    let clock = Clock::system();
    let journal =
        Embedded::open(Options::new(place.path().join("journal.db"), Topology::default(), clock.clone())).await?;
    let mut disk = Disk::create(place.path(), clock.clone())?;
    let mut finding = Finding::new(
        "journal",
        "the embedded journal acknowledges events nearly as fast as the disk syncs, and shares one sync among all who wait",
        "script/bench journal",
    );
    for load in LOADS {
        finding = compare(finding, &load, &mut disk, &journal, &clock).await?;
    }
    finding = views(finding, &journal, &clock).await?;
    finding = read_back(finding, journal, &clock).await?;
    finding
        .note(format!(
            "Values of {VALUE_BYTES} bytes; {ROUNDS} turns of {} ms on each side, alternating; medians of the turns. The bare disk: the same bytes \
             of content appended to one file, then fdatasync, by one thread; it keeps no order, no index, no checksum and no group.",
            TURN.as_millis()
        ))
        .note("Every figure of the journal is of answered calls: synced (SQLite, write-ahead log, synchronous=FULL), 4 partitions.")
        .note("With several producers the peer is one bare sync after the other: what each of them would get without sharing.")
        .save()
}

fn beside_the_build() -> PathBuf {
    let built = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.to_owned()));
    built.unwrap_or_else(|| PathBuf::from("."))
}

/// The medians of the turns.
struct Medians {
    events_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Medians {
    fn of(turns: &[Turn]) -> Self {
        let median = |of: fn(&Turn) -> f64| turns.iter().map(of).collect::<Spread>().median();
        Self {
            events_per_s: median(Turn::events_per_s),
            p50_ms: median(|turn| turn.ms.median()),
            p99_ms: median(|turn| turn.ms.quantile(0.99)),
        }
    }
}

async fn compare(
    finding: Finding,
    load: &Load,
    disk: &mut Disk,
    journal: &Arc<Embedded>,
    clock: &Clock,
) -> anyhow::Result<Finding> {
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // The bare disk has no producers: it syncs one call after the other.
        bare.push(disk.turn(load.batch, load.pace, TURN).await?);
        ours.push(
            load::turn(&**journal, clock, Stream::EventsCall, load.producers, load.batch, load.pace, TURN).await?,
        );
    }
    let (bare, ours) = (Medians::of(&bare), Medians::of(&ours));
    let peer = "append + fdatasync";
    let rate = Figure::new(load.what, ours.events_per_s, "events/s").peer(peer, bare.events_per_s);
    let rate = match load.aim {
        Some(aim) => rate.aim(aim),
        None => rate,
    };
    let slow = Figure::new(format!("{}: p99", load.what), ours.p99_ms, "ms").peer(peer, bare.p99_ms);
    let slow = if matches!(load.pace, Pace::PerSecond(_)) { slow.aim(Aim::RatioAtMost(3.0)) } else { slow };
    let usual = Figure::new(format!("{}: p50", load.what), ours.p50_ms, "ms").peer(peer, bare.p50_ms);
    Ok(finding.figure(rate).figure(usual).figure(slow))
}

/// A stream that can be made again needs no sync of its own.
async fn views(finding: Finding, journal: &Arc<Embedded>, clock: &Clock) -> anyhow::Result<Finding> {
    let turn = load::turn(&**journal, clock, Stream::Views, 1, 1, Pace::Full, TURN).await?;
    Ok(finding.figure(Figure::new("views, 1 event a call, not synced", turn.events_per_s(), "events/s")))
}

async fn read_back(finding: Finding, journal: Arc<Embedded>, clock: &Clock) -> anyhow::Result<Finding> {
    let (began, mut records) = (clock.monotonic(), 0);
    for partition in 0..journal.partitions(Stream::EventsCall) {
        let (mut from, end) = (0, journal.end(Stream::EventsCall, partition).await?);
        while from < end {
            let batch = journal.read(Stream::EventsCall, partition, from, 5_000, 16 << 20).await?;
            records += batch.records.len();
            from = batch.next;
        }
    }
    let took = (clock.monotonic() - began).as_secs_f64();
    let report = journal.verify().await?;
    anyhow::ensure!(report.is_sound(), "the journal is damaged: {:?} {:?}", report.damaged, report.faults);
    journal.close().await?;
    Ok(finding
        .figure(Figure::new("read back, every checksum checked", records as f64 / took, "events/s"))
        .note(format!("{records} events read back; `verify` finds all {} records sound.", report.records)))
}
