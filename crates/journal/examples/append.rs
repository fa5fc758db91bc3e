//! How fast the embedded journal takes and gives records, beside what the disk itself syncs in the same run.
//!
//! `cargo run --release -p journal --example append [DIRECTORY]`. The directory must be on the disk that matters; by default
//! it is a new one under the current directory, removed at the end.

#![allow(clippy::disallowed_methods, reason = "a measurement is made of real time and of the command line")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::embedded::{Embedded, Options};
use journal::{Entry, Journal, Stream, Topology};
use service::Clock;

/// Bytes of a value: a small event.
const VALUE_BYTES: usize = 300;
/// How long each measurement takes.
const TIME: Duration = Duration::from_secs(3);

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(0.0, |duration| duration.as_secs_f64() * 1_000.0)
}

fn line(what: &str, records: usize, took: Duration, mut times: Vec<Duration>) {
    times.sort_unstable();
    let rate = records as f64 / took.as_secs_f64();
    println!(
        "{what:<44} {rate:>10.0}/s   p50 {:>7.2} ms   p99 {:>7.2} ms",
        percentile(&times, 0.5),
        percentile(&times, 0.99)
    );
}

fn entries(stream: Stream, key: usize, count: usize) -> Vec<Entry> {
    (0..count).map(|n| Entry::new(stream, format!("call/{}", key * 31 + n % 97), vec![b'e'; VALUE_BYTES])).collect()
}

/// What the disk does without us: append some bytes, fdatasync.
fn disk(directory: &Path, bytes: usize) -> std::io::Result<()> {
    let mut file = File::create(directory.join("probe"))?;
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < TIME {
        let at = Instant::now();
        file.write_all(&vec![b'e'; bytes])?;
        file.sync_data()?;
        times.push(at.elapsed());
    }
    line(&format!("the disk alone: write {bytes} B, fdatasync"), times.len(), started.elapsed(), times);
    Ok(())
}

async fn one_producer(journal: &dyn Journal, stream: Stream, batch: usize) {
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < TIME {
        let at = Instant::now();
        journal.append(entries(stream, times.len(), batch)).await.expect("appended");
        times.push(at.elapsed());
    }
    line(&format!("append to {stream}, 1 producer, batch {batch}"), times.len() * batch, started.elapsed(), times);
}

async fn many_producers(journal: &Arc<Embedded>, producers: usize, batch: usize) {
    let started = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|producer| {
            let journal = Arc::clone(journal);
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < TIME {
                    let at = Instant::now();
                    journal.append(entries(Stream::EventsCall, producer, batch)).await.expect("appended");
                    times.push(at.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("finished"));
    }
    line(&format!("group commit, {producers} producers, batch {batch}"), times.len() * batch, started.elapsed(), times);
}

async fn paced(journal: &dyn Journal, per_second: u64) {
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < TIME {
        ticks.tick().await;
        let at = Instant::now();
        journal.append(entries(Stream::EventsCall, times.len(), 1)).await.expect("appended");
        times.push(at.elapsed());
    }
    line(&format!("at most {per_second}/s, one at a time"), times.len(), started.elapsed(), times);
}

async fn read_all(journal: &dyn Journal) {
    let (started, mut times, mut records) = (Instant::now(), Vec::new(), 0);
    for partition in 0..journal.partitions(Stream::EventsCall) {
        let (mut from, end) = (0, journal.end(Stream::EventsCall, partition).await.expect("an end"));
        while from < end {
            let at = Instant::now();
            let batch = journal.read(Stream::EventsCall, partition, from, 5_000, 16 << 20).await.expect("read");
            times.push(at.elapsed());
            records += batch.records.len();
            from = batch.next;
        }
    }
    line("read back, batches of 5,000, checksums checked", records, started.elapsed(), times);
}

#[tokio::main]
async fn main() {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let directory = given.clone().unwrap_or_else(|| PathBuf::from(format!("journal-bench-{}", std::process::id())));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("bench.db");
    let journal = Embedded::open(Options::new(&path, Topology::default(), Clock::system())).await.expect("a journal");
    println!("values of {VALUE_BYTES} B, SQLite {}, {}", rusqlite::version(), path.display());
    disk(&directory, VALUE_BYTES).expect("the disk works");
    for batch in [1, 100, 1_000] {
        one_producer(&*journal, Stream::EventsCall, batch).await;
    }
    for (producers, batch) in [(64, 1), (256, 1), (64, 10)] {
        many_producers(&journal, producers, batch).await;
    }
    paced(&*journal, 1_000).await;
    one_producer(&*journal, Stream::Views, 1).await;
    one_producer(&*journal, Stream::Views, 100).await;
    disk(&directory, VALUE_BYTES).expect("the disk works");
    read_all(&*journal).await;
    let at = Instant::now();
    let report = journal.verify().await.expect("verified");
    println!("verify: {} records in {:.2} s, sound: {}", report.records, at.elapsed().as_secs_f64(), report.is_sound());
    journal.close().await.expect("closed");
    let size = std::fs::metadata(&path).map_or(0, |file| file.len());
    println!(
        "file: {:.0} B per record of {} B of content",
        size as f64 / report.records as f64,
        report.bytes / report.records.max(1)
    );
    let at = Instant::now();
    drop(Embedded::open(Options::new(&path, Topology::default(), Clock::system())).await.expect("opens again"));
    println!("open again: {:.1} ms", at.elapsed().as_secs_f64() * 1_000.0);
    if given.is_none() {
        std::fs::remove_dir_all(&directory).expect("removed");
    }
}
