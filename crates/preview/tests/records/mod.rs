//! A made-up record as call records of a store: what the aggregator would have folded from the events of these calls.

use std::sync::Arc;

use model::event::call::{Answered, Dequeued, Ended, Offered, Party, QueueExit, Queued, Released};
use model::{CallId, Envelope, Event, EventId, Number, SourceId, Subject, Time};
use preview::recorded::{Left, Recorded, Stay};
use stats::call::Record;
use store::memory::Memory;
use store::reports::{Change, StoredCall};
use store::{Part, Reports};

/// A store that holds these calls.
pub async fn stored(recorded: &Recorded, tenant: &str) -> Arc<dyn Reports> {
    let store = Memory::new();
    let part = Part::new("events.call", 0);
    let held = store.take("test", "journal", &[part]).await.unwrap().remove(0).held;
    let calls = recorded.stays.iter().enumerate().map(|(n, stay)| StoredCall::of(&record(n, stay, tenant)));
    let change = Change { held, next: 1, calls: calls.collect(), blocks: Vec::new(), states: Vec::new() };
    store.checkpoint(&[change]).await.unwrap();
    Arc::new(store)
}

fn record(n: usize, stay: &Stay, tenant: &str) -> Record {
    let (call, source) = (CallId::new(format!("call-{n}")), SourceId::new("pbx"));
    let mut record = Record::new(call.clone(), source.clone(), tenant.into());
    for (step, (at, event)) in events(stay).into_iter().enumerate() {
        record.apply(Envelope {
            id: EventId::new(format!("{n}-{step}")),
            source: source.clone(),
            subject: Subject::Call(call.clone()),
            time: at,
            tenant: Some(tenant.into()),
            observed_time: None,
            cause_id: None,
            seq: Some(step as u64),
            quality: None,
            event,
        });
    }
    record
}

fn events(stay: &Stay) -> Vec<(Time, Event)> {
    let token = stay.caller.as_ref().map(|token| Number { token: Some(token.to_string()), ..Number::default() });
    let (queue, waited_ms) = (stay.queue.clone(), Some(stay.waited_ms as u64));
    let queued = Queued { queue: queue.clone(), priority: Some(stay.priority), position: None, offered_at: None };
    let left = stay.entered_at + stay.waited_ms;
    let cause = if stay.left == Left::Abandoned { QueueExit::Abandoned } else { QueueExit::Answered };
    let mut events: Vec<(Time, Event)> = vec![
        (stay.entered_at, Offered { ani: token, ..Offered::default() }.into()),
        (stay.entered_at, queued.into()),
        (left, Dequeued { queue: queue.clone(), cause, waited_ms }.into()),
    ];
    if let Left::Served(Some(service)) = &stay.left {
        let agent = service.agent.clone();
        let talked_ms = Some(service.to.since(service.from) as u64);
        let answer = Answered { agent: agent.clone(), queue: Some(queue), waited_ms, ..Answered::default() };
        events.push((service.from, answer.into()));
        events.push((service.to, Released { agent, by: Party::Caller, talked_ms }.into()));
        events.push((service.to, Ended::default().into()));
    } else {
        events.push((left, Ended::default().into()));
    }
    events
}
