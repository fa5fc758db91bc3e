//! Who calls, and when: a Poisson process whose rate follows the hour of the day and the floods, and callers who try again.
//!
//! Sampled by its integral: the next call comes when the rate, added up over time, has used up an exponential amount. A
//! change of rate then only changes how fast the rest is used up, and the process stays exact.

use jiff::Timestamp;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use super::Centre;
use super::agenda::Due;
use super::chance::{self, Stream};

/// The state of the arrival process.
#[derive(Debug)]
pub(crate) struct Arrivals {
    rng: ChaCha8Rng,
    /// What is left of the exponential amount.
    mass: f64,
    /// Until when it has been used up.
    since_ms: i64,
    /// Which arrival timer counts.
    stamp: u32,
    /// The flood's factor, 1 without one.
    factor: f64,
    flood: u32,
}

impl Arrivals {
    pub(crate) fn new(seed: u64, now: i64) -> Arrivals {
        let mut rng = chance::stream(seed, Stream::Arrivals);
        let mass = -chance::unit(&mut rng).ln();
        Arrivals { rng, mass, since_ms: now, stamp: 0, factor: 1.0, flood: 0 }
    }
}

impl Centre {
    /// Multiplies the rate of fresh calls for a while. A new flood takes the place of the one before.
    pub fn flood(&mut self, factor: f64, lasts_ms: i64) {
        self.use_up();
        self.arrivals.factor = factor;
        self.arrivals.flood += 1;
        let stamp = self.arrivals.flood;
        self.later(lasts_ms, Due::FloodEnds { stamp });
        self.schedule_arrival();
    }

    /// The flood's factor now; 1 without one.
    pub fn flood_factor(&self) -> f64 {
        self.arrivals.factor
    }

    pub(super) fn flood_ends(&mut self, stamp: u32) {
        if stamp == self.arrivals.flood {
            self.use_up();
            self.arrivals.factor = 1.0;
            self.schedule_arrival();
        }
    }

    pub(super) fn arrivals_are_over(&self) -> bool {
        self.plan.arrivals_for_ms.is_some_and(|ms| self.now >= self.started_ms + ms)
    }

    /// Fresh calls per millisecond in the hour of that moment, and when that hour ends.
    fn rate(&self, at_ms: i64) -> (f64, i64) {
        let offset = Timestamp::from_millisecond(at_ms)
            .map(|now| i64::from(self.plan.zone.to_offset(now).seconds()) * 1000)
            .unwrap_or(0);
        let local = at_ms + offset;
        let hour = local.div_euclid(3_600_000);
        let share = self.plan.arrivals.profile[hour.rem_euclid(24) as usize];
        let rate = self.plan.arrivals.calls_per_hour * share * self.arrivals.factor / 3_600_000.0;
        (rate, (hour + 1) * 3_600_000 - offset)
    }

    /// Uses up the exponential amount until now, at the rate that held.
    fn use_up(&mut self) {
        // The rate is constant since `since_ms`: every change of hour or flood comes through here first.
        let (rate, _) = self.rate(self.arrivals.since_ms);
        let elapsed = (self.now - self.arrivals.since_ms) as f64;
        // It may fall a little below zero, since a call comes in the first whole millisecond after its exact time; that much
        // is taken off the next amount, else a busy centre would lose calls to rounding.
        self.arrivals.mass -= rate * elapsed;
        self.arrivals.since_ms = self.now;
    }

    pub(super) fn schedule_arrival(&mut self) {
        self.arrivals.stamp += 1;
        let stamp = self.arrivals.stamp;
        let (rate, hour_ends) = self.rate(self.now);
        let after = if rate > 0.0 { (self.arrivals.mass / rate).ceil().max(0.0) } else { f64::INFINITY };
        if after <= (hour_ends - self.now) as f64 {
            self.later(after as i64, Due::Arrive { stamp });
        } else {
            self.agenda.at(hour_ends, Due::Hour { stamp });
        }
    }

    pub(super) fn hour_due(&mut self, stamp: u32) {
        if stamp == self.arrivals.stamp {
            self.use_up();
            self.schedule_arrival();
        }
    }

    pub(super) fn arrival_due(&mut self, stamp: u32) {
        if stamp != self.arrivals.stamp || self.arrivals_are_over() {
            return;
        }
        self.use_up();
        self.arrivals.mass -= chance::unit(&mut self.arrivals.rng).ln();
        self.schedule_arrival();
        let line = chance::pick(self.plan.lines.iter().map(|line| line.share), &mut self.arrivals.rng);
        let (first, count) = self.plan.arrivals.numbers;
        let number = first + self.arrivals.rng.random_range(0..count.max(1));
        self.incoming(number, line, super::orders::Wish::default());
    }

    pub(super) fn redial_due(&mut self, number: u64, line: usize) {
        if !self.arrivals_are_over() {
            self.incoming(number, line, super::orders::Wish::default());
        }
    }
}
