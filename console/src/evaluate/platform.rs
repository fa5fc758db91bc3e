//! What concerns a whole tenant: the tier that it is in, and the weights of its call services.

use model::control::{Event, Level, ServiceWeighed, Standing, Tier, TierChanged, Weighed};
use model::{TenantId, Time};
use policy::health::{Limits, Service, Signs, weights};
use policy::plan::{Table, Tenant};

use super::{Decided, id};

/// The part of the platform that a tenant's queues are together.
const PART: &str = "queues";

/// Tiers and weights that are no longer what was last told.
pub(super) fn news(now: Time, table: &Table) -> Vec<Decided> {
    let mut tenants: Vec<(&TenantId, &Tenant)> = table.tenants().collect();
    tenants.sort_by_key(|(id, _)| *id);
    tenants
        .into_iter()
        .flat_map(|(id, tenant)| tier(now, id, tenant).into_iter().chain(weighed(now, id, tenant)))
        .collect()
}

fn decided(now: Time, tenant: &TenantId, what: &str, why: String, event: impl Into<Event>) -> Decided {
    Decided {
        id: id(tenant, &format!("{what}/{}", now.ms())),
        tenant: tenant.clone(),
        why,
        cause_id: None,
        event: event.into(),
    }
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
    let was = tenant.tier(PART);
    let why = format!("the highest level is {}, of {}", highest.0.number(), highest.1);
    (tier != was).then(|| decided(now, id, "tier", why, TierChanged { part: PART.to_owned(), was, tier }))
}

/// Each service's share as it is configured; a standby that is in never gets nothing.
fn weighed(now: Time, id: &TenantId, tenant: &Tenant) -> Option<Decided> {
    let in_use: Vec<_> = tenant.services().filter(|(_, held)| held.configured.enabled).collect();
    let configured: Vec<f64> = in_use.iter().map(|(_, held)| held.configured.weight).collect();
    let (services, signs) = (vec![Service::default(); in_use.len()], vec![Signs::default(); in_use.len()]);
    let limits = Limits::default();
    let weights = weights(&configured, &services, &signs, &limits);
    let services = in_use
        .iter()
        .zip(weights)
        .zip(&signs)
        .map(|(((service, _), weight), signs)| Weighed {
            service: (*service).clone(),
            weight,
            standing: Standing::In,
            score: signs.score(&limits),
        })
        .collect();
    let now_weighed = ServiceWeighed { services };
    let news = tenant.weighed().map_or(!now_weighed.services.is_empty(), |last| *last != now_weighed);
    news.then(|| decided(now, id, "weighed", "the call services were set up anew".to_owned(), now_weighed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::control::{By, Envelope, ServiceConfigured};

    fn apply(table: &mut Table, event: impl Into<Event>) {
        let envelope = Envelope {
            id: "e".into(),
            source: "console/1".into(),
            time: Time(1),
            tenant: "bank".into(),
            by: By::Automatic,
            why: String::new(),
            cause_id: None,
            event: event.into(),
        };
        table.apply(&envelope);
    }

    #[test]
    fn services_are_weighed_when_they_are_set_up_and_the_standby_never_gets_nothing() {
        let mut table = Table::default();
        for (name, weight) in [("a", 1.0), ("b", 0.0)] {
            let service = name.into();
            apply(&mut table, ServiceConfigured { service, version: 1, address: name.into(), weight, enabled: true });
        }
        let told = news(Time(5), &table);
        let Event::ServiceWeighed(weighed) = &told[0].event else { panic!("{told:?}") };
        let weights: Vec<f64> = weighed.services.iter().map(|service| service.weight).collect();
        assert!((weights[0] - 0.95).abs() < 1e-9 && (weights[1] - 0.05).abs() < 1e-9, "{weights:?}");
        apply(&mut table, (**weighed).clone());
        assert_eq!(news(Time(6), &table), []);
    }
}
