//! The leaky bucket that keeps a rate.
//!
//! Source: RFC 7415, section 3.5.1: a counter X that leaks with time; a call is admitted when X' = X − (t − t_last) is not above TAU, and
//! then adds T = 1/rate. The protected have a larger TAU of the same bucket, so that what they take is missing for the others.

/// A bucket; its fill is in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    filled_s: f64,
    last_s: f64,
}

impl Bucket {
    /// Whether a call may pass at `rate_per_s` with a burst of `burst` calls, and if so, takes its place. Times ascend; an earlier one is
    /// taken as the last. A rate of 0 lets nobody pass.
    pub fn admit(&mut self, now_s: f64, rate_per_s: f64, burst: f64) -> bool {
        if rate_per_s <= 0.0 {
            return false;
        }
        let gap_s = 1.0 / rate_per_s;
        let left_s = self.filled_s - (now_s - self.last_s).max(0.0);
        if left_s > (burst - 1.0).max(0.0) * gap_s {
            return false;
        }
        self.filled_s = left_s.max(0.0) + gap_s;
        self.last_s = self.last_s.max(now_s);
        true
    }

    /// Takes the place of a call that passed for another reason, and must be missing for the others. It makes the debt no larger than
    /// `burst` calls, and never less than it was: another rate, or somebody with a deeper burst, may have made it.
    pub fn charge(&mut self, now_s: f64, rate_per_s: f64, burst: f64) {
        if rate_per_s > 0.0 {
            let gap_s = 1.0 / rate_per_s;
            let left_s = (self.filled_s - (now_s - self.last_s).max(0.0)).max(0.0);
            self.filled_s = (left_s + gap_s).min(burst.max(1.0) * gap_s).max(left_s);
            self.last_s = self.last_s.max(now_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_then_one_for_each_gap() {
        let mut bucket = Bucket::default();
        let passed = (0..10).filter(|_| bucket.admit(5.0, 2.0, 4.0)).count();
        assert_eq!(passed, 4);
        assert!(!bucket.admit(5.4, 2.0, 4.0) && bucket.admit(5.5, 2.0, 4.0) && !bucket.admit(5.5, 2.0, 4.0));
    }

    #[test]
    fn the_protected_reach_deeper_into_the_same_bucket() {
        let mut bucket = Bucket::default();
        (0..4).for_each(|_| assert!(bucket.admit(0.0, 1.0, 4.0)));
        assert!(!bucket.admit(0.0, 1.0, 4.0));
        assert!(bucket.admit(0.0, 1.0, 8.0), "protected");
        assert!(!bucket.admit(1.0, 1.0, 4.0), "what they took is missing");
    }

    #[test]
    fn a_place_that_is_taken_forgives_no_debt() {
        let mut bucket = Bucket::default();
        assert!(bucket.admit(0.0, 0.2, 1.0), "the next one in five seconds");
        bucket.charge(0.5, 10.0, 1.0);
        assert!(!bucket.admit(4.9, 0.2, 1.0) && bucket.admit(5.0, 0.2, 1.0));
    }

    proptest! {
        #[test]
        fn whoever_passes_for_another_reason_lets_nobody_pass_sooner(
            gaps in prop::collection::vec((0.0..2.0f64, prop::bool::ANY, 0.1..20.0f64), 1..200), rate in 0.1..5.0f64,
        ) {
            let (mut charged, mut plain, mut now) = (Bucket::default(), Bucket::default(), 0.0);
            for (gap, charges, other_rate) in gaps {
                now += gap;
                if charges {
                    charged.charge(now, other_rate, 2.0);
                } else {
                    let passed = charged.admit(now, rate, 2.0);
                    // what it let pass, one without the others would have let pass, too
                    prop_assert!(!passed || plain.admit(now, rate, 2.0));
                }
            }
        }

        #[test]
        fn the_admitted_rate_never_exceeds_the_bucket(
            gaps in prop::collection::vec(0.0..0.5f64, 1..400), rate in 0.1..20.0f64, burst in 1.0..10.0f64,
        ) {
            let mut bucket = Bucket::default();
            let mut now = 0.0;
            let mut admitted = Vec::new();
            for gap in gaps {
                now += gap;
                if bucket.admit(now, rate, burst) {
                    admitted.push(now);
                }
            }
            for (from, start) in admitted.iter().enumerate() {
                for (to, end) in admitted.iter().enumerate().skip(from) {
                    let most = burst + (end - start) * rate;
                    prop_assert!((to - from + 1) as f64 <= most + 1e-6, "{} calls in {} s", to - from + 1, end - start);
                }
            }
        }
    }
}
