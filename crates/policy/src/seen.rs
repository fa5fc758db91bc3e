//! What a queue's figures say at a moment, and what is estimated from two such moments.

use serde::{Deserialize, Serialize};

use crate::foresee::Known;
use crate::wait::Drain;

/// A queue as its figures show it. Counts are of a period that both figures share (since midnight, since the start): only their growth
/// is used, and a count that shrank starts anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Of when, seconds; every time of one controller is on the same clock.
    pub at_s: f64,
    /// Callers who wait.
    pub waiting: f64,
    /// Agents who are ready for this queue.
    pub free: f64,
    /// Effective agents: the share of each agent's time that is open to this queue; never who is not ready or unknown.
    pub agents: f64,
    /// Mean handling time, talk and wrap-up, seconds; absent when nothing is known.
    pub service_s: Option<f64>,
    /// Calls that entered service.
    pub answered: u64,
    /// Calls that left by their own will before that.
    pub abandoned: u64,
    /// Seconds that callers waited, of all who left the queue.
    pub waited_s: f64,
}

impl Seen {
    /// What the queue is carried forward from.
    pub fn known(&self) -> Known {
        Known { waiting: self.waiting, free: if self.waiting > 0.0 { 0.0 } else { self.free } }
    }
}

/// How the queue empties: n/AHT corrected by what was measured, and the patience that callers show.
///
/// While callers wait, those who enter service are the capacity itself, whatever the AHT that is believed in: their ratio corrects it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Emptying {
    last: Option<Seen>,
    /// Measured capacity divided by the believed one.
    ratio: f64,
    /// Of late, with the weight of what was assumed at first.
    abandoned: f64,
    waited_s: f64,
}

/// The measured capacity counts in full after some of these, seconds …
const MEMORY_S: f64 = 120.0;
/// … and not before so many calls could have been served: of a queue with few agents two minutes tell nothing.
const MEMORY_CALLS: f64 = 30.0;
/// The belief is not corrected beyond these.
const RATIO: (f64, f64) = (0.3, 3.0);
/// Patience that is assumed before anybody lost it, seconds, and how many lost calls that assumption weighs.
const PATIENCE_S: (f64, f64) = (120.0, 5.0);
/// Half of what is known of patience is forgotten after so many lost calls: callers of a flood are not those of the morning.
const FORGOTTEN: f64 = 200.0;

impl Default for Emptying {
    fn default() -> Emptying {
        Emptying { last: None, ratio: 1.0, abandoned: PATIENCE_S.1, waited_s: PATIENCE_S.0 * PATIENCE_S.1 }
    }
}

impl Emptying {
    /// Takes newer figures into account; the same ones again, or older ones, change nothing. `default_service_s` is believed where the
    /// figures know no handling time.
    pub fn learn(&mut self, seen: &Seen, default_service_s: f64) -> Drain {
        let believed = seen.agents.max(0.0) / seen.service_s.unwrap_or(default_service_s).max(1e-3);
        if let Some(last) = self.last.filter(|last| last.at_s < seen.at_s) {
            if last.waiting > 0.0 && believed > 0.0 && seen.answered >= last.answered {
                let (served, busy_s) = served_while_waiting(&last, seen, believed * self.ratio);
                let weight = 1.0 - (-busy_s / MEMORY_S.max(MEMORY_CALLS / believed)).exp();
                self.ratio += weight * (served / busy_s / believed - self.ratio);
                self.ratio = self.ratio.clamp(RATIO.0, RATIO.1);
            }
            if seen.abandoned >= last.abandoned && seen.waited_s >= last.waited_s {
                self.abandoned += (seen.abandoned - last.abandoned) as f64;
                self.waited_s += seen.waited_s - last.waited_s;
                if self.abandoned > FORGOTTEN {
                    self.abandoned /= 2.0;
                    self.waited_s /= 2.0;
                }
            }
        }
        if self.last.is_none_or(|last| last.at_s < seen.at_s) {
            self.last = Some(*seen);
        }
        Drain { capacity_per_s: believed * self.ratio, patience_per_s: self.abandoned / self.waited_s.max(1.0) }
    }
}

/// How many entered service between two figures while somebody waited, and for how many seconds somebody did. The first figures show a
/// queue; if the later ones show none, it ran empty on the way. To leave such times out would be to count only those in which too few
/// were served to empty it: a queue of one or two would seem to be served by nobody.
fn served_while_waiting(last: &Seen, seen: &Seen, capacity_per_s: f64) -> (f64, f64) {
    let (answered, seconds) = ((seen.answered - last.answered) as f64, seen.at_s - last.at_s);
    if seen.waiting > 0.0 {
        return (answered, seconds);
    }
    // who came after it was empty did not wait
    let served = answered.min(last.waiting);
    // the last of n moments that fall anywhere is at n/(n+1) of the way; sooner, where the way was long for so few
    let gone = last.waiting.max(1.0);
    let at_most_s = seconds * gone / (gone + 1.0);
    let busy_s = if served > 0.0 && capacity_per_s > 0.0 { at_most_s.min(served / capacity_per_s) } else { at_most_s };
    (served, busy_s.max(1e-6))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue of `agents`, 180 s a call, where each caller who waits is served before the next one comes: seen each `step_s`.
    fn short_queue(agents: f64, step_s: f64) -> f64 {
        let (mut emptying, mut answered, mut at_s, capacity) = (Emptying::default(), 0, 0.0, agents / 180.0);
        let mut chances = (0..).map(|i: u64| ((i * 7_919 + 13) % 10_007) as f64 / 10_007.0 + 5e-5);
        let mut left_s = 0.0;
        let mut drain = Drain { capacity_per_s: 0.0, patience_per_s: 0.0 };
        while at_s < 400_000.0 {
            // one comes when nobody waits, and is served after an exponential time
            let waiting = if left_s > 0.0 { 1.0 } else { 0.0 };
            let seen = Seen { at_s, waiting, agents, service_s: Some(180.0), answered, ..Seen::default() };
            drain = emptying.learn(&seen, 180.0);
            at_s += step_s;
            if waiting > 0.0 {
                left_s -= step_s;
                answered += u64::from(left_s <= 0.0);
            } else {
                left_s = -chances.next().unwrap_or(1.0).ln() / capacity;
            }
        }
        drain.capacity_per_s / capacity
    }

    #[test]
    fn a_queue_that_is_emptied_again_and_again_is_served_as_fast_as_it_is_emptied() {
        for (agents, step_s) in [(4.0, 1.0), (10.0, 1.0), (4.0, 10.0), (40.0, 1.0)] {
            let ratio = short_queue(agents, step_s);
            assert!((0.7..1.4).contains(&ratio), "{agents} agents, each {step_s} s: {ratio} of the capacity");
        }
    }

    fn busy(at_s: f64, answered: u64) -> Seen {
        Seen { at_s, waiting: 5.0, agents: 100.0, service_s: Some(180.0), answered, ..Seen::default() }
    }

    #[test]
    fn a_wrong_handling_time_is_corrected_by_what_is_served() {
        let mut emptying = Emptying::default();
        // 100 agents are believed to serve 0.56 a second, and serve 1
        let drain = (0..900u32).map(|s| emptying.learn(&busy(f64::from(s), s.into()), 180.0)).last().unwrap();
        assert!((drain.capacity_per_s - 1.0).abs() < 0.01, "{}", drain.capacity_per_s);
    }

    #[test]
    fn an_empty_queue_teaches_nothing_about_capacity() {
        let mut emptying = Emptying::default();
        let idle = |s: u32| Seen { waiting: 0.0, free: 3.0, ..busy(f64::from(s), 0) };
        let drain = (0..900).map(|s| emptying.learn(&idle(s), 180.0)).last().unwrap();
        assert!((drain.capacity_per_s - 100.0 / 180.0).abs() < 1e-9);
    }

    #[test]
    fn the_same_figures_again_and_older_ones_teach_nothing() {
        let mut one = Emptying::default();
        one.learn(&busy(0.0, 0), 180.0);
        one.learn(&busy(10.0, 30), 180.0);
        let mut two = one;
        two.learn(&busy(10.0, 30), 180.0);
        two.learn(&busy(5.0, 400), 180.0);
        assert_eq!(one, two);
    }

    #[test]
    fn patience_is_seconds_waited_for_each_lost_call() {
        let mut emptying = Emptying::default();
        let lost = |s: u32| Seen { abandoned: s.into(), waited_s: 30.0 * f64::from(s), ..busy(f64::from(s), 0) };
        let drain = (0..5_000).map(|s| emptying.learn(&lost(s), 180.0)).last().unwrap();
        assert!((1.0 / drain.patience_per_s - 30.0).abs() < 3.0, "{}", 1.0 / drain.patience_per_s);
        let midnight = Seen { at_s: 5_000.0, ..busy(0.0, 0) };
        assert!(emptying.learn(&midnight, 180.0).patience_per_s > 0.0, "counts that start anew are no negative growth");
    }
}
