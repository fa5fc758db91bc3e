//! The gate before the door: whether another batch can be taken now.
//!
//! What is acknowledged is on disk and will be counted; the gate sees to it that it is counted soon. Two bounds:
//!
//! - **backlog**: events that are accepted and not yet counted, here (`ingest`, not yet admitted) and behind us (`events.*`, not
//!   yet folded). Beyond what is counted within half of the allowed wait, as fast as it went lately, a sender is told to come back,
//!   before its batch is read. How fast it goes now nobody knows before it is over; so when one that was accepted already waits
//!   longer than allowed, nothing more is taken until it is counted, and a fold of which nothing is heard is believed to be slow.
//! - **in hand**: bytes of batches that are being read and decided on. Counted as they come, so that a sender who names a large
//!   batch and sends it slowly takes nothing from others.
//!
//! An aggregator that is away is no reason to refuse: the record is the truth, and is folded when it is back. So the backlog of
//! a stage that stands still for [`stages::STILL`] does not count.

mod stages;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use journal::{Journal, Position, Stream};
use service::http::Problem;
use service::{Clock, metric};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::aside::GROUP;
use stages::Stages;

/// The group under which an aggregator tells how far it has folded.
const FOLD: &str = "aggregator";
/// How long a look at the journal is good.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// When a refused sender may try again, in seconds.
const RETRY_S: u64 = 1;
/// Events from the door that may stand in the journal's queue at the same time. What is on its way already (the receiver's, the
/// aggregator's commits) uses the same queue, and must not wait behind everything that is still to come.
const WRITING_MAX: u32 = 2_000;
/// So many may always wait: a few batches, or a stretch that was slow for another reason would shut the door.
const BACKLOG_MIN: u64 = 2_000;
/// The share of the allowed wait in which as many as may wait are counted. The rest is for what it costs meanwhile to take them in.
const FOLDING: f64 = 0.5;
/// What waits longer than this share of what it may shows that the fold has been at work all the time. When less waits, it may have
/// waited for us, and that it did little says nothing of what it can do.
const PRESSED: f64 = 0.25;

/// Bounds of the gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Events that are accepted and not yet counted, at most.
    pub(crate) backlog: u64,
    /// How long an event may wait to be counted.
    pub(crate) wait: Duration,
    /// Bytes of batches that are being read and decided on.
    pub(crate) in_hand: usize,
}

/// The gate.
pub(crate) struct Gate {
    journal: Arc<dyn Journal>,
    clock: Clock,
    bounds: Bounds,
    hands: Arc<Semaphore>,
    writing: Semaphore,
    /// Events that passed, ever.
    passed: AtomicU64,
    seen: Mutex<Seen>,
    looking: tokio::sync::Mutex<Stages>,
    refused: metric::Counter,
    backlog: metric::Gauge,
}

/// What the last look saw.
#[derive(Clone, Copy)]
struct Seen {
    at: Option<Duration>,
    backlog: u64,
    /// What may wait.
    most: u64,
    /// Whether one waits longer than allowed.
    late: bool,
    /// [`Gate::passed`] when the look began: what passed since comes on top.
    passed: u64,
}

/// What is behind a stage, and what is before it.
#[derive(Debug, Default)]
struct Lag {
    /// Records that it is done with.
    done: u64,
    /// Records that wait for it.
    waiting: u64,
    /// Of each partition the first that waits.
    firsts: Vec<Position>,
}

/// Bytes in hand; given back when dropped.
pub(crate) struct Hand {
    gate: Arc<Gate>,
    held: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub(crate) fn new(journal: Arc<dyn Journal>, clock: Clock, bounds: Bounds) -> Arc<Gate> {
        metric::describe_counter("receiver_refused_total", "batches refused at the door for being too much, by reason");
        metric::describe_gauge(
            "receiver_backlog_events",
            "events that are accepted and not yet counted, when last looked at",
        );
        Arc::new(Gate {
            journal,
            clock,
            bounds,
            hands: Arc::new(Semaphore::new(kib(bounds.in_hand) as usize)),
            writing: Semaphore::new(WRITING_MAX as usize),
            passed: AtomicU64::new(0),
            seen: Mutex::new(Seen { at: None, backlog: 0, most: bounds.backlog, late: false, passed: 0 }),
            looking: tokio::sync::Mutex::new(Stages::new()),
            refused: metric::counter("receiver_refused_total", &[]),
            backlog: metric::gauge("receiver_backlog_events", &[]),
        })
    }

    /// Asked before a batch is read.
    pub(crate) async fn ask(&self) -> Result<(), Problem> {
        self.look().await;
        let (backlog, most) = self.backlog();
        if backlog >= most || self.seen().late { Err(self.refuse()) } else { Ok(()) }
    }

    /// Asked before a batch of so many events is written: counts them, or refuses.
    pub(crate) fn pass(&self, events: usize) -> Result<(), Problem> {
        let (backlog, most) = self.backlog();
        // A first batch passes whatever its size: it is bounded by itself.
        if backlog > 0 && backlog + events as u64 > most {
            return Err(self.refuse());
        }
        self.passed.fetch_add(events as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Waits for a turn to write so many events; it ends when the permit is dropped.
    pub(crate) async fn turn(&self, events: usize) -> Option<SemaphorePermit<'_>> {
        let events = u32::try_from(events).unwrap_or(WRITING_MAX).min(WRITING_MAX);
        self.writing.acquire_many(events).await.ok() // it is never closed
    }

    /// Room for a batch that comes in.
    pub(crate) fn hand(self: &Arc<Self>) -> Hand {
        Hand { gate: Arc::clone(self), held: None }
    }

    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many events wait, and how many may.
    fn backlog(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.backlog + self.passed.load(Ordering::Relaxed).saturating_sub(seen.passed), seen.most)
    }

    fn refuse(&self) -> Problem {
        self.refused.increment(1);
        let (backlog, most) = self.backlog();
        let detail = format!(
            "events come faster than they are counted: {backlog} wait, {most} may; nothing of this batch was kept, send it again"
        );
        Problem::too_many(detail, RETRY_S)
    }

    /// Looks at the journal when the last look is too old. One looks, the others go by what was seen last.
    async fn look(&self) {
        let now = self.clock.monotonic();
        let at = self.seen.lock().unwrap_or_else(PoisonError::into_inner).at;
        if at.is_some_and(|at| now.saturating_sub(at) < LOOK_EVERY) {
            return;
        }
        let Ok(mut stages) = self.looking.try_lock() else { return };
        let passed = self.passed.load(Ordering::Relaxed);
        // A journal that cannot be read will say so when the batch is appended.
        let Ok((admitting, folding)) = self.lags().await else { return };
        let counted = [
            stages.admitting.counts(admitting.done, admitting.waiting, now),
            stages.folding.counts(folding.done, folding.waiting, now),
        ];
        let backlog = counted[0] + counted[1];
        // Few that wait are no flood, however slow it goes.
        let waited = if backlog > BACKLOG_MIN.min(self.bounds.backlog) {
            let at_work =
                [(&admitting, counted[0]), (&folding, counted[1])].into_iter().filter(|(_, counts)| *counts > 0);
            self.oldest(at_work.flat_map(|(lag, _)| &lag.firsts)).await
        } else {
            Duration::ZERO
        };
        stages.measure(now, folding.done, folding.waiting, waited > self.bounds.wait.mul_f64(PRESSED));
        let rate = stages.believed(now);
        let most = ((rate * self.bounds.wait.as_secs_f64() * FOLDING) as u64).max(BACKLOG_MIN).min(self.bounds.backlog);
        let late = waited > self.bounds.wait;
        self.backlog.set(backlog as f64);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen { at: Some(self.clock.monotonic()), backlog, most, late, passed };
    }

    /// How long the one waits that waits longest.
    async fn oldest(&self, firsts: impl Iterator<Item = &Position>) -> Duration {
        let now = self.clock.now_ms();
        let mut oldest = Duration::ZERO;
        for first in firsts {
            // What cannot be read here is for others to step over; it says nothing of the age.
            let Ok(batch) = self.journal.read(first.stream, first.partition, first.offset, 1, 1).await else {
                continue;
            };
            let since = batch.records.first().map_or(now, |record| record.recorded_at_ms);
            oldest = oldest.max(Duration::from_millis(u64::try_from(now - since).unwrap_or(0)));
        }
        oldest
    }

    /// Of each stage.
    async fn lags(&self) -> journal::Result<(Lag, Lag)> {
        let admitting = self.lag(GROUP, &[Stream::Ingest]).await?;
        let folding = self.lag(FOLD, &Stream::EVENTS).await?;
        Ok((admitting, folding))
    }

    async fn lag(&self, group: &str, streams: &[Stream]) -> journal::Result<Lag> {
        let mut positions = self.journal.committed(group).await?;
        positions.retain(|position| streams.contains(&position.stream));
        let asked: Vec<_> = positions.iter().map(Position::partition).collect();
        let mut lag = Lag::default();
        for (position, end) in positions.into_iter().zip(self.journal.ends(&asked).await?) {
            lag.done += position.offset;
            lag.waiting += end.saturating_sub(position.offset);
            if end > position.offset {
                lag.firsts.push(position);
            }
        }
        Ok(lag)
    }
}

impl Hand {
    /// Takes room for so many more bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        let Ok(more) = Arc::clone(&self.gate.hands).try_acquire_many_owned(kib(bytes)) else {
            self.gate.refused.increment(1);
            let detail = format!(
                "batches of {} MiB are being read, which is as much as may be; nothing of this one was kept, send it again",
                self.gate.bounds.in_hand >> 20
            );
            return Err(Problem::too_many(detail, RETRY_S));
        };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::stages::STILL;
    use super::*;
    use journal::memory::Memory;
    use journal::{Commit, Entry, Topology};

    async fn append(journal: &Arc<dyn Journal>, stream: Stream, records: usize) {
        let entries = (0..records).map(|n| Entry::new(stream, "k", n.to_string())).collect();
        journal.append(entries).await.unwrap();
    }

    async fn commit(journal: &Arc<dyn Journal>, group: &str, stream: Stream, offset: u64) {
        let positions = vec![Position::new(stream, 0, offset)];
        journal.append_and_commit(Commit { group: group.to_owned(), positions, ..Commit::default() }).await.unwrap();
    }

    fn gate(backlog: u64) -> (Arc<Gate>, Arc<dyn Journal>, Clock) {
        let clock = Clock::manual(1_795_227_084_000);
        let journal: Arc<dyn Journal> = Memory::new(Topology::uniform(1), clock.clone());
        (
            Gate::new(
                Arc::clone(&journal),
                clock.clone(),
                Bounds { backlog, wait: Duration::from_secs(2), in_hand: 4 << 10 },
            ),
            journal,
            clock,
        )
    }

    #[tokio::test]
    async fn what_waits_to_be_admitted_or_folded_closes_the_gate_until_it_is_done() {
        let (gate, journal, clock) = gate(10);
        gate.ask().await.unwrap();
        append(&journal, Stream::Ingest, 6).await;
        append(&journal, Stream::EventsQueue, 6).await;
        commit(&journal, GROUP, Stream::Ingest, 0).await;
        commit(&journal, FOLD, Stream::EventsQueue, 1).await;
        clock.advance(LOOK_EVERY).await;
        let refusal = gate.ask().await.unwrap_err();
        assert_eq!((refusal.status, refusal.retry_after_seconds), (429, Some(1)));
        assert!(refusal.detail.contains("11 wait, 10 may"), "{}", refusal.detail);
        commit(&journal, FOLD, Stream::EventsQueue, 6).await;
        clock.advance(LOOK_EVERY).await;
        gate.ask().await.unwrap();
    }

    #[tokio::test]
    async fn what_passed_since_the_last_look_counts() {
        let (gate, _, _) = gate(10);
        gate.ask().await.unwrap();
        gate.pass(25).unwrap();
        assert_eq!(gate.pass(1).unwrap_err().status, 429);
        assert_eq!(gate.ask().await.unwrap_err().status, 429);
    }

    #[tokio::test]
    async fn an_aggregator_that_is_away_refuses_nobody_for_long() {
        let (gate, journal, clock) = gate(10);
        append(&journal, Stream::EventsQueue, 50).await;
        commit(&journal, FOLD, Stream::EventsQueue, 1).await;
        gate.ask().await.unwrap_err();
        clock.advance(STILL + LOOK_EVERY).await;
        gate.ask().await.unwrap();
        commit(&journal, FOLD, Stream::EventsQueue, 2).await;
        clock.advance(LOOK_EVERY).await;
        gate.ask().await.unwrap_err();
    }

    #[tokio::test]
    async fn as_much_may_wait_as_is_folded_within_the_allowed_wait() {
        let (gate, journal, clock) = gate(1_000_000);
        append(&journal, Stream::EventsQueue, 90_000).await;
        commit(&journal, FOLD, Stream::EventsQueue, 1).await;
        gate.ask().await.unwrap_err();
        assert_eq!(gate.backlog(), (89_999, 5_000));
        for second in 1..=20 {
            clock.advance(Duration::from_secs(1)).await;
            commit(&journal, FOLD, Stream::EventsQueue, second * 4_000).await;
            let _ = gate.ask().await;
        }
        let (backlog, most) = gate.backlog();
        assert_eq!(backlog, 10_000);
        assert!((4_000..4_010).contains(&most), "{most}: 4,000 a second, for the half of two seconds");
        // What comes at once when nothing waits says nothing of how fast it could go.
        commit(&journal, FOLD, Stream::EventsQueue, 90_000).await;
        clock.advance(Duration::from_secs(60)).await;
        gate.ask().await.unwrap();
    }

    #[tokio::test]
    async fn while_one_waits_longer_than_allowed_nothing_more_is_taken() {
        let (gate, journal, clock) = gate(1_000_000);
        append(&journal, Stream::EventsQueue, 4_900).await;
        commit(&journal, FOLD, Stream::EventsQueue, 1).await;
        gate.ask().await.unwrap();
        clock.advance(Duration::from_millis(1_500)).await;
        // It goes on, and fast: as many more may wait. But the first of those that wait has waited for long.
        commit(&journal, FOLD, Stream::EventsQueue, 1_500).await;
        gate.ask().await.unwrap();
        clock.advance(Duration::from_millis(600)).await;
        commit(&journal, FOLD, Stream::EventsQueue, 1_600).await;
        gate.ask().await.unwrap_err();
        commit(&journal, FOLD, Stream::EventsQueue, 4_900).await;
        append(&journal, Stream::EventsQueue, 2_500).await;
        clock.advance(LOOK_EVERY).await;
        gate.ask().await.unwrap();
    }

    #[tokio::test]
    async fn bytes_in_hand_are_bounded_and_given_back() {
        let (gate, _, _) = gate(10);
        let mut one = gate.hand();
        one.take(3 << 10).unwrap();
        let mut other = gate.hand();
        other.take(1 << 10).unwrap();
        assert_eq!(other.take(1).unwrap_err().status, 429);
        drop(one);
        other.take(3 << 10).unwrap();
    }
}
