//! The journal of one host: SQLite on local disk, shared by several processes.
//!
//! Measured against four other stores, it was as fast as needed and the most trusted; and records, positions and state commit in one
//! transaction. One thread per process writes (`writer.rs`); readers have connections of their own (`reader.rs`); a watching
//! thread notices what other processes write (`watcher.rs`, `../board.rs`); a copying one moves the log into the file (`copier.rs`).
//!
//! - Invariant: whoever is answered by `append` has been synced (`synchronous = FULL`), on streams that are durable.
//! - Invariant: offsets are taken inside the transaction that appends (`BEGIN IMMEDIATE`), so processes cannot collide.
//! - Invariant: a journal that ends before what it acknowledged is refused ([`service::mark`]).
//! - Invariant: no SQLite call runs on a worker of the async runtime.
//!
//! The file must be on a local disk: the write-ahead log needs shared memory and locks that network file systems do not give. It
//! does not shrink when records are removed; freed pages are used again. Do not open it by other means from within a process
//! that has it open: closing any descriptor of a file drops the process's POSIX locks on it, SQLite's too.
//!
//! `script/bench journal` measures it beside the disk's own sync. On two shared cores (records of 300 bytes, the disk alone
//! 1,100 to 6,000 syncs a second in the same runs, with builds beside it): 670 to 5,200 appends a second for one producer with one record a call, 150,000
//! with a thousand; 30,000 to 59,000 for 64 producers that share commits; a million records a second read and checked. `views`
//! took 7,000 to 16,000 single appends a second without syncs of their own, three to ten times as many as a synced stream.

mod audit;
mod books;
mod copier;
mod file;
mod ledger;
mod reader;
mod seal;
mod watcher;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::board::{Bell, Board};
use crate::consumer::{Backend, Member};
use crate::contract::{
    Batch, Commit, Consumer, Entry, Journal, Partition, Position, Report, Retention, Subscription, Swept, check, limit,
};
use crate::group::{Standing, Step};
use crate::{Error, Result, Stream, Topology, metering};
use service::Clock;
use service::mark::Mark;

use books::{Head, Slots};
use reader::Readers;
use writer::{Job, Outcome, Work, Writer};

/// How to open an embedded journal.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file; created with its directories when it is not there.
    pub path: PathBuf,
    /// The partitions; fixed when the journal is created.
    pub topology: Topology,
    /// Where times come from.
    pub clock: Clock,
    /// How long a process that died keeps its partitions.
    pub lease: Duration,
    /// How long a member may work without calling `next` or committing before its partitions go to others.
    pub max_poll: Duration,
    /// How many calls may wait for the writer; further ones wait before they are queued.
    pub queue_calls: usize,
    /// How many bytes of keys and values may wait for the writer.
    pub queue_bytes: usize,
    /// How many reads may run at the same time.
    pub readers: u32,
    /// How long to wait for other processes that write.
    pub busy: Duration,
    /// The write-ahead log begins anew when it has so many pages of 4 KiB; four times as many that are not copied yet are too many, and
    /// appends wait.
    pub log_pages: u32,
}

impl Options {
    /// The defaults: lease 3 s, poll limit 60 s, 1,024 calls and 128 MiB waiting, 4 readers, 10 s of patience, a log of 4,000 pages.
    pub fn new(path: impl Into<PathBuf>, topology: Topology, clock: Clock) -> Self {
        Self {
            path: path.into(),
            topology,
            clock,
            lease: Duration::from_secs(3),
            max_poll: Duration::from_secs(60),
            queue_calls: 1_024,
            queue_bytes: 128 << 20,
            readers: 4,
            busy: Duration::from_secs(10),
            log_pages: 4_000,
        }
    }
}

/// A journal in a SQLite file.
pub struct Embedded {
    me: Weak<Self>,
    options: Options,
    identity: String,
    slots: Slots,
    board: Arc<Board>,
    readers: Arc<Readers>,
    queue: mpsc::Sender<Job>,
    queue_kib: Arc<Semaphore>,
}

/// Bytes in the queue are counted in KiB, because a semaphore counts to 2³² only.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

impl Embedded {
    /// Opens the journal, creating it when the file is not there.
    ///
    /// # Errors
    /// `NotAJournal`, `Topology`, `SqliteTooOld`, `Corrupt`, `Behind`, `Busy`, `Storage`.
    #[expect(clippy::disallowed_methods, reason = "awaited at once, so its panic is seen here")]
    pub async fn open(options: Options) -> Result<Arc<Self>> {
        let (path, topology, busy) = (options.path.clone(), options.topology.clone(), options.busy);
        let opened = tokio::task::spawn_blocking(move || {
            let (conn, slots, identity) = file::prepare(&path, &topology, busy)?;
            let mark = Mark::open(&path, &identity).map_err(|e| file::of_mark(&path, &e))?;
            Ok((conn, slots, identity, watcher::Watcher::connect(&path)?, mark))
        });
        let (conn, slots, identity, watcher, mark) = opened.await.map_err(|e| Error::Storage(e.to_string()))??;
        let board = Arc::new(Board::new(slots.all()));
        let (queue, jobs) = mpsc::channel(options.queue_calls.max(1));
        let (log, copier) = copier::new(&options);
        let writer = Writer {
            conn,
            log,
            mark,
            slots: slots.clone(),
            topology: options.topology.clone(),
            clock: options.clock.clone(),
            lease_ms: i64::try_from(options.lease.as_millis()).unwrap_or(i64::MAX),
            board: Arc::clone(&board),
            poisoned: None,
            full_sync: None,
        };
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(work).map(drop).map_err(|e| Error::Storage(e.to_string()))
        };
        let bell = Bell::of(&board);
        start(
            "journal-writer",
            Box::new(move || {
                writer.run(jobs);
                drop(bell);
            }),
        )?;
        let bell = Bell::of(&board);
        start(
            "journal-copier",
            Box::new(move || {
                copier.run();
                drop(bell);
            }),
        )?;
        let (watched, keeper, settings) = (Arc::clone(&board), queue.downgrade(), options.clone());
        let bell = Bell::of(&board);
        start(
            "journal-watcher",
            Box::new(move || {
                watcher.run(&watched, &keeper, &settings);
                drop(bell);
            }),
        )?;
        let queue_kib = Arc::new(Semaphore::new(kib(options.queue_bytes.max(limit::CALL_BYTES)) as usize));
        let readers = Readers::new(options.path.clone(), options.busy, options.readers);
        Ok(Arc::new_cyclic(|me| Self { me: me.clone(), options, identity, slots, board, readers, queue, queue_kib }))
    }

    /// Queues work and waits until it is done.
    async fn done(&self, work: Work) -> Result<Outcome> {
        let size = if let Work::Commit(commit) = &work { kib(commit.size()) } else { 0 };
        let bytes = Arc::clone(&self.queue_kib).acquire_many_owned(size).await.map_err(|_| Error::Closed)?;
        let (reply, answer) = oneshot::channel();
        let job = Job { work, reply: Some(reply), bytes: Some(bytes) };
        self.queue.send(job).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    async fn head(&self, stream: Stream, partition: u32) -> Result<Head> {
        let slot = self.slots.slot((stream, partition))?;
        self.readers.run(move |conn| Head::load(conn, slot)).await
    }

    async fn count(&self, work: Work) -> Result<u64> {
        match self.done(work).await? {
            Outcome::Count(count) => {
                metering::swept(count);
                Ok(count)
            }
            other => Err(Error::Storage(format!("the writer answered {other:?}"))),
        }
    }

    async fn compact_slot(&self, slot: i64, tombstones_before_ms: i64) -> Result<u64> {
        let mut scan = reader::Scan::new(slot, tombstones_before_ms);
        let mut swept = 0;
        loop {
            let (back, superseded, more) = self
                .readers
                .run(move |conn| {
                    let (superseded, more) = scan.step(conn)?;
                    Ok((scan, superseded, more))
                })
                .await?;
            scan = back;
            if !superseded.is_empty() {
                swept += self.count(Work::Drop { slot, offsets: superseded }).await?;
            }
            if !more {
                break;
            }
        }
        // Only now: a tombstone that went before what it hides would let it rise again.
        for offsets in scan.into_tombstones().chunks(ledger::SWEEP_ROWS as usize) {
            swept += self.count(Work::Drop { slot, offsets: offsets.to_vec() }).await?;
        }
        Ok(swept)
    }
}

#[async_trait]
impl Journal for Embedded {
    fn partitions(&self, stream: Stream) -> u32 {
        self.options.topology.partitions(stream)
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    async fn append(&self, entries: Vec<Entry>) -> Result<Vec<Position>> {
        self.append_and_commit(Commit::of(entries)).await
    }

    async fn append_and_commit(&self, commit: Commit) -> Result<Vec<Position>> {
        commit.check(self)?;
        if let Some(fence) = commit.fence {
            self.board.seen(&commit.group, fence.member, self.options.clock.monotonic());
        }
        match self.done(Work::Commit(commit)).await? {
            Outcome::Positions(positions) => Ok(positions),
            other => Err(Error::Storage(format!("the writer answered {other:?}"))),
        }
    }

    async fn state(&self, group: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>> {
        let (group, prefix) = (group.to_owned(), prefix.to_vec());
        self.readers.run(move |conn| books::state(conn, &group, &prefix)).await
    }

    async fn read(
        &self,
        stream: Stream,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Batch> {
        let slot = self.slots.slot((stream, partition))?;
        self.readers.run(move |conn| reader::batch(conn, slot, from, max_records, max_bytes)).await
    }

    async fn end(&self, stream: Stream, partition: u32) -> Result<u64> {
        Ok(self.head(stream, partition).await?.end)
    }

    async fn ends(&self, partitions: &[Partition]) -> Result<Vec<u64>> {
        let slots = partitions.iter().map(|partition| self.slots.slot(*partition)).collect::<Result<Vec<_>>>()?;
        let ends = move |conn: &_| slots.iter().map(|slot| Ok(Head::load(conn, *slot)?.end)).collect();
        self.readers.run(ends).await
    }

    async fn earliest(&self, stream: Stream, partition: u32) -> Result<u64> {
        Ok(self.head(stream, partition).await?.earliest)
    }

    async fn wait_past(&self, stream: Stream, partition: u32, offset: u64) -> Result<()> {
        check(self, stream, partition)?;
        // The board may be older than the file when nobody watched. From here on somebody does: the watcher's next look, some
        // milliseconds from now, finds what other processes wrote. To look here would cost a reader for each wait.
        let mut ticks = self.board.ticks();
        while self.board.end((stream, partition)) <= offset {
            if self.board.is_closed() {
                return Err(Error::Closed);
            }
            ticks.changed().await.map_err(|_| Error::Closed)?;
        }
        Ok(())
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>> {
        let (group, slots) = (group.to_owned(), self.slots.clone());
        self.readers.run(move |conn| books::positions(conn, &group, &slots)).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>> {
        Member::join(self.me.upgrade().ok_or(Error::Closed)?, subscription).await
    }

    async fn retain(&self, policies: &[Retention]) -> Result<Swept> {
        let mut swept = Swept::default();
        for policy in policies {
            for partition in 0..self.partitions(policy.stream) {
                let slot = self.slots.slot((policy.stream, partition))?;
                loop {
                    let gone = self.count(Work::Trim { slot, policy: *policy }).await?;
                    swept.records += gone;
                    if gone < u64::from(ledger::SWEEP_ROWS) {
                        break;
                    }
                }
            }
        }
        Ok(swept)
    }

    async fn compact(&self, tombstone_ms: i64) -> Result<Swept> {
        let before_ms = self.options.clock.now_ms().saturating_sub(tombstone_ms);
        let mut swept = Swept::default();
        for partition in self.slots.all().iter().filter(|(stream, _)| stream.is_compacted()) {
            swept.records += self.compact_slot(self.slots.slot(*partition)?, before_ms).await?;
        }
        Ok(swept)
    }

    async fn verify(&self) -> Result<Report> {
        let mut report = Report::default();
        for partition in self.slots.all() {
            let slot = self.slots.slot(*partition)?;
            let part = self.readers.run(move |conn| audit::partition(conn, slot)).await?;
            report.records += part.records;
            report.bytes += part.bytes;
            report.damaged.extend(part.damaged);
            report.faults.extend(part.faults);
        }
        let slots = self.slots.clone();
        report.faults.extend(self.readers.run(move |conn| audit::structure(conn, &slots)).await?);
        Ok(report)
    }

    async fn close(&self) -> Result<()> {
        match self.done(Work::Close).await {
            Ok(_) | Err(Error::Closed) => {}
            Err(error) => return Err(error),
        }
        self.board.ended().await;
        self.readers.close().await;
        Ok(())
    }
}

#[async_trait]
impl Backend for Embedded {
    async fn step(&self, group: &str, step: Step) -> Result<Standing> {
        let leaving = if let Step::Leave { member } = &step { Some(*member) } else { None };
        match self.done(Work::Step { group: group.to_owned(), step }).await? {
            Outcome::Standing(standing) => {
                self.board.stepped(group, leaving, &standing, self.options.clock.monotonic());
                Ok(standing)
            }
            other => Err(Error::Storage(format!("the writer answered {other:?}"))),
        }
    }

    fn leave(&self, group: &str, member: u64) {
        self.board.forget(group, member);
        let work = Work::Step { group: group.to_owned(), step: Step::Leave { member } };
        // When the queue is full or closed, the lease runs out by itself.
        let _ = self.queue.try_send(Job { work, reply: None, bytes: None });
    }

    fn known_generation(&self, group: &str) -> u64 {
        self.board.generation(group)
    }

    fn may_read(&self, _: u64, partition: Partition, next: u64) -> bool {
        self.board.end(partition) != next
    }

    fn ticks(&self) -> watch::Receiver<u64> {
        self.board.ticks()
    }

    fn clock(&self) -> &Clock {
        &self.options.clock
    }

    fn sync_every(&self) -> Duration {
        self.options.lease / 3
    }
}

impl Drop for Embedded {
    /// The writer ends when the queue is closed and empty, the watcher at its next look.
    fn drop(&mut self) {
        self.board.close();
    }
}
