//! From the start of `tidegate up` to `/readyz`, and to live figures that are current and complete: with an empty directory,
//! and with a full state. Beside them: opening the same two databases and nothing else, and folding the same state anew.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use bench::population::Population;
use bench::product::{self, Server};
use bench::{Aim, Figure, Finding, Spread};
use model::Time;
use service::Clock;

/// Starts of each kind.
const RUNS: usize = 7;
/// A month of a busy centre, in the middle of a busy hour.
const FULL: Population = Population { agents: 5_000, waiting: 10_000, queues: 50, closed: 40_000 };

/// Samples in milliseconds.
struct Starts {
    ready: Spread,
    complete: Spread,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nothing = folder.path().join("nothing.ndjson");
    std::fs::write(&nothing, "")?;
    let empty = starts(|_| Ok(tempfile::tempdir_in(folder.path())?.keep()), &nothing, 0)?;
    let full = folder.path().join("full");
    fill(&full, &folder.path().join("full.ndjson"))?;
    let full_starts = starts(|_| Ok(full.clone()), &nothing, FULL.waiting as u64)?;
    let opened = opened(&full).await?;
    let (rebuilt, _) = product::run(&["rebuild", "--dry-run", "--data", &full.display().to_string()])?;
    let ms = |spread: &Spread| spread.median();
    Finding::new("startup", "It is ready at once, and current as soon as the state is read", "script/bench startup")
        .figure(
            Figure::new("empty directory: from start to /readyz, median", ms(&empty.ready), "ms")
                .aim(Aim::AtMost(500.0)),
        )
        .figure(
            Figure::new("full state: from start to /readyz, median", ms(&full_starts.ready), "ms")
                .peer("opening the same two databases, nothing else", ms(&opened))
                .aim(Aim::AtMost(1_000.0)),
        )
        .figure(
            Figure::new("full state: from start to complete live figures, median", ms(&full_starts.complete), "ms")
                .peer("folding the same state anew (tidegate rebuild)", rebuilt.as_secs_f64() * 1e3)
                .aim(Aim::AtMost(3_000.0)),
        )
        .note(format!(
            "Full state: {} closed calls of a month, {} open calls in {} queues, {} agents; {RUNS} starts of each kind, the \
             server killed before each.",
            FULL.closed, FULL.waiting, FULL.queues, FULL.agents
        ))
        .note("The files are in the page cache: a start after a boot also waits for the disk.")
        .save()
}

fn starts(mut dir: impl FnMut(usize) -> Result<std::path::PathBuf>, nothing: &Path, open: u64) -> Result<Starts> {
    let clock = Clock::system();
    let (mut ready, mut complete) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let dir = dir(run)?;
        let begun = clock.monotonic();
        let mut server = Server::start(&dir, nothing)?;
        server.ready()?;
        ready.push(ms(clock.monotonic() - begun));
        server.shows(open)?;
        complete.push(ms(clock.monotonic() - begun));
    }
    Ok(Starts { ready: ready.into_iter().collect(), complete: complete.into_iter().collect() })
}

fn fill(data: &Path, recording: &Path) -> Result<()> {
    FULL.record(recording, Time(Clock::system().now_ms()))?;
    product::run(&["import", "replay", "--data", &data.display().to_string(), &recording.display().to_string()])?;
    Ok(())
}

/// Opening journal and store in this process, and closing them.
async fn opened(data: &Path) -> Result<Spread> {
    let clock = Clock::system();
    let journal = journal::config::Config { path: data.join("journal.db"), ..Default::default() };
    let store = store::config::Config::sqlite(data.join("store.db"));
    let mut took = Vec::new();
    for _ in 0..RUNS {
        let begun = clock.monotonic();
        let (journal, store) = (journal.open(&clock).await?, store.open().await?);
        took.push(ms(clock.monotonic() - begun));
        journal.close().await?;
        store.close().await?;
    }
    Ok(took.into_iter().collect())
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}
