//! What follows a decision that the phone system has taken: who is told of the caller, and what they were promised.

use model::control::Kind;
use model::{QueueId, ServiceId, SourceId, TenantId, Time};
use policy::plan::{Force, seconds};

use super::{Decided, Gate, lock};
use crate::ask::Ask;
use crate::callbacks::promise::{self, Wish};
use crate::webhook::{HandOver, Known};

const MINUTE_MS: i64 = 60_000;

impl Gate {
    /// Tells the platform behind the target, and writes down a promise. Waits for neither.
    pub(super) fn hand_over(&self, ask: &Ask, decided: &Decided, id: &str) {
        let answer = &decided.answer;
        let tenant = self.directory.tenant_of(&ask.source);
        if let Some(name) = answer.name.as_deref().filter(|name| self.webhooks.know(name)) {
            let number = ask.caller.clone();
            let token = self.callers.know(number.as_deref(), None).token;
            let mask = number.as_deref().filter(|_| token.is_some()).and_then(|number| self.callers.mask(number));
            self.webhooks.tell(HandOver {
                r#type: "call.diverted",
                id: id.to_owned(),
                at: decided.at,
                tenant: tenant.clone(),
                target: name.into(),
                source: ask.source.to_string(),
                call: ask.call.to_string(),
                queue: ask.queue.to_string(),
                language: ask.language.clone(),
                reason: answer.reason.as_str(),
                level: answer.level,
                caller: Known { number: number.filter(|_| token.is_some()), token, mask },
            });
        }
        if let (Kind::Callback, Some(number)) = (answer.target, ask.caller.as_deref()) {
            let (source, call, queue) = (&ask.source, &ask.call, &ask.queue);
            let wish = Wish { tenant: &tenant, source, call, queue, number, at: decided.at };
            if let Some(record) = promise::record(&wish, &self.callers, &self.promises, &self.instance, decided.at) {
                self.emitter.promise(&record);
            }
        }
    }

    /// The call service of the next call of a tenant, and where it is; `None`: there is none.
    pub(crate) fn next_service(&self, tenant: &TenantId) -> Option<(ServiceId, String)> {
        let now_s = seconds(Time(self.clock.now_ms()));
        let table = self.memory.table();
        let of = table.tenant(tenant)?;
        let weighed = &of.weighed()?.services;
        let mut rotas = lock(&self.memory.rotas);
        let service = rotas.entry(tenant.clone()).or_default().next(weighed, now_s)?;
        let address = of.service(&service).filter(|held| held.present)?.configured.address.clone();
        Some((service, address))
    }

    /// What is worked out of the orders that hold for a queue; `None`: nothing was ever decided about it.
    pub(crate) fn holds<T>(
        &self,
        tenant: &TenantId,
        queue: &QueueId,
        now: Time,
        of: impl FnOnce(&Force<'_>) -> T,
    ) -> Option<T> {
        let table = self.memory.table();
        let force = table.force(tenant, queue, now, self.memory.hour(tenant, now))?;
        let force = match self.memory.figures(tenant, queue) {
            Some(seen) => force.seeing(seen.at, seen.waiting, seen.free),
            None => force,
        };
        Some(of(&force))
    }

    /// The minute of the tenant's day.
    pub(crate) fn minute(&self, tenant: &TenantId, at: Time) -> u16 {
        let minutes = self.memory.local_ms(tenant, at).div_euclid(MINUTE_MS).rem_euclid(1_440);
        u16::try_from(minutes).unwrap_or(0)
    }

    /// Whose calls a source brings.
    pub(crate) fn tenant_of(&self, source: &SourceId) -> TenantId {
        self.directory.tenant_of(source)
    }

    /// The name of this process.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// The time.
    pub(crate) fn clock(&self) -> &service::Clock {
        &self.clock
    }
}
