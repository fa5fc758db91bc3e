//! Trying again: exponential, capped, with full jitter, forgiven after a stable while.

use std::time::Duration;

use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Clock, ConfigFile, Millis, Problems, Rng};

/// How to wait between tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The most that the first wait can be.
    pub first: Millis,
    /// The most that any wait can be.
    pub max: Millis,
    /// A connection that lived this long forgives the failures before it.
    pub stable_after: Millis,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { first: Millis::new(250), max: Millis::seconds(30), stable_after: Millis::seconds(30) }
    }
}

impl ConfigFile for Policy {
    fn check(&self, problems: &mut Problems) {
        if self.first.get() == 0 {
            problems.add("first", self.first, "would try again without a pause", "use 50ms or more");
        }
        if self.max < self.first {
            problems.add("max", self.max, format!("is less than first ({})", self.first), "make it at least as long");
        }
    }
}

/// The waits of one thing that is tried again and again (a connection). Full jitter: each wait is uniform between nothing
/// and a ceiling that doubles, so that a thousand clients of one server that came back do not arrive together
/// (Brooker, "Exponential Backoff and Jitter", 2015).
#[derive(Debug)]
pub struct Backoff {
    policy: Policy,
    rng: Rng,
    clock: Clock,
    failures: u32,
    up_since: Option<Duration>,
}

impl Backoff {
    /// No failure yet.
    pub fn new(policy: Policy, rng: Rng, clock: Clock) -> Self {
        Backoff { policy, rng, clock, failures: 0, up_since: None }
    }

    /// It works now. Only when it goes on working for `stable_after` are past failures forgiven: a server that accepts
    /// and drops at once must not be hammered.
    pub fn succeeded(&mut self) {
        self.up_since.get_or_insert(self.clock.monotonic());
    }

    /// It failed: how long to wait before the next try.
    pub fn failed(&mut self) -> Duration {
        let up = self.up_since.take().map(|since| self.clock.monotonic().saturating_sub(since));
        if up.is_some_and(|up| up >= self.policy.stable_after.duration()) {
            self.failures = 0;
        }
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        Duration::from_millis(self.rng.random_range(0..=ceiling))
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// [`Backoff::failed`], then waits that long.
    pub async fn wait(&mut self) {
        let wait = self.failed();
        self.clock.sleep(wait).await;
    }

    fn ceiling(&self) -> u64 {
        let doubled =
            self.policy.first.get().saturating_mul(1_u64.checked_shl(self.failures.min(62)).unwrap_or(u64::MAX));
        doubled.min(self.policy.max.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seeds;

    fn backoff(clock: &Clock, seed: u64) -> Backoff {
        Backoff::new(Policy::default(), Seeds::fixed(seed).stream("retry"), clock.clone())
    }

    #[test]
    fn waits_grow_to_the_cap_with_jitter_and_the_same_seed_gives_the_same_waits() {
        let clock = Clock::manual(0);
        let waits = |seed| {
            (0..40)
                .map({
                    let mut b = backoff(&clock, seed);
                    move |_| b.failed()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        assert!(waits(1)[0] <= Duration::from_millis(250) && waits(1)[1] <= Duration::from_millis(500));
        assert!(waits(1).iter().all(|wait| *wait <= Duration::from_secs(30)));
        assert!(waits(1)[20..].iter().any(|wait| *wait > Duration::from_secs(10)), "the ceiling is reached");
    }

    #[tokio::test]
    async fn only_a_stable_while_forgives() {
        let clock = Clock::manual(0);
        let mut backoff = backoff(&clock, 1);
        for _ in 0..6 {
            backoff.failed();
        }
        backoff.succeeded();
        clock.advance(Duration::from_secs(1)).await;
        backoff.failed();
        assert_eq!(backoff.failures(), 7, "accepted and dropped at once is not stable");
        backoff.succeeded();
        clock.advance(Duration::from_secs(31)).await;
        backoff.failed();
        assert_eq!(backoff.failures(), 1);
    }
}
