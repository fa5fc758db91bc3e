//! Folding what is there as fast as possible: imports and rebuilds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use journal::{Journal, Partition, Stream};
use service::{Clock, Context, Tasks};
use store::Part;
use store::reports::{Reports, Taken};
use tokio::sync::{oneshot, watch};

use crate::rules::Rules;
use crate::shard::Shard;
use crate::telemetry::Telemetry;
use crate::{Error, Result};

/// Records read at once.
const BATCH: usize = 4_000;
/// Bytes read at once.
const BATCH_BYTES: usize = 8 << 20;

/// How often a read is tried again that failed for the moment, and after how long.
const READ_AGAIN: u32 = 10;
const READ_PAUSE: Duration = Duration::from_secs(1);

/// How to catch up.
#[derive(Clone)]
pub struct CatchUp {
    /// The name to take the partitions by, for people.
    pub owner: String,
    /// How events are folded.
    pub rules: Rules,
    /// Events of one partition between two checkpoints.
    pub checkpoint_events: u64,
    /// Told now and then how far it is.
    pub progress: Arc<dyn Fn(Progress) + Send + Sync>,
}

impl CatchUp {
    /// The defaults: 8,000 events to a checkpoint and few closed calls in memory (a working set that stays small is
    /// faster than one that is asked for less often), nobody told.
    pub fn new(owner: impl Into<String>) -> Self {
        let mut rules = Rules::default();
        rules.settings.closed_kept = 1_000;
        Self { owner: owner.into(), rules, checkpoint_events: 8_000, progress: Arc::new(|_| {}) }
    }

    /// The same, telling `progress` how far it is.
    #[must_use]
    pub fn progress(mut self, progress: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }
}

/// How far a catch-up is, in records of all event streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records folded.
    pub folded: u64,
    /// Records to fold.
    pub total: u64,
}

/// What a catch-up did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caught {
    /// Records folded.
    pub folded: u64,
    /// Partitions whose beginning the journal no longer keeps, with the first offset that it has: what was before is
    /// not in the figures of a store that was empty.
    pub truncated: Vec<(Part, u64)>,
}

/// Folds every event that is in the journal now, and writes the checkpoint. Takes all partitions: a running aggregator
/// loses them. Live views, closed calls and restatements are not told: a reader that starts afterwards finds
/// everything in the store.
///
/// # Errors
/// Those of the journal and the store; `Rules`.
pub async fn catch_up_to_end(
    journal: &Arc<dyn Journal>,
    store: &Arc<dyn Reports>,
    how: &CatchUp,
    context: &Context,
) -> Result<Caught> {
    let mut targets = BTreeMap::new();
    for stream in Stream::EVENTS {
        for number in 0..journal.partitions(stream) {
            targets.insert((stream, number), journal.end(stream, number).await?);
        }
    }
    catch_up_to(journal, store, how, context, &targets).await
}

/// Folds what is there and what is being written, until `over` turns true (nothing more will be written) and all is
/// folded. Until then nobody is told how far it is: there is no whole yet to be a part of.
///
/// # Errors
/// As [`catch_up_to_end`].
pub async fn catch_up_until(
    journal: &Arc<dyn Journal>,
    store: &Arc<dyn Reports>,
    how: &CatchUp,
    context: &Context,
    over: watch::Receiver<bool>,
) -> Result<Caught> {
    let all = Stream::EVENTS.into_iter().flat_map(|stream| (0..journal.partitions(stream)).map(move |n| (stream, n)));
    let targets = all.map(|partition| (partition, Target::Over(over.clone()))).collect();
    run(journal, store, how, context, targets).await
}

/// The same up to these offsets, and no further.
///
/// # Errors
/// As [`catch_up_to_end`].
pub async fn catch_up_to(
    journal: &Arc<dyn Journal>,
    store: &Arc<dyn Reports>,
    how: &CatchUp,
    context: &Context,
    targets: &BTreeMap<Partition, u64>,
) -> Result<Caught> {
    let targets = targets.iter().map(|(partition, offset)| (*partition, Target::At(*offset))).collect();
    run(journal, store, how, context, targets).await
}

async fn run(
    journal: &Arc<dyn Journal>,
    store: &Arc<dyn Reports>,
    how: &CatchUp,
    context: &Context,
    targets: BTreeMap<Partition, Target>,
) -> Result<Caught> {
    how.rules.agree(&**store).await?;
    let parts: Vec<Part> = targets.keys().map(|(stream, number)| Part::new(stream.name(), *number)).collect();
    let taken = store.take(&how.owner, &journal.identity(), &parts).await?;
    let mut caught = Caught::default();
    let mut runs = Vec::new();
    let mut total = 0;
    for ((partition, target), taken) in targets.into_iter().zip(taken) {
        let earliest = journal.earliest(partition.0, partition.1).await?;
        let start = taken.next.unwrap_or(earliest);
        if earliest > 0 && taken.next.is_none_or(|next| next < earliest) {
            caught.truncated.push((taken.held.part.clone(), earliest));
        }
        let start = start.max(earliest);
        match &target {
            Target::At(end) if start >= *end => continue,
            Target::At(end) => total += end - start,
            Target::Over(_) => {}
        }
        runs.push(Run { partition, taken, start, target });
    }
    let shared = Shared {
        journal: Arc::clone(journal),
        store: Arc::clone(store),
        how: how.clone(),
        clock: context.clock.clone(),
        telemetry: Telemetry::new(),
        folded: Arc::default(),
        total: Arc::new(AtomicU64::new(total)),
    };
    // A task for each partition: reading, decoding and writing of different partitions overlap.
    let mut done = Vec::with_capacity(runs.len());
    for run in runs {
        done.push(spawn(&context.tasks, run, shared.clone())?);
    }
    let mut outcome = Ok(());
    for done in done {
        // All are waited for, so that none is still writing when an error is answered.
        outcome = outcome.and(done.await.unwrap_or_else(|_| Err(Error::Task("catch-up".to_owned()))));
    }
    outcome?;
    caught.folded = shared.folded.load(Ordering::Relaxed);
    (how.progress)(Progress { folded: caught.folded, total: caught.folded });
    Ok(caught)
}

/// How far to go.
enum Target {
    /// Up to this offset.
    At(u64),
    /// To the end that there is when it is true that nothing more will be written.
    Over(watch::Receiver<bool>),
}

struct Run {
    partition: Partition,
    taken: Taken,
    start: u64,
    target: Target,
}

#[derive(Clone)]
struct Shared {
    journal: Arc<dyn Journal>,
    store: Arc<dyn Reports>,
    how: CatchUp,
    clock: Clock,
    telemetry: Telemetry,
    folded: Arc<AtomicU64>,
    /// Records to fold, as far as that is known.
    total: Arc<AtomicU64>,
}

fn spawn(tasks: &Tasks, run: Run, shared: Shared) -> Result<oneshot::Receiver<Result<()>>> {
    let (tell, done) = oneshot::channel();
    let name = format!("catch-up/{}", run.taken.held.part);
    let work = async move {
        let _ = tell.send(run.fold(&shared).await); // nobody listens when the caller has gone
    };
    tasks.spawn(name, work).map_err(|full| Error::Task(full.to_string()))?;
    Ok(done)
}

impl Run {
    async fn fold(mut self, shared: &Shared) -> Result<()> {
        let (stream, number) = self.partition;
        let store = &*shared.store;
        let rules = shared.how.rules;
        let mut shard = Shard::open(store, self.partition, self.taken, self.start, None, rules).await?;
        shard.next = shard.next.max(self.start);
        let mut failures = 0;
        while let Some(most) = self.target.most(shared, self.partition, self.start, shard.next).await? {
            let before = shard.next;
            match shared.journal.read(stream, number, shard.next, most, BATCH_BYTES).await {
                Ok(batch) => shard.ingest(store, &batch, &shared.telemetry).await?,
                Err(error) => match error {
                    journal::Error::Damaged { offset, .. } => {
                        shared.telemetry.damaged(shard.part(), offset, &error);
                        shard.next = offset + 1;
                        shard.unsaved += 1;
                    }
                    // A broker that went away is back in a moment; all that was folded would have to be folded again.
                    other if other.class() == journal::Class::Transient && failures < READ_AGAIN => {
                        failures += 1;
                        tracing::warn!(part = %shard.part(), error = %other, failures, "not read, trying again");
                        shared.clock.sleep(READ_PAUSE).await;
                        continue;
                    }
                    other => return Err(other.into()),
                },
            }
            failures = 0;
            if shard.next == before {
                break; // the end moved back: nothing more is there
            }
            let folded = shared.folded.fetch_add(shard.next - before, Ordering::Relaxed) + shard.next - before;
            let total = shared.total.load(Ordering::Relaxed);
            if total > 0 {
                (shared.how.progress)(Progress { folded, total: total.max(folded) });
            }
            if shard.unsaved >= shared.how.checkpoint_events {
                save(&mut shard, store).await?;
            }
        }
        save(&mut shard, store).await
    }
}

impl Target {
    /// How many records to read at `next` at most, once it is worth it. `None`: it is reached.
    async fn most(&mut self, shared: &Shared, partition: Partition, start: u64, next: u64) -> Result<Option<usize>> {
        if let Target::Over(over) = self {
            // A whole batch, or what there is at the end: small ones cost more of everything.
            let whole = next + BATCH as u64 - 1;
            tokio::select! {
                biased;
                // Whoever would tell has gone: then nothing more is written either.
                told = over.wait_for(|over| *over) => drop(told),
                there = shared.journal.wait_past(partition.0, partition.1, whole) => {
                    there?;
                    return Ok(Some(BATCH));
                }
            }
            let end = shared.journal.end(partition.0, partition.1).await?;
            shared.total.fetch_add(end.saturating_sub(start), Ordering::Relaxed);
            *self = Target::At(end);
        }
        let Target::At(end) = self else { return Ok(Some(BATCH)) };
        let left = usize::try_from(end.saturating_sub(next)).unwrap_or(usize::MAX);
        Ok((left > 0).then_some(left.min(BATCH)))
    }
}

async fn save(shard: &mut Shard, store: &dyn Reports) -> Result<()> {
    shard.settle(store).await?;
    let snapshot = shard.snapshot().await;
    store.checkpoint(std::slice::from_ref(&snapshot.change)).await?;
    shard.saved();
    Ok(())
}
