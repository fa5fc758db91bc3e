//! A recorded month from the file to durable reports, by the real `tidegate import`. Beside it: what of the same work cannot be
//! spared, each part alone and in this process: the same events appended durably to a journal, and the same events read,
//! decoded and folded, without records and reports being stored.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bench::{Aim, Figure, Finding, Spread, product};
use journal::{Entry, Journal, Stream};
use model::Envelope;
use model::envelope::Parsed;
use service::Clock;
use stats::fold::{PartitionFold, Settings};

/// Imports, each into a fresh directory.
const RUNS: usize = 7;
/// Records of one durable append, as the import does it.
const BATCH: usize = 4_000;
/// Events folded between two looks at the changes, as the aggregator does it.
const CHUNK: usize = 2_048;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let Some(shared) = product::shared() else {
        println!("import: needs ../shared (or TIDEGATE_SHARED) with the recorded calls: nothing was measured");
        return Ok(());
    };
    let file = shared.join("data/anonymous-bank-1999-08.csv.gz");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/anonymous-bank.toml");
    let (mut took, mut told) = (Vec::new(), None);
    let mut floor = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let [config, data_text, file] = [&config, &data, &file].map(|path| path.display().to_string());
        let (time, said) = product::run(&["import", "calls-csv", "--config", &config, "--data", &data_text, &file])?;
        took.push(time.as_secs_f64());
        let events = imported(&said)?;
        ensure!(told.is_none_or(|before| before == events), "{events} events, and {told:?} before");
        told = Some(events);
        let (appended, folded) = parts(&data, folder.path()).await?;
        floor.0.push(appended.as_secs_f64());
        floor.1.push(folded.as_secs_f64());
    }
    let took: Spread = took.into_iter().collect();
    let [append, fold] = [floor.0, floor.1].map(|part| part.into_iter().collect::<Spread>().median());
    let events = told.unwrap_or(0);
    Finding::new("import", "A month of calls is in the reports within seconds", "script/bench import")
        .figure(
            Figure::new("42,078 calls of a month, from the file to durable reports, median", took.median(), "s")
                .peer("the same events only appended durably, then only decoded and folded", append + fold)
                .aim(Aim::AtMost(3.0)),
        )
        .figure(Figure::new("slowest of the runs", took.max(), "s"))
        .note(format!(
            "{events} events; {RUNS} imports, each into a fresh directory, with the binary of this build. The peer is a lower bound \
             measured in the same run, on one core: {append:.2} s for SQLite to take the events in batches of {BATCH}, each synced, \
             and {fold:.2} s to read, decode and fold them with nothing stored."
        ))
        .save()
}

/// `imported 305734 events from …`.
fn imported(said: &str) -> Result<u64> {
    let line = said.lines().find(|line| line.starts_with("imported ")).context("the import said nothing")?;
    line.split(' ').nth(1).and_then(|count| count.parse().ok()).context("no count")
}

/// The same events again: appended to a fresh journal, and folded.
async fn parts(data: &Path, folder: &Path) -> Result<(Duration, Duration)> {
    let clock = Clock::system();
    let open = |path| journal::config::Config { path, ..Default::default() };
    let written = open(data.join("journal.db")).open(&clock).await?;
    let mut all = Vec::new();
    let begun = clock.monotonic();
    for stream in Stream::EVENTS {
        for partition in 0..written.partitions(stream) {
            fold(&*written, stream, partition, &mut all).await?;
        }
    }
    let folded = clock.monotonic() - begun;
    written.close().await?;
    let fresh = open(folder.join("peer/journal.db")).open(&clock).await?;
    let begun = clock.monotonic();
    while !all.is_empty() {
        let rest = all.split_off(all.len().min(BATCH));
        fresh.append(std::mem::replace(&mut all, rest)).await?;
    }
    let appended = clock.monotonic() - begun;
    fresh.close().await?;
    Ok((appended, folded))
}

/// Folds a partition, and keeps its records.
async fn fold(journal: &dyn Journal, stream: Stream, partition: u32, all: &mut Vec<Entry>) -> Result<()> {
    let mut fold = PartitionFold::new(Settings { closed_kept: 1_000, ..Settings::default() });
    let mut next = 0;
    loop {
        let batch = journal.read(stream, partition, next, CHUNK, usize::MAX).await?;
        if batch.records.is_empty() {
            return Ok(());
        }
        next = batch.next;
        for record in &batch.records {
            if let Parsed::Known(event) = Envelope::parse(&record.value)? {
                fold.apply(event);
            }
        }
        drop(fold.take_changes());
        fold.evict_closed();
        all.extend(batch.records.into_iter().map(|record| Entry { stream, key: record.key, value: record.value }));
    }
}
