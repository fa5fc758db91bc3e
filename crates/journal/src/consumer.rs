//! A member of a group, the same for all implementations of this crate: joins, follows the deal, takes turns between its partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::contract::{
    Batch, Commit, Consumer, Delivery, Generation, Journal, Partition, Position, Start, Subscription,
};
use crate::group::{Standing, Step};
use crate::{Error, Result};
use service::Clock;

/// What an implementation gives its consumers besides the journal itself.
#[async_trait]
pub(crate) trait Backend: Journal {
    /// Takes a step in a group.
    async fn step(&self, group: &str, step: Step) -> Result<Standing>;

    /// Leaves without waiting for an answer: for `Drop`.
    fn leave(&self, group: &str, member: u64);

    /// The latest generation of the group that is known here. May be behind; then a tick follows.
    fn known_generation(&self, group: &str) -> u64;

    /// Whether a read from `next` may find something, or an error, as far as is known here. May be behind; then a tick follows.
    fn may_read(&self, reader: u64, partition: Partition, next: u64) -> bool;

    /// As [`Journal::read`], for one who goes on from where the last read ended. It may find nothing where an end is not known yet.
    async fn read_on(&self, reader: u64, from: Position, max_records: usize, max_bytes: usize) -> Result<Batch> {
        let _ = reader;
        self.read(from.stream, from.partition, from.offset, max_records, max_bytes).await
    }

    /// A reader begins or goes on here: what follows may be fetched before it is asked for.
    async fn prepare(&self, reader: u64, at: Position) {
        let _ = (reader, at);
    }

    /// A reader has no more to do with a partition.
    fn let_go(&self, reader: u64, partition: Partition) {
        let _ = (reader, partition);
    }

    /// Finds the ends of partitions out, where they come to be known by and by only: for those who do not wait.
    async fn look(&self, partitions: &[Partition]) -> Result<()> {
        let _ = partitions;
        Ok(())
    }

    /// Changes whenever an end or a generation may have changed.
    fn ticks(&self) -> watch::Receiver<u64>;

    /// The clock of the journal.
    fn clock(&self) -> &Clock;

    /// How often a member shows itself at least, well below every lease.
    fn sync_every(&self) -> Duration;
}

/// Tells the members of this process apart, whatever their groups.
static READERS: AtomicU64 = AtomicU64::new(1);

/// The consumer of all implementations.
pub(crate) struct Member<B: Backend> {
    backend: Arc<B>,
    subscription: Subscription,
    reader: u64,
    member: u64,
    generation: u64,
    /// What the owner was told it holds, with the next offset to read.
    held: BTreeMap<Partition, u64>,
    /// What the owner was told is revoked, or was never told of, and is released at the next step.
    releasing: Vec<Partition>,
    /// Changes that the owner was not told yet, the next one last.
    untold: Vec<Delivery>,
    ticks: watch::Receiver<u64>,
    synced_at: Duration,
    /// The partition that had the last turn.
    turn: Option<Partition>,
    replaced: bool,
}

impl<B: Backend> Member<B> {
    /// Joins the group.
    pub(crate) async fn join(backend: Arc<B>, subscription: Subscription) -> Result<Box<dyn Consumer>> {
        if let Start::At(positions) = &subscription.start {
            for position in positions {
                crate::contract::check(&*backend, position.stream, position.partition)?;
            }
        }
        let ticks = backend.ticks();
        let mut member = Self {
            backend,
            subscription,
            reader: READERS.fetch_add(1, Ordering::Relaxed),
            member: 0,
            generation: 0,
            held: BTreeMap::new(),
            releasing: Vec::new(),
            untold: Vec::new(),
            ticks,
            synced_at: Duration::ZERO,
            turn: None,
            replaced: false,
        };
        member.come_in().await?;
        Ok(Box::new(member))
    }

    async fn come_in(&mut self) -> Result<()> {
        let step = Step::Join { name: self.subscription.member.clone(), streams: self.subscription.streams.clone() };
        self.take(step).await
    }

    async fn take(&mut self, step: Step) -> Result<()> {
        let synced_at = self.backend.clock().monotonic();
        let standing = self.backend.step(&self.subscription.group, step).await?;
        self.synced_at = synced_at;
        match standing {
            Standing::In { member, generation, held, leaving } => {
                self.member = member;
                self.generation = generation;
                self.untold = self.changes(&held, &leaving);
                // Given to us and wanted back before the owner was told: there is nothing to finish, and nobody else will
                // release it.
                let unheard =
                    |partition: &Partition| !self.held.contains_key(partition) && !self.releasing.contains(partition);
                let unheard: Vec<_> = leaving.into_iter().filter(unheard).collect();
                self.releasing.extend(unheard);
            }
            Standing::Out => {
                self.member = 0;
                self.untold = self.changes(&[], &[]);
            }
            Standing::Replaced => self.replaced = true,
        }
        Ok(())
    }

    /// What the owner must be told to get from what it knows to where it stands.
    fn changes(&self, held: &[Partition], leaving: &[Partition]) -> Vec<Delivery> {
        let revoked: Vec<_> = self.held.keys().filter(|known| !held.contains(known)).copied().collect();
        let assigned: Vec<_> = held.iter().filter(|now| !self.held.contains_key(now)).copied().collect();
        debug_assert!(leaving.iter().all(|partition| !held.contains(partition)));
        let mut untold = Vec::new();
        if !assigned.is_empty() {
            untold.push(Delivery::Assigned(assigned));
        }
        if !revoked.is_empty() {
            untold.push(Delivery::Revoked(revoked));
        }
        untold
    }

    async fn follow_the_group(&mut self) -> Result<()> {
        let name = || self.subscription.member.clone();
        if self.member == 0 {
            return self.come_in().await;
        }
        if !self.releasing.is_empty() {
            let partitions = self.releasing.clone();
            let step = Step::Release { member: self.member, name: name(), partitions: partitions.clone() };
            self.take(step).await?;
            self.releasing.retain(|partition| !partitions.contains(partition));
            return Ok(());
        }
        let moved = self.backend.known_generation(&self.subscription.group) > self.generation;
        let due = self.backend.clock().monotonic().saturating_sub(self.synced_at) >= self.backend.sync_every();
        if moved || due {
            self.take(Step::Sync { member: self.member, name: name() }).await?;
        }
        Ok(())
    }

    /// Tells the owner of one change, if there is one.
    async fn tell(&mut self) -> Result<Option<Delivery>> {
        let Some(delivery) = self.untold.last().cloned() else { return Ok(None) };
        match &delivery {
            Delivery::Assigned(partitions) => {
                let mut starts = Vec::with_capacity(partitions.len());
                let committed = self.backend.committed(&self.subscription.group).await?;
                for partition in partitions {
                    let at = self.start_of(*partition, &committed).await?;
                    self.backend.prepare(self.reader, Position::new(partition.0, partition.1, at)).await;
                    starts.push((*partition, at));
                }
                self.held.extend(starts);
            }
            Delivery::Revoked(partitions) => {
                self.held.retain(|partition, _| !partitions.contains(partition));
                partitions.iter().for_each(|partition| self.backend.let_go(self.reader, *partition));
                if self.member != 0 {
                    self.releasing.extend(partitions);
                }
            }
            Delivery::Batch(_) | Delivery::Idle => {}
        }
        self.untold.pop();
        Ok(Some(delivery))
    }

    async fn start_of(&self, (stream, partition): Partition, committed: &[Position]) -> Result<u64> {
        let of = |positions: &[Position]| {
            positions.iter().find(|known| known.partition() == (stream, partition)).map(|known| known.offset)
        };
        let named = match &self.subscription.start {
            Start::Committed => of(committed),
            Start::Earliest => None,
            Start::Latest => Some(self.backend.end(stream, partition).await?),
            Start::At(positions) => of(positions),
        };
        match named {
            Some(offset) => Ok(offset),
            None => self.backend.earliest(stream, partition).await,
        }
    }

    /// The next batch of the partition whose turn it is.
    async fn read_on(&mut self) -> Result<Option<Batch>> {
        let behind = |(partition, next): (&Partition, &u64)| {
            self.backend.may_read(self.reader, *partition, *next).then_some((*partition, *next))
        };
        let waiting: Vec<_> = self.held.iter().filter_map(behind).collect();
        let first = waiting.iter().position(|(partition, _)| Some(*partition) > self.turn).unwrap_or(0);
        for (partition, next) in waiting[first..].iter().chain(&waiting[..first]) {
            let (max_records, max_bytes) = (self.subscription.max_records, self.subscription.max_bytes);
            let from = Position::new(partition.0, partition.1, *next);
            let batch = self.backend.read_on(self.reader, from, max_records, max_bytes).await?;
            self.held.insert(*partition, batch.next);
            if !batch.records.is_empty() {
                self.turn = Some(*partition);
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn fenced(&self) -> Error {
        let what = format!("its membership: a newer member is called {:?}", self.subscription.member);
        Error::Fenced { group: self.subscription.group.clone(), member: self.member, what }
    }
}

#[async_trait]
impl<B: Backend> Consumer for Member<B> {
    async fn next(&mut self) -> Result<Delivery> {
        let clock = self.backend.clock().clone();
        let idle = clock.sleep(self.subscription.poll);
        tokio::pin!(idle);
        let mut looked = false;
        loop {
            if self.replaced {
                return Err(self.fenced());
            }
            // Seen before looking, so that what happens while we look wakes us again.
            self.ticks.borrow_and_update();
            if self.untold.is_empty() {
                self.follow_the_group().await?;
            }
            if let Some(change) = self.tell().await? {
                return Ok(change);
            }
            if self.member == 0 || self.replaced || !self.releasing.is_empty() {
                continue;
            }
            if let Some(batch) = self.read_on().await? {
                return Ok(Delivery::Batch(batch));
            }
            if self.subscription.poll.is_zero() {
                if looked {
                    return Ok(Delivery::Idle);
                }
                // Who does not wait gets what is there now, also where news of it would have come a moment later.
                looked = true;
                self.backend.look(&self.held.keys().copied().collect::<Vec<_>>()).await?;
                continue;
            }
            tokio::select! {
                biased;
                changed = self.ticks.changed() => changed.map_err(|_| Error::Closed)?,
                () = &mut idle => return Ok(Delivery::Idle),
            }
        }
    }

    async fn seek(&mut self, position: Position) -> Result<()> {
        crate::contract::check(&*self.backend, position.stream, position.partition)?;
        if let Some(next) = self.held.get_mut(&position.partition()) {
            *next = position.offset;
            self.backend.prepare(self.reader, position).await;
        }
        Ok(())
    }

    async fn commit(&mut self, positions: Vec<Position>) -> Result<()> {
        let (group, fence) = (self.subscription.group.clone(), Some(self.generation()));
        self.backend.append_and_commit(Commit { group, positions, fence, ..Commit::default() }).await.map(|_| ())
    }

    fn generation(&self) -> Generation {
        Generation { member: self.member, number: self.generation }
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        let member = std::mem::take(&mut self.member);
        self.backend.step(&self.subscription.group, Step::Leave { member }).await.map(|_| ())
    }
}

impl<B: Backend> Drop for Member<B> {
    fn drop(&mut self) {
        self.held.keys().for_each(|partition| self.backend.let_go(self.reader, *partition));
        if self.member != 0 && !self.replaced {
            self.backend.leave(&self.subscription.group, self.member);
        }
    }
}
