//! A queue played through: callers, agents and a rule at the door, in simulated time, from a seed.
//!
//! It serves two ends: the comparison of control rules on one queue ([`Play`], [`rivals`]), and the preview of thresholds on recorded
//! traffic ([`centre`]), where calls and agents are as recorded and what was not recorded is drawn from a [`law`].

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp};

use crate::seen::Seen;

/// Somebody calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// When, seconds from the start.
    pub at_s: f64,
    /// Who: the same number is the same caller.
    pub caller: u64,
    /// How long they would wait, where it is known (who was served showed only that it is more).
    pub patience_s: Option<f64>,
    /// How long their talk and wrap-up takes, where it is known.
    pub service_s: Option<f64>,
    /// Whether the gate must let them pass.
    pub protected: bool,
}

/// What is drawn where it was not recorded, and what callers do who were not served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manners {
    /// Mean patience, seconds, exponential.
    pub patience_s: f64,
    /// Mean handling time, seconds, exponential.
    pub service_s: f64,
    /// The share of those who left without service that call again.
    pub redial_share: f64,
    /// Mean time until they do, seconds, exponential.
    pub redial_after_s: f64,
    /// The share of the diverted who are content with what they get.
    pub contained_share: f64,
}

/// How many agents work from a moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Staff {
    /// From when, seconds from the start.
    pub from_s: f64,
    /// How many.
    pub agents: u32,
}

/// What stands at the door.
pub trait Rule {
    /// Once a second, with the newest figures there are.
    fn tick(&mut self, now_s: f64, seen: &Seen);
    /// Whether the caller may enter the queue.
    fn admits(&mut self, now_s: f64, arrival: &Arrival) -> bool;
    /// How often it changed its mind: modes or levels.
    fn changes(&self) -> u64;
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Calls, redials included.
    pub attempts: u64,
    /// Led elsewhere.
    pub diverted: u64,
    /// Led elsewhere while an agent was free and nobody waited.
    pub diverted_wrongly: u64,
    /// Answered by an agent.
    pub answered: u64,
    /// Answered within the threshold.
    pub answered_in_time: u64,
    /// Gave up in the queue.
    pub abandoned: u64,
    /// Changes of the rule's mind.
    pub changes: u64,
    /// Sum of the waits of the answered, seconds.
    pub waited_s: f64,
    /// Agents' seconds at work, and there.
    pub busy_s: f64,
    /// Agents' seconds there.
    pub staffed_s: f64,
}

impl Score {
    /// The share of the answered who waited no longer than the threshold; 1 when nobody was answered.
    pub fn in_time(&self) -> f64 {
        if self.answered == 0 { 1.0 } else { self.answered_in_time as f64 / self.answered as f64 }
    }

    /// The share of all attempts that was led elsewhere.
    pub fn diverted_share(&self) -> f64 {
        self.diverted as f64 / self.attempts.max(1) as f64
    }

    /// How much of the agents' time was work.
    pub fn occupancy(&self) -> f64 {
        self.busy_s / self.staffed_s.max(1e-9)
    }
}

/// One play.
pub struct Play<'a> {
    /// In the order of time.
    pub arrivals: &'a [Arrival],
    /// In the order of time; the first is from 0.
    pub staff: &'a [Staff],
    /// What is drawn.
    pub manners: Manners,
    /// A wait up to this is in time, seconds.
    pub threshold_s: f64,
    /// How old the figures are that the rule sees, seconds.
    pub age_s: f64,
    /// When it ends, seconds from the start: nobody arrives later.
    pub until_s: f64,
    /// Of everything that is drawn.
    pub seed: u64,
}

/// A moment in the future.
struct Moment {
    at_s: f64,
    number: u64,
    what: What,
}

enum What {
    Calls(Arrival),
    GivesUp(u64),
    Finishes,
    Staffed(u32),
    Tick,
}

impl PartialEq for Moment {
    fn eq(&self, other: &Moment) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Moment {}
impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Moment) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Moment {
    // the heap gives the greatest: the earliest, and of two at once the one that was planned first
    fn cmp(&self, other: &Moment) -> Ordering {
        other.at_s.total_cmp(&self.at_s).then(other.number.cmp(&self.number))
    }
}

struct Waiting {
    number: u64,
    since_s: f64,
    arrival: Arrival,
}

struct Stage<'a> {
    play: &'a Play<'a>,
    rule: &'a mut dyn Rule,
    draws: ChaCha8Rng,
    moments: BinaryHeap<Moment>,
    planned: u64,
    queue: VecDeque<Waiting>,
    agents: u32,
    busy: u32,
    now_s: f64,
    pictures: VecDeque<Seen>,
    told: Seen,
    score: Score,
}

impl Play<'_> {
    /// Plays it through under a rule.
    pub fn under(&self, rule: &mut dyn Rule) -> Score {
        let mut stage = Stage {
            play: self,
            rule,
            draws: ChaCha8Rng::seed_from_u64(self.seed),
            moments: BinaryHeap::new(),
            planned: 0,
            queue: VecDeque::new(),
            agents: 0,
            busy: 0,
            now_s: 0.0,
            pictures: VecDeque::new(),
            told: Seen::default(),
            score: Score::default(),
        };
        for staff in self.staff {
            stage.plan(staff.from_s, What::Staffed(staff.agents));
        }
        stage.plan(0.0, What::Tick);
        for arrival in self.arrivals {
            stage.plan(arrival.at_s, What::Calls(*arrival));
        }
        while let Some(moment) = stage.moments.pop() {
            stage.advance(moment.at_s);
            stage.happen(moment.what);
        }
        stage.score.changes = stage.rule.changes();
        stage.score
    }
}

impl Stage<'_> {
    fn plan(&mut self, at_s: f64, what: What) {
        self.planned += 1;
        self.moments.push(Moment { at_s, number: self.planned, what });
    }

    fn draw(&mut self, mean_s: f64) -> f64 {
        Exp::new(1.0 / mean_s).map_or(mean_s, |law| law.sample(&mut self.draws))
    }

    fn advance(&mut self, to_s: f64) {
        let seconds = to_s - self.now_s;
        self.score.busy_s += seconds * f64::from(self.busy);
        self.score.staffed_s += seconds * f64::from(self.agents.max(self.busy));
        self.now_s = to_s;
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Calls(arrival) => self.calls(arrival),
            What::GivesUp(number) => self.gives_up(number),
            What::Finishes => {
                self.busy -= 1;
                self.serve();
            }
            What::Staffed(agents) => {
                self.agents = agents;
                self.serve();
            }
            What::Tick => self.tick(),
        }
    }

    fn tick(&mut self) {
        let picture = Seen {
            at_s: self.now_s,
            waiting: self.queue.len() as f64,
            agents: f64::from(self.agents),
            free: f64::from(self.agents.saturating_sub(self.busy)),
            ..self.told
        };
        self.pictures.push_back(picture);
        while self.pictures.len() > 1 && self.pictures[1].at_s <= self.now_s - self.play.age_s {
            self.pictures.pop_front();
        }
        if let Some(seen) = self.pictures.front().filter(|seen| seen.at_s <= self.now_s - self.play.age_s) {
            self.rule.tick(self.now_s, seen);
        }
        if self.now_s < self.play.until_s {
            self.plan(self.now_s + 1.0, What::Tick);
        }
    }

    fn calls(&mut self, arrival: Arrival) {
        self.score.attempts += 1;
        if !self.rule.admits(self.now_s, &arrival) {
            self.score.diverted += 1;
            self.score.diverted_wrongly += u64::from(self.queue.is_empty() && self.busy < self.agents);
            if !self.draws.random_bool(self.play.manners.contained_share) {
                self.perhaps_again(arrival);
            }
            return;
        }
        self.planned += 1;
        let number = self.planned;
        let patience_s = arrival.patience_s.unwrap_or_else(|| self.draw(self.play.manners.patience_s));
        self.queue.push_back(Waiting { number, since_s: self.now_s, arrival });
        self.serve();
        if self.queue.back().is_some_and(|last| last.number == number) {
            self.plan(self.now_s + patience_s, What::GivesUp(number));
        }
    }

    fn serve(&mut self) {
        while self.busy < self.agents {
            let Some(caller) = self.queue.pop_front() else { return };
            let waited_s = self.now_s - caller.since_s;
            self.score.answered += 1;
            self.score.answered_in_time += u64::from(waited_s <= self.play.threshold_s);
            self.score.waited_s += waited_s;
            self.told.answered += 1;
            self.told.waited_s += waited_s;
            self.busy += 1;
            let service_s = caller.arrival.service_s.unwrap_or_else(|| self.draw(self.play.manners.service_s));
            self.plan(self.now_s + service_s, What::Finishes);
        }
    }

    fn gives_up(&mut self, number: u64) {
        let Ok(at) = self.queue.binary_search_by_key(&number, |caller| caller.number) else { return };
        let Some(caller) = self.queue.remove(at) else { return };
        self.score.abandoned += 1;
        self.told.abandoned += 1;
        self.told.waited_s += self.now_s - caller.since_s;
        self.perhaps_again(caller.arrival);
    }

    fn perhaps_again(&mut self, arrival: Arrival) {
        if self.draws.random_bool(self.play.manners.redial_share) {
            let at_s = self.now_s + self.draw(self.play.manners.redial_after_s);
            if at_s < self.play.until_s {
                // what a second call would be like was not recorded
                self.plan(at_s, What::Calls(Arrival { at_s, patience_s: None, ..arrival }));
            }
        }
    }
}

/// Callers at random: a Poisson stream whose rate is `rate_per_s` of the time, never above `most_per_s`, each from a number of their own.
///
/// By thinning (Lewis and Shedler, 1979).
pub fn arrivals(seed: u64, until_s: f64, most_per_s: f64, rate_per_s: impl Fn(f64) -> f64) -> Vec<Arrival> {
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    let (mut at_s, mut all) = (0.0, Vec::new());
    loop {
        at_s += -(1.0 - draws.random::<f64>()).ln() / most_per_s;
        if at_s >= until_s {
            return all;
        }
        if draws.random::<f64>() * most_per_s < rate_per_s(at_s) {
            let caller = all.len() as u64;
            all.push(Arrival { at_s, caller, patience_s: None, service_s: None, protected: false });
        }
    }
}

#[cfg(test)]
mod tests;

pub mod centre;
pub mod law;
pub mod rivals;
