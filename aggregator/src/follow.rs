//! The live loop: follows the event streams, tells what changed at each tick, writes checkpoints beside it.

mod telling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use journal::{Consumer, Delivery, Generation, Journal, Partition, Position, Stream, Subscription};
use model::Time;
use service::Context;
use service::config::Millis;
use service::health::{Check, Pulse};
use service::retry::{Backoff, Policy};
use store::Part;
use store::reports::Reports;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::rules::Rules;
use crate::saving::{Saver, Saving};
use crate::shard::{Scope, Shard};
use crate::sounding::{self, Sounding};
use crate::telemetry::Telemetry;
use crate::tell::{self, Outbox};
use crate::{Error, GROUP, Result, house};
use telling::{Grid, Told};

/// How often a partition's own frame is told when nothing changes, and the lag is measured.
const FOLD_EVERY: Duration = Duration::from_secs(1);
/// The same while events come: doors let in by it, and screens tell their age by it.
const BUSY_EVERY: Duration = Duration::from_millis(250);
/// How often calls are looked for of which nothing was heard for long.
const RETIRE_EVERY: Duration = Duration::from_secs(60);
/// The loop must turn at least so often: a checkpoint that is repeated holds it up to the last.
const PULSE: Duration = Duration::from_secs(120);
/// Events that are put into one checkpoint, where one partition has not more.
const PORTION_EVENTS: u64 = 2_000;
/// A membership that lasted so long was a good one: what ended it has nothing to do with what ended the one before.
const STABLE: Duration = Duration::from_secs(10);
/// Between attempts to join the group: what is needed may be back at any moment, and each second is one of old figures.
const REJOIN: Policy = Policy { first: Millis::new(250), max: Millis::seconds(3), stable_after: Millis::seconds(30) };
/// Behind by more records than this, health is degraded.
const LAG_MAX: u64 = 50_000;

/// The aggregator at work.
pub(crate) struct Follower {
    journal: Arc<dyn Journal>,
    store: Arc<dyn Reports>,
    context: Context,
    config: Config,
    rules: Rules,
    telemetry: Telemetry,
    saver: Saver,
    lag: Check,
    pulse: Pulse,
}

/// One membership in the group, with everything that it holds.
struct Membership<'a> {
    of: &'a Follower,
    /// Whoever reads has it.
    consumer: Arc<Mutex<Box<dyn Consumer>>>,
    /// The read under way. It is kept over what else is done meanwhile: a read that was cut off would have to begin anew, and where it takes
    /// longer than a tick there would be no end of that.
    reading: Option<BoxFuture<'static, journal::Result<Delivery>>>,
    /// Where we stand in the group, as of the last read.
    generation: Generation,
    shards: BTreeMap<Partition, Shard>,
    outbox: Outbox,
    saving: Option<(Saving, Vec<Partition>)>,
    /// What is being told: folding goes on meanwhile.
    telling: Option<BoxFuture<'static, Told>>,
    /// Whether how far the fold is goes along with what is told next.
    tells_position: bool,
    grid: Grid,
    /// In which tick views were told last.
    told_in: i64,
    /// When folds were told last, and so on: on the monotonic clock.
    folds_told_at: Duration,
    rows_told_at: Duration,
    details_told_at: Duration,
    retired_at: Duration,
    /// Records not folded yet, and folded, when last measured.
    behind: u64,
    folded: u64,
    /// Whether details are put off.
    holds_details: bool,
}

/// What woke the loop.
enum Wake {
    Drain,
    Due,
    Saved(Result<()>),
    Told(Told),
    Delivered(journal::Result<Delivery>),
}

impl Follower {
    pub(crate) fn new(journal: Arc<dyn Journal>, store: Arc<dyn Reports>, context: Context, config: Config) -> Self {
        let telemetry = Telemetry::new();
        let saver = Saver {
            journal: Arc::clone(&journal),
            store: Arc::clone(&store),
            context: context.clone(),
            telemetry: telemetry.clone(),
        };
        let (lag, pulse) = (context.health.check("lag"), context.health.pulse("fold", PULSE));
        Self { rules: config.rules(), journal, store, context, config, telemetry, saver, lag, pulse }
    }

    /// Follows until the drain. What is transient, and partitions lost to others, only lead to joining the group again.
    pub(crate) async fn run(self) -> Result<()> {
        self.rules.agree(&*self.store).await?;
        let check = self.context.health.check("membership");
        let clock = &self.context.clock;
        let mut backoff = Backoff::new(REJOIN, self.context.seeds.stream("rejoin"), clock.clone());
        self.keep_house()?;
        while !self.context.drain.is_started() {
            let joined = clock.monotonic();
            let error = match self.member(&check).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
            tracing::warn!(error = %Chain(&error), "left the group, joining again");
            check.degraded(Chain(&error).to_string());
            if clock.monotonic() - joined > STABLE {
                backoff.succeeded();
            }
            tokio::select! {
                biased;
                () = backoff.wait() => {}
                () = self.context.drain.started() => {}
            }
        }
        Ok(())
    }

    async fn member(&self, check: &Check) -> Result<()> {
        let subscription = Subscription::new(GROUP, &self.context.instance, Stream::EVENTS)
            .batch(self.config.batch_records, self.config.batch_bytes.to_usize());
        let consumer = self.journal.subscribe(subscription).await?;
        check.ok();
        let mut member = Membership {
            of: self,
            generation: consumer.generation(),
            consumer: Arc::new(Mutex::new(consumer)),
            reading: None,
            shards: BTreeMap::new(),
            outbox: Outbox::new(telling::rows_every(&self.config).as_millis() as i64),
            saving: None,
            telling: None,
            tells_position: false,
            grid: Grid::of(&self.config),
            told_in: i64::MIN,
            folds_told_at: Duration::ZERO,
            rows_told_at: Duration::ZERO,
            details_told_at: Duration::ZERO,
            retired_at: Duration::ZERO,
            behind: 0,
            folded: 0,
            holds_details: false,
        };
        let outcome = member.run().await;
        let Membership { reading, consumer, .. } = member;
        drop(reading);
        // Nobody else has it now; a read that was under way changes nothing.
        let left = match Arc::into_inner(consumer) {
            Some(consumer) => consumer.into_inner().close().await,
            None => Ok(()),
        };
        outcome.and(left.map_err(Error::from))
    }

    /// What goes on beside the fold: heartbeats and retention.
    fn keep_house(&self) -> Result<()> {
        let full = |full: service::tasks::Full| Error::Task(full.to_string());
        journal::beat::start(&self.journal, &self.context, self.config.heartbeat.duration()).map_err(full)?;
        let (calls, rows) = (self.config.keep_calls, self.config.keep_rows);
        if calls.is_some() || rows.is_some() {
            let work = house::sweep(Arc::clone(&self.store), self.context.clone(), calls, rows);
            self.context.tasks.spawn("sweep", work).map_err(full)?;
        }
        Ok(())
    }
}

impl Membership<'_> {
    async fn run(&mut self) -> Result<()> {
        loop {
            self.of.pulse.beat();
            match self.wake().await {
                Wake::Drain => return self.finish().await,
                Wake::Due => {}
                Wake::Saved(outcome) => self.saved(outcome)?,
                Wake::Told(told) => self.told(told)?,
                Wake::Delivered(Ok(delivery)) => self.take(delivery).await?,
                Wake::Delivered(Err(error)) => self.stumble(error).await?,
            }
            self.tend().await?;
        }
    }

    async fn wake(&mut self) -> Wake {
        let wake = self.woken().await;
        if let Wake::Delivered(_) = &wake {
            self.reading = None;
            self.generation = self.consumer.lock().await.generation();
        }
        wake
    }

    async fn woken(&mut self) -> Wake {
        let due = self.due_in();
        let hindered = self.saving.is_some() || self.telling.is_some() || !self.outbox.is_empty();
        let behind = hindered && self.unsaved() >= 2 * self.of.config.checkpoint_events;
        let saved = async {
            match &mut self.saving {
                Some((saving, _)) => saving.done().await,
                None => std::future::pending().await,
            }
        };
        let told = async {
            match &mut self.telling {
                Some(telling) => telling.await,
                None => std::future::pending().await,
            }
        };
        let consumer = &self.consumer;
        let reading = self.reading.get_or_insert_with(|| {
            let consumer = Arc::clone(consumer);
            async move { consumer.lock().await.next().await }.boxed()
        });
        tokio::select! {
            biased;
            () = self.of.context.drain.started() => Wake::Drain,
            outcome = saved => Wake::Saved(outcome),
            told = told => Wake::Told(told),
            () = self.of.context.clock.sleep(due) => Wake::Due,
            delivery = reading, if !behind => Wake::Delivered(delivery),
        }
    }

    fn now(&self) -> Duration {
        self.of.context.clock.monotonic()
    }

    fn wall(&self) -> Time {
        Time(self.of.context.clock.now_ms())
    }

    fn unsaved(&self) -> u64 {
        self.shards.values().map(|shard| shard.unsaved).sum()
    }

    fn fold_every(&self) -> Duration {
        if self.behind > 0 || self.folded != self.reached() { BUSY_EVERY } else { FOLD_EVERY }
    }

    /// How far all partitions are folded.
    fn reached(&self) -> u64 {
        self.shards.values().map(|shard| shard.next).sum()
    }

    /// How long until something is to be done by itself.
    fn due_in(&self) -> Duration {
        let now = self.now();
        let mut due = self.folds_told_at + self.fold_every();
        if self.is_tellable(now) {
            due = due.min(now + self.until_tick());
        } else if self.telling.is_none() && self.has_news(Scope { rows: true, details: self.tells_details(now) }) {
            due = due.min(self.rows_told_at + telling::rows_every(&self.of.config));
        }
        if let Some(at) = self.save_at() {
            due = due.min(at);
        }
        due.saturating_sub(now)
    }

    /// Does what is due.
    async fn tend(&mut self) -> Result<()> {
        let now = self.now();
        let folds = now >= self.folds_told_at + self.fold_every();
        if folds {
            self.folds_told_at = now;
            self.measure().await?;
        }
        if folds || (self.is_tellable(now) && self.until_tick().is_zero()) {
            self.gather(now, self.scope(now));
            self.begin_to_tell();
        }
        if self.save_at().is_some_and(|at| now >= at) {
            self.save(PORTION_EVENTS).await?;
        }
        Ok(())
    }

    /// Measures the lag, and tells how far each partition is. While the journal does not answer, what was measured last is said: it
    /// stays true, and grows old.
    async fn measure(&mut self) -> Result<()> {
        let at = self.wall();
        if self.now() >= self.retired_at + RETIRE_EVERY {
            self.retired_at = self.now();
            self.shards.values_mut().for_each(|shard| shard.retire(at));
        }
        let partitions: Vec<Partition> = self.shards.keys().copied().collect();
        if let Some(found) = sounding::sound_soon(&*self.of.journal, &self.of.context.clock, &partitions).await? {
            self.shards.values_mut().zip(found).for_each(|(shard, sounding)| shard.sounded(sounding));
        }
        let (mut lag, mut current_at) = (0, at);
        for shard in self.shards.values() {
            lag += shard.end() - shard.next;
            current_at = current_at.min(shard.current_at());
            self.outbox.add_fold(shard, at, &self.of.context.instance);
        }
        (self.behind, self.folded) = (lag, self.reached());
        self.holds_details = at - current_at > self.of.config.details_wait.signed();
        self.tells_position = true;
        self.of.telemetry.lag.set(lag as f64);
        if lag > LAG_MAX {
            self.of.lag.degraded(format!("{lag} records are not folded yet"));
        } else {
            self.of.lag.ok();
        }
        Ok(())
    }

    /// When the next checkpoint is to begin, unless one is being written or nothing went on.
    fn save_at(&self) -> Option<Duration> {
        if self.saving.is_some() {
            return None;
        }
        let oldest = self.shards.values().filter(|shard| shard.unsaved > 0).map(|shard| shard.saved_at).min()?;
        let is_full = self.unsaved() >= self.of.config.checkpoint_events;
        Some(if is_full { oldest } else { oldest + self.of.config.checkpoint_every.duration() })
    }

    /// Begins a checkpoint of the partitions whose last one is longest ago, and so many that they have not more than these events, but of
    /// one at least: what is put together for it holds up the fold. Rows are told before they are stored: an heir tells its views
    /// anew, but of the rows only those that it changes.
    async fn save(&mut self, most: u64) -> Result<()> {
        let now = self.now();
        self.shards.values_mut().for_each(Shard::hurry_rows);
        self.tell(now, self.tells_details(now)).await?;
        if !self.outbox.is_empty() {
            // The journal takes nothing just now: later, both.
            self.shards.values_mut().for_each(|shard| shard.saved_at = now);
            return Ok(());
        }
        let at = self.wall();
        let (mut changes, mut told, mut parts, mut events) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut waiting: Vec<_> = self.shards.iter_mut().filter(|(_, shard)| shard.unsaved > 0).collect();
        waiting.sort_by_key(|(_, shard)| shard.saved_at);
        for (partition, shard) in waiting {
            events += shard.unsaved;
            if events > most && !parts.is_empty() {
                break;
            }
            shard.saved_at = now;
            let mut snapshot = shard.snapshot().await;
            told.extend(tell::records(shard, &mut snapshot, at));
            changes.push(snapshot.change);
            parts.push(*partition);
        }
        self.saving = Some((self.of.saver.begin(&self.of.context.tasks, changes, told, self.generation)?, parts));
        Ok(())
    }

    fn saved(&mut self, outcome: Result<()>) -> Result<()> {
        let parts = self.saving.take().map(|(_, parts)| parts).unwrap_or_default();
        outcome?;
        for partition in parts {
            if let Some(shard) = self.shards.get_mut(&partition) {
                shard.saved();
            }
        }
        Ok(())
    }

    /// Waits for the checkpoint that is being written, then writes what is left, of these partitions or of all.
    async fn settle(&mut self) -> Result<()> {
        if let Some((saving, _)) = &mut self.saving {
            let outcome = saving.done().await;
            self.saved(outcome)?;
        }
        if self.unsaved() > 0 {
            self.save(u64::MAX).await?;
            if let Some((saving, _)) = &mut self.saving {
                let outcome = saving.done().await;
                self.saved(outcome)?;
            }
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        self.tell(self.now(), true).await?;
        self.settle().await
    }

    async fn take(&mut self, delivery: Delivery) -> Result<()> {
        match delivery {
            Delivery::Assigned(partitions) => self.assigned(&partitions).await,
            Delivery::Revoked(partitions) => self.revoked(&partitions).await,
            Delivery::Batch(batch) => {
                let Some(shard) = self.shards.get_mut(&(batch.stream, batch.partition)) else { return Ok(()) };
                shard.ingest(&*self.of.store, &batch, &self.of.telemetry).await
            }
            Delivery::Idle => Ok(()),
        }
    }

    async fn assigned(&mut self, partitions: &[Partition]) -> Result<()> {
        let journal = Arc::clone(&self.of.journal);
        let parts: Vec<Part> = partitions.iter().map(|(stream, number)| Part::new(stream.name(), *number)).collect();
        let taken = self.of.store.take(&self.of.context.instance, &journal.identity(), &parts).await?;
        let told_as = Some(self.generation.number);
        for (partition, taken) in partitions.iter().zip(taken) {
            let (stream, number) = *partition;
            let start = journal.earliest(stream, number).await?;
            let mut shard = Shard::open(&*self.of.store, *partition, taken, start, told_as, self.of.rules).await?;
            self.consumer.lock().await.seek(shard.position()).await?;
            tracing::info!(part = %shard.part(), next = shard.next, fence = shard.held.fence, "partition taken");
            let at = self.wall();
            let clock = &self.of.context.clock;
            let sounded = sounding::sound_soon(&*journal, clock, &[*partition]).await?;
            let sounding = match sounded.and_then(|found| found.first().copied()) {
                Some(sounding) => sounding,
                None => Sounding { end: journal.end(stream, number).await?, ..Sounding::default() },
            };
            let oldest = sounding::oldest_from(&*journal, shard.position(), sounding.end);
            if let Ok(Ok(Some(at))) = clock.timeout(sounding::WITHIN, oldest).await {
                shard.is_current_until(at);
            }
            shard.begin(sounding, self.now());
            self.outbox.add(&mut shard, at, Scope { rows: true, details: true });
            self.outbox.add_fold(&shard, at, &self.of.context.instance);
            self.shards.insert(*partition, shard);
        }
        let now = self.now();
        self.tell(now, self.tells_details(now)).await
    }

    async fn revoked(&mut self, partitions: &[Partition]) -> Result<()> {
        // When they are another's already, this ends the membership: what was not written is folded again, by whoever
        // holds it.
        self.settle().await?;
        // What is being told of a partition must be there before it is given back.
        self.tell_all().await?;
        for partition in partitions {
            if let Some(shard) = self.shards.remove(partition) {
                let (part, next, blocks) = (shard.part(), shard.next, shard.blocks());
                tracing::info!(%part, next, blocks, "partition handed over");
                self.outbox.drop_part(shard.part());
            }
        }
        Ok(())
    }

    /// What cannot be read is named and stepped over; everything else ends this membership.
    async fn stumble(&mut self, error: journal::Error) -> Result<()> {
        let (partition, offset, next) = match &error {
            journal::Error::Damaged { stream, partition, offset, .. } => ((*stream, *partition), *offset, *offset + 1),
            journal::Error::Truncated { stream, partition, from, earliest } => {
                ((*stream, *partition), *from, *earliest)
            }
            _ => return Err(error.into()),
        };
        let Some(shard) = self.shards.get_mut(&partition) else { return Err(error.into()) };
        self.of.telemetry.damaged(shard.part(), offset, &error);
        self.of.context.health.check("history").degraded(error.to_string());
        shard.next = next;
        shard.unsaved += 1;
        self.consumer.lock().await.seek(Position::new(partition.0, partition.1, next)).await?;
        Ok(())
    }
}

/// An error with its causes.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
