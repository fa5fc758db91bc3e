//! The first tier: parts that failed and come back by themselves. Links to phone systems, gates, call services that are out.

use std::collections::BTreeMap;

use model::control::Tier;
use model::{TenantId, Time};
use policy::plan::Table;

use super::Decided;
use super::platform::changed;
use crate::figures::Look;
use crate::health::Gates;

/// Parts of a tenant that are told apart: names that others make up must not grow without a bound.
const PARTS_MAX: usize = 1_000;

/// Tiers of links and gates that are no longer what was last told.
pub(super) fn news(now: Time, table: &Table, look: &Look, gates: &Gates) -> Vec<Decided> {
    let mut parts: BTreeMap<(TenantId, String), Option<String>> = BTreeMap::new();
    for ((tenant, source), lost_since) in &look.links {
        let why = lost_since.map(|since| format!("the link is down since {since}; it is tried again"));
        parts.insert((tenant.clone(), format!("source/{source}")), why);
    }
    for (tenant, gate, silent_ms) in gates.silent(now) {
        let why = silent_ms.map(|ms| format!("silent for {} s; it is started again by whoever watches it", ms / 1_000));
        parts.insert((tenant.clone(), format!("gate/{gate}")), why);
    }
    let mut told = Vec::new();
    for ((id, part), failed) in parts {
        let Some(tenant) = table.tenant(&id) else { continue };
        // of a part that never failed nothing is told
        let known = tenant.tiers().contains_key(&part);
        if !known && (failed.is_none() || tenant.tiers().len() >= PARTS_MAX) {
            continue;
        }
        let tier = if failed.is_some() { Tier::SelfHeal } else { Tier::Normal };
        told.extend(changed(now, (&id, tenant), part, tier, failed.unwrap_or_else(|| "it is back".to_owned())));
    }
    told
}
