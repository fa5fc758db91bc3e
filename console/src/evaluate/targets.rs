//! Whom targets help, as the gates count it: told when it is news, so that callers are split by it.

use std::collections::BTreeMap;

use model::control::TargetObserved;
use model::{TargetId, TenantId, Time};
use policy::containment::Estimate;
use policy::plan::Table;

use super::Decided;
use super::platform::decided;
use crate::health::Gates;

/// A containment that moved so much is told anew.
const MOVES: f64 = 0.05;

/// What is estimated of each target.
#[derive(Debug, Default)]
pub(super) struct Helped(BTreeMap<(TenantId, TargetId), Estimate>);

impl Helped {
    /// What is news of the targets.
    pub(super) fn news(&mut self, now: Time, table: &Table, gates: &mut Gates) -> Vec<Decided> {
        for (key, settled, returned) in gates.take_settled() {
            self.0.entry(key).or_default().add(settled, returned);
        }
        // of targets that are no more nothing is kept
        self.0.retain(|(tenant, target), _| {
            table.tenant(tenant).and_then(|of| of.target(target)).is_some_and(|held| held.present)
        });
        let news = |((tenant, target), estimate): (&(TenantId, TargetId), &Estimate)| {
            let held = table.tenant(tenant)?.target(target)?;
            let containment = estimate.containment(held.configured.containment)?;
            let seen = held.observed.as_ref();
            let told = seen.and_then(|seen| seen.containment);
            if told.is_some_and(|told| (told - containment).abs() < MOVES) {
                return None;
            }
            // whether it answers and what it takes is for whoever speaks with it to say
            let observed = TargetObserved {
                target: target.clone(),
                healthy: seen.is_none_or(|seen| seen.healthy),
                capacity_per_s: seen.and_then(|seen| seen.capacity_per_s),
                containment: Some((containment * 1_000.0).round() / 1_000.0),
            };
            let why = format!("{:.0} of 100 who were led there did not come back", containment * 100.0);
            Some(decided(now, tenant, &format!("observed/{target}"), why, observed))
        };
        self.0.iter().filter_map(news).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::control::{By, Envelope, Event, GateCounted, Kind, TargetConfigured, TargetCounted};

    fn said(at: i64, event: impl Into<Event>) -> Envelope {
        Envelope {
            id: format!("{at}").as_str().into(),
            source: "cti-1".into(),
            time: Time(at),
            tenant: "bank".into(),
            by: By::Automatic,
            why: String::new(),
            cause_id: None,
            event: event.into(),
        }
    }

    fn counted(at: i64, settled: u64, returned: u64) -> Vec<u8> {
        let targets = vec![TargetCounted { target: "chat".into(), settled, returned }];
        said(at, GateCounted { gate: "cti-1".into(), queues: Vec::new(), targets }).to_json()
    }

    #[test]
    fn whom_a_target_helps_is_told_when_it_is_news_and_what_its_platform_said_stays() {
        let (mut helped, mut gates, mut table) = (Helped::default(), Gates::default(), Table::default());
        let chat = TargetConfigured {
            target: "chat".into(),
            version: 1,
            kind: Kind::Chat,
            address: "chat,s,1".into(),
            capacity_per_s: 9.0,
            containment: 0.8,
            enabled: true,
        };
        table.apply(&said(1, chat));
        let platform =
            TargetObserved { target: "chat".into(), healthy: false, capacity_per_s: Some(2.0), containment: None };
        table.apply(&said(2, platform));
        gates.take(&counted(1_000, 100, 50));
        assert_eq!(helped.news(Time(1_500), &table, &mut gates), [], "what was before this console is no news");
        gates.take(&counted(2_000, 200, 130));
        let told = helped.news(Time(2_500), &table, &mut gates);
        let Event::TargetObserved(seen) = &told[0].event else { panic!("{told:?}") };
        assert!((seen.containment.unwrap() - 28.0 / 110.0).abs() < 0.01, "{seen:?}");
        assert_eq!((seen.healthy, seen.capacity_per_s), (false, Some(2.0)));
        table.apply(&said(3, (**seen).clone()));
        assert_eq!(helped.news(Time(3_500), &table, &mut gates), [], "it is told");
        gates.take(&counted(4_000, 210, 132));
        assert_eq!(helped.news(Time(4_500), &table, &mut gates), [], "it hardly moved");
    }
}
