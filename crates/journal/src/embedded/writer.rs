//! The one thread of this process that writes. It takes what has queued up while the last transaction was synced, writes all of it in the
//! next one, and answers everybody after the disk has it (group commit): a disk that syncs 200 times a second still
//! takes a hundred thousand records.
//!
//! A plain thread, not a task: SQLite blocks, and a commit under way must not be cancelled.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::books::Slots;
use super::file::{fault, is_disk_failure};
use super::ledger::{Ledger, Moved};
use crate::board::Board;
use crate::contract::{Commit, Position, Retention};
use crate::group::{Standing, Step};
use crate::{Error, Result, Topology, metering};
use service::Clock;
use service::mark::Mark;

/// A transaction is closed when it holds so many records: more would make everybody in it wait, and gain little.
const BATCH_RECORDS: usize = 1_000;

/// Something to write.
pub(crate) enum Work {
    /// Append, and move positions and state.
    Commit(Commit),
    /// A member's step.
    Step { group: String, step: Step },
    /// Retention, one chunk.
    Trim { slot: i64, policy: Retention },
    /// Compaction, one chunk.
    Drop { slot: i64, offsets: Vec<u64> },
    /// Renew the leases of these members.
    Keep(BTreeMap<String, Vec<u64>>),
    /// Write what is queued, and stop.
    Close,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Positions(Vec<Position>),
    Standing(Standing),
    Count(u64),
    Done,
}

/// Work with the one who waits for it.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) reply: Option<oneshot::Sender<Result<Outcome>>>,
    /// The bytes of the job in the queue; given back when the job is done.
    pub(crate) bytes: Option<OwnedSemaphorePermit>,
}

impl Job {
    fn records(&self) -> usize {
        match &self.work {
            Work::Commit(commit) => commit.entries.len() + commit.state.len(),
            Work::Trim { .. } | Work::Drop { .. } => super::ledger::SWEEP_ROWS as usize,
            Work::Step { .. } | Work::Keep(_) | Work::Close => 0,
        }
    }

    /// Whether the answer promises that the disk has it. Leases and maintenance can be done again; views and heartbeats are
    /// not worth a sync of their own.
    fn must_sync(&self) -> bool {
        match &self.work {
            Work::Commit(commit) => {
                !commit.positions.is_empty()
                    || !commit.state.is_empty()
                    || commit.entries.iter().any(|entry| entry.stream.is_durable())
            }
            Work::Step { .. } | Work::Trim { .. } | Work::Drop { .. } | Work::Keep(_) | Work::Close => false,
        }
    }

    fn answer(self, result: Result<Outcome>) {
        if let Some(reply) = self.reply {
            // Nobody there: the caller gave up waiting. What was written stays written.
            let _ = reply.send(result);
        }
        drop(self.bytes);
    }
}

/// The writer.
pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) mark: Mark,
    pub(crate) slots: Slots,
    pub(crate) topology: Topology,
    pub(crate) clock: Clock,
    pub(crate) lease_ms: i64,
    pub(crate) board: Arc<Board>,
    /// Why no more can be written, once a commit failed halfway.
    pub(crate) poisoned: Option<String>,
    pub(crate) full_sync: Option<bool>,
}

impl Writer {
    /// Works until the queue is closed.
    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut records = first.records();
            let mut batch = vec![first];
            while records < BATCH_RECORDS {
                let Ok(job) = queue.try_recv() else { break };
                records += job.records();
                batch.push(job);
            }
            metering::queue_depth(queue.len());
            if batch.iter().any(|job| matches!(job.work, Work::Close)) {
                queue.close();
            }
            self.write(batch);
        }
    }

    /// Writes a batch in one transaction. If the transaction fails for a reason that lies in one of its jobs, each is tried alone.
    fn write(&mut self, batch: Vec<Job>) {
        match self.transaction(&batch) {
            Ok(results) => batch.into_iter().zip(results).for_each(|(job, result)| job.answer(result)),
            Err(error) if batch.len() > 1 && self.poisoned.is_none() && !matches!(error, Error::Full | Error::Busy) => {
                for job in batch {
                    let result = self
                        .transaction(std::slice::from_ref(&job))
                        .and_then(|mut results| results.pop().unwrap_or(Ok(Outcome::Done)));
                    job.answer(result);
                }
            }
            Err(error) => batch.into_iter().for_each(|job| job.answer(Err(error.clone()))),
        }
    }

    /// One transaction: all that is not refused is written, or nothing is.
    fn transaction(&mut self, batch: &[Job]) -> Result<Vec<Result<Outcome>>> {
        if let Some(cause) = &self.poisoned {
            return Err(Error::Poisoned(cause.clone()));
        }
        let started = self.clock.monotonic();
        let must_sync = batch.iter().any(Job::must_sync);
        self.sync_on_commit(must_sync)?;
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(fault)?;
        let applied = self.apply(batch);
        let (results, moved) = match applied {
            Ok(applied) => applied,
            Err(error) => {
                self.roll_back();
                return Err(error);
            }
        };
        if let Err(error) = self.conn.execute_batch("COMMIT") {
            self.roll_back();
            if is_disk_failure(&error) {
                // After a failed sync the kernel may have dropped the pages: what the disk holds is unknown, and a second
                // sync that succeeds would prove nothing. Only a fresh look at the file (and its log's checksums) tells.
                self.poisoned = Some(error.to_string());
                tracing::error!(%error, "the journal's disk failed during a commit; no more appends");
                return Err(Error::Poisoned(error.to_string()));
            }
            return Err(fault(error));
        }
        if must_sync {
            self.mark.move_to(moved.commit);
        }
        self.board.publish(&moved.ends, &moved.generations);
        let records = moved.appended.values().sum();
        moved.appended.iter().for_each(|(stream, records)| metering::appended(*stream, *records));
        metering::committed(self.clock.monotonic().saturating_sub(started), records, batch.len(), must_sync);
        Ok(results)
    }

    fn apply(&self, batch: &[Job]) -> Result<(Vec<Result<Outcome>>, Moved)> {
        let mut ledger = Ledger::new(&self.conn, &self.slots, &self.topology, self.clock.now_ms(), self.lease_ms);
        let mut results = Vec::with_capacity(batch.len());
        for job in batch {
            let result = match &job.work {
                Work::Commit(commit) => ledger.commit(commit).map(Outcome::Positions),
                Work::Step { group, step } => ledger.step(group, step).map(Outcome::Standing),
                Work::Trim { slot, policy } => ledger.trim(*slot, policy).map(Outcome::Count),
                Work::Drop { slot, offsets } => ledger.drop_records(*slot, offsets).map(Outcome::Count),
                Work::Keep(alive) => ledger.keep(alive).map(|()| Outcome::Done),
                Work::Close => Ok(Outcome::Done),
            };
            match result {
                // Refused before anything was changed: the others need not suffer.
                Err(error @ (Error::Fenced { .. } | Error::Beyond { .. } | Error::NoSuchPartition { .. })) => {
                    results.push(Err(error))
                }
                other => results.push(Ok(other?)),
            }
        }
        Ok((results, ledger.close()?))
    }

    /// In write-ahead mode `NORMAL` writes the log without syncing it: a later synced commit carries it to the disk too, because
    /// the log is one file written in order.
    fn sync_on_commit(&mut self, full: bool) -> Result<()> {
        if self.full_sync != Some(full) {
            let pragma = if full { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.conn.execute_batch(pragma).map_err(fault)?;
            self.full_sync = Some(full);
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        if self.conn.is_autocommit() {
            return;
        }
        if let Err(error) = self.conn.execute_batch("ROLLBACK") {
            tracing::error!(%error, "the journal could not roll back; no more appends");
            self.poisoned = Some(error.to_string());
        }
    }
}
