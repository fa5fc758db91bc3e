//! How far a queue's flood has come, and when that changes.
//!
//! Source: `overload.md`, "onset" and "abate". Up quickly, down slowly and one at a time: a queue that swings between two levels teaches
//! callers to try again.

use serde::{Deserialize, Serialize};

pub use model::control::Level;

/// What speaks for or against a change, at one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The expected wait of the next caller, seconds; infinite when nobody serves.
    pub wait_s: f64,
    /// z: by how many standard deviations more come than can be served.
    pub surplus: f64,
    /// Callers who wait, as foreseen.
    pub waiting: f64,
    /// Whether fewer come than can be served, over the longer window.
    pub receding: bool,
}

/// Borders of the levels, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Borders {
    /// W*: the wait that is aimed at.
    pub wait_target_s: f64,
    /// How long it must be calm before a level is left.
    pub calm_s: f64,
    /// How long the wait may stay above twice its target although calls are diverted, before all of them are.
    pub helpless_s: f64,
}

/// z above this is a flood while somebody waits.
const SURPLUS: f64 = 2.0;
/// As many ticks in a row must say the same.
const TICKS: u32 = 2;
/// A wait that is too long while fewer come than can be served mostly ends by itself: an offer is made when it lasts.
const PATIENT_TICKS: u32 = 20;

/// A queue's level, and how long what speaks for another one has lasted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    level: Level,
    /// Ticks in a row with a wait above its target.
    slow_ticks: u32,
    /// Ticks in a row with more calls than can be served.
    flooded_ticks: u32,
    calm_since_s: Option<f64>,
    helpless_since_s: Option<f64>,
}

impl Ladder {
    /// A ladder that stands at a level, and remembers nothing of how it came there.
    pub fn at(level: Level) -> Ladder {
        Ladder { level, ..Ladder::default() }
    }

    /// The level now.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Takes the evidence of a tick into account. Ticks come with ascending times.
    pub fn tick(&mut self, now_s: f64, evidence: Evidence, borders: &Borders) -> Level {
        let slow = evidence.wait_s > borders.wait_target_s;
        let flooded = evidence.surplus > SURPLUS && evidence.waiting > 0.0;
        self.slow_ticks = if slow { self.slow_ticks.saturating_add(1) } else { 0 };
        self.flooded_ticks = if flooded { self.flooded_ticks.saturating_add(1) } else { 0 };
        let far_over = evidence.wait_s > 2.0 * borders.wait_target_s;
        let wanted = if far_over || self.flooded_ticks >= TICKS || (self.slow_ticks >= TICKS && !evidence.receding) {
            Level::DivertShare
        } else if self.slow_ticks >= PATIENT_TICKS {
            Level::Offer
        } else {
            Level::Normal
        };
        self.climb(now_s, wanted, far_over, borders);
        self.descend(now_s, evidence, borders);
        self.level
    }

    fn climb(&mut self, now_s: f64, wanted: Level, far_over: bool, borders: &Borders) {
        if wanted > self.level {
            self.level = wanted;
            self.calm_since_s = None;
        }
        if !(far_over && self.level == Level::DivertShare) {
            self.helpless_since_s = None;
            return;
        }
        let since = *self.helpless_since_s.get_or_insert(now_s);
        if now_s - since >= borders.helpless_s {
            self.level = Level::DivertAll;
            self.calm_since_s = None;
        }
    }

    fn descend(&mut self, now_s: f64, evidence: Evidence, borders: &Borders) {
        let calm = evidence.wait_s < 0.3 * borders.wait_target_s && evidence.receding;
        if !calm || self.level == Level::Normal {
            self.calm_since_s = None;
            return;
        }
        let since = *self.calm_since_s.get_or_insert(now_s);
        if now_s - since >= borders.calm_s {
            self.level = self.level.below();
            self.calm_since_s = Some(now_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BORDERS: Borders = Borders { wait_target_s: 12.0, calm_s: 60.0, helpless_s: 30.0 };
    const CALM: Evidence = Evidence { wait_s: 0.0, surplus: -1.0, waiting: 0.0, receding: true };
    const FLOOD: Evidence = Evidence { wait_s: 14.0, surplus: 5.0, waiting: 8.0, receding: false };

    #[test]
    fn a_flood_is_seen_at_the_second_tick_and_a_far_too_long_wait_at_once() {
        let mut ladder = Ladder::default();
        assert_eq!(ladder.tick(0.0, FLOOD, &BORDERS), Level::Normal);
        assert_eq!(ladder.tick(1.0, FLOOD, &BORDERS), Level::DivertShare);
        let mut ladder = Ladder::default();
        assert_eq!(ladder.tick(0.0, Evidence { wait_s: 25.0, ..CALM }, &BORDERS), Level::DivertShare);
    }

    #[test]
    fn a_long_wait_that_shrinks_by_itself_is_only_an_offer() {
        let mut ladder = Ladder::default();
        let slow = Evidence { wait_s: 15.0, receding: true, ..CALM };
        let levels: Vec<Level> = (0..21).map(|s| ladder.tick(f64::from(s), slow, &BORDERS)).collect();
        assert_eq!((levels[18], levels[19], levels[20]), (Level::Normal, Level::Offer, Level::Offer));
    }

    #[test]
    fn a_level_is_left_after_a_minute_of_calm_and_the_next_after_another() {
        let mut ladder = Ladder::default();
        ladder.tick(0.0, FLOOD, &BORDERS);
        ladder.tick(1.0, FLOOD, &BORDERS);
        let levels: Vec<u8> = (2..200).map(|s| ladder.tick(f64::from(s), CALM, &BORDERS).number()).collect();
        assert_eq!(levels.iter().filter(|level| **level == 2).count(), 60);
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 60);
        assert_eq!(levels.last(), Some(&0));
    }

    #[test]
    fn one_busy_tick_starts_the_minute_anew() {
        let mut ladder = Ladder::default();
        ladder.tick(0.0, FLOOD, &BORDERS);
        ladder.tick(1.0, FLOOD, &BORDERS);
        for second in 2..60 {
            ladder.tick(f64::from(second), CALM, &BORDERS);
        }
        ladder.tick(60.0, Evidence { receding: false, ..CALM }, &BORDERS);
        assert_eq!(ladder.tick(62.0, CALM, &BORDERS), Level::DivertShare);
        assert_eq!(ladder.tick(119.0, CALM, &BORDERS), Level::DivertShare);
        assert_eq!(ladder.tick(122.0, CALM, &BORDERS), Level::Offer);
    }

    #[test]
    fn diversion_that_does_not_help_becomes_diversion_of_all() {
        let mut ladder = Ladder::default();
        let nobody_serves = Evidence { wait_s: f64::INFINITY, ..FLOOD };
        let levels: Vec<Level> = (0..32).map(|s| ladder.tick(f64::from(s), nobody_serves, &BORDERS)).collect();
        assert_eq!((levels[0], levels[29], levels[30]), (Level::DivertShare, Level::DivertShare, Level::DivertAll));
    }

    proptest! {
        #[test]
        fn levels_step_down_one_at_a_time_and_load_never_reaches_the_hard_phone(
            ticks in prop::collection::vec((0.0..60.0f64, -4.0..4.0f64, 0.0..50.0f64, any::<bool>()), 1..600),
        ) {
            let mut ladder = Ladder::default();
            let mut last = Level::Normal;
            for (second, (wait_s, surplus, waiting, receding)) in ticks.into_iter().enumerate() {
                let level = ladder.tick(second as f64, Evidence { wait_s, surplus, waiting, receding }, &BORDERS);
                prop_assert!(level >= last.below());
                prop_assert!(level < Level::HardPhone);
                last = level;
            }
        }
    }
}
