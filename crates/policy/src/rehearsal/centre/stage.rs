//! The play itself: moments in order, and what each of them changes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Asks, Call, Centre, Door, Ended, How, Next, Patience, Played, Way};
use crate::fair::{self, Group};
use crate::seen::Seen;

/// A queue is not told of when nobody waits, nothing is diverted and nobody called for so long, seconds.
const REST_S: f64 = 120.0;
/// Effective agents are worked out anew after so long, seconds.
const SHARED_S: f64 = 10.0;
/// What a queue needs follows its arrivals of about so long, seconds.
const NEED_S: f64 = 300.0;
/// No call keeps an agent longer, seconds.
const SERVICE_S_MAX: f64 = 86_400.0;
/// `still` is asked after so many moments.
const ASKED_EVERY: u64 = 4_096;

/// A moment in the future.
struct Moment {
    at_s: f64,
    /// Of two at once: who leaves work, who comes to it, who calls, who ends a call, who gives up.
    rank: u8,
    number: u64,
    what: What,
}

enum What {
    Goes(usize),
    Comes(usize),
    Calls(Attempt),
    Finishes(usize),
    GivesUp(usize, Place),
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
    // the heap gives the greatest: the earliest
    fn cmp(&self, other: &Moment) -> Ordering {
        other.at_s.total_cmp(&self.at_s).then(other.rank.cmp(&self.rank)).then(other.number.cmp(&self.number))
    }
}

/// Somebody who calls.
#[derive(Clone, Copy)]
struct Attempt {
    /// The recorded call that it began with, and how many drawn attempts lie between.
    call: usize,
    repeat: u32,
    at_s: f64,
    is: Call,
}

/// A place in a queue: served in this order. Microseconds, so that places can be compared.
type Place = (i64, u64);

/// What is drawn of a call.
#[derive(Clone, Copy)]
enum Draw {
    Patience,
    Service,
    Redials,
    RedialsAfter,
    Contained,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<Place, Attempt>,
    answered: u64,
    abandoned: u64,
    waited_s: f64,
    called_s: f64,
    needs: Needs,
    pictures: VecDeque<Seen>,
}

/// A rate that is forgotten by and by.
#[derive(Clone, Copy, Default)]
struct Needs {
    per_s: f64,
    at_s: f64,
}

impl Needs {
    fn now(&self, now_s: f64) -> f64 {
        self.per_s * (-(now_s - self.at_s) / NEED_S).exp()
    }

    fn count(&mut self, now_s: f64) {
        *self = Needs { per_s: self.now(now_s) + 1.0 / NEED_S, at_s: now_s };
    }
}

#[derive(Clone, Copy)]
struct Worker {
    serves: u64,
    there: bool,
    busy: bool,
}

pub(super) struct Stage<'a> {
    centre: &'a Centre<'a>,
    door: &'a mut dyn Door,
    moments: BinaryHeap<Moment>,
    planned: u64,
    queues: Vec<Queue>,
    workers: Vec<Worker>,
    /// Free agents, who has been free longest first.
    free: Vec<usize>,
    /// How many are at work, by what they serve.
    there: BTreeMap<u64, u32>,
    busy: u32,
    now_s: f64,
    ticking: bool,
    shared_s: f64,
    effective: Vec<f64>,
    service_s: Vec<f64>,
    played: Played,
}

impl<'a> Stage<'a> {
    pub(super) fn new(centre: &'a Centre<'a>, door: &'a mut dyn Door) -> Stage<'a> {
        let count = centre.queues();
        let bits = |queues: &[usize]| queues.iter().fold(0u64, |bits, queue| bits | 1 << (queue % super::QUEUES_MAX));
        let workers = centre.agents.iter().map(|a| Worker { serves: bits(&a.queues), there: false, busy: false });
        let mut stage = Stage {
            centre,
            door,
            moments: BinaryHeap::new(),
            planned: 0,
            queues: (0..count).map(|_| Queue { called_s: f64::NEG_INFINITY, ..Queue::default() }).collect(),
            workers: workers.collect(),
            free: Vec::new(),
            there: BTreeMap::new(),
            busy: 0,
            now_s: 0.0,
            ticking: false,
            shared_s: f64::NEG_INFINITY,
            effective: vec![0.0; count],
            service_s: centre.crowd.service.iter().map(|law| law.mean_s()).collect(),
            played: Played::default(),
        };
        for (number, agent) in centre.agents.iter().enumerate() {
            for (from_s, to_s) in &agent.stays {
                stage.plan(*from_s, 1, What::Comes(number));
                stage.plan(*to_s, 0, What::Goes(number));
            }
        }
        for (number, call) in centre.calls.iter().enumerate().filter(|(_, call)| !call.follows) {
            stage.plan(call.at_s, 2, What::Calls(Attempt { call: number, repeat: 0, at_s: call.at_s, is: *call }));
        }
        stage
    }

    pub(super) fn play(mut self, still: &mut dyn FnMut(f64) -> bool) -> Option<Played> {
        let mut moments = 0u64;
        while let Some(moment) = self.moments.pop() {
            moments += 1;
            if moments.is_multiple_of(ASKED_EVERY) && !still(self.now_s) {
                return None;
            }
            self.advance(moment.at_s);
            self.happen(moment.what);
        }
        self.leave_unserved();
        self.played.changes = (0..self.queues.len()).map(|queue| self.door.changes(queue)).collect();
        Some(self.played)
    }

    fn plan(&mut self, at_s: f64, rank: u8, what: What) {
        if at_s.is_finite() {
            self.planned += 1;
            self.moments.push(Moment { at_s, rank, number: self.planned, what });
        }
    }

    fn advance(&mut self, to_s: f64) {
        let seconds = (to_s - self.now_s).max(0.0);
        self.played.busy_s += seconds * f64::from(self.busy);
        self.played.staffed_s += seconds * (self.free.len() as f64 + f64::from(self.busy));
        self.now_s = self.now_s.max(to_s);
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Goes(agent) => self.goes(agent),
            What::Comes(agent) => self.comes(agent),
            What::Calls(attempt) => self.calls(attempt),
            What::Finishes(agent) => self.finishes(agent),
            What::GivesUp(queue, place) => self.gives_up(queue, place),
            What::Tick => self.tick(),
        }
    }

    fn goes(&mut self, agent: usize) {
        let worker = &mut self.workers[agent];
        worker.there = false;
        if !worker.busy {
            self.free.retain(|free| *free != agent);
            self.count_there(agent, -1);
        }
    }

    fn comes(&mut self, agent: usize) {
        let worker = &mut self.workers[agent];
        if worker.there {
            return;
        }
        worker.there = true;
        if !worker.busy {
            self.count_there(agent, 1);
            self.becomes_free(agent);
        }
    }

    fn count_there(&mut self, agent: usize, by: i32) {
        let count = self.there.entry(self.workers[agent].serves).or_default();
        *count = count.saturating_add_signed(by);
        self.shared_s = f64::NEG_INFINITY;
    }

    fn finishes(&mut self, agent: usize) {
        self.busy -= 1;
        self.workers[agent].busy = false;
        if self.workers[agent].there {
            self.becomes_free(agent);
        } else {
            self.count_there(agent, -1);
        }
    }

    /// Takes the first call of all queues that the agent serves, else waits for one.
    fn becomes_free(&mut self, agent: usize) {
        let serves = self.workers[agent].serves;
        let served = (0..self.queues.len()).filter(|queue| serves & (1 << queue) != 0);
        let first = served.filter_map(|queue| Some((*self.queues[queue].waiting.first_key_value()?.0, queue))).min();
        match first {
            Some((place, queue)) => {
                if let Some(attempt) = self.queues[queue].waiting.remove(&place) {
                    self.serve(agent, &attempt);
                }
            }
            None => self.free.push(agent),
        }
    }

    fn serve(&mut self, agent: usize, attempt: &Attempt) {
        let waited_s = self.now_s - attempt.at_s;
        let queue = &mut self.queues[attempt.is.queue];
        queue.answered += 1;
        queue.waited_s += waited_s;
        let law = &self.centre.crowd.service[attempt.is.queue];
        let service_s = attempt.is.service_s.unwrap_or_else(|| law.any(self.chance(attempt, Draw::Service)));
        let service_s = service_s.min(SERVICE_S_MAX);
        self.end(attempt, How::Answered(waited_s), Some((agent, service_s)));
        self.workers[agent].busy = true;
        self.busy += 1;
        self.plan(self.now_s + service_s, 3, What::Finishes(agent));
    }

    fn calls(&mut self, attempt: Attempt) {
        let queue = attempt.is.queue;
        self.queues[queue].called_s = self.now_s;
        self.queues[queue].needs.count(self.now_s);
        if self.door.watches(queue) && !self.ticking {
            self.ticking = true;
            self.tick();
        }
        let serves = 1u64 << queue;
        let free = self.free.iter().position(|agent| self.workers[*agent].serves & serves != 0);
        let asks = Asks { queue, caller: attempt.is.caller, protected: attempt.is.protected };
        if let Way::To(target) = self.door.decide(self.now_s, &asks) {
            let wrongly = free.is_some() && self.queues[queue].waiting.is_empty();
            self.end(&attempt, How::Diverted(target, wrongly), None);
            if self.chance(&attempt, Draw::Contained) > self.centre.crowd.contained.get(target).copied().unwrap_or(0.0)
            {
                self.door.in_vain(self.now_s, attempt.is.caller);
                self.again(&attempt);
            }
            return;
        }
        if let Some(free) = free {
            let agent = self.free.remove(free);
            self.serve(agent, &attempt);
            return;
        }
        let patience_s = match attempt.is.patience {
            Patience::Exactly(seconds) => seconds,
            Patience::Above(seconds) => {
                self.centre.crowd.patience[queue].above(seconds, self.chance(&attempt, Draw::Patience))
            }
        };
        self.planned += 1;
        let place = (((self.now_s - attempt.is.head_start_s) * 1e6) as i64, self.planned);
        self.queues[queue].waiting.insert(place, attempt);
        self.plan(self.now_s + patience_s, 4, What::GivesUp(queue, place));
    }

    fn gives_up(&mut self, queue: usize, place: Place) {
        let Some(attempt) = self.queues[queue].waiting.remove(&place) else { return };
        let waited_s = self.now_s - attempt.at_s;
        self.queues[queue].abandoned += 1;
        self.queues[queue].waited_s += waited_s;
        self.end(&attempt, How::Abandoned(waited_s), None);
        self.again(&attempt);
    }

    /// Who was not served calls again: as recorded, else as the law says.
    fn again(&mut self, attempt: &Attempt) {
        let (after_s, next) = match attempt.is.next {
            Next::Nothing => return,
            Next::Attempt(call, after_s) => {
                (after_s, Attempt { call, repeat: 0, at_s: 0.0, is: self.centre.calls[call] })
            }
            Next::Drawn => {
                if self.chance(attempt, Draw::Redials) > self.centre.crowd.redial_share {
                    return;
                }
                let after_s = self.centre.crowd.redial_after.any(self.chance(attempt, Draw::RedialsAfter));
                let is = Call { patience: Patience::Above(0.0), service_s: None, ..attempt.is };
                (after_s, Attempt { repeat: attempt.repeat + 1, is, ..*attempt })
            }
        };
        let at_s = self.now_s + after_s;
        if at_s < self.centre.until_s {
            self.plan(at_s, 2, What::Calls(Attempt { at_s, ..next }));
        }
    }

    fn end(&mut self, attempt: &Attempt, how: How, agent: Option<(usize, f64)>) {
        let Attempt { call, repeat, at_s, .. } = *attempt;
        self.played.ended.push(Ended { call, repeat, at_s, queue: attempt.is.queue, how, agent });
    }

    /// Who waits when nobody comes to work any more.
    fn leave_unserved(&mut self) {
        for queue in 0..self.queues.len() {
            for (_, attempt) in std::mem::take(&mut self.queues[queue].waiting) {
                let waited_s = (self.now_s.max(self.centre.until_s) - attempt.at_s).max(0.0);
                self.end(&attempt, How::Abandoned(waited_s), None);
            }
        }
    }

    /// A number in (0, 1] that is the same for this thing of this attempt in every play of the seed.
    fn chance(&self, attempt: &Attempt, what: Draw) -> f64 {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&(attempt.call as u64).to_le_bytes());
        bytes[8..12].copy_from_slice(&attempt.repeat.to_le_bytes());
        bytes[12] = what as u8;
        let hash = xxh3_64_with_seed(&bytes, self.centre.seed);
        ((hash >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    fn tick(&mut self) {
        let mut awake = false;
        for queue in 0..self.queues.len() {
            if self.door.watches(queue) && !self.rests(queue) {
                awake = true;
                self.tell(queue);
            }
        }
        self.ticking = awake && self.now_s <= self.centre.until_s;
        if self.ticking {
            self.plan(self.now_s + self.centre.tick_s, 5, What::Tick);
        }
    }

    fn rests(&self, queue: usize) -> bool {
        let is = &self.queues[queue];
        is.waiting.is_empty() && self.now_s - is.called_s > REST_S && self.door.at_rest(queue)
    }

    fn tell(&mut self, queue: usize) {
        self.share();
        let serves = 1u64 << queue;
        let is = &mut self.queues[queue];
        let free = self.free.iter().filter(|agent| self.workers[**agent].serves & serves != 0).count();
        let picture = Seen {
            at_s: self.now_s,
            waiting: is.waiting.len() as f64,
            free: free as f64,
            agents: self.effective[queue],
            service_s: Some(self.service_s[queue]),
            answered: is.answered,
            abandoned: is.abandoned,
            waited_s: is.waited_s,
        };
        is.pictures.push_back(picture);
        let newest_s = self.now_s - self.centre.age_s;
        while is.pictures.get(1).is_some_and(|second| second.at_s <= newest_s) {
            is.pictures.pop_front();
        }
        if let Some(seen) = is.pictures.front().filter(|seen| seen.at_s <= newest_s) {
            self.door.tick(self.now_s, queue, seen);
        }
    }

    /// Whose agents are whose, by need.
    fn share(&mut self) {
        if self.now_s - self.shared_s < SHARED_S {
            return;
        }
        self.shared_s = self.now_s;
        let queues_of = |bits: u64| (0..self.queues.len()).filter(|queue| bits & (1 << queue) != 0).collect();
        let there = self.there.iter().filter(|(_, agents)| **agents > 0);
        let groups: Vec<Group> =
            there.map(|(bits, agents)| Group { agents: f64::from(*agents), queues: queues_of(*bits) }).collect();
        let needs: Vec<f64> =
            self.queues.iter().zip(&self.service_s).map(|(queue, s)| queue.needs.now(self.now_s) * s).collect();
        self.effective = fair::effective_agents(&groups, &needs);
    }
}
