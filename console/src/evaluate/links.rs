//! The first tier: parts that failed and come back by themselves. Links to phone systems, gates, components.

use std::collections::BTreeMap;

use model::control::Tier;
use model::{TenantId, Time};
use policy::plan::Table;

use super::Decided;
use super::platform::changed;
use crate::beats::Beats;
use crate::figures::Look;
use crate::health::Gates;

/// Parts of a tenant that are told apart: names that others make up must not grow without a bound.
const PARTS_MAX: usize = 1_000;

/// Tiers of links and gates that are no longer what was last told.
pub(super) fn news(now: Time, table: &Table, look: &Look, heard: (&Gates, &Beats)) -> Vec<Decided> {
    let (gates, beats) = heard;
    let mut parts: BTreeMap<(TenantId, String), Option<String>> = BTreeMap::new();
    for ((tenant, source), lost_since) in &look.links {
        let why = lost_since.map(|since| format!("the link is down since {since}; it is tried again"));
        parts.insert((tenant.clone(), format!("source/{source}")), why);
    }
    for (tenant, gate, silent_ms) in gates.silent(now) {
        let why = silent_ms.map(|ms| format!("silent for {} s; it is started again by whoever watches it", ms / 1_000));
        parts.insert((tenant.clone(), format!("gate/{gate}")), why);
    }
    // components serve all tenants
    for (component, why) in beats.parts(now) {
        for (tenant, _) in table.tenants() {
            parts.insert((tenant.clone(), format!("component/{component}")), why.clone());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::control::{By, Envelope, Event, GateCounted, TierChanged};

    fn said(at: i64, event: impl Into<Event>) -> Envelope {
        Envelope {
            id: format!("{at}").as_str().into(),
            source: "console-1".into(),
            time: Time(at),
            tenant: "bank".into(),
            by: By::Automatic,
            why: String::new(),
            cause_id: None,
            event: event.into(),
        }
    }

    fn turn(now: i64, table: &mut Table, look: &Look, gates: &Gates) -> Vec<(String, Tier)> {
        let told = news(Time(now), table, look, (gates, &Beats::default()));
        told.iter().for_each(|decided| _ = table.apply(&said(now, decided.event.clone())));
        let tier = |decided: Decided| match decided.event {
            Event::TierChanged(changed) => (changed.part, changed.tier),
            other => panic!("{other:?}"),
        };
        told.into_iter().map(tier).collect()
    }

    #[test]
    fn a_link_and_a_gate_that_fail_are_told_once_and_again_when_they_are_back() {
        let (mut table, mut look, mut gates) = (Table::default(), Look::default(), Gates::default());
        let queues = TierChanged { part: "queues".into(), was: Tier::Normal, tier: Tier::Normal };
        table.apply(&said(1, queues));
        let beat =
            |at: i64| said(at, GateCounted { gate: "cti-1".into(), queues: Vec::new(), targets: Vec::new() }).to_json();
        let link = ("bank".into(), "pbx1".into());
        look.links.insert(link.clone(), None);
        gates.take(&beat(1_000));
        assert_eq!(turn(2_000, &mut table, &look, &gates), [], "what never failed is not told");
        look.links.insert(link.clone(), Some(Time(2_500)));
        assert_eq!(turn(3_000, &mut table, &look, &gates), [("source/pbx1".to_owned(), Tier::SelfHeal)]);
        assert_eq!(turn(4_000, &mut table, &look, &gates), []);
        assert_eq!(turn(9_000, &mut table, &look, &gates), [("gate/cti-1".to_owned(), Tier::SelfHeal)]);
        look.links.insert(link, None);
        gates.take(&beat(9_500));
        let back = turn(10_000, &mut table, &look, &gates);
        assert_eq!(back, [("gate/cti-1".to_owned(), Tier::Normal), ("source/pbx1".to_owned(), Tier::Normal)]);
        assert_eq!(turn(11_000, &mut table, &look, &gates), []);
    }
}
