//! Callers on the list who called again and were answered: they need not be called any more. Read from `events.call`.

use std::collections::HashMap;
use std::sync::Arc;

use journal::{Entry, Journal, Stream};
use model::control::{By, CallbackClosed, Close, Envelope as Decision};
use model::envelope::Parsed;
use model::event::call::Direction;
use model::{CallId, CallbackId, Envelope, Event, EventId, SourceId, Subject, TenantId, Time};
use policy::callback::State;
use service::health::Check;
use service::{Clock, Drain};

use crate::follow::Reader;
use crate::gate::Gate;

/// Calls of callers on the list that are followed at once.
const CALLS_MAX: usize = 20_000;

/// What it works with.
pub(crate) struct Follow {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
    pub(crate) health: Check,
}

/// Calls of callers who wait for a callback, by their tokens.
#[derive(Debug, Default)]
struct Calls(HashMap<CallId, (TenantId, String)>);

impl Follow {
    /// Follows until the drain.
    pub(crate) async fn run(self) {
        let (journal, stream) = (&*self.journal, Stream::EventsCall);
        let (clock, drain, health) = (&self.clock, &self.drain, &self.health);
        let reader = Reader { journal, stream, clock, drain, health };
        let mut next = reader.end().await;
        let mut calls = Calls::default();
        while !drain.is_started() {
            let records = reader.more(&mut next).await;
            let over: Vec<_> = records.iter().filter_map(|record| calls.take(&record.value, &self.gate)).collect();
            self.close(over).await;
        }
    }

    async fn close(&self, over: Vec<(TenantId, CallbackId, EventId)>) {
        let now = Time(self.clock.now_ms());
        let entry = |(tenant, callback, cause): (TenantId, CallbackId, EventId)| {
            let decision = Decision {
                id: EventId::from_reference(&SourceId::new(self.gate.instance()), &format!("called again|{callback}")),
                source: SourceId::new(self.gate.instance()),
                time: now,
                tenant: tenant.clone(),
                by: By::Automatic,
                why: "called again, and was answered".to_owned(),
                cause_id: Some(cause),
                event: CallbackClosed { callback, close: Close::CalledAgain }.into(),
            };
            Entry::new(Stream::Control, tenant.as_str().to_owned(), decision.to_json())
        };
        let entries: Vec<Entry> = over.into_iter().map(entry).collect();
        if entries.is_empty() {
            return;
        }
        if let Err(error) = self.journal.append(entries).await {
            tracing::warn!(%error, "callers who were served stay on the list of callbacks");
        }
    }
}

impl Calls {
    /// Takes in an event of a call; the promise that it makes needless, if any.
    fn take(&mut self, value: &[u8], gate: &Gate) -> Option<(TenantId, CallbackId, EventId)> {
        if self.0.is_empty() && !gate.memory.table().tenants().any(|(_, of)| of.callbacks().open().next().is_some()) {
            return None; // nobody waits for a callback: no call need be read
        }
        let Ok(Parsed::Known(envelope)) = Envelope::parse(value) else { return None };
        let Subject::Call(call) = &envelope.subject else { return None };
        match &envelope.event {
            Event::CallOffered(offered) if offered.direction == Direction::Inbound => {
                let token = offered.ani.as_ref()?.token.clone()?;
                let tenant = envelope.tenant.clone().unwrap_or_else(|| gate.tenant_of(&envelope.source));
                let waits = |table: &policy::plan::Table| {
                    let list = table.tenant(&tenant).map(|tenant| tenant.callbacks());
                    list.is_some_and(|list| list.has_caller(&token))
                };
                if self.0.len() < CALLS_MAX && waits(&gate.memory.table()) {
                    self.0.insert(call.clone(), (tenant, token));
                }
                None
            }
            Event::CallAnswered(answered) => {
                let queue = answered.queue.as_ref()?;
                let (tenant, token) = self.0.get(call)?;
                let table = gate.memory.table();
                let entry = table.tenant(tenant)?.callbacks().of_caller(queue, token)?;
                // the very call in which they asked does not answer it, and one that is being dialled speaks for itself
                let needless = entry.asked.call != *call && matches!(entry.state, State::Waiting { .. });
                needless.then(|| (tenant.clone(), entry.asked.callback.clone(), envelope.id.clone()))
            }
            Event::CallEnded(_) => {
                self.0.remove(call);
                None
            }
            _ => None,
        }
    }
}
