//! What holds for a queue at a moment: the plan, with the orders of persons and carriers that are in force then.

use model::control::{Automatic, By, Figures, Level, Order, PlanIssued, Thresholds};
use model::{QueueId, Time};

use super::{Lead, Override, Queue};
use crate::control::{Orders, Rules};
use crate::gate::Staleness;
use crate::seen::Seen;
use crate::split;
use crate::wait::Drain;

/// What is to be enforced at a queue. Cheap to get: nothing is allocated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Force<'a> {
    /// Everything that was decided about the queue.
    pub queue: &'a Queue,
    /// The orders of the plan, with the overrides in them.
    pub orders: Orders,
    /// What the queue is held to.
    pub rules: Rules,
    /// How old figures may be, and what then.
    pub stale: Staleness,
    /// The version of the plan; 0: none was ever issued.
    pub plan: u64,
    /// When the console was last heard of this queue.
    pub affirmed_at: Option<Time>,
    /// Where the diverted go.
    pub leads: &'a [Lead],
    /// The share of each.
    pub shares: &'a [f64],
    /// What is offered at level 1.
    pub offers: &'a [Lead],
}

/// A time as the rules of this crate want it: seconds.
pub fn seconds(time: Time) -> f64 {
    time.ms() as f64 / 1_000.0
}

/// Figures as the rules want them.
pub fn seen_of(figures: &Figures) -> Seen {
    Seen {
        at_s: seconds(figures.at),
        waiting: figures.waiting,
        free: figures.free,
        agents: figures.agents,
        service_s: figures.service_s,
        answered: figures.answered,
        abandoned: figures.abandoned,
        waited_s: figures.waited_s,
    }
}

/// Thresholds as the rules want them.
pub fn rules_of(thresholds: &Thresholds) -> Rules {
    Rules {
        threshold_s: thresholds.goal.within_s,
        goal_share: thresholds.goal.share,
        target_share: thresholds.wait_target_share,
        certainty: thresholds.certainty,
        room_min: thresholds.room_min,
        floor_per_s: thresholds.floor_per_s,
        calm_s: thresholds.calm_s,
        helpless_s: thresholds.helpless_s,
        service_default_s: thresholds.service_default_s,
        burst_s: thresholds.burst_s,
        burst_protected: thresholds.burst_protected,
    }
}

/// A rate that no queue reaches: open.
const OPEN_PER_S: f64 = 1e6;

/// The rule of staleness at an hour of the tenant's day. Where nobody set a static gap, as many enter as were last known to be served:
/// `served_per_s`, or all when nothing was ever known.
pub fn staleness_of(thresholds: &Thresholds, hour: usize, served_per_s: Option<f64>) -> Staleness {
    let stale = &thresholds.stale;
    Staleness {
        valid_s: stale.valid_s,
        half_way_s: stale.half_way_s,
        static_per_s: stale.static_at(hour).unwrap_or(served_per_s.unwrap_or(OPEN_PER_S)),
    }
}

impl Queue {
    /// What holds at `now`; `hour` is the hour of the tenant's day.
    pub(super) fn force(&self, ordered: &Ordered, now: Time, hour: usize) -> Force<'_> {
        let plan = self.plan.as_ref();
        let mut orders = plan.map_or_else(|| unplanned(now), |plan| planned(plan, &self.figures));
        let automatic =
            Automatic { level: orders.level, rate_per_s: orders.rate_per_s, divert_share: orders.divert_share };
        let all = ordered.over(automatic);
        (orders.level, orders.rate_per_s, orders.divert_share) = (all.level, all.rate_per_s, all.divert_share);
        Force {
            queue: self,
            orders,
            rules: self.rules,
            stale: staleness_of(&self.thresholds, hour, plan.map(|plan| plan.capacity_per_s)),
            plan: self.plan_version(),
            affirmed_at: self.affirmed_at,
            leads: &self.leads,
            shares: &self.shares,
            offers: &self.offers,
        }
    }
}

impl Force<'_> {
    /// The same with fresher figures of the queue, if these are: who enforces may see the views sooner than the console speaks.
    #[must_use]
    pub fn seeing(mut self, at: Time, waiting: f64, free: f64) -> Self {
        let at_s = seconds(at);
        if at_s > self.orders.seen.at_s {
            self.orders.seen = Seen { at_s, waiting, free, ..self.orders.seen };
        }
        self
    }
}

/// Without a plan nothing is diverted, and that is never stale: there was nobody yet who could fall silent.
fn unplanned(now: Time) -> Orders {
    Orders {
        level: Level::Normal,
        seen: Seen { at_s: seconds(now), ..Seen::default() },
        drain: Drain { capacity_per_s: 0.0, patience_per_s: 0.0 },
        rate_per_s: 0.0,
        divert_share: 0.0,
        wait_s: None,
        sustainable_per_s: 0.0,
    }
}

fn planned(plan: &PlanIssued, figures: &Figures) -> Orders {
    Orders {
        level: plan.automatic.level,
        seen: seen_of(figures),
        drain: Drain { capacity_per_s: plan.capacity_per_s, patience_per_s: plan.patience_per_s },
        rate_per_s: plan.automatic.rate_per_s,
        divert_share: plan.automatic.divert_share,
        wait_s: plan.wait_s,
        sustainable_per_s: plan.sustainable_per_s,
    }
}

/// What persons and carriers order of a queue, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Ordered {
    locked: Option<Level>,
    /// Hard phones are left one level at a time, whatever the load says.
    descent: Level,
    at_least: Option<Level>,
    operator_per_s: Option<f64>,
    carrier_per_s: Option<f64>,
}

impl Ordered {
    pub(super) fn of(queue: &QueueId, overrides: &[Override], descent: Level, now: Time) -> Ordered {
        let mut all = Ordered { descent, ..Ordered::default() };
        // the youngest stand last
        for held in overrides.iter().filter(|held| held.set.until > now) {
            if held.set.queue.as_ref().is_some_and(|only| only != queue) {
                continue;
            }
            match held.set.order {
                Order::LevelLocked { level } => all.locked = Some(level),
                Order::LevelAtLeast { level } => all.at_least = all.at_least.max(Some(level)),
                Order::RateAtMost { per_s } => {
                    let carrier = matches!(held.stamp.by, By::Carrier(_));
                    let limit = if carrier { &mut all.carrier_per_s } else { &mut all.operator_per_s };
                    *limit = Some(limit.map_or(per_s, |other: f64| other.min(per_s)));
                }
            }
        }
        all
    }

    pub(super) fn over(self, automatic: Automatic) -> Automatic {
        let level =
            self.locked.unwrap_or(automatic.level.max(self.descent)).max(self.at_least.unwrap_or(Level::Normal));
        if self.operator_per_s.or(self.carrier_per_s).is_none() {
            // the way out of the hard phones limits nobody of whose queue no rate is known
            let unknown = self.locked.is_none() && self.descent == level && automatic.rate_per_s <= 0.0;
            let rate_per_s = if unknown { OPEN_PER_S } else { automatic.rate_per_s };
            return Automatic { level, rate_per_s, ..automatic };
        }
        // below level 2 the automatic rate limits nobody: only the order does, and it is a rate, not a share of the callers
        let limits = level >= Level::DivertShare;
        let rate_per_s = if limits { automatic.rate_per_s } else { OPEN_PER_S };
        Automatic {
            level: level.max(Level::DivertShare),
            rate_per_s: split::combine(rate_per_s, self.operator_per_s, self.carrier_per_s),
            divert_share: if limits { automatic.divert_share } else { 0.0 },
        }
    }
}
