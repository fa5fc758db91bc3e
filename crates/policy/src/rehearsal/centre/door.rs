//! What stands at the doors of a centre.

use std::collections::HashMap;

use model::control::{Automatic, Stale};
use model::{QueueId, Time};

use super::orders::{self, Ordered};
use crate::bucket::Bucket;
use crate::control::{Controller, Orders, Rules};
use crate::gate::{Caller, Gate, Heard, Known, Staleness};
use crate::level::Level;
use crate::seen::Seen;
use crate::split::{self, Target};
use crate::sticky;

/// Somebody wants to enter a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asks {
    /// Which queue.
    pub queue: usize,
    /// Who: the same number is the same caller.
    pub caller: u64,
    /// Whether the business protects them.
    pub protected: bool,
}

/// Where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Into the queue.
    In,
    /// To this target.
    To(usize),
}

/// What stands at the doors of a centre's queues.
pub trait Door {
    /// Whether it wants to be told of this queue.
    fn watches(&self, queue: usize) -> bool;
    /// With the newest figures that there are.
    fn tick(&mut self, now_s: f64, queue: usize, seen: &Seen);
    /// Whether it would do the same without another tick as long as nobody calls and nobody waits.
    fn at_rest(&self, queue: usize) -> bool;
    /// Where a caller goes.
    fn decide(&mut self, now_s: f64, asks: &Asks) -> Way;
    /// The caller was led elsewhere, and it did not help.
    fn in_vain(&mut self, now_s: f64, caller: u64);
    /// How often it changed its mind about this queue.
    fn changes(&self, queue: usize) -> u64;
}

/// Nobody stands there: all enter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Door for Open {
    fn watches(&self, _queue: usize) -> bool {
        false
    }
    fn tick(&mut self, _now_s: f64, _queue: usize, _seen: &Seen) {}
    fn at_rest(&self, _queue: usize) -> bool {
        true
    }
    fn decide(&mut self, _now_s: f64, _asks: &Asks) -> Way {
        Way::In
    }
    fn in_vain(&mut self, _now_s: f64, _caller: u64) {}
    fn changes(&self, _queue: usize) -> u64 {
        0
    }
}

/// What one queue is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Its goals.
    pub rules: Rules,
    /// How old figures may be, and what enters then.
    pub stale: Stale,
    /// Where callers may be led.
    pub leads: Vec<Lead>,
    /// So many attempts within the window protect; 0: they never do.
    pub attempts_min: u32,
    /// Who was led elsewhere in vain is protected.
    pub in_vain: bool,
    /// The window of attempts, seconds.
    pub attempts_within_s: f64,
}

impl Held {
    /// At an hour of the day. Where no static gap is set, as many enter as were last known to be served, as at a gate.
    fn staleness(&self, hour: usize, served_per_s: f64) -> Staleness {
        let static_per_s = self.stale.static_at(hour).unwrap_or(served_per_s);
        Staleness { valid_s: self.stale.valid_s, half_way_s: self.stale.half_way_s, static_per_s }
    }
}

/// A target of a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lead {
    /// Its number in the centre.
    pub target: usize,
    /// What it takes of this queue.
    pub takes: Target,
    /// How much it is preferred to the others.
    pub weight: f64,
}

/// Our controllers and gates, one of each for every queue that is held to something.
#[derive(Clone, Debug)]
pub struct Gated {
    doors: Vec<Option<One>>,
    /// The moment of the play's beginning, seconds since the epoch: places are by the hour.
    origin_s: f64,
    /// By so many seconds the clocks of the tenant are ahead of UTC: static gaps are by the hour of their day.
    zone_s: f64,
    ordered: orders::Orders,
    callers: HashMap<u64, Recent>,
}

#[derive(Clone, Debug)]
struct One {
    held: Held,
    /// What the targets take, and the same with a containment that tells how much each is preferred.
    takes: Vec<Target>,
    preferred: Vec<Target>,
    buckets: Vec<Bucket>,
    controller: Controller,
    gate: Gate,
    orders: Option<Orders>,
    changes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    attempts: u32,
    last_s: f64,
    in_vain: bool,
}

impl Gated {
    /// With what each queue is held to; `None` is a queue that all may enter.
    pub fn new(held: Vec<Option<Held>>, origin_s: f64) -> Gated {
        let heaviest = |held: &Held| held.leads.iter().map(|lead| lead.weight).fold(f64::MIN_POSITIVE, f64::max);
        let preferred = |lead: &Lead, most: f64| Target {
            containment: lead.takes.containment * lead.weight / most,
            healthy: lead.takes.healthy && lead.weight > 0.0,
            ..lead.takes
        };
        let one = |held: Held| One {
            takes: held.leads.iter().map(|lead| lead.takes).collect(),
            preferred: held.leads.iter().map(|lead| preferred(lead, heaviest(&held))).collect(),
            buckets: vec![Bucket::default(); held.leads.len()],
            controller: Controller::default(),
            gate: Gate::default(),
            orders: None,
            changes: 0,
            held,
        };
        Gated {
            doors: held.into_iter().map(|held| held.map(one)).collect(),
            origin_s,
            zone_s: 0.0,
            ordered: orders::Orders::default(),
            callers: HashMap::new(),
        }
    }

    /// With orders of persons and carriers; `queues` are the names of the doors' queues.
    #[must_use]
    pub fn ordered(self, queues: Vec<QueueId>, orders: &[Ordered]) -> Gated {
        Gated { ordered: orders::Orders::new(queues, orders), ..self }
    }

    /// Where clocks are by so many seconds ahead of UTC.
    #[must_use]
    pub fn zone(self, zone_s: f64) -> Gated {
        Gated { zone_s, ..self }
    }

    fn door(&mut self, queue: usize) -> Option<&mut One> {
        self.doors.get_mut(queue)?.as_mut()
    }
}

impl Door for Gated {
    fn watches(&self, queue: usize) -> bool {
        self.doors.get(queue).is_some_and(Option::is_some)
    }

    fn tick(&mut self, now_s: f64, queue: usize, seen: &Seen) {
        let Some(door) = self.door(queue) else { return };
        let before = door.controller.level();
        let orders = door.controller.tick(now_s, seen, door.gate.flow(), &door.held.rules);
        door.changes += u64::from(orders.level != before);
        door.orders = Some(orders);
    }

    fn at_rest(&self, queue: usize) -> bool {
        self.doors[queue].as_ref().is_none_or(|door| door.controller.level() == Level::Normal)
    }

    fn decide(&mut self, now_s: f64, asks: &Asks) -> Way {
        let at_s = self.origin_s + now_s;
        let hour = (at_s / 3_600.0).floor() as i64;
        let of_day = ((at_s + self.zone_s) / 3_600.0).rem_euclid(24.0) as usize;
        let Some(door) = self.doors.get_mut(asks.queue).and_then(Option::as_mut) else { return Way::In };
        let Some(mut orders) = door.orders else { return Way::In };
        let automatic =
            Automatic { level: orders.level, rate_per_s: orders.rate_per_s, divert_share: orders.divert_share };
        let (all, ordered) = self.ordered.over(asks.queue, automatic, Time((at_s * 1_000.0) as i64));
        (orders.level, orders.rate_per_s, orders.divert_share) = (all.level, all.rate_per_s, all.divert_share);
        let heard = Heard {
            silent_s: 0.0,
            most_per_s: if ordered && all.rate_per_s != automatic.rate_per_s { all.rate_per_s } else { f64::INFINITY },
        };
        let stale = door.held.staleness(of_day, orders.drain.capacity_per_s);
        let recent = self.callers.entry(asks.caller).or_default();
        if now_s - recent.last_s > door.held.attempts_within_s {
            *recent = Recent::default();
        }
        let known = Known {
            emergency: false,
            vip: asks.protected,
            attempts: recent.attempts,
            diverted_in_vain: recent.in_vain && door.held.in_vain,
        };
        let place = sticky::place(&asks.caller.to_le_bytes(), hour, recent.attempts);
        let caller = Caller { place, first: recent.attempts == 0, protected: known.protected(door.held.attempts_min) };
        *recent = Recent { attempts: recent.attempts.saturating_add(1), last_s: now_s, ..*recent };
        if door.gate.decide_heard(now_s, &caller, &orders, &door.held.rules, &stale, heard).enters() {
            return Way::In;
        }
        match door.target(now_s, asks.caller) {
            Some(target) => Way::To(target),
            // nobody is turned away to nowhere
            None => {
                door.gate.entered_anyway(now_s, &orders, &door.held.rules, &stale, heard);
                Way::In
            }
        }
    }

    fn in_vain(&mut self, now_s: f64, caller: u64) {
        let recent = self.callers.entry(caller).or_default();
        *recent = Recent { in_vain: true, last_s: now_s, ..*recent };
    }

    fn changes(&self, queue: usize) -> u64 {
        self.doors[queue].as_ref().map_or(0, |door| door.changes)
    }
}

impl One {
    /// Not by the place that decided that they must go: callers with low places would all be led to the first target.
    fn target(&mut self, now_s: f64, caller: u64) -> Option<usize> {
        let flow = self.gate.flow();
        let diverted_per_s = (flow.attempts.per_s(now_s, 60) - flow.admitted.per_s(now_s, 60)).max(1.0 / 60.0);
        let shares = split::shares(&self.preferred, diverted_per_s);
        let place = sticky::place(&[&caller.to_le_bytes()[..], b"|target|"].concat(), ANY_HOUR, 0);
        let chosen = split::choose(&self.takes, &shares, &mut self.buckets, place, now_s)?;
        Some(self.held.leads[chosen].target)
    }
}

/// A caller is led to the same target in every hour.
const ANY_HOUR: i64 = 0;
