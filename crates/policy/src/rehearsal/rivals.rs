//! The rules that a flood is commonly met with, to be compared with the gate.

use std::collections::HashSet;

use super::{Arrival, Rule};
use crate::control::{Controller, Orders, Rules};
use crate::gate::{Caller, Gate, Protected, Staleness};
use crate::seen::Seen;
use crate::sticky;
use crate::wait::Drain;

/// Lets everybody in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Rule for Open {
    fn tick(&mut self, _now_s: f64, _seen: &Seen) {}

    fn admits(&mut self, _now_s: f64, _arrival: &Arrival) -> bool {
        true
    }

    fn changes(&self) -> u64 {
        0
    }
}

/// Turns a call away when more wait than this share of the agents; looked at once for each call.
#[derive(Clone, Copy, Debug)]
pub struct WaitRatio {
    /// Waiting callers for each agent.
    pub most: f64,
    seen: Seen,
    closed: bool,
    changes: u64,
}

impl WaitRatio {
    /// A rule with this ratio.
    pub fn new(most: f64) -> WaitRatio {
        WaitRatio { most, seen: Seen::default(), closed: false, changes: 0 }
    }
}

impl Rule for WaitRatio {
    fn tick(&mut self, _now_s: f64, seen: &Seen) {
        self.seen = *seen;
    }

    fn admits(&mut self, _now_s: f64, _arrival: &Arrival) -> bool {
        let closed = self.seen.waiting > self.most * self.seen.agents;
        self.changes += u64::from(closed != self.closed);
        self.closed = closed;
        !closed
    }

    fn changes(&self) -> u64 {
        self.changes
    }
}

/// Closes when the expected wait is above `on_s`, and opens when it is not above `off_s`.
#[derive(Clone, Copy, Debug)]
pub struct OnOff {
    /// Seconds.
    pub on_s: f64,
    /// Seconds; the same as `on_s` is no hysteresis.
    pub off_s: f64,
    /// Mean handling time that it believes in, seconds.
    pub service_s: f64,
    /// Mean patience that it believes in, seconds.
    pub patience_s: f64,
    closed: bool,
    changes: u64,
}

impl OnOff {
    /// A rule with these borders and beliefs.
    pub fn new(on_s: f64, off_s: f64, service_s: f64, patience_s: f64) -> OnOff {
        OnOff { on_s, off_s, service_s, patience_s, closed: false, changes: 0 }
    }
}

impl Rule for OnOff {
    fn tick(&mut self, _now_s: f64, seen: &Seen) {
        let drain = Drain { capacity_per_s: seen.agents / self.service_s, patience_per_s: 1.0 / self.patience_s };
        let free = seen.free > 0.0 && seen.waiting == 0.0;
        let wait_s = if free { 0.0 } else { drain.wait(seen.waiting).map_or(f64::INFINITY, |wait| wait.mean_s) };
        let border = if self.closed { self.off_s } else { self.on_s };
        let closed = wait_s > border;
        self.changes += u64::from(closed != self.closed);
        self.closed = closed;
    }

    fn admits(&mut self, _now_s: f64, _arrival: &Arrival) -> bool {
        !self.closed
    }

    fn changes(&self) -> u64 {
        self.changes
    }
}

/// Our controller and gate together.
#[derive(Clone, Debug)]
pub struct Ours {
    /// What the queue is held to.
    pub rules: Rules,
    /// The handling time that is believed in, whatever the figures say, seconds.
    pub service_s: f64,
    controller: Controller,
    gate: Gate,
    orders: Option<Orders>,
    called: HashSet<u64>,
    changes: u64,
}

impl Ours {
    /// With these rules and this belief.
    pub fn new(rules: Rules, service_s: f64) -> Ours {
        Ours {
            rules,
            service_s,
            controller: Controller::default(),
            gate: Gate::default(),
            orders: None,
            called: HashSet::new(),
            changes: 0,
        }
    }
}

impl Rule for Ours {
    fn tick(&mut self, now_s: f64, seen: &Seen) {
        let before = self.controller.level();
        let seen = Seen { service_s: Some(self.service_s), ..*seen };
        let orders = self.controller.tick(now_s, &seen, self.gate.flow(), &self.rules);
        self.changes += u64::from(orders.level != before);
        self.orders = Some(orders);
    }

    fn admits(&mut self, now_s: f64, arrival: &Arrival) -> bool {
        let Some(orders) = &self.orders else { return true };
        let first = self.called.insert(arrival.caller);
        let hour = (now_s / 3_600.0) as i64;
        let protected = arrival.protected.then_some(Protected::Vip);
        let caller =
            Caller { place: sticky::place(&arrival.caller.to_le_bytes(), hour, u32::from(!first)), first, protected };
        self.gate.decide(now_s, &caller, orders, &self.rules, &Staleness::default()).enters()
    }

    fn changes(&self) -> u64 {
        self.changes
    }
}
