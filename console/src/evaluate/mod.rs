//! The evaluator: every second, from what is so now to what is decided.
//!
//! Pure: it is given the time, the book's fold and a look at the figures, and answers with what is to be written. What it must remember
//! between two ticks is in one [`Watch`] for each queue, and can be handed on to whoever takes over.
//!
//! - Invariant: a plan is issued when something changed that its enforcement depends on, and not else; its version is the next one.
//! - Invariant: figures that are older than their queue's V decide nothing: the plan stays, and whoever enforces it falls back by itself.

mod effect;
mod links;
mod platform;
mod services;
mod targets;
mod watch;

use std::collections::BTreeMap;

use model::control::{Affirmed, Event, LevelChanged, OverrideCleared, PlanAffirmed, PlanIssued, Thresholds};
use model::{EventId, SourceId, TenantId, Time};
use policy::fair::effective_agents;
use policy::plan::{Table, Tenant};

use crate::beats::Beats;
use crate::figures::{Key, Look, Queued};
use crate::health::Gates;

pub use crate::health::Grown;
pub use watch::Watch;

/// Something to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Its id: the same decision repeated has the same.
    pub id: EventId,
    /// Whose.
    pub tenant: TenantId,
    /// Why, in words.
    pub why: String,
    /// The event that caused it.
    pub cause_id: Option<EventId>,
    /// What.
    pub event: Event,
}

/// How it paces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How often plans that hold are affirmed, milliseconds.
    pub affirm_ms: i64,
    /// How long after a change of level its effect is measured, milliseconds.
    pub effect_ms: i64,
}

/// Decides for all queues.
#[derive(Debug, Default)]
pub struct Evaluator {
    watches: BTreeMap<Key, Watch>,
    pub(crate) gates: Gates,
    beats: Beats,
    services: services::Services,
    helped: targets::Helped,
    affirmed_at: Time,
}

impl Evaluator {
    /// Goes on with what another one remembered of a queue.
    pub fn resume(&mut self, key: Key, watch: Watch) {
        self.watches.insert(key, watch);
    }

    /// What it remembers, by queue.
    pub fn watches(&self) -> impl Iterator<Item = (&Key, &Watch)> {
        self.watches.iter()
    }

    /// Takes in a record of the stream `health`: gates say there who came to them.
    pub fn heard(&mut self, value: &[u8]) {
        self.gates.take(value);
        self.beats.take(value);
    }

    /// Takes in a record of the stream `events.call`: calls tell there how well call services work.
    pub fn heard_call(&mut self, value: &[u8], now: Time) {
        self.services.heard(value, now);
    }

    /// Forgets everything but what gates and calls said: another one evaluates.
    pub fn rest(&mut self) {
        self.watches.clear();
    }

    /// One tick: times ascend.
    pub fn tick(&mut self, now: Time, table: &Table, look: &Look, pace: Pace) -> Vec<Decided> {
        let mut decided = over(now, table);
        decided.extend(platform::news(now, table));
        decided.extend(links::news(now, table, look, (&self.gates, &self.beats)));
        decided.extend(self.services.news(now, table));
        decided.extend(self.helped.news(now, table, &mut self.gates));
        self.gates.forget(now);
        let agents = self.agents(now, table, look);
        let defaults = Thresholds::default();
        for ((key, queue), agents) in look.queues.iter().zip(agents) {
            let tenant = table.tenant(&key.0);
            let held = tenant.and_then(|tenant| tenant.queue(&key.1));
            let thresholds = held.map_or(&defaults, |held| held.thresholds());
            let valid_ms = (thresholds.stale.valid_s * 1_000.0) as i64;
            let Some(at) = look.fresh_at.filter(|at| now.since(*at) <= valid_ms) else { continue };
            let level = held.and_then(|held| held.plan()).map(|plan| plan.automatic.level);
            let watch = self.watches.entry(key.clone()).or_insert_with(|| Watch::at(level.unwrap_or_default()));
            let grown = self.gates.take_grown(key, now);
            let empty = Tenant::default();
            let view = watch::View {
                now,
                at,
                queue,
                agents,
                grown,
                thresholds,
                thresholds_version: held.map_or(0, |held| held.thresholds_version()),
                tenant: tenant.unwrap_or(&empty),
                name: &key.1,
            };
            let draft = watch.draft(&view);
            decide(&mut decided, key, held.and_then(|held| held.plan()), watch, draft, &view);
            decided.extend(watch.measured(key, now, pace.effect_ms));
        }
        if now.since(self.affirmed_at) >= pace.affirm_ms {
            self.affirmed_at = now;
            decided.extend(self.affirm(now, table, look));
        }
        decided
    }

    /// Effective agents of each queue, in the order of the look.
    fn agents(&self, now: Time, table: &Table, look: &Look) -> Vec<f64> {
        let default_s = Thresholds::default().service_default_s;
        let need = |(key, queue): (&Key, &Queued)| {
            let held = table.tenant(&key.0).and_then(|tenant| tenant.queue(&key.1));
            let default_s = held.map_or(default_s, |held| held.thresholds().service_default_s);
            let come = self.watches.get(key).map_or(0.0, |watch| watch.come_per_s(now));
            come * queue.service_s.unwrap_or(default_s) + queue.waiting as f64
        };
        let needs: Vec<f64> = look.queues.iter().map(need).collect();
        let mut agents = effective_agents(&look.groups, &needs);
        for (queue, agents) in look.queues.values().zip(&mut agents) {
            // where nobody says who works, those who serve now are all that is known
            if !queue.staffed {
                *agents = queue.in_service as f64;
            }
        }
        agents
    }

    /// Plans that still hold, tenant by tenant.
    fn affirm(&self, now: Time, table: &Table, look: &Look) -> Vec<Decided> {
        let mut plans: BTreeMap<&TenantId, Vec<Affirmed>> = BTreeMap::new();
        for key in look.queues.keys() {
            let held = table.tenant(&key.0).and_then(|tenant| tenant.queue(&key.1));
            let (Some(held), Some(watch)) = (held, self.watches.get(key)) else { continue };
            if held.plan_version() > 0 {
                let plan = Affirmed { queue: key.1.clone(), version: held.plan_version(), figures: watch.figures() };
                plans.entry(&key.0).or_default().push(plan);
            }
        }
        let affirmed = |(tenant, plans): (&TenantId, Vec<Affirmed>)| Decided {
            id: id(tenant, &format!("affirmed/{}", now.ms())),
            tenant: tenant.clone(),
            why: "the plans still hold".to_owned(),
            cause_id: None,
            event: PlanAffirmed { plans }.into(),
        };
        plans.into_iter().map(affirmed).collect()
    }
}

/// Orders of persons whose time is over.
fn over(now: Time, table: &Table) -> Vec<Decided> {
    let mut tenants: Vec<(&TenantId, &Tenant)> = table.tenants().collect();
    tenants.sort_by_key(|(id, _)| *id);
    let cleared = |tenant: &TenantId, held: &policy::plan::Override| Decided {
        id: id(tenant, &format!("over/{}", held.stamp.event)),
        tenant: tenant.clone(),
        why: format!("its time was over; it was ordered by {}", held.stamp.by),
        cause_id: Some(held.stamp.event.clone()),
        event: OverrideCleared { id: held.set.id.clone() }.into(),
    };
    tenants.into_iter().flat_map(|(id, tenant)| tenant.over(now).map(move |held| cleared(id, held))).collect()
}

/// The draft becomes a plan when it says something else than the one that holds.
fn decide(
    decided: &mut Vec<Decided>,
    key: &Key,
    held: Option<&PlanIssued>,
    watch: &mut Watch,
    draft: PlanIssued,
    view: &watch::View<'_>,
) {
    let Some(why) = watch::news(held, &draft) else { return };
    let version = held.map_or(0, |held| held.version) + 1;
    let plan = PlanIssued { version, ..draft };
    let was = held.map_or_else(Default::default, |held| held.level);
    let reason = format!("{why}: {}", watch::words(&plan));
    let plan_id = id(&key.0, &format!("plan/{}/{version}", key.1));
    if plan.level != was {
        let ordered = plan.level != plan.automatic.level;
        let by = if ordered { "by order of a person or a carrier" } else { "by load" };
        let change = id(&key.0, &format!("level/{}/{version}", key.1));
        watch.changed(change.clone(), was, plan.level, view.now);
        decided.push(Decided {
            id: change,
            tenant: key.0.clone(),
            why: format!("{by}: {}", watch::words(&plan)),
            cause_id: Some(plan_id.clone()),
            event: LevelChanged { queue: key.1.clone(), was, level: plan.level, plan: version }.into(),
        });
    }
    decided.push(Decided { id: plan_id, tenant: key.0.clone(), why: reason, cause_id: None, event: plan.into() });
}

/// An id that the same decision has however often it is written.
fn id(tenant: &TenantId, what: &str) -> EventId {
    EventId::from_reference(&SourceId::new("console"), &format!("{tenant}/{what}"))
}

#[cfg(test)]
mod tests;
