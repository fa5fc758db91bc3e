//! How long something takes, as a law that can be drawn from.
//!
//! Source of the estimate from censored lengths: Kaplan and Meier, "Nonparametric Estimation from Incomplete Observations" (1958).

/// The law of a length of time, by the share that is longer.
#[derive(Clone, Debug, PartialEq)]
pub struct Law {
    /// Lengths, ascending, seconds.
    at_s: Vec<f64>,
    /// The share that is longer than each of them.
    longer: Vec<f64>,
    /// Beyond the last one: exponential with this mean, seconds; infinite means for ever.
    tail_s: f64,
}

impl Law {
    /// Exponential with this mean.
    pub fn exponential(mean_s: f64) -> Law {
        Law { at_s: Vec::new(), longer: Vec::new(), tail_s: mean_s }
    }

    /// Whoever it is about does not end by itself.
    pub fn endless() -> Law {
        Law::exponential(f64::INFINITY)
    }

    /// As often as each length was seen. Of none: `otherwise_s`, exponential.
    pub fn seen(lengths_s: impl IntoIterator<Item = f64>, otherwise_s: f64) -> Law {
        let all: Vec<(f64, bool)> = lengths_s.into_iter().map(|length| (length, true)).collect();
        if all.is_empty() { Law::exponential(otherwise_s) } else { Law::censored(all) }
    }

    /// From lengths of which some were cut short by something else (`false`): they are known to be longer, and no more.
    ///
    /// Behind the last one that was seen to its end the law goes on with the mean rate of all.
    pub fn censored(mut lengths: Vec<(f64, bool)>) -> Law {
        lengths.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (ended, whole_s) =
            lengths.iter().fold((0u64, 0.0), |(n, sum), (length, ended)| (n + u64::from(*ended), sum + length));
        let mut law = Law {
            at_s: Vec::new(),
            longer: Vec::new(),
            tail_s: if ended == 0 { f64::INFINITY } else { whole_s / ended as f64 },
        };
        let (mut share, mut from) = (1.0, 0);
        while let Some((at_s, _)) = lengths.get(from).copied() {
            let same = lengths[from..].iter().take_while(|(length, _)| *length == at_s);
            let (count, ends) =
                same.fold((0usize, 0usize), |(n, ends), (_, ended)| (n + 1, ends + usize::from(*ended)));
            if ends > 0 {
                share *= 1.0 - ends as f64 / (lengths.len() - from) as f64;
                law.at_s.push(at_s);
                law.longer.push(share);
            }
            from += count;
        }
        law
    }

    /// The share that is longer than this.
    pub fn longer_than(&self, length_s: f64) -> f64 {
        match self.at_s.partition_point(|at| *at <= length_s) {
            0 if self.at_s.is_empty() => (-length_s.max(0.0) / self.tail_s).exp(),
            0 => 1.0,
            n if n == self.at_s.len() => self.longer[n - 1] * (-(length_s - self.at_s[n - 1]) / self.tail_s).exp(),
            n => self.longer[n - 1],
        }
    }

    /// The length that a chance in (0, 1] stands for. May be infinite.
    pub fn any(&self, chance: f64) -> f64 {
        self.above(f64::NEG_INFINITY, chance)
    }

    /// The same, among those longer than `above_s`.
    pub fn above(&self, above_s: f64, chance: f64) -> f64 {
        let share = chance * self.longer_than(above_s);
        let beyond = self.at_s.partition_point(|at| *at <= above_s);
        let found = self.longer.partition_point(|longer| *longer > share).max(beyond);
        if let Some(at) = self.at_s.get(found) {
            return *at;
        }
        let (last_s, left) = match (self.at_s.last(), self.longer.last()) {
            (Some(at), Some(left)) => (*at, *left),
            _ => (0.0, 1.0),
        };
        if self.tail_s.is_infinite() {
            f64::INFINITY
        } else {
            (last_s + self.tail_s * (left / share).ln()).max(above_s)
        }
    }

    /// The length that so many do not exceed; infinite where the law does not say.
    pub fn quantile(&self, share: f64) -> f64 {
        self.any((1.0 - share).max(f64::MIN_POSITIVE))
    }

    /// The mean, seconds; may be infinite.
    pub fn mean_s(&self) -> f64 {
        let (mut mean_s, mut from_s, mut longer) = (0.0, 0.0, 1.0);
        for (at_s, after) in self.at_s.iter().zip(&self.longer) {
            mean_s += (at_s - from_s) * longer;
            (from_s, longer) = (*at_s, *after);
        }
        if longer > 0.0 { mean_s + longer * self.tail_s } else { mean_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_cut_short_is_what_was_seen() {
        let law = Law::seen([3.0, 1.0, 1.0, 7.0], 0.0);
        assert_eq!((law.longer_than(0.9), law.longer_than(1.0), law.longer_than(5.0)), (1.0, 0.5, 0.25));
        assert_eq!((law.any(1.0), law.any(0.5), law.any(0.3), law.any(0.01)), (1.0, 1.0, 3.0, 7.0));
        assert_eq!(law.mean_s(), 3.0);
    }

    #[test]
    fn who_was_cut_short_counts_until_then() {
        // by hand: at 2 one of 4 ends, at 5 one of the 2 that are left
        let law = Law::censored(vec![(2.0, true), (3.0, false), (5.0, true), (9.0, false)]);
        assert_eq!((law.longer_than(2.0), law.longer_than(4.0), law.longer_than(5.0)), (0.75, 0.75, 0.375));
        assert!((law.longer_than(5.0 + 9.5) - 0.375 * (-1.0f64).exp()).abs() < 1e-12, "the tail: 19 s for 2 ends");
    }

    #[test]
    fn what_is_above_a_length_is_drawn_from_the_rest() {
        let law = Law::exponential(100.0);
        assert!((law.above(40.0, 0.5) - (40.0 + 100.0 * 2f64.ln())).abs() < 1e-9, "it forgets");
        let law = Law::seen([1.0, 2.0, 3.0, 4.0], 0.0);
        assert_eq!((law.above(2.0, 1.0), law.above(2.0, 0.4)), (3.0, 4.0));
        assert!(Law::endless().above(5.0, 0.5).is_infinite());
    }

    #[test]
    fn the_estimate_finds_the_law_behind_the_censoring() {
        // patience of mean 60, cut short by a wait of mean 30
        let chance = |i: u64| (((i * 7_919) % 10_007) as f64 + 0.5) / 10_007.0;
        let seen = (0..10_007u64).map(|i| {
            let (patience, wait) = (-60.0 * chance(i).ln(), -30.0 * chance(i * 31 + 5).ln());
            (patience.min(wait), patience <= wait)
        });
        let law = Law::censored(seen.collect());
        assert!((law.mean_s() - 60.0).abs() < 5.0, "{}", law.mean_s());
        assert!((law.longer_than(60.0) - (-1.0f64).exp()).abs() < 0.03);
    }
}
