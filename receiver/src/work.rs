//! The loop: read `ingest`, decide on each record, write events, position and window in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use journal::{Batch, Commit, Consumer, Delivery, Entry, Journal, Partition, Position, Stream, Subscription};
use model::{Directory, EventId, NumberKey, Time};
use service::{Clock, metric};
use xxhash_rust::xxh3::xxh3_64;

use crate::admit::{Decision, Rules};
use crate::aside::{ASIDE_MAX, Aside, GROUP, PREFIX};
use crate::direct::{Handed, Unwritten};
use crate::window::{Changes, Window};

/// One member of the receiver group at work.
pub(crate) struct Worker {
    journal: Arc<dyn Journal>,
    consumer: Box<dyn Consumer>,
    rules: Rules,
    clock: Clock,
    windows: HashMap<u32, Window>,
    /// The next record of `ingest` to decide on, of each partition that we hold.
    at: BTreeMap<u32, u64>,
    aside: VecDeque<String>,
    counters: Counters,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Records were decided on.
    Worked,
    /// Nothing came.
    Idle,
}

struct Counters {
    admitted: metric::Counter,
    duplicates: metric::Counter,
    aside: metric::Counter,
    held: metric::Gauge,
}

impl Worker {
    /// Joins the group as `member`.
    pub(crate) async fn join(
        journal: Arc<dyn Journal>,
        member: &str,
        rules: Rules,
        clock: Clock,
        records_max: usize,
    ) -> journal::Result<Worker> {
        let subscription = Subscription::new(GROUP, member, vec![Stream::Ingest]).batch(records_max, 16 << 20);
        let consumer = journal.subscribe(subscription).await?;
        let kept = journal.state(GROUP, PREFIX.as_bytes()).await?;
        let aside = kept.iter().filter_map(|(key, _)| String::from_utf8(key.to_vec()).ok()).collect();
        let (windows, at) = (HashMap::new(), BTreeMap::new());
        Ok(Worker { journal, consumer, rules, clock, windows, at, aside, counters: Counters::new() })
    }

    /// Takes what comes next. An error leaves nothing half done: join again.
    pub(crate) async fn step(&mut self) -> journal::Result<Step> {
        match self.consumer.next().await? {
            Delivery::Assigned(partitions) => self.take_over(&partitions).await?,
            Delivery::Revoked(partitions) => {
                for (_, partition) in partitions {
                    self.windows.remove(&partition);
                    self.at.remove(&partition);
                }
            }
            Delivery::Batch(batch) => self.batch(&batch).await?,
            Delivery::Idle => return Ok(Step::Idle),
        }
        Ok(Step::Worked)
    }

    /// How many records are set aside and wait for an operator.
    pub(crate) fn aside(&self) -> usize {
        self.aside.len()
    }

    /// Leaves the group.
    pub(crate) async fn leave(self) -> journal::Result<()> {
        self.consumer.close().await
    }

    async fn take_over(&mut self, partitions: &[Partition]) -> journal::Result<()> {
        let committed = self.journal.committed(GROUP).await?;
        for (stream, partition) in partitions {
            let known = committed.iter().find(|at| at.partition() == (*stream, *partition));
            let next = match known {
                Some(at) => at.offset,
                None => self.journal.earliest(*stream, *partition).await?,
            };
            self.at.insert(*partition, next);
            let prefix = window_prefix(*partition);
            let stored = self.journal.state(GROUP, prefix.as_bytes()).await?;
            self.windows.insert(*partition, Window::load(&prefix, stored));
        }
        Ok(())
    }

    async fn batch(&mut self, batch: &Batch) -> journal::Result<()> {
        let mut decided = Decided::default();
        for record in &batch.records {
            self.decide(&mut decided, batch.partition, record.offset, &record.key, &record.value);
        }
        self.conclude(&mut decided, [batch.partition]);
        match self.commit(decided, vec![batch.position()]).await {
            Ok(()) => _ = self.at.insert(batch.partition, batch.next),
            // The partition moved on with its window: the new holder decides on these records, and nothing was written.
            Err(journal::Error::Fenced { .. }) => {
                self.windows.remove(&batch.partition);
                self.at.remove(&batch.partition);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Decides on a record. `place` tells it from others of its partition.
    fn decide(&mut self, decided: &mut Decided, partition: u32, place: u64, key: &[u8], value: &[u8]) {
        match self.rules.decide_at(value, Time(self.clock.now_ms())) {
            Decision::Admit { id, entry } => self.admit(decided, partition, &id, entry),
            Decision::Aside { reason } => {
                let source = String::from_utf8_lossy(key);
                tracing::warn!(%source, place, reason, "set aside");
                let now = Time(self.clock.now_ms());
                let (key, value) = Aside::new(now, partition, place, key, value, reason).entry();
                self.aside.push_back(String::from_utf8_lossy(&key).into_owned());
                decided.state.push((key, value));
                decided.aside += 1;
            }
        }
    }

    fn admit(&mut self, decided: &mut Decided, partition: u32, id: &EventId, entry: Entry) {
        if self.windows.entry(partition).or_default().admit(id) {
            decided.entries.push(entry);
            decided.admitted += 1;
        } else {
            decided.duplicates += 1;
        }
    }

    /// Adds what these partitions' windows have to keep, and bounds what is set aside.
    fn conclude(&mut self, decided: &mut Decided, partitions: impl IntoIterator<Item = u32>) {
        for partition in partitions {
            let window = self.windows.entry(partition).or_default();
            decided.state.extend(window.changes(&window_prefix(partition)));
        }
        while self.aside.len() > ASIDE_MAX {
            let Some(oldest) = self.aside.pop_front() else { break };
            decided.state.push((Bytes::from(oldest), None));
        }
    }

    async fn commit(&mut self, decided: Decided, positions: Vec<Position>) -> journal::Result<()> {
        let Decided { entries, state, admitted, duplicates, aside } = decided;
        let fence = Some(self.consumer.generation());
        let commit = Commit { entries, group: GROUP.to_owned(), positions, state, fence };
        self.journal.append_and_commit(commit).await?;
        self.counters.admitted.increment(admitted);
        self.counters.duplicates.increment(duplicates);
        self.counters.aside.increment(aside);
        self.counters.held.set(self.aside.len() as f64);
        Ok(())
    }

    /// Works until nothing is left in `ingest`, and tells whether all of it is ours.
    pub(crate) async fn clear(&mut self) -> journal::Result<bool> {
        while self.step().await? == Step::Worked {}
        let all = (0..self.journal.partitions(Stream::Ingest)).all(|partition| self.at.contains_key(&partition));
        Ok(all && all_read(&self.journal).await?)
    }

    /// Decides on events that were not written to `ingest`. The positions go along unchanged: they prove that the
    /// windows are still ours.
    pub(crate) async fn take(&mut self, handed: Handed) -> journal::Result<()> {
        let mut decided = Decided { entries: handed.others, ..Decided::default() };
        decided.entries.reserve(handed.events.len());
        let mut touched = BTreeSet::new();
        for event in handed.events {
            let partition = self.journal.partition_of(Stream::Ingest, event.source().as_str().as_bytes());
            touched.insert(partition);
            let text = match event {
                Unwritten::Verbatim(source, bytes) => (source, bytes),
                Unwritten::Event(envelope) => match self.rules.decide_unwritten(envelope) {
                    Ok((id, entry)) => {
                        self.admit(&mut decided, partition, &id, entry);
                        continue;
                    }
                    Err(envelope) => (envelope.source.clone(), envelope.to_json().into()),
                },
            };
            let (source, value) = text;
            self.decide(&mut decided, partition, xxh3_64(&value), source.as_str().as_bytes(), &value);
        }
        self.conclude(&mut decided, touched);
        let ours = self.at.iter().map(|(partition, next)| Position::new(Stream::Ingest, *partition, *next));
        let ours = ours.collect();
        self.commit(decided, ours).await
    }
}

/// What was decided, to be written at once.
#[derive(Default)]
struct Decided {
    entries: Vec<Entry>,
    state: Changes,
    admitted: u64,
    duplicates: u64,
    aside: u64,
}

impl Counters {
    fn new() -> Counters {
        metric::describe_counter("receiver_admitted_total", "events written to the canonical record");
        metric::describe_counter("receiver_duplicates_total", "facts that were there already, and were dropped");
        metric::describe_counter("receiver_aside_total", "records set aside as malformed");
        metric::describe_gauge("receiver_aside_held", "records set aside that wait for an operator");
        Counters {
            admitted: metric::counter("receiver_admitted_total", &[]),
            duplicates: metric::counter("receiver_duplicates_total", &[]),
            aside: metric::counter("receiver_aside_total", &[]),
            held: metric::gauge("receiver_aside_held", &[]),
        }
    }
}

fn window_prefix(partition: u32) -> String {
    format!("w/{partition}/")
}

/// What is seen so much later than it happened is late, for imports, in milliseconds.
pub(crate) const LATE_AFTER_MS: i64 = 60_000;

/// What a catch-up did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records that wait for an operator now.
    pub aside: usize,
}

/// Works until `over` says that nothing more will be written to `ingest` and all of it was read: for imports.
pub async fn catch_up(
    journal: Arc<dyn Journal>,
    directory: Directory,
    clock: Clock,
    over: impl Fn() -> bool + Send,
) -> journal::Result<Outcome> {
    let number_key = number_key(&journal).await?;
    let rules = Rules { directory, number_key, late_after_ms: LATE_AFTER_MS };
    let mut worker = Worker::join(Arc::clone(&journal), "import", rules, clock, 4_000).await?;
    loop {
        // Asked before the step: what was written before `over` is seen by the step after it.
        let last = over();
        let step = worker.step().await?;
        if last && step == Step::Idle && all_read(&journal).await? {
            break;
        }
    }
    let outcome = Outcome { aside: worker.aside() };
    worker.leave().await?;
    Ok(outcome)
}

async fn all_read(journal: &Arc<dyn Journal>) -> journal::Result<bool> {
    let committed = journal.committed(GROUP).await?;
    for partition in 0..journal.partitions(Stream::Ingest) {
        let end = journal.end(Stream::Ingest, partition).await?;
        let at = committed.iter().find(|p| p.partition() == (Stream::Ingest, partition)).map_or(0, |p| p.offset);
        if at < end {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The key that numbers are sealed with when none is configured: made once, kept in the journal.
pub(crate) async fn number_key(journal: &Arc<dyn Journal>) -> journal::Result<NumberKey> {
    const KEY: &str = "number_key";
    if let Some((_, key)) = journal.state(GROUP, KEY.as_bytes()).await?.into_iter().next() {
        return Ok(NumberKey::new(key));
    }
    let (made, _) = service::http::auth::generate();
    let state = vec![(Bytes::from_static(KEY.as_bytes()), Some(Bytes::from(made)))];
    journal.append_and_commit(Commit { group: GROUP.to_owned(), state, ..Commit::default() }).await?;
    // Read back: of two processes that start at once, the later key counts for both.
    let kept = journal.state(GROUP, KEY.as_bytes()).await?;
    Ok(NumberKey::new(kept.into_iter().next().map(|(_, key)| key).unwrap_or_default()))
}
