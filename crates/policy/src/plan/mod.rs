//! The fold of the control events: what was decided, as it stands.
//!
//! Whoever decides folds it to go on where another left off, whoever enforces it to look orders up in memory, whoever asks to see what
//! holds. It is one fold, so that they never differ.
//!
//! - **Invariant:** it is a pure function of the records in their order; a record that comes twice changes nothing the second time.
//! - **Invariant:** what is configured replaces exactly the version before it; what does not, is refused, here as everywhere.
//! - **Invariant:** a plan never gives way to an older one.
//!
//! Start at [`Table::apply`], then `Queue::force` (`force.rs`): what holds at a moment.

mod descent;
mod force;
mod leads;
mod recall;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::control::{
    Affirmed, Automatic, By, Envelope, Event, Figures, OverrideSet, PlanIssued, ServiceConfigured, ServiceWeighed,
    Share, TargetConfigured, TargetObserved, Thresholds, Tier,
};
use model::{EventId, OverrideId, QueueId, ServiceId, TargetId, TenantId, Time};

use crate::callback::List;
use crate::control::Rules;

pub use force::{Force, rules_of, seconds, seen_of, staleness_of};
pub use leads::Lead;

/// Everything that was decided, of every tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    tenants: HashMap<TenantId, Tenant>,
    /// Records that changed something.
    version: u64,
}

/// Everything that was decided of one tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tenant {
    queues: HashMap<QueueId, Queue>,
    /// Orders of persons and carriers that were not cleared; some may be over.
    overrides: Vec<Override>,
    descents: descent::Descents,
    targets: BTreeMap<TargetId, Target>,
    services: BTreeMap<ServiceId, Service>,
    weighed: Option<ServiceWeighed>,
    tiers: BTreeMap<String, Tier>,
    callbacks: List,
}

/// When something was decided, and by whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamp {
    /// The event that did it.
    pub event: EventId,
    /// When.
    pub at: Time,
    /// Who.
    pub by: By,
    /// Why, in words.
    pub why: String,
}

/// One queue: what it is held to, and its plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    thresholds: Arc<Thresholds>,
    thresholds_version: u64,
    thresholds_set: Option<Stamp>,
    rules: Rules,
    plan: Option<PlanIssued>,
    plan_issued: Option<Stamp>,
    /// The newest figures that a plan was made of or affirmed with.
    figures: Figures,
    /// When the console was last heard of this queue.
    affirmed_at: Option<Time>,
    leads: Vec<Lead>,
    shares: Vec<f64>,
    offers: Vec<Lead>,
}

/// An order for a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// What is ordered, for whom, and until when.
    pub set: OverrideSet,
    /// Who ordered it.
    pub stamp: Stamp,
}

/// A target as it is configured and as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// How it is set up; its version counts on when it is removed.
    pub configured: TargetConfigured,
    /// How it works; what was seen of a set-up before this one counts no longer.
    pub observed: Option<TargetObserved>,
    /// Whether it is there.
    pub present: bool,
    /// Who set it up.
    pub stamp: Stamp,
}

/// A call service as it is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// How it is set up; its version counts on when it is removed.
    pub configured: ServiceConfigured,
    /// Whether it is there.
    pub present: bool,
    /// Who set it up.
    pub stamp: Stamp,
}

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Something changed.
    Changed,
    /// Nothing did: the same again, or news that nothing is folded of.
    Same,
    /// It would replace another version than the one that holds, so it does not.
    Refused,
}

/// The most overrides of a tenant that are kept; beyond that the one that ends first goes.
const OVERRIDES_MAX: usize = 1_000;

impl Table {
    /// Takes the next record into account.
    pub fn apply(&mut self, envelope: &Envelope) -> Applied {
        let known = self.tenants.contains_key(&envelope.tenant);
        if !known && matches!(envelope.event, Event::GateCounted(_) | Event::AuditSealed(_)) {
            return Applied::Same;
        }
        let tenant = self.tenants.entry(envelope.tenant.clone()).or_default();
        let applied = tenant.apply(envelope);
        if applied == Applied::Changed {
            self.version += 1;
        }
        applied
    }

    /// Grows with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What was decided of a tenant.
    pub fn tenant(&self, tenant: &TenantId) -> Option<&Tenant> {
        self.tenants.get(tenant)
    }

    /// Every tenant, in no order.
    pub fn tenants(&self) -> impl Iterator<Item = (&TenantId, &Tenant)> {
        self.tenants.iter()
    }

    /// What holds for a queue at a moment; `hour` is the hour of the tenant's day. `None` when nobody ever decided anything about it.
    pub fn force(&self, tenant: &TenantId, queue: &QueueId, now: Time, hour: usize) -> Option<Force<'_>> {
        let tenant = self.tenants.get(tenant)?;
        tenant.queue(queue).map(|found| found.force(&tenant.ordered(queue, now), now, hour))
    }
}

impl Tenant {
    fn apply(&mut self, envelope: &Envelope) -> Applied {
        let stamp = || Stamp {
            event: envelope.id.clone(),
            at: envelope.time,
            by: envelope.by.clone(),
            why: envelope.why.clone(),
        };
        let applied = match &envelope.event {
            Event::ThresholdsSet(set) => {
                let queue = self.queues.entry(set.queue.clone()).or_default();
                let applied = replaces(set.version, queue.thresholds_version);
                if applied == Applied::Changed {
                    queue.thresholds_version = set.version;
                    queue.rules = rules_of(&set.thresholds);
                    queue.thresholds = Arc::new(set.thresholds.clone());
                    queue.thresholds_set = Some(stamp());
                }
                applied
            }
            Event::PlanIssued(plan) => self.queues.entry(plan.queue.clone()).or_default().issue(plan, stamp()),
            Event::PlanAffirmed(affirmed) => {
                let mut changed = false;
                for plan in &affirmed.plans {
                    if let Some(queue) = self.queues.get_mut(&plan.queue) {
                        changed |= queue.affirm(plan, envelope.time);
                    }
                }
                return if changed { Applied::Changed } else { Applied::Same }; // no target and no share is touched by it
            }
            Event::OverrideSet(set) => self.order(set, stamp()),
            Event::OverrideCleared(cleared) => self.clear(&cleared.id, envelope.time),
            Event::TargetConfigured(target) => self.set_target(target, true, stamp()),
            Event::TargetRemoved(removed) => match self.targets.get(&removed.target) {
                Some(held) => {
                    let gone = TargetConfigured { version: removed.version, ..held.configured.clone() };
                    self.set_target(&gone, false, stamp())
                }
                None => Applied::Refused,
            },
            Event::TargetObserved(seen) => match self.targets.get_mut(&seen.target) {
                Some(target) if target.observed.as_ref() != Some(&**seen) => {
                    target.observed = Some((**seen).clone());
                    Applied::Changed
                }
                _ => Applied::Same,
            },
            Event::ServiceConfigured(service) => self.set_service(service, true, stamp()),
            Event::ServiceRemoved(removed) => match self.services.get(&removed.service) {
                Some(held) => {
                    let gone = ServiceConfigured { version: removed.version, ..held.configured.clone() };
                    self.set_service(&gone, false, stamp())
                }
                None => Applied::Refused,
            },
            Event::ServiceWeighed(weighed) => {
                let changed = self.weighed.as_ref() != Some(&**weighed);
                self.weighed = Some((**weighed).clone());
                if changed { Applied::Changed } else { Applied::Same }
            }
            Event::TierChanged(changed) => match self.tiers.insert(changed.part.clone(), changed.tier) {
                Some(tier) if tier == changed.tier => Applied::Same,
                _ => Applied::Changed,
            },
            Event::CallbackAsked(_)
            | Event::CallbackBegun(_)
            | Event::CallbackTried(_)
            | Event::CallbackClaimed(_)
            | Event::CallbackClosed(_) => return self.callbacks.apply(envelope, stamp()),
            Event::LevelChanged(_) | Event::EffectMeasured(_) | Event::GateCounted(_) | Event::AuditSealed(_) => {
                return Applied::Same;
            }
        };
        if applied == Applied::Changed {
            self.lead(&envelope.event);
        }
        applied
    }

    fn order(&mut self, set: &OverrideSet, stamp: Stamp) -> Applied {
        if let Some(held) = self.overrides.iter_mut().find(|held| held.set.id == set.id) {
            let same = held.set == *set;
            *held = Override { set: set.clone(), stamp };
            return if same { Applied::Same } else { Applied::Changed };
        }
        // those that are over by the time of this one can never hold again
        let over: Vec<Override> = self.over(stamp.at).cloned().collect();
        self.overrides.retain(|held| held.set.until > stamp.at);
        over.iter().for_each(|held| self.descents.left(held, held.set.until, &self.overrides));
        self.descents.ordered(set);
        if self.overrides.len() >= OVERRIDES_MAX {
            let first = (0..self.overrides.len()).min_by_key(|at| (self.overrides[*at].set.until, *at)).unwrap_or(0);
            self.overrides.remove(first);
        }
        self.overrides.push(Override { set: set.clone(), stamp });
        Applied::Changed
    }

    fn clear(&mut self, id: &OverrideId, at: Time) -> Applied {
        let Some(found) = self.overrides.iter().position(|held| held.set.id == *id) else { return Applied::Same };
        let held = self.overrides.remove(found);
        self.descents.left(&held, held.set.until.min(at), &self.overrides);
        Applied::Changed
    }

    /// What persons and carriers order of a queue at a moment, and what is left of such an order.
    fn ordered(&self, queue: &QueueId, now: Time) -> force::Ordered {
        let calm_s = self.queues.get(queue).map_or_else(|| Rules::default().calm_s, |found| found.rules.calm_s);
        force::Ordered::of(queue, &self.overrides, self.descents.level(queue, &self.overrides, now, calm_s), now)
    }

    fn set_target(&mut self, configured: &TargetConfigured, present: bool, stamp: Stamp) -> Applied {
        let held = self.targets.get(&configured.target).map_or(0, |held| held.configured.version);
        let applied = replaces(configured.version, held);
        if applied == Applied::Changed {
            let target = Target { configured: configured.clone(), observed: None, present, stamp };
            self.targets.insert(configured.target.clone(), target);
        }
        applied
    }

    fn set_service(&mut self, configured: &ServiceConfigured, present: bool, stamp: Stamp) -> Applied {
        let held = self.services.get(&configured.service).map_or(0, |held| held.configured.version);
        let applied = replaces(configured.version, held);
        if applied == Applied::Changed {
            let service = Service { configured: configured.clone(), present, stamp };
            self.services.insert(configured.service.clone(), service);
        }
        applied
    }

    /// Works out anew where callers are led, of the queues that the event touches.
    fn lead(&mut self, event: &Event) {
        match event {
            Event::ThresholdsSet(set) => {
                if let Some(queue) = self.queues.get_mut(&set.queue) {
                    queue.lead(&self.targets);
                }
            }
            Event::PlanIssued(plan) => {
                if let Some(queue) = self.queues.get_mut(&plan.queue) {
                    queue.lead(&self.targets);
                }
            }
            Event::TargetConfigured(_) | Event::TargetRemoved(_) | Event::TargetObserved(_) => {
                self.queues.values_mut().for_each(|queue| queue.lead(&self.targets));
            }
            _ => {}
        }
    }

    /// A queue of which something was decided.
    pub fn queue(&self, queue: &QueueId) -> Option<&Queue> {
        self.queues.get(queue)
    }

    /// Every queue of which something was decided, in no order.
    pub fn queues(&self) -> impl Iterator<Item = (&QueueId, &Queue)> {
        self.queues.iter()
    }

    /// What holds of a queue when what the load asks for and the orders that are in force are put together.
    pub fn combined(&self, queue: &QueueId, automatic: Automatic, now: Time) -> Automatic {
        self.ordered(queue, now).over(automatic)
    }

    /// How a plan should split `diverted_per_s` over a queue's targets now.
    pub fn split(&self, thresholds: &Thresholds, diverted_per_s: f64) -> Vec<Share> {
        leads::split(thresholds, &self.targets, diverted_per_s)
    }

    /// A target, whether it is there or was removed.
    pub fn target(&self, target: &TargetId) -> Option<&Target> {
        self.targets.get(target)
    }

    /// A call service, whether it is there or was removed.
    pub fn service(&self, service: &ServiceId) -> Option<&Service> {
        self.services.get(service)
    }

    /// An override that was not cleared, whether it is over or not.
    pub fn held(&self, id: &OverrideId) -> Option<&Override> {
        self.overrides.iter().find(|held| held.set.id == *id)
    }

    /// Overrides that hold at a moment, the oldest first.
    pub fn overrides(&self, now: Time) -> impl Iterator<Item = &Override> {
        self.overrides.iter().filter(move |held| held.set.until > now)
    }

    /// Overrides whose time is over, and which nobody cleared.
    pub fn over(&self, now: Time) -> impl Iterator<Item = &Override> {
        self.overrides.iter().filter(move |held| held.set.until <= now)
    }

    /// Targets that are there, by name.
    pub fn targets(&self) -> impl Iterator<Item = (&TargetId, &Target)> {
        self.targets.iter().filter(|(_, target)| target.present)
    }

    /// A target's version, whether it is there or was removed; 0: never was.
    pub fn target_version(&self, target: &TargetId) -> u64 {
        self.targets.get(target).map_or(0, |held| held.configured.version)
    }

    /// Call services that are there, by name.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceId, &Service)> {
        self.services.iter().filter(|(_, service)| service.present)
    }

    /// A service's version, whether it is there or was removed; 0: never was.
    pub fn service_version(&self, service: &ServiceId) -> u64 {
        self.services.get(service).map_or(0, |held| held.configured.version)
    }

    /// How the services were last weighed.
    pub fn weighed(&self) -> Option<&ServiceWeighed> {
        self.weighed.as_ref()
    }

    /// The tier of a part of the platform.
    pub fn tier(&self, part: &str) -> Tier {
        self.tiers.get(part).copied().unwrap_or_default()
    }

    /// Callers who were promised a callback.
    pub fn callbacks(&self) -> &List {
        &self.callbacks
    }

    /// Every part whose tier was ever told.
    pub fn tiers(&self) -> &BTreeMap<String, Tier> {
        &self.tiers
    }
}

/// Whether `version` comes right after `held`.
fn replaces(version: u64, held: u64) -> Applied {
    match version {
        _ if version == held + 1 => Applied::Changed,
        _ if version == held => Applied::Same,
        _ => Applied::Refused,
    }
}

impl Queue {
    fn issue(&mut self, plan: &PlanIssued, stamp: Stamp) -> Applied {
        let held = self.plan_version();
        if plan.version <= held {
            return if plan.version == held { Applied::Same } else { Applied::Refused };
        }
        self.figures = plan.figures;
        self.affirmed_at = Some(stamp.at);
        self.plan = Some(plan.clone());
        self.plan_issued = Some(stamp);
        Applied::Changed
    }

    /// Whether it is news.
    fn affirm(&mut self, affirmed: &Affirmed, at: Time) -> bool {
        let fresher = affirmed.figures.at > self.figures.at;
        if affirmed.version != self.plan_version() || !(fresher || Some(at) > self.affirmed_at) {
            return false;
        }
        self.affirmed_at = self.affirmed_at.max(Some(at));
        if fresher {
            self.figures = affirmed.figures;
        }
        true
    }

    fn lead(&mut self, targets: &BTreeMap<TargetId, Target>) {
        (self.leads, self.shares) = leads::leads(&self.thresholds, self.plan.as_ref(), targets);
        self.offers = leads::offers(&self.thresholds, targets);
    }

    /// What the queue is held to.
    pub fn thresholds(&self) -> &Arc<Thresholds> {
        &self.thresholds
    }

    /// Their version; 0: nobody set any, and the defaults hold.
    pub fn thresholds_version(&self) -> u64 {
        self.thresholds_version
    }

    /// Who set them.
    pub fn thresholds_set(&self) -> Option<&Stamp> {
        self.thresholds_set.as_ref()
    }

    /// The plan, if one was ever issued.
    pub fn plan(&self) -> Option<&PlanIssued> {
        self.plan.as_ref()
    }

    /// Its version; 0: none was.
    pub fn plan_version(&self) -> u64 {
        self.plan.as_ref().map_or(0, |plan| plan.version)
    }

    /// When it was issued.
    pub fn plan_issued(&self) -> Option<&Stamp> {
        self.plan_issued.as_ref()
    }

    /// When the console was last heard of this queue.
    pub fn affirmed_at(&self) -> Option<Time> {
        self.affirmed_at
    }

    /// Where the diverted go.
    pub fn leads(&self) -> &[Lead] {
        &self.leads
    }

    /// The share of each of [`Queue::leads`].
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// What is offered at level 1.
    pub fn offers(&self) -> &[Lead] {
        &self.offers
    }
}

#[cfg(test)]
mod tests;
