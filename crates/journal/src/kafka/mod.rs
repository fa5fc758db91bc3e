//! The journal of many hosts: Apache Kafka.
//!
//! Each stream is a topic, each partition one of Kafka's. What Kafka has no word for — who holds what, positions together with state, and
//! that a member which was thought dead can commit nothing more — is said in one more topic, the *books* (`clerk.rs`), and counts
//! at the place where it lies there. `docs/adr/0014` says why neither Kafka's own groups nor its transactions do that.
//!
//! - Invariant: who is answered by `append` has the acknowledgement of all replicas in sync, from an idempotent producer.
//! - Invariant: positions and state are one record of the books; the entries of the same call are acknowledged before it is written.
//! - Invariant: of two members only the one that holds a partition *at that place in the books* moves its position or state.
//! - Invariant: what waits to be written is bounded; who comes when it is full waits.
//!
//! Not promised: [whole calls](crate::Promises::whole_calls), and [compaction on demand](crate::Promises::compacts_at_once): brokers compact
//! by themselves. What is in a topic is checked by the brokers' own checksums (`check.crcs`).
//!
//! Start reading at `ledger.rs` (the fold of the books), then `clerk.rs` (who reads them), `cursor.rs` and `outbox.rs`.

mod clerk;
mod client;
pub mod config;
mod cursor;
mod ledger;
mod members;
mod outbox;
mod retention;
pub mod topics;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::board::Board;
use crate::consumer::{Backend, Member};
use crate::contract::{
    Batch, Commit, Consumer, Entry, Journal, Partition, Position, Promises, Report, Retention, Subscription, Swept,
    check,
};
use crate::{Error, Result, Stream, Topology, metering};
use service::Clock;

use clerk::{Clerk, Terms};
use client::{Inquiries, Net};
pub use client::{Login, Security, Tls};
use cursor::{Cursors, Most, STRAY};
use ledger::{Club, Outcome};
use outbox::{Message, Outbox};
use wire::{Pairs, Said};

/// How to open a journal over Kafka.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where some of the brokers are: `host:port,host:port`.
    pub brokers: String,
    /// What the names of all topics begin with.
    pub prefix: String,
    /// The partitions; the topics must have as many.
    pub topology: Topology,
    /// Where times come from.
    pub clock: Clock,
    /// How long after its last sign of life a process loses its partitions.
    pub lease: Duration,
    /// How long a member may work without calling `next` or committing before its partitions go to others.
    pub max_poll: Duration,
    /// How connections are made.
    pub security: Security,
    /// How long the brokers may take to answer or to acknowledge; longer than it takes them to find a new leader.
    pub timeout: Duration,
    /// How many bytes of keys and values may wait to be acknowledged; who comes then waits.
    pub queue_bytes: usize,
}

impl Options {
    /// The defaults: prefix `tidegate.`, lease 10 s, poll limit 60 s, plain text, 30 s for an answer, 128 MiB waiting.
    pub fn new(brokers: impl Into<String>, topology: Topology, clock: Clock) -> Self {
        Self {
            brokers: brokers.into(),
            prefix: "tidegate.".to_owned(),
            topology,
            clock,
            lease: Duration::from_secs(10),
            max_poll: Duration::from_secs(60),
            security: Security::default(),
            timeout: Duration::from_secs(30),
            queue_bytes: 128 << 20,
        }
    }

    pub(crate) fn net(&self) -> Net {
        Net {
            brokers: self.brokers.clone(),
            prefix: self.prefix.clone(),
            security: self.security.clone(),
            timeout: self.timeout,
        }
    }
}

/// A journal over Kafka.
pub struct Kafka {
    me: Weak<Self>,
    options: Options,
    net: Net,
    identity: OnceLock<String>,
    topics: BTreeMap<Stream, Arc<str>>,
    board: Arc<Board>,
    inquiries: Inquiries,
    outbox: Arc<Outbox>,
    cursors: Arc<Cursors>,
    clerk: Arc<Clerk>,
}

impl Kafka {
    /// Opens the journal. The topics must be there: [`topics::create`] makes them.
    ///
    /// # Errors
    /// `Unreachable`, `Topics`, `Storage`.
    pub async fn open(options: Options) -> Result<Arc<Self>> {
        let net = options.net();
        let inquiries = Inquiries::new(&net)?;
        let found = topics::found(&net, &inquiries).await?;
        let wrong = topics::hindrances(&found, &options.prefix, &options.topology);
        if !wrong.is_empty() {
            return Err(Error::Topics(wrong));
        }
        let all: Vec<_> = options.topology.all().collect();
        let board = Arc::new(Board::new(&all));
        let outbox = Arc::new(Outbox::new(net.clone(), options.queue_bytes)?);
        let clock = options.clock.clone();
        let cursors = Cursors::new(net.clone(), clock.clone(), Arc::clone(&board), inquiries.clone());
        let terms = Terms {
            topology: options.topology.clone(),
            clock,
            lease: options.lease,
            max_poll: options.max_poll,
            timeout: options.timeout,
        };
        let books = topics::books(&found);
        let cursors = Arc::new(cursors);
        let clerk = Clerk::open(&net, books, terms, &inquiries, &outbox, &board, &cursors)?;
        let topics = Stream::ALL.map(|stream| (stream, Arc::from(net.topic(stream.name())))).into();
        let journal = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            options,
            net,
            identity: OnceLock::new(),
            topics,
            board,
            inquiries,
            outbox,
            cursors,
            clerk,
        });
        // Last, so that a journal that cannot be opened is let go of like any other.
        let identity = identity(&journal.clerk).await?;
        journal.identity.get_or_init(|| identity);
        Ok(journal)
    }

    /// The first record of a group's part of the books that is still kept. Grows when a snapshot takes the place of what came before.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn books_begin(&self, group: &str) -> Result<u64> {
        self.inquiries.beginning((self.net.topic(clerk::BOOKS), self.clerk.partition_of(group))).await
    }

    fn open_still(&self) -> Result<()> {
        if self.board.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    fn asked(&self, (stream, partition): Partition) -> client::Asked {
        (self.net.topic(stream.name()), partition)
    }

    /// Writes entries and answers with their positions.
    async fn write(&self, entries: Vec<Entry>) -> Result<Vec<Position>> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let at_ms = self.options.clock.now_ms();
        let begun = self.options.clock.monotonic();
        let mut places = Vec::with_capacity(entries.len());
        let mut messages = Vec::with_capacity(entries.len());
        for Entry { stream, key, value } in entries {
            let partition = self.partition_of(stream, &key);
            places.push((stream, partition));
            let tombstone = stream.is_compacted() && value.is_empty();
            let topic = Arc::clone(&self.topics[&stream]);
            messages.push(Message { topic, partition, key: Some(key), value: (!tombstone).then_some(value), at_ms });
        }
        let count = messages.len() as u64;
        let offsets = self.outbox.send(messages).await?;
        let of = |((stream, partition), offset): (Partition, u64)| Position::new(stream, partition, offset);
        let positions: Vec<_> = places.into_iter().zip(offsets).map(of).collect();
        let mut ends = BTreeMap::<Partition, u64>::new();
        let mut counts = BTreeMap::<Stream, u64>::new();
        for at in &positions {
            let end = ends.entry(at.partition()).or_default();
            *end = (*end).max(at.offset + 1);
            *counts.entry(at.stream).or_default() += 1;
        }
        self.board.publish(&ends.into_iter().collect::<Vec<_>>(), &[]);
        counts.into_iter().for_each(|(stream, records)| metering::appended(stream, records));
        metering::committed(self.options.clock.monotonic().saturating_sub(begun), count, 1, true);
        Ok(positions)
    }

    /// Refuses a position after the end. What is known here is enough for those who have read so far.
    async fn within(&self, positions: &[Position]) -> Result<()> {
        let doubtful: Vec<_> = positions.iter().filter(|at| at.offset > self.board.end(at.partition())).collect();
        let partitions: Vec<_> = doubtful.iter().map(|at| at.partition()).collect();
        for (at, end) in doubtful.into_iter().zip(self.ends(&partitions).await?) {
            let Position { stream, partition, offset } = *at;
            if offset > end {
                return Err(Error::Beyond { stream, partition, from: offset, end });
            }
        }
        Ok(())
    }

    async fn say(&self, group: &str, said: &Said, pairs: &Pairs) -> Result<Outcome> {
        self.clerk.say(self.clerk.partition_of(group), said, pairs).await
    }

    /// The earliest position in each partition that a group committed, over all groups.
    async fn unread(&self) -> Result<BTreeMap<Partition, u64>> {
        let mut least = BTreeMap::<Partition, u64>::new();
        for books in 0..self.clerk.partitions() {
            let each = |ledger: &ledger::Ledger| {
                let positions = ledger.clubs.values().flat_map(|club| &club.positions);
                positions.map(|(partition, offset)| (*partition, *offset)).collect::<Vec<_>>()
            };
            for (partition, offset) in self.clerk.fresh(books, each).await? {
                let known = least.entry(partition).or_insert(offset);
                *known = (*known).min(offset);
            }
        }
        Ok(least)
    }
}

/// The identity that the books give, made by whoever opens the journal first.
async fn identity(clerk: &Clerk) -> Result<String> {
    let known = |ledger: &ledger::Ledger| ledger.identity.clone();
    if let Some(identity) = clerk.fresh(0, known).await? {
        return Ok(identity);
    }
    let made = format!("kafka-{:016x}{:016x}", clerk::session(), clerk::session());
    clerk.say(0, &Said::Founded { identity: made }, &Pairs::new()).await?;
    clerk.fresh(0, known).await?.ok_or_else(|| Error::Storage("the books give the journal no identity".to_owned()))
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.board.close();
    }
}

#[async_trait]
impl Journal for Kafka {
    fn partitions(&self, stream: Stream) -> u32 {
        self.options.topology.partitions(stream)
    }

    fn promises(&self) -> Promises {
        Promises { whole_calls: false, compacts_at_once: false }
    }

    fn identity(&self) -> String {
        self.identity.get().cloned().unwrap_or_default()
    }

    async fn append(&self, entries: Vec<Entry>) -> Result<Vec<Position>> {
        self.append_and_commit(Commit::of(entries)).await
    }

    async fn append_and_commit(&self, commit: Commit) -> Result<Vec<Position>> {
        self.open_still()?;
        commit.check(self)?;
        if let Some(fence) = commit.fence {
            self.board.seen(&commit.group, fence.member, self.options.clock.monotonic());
        }
        self.clerk.admit(&commit).await?;
        self.within(&commit.positions).await?;
        let written = self.write(commit.entries).await?;
        if commit.positions.is_empty() && commit.state.is_empty() {
            return Ok(written);
        }
        let member = commit.fence.map(|fence| fence.member);
        let said = Said::Commit { group: commit.group.clone(), positions: commit.positions, member };
        match self.say(&commit.group, &said, &commit.state).await? {
            Outcome::Committed(outcome) => outcome.map(|()| written),
            other => Err(Error::Storage(format!("the books answered {other:?}"))),
        }
    }

    async fn state(&self, group: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>> {
        self.open_still()?;
        let from = Bytes::copy_from_slice(prefix);
        let look = |club: Option<&Club>| {
            let Some(club) = club else { return Vec::new() };
            let found = club.state.range(from..).take_while(|(key, _)| key.starts_with(prefix));
            found.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        self.clerk.fresh_club(group, look).await
    }

    async fn read(
        &self,
        stream: Stream,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Batch> {
        self.open_still()?;
        check(self, stream, partition)?;
        let at = Position::new(stream, partition, from);
        let most = Most { records: max_records.max(1), bytes: max_bytes };
        let batch = self.cursors.read_on(STRAY, at, most).await?;
        if !batch.records.is_empty() {
            metering::read(stream, batch.records.len());
            return Ok(batch);
        }
        // Nothing was told; whether there is nothing, only a broker knows.
        self.look(&[(stream, partition)]).await?;
        let end = self.board.end((stream, partition));
        if from > end {
            return Err(Error::Beyond { stream, partition, from, end });
        }
        self.cursors.read_on(STRAY, at, most).await
    }

    async fn end(&self, stream: Stream, partition: u32) -> Result<u64> {
        Ok(self.ends(&[(stream, partition)]).await?.first().copied().unwrap_or_default())
    }

    async fn ends(&self, partitions: &[Partition]) -> Result<Vec<u64>> {
        self.open_still()?;
        partitions.iter().try_for_each(|(stream, partition)| check(self, *stream, *partition))?;
        let ends = self.inquiries.ends(partitions.iter().map(|partition| self.asked(*partition)).collect()).await?;
        partitions.iter().zip(&ends).for_each(|(partition, end)| self.board.learn(*partition, *end));
        Ok(ends)
    }

    async fn earliest(&self, stream: Stream, partition: u32) -> Result<u64> {
        self.open_still()?;
        check(self, stream, partition)?;
        self.inquiries.beginning(self.asked((stream, partition))).await
    }

    async fn wait_past(&self, stream: Stream, partition: u32, offset: u64) -> Result<()> {
        check(self, stream, partition)?;
        let mut ticks = self.board.ticks();
        loop {
            ticks.borrow_and_update();
            self.open_still()?;
            let end = self.board.end((stream, partition));
            if end > offset {
                return Ok(());
            }
            // A cursor at the end is told of the next record; mostly it is the one that reads it afterwards, too.
            let opened = self.cursors.open(STRAY, (stream, partition), end.min(offset)).await;
            let look = match &opened {
                Ok(cursor) => cursor.is_ready() && cursor.has_more().await,
                Err(Error::Truncated { .. } | Error::Beyond { .. }) => true,
                Err(_) => false,
            };
            if self.board.end((stream, partition)) > offset {
                return Ok(());
            }
            if look && self.look(&[(stream, partition)]).await.is_ok() && self.board.end((stream, partition)) > offset {
                return Ok(());
            }
            match opened {
                Ok(_) if !look => ticks.changed().await.map_err(|_| Error::Closed)?,
                // What is wrong is said to whoever reads; here it is only waited for. Not for a tick: a cursor that broke, or holds what a
                // broker cannot be asked about, gives none any more, and in a quiet process nobody else does.
                _ => self.options.clock.sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>> {
        self.open_still()?;
        let look = |club: Option<&Club>| {
            let positions = club.into_iter().flat_map(|club| &club.positions);
            positions.map(|((stream, partition), offset)| Position::new(*stream, *partition, *offset)).collect()
        };
        self.clerk.fresh_club(group, look).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>> {
        self.open_still()?;
        Member::join(self.me.upgrade().ok_or(Error::Closed)?, subscription).await
    }

    async fn retain(&self, policies: &[Retention]) -> Result<Swept> {
        self.open_still()?;
        retention::retain(self, policies).await
    }

    async fn compact(&self, _: i64) -> Result<Swept> {
        self.open_still()?;
        Ok(Swept::default())
    }

    async fn verify(&self) -> Result<Report> {
        self.open_still()?;
        retention::verify(self).await
    }

    async fn close(&self) -> Result<()> {
        let written = self.outbox.close().await;
        self.board.close();
        self.board.ended().await;
        self.cursors.close();
        written
    }
}
