//! The queue now, from figures that are older than now.
//!
//! A gate knows at once whom it let in; only what the agents did since the figures were taken must be guessed. So the queue is carried
//! forward from its last known length: plus the admitted, minus what the capacity and the lost patience took. It is what control
//! engineering calls a Smith predictor (O. J. M. Smith, 1957): the delay is taken out of the loop by a model of the plant.

use crate::wait::Drain;

/// A queue as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Known {
    /// Callers who waited.
    pub waiting: f64,
    /// Agents who were free for this queue.
    pub free: f64,
}

/// A queue as it should be by now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foreseen {
    /// Callers who wait; negative is agents who are free.
    pub waiting: f64,
    /// The standard deviation of that: 0 for figures of this moment.
    pub deviation: f64,
}

impl Known {
    /// Carried forward over `admitted`, the calls let in during each of the seconds since (the last one may be a part).
    pub fn after(self, seconds: f64, admitted: impl IntoIterator<Item = f64>, drain: Drain) -> Foreseen {
        // one number: who waits, or (below zero) who is free
        let mut level = self.waiting - self.free;
        let mut left = seconds.max(0.0);
        for calls in admitted {
            let step = left.min(1.0);
            left -= step;
            level = carried(level + calls, step, self.free, drain);
        }
        level = carried(level, left, self.free, drain);
        // while everybody works, those who enter service are a Poisson stream
        let deviation = (drain.capacity_per_s * seconds.max(0.0)).sqrt();
        Foreseen { waiting: level, deviation }
    }
}

/// The level after `seconds` without an arrival.
fn carried(level: f64, seconds: f64, free_max: f64, drain: Drain) -> f64 {
    if level > 0.0 {
        let leaves = drain.capacity_per_s + drain.patience_per_s * level;
        level - leaves * seconds
    } else {
        // agents who are free stay free; how many more become free is bounded by who was, so that silence never empties a centre
        (level - drain.capacity_per_s * seconds).max(level.min(-free_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Drain = Drain { capacity_per_s: 1.0, patience_per_s: 0.0 };

    #[test]
    fn fresh_figures_are_taken_as_they_are() {
        let known = Known { waiting: 7.0, free: 0.0 };
        assert_eq!(known.after(0.0, [], TEN), Foreseen { waiting: 7.0, deviation: 0.0 });
    }

    #[test]
    fn the_admitted_are_added_and_the_served_taken_away() {
        let known = Known { waiting: 7.0, free: 0.0 };
        let foreseen = known.after(3.0, [2.0, 0.0, 1.0], TEN);
        assert_eq!(foreseen.waiting, 7.0 + 3.0 - 3.0);
        assert!((foreseen.deviation - 3f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn silence_does_not_make_more_free_agents_than_there_were() {
        let known = Known { waiting: 0.0, free: 2.0 };
        assert_eq!(known.after(100.0, [], TEN).waiting, -2.0);
    }
}
