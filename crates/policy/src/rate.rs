//! Rates measured by counting.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Events of the last seconds, counted by the second: rates over windows up to a minute, in bounded memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Whole second, count; ascending, without gaps in memory but perhaps in time.
    seconds: VecDeque<(i64, f64)>,
}

/// Seconds that are kept. Figures older than this are not carried forward.
pub const KEPT_S: i64 = 240;

impl Counted {
    /// Counts something of `now_s`. Times ascend; an earlier one counts for the newest second.
    pub fn count(&mut self, now_s: f64, number: f64) {
        let second = now_s.floor() as i64;
        match self.seconds.back_mut() {
            Some((last, count)) if *last >= second => *count += number,
            _ => self.seconds.push_back((second, number)),
        }
        while self.seconds.front().is_some_and(|(at, _)| *at <= second - KEPT_S) {
            self.seconds.pop_front();
        }
    }

    /// The mean per second over the whole seconds of the window that ends before the second of `now_s`.
    pub fn per_s(&self, now_s: f64, window_s: i64) -> f64 {
        let end = now_s.floor() as i64;
        self.within(end - window_s, end).map(|(_, count)| count).sum::<f64>() / window_s.max(1) as f64
    }

    /// What was counted in each second from the one of `since_s` on, in order, with seconds without any.
    pub fn each_second(&self, since_s: f64, now_s: f64) -> impl Iterator<Item = f64> + '_ {
        let (from, end) = (since_s.floor() as i64, now_s.floor() as i64 + 1);
        let mut counted = self.within(from, end).peekable();
        (from.max(end - KEPT_S)..end)
            .map(move |second| counted.next_if(|(at, _)| *at == second).map_or(0.0, |(_, n)| n))
    }

    fn within(&self, from: i64, end: i64) -> impl Iterator<Item = (i64, f64)> + '_ {
        let start = self.seconds.partition_point(|(at, _)| *at < from);
        self.seconds.range(start..).copied().take_while(move |(at, _)| *at < end)
    }
}

/// z = (λ̂ − nμ) / √(max(λ̂, nμ)/window): by how many standard deviations more came than can be served (`overload.md`).
pub fn surplus(arrivals_per_s: f64, capacity_per_s: f64, window_s: f64) -> f64 {
    let larger = arrivals_per_s.max(capacity_per_s);
    if larger <= 0.0 { 0.0 } else { (arrivals_per_s - capacity_per_s) / (larger / window_s).sqrt() }
}

/// An average that follows a rise quickly and a fall slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Follows(f64);

impl Follows {
    /// Weight of a value above the average.
    const UP: f64 = 0.5;
    /// Weight of a value below it.
    const DOWN: f64 = 0.2;

    /// Adds a value; the average with it.
    pub fn with(&mut self, value: f64) -> f64 {
        let weight = if value > self.0 { Follows::UP } else { Follows::DOWN };
        self.0 += weight * (value - self.0);
        self.0
    }

    /// The average.
    pub fn value(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_whole_seconds_before_now() {
        let mut counted = Counted::default();
        for second in 0..20 {
            counted.count(f64::from(second) + 0.5, 2.0);
        }
        assert_eq!(counted.per_s(20.0, 10), 2.0);
        assert_eq!(counted.per_s(25.0, 10), 1.0, "five seconds of silence");
        assert_eq!(counted.per_s(19.9, 1), 2.0, "the second that is not over does not count");
    }

    #[test]
    fn each_second_is_told_the_silent_ones_too() {
        let mut counted = Counted::default();
        counted.count(3.2, 1.0);
        counted.count(3.9, 1.0);
        counted.count(6.0, 5.0);
        assert_eq!(counted.each_second(2.0, 6.5).collect::<Vec<_>>(), [0.0, 2.0, 0.0, 0.0, 5.0]);
        assert_eq!(counted.each_second(-1e12, 6.5).count(), KEPT_S as usize, "bounded");
    }

    #[test]
    fn memory_is_bounded() {
        let mut counted = Counted::default();
        (0..100_000).for_each(|second| counted.count(f64::from(second), 1.0));
        assert_eq!(counted.seconds.len(), KEPT_S as usize);
    }

    #[test]
    fn a_surplus_is_in_standard_deviations() {
        assert_eq!(surplus(0.0, 0.0, 10.0), 0.0);
        assert!((surplus(4.0, 2.0, 9.0) - 3.0).abs() < 1e-12);
        assert!(surplus(1.0, 2.0, 10.0) < 0.0);
    }
}
