//! The loop: read `ingest`, decide on each record, write events, position and window in one transaction.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use journal::{Batch, Commit, Consumer, Delivery, Entry, Journal, Partition, Stream, Subscription};
use model::{Directory, Time};
use service::{Clock, metric};

use crate::admit::{Decision, Rules};
use crate::aside::{ASIDE_MAX, Aside, GROUP, PREFIX};
use crate::window::Window;

/// One member of the receiver group at work.
pub(crate) struct Worker {
    journal: Arc<dyn Journal>,
    consumer: Box<dyn Consumer>,
    rules: Rules,
    clock: Clock,
    windows: HashMap<u32, Window>,
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
        Ok(Worker { journal, consumer, rules, clock, windows: HashMap::new(), aside, counters: Counters::new() })
    }

    /// Takes what comes next. An error leaves nothing half done: join again.
    pub(crate) async fn step(&mut self) -> journal::Result<Step> {
        match self.consumer.next().await? {
            Delivery::Assigned(partitions) => self.take_over(&partitions).await?,
            Delivery::Revoked(partitions) => {
                for (_, partition) in partitions {
                    self.windows.remove(&partition);
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
        for (_, partition) in partitions {
            let prefix = window_prefix(*partition);
            let stored = self.journal.state(GROUP, prefix.as_bytes()).await?;
            self.windows.insert(*partition, Window::load(&prefix, stored));
        }
        Ok(())
    }

    async fn batch(&mut self, batch: &Batch) -> journal::Result<()> {
        let now = Time(self.clock.now_ms());
        let window = self.windows.entry(batch.partition).or_default();
        let mut entries: Vec<Entry> = Vec::with_capacity(batch.records.len());
        let mut state: Vec<(Bytes, Option<Bytes>)> = Vec::new();
        let (mut duplicates, mut set_aside) = (0u64, 0u64);
        for record in &batch.records {
            match self.rules.decide(&record.value) {
                Decision::Admit { id, entry } if window.admit(&id) => entries.push(entry),
                Decision::Admit { .. } => duplicates += 1,
                Decision::Aside { reason } => {
                    let source = String::from_utf8_lossy(&record.key);
                    tracing::warn!(%source, offset = record.offset, reason, "set aside");
                    let aside = Aside::new(now, batch.partition, record.offset, &record.key, &record.value, reason);
                    let (key, value) = aside.entry();
                    self.aside.push_back(String::from_utf8_lossy(&key).into_owned());
                    state.push((key, value));
                    set_aside += 1;
                }
            }
        }
        state.extend(window.changes(&window_prefix(batch.partition)));
        while self.aside.len() > ASIDE_MAX {
            let Some(oldest) = self.aside.pop_front() else { break };
            state.push((Bytes::from(oldest), None));
        }
        let admitted = entries.len() as u64;
        let fence = Some(self.consumer.generation());
        let commit = Commit { entries, group: GROUP.to_owned(), positions: vec![batch.position()], state, fence };
        match self.journal.append_and_commit(commit).await {
            Ok(_) => {}
            // The partition moved on with its window: the new holder decides on these records, and nothing was written.
            Err(journal::Error::Fenced { .. }) => {
                self.windows.remove(&batch.partition);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.counters.admitted.increment(admitted);
        self.counters.duplicates.increment(duplicates);
        self.counters.aside.increment(set_aside);
        self.counters.held.set(self.aside.len() as f64);
        Ok(())
    }
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
    let rules = Rules { directory, number_key, late_after_ms: 60_000 };
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
pub(crate) async fn number_key(journal: &Arc<dyn Journal>) -> journal::Result<Vec<u8>> {
    const KEY: &str = "number_key";
    if let Some((_, key)) = journal.state(GROUP, KEY.as_bytes()).await?.into_iter().next() {
        return Ok(key.to_vec());
    }
    let (made, _) = service::http::auth::generate();
    let state = vec![(Bytes::from_static(KEY.as_bytes()), Some(Bytes::from(made)))];
    journal.append_and_commit(Commit { group: GROUP.to_owned(), state, ..Commit::default() }).await?;
    // Read back: of two processes that start at once, the later key counts for both.
    let kept = journal.state(GROUP, KEY.as_bytes()).await?;
    Ok(kept.into_iter().next().map(|(_, key)| key.to_vec()).unwrap_or_default())
}
