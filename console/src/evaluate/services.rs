//! Call services: how well each works, by what their calls tell, and so how the calls are spread.
//!
//! Source: `policy::health` (score, ejection, probes) and `policy::vitals` (what a call tells). A service is known by its name or by the
//! trunk that its address names: `PJSIP/{number}@carrier` is the trunk `PJSIP/carrier`.

use std::collections::{BTreeMap, BTreeSet};

use model::control::{Outcome, ServiceWeighed, Standing, Tier, Weighed};
use model::envelope::Parsed;
use model::event::call::Direction;
use model::{CallbackId, Envelope, Event, ServiceId, Subject, TenantId, Time};
use policy::health::{Limits, Service, Signs, Standing as Stands, sweep, weights};
use policy::plan::{Table, Tenant, seconds};
use policy::sticky;
use policy::vitals::{Sight, Vitals};

use super::Decided;
use super::platform::{changed, decided};

/// Between two sweeps, milliseconds.
const SWEEP_MS: i64 = 5_000;
/// Failures of callbacks are looked for so far back, milliseconds.
const BACK_MS: i64 = 60_000;
/// A weight or score that moved so much is told anew.
const MOVES: f64 = 0.05;

/// What is known of the call services of all tenants.
#[derive(Debug, Default)]
pub(super) struct Services {
    vitals: BTreeMap<TenantId, Vitals>,
    standing: BTreeMap<(TenantId, ServiceId), Service>,
    swept_at: Time,
    /// Failed callbacks that were counted.
    failed: BTreeSet<(CallbackId, u32)>,
}

/// The trunk that an address names.
fn trunk_of(address: &str) -> String {
    match (address.split_once('/'), address.split_once("}@")) {
        (Some((technology, _)), Some((_, trunk))) => format!("{technology}/{trunk}"),
        _ => address.to_owned(),
    }
}

impl Services {
    /// Takes in a record of `events.call`, heard now.
    pub(super) fn heard(&mut self, value: &[u8], now: Time) {
        let Ok(Parsed::Known(envelope)) = Envelope::parse(value) else { return };
        let Subject::Call(call) = &envelope.subject else { return };
        let sight = match &envelope.event {
            Event::CallOffered(offered) => {
                let Some(trunk) = &offered.trunk else { return };
                Sight::Offered { trunk: trunk.as_str(), out: offered.direction == Direction::Outbound }
            }
            Event::CallAlerting(_) | Event::CallAnswered(_) => Sight::Rang,
            Event::CallEnded(ended) => Sight::Ended { q850: ended.q850, lost: ended.cause.as_deref() == Some("lost") },
            _ => return,
        };
        let tenant = envelope.tenant.clone().unwrap_or_else(|| "default".into());
        let vitals = self.vitals.entry(tenant).or_default();
        // what was filled in later says nothing of how late words come now
        let heard = if envelope.quality.is_some() { envelope.time } else { now.max(envelope.time) };
        vitals.take(call.as_str(), &sight, seconds(envelope.time), seconds(heard));
    }

    /// What is news of the services of all tenants.
    pub(super) fn news(&mut self, now: Time, table: &Table) -> Vec<Decided> {
        let due = now.since(self.swept_at) >= SWEEP_MS;
        if due {
            self.swept_at = now;
            self.failures(now, table);
        }
        let mut tenants: Vec<(&TenantId, &Tenant)> = table.tenants().collect();
        tenants.sort_by_key(|(id, _)| *id);
        let mut told = Vec::new();
        for (id, tenant) in tenants {
            told.extend(self.weigh(now, id, tenant, due));
        }
        told
    }

    /// Callbacks that no service could carry: they left no call that would tell.
    fn failures(&mut self, now: Time, table: &Table) {
        let since = now + -BACK_MS;
        let mut seen = BTreeSet::new();
        for (id, tenant) in table.tenants() {
            let list = tenant.callbacks();
            for entry in list.open().chain(list.closed().take(200)) {
                let Some(last) = entry.attempts.last().filter(|last| last.at >= since) else { continue };
                let (Some(service), Some(Outcome::Failed)) = (&last.service, last.outcome) else { continue };
                let key = (entry.asked.callback.clone(), entry.attempts.len() as u32);
                if !self.failed.contains(&key)
                    && let Some(held) = tenant.service(service)
                {
                    let trunk = trunk_of(&held.configured.address);
                    self.vitals.entry(id.clone()).or_default().refused(&trunk, seconds(now));
                }
                seen.insert(key);
            }
        }
        self.failed = seen;
    }

    fn weigh(&mut self, now: Time, id: &TenantId, tenant: &Tenant, due: bool) -> Vec<Decided> {
        let in_use: Vec<_> = tenant.services().filter(|(_, held)| held.configured.enabled).collect();
        let told = tenant.weighed();
        let names: Vec<&ServiceId> = in_use.iter().map(|(service, _)| *service).collect();
        let same = told.is_some_and(|told| told.services.iter().map(|one| &one.service).eq(names.iter().copied()));
        let nothing = told.is_none_or(|told| told.services.is_empty()) && in_use.is_empty();
        if nothing || (same && !due) {
            return Vec::new();
        }
        let limits = Limits::default();
        let now_s = seconds(now);
        let (mut standing, signs) = self.standings(id, tenant, &names, &limits, now_s);
        if due {
            let jitter = sticky::place(id.as_str().as_bytes(), now.ms(), 0);
            sweep(&mut standing, &signs, &limits, now_s, jitter);
        }
        for (service, standing) in names.iter().zip(&standing) {
            self.standing.insert((id.clone(), (*service).clone()), *standing);
        }
        self.standing.retain(|(of, service), _| of != id || names.contains(&service));
        let configured: Vec<f64> = in_use.iter().map(|(_, held)| held.configured.weight).collect();
        let weights = weights(&configured, &standing, &signs, &limits);
        let services: Vec<Weighed> = (0..names.len())
            .map(|at| Weighed {
                service: names[at].clone(),
                weight: weights[at],
                standing: stands(standing[at].standing),
                score: signs[at].score(&limits),
            })
            .collect();
        tell(now, (id, tenant), services, &signs)
    }

    /// Where each service stands, its probes taken into account, and what is known of it.
    fn standings(
        &mut self,
        id: &TenantId,
        tenant: &Tenant,
        names: &[&ServiceId],
        limits: &Limits,
        now_s: f64,
    ) -> (Vec<Service>, Vec<Signs>) {
        let vitals = self.vitals.entry(id.clone()).or_default();
        let mut standing = Vec::with_capacity(names.len());
        let mut signs = Vec::with_capacity(names.len());
        for name in names {
            let address = tenant.service(name).map_or("", |held| held.configured.address.as_str());
            let trunk = match vitals.trunks().any(|trunk| trunk == name.as_str()) {
                true => name.as_str().to_owned(),
                false => trunk_of(address),
            };
            let key = (id.clone(), (*name).clone());
            // whoever takes over goes on with what was told: what was out has to prove itself
            let known = self.standing.get(&key).copied();
            let mut service = known.unwrap_or_else(|| heir(tenant, name));
            for good in vitals.ends(&trunk) {
                service.probed(good, limits, now_s, 0.5);
            }
            let mut seen = vitals.signs(&trunk, now_s);
            if known.is_some_and(|before| before.standing != Stands::In) && service.standing == Stands::In {
                // proven by probes: what took it out is over, and must not take it out again
                vitals.forgive(&trunk);
                seen = vitals.signs(&trunk, now_s);
            }
            standing.push(service);
            signs.push(seen);
        }
        (standing, signs)
    }
}

fn heir(tenant: &Tenant, name: &ServiceId) -> Service {
    let told = tenant.weighed().and_then(|told| told.services.iter().find(|one| one.service == *name));
    let standing = match told.map(|told| told.standing) {
        None | Some(Standing::In) => Stands::In,
        Some(Standing::Out | Standing::Probing) => Stands::Probing { good: 0 },
    };
    Service { standing, ..Service::default() }
}

fn stands(standing: Stands) -> Standing {
    match standing {
        Stands::In => Standing::In,
        Stands::Out { .. } => Standing::Out,
        Stands::Probing { .. } => Standing::Probing,
    }
}

/// The weights, when they are news, and the tier of each service whose standing changed.
fn tell(now: Time, of: (&TenantId, &Tenant), services: Vec<Weighed>, signs: &[Signs]) -> Vec<Decided> {
    let (id, tenant) = of;
    let moved = |was: &Weighed, is: &Weighed| {
        was.service != is.service
            || was.standing != is.standing
            || (was.weight - is.weight).abs() > MOVES
            || (was.score - is.score).abs() > 2.0 * MOVES
    };
    let held = tenant.weighed().map_or(&[][..], |told| &told.services);
    if held.len() == services.len() && !held.iter().zip(&services).any(|(was, is)| moved(was, is)) {
        return Vec::new();
    }
    let mut told = Vec::new();
    for (service, signs) in services.iter().zip(signs) {
        let tier = if service.standing == Standing::In { Tier::Normal } else { Tier::SelfHeal };
        let why = format!(
            "score {:.2}: {} good and {} failed calls in ten minutes, {} failed in a row",
            service.score, signs.ten_minutes.good, signs.ten_minutes.failed, signs.failed_in_a_row
        );
        told.extend(changed(now, of, format!("service/{}", service.service), tier, why));
    }
    let share = |one: &Weighed| format!("{} {:.0} %", one.service, one.weight * 100.0);
    let why = format!("calls are spread: {}", services.iter().map(share).collect::<Vec<_>>().join(", "));
    told.push(decided(now, id, "weighed", why, ServiceWeighed { services }));
    told
}

#[cfg(test)]
#[path = "services/tests.rs"]
mod tests;
