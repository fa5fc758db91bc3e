//! Time comes in through a [`Clock`], so that a test or a simulation can own it.
//!
//! Two readings, never mixed: [`Clock::now_ms`] is wall time (may jump, is what events carry), and
//! [`Clock::monotonic`] only grows (is what waits and deadlines are made of).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::simulation::Place;

/// Where a component reads the time and waits. A cheap handle: clones share one time.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { origin: tokio::time::Instant },
    Manual(Arc<Mutex<Manual>>),
    Simulated(Place),
}

struct Manual {
    start_ms: i64,
    elapsed: Duration,
    // Keyed by (deadline, order of arrival), so that equal deadlines wake in the order they were asked.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    next: u64,
}

/// The future did not finish within the time it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not finished within {0:?}")]
pub struct Elapsed(pub Duration);

impl Clock {
    /// The machine's own time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the machine's clock is read")]
    pub fn system() -> Self {
        Clock(Source::System { origin: tokio::time::Instant::now() })
    }

    /// A time that stands still until [`Clock::advance`] moves it. `start_ms`: Unix milliseconds.
    pub fn manual(start_ms: i64) -> Self {
        Clock(Source::Manual(Arc::new(Mutex::new(Manual {
            start_ms,
            elapsed: Duration::ZERO,
            sleepers: BTreeMap::new(),
            next: 0,
        }))))
    }

    /// The time of a simulated process; tasks that are started on it run there.
    pub(crate) fn simulated(place: Place) -> Self {
        Clock(Source::Simulated(place))
    }

    /// Where tasks run that are started on this clock, when that is a simulation.
    pub(crate) fn place(&self) -> Option<&Place> {
        match &self.0 {
            Source::Simulated(place) => Some(place),
            Source::System { .. } | Source::Manual(_) => None,
        }
    }

    /// Wall time: milliseconds since the Unix epoch, UTC.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the machine's clock is read")]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::System { .. } => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Manual(manual) => {
                let manual = lock(manual);
                manual.start_ms.saturating_add(i64::try_from(manual.elapsed.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Simulated(place) => place.now_ms(),
        }
    }

    /// Time since this clock was made; never goes back.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the machine's clock is read")]
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Source::System { origin } => tokio::time::Instant::now().duration_since(*origin),
            Source::Manual(manual) => lock(manual).elapsed,
            Source::Simulated(place) => place.monotonic(),
        }
    }

    /// Resolves when `duration` has passed on this clock. Dropping the future forgets the wait.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the machine's clock is waited for")]
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::System { .. } => tokio::time::sleep(duration).await,
            Source::Simulated(place) => place.sleep(duration).await,
            Source::Manual(manual) => {
                let woken = {
                    let mut manual = lock(manual);
                    if duration.is_zero() {
                        return;
                    }
                    let (wake, woken) = oneshot::channel();
                    let at = manual.elapsed.saturating_add(duration);
                    let order = manual.next;
                    manual.next += 1;
                    manual.sleepers.insert((at, order), wake);
                    woken
                };
                // An error means that the clock itself is gone: nothing will ever wake us, so neither do we wake.
                if woken.await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Resolves at wall time `at_ms` (Unix milliseconds), at once when it has passed.
    pub async fn sleep_until_ms(&self, at_ms: i64) {
        let left = at_ms.saturating_sub(self.now_ms());
        if let Ok(left) = u64::try_from(left) {
            self.sleep(Duration::from_millis(left)).await;
        }
    }

    /// `future`, given up after `limit`.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(limit) => Err(Elapsed(limit)),
        }
    }

    /// A tick every `period`; the first after one period. Ticks missed while the owner was busy are skipped.
    pub fn interval(&self, period: Duration) -> Interval {
        let period = period.max(Duration::from_millis(1));
        Interval { clock: self.clone(), period, next: self.monotonic() + period }
    }

    /// Moves a manual clock, waking sleepers one deadline at a time and letting them run in between, so that what a
    /// woken task asks for next is honoured within the same move. On other clocks this is a plain sleep.
    pub async fn advance(&self, by: Duration) {
        let Source::Manual(manual) = &self.0 else {
            return self.sleep(by).await;
        };
        let end = lock(manual).elapsed.saturating_add(by);
        settle().await;
        while wake_next(manual, end) {
            settle().await;
        }
        lock(manual).elapsed = end;
        settle().await;
    }

    /// True when time only moves by [`Clock::advance`].
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.0 {
            Source::System { .. } => "system",
            Source::Manual(_) => "manual",
            Source::Simulated(_) => "simulated",
        };
        write!(f, "Clock({kind}, {} ms)", self.now_ms())
    }
}

/// A steady tick on a [`Clock`].
#[derive(Debug)]
pub struct Interval {
    clock: Clock,
    period: Duration,
    next: Duration,
}

impl Interval {
    /// Resolves at the next tick. Safe to drop and call again (in a `select!`): no tick is lost or doubled.
    pub async fn tick(&mut self) {
        let now = self.clock.monotonic();
        self.clock.sleep(self.next.saturating_sub(now)).await;
        let now = self.clock.monotonic();
        let late = now.saturating_sub(self.next);
        let missed = late.as_nanos() / self.period.as_nanos();
        self.next += self.period * u32::try_from(missed + 1).unwrap_or(u32::MAX);
    }
}

fn lock(manual: &Mutex<Manual>) -> std::sync::MutexGuard<'_, Manual> {
    manual.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Wakes the earliest sleeper due by `end`, setting the time to its deadline. False when none is left.
fn wake_next(manual: &Mutex<Manual>, end: Duration) -> bool {
    let mut manual = lock(manual);
    // Sleepers that were dropped must not hold the time back, nor cost a round of settling.
    manual.sleepers.retain(|_, wake| !wake.is_closed());
    let Some(entry) = manual.sleepers.first_entry().filter(|entry| entry.key().0 <= end) else {
        return false;
    };
    let ((at, _), wake) = entry.remove_entry();
    manual.elapsed = manual.elapsed.max(at);
    let _ = wake.send(());
    true
}

/// Lets the tasks of this runtime run until they wait again (enough rounds for a chain of a few hand-overs).
async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_stands_still_until_it_is_moved() {
        let clock = Clock::manual(1_000);
        assert_eq!(clock.now_ms(), 1_000);
        clock.advance(Duration::from_millis(250)).await;
        assert_eq!((clock.now_ms(), clock.monotonic()), (1_250, Duration::from_millis(250)));
    }

    #[tokio::test]
    async fn one_move_honours_the_waits_that_woken_tasks_ask_for() {
        let clock = Clock::manual(0);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = {
            let (clock, seen) = (clock.clone(), Arc::clone(&seen));
            async move {
                let mut every = clock.interval(Duration::from_secs(10));
                for _ in 0..3 {
                    every.tick().await;
                    seen.lock().unwrap().push(clock.now_ms());
                }
            }
        };
        tokio::join!(task, clock.advance(Duration::from_secs(60)));
        assert_eq!(*seen.lock().unwrap(), [10_000, 20_000, 30_000]);
    }

    #[tokio::test]
    async fn a_future_that_is_too_slow_is_given_up() {
        let clock = Clock::manual(0);
        let wait = clock.timeout(Duration::from_secs(1), std::future::pending::<()>());
        let (outcome, ()) = tokio::join!(wait, clock.advance(Duration::from_secs(2)));
        assert_eq!(outcome, Err(Elapsed(Duration::from_secs(1))));
    }

    #[tokio::test]
    async fn an_interval_skips_the_ticks_its_owner_missed() {
        let clock = Clock::manual(0);
        let mut every = clock.interval(Duration::from_secs(1));
        clock.advance(Duration::from_millis(3_500)).await;
        every.tick().await; // one tick for the three that were missed
        let (at, ()) = tokio::join!(
            async {
                every.tick().await;
                clock.now_ms()
            },
            clock.advance(Duration::from_secs(2))
        );
        assert_eq!(at, 4_000);
    }
}
