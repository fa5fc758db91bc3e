//! The loop: reads `views` from its beginning, paints what changed, publishes at once or with the next tick, and beats.
//!
//! Every pusher reads the stream for itself, without a group, and commits nothing. Where views are shared, it begins with those and reads
//! what came since; else, and whenever they are away, it reads all.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all, select_all};
use journal::{Batch, Journal, Stream};
use model::{Directory, Time};
use service::health::{Check, Pulse};
use service::{Clock, Drain};
use store::reports::RowFilter;
use store::{Live, Reports};

use super::pace;
use super::paint::paint;
use super::parts::SHOWN;
use super::picture::Picture;
use crate::sharing::recall::recall;
use crate::ws::feed::Stamp;
use crate::ws::hub::Hub;
use crate::ws::topic::Topic;

/// How it paces itself.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The shortest time between two frames of a feed.
    pub tick: Duration,
    /// How often the age of the figures is told.
    pub beat: Duration,
}

/// What it works with.
pub struct Follow {
    /// Where the views are.
    pub journal: Arc<dyn Journal>,
    /// Where the rows of today are that `views` no longer tells of.
    pub reports: Arc<dyn Reports>,
    /// What pushers share of the views.
    pub live: Option<Arc<dyn Live>>,
    /// Where to show them.
    pub hub: Arc<Hub>,
    /// Names, thresholds, zones.
    pub directory: Arc<Directory>,
    /// The time.
    pub clock: Clock,
    /// Asks to finish.
    pub drain: Drain,
    /// How it paces itself.
    pub pace: Pace,
    /// Whether the figures are fresh.
    pub health: Check,
    /// Whether the loop turns.
    pub pulse: Pulse,
}

/// How long rows are kept in memory, in milliseconds: as long as late events are accepted, and a day.
const KEPT_MS: i64 = 48 * 3_600_000;
/// The most rows in memory; of more, the oldest are left to the reports.
const ROWS_MAX: usize = 500_000;
/// Records and bytes of one read.
const READ: (usize, usize) = (2_000, 4 << 20);
/// What one frame to one follower costs the processor: measured by the bench `fanout`, the kernel's part included.
const WRITE_COST: Duration = Duration::from_micros(10);
/// Partitions read at the same time.
const AT_ONCE: usize = 4;
/// A frame that may be written waits for what is there to be read at once, and no longer than this.
const GATHERING: Duration = Duration::from_millis(2);
/// How long to wait before a read is tried again.
const PAUSE: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);

struct Loop {
    env: Follow,
    picture: Picture,
    next: Vec<u64>,
    pace: pace::Pace,
    /// How long painting and publishing took last.
    cost: Duration,
    looked: Duration,
    beaten: Duration,
    minute: i64,
}

impl Follow {
    /// Follows until the drain.
    ///
    /// # Errors
    /// When the journal is closed or damaged.
    pub async fn run(self) -> journal::Result<()> {
        let partitions = self.journal.partitions(Stream::Views);
        let mut next = Vec::new();
        for partition in 0..partitions {
            next.push(self.again(|| self.journal.earliest(Stream::Views, partition)).await?);
        }
        let picture = Picture::new(Arc::clone(&self.directory));
        let now = self.clock.monotonic();
        let mut running = Loop {
            env: self,
            picture,
            next,
            pace: pace::Pace::default(),
            cost: Duration::ZERO,
            looked: now,
            beaten: now,
            minute: i64::MIN,
        };
        running.recall().await;
        running.load().await;
        running.catch_up().await?;
        running.turn().await
    }

    /// Asks the journal again while it is away: screens that are there already wait with us, and see how old their figures are.
    async fn again<T, F>(&self, ask: impl Fn() -> F) -> journal::Result<T>
    where
        F: Future<Output = journal::Result<T>>,
    {
        loop {
            match ask().await {
                Err(error) if error.class() == journal::Class::Transient && !self.drain.is_started() => {
                    tracing::warn!(%error, "the journal cannot be asked now; asking again");
                    self.clock.sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}

impl Loop {
    fn now(&self) -> Time {
        Time(self.env.clock.now_ms())
    }

    /// The views that are shared. The rows come after them, so that none falls between what was stored then and what is read now.
    async fn recall(&mut self) {
        let Some(live) = self.env.live.clone() else { return };
        if let Some(recalled) = recall(&*live, &*self.env.journal, &self.env.clock).await {
            for (key, partial) in &recalled.views {
                self.picture.take(key.as_bytes(), partial.value.as_deref().unwrap_or_default());
            }
            service::metric::gauge("pusher_recalled_views", &[]).set(recalled.views.len() as f64);
            self.next = recalled.next;
        }
    }

    /// The rows of the last days, as the store has them.
    async fn load(&mut self) {
        let now = self.now();
        let from = now + -KEPT_MS;
        self.picture.parts.forget_rows_before(from);
        for dim in SHOWN {
            let filter = RowFilter::new(dim, from, now + 3_600_000);
            match self.env.reports.blocks_in(&filter).await {
                Ok(blocks) => {
                    for (part, block) in blocks {
                        for (start, row) in block.rows {
                            let key = block.key.row(start);
                            let sums = &mut self.picture.sums;
                            self.picture.parts.take_stored(key, part.clone(), block.version, row, sums);
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, %dim, "rows of today are not in the store's answer; the stream will tell")
                }
            }
        }
    }

    /// Reads to the end that there is now, so that the first picture is whole.
    async fn catch_up(&mut self) -> journal::Result<()> {
        for partition in 0..self.next.len() {
            let end = self.env.again(|| self.env.journal.end(Stream::Views, partition as u32)).await?;
            while self.next[partition] < end && !self.env.drain.is_started() {
                self.read(partition).await?;
            }
        }
        self.second();
        self.publish();
        Ok(())
    }

    async fn turn(&mut self) -> journal::Result<()> {
        let (clock, drain) = (self.env.clock.clone(), self.env.drain.clone());
        // Since when there is something to show.
        let mut news: Option<Duration> = None;
        loop {
            let now = clock.monotonic();
            let second = self.looked + SECOND;
            let due = news.map_or(second, |_| self.pace.due().min(second)).saturating_sub(now);
            let journal = Arc::clone(&self.env.journal);
            let ready = ready(&*journal, &self.next);
            let rest = async {
                if !due.is_zero() {
                    clock.sleep(due).await;
                }
            };
            tokio::select! {
                biased;
                () = drain.started() => return Ok(()),
                // First, so that one frame speaks of all that is there.
                partition = ready => {
                    partition.1?;
                    self.read_ready(partition.0).await?;
                    let since = *news.get_or_insert(now);
                    let due = self.pace.due().max(since);
                    if clock.monotonic() < (due + GATHERING).min(second) {
                        continue;
                    }
                }
                () = rest => {}
            }
            let now = clock.monotonic();
            if now >= second {
                self.second();
                news.get_or_insert(now);
            }
            if news.is_some() && now >= self.pace.due() {
                self.publish();
                news = None;
            }
            if news.is_none() {
                self.beat();
            }
        }
    }

    /// Reads this partition, and beside it others that have something, too.
    async fn read_ready(&mut self, first: usize) -> journal::Result<()> {
        let journal = Arc::clone(&self.env.journal);
        let has_more = |partition: &usize| {
            let wait = journal.wait_past(Stream::Views, *partition as u32, self.next[*partition]);
            *partition != first && wait.now_or_never().is_some()
        };
        let others = (0..self.next.len()).filter(has_more);
        let ready: Vec<usize> = std::iter::once(first).chain(others).take(AT_ONCE).collect();
        let reads = ready.iter().map(|&partition| self.look(partition));
        for (partition, batch) in ready.iter().zip(join_all(reads).await) {
            self.take(*partition, batch).await?;
        }
        Ok(())
    }

    async fn read(&mut self, partition: usize) -> journal::Result<()> {
        let batch = self.look(partition).await;
        self.take(partition, batch).await
    }

    async fn look(&self, partition: usize) -> journal::Result<Batch> {
        self.env.journal.read(Stream::Views, partition as u32, self.next[partition], READ.0, READ.1).await
    }

    async fn take(&mut self, partition: usize, batch: journal::Result<Batch>) -> journal::Result<()> {
        match batch {
            Ok(batch) => {
                for record in &batch.records {
                    self.picture.take(&record.key, &record.value);
                }
                self.next[partition] = batch.next;
                Ok(())
            }
            Err(error) => self.step_over(partition, error).await,
        }
    }

    /// Views can be told again at any time: what cannot be read is stepped over, and said.
    async fn step_over(&mut self, partition: usize, error: journal::Error) -> journal::Result<()> {
        tracing::warn!(partition, %error, "views cannot be read here; going on");
        service::metric::counter("pusher_stepped_over_total", &[]).increment(1);
        match error {
            journal::Error::Truncated { earliest, .. } => self.next[partition] = earliest,
            journal::Error::Damaged { offset, .. } => self.next[partition] = offset + 1,
            journal::Error::Beyond { .. } => {
                // Another journal, or an older copy of it: what was known is of another world.
                let earliest = || self.env.journal.earliest(Stream::Views, partition as u32);
                self.next[partition] = self.env.again(earliest).await?;
                self.picture = Picture::new(Arc::clone(&self.env.directory));
                self.env.hub.board(|board| Topic::ALL.into_iter().for_each(|topic| board.retain(topic, |_| false)));
                self.load().await;
            }
            error if error.class() == journal::Class::Transient => self.env.clock.sleep(PAUSE).await,
            error => return Err(error),
        }
        Ok(())
    }

    fn stamp(&self) -> Stamp {
        let now = self.now();
        let age = |at: Option<Time>| at.map(|at| now.since(at).max(0));
        let parts = &self.picture.parts;
        self.env.hub.judged(now, age(parts.fresh_at()), age(parts.details_fresh_at()))
    }

    /// The time of one frame; wider where a frame costs so much that the loop would do nothing else (half of the time is for reading), and where
    /// so many follow that writing to them would take more than a core.
    fn tick(&self) -> Duration {
        let followers = u32::try_from(self.env.hub.followers()).unwrap_or(u32::MAX);
        self.env.pace.tick.max(self.cost * 2).max(WRITE_COST * followers)
    }

    fn publish(&mut self) {
        let (now, begun) = (self.now(), self.env.clock.monotonic());
        self.picture.sort(now);
        let picture = &mut self.picture;
        self.env.hub.board(|board| paint(picture, board, now));
        self.env.hub.publish(self.stamp());
        self.cost = self.env.clock.monotonic().saturating_sub(begun);
        self.pace.wrote(begun, self.env.pace.tick, self.tick());
    }

    /// Says how old what was published is. Never while something was read that is not: it would be called newer than it is.
    fn beat(&mut self) {
        let now = self.env.clock.monotonic();
        if now.saturating_sub(self.beaten) >= self.env.pace.beat {
            self.beaten = now;
            self.env.hub.beat(self.stamp());
        }
    }

    /// What changes by time alone.
    fn second(&mut self) {
        let (mono, now) = (self.env.clock.monotonic(), self.now());
        self.looked = mono;
        self.env.pulse.beat();
        self.env.hub.sweep(mono);
        if self.picture.parts.forget_rows_beyond(ROWS_MAX) {
            tracing::warn!(most = ROWS_MAX, "more rows than fit: late changes of the oldest are seen in reports only");
        }
        let minute = now.ms().div_euclid(60_000);
        if minute != self.minute {
            self.minute = minute;
            self.picture.parts.forget_rows_before(now + -KEPT_MS);
            self.picture.sums.forget(now, now + -KEPT_MS);
            self.picture.soil();
            let oldest = now + -KEPT_MS;
            self.env.hub.board(|board| {
                board.retain(Topic::Intervals, |key| {
                    key.rsplit_once('@').and_then(|(_, start)| Time::parse(start).ok()).is_some_and(|s| s >= oldest)
                });
            });
        }
        let stamp = self.stamp();
        match stamp.age_ms {
            None => self.env.health.degraded("no figures have come yet: is the aggregator running?"),
            Some(age) if stamp.stale => self.env.health.degraded(format!("the figures are {age} ms old")),
            Some(_) => self.env.health.ok(),
        }
        let age = stamp.age_ms.map_or(f64::NAN, |age| age as f64 / 1000.0);
        service::metric::gauge("pusher_age_seconds", &[]).set(age);
        service::metric::gauge("pusher_feeds", &[]).set(self.env.hub.feeds() as f64);
        service::metric::counter("pusher_surplus_total", &[]).absolute(self.picture.parts.surplus());
        service::metric::counter("pusher_malformed_total", &[]).absolute(self.picture.parts.malformed());
    }
}

type Ready<'a> = BoxFuture<'a, (usize, journal::Result<()>)>;

/// Resolves with a partition that has something to read.
fn ready<'a>(journal: &'a dyn Journal, next: &[u64]) -> BoxFuture<'a, (usize, journal::Result<()>)> {
    let wait = |(partition, next): (usize, &u64)| -> Ready<'a> {
        let next = *next;
        async move { (partition, journal.wait_past(Stream::Views, partition as u32, next).await) }.boxed()
    };
    select_all(next.iter().enumerate().map(wait).collect::<Vec<_>>()).map(|(ready, _, _)| ready).boxed()
}
