//! Journals to be damaged: written commit by commit, so that after any damage it can be told which commits are there, and that nothing
//! of a later one is.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use journal::embedded::{Embedded, Options};
use journal::{Commit, Entry, Error, Journal, Position, Stream, Topology};
use service::Clock;
use std::path::Path;
use std::sync::Arc;

use crate::Files;

const GROUP: &str = "g";
const STREAMS: [Stream; 3] = [Stream::Ingest, Stream::EventsCall, Stream::EventsAgent];

pub fn options(folder: &Path) -> Options {
    let mut options = Options::new(folder.join("journal.db"), Topology::uniform(1), Clock::manual(1_700_000_000_000));
    options.readers = 1;
    options
}

/// What one stream gets by commit `n`.
fn entries(n: u64, stream: Stream) -> Vec<Entry> {
    let count = (n + stream as u64) % 4;
    let value = |i: u64| format!("{stream} commit {n} record {i} {}", "x".repeat(((n * 37 + i * 11) % 200) as usize));
    (0..count).map(|i| Entry::new(stream, format!("k{}", i % 3), value(i))).collect()
}

/// Everything that the commits up to `n` (not included) put into a stream.
fn records(n: u64, stream: Stream) -> impl Iterator<Item = Entry> {
    (0..n).flat_map(move |n| entries(n, stream))
}

fn commit(n: u64) -> Commit {
    let number = Some(Bytes::from(n.to_string()));
    Commit {
        entries: STREAMS.into_iter().flat_map(|stream| entries(n, stream)).collect(),
        group: GROUP.to_owned(),
        positions: vec![Position::new(Stream::Ingest, 0, records(n, Stream::Ingest).count() as u64)],
        state: vec![(Bytes::from_static(b"last"), number.clone()), (Bytes::from(format!("s{n:06}")), number)],
        fence: None,
    }
}

/// Makes commits in a new journal until its log holds at least `bytes`, and hands over its files as they were then, open.
/// With `copied`, the log is copied into the file twice on the way, so that it also holds what the file has.
pub async fn written(folder: &Path, bytes: usize, copied: bool) -> Result<(Files, u64)> {
    let journal = Embedded::open(options(folder)).await?;
    let other = rusqlite::Connection::open(folder.join("journal.db"))?;
    let (mut n, mut copies) = (0, 0);
    loop {
        journal.append_and_commit(commit(n)).await?;
        n += 1;
        let size = std::fs::metadata(folder.join("journal.db-wal"))?.len() as usize;
        if copied && size > (copies + 1) * bytes / 3 && copies < 3 {
            // A reader in the middle of something keeps the log from being begun anew.
            if copies == 0 {
                other.execute_batch("BEGIN; SELECT count(*) FROM head")?;
            }
            let done = rusqlite::Connection::open(folder.join("journal.db"))?;
            if copies == 2 {
                other.execute_batch("ROLLBACK")?;
            }
            done.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            copies += 1;
        }
        if size >= bytes && (!copied || copies == 3) {
            break;
        }
    }
    let files = Files::of(folder, "journal.db")?;
    drop(other);
    journal.close().await?;
    Ok((files, n))
}

/// What came of opening and reading damaged files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything as it was after so many commits.
    Whole(u64),
    /// Refused, by this code.
    Refused(&'static str),
}

/// Opens and reads everything. An error means that something wrong was read, or refused without a name.
pub async fn judged(folder: &Path) -> Result<Outcome> {
    let opened = Embedded::open(options(folder)).await;
    let journal = match opened {
        Ok(journal) => journal,
        Err(error) => return refused(&error),
    };
    let read = read_all(&journal).await;
    let closed = journal.close().await;
    match (read, closed) {
        (Ok(outcome), Ok(())) => Ok(outcome),
        (Ok(Outcome::Whole(_)), Err(error)) => refused(&error),
        (outcome, _) => outcome,
    }
}

fn refused(error: &Error) -> Result<Outcome> {
    Ok(Outcome::Refused(error.code().with_context(|| format!("no code: {error}"))?))
}

/// Unwraps, or answers with the refusal.
macro_rules! ok {
    ($answer:expr) => {
        match $answer {
            Ok(answer) => answer,
            Err(error) => return refused(&error),
        }
    };
}

async fn read_all(journal: &Arc<Embedded>) -> Result<Outcome> {
    let state = ok!(journal.state(GROUP, b"").await);
    let last =
        state.iter().find(|(key, _)| &key[..] == b"last").map(|(_, value)| String::from_utf8_lossy(value).parse());
    let commits: u64 = last.transpose()?.map_or(0, |last: u64| last + 1);
    let positions = ok!(journal.committed(GROUP).await);
    let expected = commit(commits.saturating_sub(1)).positions;
    ensure!(positions == if commits == 0 { vec![] } else { expected }, "after {commits} commits: {positions:?}");
    ensure!(state.len() as u64 == if commits == 0 { 0 } else { commits + 1 }, "{} pieces of {commits}", state.len());
    for (n, (key, value)) in state.iter().skip(1).enumerate() {
        ensure!(
            key == format!("s{n:06}").as_bytes() && value == n.to_string().as_bytes(),
            "state {key:?} is {value:?}"
        );
    }
    for stream in STREAMS {
        let (mut next, end) = (0, ok!(journal.end(stream, 0).await));
        let mut expected = records(commits, stream);
        while next < end {
            let batch = ok!(journal.read(stream, 0, next, 64, 1 << 20).await);
            ensure!(batch.next > next, "{stream} stands still at {next}");
            for record in &batch.records {
                let Some(entry) = expected.next() else { bail!("{stream}@{} is of a later commit", record.offset) };
                ensure!((&record.key, &record.value) == (&entry.key, &entry.value), "{stream}@{}", record.offset);
            }
            next = batch.next;
        }
        ensure!(expected.next().is_none(), "{stream} ends early at {next}, after {commits} commits");
    }
    Ok(Outcome::Whole(commits))
}
