//! A journal in memory, for tests: the whole contract but durability. It does the same on every run.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::consumer::{Backend, Member};
use crate::contract::{
    Batch, Commit, Consumer, Entry, Journal, Partition, Position, Record, Report, Retention, Subscription, Swept, check,
};
use crate::group::{Group, Standing, Step};
use crate::{Error, Result, Stream, Topology};
use service::Clock;

/// A journal in memory.
pub struct Memory {
    me: Weak<Self>,
    topology: Topology,
    clock: Clock,
    lease: Duration,
    inner: Mutex<Inner>,
    ticks: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    partitions: BTreeMap<Partition, Kept>,
    groups: BTreeMap<String, Group>,
    positions: BTreeMap<(String, Partition), u64>,
    state: BTreeMap<(String, Bytes), Bytes>,
    closed: bool,
}

/// What is kept of a partition.
#[derive(Default)]
struct Kept {
    earliest: u64,
    end: u64,
    records: BTreeMap<u64, Record>,
}

impl Memory {
    /// A member that does not call `next` for so long loses its partitions.
    pub const LEASE: Duration = Duration::from_secs(60);

    /// An empty journal.
    pub fn new(topology: Topology, clock: Clock) -> Arc<Self> {
        Self::with_lease(topology, clock, Self::LEASE)
    }

    /// An empty journal with another lease.
    pub fn with_lease(topology: Topology, clock: Clock, lease: Duration) -> Arc<Self> {
        let partitions = topology.all().map(|partition| (partition, Kept::default())).collect();
        let inner = Mutex::new(Inner { partitions, ..Inner::default() });
        Arc::new_cyclic(|me| Self { me: me.clone(), topology, clock, lease, inner, ticks: watch::Sender::new(0) })
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.closed { Err(Error::Closed) } else { Ok(inner) }
    }

    fn tick(&self) {
        self.ticks.send_modify(|tick| *tick += 1);
    }

    fn kept<T>(&self, stream: Stream, partition: u32, look: impl FnOnce(&Kept) -> T) -> Result<T> {
        check(self, stream, partition)?;
        Ok(look(self.lock()?.partitions.entry((stream, partition)).or_default()))
    }
}

impl Inner {
    /// Everything that can be refused is refused here, before anything is changed.
    fn admit(&self, commit: &Commit) -> Result<()> {
        if let Some(fence) = commit.fence {
            let group = self.groups.get(&commit.group);
            let fenced = |what: String| Error::Fenced { group: commit.group.clone(), member: fence.member, what };
            if !group.is_some_and(|group| group.contains(fence.member)) {
                return Err(fenced("its membership".to_owned()));
            }
            let lost = commit
                .positions
                .iter()
                .find(|at| !group.is_some_and(|group| group.holds(fence.member, at.partition())));
            if let Some(lost) = lost {
                return Err(fenced(format!("{}/{}", lost.stream, lost.partition)));
            }
        }
        for Position { stream, partition, offset } in &commit.positions {
            let end = self.partitions.get(&(*stream, *partition)).map_or(0, |kept| kept.end);
            if *offset > end {
                return Err(Error::Beyond { stream: *stream, partition: *partition, from: *offset, end });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for Memory {
    fn partitions(&self, stream: Stream) -> u32 {
        self.topology.partitions(stream)
    }

    fn identity(&self) -> String {
        "memory".to_owned()
    }

    async fn append(&self, entries: Vec<Entry>) -> Result<Vec<Position>> {
        self.append_and_commit(Commit::of(entries)).await
    }

    async fn append_and_commit(&self, commit: Commit) -> Result<Vec<Position>> {
        commit.check(self)?;
        let mut inner = self.lock()?;
        inner.admit(&commit)?;
        let recorded_at_ms = self.clock.now_ms();
        let mut answers = Vec::with_capacity(commit.entries.len());
        for Entry { stream, key, value } in commit.entries {
            let partition = self.partition_of(stream, &key);
            let kept = inner.partitions.entry((stream, partition)).or_default();
            let offset = kept.end;
            kept.records.insert(offset, Record { offset, key, value, recorded_at_ms });
            kept.end += 1;
            answers.push(Position { stream, partition, offset });
        }
        for position in commit.positions {
            inner.positions.insert((commit.group.clone(), position.partition()), position.offset);
        }
        for (key, value) in commit.state {
            match value {
                Some(value) => inner.state.insert((commit.group.clone(), key), value),
                None => inner.state.remove(&(commit.group.clone(), key)),
            };
        }
        drop(inner);
        self.tick();
        Ok(answers)
    }

    async fn state(&self, group: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>> {
        let inner = self.lock()?;
        let from = (group.to_owned(), Bytes::copy_from_slice(prefix));
        let rows = inner.state.range(from..).take_while(|((of, key), _)| of == group && key.starts_with(prefix));
        Ok(rows.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    async fn read(
        &self,
        stream: Stream,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Batch> {
        self.kept(stream, partition, |kept| {
            let (earliest, end) = (kept.earliest, kept.end);
            if from < earliest {
                return Err(Error::Truncated { stream, partition, from, earliest });
            }
            if from > end {
                return Err(Error::Beyond { stream, partition, from, end });
            }
            let (mut records, mut bytes, mut next) = (Vec::new(), 0, end);
            for record in kept.records.range(from..).map(|(_, record)| record) {
                let size = record.key.len() + record.value.len();
                if !records.is_empty() && (records.len() >= max_records || bytes + size > max_bytes) {
                    next = record.offset;
                    break;
                }
                bytes += size;
                records.push(record.clone());
            }
            Ok(Batch { stream, partition, records, next })
        })?
    }

    async fn end(&self, stream: Stream, partition: u32) -> Result<u64> {
        self.kept(stream, partition, |kept| kept.end)
    }

    async fn earliest(&self, stream: Stream, partition: u32) -> Result<u64> {
        self.kept(stream, partition, |kept| kept.earliest)
    }

    async fn wait_past(&self, stream: Stream, partition: u32, offset: u64) -> Result<()> {
        let mut ticks = self.ticks.subscribe();
        while self.end(stream, partition).await? <= offset {
            ticks.changed().await.map_err(|_| Error::Closed)?;
        }
        Ok(())
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>> {
        let inner = self.lock()?;
        let of_group = inner.positions.iter().filter(|((of, _), _)| of == group);
        Ok(of_group.map(|((_, (stream, partition)), offset)| Position::new(*stream, *partition, *offset)).collect())
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>> {
        Member::join(self.me.upgrade().ok_or(Error::Closed)?, subscription).await
    }

    async fn retain(&self, policies: &[Retention]) -> Result<Swept> {
        let now_ms = self.clock.now_ms();
        let mut inner = self.lock()?;
        let inner = &mut *inner;
        let mut swept = Swept::default();
        for policy in policies {
            for (partition, kept) in inner.partitions.iter_mut().filter(|((stream, _), _)| *stream == policy.stream) {
                let here = inner.positions.iter().filter(|((_, of), _)| of == partition);
                let unread = here.map(|(_, offset)| *offset).min();
                while let Some(first) = kept.records.first_entry() {
                    if unread.is_some_and(|unread| *first.key() >= unread) {
                        break;
                    }
                    let old =
                        policy.max_age_ms.is_some_and(|age| first.get().recorded_at_ms < now_ms.saturating_sub(age));
                    let count = kept.records.len() as u64;
                    let bytes = || {
                        kept.records.values().map(|record| (record.key.len() + record.value.len()) as u64).sum::<u64>()
                    };
                    let many = policy.max_records.is_some_and(|most| count > most);
                    if !old && !many && policy.max_bytes.is_none_or(|most| bytes() <= most) {
                        break;
                    }
                    kept.records.pop_first();
                    kept.earliest = kept.records.first_key_value().map_or(kept.end, |(offset, _)| *offset);
                    swept.records += 1;
                }
            }
        }
        Ok(swept)
    }

    async fn compact(&self, tombstone_ms: i64) -> Result<Swept> {
        let limit = self.clock.now_ms().saturating_sub(tombstone_ms);
        let mut inner = self.lock()?;
        let mut swept = Swept::default();
        for (_, kept) in inner.partitions.iter_mut().filter(|((stream, _), _)| stream.is_compacted()) {
            let mut seen = HashSet::new();
            let mut gone = Vec::new();
            for (offset, record) in kept.records.iter().rev() {
                if !seen.insert(record.key.clone()) || (record.value.is_empty() && record.recorded_at_ms < limit) {
                    gone.push(*offset);
                }
            }
            swept.records += gone.len() as u64;
            for offset in gone {
                kept.records.remove(&offset);
            }
        }
        Ok(swept)
    }

    async fn verify(&self) -> Result<Report> {
        let inner = self.lock()?;
        let mut report = Report::default();
        for record in inner.partitions.values().flat_map(|kept| kept.records.values()) {
            report.records += 1;
            report.bytes += (record.key.len() + record.value.len()) as u64;
        }
        Ok(report)
    }

    async fn close(&self) -> Result<()> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.tick();
        Ok(())
    }
}

#[async_trait]
impl Backend for Memory {
    async fn step(&self, group: &str, step: Step) -> Result<Standing> {
        let mut inner = self.lock()?;
        let group = inner.groups.entry(group.to_owned()).or_default();
        let before = group.generation();
        let lease_ms = i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX);
        let standing = group.step(&step, &self.topology, self.clock.now_ms(), lease_ms);
        let moved = group.generation() != before;
        drop(inner);
        if moved {
            self.tick();
        }
        Ok(standing)
    }

    fn leave(&self, group: &str, member: u64) {
        if let Ok(mut inner) = self.lock() {
            if let Some(group) = inner.groups.get_mut(group) {
                group.step(&Step::Leave { member }, &self.topology, self.clock.now_ms(), 0);
            }
            drop(inner);
            self.tick();
        }
    }

    fn known_generation(&self, group: &str) -> u64 {
        self.lock().ok().and_then(|inner| inner.groups.get(group).map(Group::generation)).unwrap_or(0)
    }

    fn may_read(&self, _: u64, partition: Partition, next: u64) -> bool {
        self.lock().ok().and_then(|inner| inner.partitions.get(&partition).map(|kept| kept.end)).unwrap_or(0) != next
    }

    fn ticks(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn sync_every(&self) -> Duration {
        self.lease / 3
    }
}
