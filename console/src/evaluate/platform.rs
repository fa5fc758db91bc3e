//! What concerns a whole tenant: the tier that its queues are in.

use model::control::{Event, Level, Tier, TierChanged};
use model::{TenantId, Time};
use policy::plan::{Table, Tenant};

use super::{Decided, id};

/// The part of the platform that a tenant's queues are together.
const PART: &str = "queues";

/// Tiers that are no longer what was last told.
pub(super) fn news(now: Time, table: &Table) -> Vec<Decided> {
    let mut tenants: Vec<(&TenantId, &Tenant)> = table.tenants().collect();
    tenants.sort_by_key(|(id, _)| *id);
    tenants.into_iter().filter_map(|(id, tenant)| tier(now, id, tenant)).collect()
}

pub(super) fn decided(now: Time, tenant: &TenantId, what: &str, why: String, event: impl Into<Event>) -> Decided {
    Decided {
        id: id(tenant, &format!("{what}/{}", now.ms())),
        tenant: tenant.clone(),
        why,
        cause_id: None,
        event: event.into(),
    }
}

/// A part's tier, if it is another than was last told.
pub(super) fn changed(
    now: Time,
    (id, tenant): (&TenantId, &Tenant),
    part: String,
    tier: Tier,
    why: String,
) -> Option<Decided> {
    let was = tenant.tier(&part);
    (tier != was).then(|| decided(now, id, &format!("tier/{part}"), why, TierChanged { part, was, tier }))
}

/// Load is shed by plan while a queue is diverted from, and the hard phones ring while one is at their level.
fn tier(now: Time, id: &TenantId, tenant: &Tenant) -> Option<Decided> {
    let levels = tenant.queues().filter_map(|(queue, held)| held.plan().map(|plan| (plan.level, queue)));
    let highest = levels.max()?;
    let tier = match highest.0 {
        Level::Normal | Level::Offer => Tier::Normal,
        Level::DivertShare | Level::DivertAll => Tier::Threshold,
        Level::HardPhone => Tier::HardPhone,
    };
    let why = format!("the highest level is {}, of {}", highest.0.number(), highest.1);
    changed(now, (id, tenant), PART.to_owned(), tier, why)
}
