//! Whom a target helped: of the callers who were led there, the share who did not come back.
//!
//! A caller is judged when they had time to come back, those who did and those who did not at the same age: who counted the returns at once
//! and the rest later would think every new target worse than it is.
//!
//! - **Invariant:** memory is bounded by `callers_max`; of more callers than that nothing is learned.

use std::collections::{BTreeMap, HashMap, VecDeque};

use model::TargetId;

/// Callers who were led elsewhere of late, and what became of them.
#[derive(Clone, Debug)]
pub struct Led {
    within_ms: i64,
    callers_max: usize,
    /// By when each was led, the oldest first; the number tells a caller who was led twice apart.
    order: VecDeque<(i64, u64, u64)>,
    callers: HashMap<u64, One>,
    number: u64,
    settled: BTreeMap<TargetId, (u64, u64)>,
}

#[derive(Clone, Debug)]
struct One {
    number: u64,
    target: TargetId,
    returned: bool,
}

/// Targets that are counted apart.
const TARGETS_MAX: usize = 1_024;

impl Led {
    /// Callers have `within_ms` to come back.
    pub fn new(within_ms: i64, callers_max: usize) -> Led {
        let (order, callers) = (VecDeque::new(), HashMap::new());
        Led { within_ms, callers_max, order, callers, number: 0, settled: BTreeMap::new() }
    }

    /// A caller (a number that stands for them) is led to a target. One who is judged already is led there again: that counts once.
    pub fn led(&mut self, caller: u64, target: &TargetId, now_ms: i64) {
        self.settle(now_ms);
        if self.callers.contains_key(&caller) || self.callers.len() >= self.callers_max {
            return;
        }
        self.number += 1;
        self.order.push_back((now_ms, caller, self.number));
        self.callers.insert(caller, One { number: self.number, target: target.clone(), returned: false });
    }

    /// A caller came back: to a person, after they were led elsewhere.
    pub fn returned(&mut self, caller: u64, now_ms: i64) {
        self.settle(now_ms);
        if let Some(one) = self.callers.get_mut(&caller) {
            one.returned = true;
        }
    }

    /// Judges those who had time to come back.
    fn settle(&mut self, now_ms: i64) {
        while let Some((at, caller, number)) = self.order.front().copied() {
            if now_ms - at < self.within_ms {
                return;
            }
            self.order.pop_front();
            let Some(one) = self.callers.get(&caller).filter(|one| one.number == number) else { continue };
            if self.settled.len() < TARGETS_MAX || self.settled.contains_key(&one.target) {
                let (settled, returned) = self.settled.entry(one.target.clone()).or_default();
                (*settled, *returned) = (*settled + 1, *returned + u64::from(one.returned));
            }
            self.callers.remove(&caller);
        }
    }

    /// For each target: callers who were judged, and those of them who came back. Only grows.
    pub fn settled(&mut self, now_ms: i64) -> Vec<(TargetId, u64, u64)> {
        self.settle(now_ms);
        self.settled.iter().map(|(target, (settled, returned))| (target.clone(), *settled, *returned)).collect()
    }
}

/// A running estimate of a target's containment: the young count more, and few callers do not outweigh what was assumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Estimate {
    settled: f64,
    returned: f64,
}

/// After so many callers the older ones count half.
const HALF: f64 = 200.0;
/// So many callers is the assumption worth.
const ASSUMED: f64 = 10.0;
/// Of fewer callers nothing is told.
pub const ENOUGH: f64 = 20.0;

impl Estimate {
    /// Takes further callers into account.
    pub fn add(&mut self, settled: u64, returned: u64) {
        let fade = 0.5_f64.powf(settled as f64 / HALF);
        self.settled = self.settled * fade + settled as f64;
        self.returned = self.returned * fade + returned.min(settled) as f64;
    }

    /// The share who did not come back; `None` while too few were judged.
    pub fn containment(&self, assumed: f64) -> Option<f64> {
        let enough = self.settled >= ENOUGH;
        enough.then(|| (self.settled - self.returned + ASSUMED * assumed) / (self.settled + ASSUMED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_judged_when_they_had_time_to_come_back() {
        let mut led = Led::new(1_000, 100);
        let (chat, bot) = (TargetId::new("chat"), TargetId::new("bot"));
        led.led(1, &chat, 0);
        led.led(2, &chat, 100);
        led.led(3, &bot, 200);
        led.led(1, &bot, 300);
        led.returned(2, 900);
        led.returned(9, 900);
        assert_eq!(led.settled(999), []);
        assert_eq!(led.settled(1_100), [("chat".into(), 2, 1)]);
        led.returned(3, 1_200);
        assert_eq!(led.settled(1_200), [("bot".into(), 1, 0), ("chat".into(), 2, 1)], "too late is not in vain");
        assert!(led.callers.is_empty() && led.order.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut led = Led::new(1_000, 10);
        (0..1_000).for_each(|n| led.led(n, &"chat".into(), n as i64));
        assert!(led.callers.len() <= 10 && led.order.len() <= 10);
    }

    #[test]
    fn the_estimate_begins_with_what_was_assumed_and_follows_what_is_seen() {
        let mut seen = Estimate::default();
        seen.add(19, 19);
        assert_eq!(seen.containment(0.5), None);
        seen.add(2, 2);
        assert!((seen.containment(0.5).unwrap() - 5.0 / 31.0).abs() < 0.02);
        (0..100).for_each(|_| seen.add(20, 5));
        assert!((seen.containment(0.5).unwrap() - 0.75).abs() < 0.02);
        (0..100).for_each(|_| seen.add(20, 18));
        assert!((seen.containment(0.5).unwrap() - 0.1).abs() < 0.03, "it follows");
    }
}
