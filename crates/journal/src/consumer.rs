//! A member of a group, the same for both implementations of this crate: joins, follows the deal, takes turns between its partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
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

    /// The latest end of a partition that is known here. May be behind; then a tick follows.
    fn known_end(&self, partition: Partition) -> u64;

    /// Changes whenever an end or a generation may have changed.
    fn ticks(&self) -> watch::Receiver<u64>;

    /// The clock of the journal.
    fn clock(&self) -> &Clock;

    /// How often a member shows itself at least, well below every lease.
    fn sync_every(&self) -> Duration;
}

/// The consumer of both implementations.
pub(crate) struct Member<B: Backend> {
    backend: Arc<B>,
    subscription: Subscription,
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
                    starts.push((*partition, self.start_of(*partition, &committed).await?));
                }
                self.held.extend(starts);
            }
            Delivery::Revoked(partitions) => {
                self.held.retain(|partition, _| !partitions.contains(partition));
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
            (self.backend.known_end(*partition) != *next).then_some((*partition, *next))
        };
        let waiting: Vec<_> = self.held.iter().filter_map(behind).collect();
        let first = waiting.iter().position(|(partition, _)| Some(*partition) > self.turn).unwrap_or(0);
        for (partition, next) in waiting[first..].iter().chain(&waiting[..first]) {
            let (max_records, max_bytes) = (self.subscription.max_records, self.subscription.max_bytes);
            let batch = self.backend.read(partition.0, partition.1, *next, max_records, max_bytes).await?;
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
                return Ok(Delivery::Idle);
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
        if self.member != 0 && !self.replaced {
            self.backend.leave(&self.subscription.group, self.member);
        }
    }
}
