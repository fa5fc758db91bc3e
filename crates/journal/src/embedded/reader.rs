//! Reading: short transactions on a few connections of their own, on blocking threads, never on the workers of the async runtime.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, Row, params};
use tokio::sync::Semaphore;

use super::books::Head;
use super::file::{connect, fault, int, num};
use super::seal;
use crate::contract::{Batch, Record};
use crate::{Error, Result, metering};

/// The connections for reading.
pub(crate) struct Readers {
    path: PathBuf,
    busy: Duration,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    connections: u32,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, busy: Duration, connections: u32) -> Arc<Self> {
        let (idle, permits) = (Mutex::new(Vec::new()), Semaphore::new(connections.max(1) as usize));
        Arc::new(Self { path, busy, idle, permits, connections: connections.max(1) })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "awaited at once, so its panic is seen here; a permit bounds how many"
    )]
    /// Runs `work` with a connection, within one read transaction, so that all it reads is of one moment.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _permit = self.permits.acquire().await.map_err(|_| Error::Closed)?;
        let this = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || this.with_connection(work)).await;
        done.map_err(|e| Error::Storage(e.to_string()))?
    }

    fn with_connection<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = lock(&self.idle).pop();
        let conn = idle.map_or_else(|| connect(&self.path, self.busy, false), Ok)?;
        conn.execute_batch("BEGIN").map_err(fault)?;
        let done = work(&conn);
        if conn.execute_batch("ROLLBACK").is_ok() && !self.permits.is_closed() {
            lock(&self.idle).push(conn);
        }
        done
    }

    /// Waits for the reads under way, and lets go of the file. The last connection moves the log into the file.
    #[expect(clippy::disallowed_methods, reason = "awaited at once, so its panic is seen here")]
    pub(crate) async fn close(self: &Arc<Self>) {
        let all = self.permits.acquire_many(self.connections).await;
        self.permits.close();
        drop(all);
        let this = Arc::clone(self);
        let _ = tokio::task::spawn_blocking(move || lock(&this.idle).clear()).await;
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records are read with the whole rest of the slot in view and no upper bound in SQL: a damaged offset would end the search early,
/// and silently.
const RECORDS: &str = "SELECT o, at, k, v, x FROM record WHERE slot = ?1 AND o >= ?2 ORDER BY o";

/// What is wrong with a record, and the offset at which it was noticed.
pub(crate) struct Flaw {
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

/// How a walk ended.
pub(crate) enum Walk {
    /// The visitor had enough: the next record is at this offset, or after it.
    Stopped(u64),
    /// At the end of the partition.
    Ended,
    /// At a damaged or missing record.
    Damaged(Flaw),
}

/// Visits the sound records from an offset on, in order, until the visitor answers `false` (to the record it was shown, which then is
/// not counted as visited), something is damaged, or the partition ends.
pub(crate) fn walk(
    conn: &Connection,
    head: &Head,
    from: u64,
    mut visit: impl FnMut(&Sound<'_>) -> bool,
) -> Result<Walk> {
    let mut expected = from.max(head.earliest);
    let flaw = |offset: u64, reason: &str| Ok(Walk::Damaged(Flaw { offset, reason: reason.to_owned() }));
    let mut query = conn.prepare_cached(RECORDS).map_err(fault)?;
    let mut rows = query.query(params![head.slot, int(expected)]).map_err(fault)?;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) if expected < head.end && !head.stream.is_compacted() => return flaw(expected, "it is missing"),
            Ok(None) => return Ok(Walk::Ended),
            Err(error) if is_damage(&error) => return flaw(expected, &error.to_string()),
            Err(error) => return Err(fault(error)),
        };
        let Ok(sound) = Sound::of(row, head) else { return flaw(expected, "its checksum does not match") };
        if sound.offset < expected || sound.offset >= head.end {
            return flaw(expected, "it is out of its place");
        }
        if sound.offset > expected && !head.stream.is_compacted() {
            return flaw(expected, "it is missing");
        }
        if !visit(&sound) {
            return Ok(Walk::Stopped(sound.offset));
        }
        expected = sound.offset + 1;
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// A record whose seal fits, still in SQLite's memory.
pub(crate) struct Sound<'a> {
    pub(crate) offset: u64,
    pub(crate) at_ms: i64,
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Sound<'a> {
    fn of(row: &'a Row<'_>, head: &Head) -> std::result::Result<Self, ()> {
        let blob = |index| row.get_ref(index).ok().and_then(|value| value.as_blob().ok()).ok_or(());
        let offset = num(row, 0).map_err(|_| ())?;
        let (at_ms, x): (i64, i64) = (row.get(1).map_err(|_| ())?, row.get(4).map_err(|_| ())?);
        let sound = Self { offset, at_ms, key: blob(2)?, value: blob(3)? };
        if seal::record(head.stream, head.partition, offset, at_ms, sound.key, sound.value) == x {
            Ok(sound)
        } else {
            Err(())
        }
    }

    pub(crate) const fn size(&self) -> usize {
        self.key.len() + self.value.len()
    }

    /// One allocation for key and value: they live and die together.
    fn to_record(&self) -> Record {
        let both = Bytes::from([self.key, self.value].concat());
        let (key, value) = (both.slice(..self.key.len()), both.slice(self.key.len()..));
        Record { offset: self.offset, key, value, recorded_at_ms: self.at_ms }
    }
}

/// Reads a batch.
pub(crate) fn batch(conn: &Connection, slot: i64, from: u64, max_records: usize, max_bytes: usize) -> Result<Batch> {
    let head = Head::load(conn, slot)?;
    let Head { stream, partition, earliest, end, .. } = head;
    if from < earliest {
        return Err(Error::Truncated { stream, partition, from, earliest });
    }
    if from > end {
        return Err(Error::Beyond { stream, partition, from, end });
    }
    let (mut records, mut bytes) = (Vec::new(), 0);
    if from == end {
        return Ok(Batch { stream, partition, records, next: end });
    }
    let ended = walk(conn, &head, from, |sound| {
        let size = sound.size();
        if !records.is_empty() && (records.len() >= max_records || bytes + size > max_bytes) {
            return false;
        }
        bytes += size;
        records.push(sound.to_record());
        true
    })?;
    let next = match ended {
        Walk::Ended => end,
        Walk::Stopped(next) => next,
        Walk::Damaged(flaw) if records.is_empty() => {
            metering::damaged();
            return Err(Error::Damaged { stream, partition, offset: flaw.offset, reason: flaw.reason });
        }
        // What is sound is delivered; the next read meets the damage.
        Walk::Damaged(flaw) => flaw.offset,
    };
    metering::read(stream, records.len());
    Ok(Batch { stream, partition, records, next })
}

/// A walk backwards over a compacted partition, in short steps, that remembers which keys it has met: what it meets again is superseded.
pub(crate) struct Scan {
    slot: i64,
    tombstones_before_ms: i64,
    before: Option<u64>,
    met: HashSet<Vec<u8>>,
    tombstones: Vec<u64>,
}

impl Scan {
    /// Rows per step: short transactions let the write-ahead log be reset.
    const ROWS: u32 = 2_000;

    pub(crate) fn new(slot: i64, tombstones_before_ms: i64) -> Self {
        Self { slot, tombstones_before_ms, before: None, met: HashSet::new(), tombstones: Vec::new() }
    }

    /// One step: the superseded offsets, and whether there is more. Damaged rows are left alone, for `verify` to name.
    pub(crate) fn step(&mut self, conn: &Connection) -> Result<(Vec<u64>, bool)> {
        let head = Head::load(conn, self.slot)?;
        let sql = "SELECT o, at, k, v, x FROM record WHERE slot = ?1 AND o < ?2 ORDER BY o DESC LIMIT ?3";
        let mut query = conn.prepare_cached(sql).map_err(fault)?;
        let mut rows =
            query.query(params![self.slot, int(self.before.unwrap_or(head.end)), Self::ROWS]).map_err(fault)?;
        let (mut superseded, mut seen) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(fault)? {
            seen += 1;
            self.before = Some(num(row, 0).map_err(fault)?);
            let Ok(sound) = Sound::of(row, &head) else { continue };
            if self.met.contains(sound.key) {
                superseded.push(sound.offset);
                continue;
            }
            self.met.insert(sound.key.to_vec());
            if sound.value.is_empty() && sound.at_ms < self.tombstones_before_ms {
                self.tombstones.push(sound.offset);
            }
        }
        Ok((superseded, seen == Self::ROWS))
    }

    /// The tombstones that are old enough to go.
    pub(crate) fn into_tombstones(self) -> Vec<u64> {
        self.tombstones
    }
}
