//! How long the next caller will wait.
//!
//! Source: `overload.md`'s EWT(k) = Σ_{i=0..k} 1/(nμ + iθ): the queue empties one by one, by service or by lost patience, until it is the
//! caller's turn. Each step is an exponential time, so the variance of the wait is the sum of the squares.

/// How a queue empties, per second.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Drain {
    /// nμ: calls that enter service while everybody works.
    pub capacity_per_s: f64,
    /// θ: departures without service, per waiting caller.
    pub patience_per_s: f64,
}

/// A wait that has not happened yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Seconds.
    pub mean_s: f64,
    /// The standard deviation, seconds.
    pub deviation_s: f64,
}

impl Expected {
    /// Nobody is ahead, somebody is free.
    pub const NONE: Expected = Expected { mean_s: 0.0, deviation_s: 0.0 };

    /// The wait that is exceeded as rarely as a normal variable exceeds `deviations`.
    pub fn at_most_s(&self, deviations: f64) -> f64 {
        self.mean_s + deviations * self.deviation_s
    }
}

/// Steps that are summed one by one; a longer queue is the integral, so that an endless one is bounded work.
const STEPS_MAX: f64 = 10_000.0;

impl Drain {
    /// The wait of a caller with `ahead` callers ahead of them while nobody is free. `None` when nobody serves and nobody leaves.
    pub fn wait(&self, ahead: f64) -> Option<Expected> {
        let (capacity, theta) = (self.capacity_per_s.max(0.0), self.patience_per_s.max(0.0));
        let ahead = ahead.max(0.0);
        // the caller's own patience is not in it: EWT answers how long, if they stay
        if capacity + theta <= 0.0 || capacity <= 0.0 {
            return None;
        }
        let whole = ahead.floor();
        let (mut mean, mut variance) = (0.0, 0.0);
        if whole < STEPS_MAX {
            for i in 0..=whole as u64 {
                let step = 1.0 / (capacity + i as f64 * theta);
                mean += step;
                variance += step * step;
            }
        } else if theta > 0.0 {
            mean = ((whole + 1.0) * theta / capacity).ln_1p() / theta;
            variance = (1.0 / capacity - 1.0 / (capacity + (whole + 1.0) * theta)) / theta;
        } else {
            mean = (whole + 1.0) / capacity;
            variance = (whole + 1.0) / (capacity * capacity);
        }
        let part = (ahead - whole) / (capacity + (whole + 1.0) * theta);
        mean += part;
        variance += part * part;
        Some(Expected { mean_s: mean, deviation_s: variance.sqrt() })
    }

    /// k*: how many may wait so that the next caller's wait is `wait_s` in the mean. Not below 0.
    ///
    /// From the integral form, EWT(k) ≈ ln(1 + (k+1)θ/(nμ))/θ.
    pub fn room(&self, wait_s: f64) -> f64 {
        let served = if self.patience_per_s > 0.0 {
            self.capacity_per_s / self.patience_per_s * (self.patience_per_s * wait_s).exp_m1()
        } else {
            self.capacity_per_s * wait_s
        };
        (served - 1.0).max(0.0)
    }
}

/// How wrong the published waits were: the mean of the absolute difference, over the last callers by exponential weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Measured {
    /// Mean absolute error, seconds.
    pub error_s: f64,
    /// How many callers it is of.
    pub callers: u64,
}

impl Measured {
    /// Weight of the newest caller once there are many.
    const NEWEST: f64 = 0.05;

    /// Adds a caller who was told `expected_s` and waited `waited_s`.
    #[must_use]
    pub fn with(self, expected_s: f64, waited_s: f64) -> Measured {
        let callers = self.callers.saturating_add(1);
        let weight = Measured::NEWEST.max(1.0 / callers as f64);
        Measured { error_s: self.error_s + weight * ((expected_s - waited_s).abs() - self.error_s), callers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUNDRED: Drain = Drain { capacity_per_s: 100.0 / 180.0, patience_per_s: 1.0 / 120.0 };

    #[test]
    fn each_caller_ahead_adds_a_step() {
        let wait = |k| HUNDRED.wait(k).unwrap().mean_s;
        assert!((wait(0.0) - 1.8).abs() < 1e-12);
        assert!((wait(1.0) - 1.8 - 1.0 / (100.0 / 180.0 + 1.0 / 120.0)).abs() < 1e-12);
        assert!(wait(1.0) < wait(1.5) && wait(1.5) < wait(2.0));
        assert!((wait(9_999.0) / wait(10_000.0) - 1.0).abs() < 0.01, "the integral joins the sum");
    }

    #[test]
    fn a_queue_that_nobody_serves_has_no_wait_to_tell() {
        assert_eq!(Drain { capacity_per_s: 0.0, patience_per_s: 0.1 }.wait(3.0), None);
        assert_eq!(Drain { capacity_per_s: 0.0, patience_per_s: 0.0 }.room(12.0), 0.0);
    }

    #[test]
    fn the_room_for_a_wait_gives_about_that_wait() {
        for wait_s in [6.0, 12.0, 60.0] {
            let ahead = HUNDRED.room(wait_s);
            let back = HUNDRED.wait(ahead).unwrap().mean_s;
            assert!((back - wait_s).abs() < 0.2 + wait_s * 0.01, "{ahead} ahead wait {back} s");
        }
    }

    #[test]
    fn the_error_is_the_mean_distance() {
        let two = Measured::default().with(10.0, 14.0).with(10.0, 8.0);
        assert_eq!((two.error_s, two.callers), (3.0, 2));
        let many = (0..1_000).fold(Measured::default(), |error, _| error.with(10.0, 15.0));
        assert!((many.error_s - 5.0).abs() < 1e-9);
    }
}
