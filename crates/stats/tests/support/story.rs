//! Histories told in few words.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use model::event::agent::{self, State};
use model::event::call::*;
use model::{Envelope, Event, EventId, Quality, SourceId, Subject, Time};
use stats::call::Record;
use stats::contribution::rows_of_call;
use stats::{Dim, Field, Grains, Row, RowKey, Tally};

/// An event about `subject` at `ms`.
pub fn event(subject: &str, ms: i64, event: impl Into<Event>) -> Envelope {
    let event = event.into();
    let source = SourceId::new("pbx1");
    Envelope {
        id: EventId::from_parts(&source, subject, event.ty(), ms, &format!("{event:?}")),
        source,
        subject: Subject::parse(subject).unwrap(),
        time: Time(ms),
        tenant: Some("acme".into()),
        observed_time: None,
        cause_id: None,
        seq: None,
        quality: None,
        event,
    }
}

/// The same, with a mark of quality.
pub fn marked(mut e: Envelope, quality: Quality) -> Envelope {
    e.quality = Some(quality);
    e
}

/// A call of these events (milliseconds, event).
pub fn call(events: Vec<(i64, Event)>) -> Record {
    fold(events.into_iter().map(|(ms, e)| event("call/c1", ms, e)))
}

/// A call of these envelopes, in this order of arrival.
pub fn fold(events: impl IntoIterator<Item = Envelope>) -> Record {
    let mut record = Record::new("c1".into(), "pbx1".into(), "acme".into());
    events.into_iter().for_each(|e| {
        record.apply(e);
    });
    record
}

/// The sum of the event-time rows of one thing.
pub fn event_sum(rows: &[(RowKey, Row)], dim: Dim, id: &str) -> Tally {
    Tally::sum(rows.iter().filter(|(k, _)| k.dim == dim && &*k.id == id).map(|(_, r)| &r.event))
}

/// What a call counts for one thing, over all its rows.
pub fn counted(record: &Record, dim: Dim, id: &str) -> Tally {
    event_sum(&rows_of_call(record, Grains::default()), dim, id)
}

/// One count of it.
pub fn count(record: &Record, dim: Dim, id: &str, field: Field) -> i64 {
    counted(record, dim, id).total(field)
}

pub fn offered() -> Event {
    Offered::default().into()
}

pub fn outbound(agent: &str) -> Event {
    Offered { direction: Direction::Outbound, agent: Some(agent.into()), ..Offered::default() }.into()
}

pub fn queued(queue: &str) -> Event {
    Queued { queue: queue.into(), priority: None, position: None, offered_at: None }.into()
}

pub fn dequeued(queue: &str, cause: QueueExit) -> Event {
    Dequeued { queue: queue.into(), cause, waited_ms: None }.into()
}

pub fn alerting(agent: &str, queue: Option<&str>) -> Event {
    Alerting { agent: agent.into(), device: None, queue: queue.map(Into::into), team: None }.into()
}

pub fn rona(agent: &str, queue: &str) -> Event {
    let (agent, queue) = (agent.into(), Some(queue.into()));
    Rona { agent, device: None, queue, rang_ms: None, reason: RonaReason::NoAnswer, team: None }.into()
}

pub fn answered(agent: &str, queue: Option<&str>) -> Event {
    Answered { agent: Some(agent.into()), queue: queue.map(Into::into), ..Answered::default() }.into()
}

pub fn held(agent: &str) -> Event {
    Held { agent: Some(agent.into()) }.into()
}

pub fn retrieved(agent: &str) -> Event {
    Retrieved { agent: Some(agent.into()) }.into()
}

pub fn consulted(agent: &str, to: &str) -> Event {
    Consulted { agent: Some(agent.into()), to: Destination::Agent(to.into()) }.into()
}

pub fn transferred(agent: &str, kind: TransferKind, to: Destination) -> Event {
    Transferred { kind, agent: Some(agent.into()), to }.into()
}

pub fn released(agent: &str, by: Party) -> Event {
    Released { agent: Some(agent.into()), by, talked_ms: None }.into()
}

pub fn wrapped_up(agent: &str, wrap_up_ms: u64) -> Event {
    WrappedUp { agent: Some(agent.into()), wrap_up_ms }.into()
}

pub fn ended(by: Party) -> Event {
    Ended { by, ..Ended::default() }.into()
}

pub fn ivr(node: &str) -> Event {
    IvrEntered { node: node.into() }.into()
}

pub fn agent_state(state: State, reason: Option<&str>) -> Event {
    agent::StateChanged { state, reason: reason.map(str::to_owned), call: None, queue: None, team: Some("red".into()) }
        .into()
}

pub fn attached(key: &str, value: &str) -> Event {
    DataAttached { values: BTreeMap::from([(key.to_owned(), value.to_owned())]) }.into()
}
