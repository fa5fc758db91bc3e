//! Where the diverted go.
//!
//! Source: `overload.md`, "split": over the targets by min(capacity, containment), each with its own bucket and health.

use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;

/// Somewhere else to be served.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Calls per second that it takes at most.
    pub capacity_per_s: f64,
    /// The share of those led there who did not call again, as measured; what is assumed before anybody was.
    pub containment: f64,
    /// Whether it answers; one that does not gets nobody.
    pub healthy: bool,
}

impl Target {
    /// How many it helps each second: what it takes, less those who come back. None, when it is away.
    pub fn worth_per_s(&self) -> f64 {
        if self.healthy { self.capacity_per_s.max(0.0) * self.containment.clamp(0.05, 1.0) } else { 0.0 }
    }
}

/// Each target's share of the diverted; they add up to 1, or all are 0 when no target can take anybody.
///
/// A target is never given more than it takes: what is too much for one goes to the others, in proportion, and what is too much for all
/// of them is for the last resort of whoever enforces it.
pub fn shares(targets: &[Target], diverted_per_s: f64) -> Vec<f64> {
    let mut shares = vec![0.0; targets.len()];
    let mut open: Vec<usize> = (0..targets.len()).filter(|target| targets[*target].worth_per_s() > 0.0).collect();
    let mut left = 1.0;
    while !open.is_empty() {
        let worth: f64 = open.iter().map(|target| targets[*target].worth_per_s()).sum();
        let part = |target: usize| left * targets[target].worth_per_s() / worth;
        let most = |target: usize| targets[target].capacity_per_s / diverted_per_s.max(f64::MIN_POSITIVE);
        let full: Vec<usize> = open.iter().copied().filter(|target| part(*target) > most(*target)).collect();
        if full.is_empty() {
            open.iter().for_each(|target| shares[*target] = part(*target));
            return shares;
        }
        full.iter().for_each(|target| shares[*target] = most(*target));
        left -= full.iter().map(|target| shares[*target]).sum::<f64>();
        open.retain(|target| !full.contains(target));
    }
    // all are full: what they take stays in proportion
    let taken: f64 = shares.iter().sum();
    if taken > 0.0 {
        shares.iter_mut().for_each(|share| *share /= taken);
    }
    shares
}

/// Chooses a target for one call: by the caller's `place` along the shares, so that the same caller is led to the same one, and to the
/// next that has room when its bucket is full. `None` when no target takes anybody now.
pub fn choose(targets: &[Target], shares: &[f64], buckets: &mut [Bucket], place: f64, now_s: f64) -> Option<usize> {
    let mut passed = 0.0;
    let first = shares.iter().position(|share| {
        passed += share;
        place < passed
    });
    let start = first.or_else(|| shares.iter().rposition(|share| *share > 0.0))?;
    let mut order = (start..targets.len()).chain(0..start);
    order.find(|target| {
        let (target, at) = (&targets[*target], *target);
        target.worth_per_s() > 0.0
            && buckets[at].admit(now_s, target.capacity_per_s, target.capacity_per_s.mul_add(5.0, 1.0))
    })
}

/// min(automatic, operator, carrier): whoever lets fewer in decides. `None` is no word.
pub fn combine(automatic_per_s: f64, operator_per_s: Option<f64>, carrier_per_s: Option<f64>) -> f64 {
    [operator_per_s, carrier_per_s].into_iter().flatten().fold(automatic_per_s, f64::min).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(capacity_per_s: f64, containment: f64) -> Target {
        Target { capacity_per_s, containment, healthy: true }
    }

    #[test]
    fn who_helps_more_gets_more() {
        let targets = [target(10.0, 0.8), target(10.0, 0.2), Target { healthy: false, ..target(50.0, 1.0) }];
        assert_eq!(shares(&targets, 1.0), [0.8, 0.2, 0.0]);
    }

    #[test]
    fn what_is_too_much_for_one_goes_to_the_others() {
        let targets = [target(1.0, 1.0), target(4.0, 0.25)];
        // equal worth, but the first takes only one of four
        let shares = shares(&targets, 4.0);
        assert!((shares[0] - 0.25).abs() < 1e-12 && (shares[1] - 0.75).abs() < 1e-12, "{shares:?}");
    }

    #[test]
    fn without_a_healthy_target_nobody_is_led_anywhere() {
        let targets = [Target { healthy: false, ..target(1.0, 1.0) }];
        assert_eq!(shares(&targets, 1.0), [0.0]);
        assert_eq!(choose(&targets, &[0.0], &mut [Bucket::default()], 0.5, 0.0), None);
    }

    #[test]
    fn a_caller_is_led_to_the_same_target_and_to_the_next_when_it_is_full() {
        let targets = [target(1.0, 1.0), target(1.0, 1.0)];
        let mut buckets = [Bucket::default(); 2];
        let shares = shares(&targets, 1.0);
        let chosen: Vec<_> = (0..14).map(|_| choose(&targets, &shares, &mut buckets, 0.3, 0.0)).collect();
        assert_eq!(chosen[..6], [Some(0); 6]);
        assert_eq!(chosen[6..12], [Some(1); 6]);
        assert_eq!(chosen[12..], [None; 2]);
    }

    #[test]
    fn the_lowest_limit_decides() {
        assert_eq!(combine(5.0, None, None), 5.0);
        assert_eq!(combine(5.0, Some(3.0), Some(4.0)), 3.0);
        assert_eq!(combine(5.0, Some(9.0), Some(-1.0)), 0.0);
    }

    proptest! {
        #[test]
        fn shares_add_up_and_no_target_gets_more_than_it_takes(
            targets in prop::collection::vec((0.0..5.0f64, 0.0..1.0f64, any::<bool>()), 1..6), diverted in 0.01..10.0f64,
        ) {
            let targets: Vec<Target> =
                targets.into_iter().map(|(capacity_per_s, containment, healthy)| Target { capacity_per_s, containment, healthy }).collect();
            let shares = shares(&targets, diverted);
            let sum: f64 = shares.iter().sum();
            prop_assert!(sum == 0.0 || (sum - 1.0).abs() < 1e-9);
            let capacity: f64 = targets.iter().filter(|t| t.worth_per_s() > 0.0).map(|t| t.capacity_per_s).sum();
            if capacity >= diverted {
                for (target, share) in targets.iter().zip(&shares) {
                    prop_assert!(share * diverted <= target.capacity_per_s + 1e-9);
                }
            }
        }
    }
}
