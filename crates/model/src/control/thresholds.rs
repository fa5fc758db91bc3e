//! What a queue shall be held to: the thresholds that operations set, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{Problem, Problems};
use crate::id::{QueueId, TargetId};

/// Thresholds of one queue, whole. Every field has a default, and the defaults are those of `overload.md` as they were measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// What callers were promised.
    pub goal: Goal,
    /// W*/T: the wait that starts the control, as a share of the promised one.
    pub wait_target_share: f64,
    /// With so many standard deviations is a wait held below the promised one: 2.6 is 995 of 1,000.
    pub certainty: f64,
    /// So many may always wait while calls are diverted, however uncertain the figures.
    pub room_min: f64,
    /// Calls per second that always enter, however bad it is.
    pub floor_per_s: f64,
    /// How many seconds of its own flow may come at once.
    pub burst_s: f64,
    /// The protected reach so many times deeper.
    pub burst_protected: f64,
    /// How long it must be calm before a level is left, seconds.
    pub calm_s: f64,
    /// How long the wait may stay above twice its target although a share is diverted, before all are, seconds.
    pub helpless_s: f64,
    /// Mean handling time where the figures know none, seconds.
    pub service_default_s: f64,
    /// How old figures may be, and what then.
    pub stale: Stale,
    /// Who is let in before others.
    pub protection: Protection,
    /// What is offered at level 1; nobody must take it.
    pub offers: Vec<TargetId>,
    /// Where the diverted go at level 2 and above.
    pub targets: Vec<Toward>,
}

/// What callers were promised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Goal {
    /// This share of them, 0 to 1,
    pub share: f64,
    /// shall be answered within T, seconds.
    pub within_s: f64,
}

/// How old figures may be, and what then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stale {
    /// V: up to this age the queue is carried forward; behind it the last rate is held; behind 3V it steps to the static one. Seconds.
    pub valid_s: f64,
    /// In so many seconds it steps half of its way to that.
    pub half_way_s: f64,
    /// The static gap: calls per second that are let in when nothing was heard for so long. One number, or 24 of them, by the hour of the
    /// tenant's day; empty: as many as the last plan knew to be served.
    pub static_per_s: Vec<f64>,
}

/// Who is let in before others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Protection {
    /// Persons whom the business protects.
    pub vip: bool,
    /// m: so many attempts of late protect; 0: attempts never do.
    pub attempts_min: u32,
    /// Who was led elsewhere and came back.
    pub diverted_in_vain: bool,
}

/// A target of a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Toward {
    /// Which.
    pub target: TargetId,
    /// How much it is preferred to the others, beside what it can take and whom it helps.
    #[serde(default = "one")]
    pub weight: f64,
    /// Calls per second of this queue that it gets at most; absent: what it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_per_s: Option<f64>,
}

fn one() -> f64 {
    1.0
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            goal: Goal::default(),
            wait_target_share: 0.6,
            certainty: 2.6,
            room_min: 3.0,
            floor_per_s: 0.0,
            burst_s: 10.0,
            burst_protected: 2.0,
            calm_s: 90.0,
            helpless_s: 30.0,
            service_default_s: 180.0,
            stale: Stale::default(),
            protection: Protection::default(),
            offers: Vec::new(),
            targets: Vec::new(),
        }
    }
}

impl Default for Goal {
    fn default() -> Goal {
        Goal { share: 0.8, within_s: 20.0 }
    }
}

impl Default for Stale {
    fn default() -> Stale {
        Stale { valid_s: 75.0, half_way_s: 60.0, static_per_s: Vec::new() }
    }
}

impl Default for Protection {
    fn default() -> Protection {
        Protection { vip: true, attempts_min: 3, diverted_in_vain: true }
    }
}

impl Stale {
    /// The static gap of an hour of the tenant's day, calls per second; `None` when nobody set one.
    pub fn static_at(&self, hour: usize) -> Option<f64> {
        match self.static_per_s.len() {
            0 => None,
            1 => self.static_per_s.first().copied(),
            _ => self.static_per_s.get(hour % 24).copied(),
        }
    }
}

/// The thresholds of a queue from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdsSet {
    /// The queue.
    pub queue: QueueId,
    /// Replaces the version before it; the first is 1.
    pub version: u64,
    /// All of them.
    pub thresholds: Thresholds,
}

/// A file of thresholds, for commands: TOML or JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdsFile {
    /// By queue.
    pub queues: BTreeMap<QueueId, Thresholds>,
}

/// The longest wait that can be promised, seconds.
const WAIT_S_MAX: f64 = 3_600.0;
/// The most calls per second that are believed.
const RATE_MAX: f64 = 10_000.0;
/// The most targets and offers of a queue.
const TARGETS_MAX: usize = 32;

impl Thresholds {
    /// Everything that is impossible or contradictory within them, each with its place. What they refer to is judged by
    /// [`Thresholds::strangers`].
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Problems::default();
        found.within("goal.share", self.goal.share, 0.01, 0.999);
        found.within("goal.within_s", self.goal.within_s, 1.0, WAIT_S_MAX);
        found.within("wait_target_share", self.wait_target_share, 0.05, 1.0);
        found.within("certainty", self.certainty, 0.0, 6.0);
        found.within("room_min", self.room_min, 0.0, 1_000.0);
        found.within("floor_per_s", self.floor_per_s, 0.0, RATE_MAX);
        found.within("burst_s", self.burst_s, 0.1, 600.0);
        found.within("burst_protected", self.burst_protected, 1.0, 100.0);
        found.within("calm_s", self.calm_s, 1.0, 3_600.0);
        found.within("helpless_s", self.helpless_s, 1.0, 3_600.0);
        found.within("service_default_s", self.service_default_s, 1.0, 86_400.0);
        self.stale_problems(&mut found);
        self.target_problems(&mut found);
        found.all()
    }

    fn stale_problems(&self, found: &mut Problems) {
        let stale = &self.stale;
        found.within("stale.valid_s", stale.valid_s, 1.0, 3_600.0);
        found.within("stale.half_way_s", stale.half_way_s, 1.0, 3_600.0);
        found.unless(
            matches!(stale.static_per_s.len(), 0 | 1 | 24),
            "stale.static_per_s",
            || format!("{} numbers", stale.static_per_s.len()),
            "write one, or 24: one for each hour of the day",
        );
        for (hour, rate) in stale.static_per_s.iter().enumerate() {
            let path = format!("stale.static_per_s.{hour}");
            found.within(&path, *rate, 0.0, RATE_MAX);
            found.unless(
                rate.partial_cmp(&self.floor_per_s) != Some(std::cmp::Ordering::Less),
                &path,
                || format!("{rate} is below floor_per_s, {}", self.floor_per_s),
                "raise it, or lower floor_per_s",
            );
        }
    }

    fn target_problems(&self, found: &mut Problems) {
        for (what, len) in [("targets", self.targets.len()), ("offers", self.offers.len())] {
            found.unless(len <= TARGETS_MAX, what, || format!("{len} of them"), "name 32 at most");
        }
        let mut seen = BTreeSet::new();
        for (at, toward) in self.targets.iter().enumerate() {
            let path = |field: &str| format!("targets.{at}.{field}");
            found.within(&path("weight"), toward.weight, 0.0, 1_000.0);
            if let Some(capacity) = toward.capacity_per_s {
                found.within(&path("capacity_per_s"), capacity, 0.0, RATE_MAX);
            }
            let new = seen.insert(&toward.target);
            found.unless(
                new,
                &path("target"),
                || format!("{:?} is named twice", toward.target.as_str()),
                "name it once",
            );
        }
        let useless = !self.targets.is_empty() && self.targets.iter().all(|toward| toward.weight == 0.0);
        found.unless(!useless, "targets", || "every weight is 0".to_owned(), "give one of them a weight");
        let mut offered = BTreeSet::new();
        for (at, offer) in self.offers.iter().enumerate() {
            let new = offered.insert(offer);
            let path = format!("offers.{at}");
            found.unless(new, &path, || format!("{:?} is named twice", offer.as_str()), "name it once");
        }
    }

    /// Targets that it names and `known` does not.
    pub fn strangers(&self, known: &BTreeSet<TargetId>) -> Vec<Problem> {
        let mut found = Problems::default();
        let targets = self.targets.iter().enumerate().map(|(at, t)| (format!("targets.{at}.target"), &t.target));
        let offers = self.offers.iter().enumerate().map(|(at, target)| (format!("offers.{at}"), target));
        for (path, target) in targets.chain(offers).filter(|(_, target)| !known.contains(*target)) {
            found.add(path, format!("there is no target {:?}", target.as_str()), "configure it first, or leave it out");
        }
        found.all()
    }
}

impl ThresholdsFile {
    /// Everything that is wrong with it. `queues` and `targets` are those that exist, where that is known.
    pub fn problems(&self, queues: Option<&BTreeSet<QueueId>>, targets: Option<&BTreeSet<TargetId>>) -> Vec<Problem> {
        let mut found = Problems::default();
        for (queue, thresholds) in &self.queues {
            let path = format!("queues.{queue}");
            let known = queues.is_none_or(|queues| queues.contains(queue));
            found.unless(known, &path, || format!("there is no queue {:?}", queue.as_str()), "name one that exists");
            found.under(&path, thresholds.problems());
            if let Some(targets) = targets {
                found.under(&path, thresholds.strangers(targets));
            }
        }
        found.all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem() {
        assert_eq!(Thresholds::default().problems(), []);
    }

    #[test]
    fn a_number_of_many_digits_is_the_same_when_it_was_written_and_read() {
        for calm_s in [90.222_222_222_222_24, 1.0 / 3.0, 4.184_467_440_737_208e20, f64::MIN_POSITIVE] {
            let written = serde_json::to_string(&Thresholds { calm_s, ..Thresholds::default() }).unwrap();
            assert_eq!(serde_json::from_str::<Thresholds>(&written).unwrap().calm_s, calm_s);
        }
    }

    #[test]
    fn all_problems_are_named_each_with_its_place() {
        let thresholds = Thresholds {
            goal: Goal { share: 1.5, within_s: f64::NAN },
            floor_per_s: 2.0,
            stale: Stale { static_per_s: vec![1.0, 3.0], ..Stale::default() },
            targets: vec![
                Toward { target: "chat".into(), weight: 0.0, capacity_per_s: Some(-1.0) },
                Toward { target: "chat".into(), weight: 0.0, capacity_per_s: None },
            ],
            offers: vec!["callback".into(), "callback".into()],
            ..Thresholds::default()
        };
        let paths: Vec<String> = thresholds.problems().into_iter().map(|p| p.path).collect();
        let want = [
            "goal.share",
            "goal.within_s",
            "stale.static_per_s",
            "stale.static_per_s.0",
            "targets.0.capacity_per_s",
            "targets.1.target",
            "targets",
            "offers.1",
        ];
        assert_eq!(paths, want);
    }

    #[test]
    fn a_file_names_what_does_not_exist() {
        let mut file = ThresholdsFile::default();
        let targets = vec![Toward { target: "moon".into(), weight: 1.0, capacity_per_s: None }];
        file.queues.insert("sails".into(), Thresholds { targets, ..Thresholds::default() });
        assert_eq!(file.problems(None, None), []);
        let problems = file.problems(Some(&["sales".into()].into()), Some(&["chat".into()].into()));
        let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["queues.sails", "queues.sails.targets.0.target"]);
    }

    #[test]
    fn the_static_gap_is_of_the_hour() {
        let stale = |rates: Vec<f64>| Stale { static_per_s: rates, ..Stale::default() };
        assert_eq!(stale(vec![]).static_at(3), None);
        assert_eq!(stale(vec![0.5]).static_at(23), Some(0.5));
        let hours: Vec<f64> = (0..24).map(f64::from).collect();
        assert_eq!((stale(hours.clone()).static_at(7), stale(hours).static_at(24)), (Some(7.0), Some(0.0)));
    }
}
