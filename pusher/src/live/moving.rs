//! Sums of a time that moves with the clock: the sliding windows, and today.
//!
//! A row that changes is added to every such sum that it is in, and nothing is summed again while the time stays the same: a window moves once
//! a minute, today once a day. A frame then costs the same after a day as in the first minute.
//!
//! Invariant: a sum is that of all rows within its time, whatever came before it was asked for and since.

use model::Time;
use stats::{Few, Tally};

/// The sliding windows: names and lengths in minutes. Each is the running minute and so many before it.
pub const WINDOWS: [(&str, i64); 5] = [("1m", 1), ("5m", 5), ("15m", 15), ("30m", 30), ("1h", 60)];

const MINUTE_MS: i64 = 60_000;

/// A time: from its first moment to the one after its last.
pub type Span = (Time, Time);

/// The sum of rows that begin within a time.
#[derive(Debug, Default)]
struct Kept {
    of: Option<Span>,
    sum: Tally,
}

impl Kept {
    fn add(&mut self, start: Time, delta: &Tally) {
        if self.of.is_some_and(|(from, to)| from <= start && start < to) {
            self.sum.plus(delta);
        }
    }

    fn move_to(&mut self, span: Span, rows: &Few<Time, Tally>) {
        if self.of != Some(span) {
            let within = rows.since(&span.0).take_while(|(start, _)| **start < span.1);
            self.sum = Tally::sum(within.map(|(_, tally)| tally));
            self.of = Some(span);
        }
    }
}

/// What is kept of one series.
#[derive(Debug, Default)]
pub struct Moving {
    /// Of the windows, once they were asked for: most series have none.
    windows: Vec<Kept>,
    today: Kept,
}

impl Moving {
    /// A row that begins at `start`, within the half hour `slot`, changed by `delta`.
    pub fn add(&mut self, start: Time, slot: Time, delta: &Tally) {
        self.windows.iter_mut().for_each(|kept| kept.add(start, delta));
        self.today.add(slot, delta);
    }

    /// Moves today's sum.
    pub fn turn_day(&mut self, today: Span, slots: &Few<Time, Tally>) {
        self.today.move_to(today, slots);
    }

    /// Moves the windows.
    pub fn turn_windows(&mut self, now: Time, rows: &Few<Time, Tally>) {
        let minute = now.ms() - now.ms().rem_euclid(MINUTE_MS);
        self.windows.resize_with(WINDOWS.len(), Kept::default);
        for (kept, (_, minutes)) in self.windows.iter_mut().zip(WINDOWS) {
            kept.move_to((Time(minute - minutes * MINUTE_MS), Time(i64::MAX)), rows);
        }
    }

    /// The sum of today, as of the last turn.
    pub fn today(&self) -> &Tally {
        &self.today.sum
    }

    /// The sums of the windows, as of the last turn; none when they were never turned.
    pub fn windows(&self) -> impl Iterator<Item = &Tally> {
        self.windows.iter().map(|kept| &kept.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stats::Field;

    /// The sum of the rows in a time, from nothing.
    fn summed(rows: &Few<Time, Tally>, (from, to): Span) -> Tally {
        Tally::sum(rows.since(&from).take_while(|(start, _)| **start < to).map(|(_, tally)| tally))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_changes_and_however_the_clock_goes_a_kept_sum_is_that_of_its_rows(
            steps in prop::collection::vec((0_i64..7_200, -90_i64..7_200, -3_i64..4), 1..60),
        ) {
            let (mut rows, mut moving) = (Few::<Time, Tally>::new(), Moving::default());
            for (now_s, start_s, n) in steps {
                let (now, start) = (Time(now_s * 1_000), Time(start_s.div_euclid(60) * MINUTE_MS));
                let mut delta = Tally::new();
                delta.add(Field::Offered, n);
                rows.or_default(start).plus(&delta);
                moving.add(start, start, &delta);
                let hour = Time(now.ms() - now.ms().rem_euclid(3_600_000));
                let today = (hour, hour + 3_600_000);
                moving.turn_windows(now, &rows);
                moving.turn_day(today, &rows);
                prop_assert_eq!(moving.today(), &summed(&rows, today));
                let minute = now_s.div_euclid(60) * MINUTE_MS;
                for ((name, minutes), sum) in WINDOWS.iter().zip(moving.windows()) {
                    let want = summed(&rows, (Time(minute - minutes * MINUTE_MS), Time(i64::MAX)));
                    prop_assert_eq!(sum, &want, "{} at {}", name, now_s);
                }
            }
        }
    }
}
