//! How fast the stages behind the door go, as far as can be heard from outside.

use std::time::Duration;

/// A stage that has not moved for so long is away.
pub(super) const STILL: Duration = Duration::from_secs(30);
/// Events a second, before anything was measured.
const RATE_FIRST: f64 = 5_000.0;
/// An aggregator that is at work and behind tells how far it is at least so often, also on a busy machine.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// The share of the newest measurement in the rate, where it is faster and where it is slower: who believes too long that he is
/// fast lets in what then waits.
const RATE_NEWEST: f64 = 0.2;
const RATE_NEWEST_SLOWER: f64 = 0.5;
/// How long is measured at least. Where it stands is told and looked at now and then, and it goes faster while the door is shut than while
/// events are let in: it is the mean of both that counts.
const MEASURE_OVER: Duration = Duration::from_secs(2);

/// The two stages that a batch has to go through.
pub(super) struct Stages {
    pub(super) admitting: Stage,
    pub(super) folding: Stage,
    /// Events folded a second, while there was something to fold.
    rate: f64,
    heard: Option<Heard>,
}

/// What was heard of the fold.
struct Heard {
    /// When it was last heard to have moved, how much was folded by then, and whether something was left.
    at: Duration,
    done: u64,
    is_behind: bool,
    /// Where the measurement under way began.
    from: (Duration, u64),
}

impl Stages {
    pub(super) fn new() -> Stages {
        Stages { admitting: Stage::default(), folding: Stage::default(), rate: RATE_FIRST, heard: None }
    }

    /// Takes in how far the fold is, with so much before it. It tells its position now and then, so what stands still is no measurement.
    pub(super) fn measure(&mut self, now: Duration, done: u64, lag: u64, is_pressed: bool) {
        let begin = Heard { at: now, done, is_behind: lag > 0, from: (now, done) };
        let Some(heard) = &mut self.heard else {
            self.heard = Some(begin);
            return;
        };
        if done == heard.done {
            return;
        }
        if !heard.is_behind || done < heard.done {
            *heard = begin;
            return;
        }
        let (from, before) = heard.from;
        let took = now.saturating_sub(from);
        if took >= MEASURE_OVER {
            let newest = (done - before) as f64 / took.as_secs_f64();
            if newest >= self.rate {
                self.rate += RATE_NEWEST * (newest - self.rate);
            } else if is_pressed {
                self.rate += RATE_NEWEST_SLOWER * (newest - self.rate);
            }
            *heard = begin;
        } else {
            *heard = Heard { from: heard.from, ..begin };
        }
    }

    /// How fast it goes, as far as is known now: a fold that is behind and of which nothing is heard becomes slower with time.
    pub(super) fn believed(&self, now: Duration) -> f64 {
        let unheard = match &self.heard {
            Some(heard) if heard.is_behind => now.saturating_sub(heard.at).max(HEARD_WITHIN),
            _ => HEARD_WITHIN,
        };
        self.rate * HEARD_WITHIN.as_secs_f64() / unheard.as_secs_f64()
    }
}

/// A stage's last move.
#[derive(Default)]
pub(super) struct Stage {
    done: u64,
    moved_at: Duration,
}

impl Stage {
    /// How much of `lag` counts, when `done` records are behind this stage.
    pub(super) fn counts(&mut self, done: u64, lag: u64, now: Duration) -> u64 {
        if done != self.done || lag == 0 {
            (self.done, self.moved_at) = (done, now);
        }
        if now.saturating_sub(self.moved_at) < STILL { lag } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(rate: f64) -> Stages {
        Stages { rate, ..Stages::new() }
    }

    #[test]
    fn a_fold_of_which_nothing_is_heard_is_believed_to_be_slow() {
        let mut stages = stages(1_000.0);
        stages.measure(Duration::ZERO, 0, 9, true);
        assert_eq!(stages.believed(Duration::from_millis(900)), 1_000.0);
        assert_eq!(stages.believed(Duration::from_secs(4)), 250.0);
        stages.measure(Duration::from_secs(5), 5_000, 0, true);
        assert_eq!(stages.believed(Duration::from_secs(9)), 1_000.0, "it has nothing to do");
    }

    #[test]
    fn a_fold_that_becomes_slower_is_believed_sooner_than_one_that_becomes_faster() {
        let mut stages = stages(1_000.0);
        stages.measure(Duration::ZERO, 0, 9, true);
        stages.measure(Duration::from_secs(2), 1_000, 9, true);
        assert_eq!(stages.rate, 750.0);
        stages.measure(Duration::from_secs(4), 3_000, 9, true);
        assert_eq!(stages.rate, 800.0);
    }

    #[test]
    fn a_fold_that_did_little_because_little_was_let_in_is_not_believed_to_be_slow() {
        let mut stages = stages(20_000.0);
        for turn in 0..20 {
            stages.measure(Duration::from_secs(2 * turn), turn * 4_000, 300, false);
        }
        assert_eq!(stages.rate, 20_000.0);
        stages.measure(Duration::from_secs(40), 19 * 4_000 + 60_000, 300, false);
        assert_eq!(stages.rate, 22_000.0, "that it did more says something");
    }

    #[test]
    fn what_is_told_twice_within_a_moment_is_one_measurement() {
        let mut stages = stages(1_000.0);
        stages.measure(Duration::ZERO, 0, 9, true);
        stages.measure(Duration::from_millis(100), 400, 9, true);
        assert_eq!(stages.rate, 1_000.0, "four thousand a second, by chance");
        stages.measure(Duration::from_secs(2), 2_000, 9, true);
        assert_eq!(stages.rate, 1_000.0, "a thousand a second, over two");
        stages.measure(Duration::from_millis(2_100), 2_000, 9, true);
        assert_eq!(stages.believed(Duration::from_millis(2_900)), 1_000.0);
    }
}
