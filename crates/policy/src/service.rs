//! Which call service carries the next call: in turn by weight, so that also a small share is kept over few calls.
//!
//! Source: smooth weighted round robin: each service gains its weight with every call, the one that has most carries it and pays one. After
//! n calls no service is further than one call from its share. A service that is probed carries a call now and then, to see.

use std::collections::BTreeMap;

use model::ServiceId;
use model::control::{Standing, Weighed};

/// A service that is probed carries at most one call in so long, seconds.
pub const PROBE_EVERY_S: f64 = 5.0;

/// Whose turn it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rota {
    credit: BTreeMap<ServiceId, f64>,
    probed_s: BTreeMap<ServiceId, f64>,
}

impl Rota {
    /// The service of the next call; `None` when there is none at all.
    pub fn next(&mut self, services: &[Weighed], now_s: f64) -> Option<ServiceId> {
        self.credit.retain(|id, _| services.iter().any(|service| service.service == *id));
        self.probed_s.retain(|id, _| services.iter().any(|service| service.service == *id));
        if let Some(probe) = self.probe(services, now_s) {
            return Some(probe);
        }
        let mut most: Option<(&ServiceId, f64)> = None;
        for service in services.iter().filter(|service| service.weight > 0.0) {
            let credit = self.credit.entry(service.service.clone()).or_default();
            *credit += service.weight;
            if most.is_none_or(|(_, best)| *credit > best) {
                most = Some((&service.service, *credit));
            }
        }
        let chosen = most?.0.clone();
        *self.credit.entry(chosen.clone()).or_default() -= services.iter().map(|service| service.weight).sum::<f64>();
        Some(chosen)
    }

    fn probe(&mut self, services: &[Weighed], now_s: f64) -> Option<ServiceId> {
        let mut probing = services.iter().filter(|service| service.standing == Standing::Probing);
        let due = probing
            .find(|service| self.probed_s.get(&service.service).is_none_or(|last| now_s - last >= PROBE_EVERY_S))?;
        self.probed_s.insert(due.service.clone(), now_s);
        Some(due.service.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weighed(name: &str, weight: f64, standing: Standing) -> Weighed {
        Weighed { service: name.into(), weight, standing, score: 1.0 }
    }

    #[test]
    fn the_standby_carries_its_share_of_few_calls() {
        let services = [weighed("a", 0.95, Standing::In), weighed("b", 0.05, Standing::In)];
        let mut rota = Rota::default();
        let carried = (0..40).filter(|_| rota.next(&services, 0.0) == Some("b".into())).count();
        assert_eq!(carried, 2);
        assert_eq!(Rota::default().next(&[], 0.0), None);
    }

    #[test]
    fn who_is_out_carries_nothing_and_who_is_probed_a_call_now_and_then() {
        let services =
            [weighed("a", 1.0, Standing::In), weighed("b", 0.0, Standing::Out), weighed("c", 0.0, Standing::Probing)];
        let mut rota = Rota::default();
        let carried: Vec<_> = (0..100).filter_map(|n| rota.next(&services, f64::from(n) * 0.1)).collect();
        let of = |name: &str| carried.iter().filter(|id| id.as_str() == name).count();
        assert_eq!((of("a"), of("b"), of("c")), (98, 0, 2));
    }

    proptest! {
        #[test]
        fn nobody_is_further_than_a_call_from_its_share(
            draws in prop::collection::vec(1..100u32, 1..6), calls in 1..400usize,
        ) {
            let total: f64 = draws.iter().map(|weight| f64::from(*weight)).sum();
            let services: Vec<_> = draws.iter().enumerate()
                .map(|(n, weight)| weighed(&n.to_string(), f64::from(*weight) / total, Standing::In)).collect();
            let mut rota = Rota::default();
            let carried: Vec<_> = (0..calls).filter_map(|_| rota.next(&services, 0.0)).collect();
            prop_assert_eq!(carried.len(), calls);
            for service in &services {
                let own = carried.iter().filter(|id| **id == service.service).count() as f64;
                prop_assert!((own - service.weight * calls as f64).abs() <= draws.len() as f64);
            }
        }
    }
}
