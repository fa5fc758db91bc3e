//! What calls tell of the call service that carried them: from the end of each, its technical success; from outgoing ones, how long it took
//! to ring; from every word of a source, how late it came.
//!
//! Busy, no answer and rejected are the callee's doing: they count as success. What fails is what Q.850 lays on the network.
//!
//! - **Invariant:** memory is bounded: calls that are followed, and samples of each service.
//!
//! Start at [`Vitals::take`], then [`Vitals::signs`].

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::health::{Attempts, Signs};

/// Calls that are followed at once; of more, the end tells nothing.
const CALLS_MAX: usize = 100_000;
/// Trunks that are told apart.
const TRUNKS_MAX: usize = 256;
/// Samples of delays that are kept of a trunk.
const SAMPLES_MAX: usize = 512;
/// Length of a slot of the windows, and of the two windows, seconds.
const SLOT_S: i64 = 10;
const MINUTE_SLOTS: i64 = 6;
const TEN_MINUTES_SLOTS: i64 = 60;
/// A call that is not over after so long will not be, seconds: whoever carries it does not tell.
const STUCK_S: f64 = 14_400.0;

/// Something that was seen of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Sight<'a> {
    /// It began on a trunk; `out`: we dialled.
    Offered {
        /// The trunk.
        trunk: &'a str,
        /// Whether we dialled.
        out: bool,
    },
    /// The far end rings or answered.
    Rang,
    /// It is over.
    Ended {
        /// Q.850 cause, where it is known.
        q850: Option<u16>,
        /// It was lost sight of: nobody told its end.
        lost: bool,
    },
}

/// Whether a cause is the network's doing. Source: ITU-T Q.850, classes "no route", "resource unavailable", "service not available" and
/// "interworking", less what the callee does.
pub fn is_technical(q850: u16) -> bool {
    matches!(q850, 2 | 3 | 25 | 27 | 34 | 38..=44 | 46 | 47 | 49 | 53 | 58 | 63 | 66 | 69 | 79 | 81 | 88 | 95..=102 | 111)
}

#[derive(Clone, Debug)]
struct Open {
    trunk: usize,
    out: bool,
    began_s: f64,
    rang: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    number: i64,
    good: u64,
    failed: u64,
    lost: u64,
}

#[derive(Clone, Debug, Default)]
struct Trunk {
    slots: VecDeque<Slot>,
    failed_in_a_row: u32,
    post_dial_ms: VecDeque<(f64, f64)>,
    push_lag_ms: VecDeque<(f64, f64)>,
    /// Ends since they were last asked for, for probes.
    ends: VecDeque<bool>,
}

/// What is known of all trunks.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    names: BTreeMap<String, usize>,
    trunks: Vec<Trunk>,
    calls: HashMap<String, Open>,
}

impl Vitals {
    /// Takes in what was seen of a call at `at_s`, and came to us at `heard_s`.
    pub fn take(&mut self, call: &str, sight: &Sight<'_>, at_s: f64, heard_s: f64) {
        match sight {
            Sight::Offered { trunk, out } => {
                self.forget(heard_s);
                let Some(trunk) = self.trunk(trunk) else { return };
                if self.calls.len() < CALLS_MAX {
                    self.calls.insert(call.to_owned(), Open { trunk, out: *out, began_s: at_s, rang: false });
                }
                self.lag(trunk, at_s, heard_s);
            }
            Sight::Rang => {
                let Some(open) = self.calls.get_mut(call).filter(|open| !open.rang) else { return };
                open.rang = true;
                let (trunk, out, began_s) = (open.trunk, open.out, open.began_s);
                if out {
                    keep(&mut self.trunks[trunk].post_dial_ms, heard_s, (at_s - began_s).max(0.0) * 1_000.0);
                }
                self.lag(trunk, at_s, heard_s);
            }
            Sight::Ended { q850, lost } => {
                let Some(open) = self.calls.remove(call) else { return };
                let failed = q850.is_some_and(is_technical);
                self.trunks[open.trunk].end(heard_s, !failed && !lost, *lost);
                self.lag(open.trunk, at_s, heard_s);
            }
        }
    }

    /// An attempt that never became a call of this trunk: nobody could dial by it.
    pub fn refused(&mut self, trunk: &str, heard_s: f64) {
        if let Some(trunk) = self.trunk(trunk) {
            self.trunks[trunk].end(heard_s, false, false);
        }
    }

    /// The ends of a trunk's calls since this was last asked: whether each was good, in order.
    pub fn ends(&mut self, trunk: &str) -> Vec<bool> {
        let Some(at) = self.names.get(trunk) else { return Vec::new() };
        self.trunks[*at].ends.drain(..).collect()
    }

    /// What a trunk did before is over: it has proven itself by probes.
    pub fn forgive(&mut self, trunk: &str) {
        if let Some(at) = self.names.get(trunk) {
            self.trunks[*at] = Trunk::default();
        }
    }

    /// The trunks that were heard of.
    pub fn trunks(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// What is known of a trunk now; nothing bad of one that was never heard of.
    pub fn signs(&self, trunk: &str, now_s: f64) -> Signs {
        let Some(trunk) = self.names.get(trunk).map(|at| &self.trunks[*at]) else { return Signs::default() };
        let slot = slot(now_s);
        let window = |slots: i64| {
            let mut sum = Slot::default();
            for one in trunk.slots.iter().filter(|one| one.number > slot - slots) {
                (sum.good, sum.failed, sum.lost) = (sum.good + one.good, sum.failed + one.failed, sum.lost + one.lost);
            }
            sum
        };
        let (minute, ten) = (window(MINUTE_SLOTS), window(TEN_MINUTES_SLOTS));
        let all = ten.good + ten.failed + ten.lost;
        Signs {
            minute: Attempts { good: minute.good, failed: minute.failed },
            ten_minutes: Attempts { good: ten.good, failed: ten.failed },
            failed_in_a_row: trunk.failed_in_a_row,
            post_dial_ms: p95(&trunk.post_dial_ms, now_s),
            push_lag_ms: p95(&trunk.push_lag_ms, now_s),
            stuck_share: if all < 10 { 0.0 } else { ten.lost as f64 / all as f64 },
        }
    }

    fn trunk(&mut self, name: &str) -> Option<usize> {
        if let Some(at) = self.names.get(name) {
            return Some(*at);
        }
        if self.trunks.len() >= TRUNKS_MAX {
            return None;
        }
        self.trunks.push(Trunk::default());
        self.names.insert(name.to_owned(), self.trunks.len() - 1);
        Some(self.trunks.len() - 1)
    }

    fn lag(&mut self, trunk: usize, at_s: f64, heard_s: f64) {
        keep(&mut self.trunks[trunk].push_lag_ms, heard_s, (heard_s - at_s).max(0.0) * 1_000.0);
    }

    /// Calls that go on for too long are given up; looked for only when there are many.
    fn forget(&mut self, now_s: f64) {
        if self.calls.len() < CALLS_MAX {
            return;
        }
        let trunks = &mut self.trunks;
        self.calls.retain(|_, open| {
            let stuck = now_s - open.began_s > STUCK_S;
            if stuck {
                trunks[open.trunk].end(now_s, false, true);
            }
            !stuck
        });
    }
}

impl Trunk {
    fn end(&mut self, at_s: f64, good: bool, lost: bool) {
        let number = slot(at_s);
        if self.slots.back().is_none_or(|last| last.number < number) {
            self.slots.push_back(Slot { number, ..Slot::default() });
        }
        while self.slots.front().is_some_and(|first| first.number <= number - TEN_MINUTES_SLOTS) {
            self.slots.pop_front();
        }
        if let Some(slot) = self.slots.back_mut() {
            match (lost, good) {
                // an end that nobody told says nothing of how the call went
                (true, _) => slot.lost += 1,
                (false, true) => slot.good += 1,
                (false, false) => slot.failed += 1,
            }
        }
        if !lost {
            self.failed_in_a_row = if good { 0 } else { self.failed_in_a_row.saturating_add(1) };
            if self.ends.len() >= SAMPLES_MAX {
                self.ends.pop_front();
            }
            self.ends.push_back(good);
        }
    }
}

fn slot(at_s: f64) -> i64 {
    (at_s as i64).div_euclid(SLOT_S)
}

fn keep(samples: &mut VecDeque<(f64, f64)>, at_s: f64, ms: f64) {
    if samples.len() >= SAMPLES_MAX {
        samples.pop_front();
    }
    samples.push_back((at_s, ms));
}

/// The 95th percentile of the last ten minutes; none of fewer than five samples.
fn p95(samples: &VecDeque<(f64, f64)>, now_s: f64) -> Option<f64> {
    let mut recent: Vec<f64> = samples.iter().filter(|(at, _)| now_s - at <= 600.0).map(|(_, ms)| *ms).collect();
    if recent.len() < 5 {
        return None;
    }
    recent.sort_by(f64::total_cmp);
    recent.get((recent.len() * 95).div_ceil(100).saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(vitals: &mut Vitals, id: u32, at_s: f64, q850: u16) {
        let id = id.to_string();
        vitals.take(&id, &Sight::Offered { trunk: "PJSIP/a", out: true }, at_s, at_s + 0.2);
        vitals.take(&id, &Sight::Rang, at_s + 2.0, at_s + 2.2);
        vitals.take(&id, &Sight::Ended { q850: Some(q850), lost: false }, at_s + 3.0, at_s + 3.2);
    }

    #[test]
    fn what_the_callee_does_is_no_failure_and_what_the_network_does_is() {
        let mut vitals = Vitals::default();
        for (n, cause) in [16, 17, 18, 19, 21, 1, 34, 38].into_iter().enumerate() {
            call(&mut vitals, n as u32, 100.0 + n as f64, cause);
        }
        let signs = vitals.signs("PJSIP/a", 120.0);
        assert_eq!((signs.minute, signs.failed_in_a_row), (Attempts { good: 6, failed: 2 }, 2));
        assert!(
            (signs.post_dial_ms.unwrap() - 2_000.0).abs() < 1.0 && (signs.push_lag_ms.unwrap() - 200.0).abs() < 1.0
        );
        assert_eq!(vitals.ends("PJSIP/a"), [true, true, true, true, true, true, false, false]);
        assert_eq!(vitals.ends("PJSIP/a"), [false; 0], "once");
    }

    #[test]
    fn the_windows_forget_and_a_trunk_that_nobody_used_has_nothing_against_it() {
        let mut vitals = Vitals::default();
        (0..8).for_each(|n| call(&mut vitals, n, 100.0, 38));
        let signs = vitals.signs("PJSIP/a", 200.0);
        assert_eq!((signs.minute, signs.ten_minutes), (Attempts::default(), Attempts { good: 0, failed: 8 }));
        assert_eq!(vitals.signs("PJSIP/a", 900.0).ten_minutes, Attempts::default());
        assert_eq!(vitals.signs("PJSIP/b", 200.0), Signs::default());
    }

    #[test]
    fn calls_whose_end_nobody_tells_are_the_stuck_share_and_no_failures() {
        let mut vitals = Vitals::default();
        for n in 0..20 {
            let id = format!("x{n}");
            vitals.take(&id, &Sight::Offered { trunk: "t", out: false }, 10.0, 10.0);
            vitals.take(&id, &Sight::Ended { q850: None, lost: n % 4 == 0 }, 20.0, 20.0);
        }
        let signs = vitals.signs("t", 21.0);
        assert_eq!((signs.stuck_share, signs.failed_in_a_row), (0.25, 0));
        assert_eq!(signs.post_dial_ms, None, "nobody dialled");
    }

    #[test]
    fn what_could_not_be_dialled_at_all_counts_against_the_trunk() {
        let mut vitals = Vitals::default();
        (0..5).for_each(|_| vitals.refused("t", 50.0));
        assert_eq!(vitals.signs("t", 51.0).failed_in_a_row, 5);
    }
}
