//! A made-up but legal history of a call centre, and aggregators that can be killed.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aggregator::{Aggregator, CatchUp, Config};
use journal::memory::Memory;
use journal::{Entry, Journal, Stream, Topology};
use model::event::call::{
    Alerting, Answered, Dequeued, Destination, Ended, Held, Offered, QueueExit, Queued, Retrieved, Rona, TransferKind,
    Transferred,
};
use model::event::{agent, queue, source};
use model::{Envelope, Event, EventId, Number, Subject, Time};
use service::tasks::Task;
use service::{Clock, Component, Context, Drain, Seeds, Tasks};
use store::{Reports, Sqlite};

/// Monday, 2026-11-16 08:00 UTC.
pub const MORNING: i64 = 1_794_816_000_000;

/// A small generator: the same seed, the same history.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

pub fn event(subject: Subject, at: i64, event: impl Into<Event>) -> Envelope {
    let event = event.into();
    Envelope {
        id: EventId::new(format!("{subject}-{at}-{}", event.ty())),
        source: "pbx1".into(),
        subject,
        time: Time(at),
        tenant: Some("bank".into()),
        observed_time: None,
        cause_id: None,
        seq: None,
        quality: None,
        event,
    }
}

fn queued(queue: &str) -> Event {
    serde_json::from_value::<Queued>(serde_json::json!({ "queue": queue })).unwrap().into()
}

/// The events of one call that begins at `at`.
pub fn call(id: &str, at: i64, dice: &mut Dice) -> Vec<Envelope> {
    let mut out = Vec::new();
    let mut now = at;
    let mut tell = |now: i64, what: Event| out.push(event(Subject::Call(id.into()), now, what));
    let ani = Number { token: Some(format!("caller-{}", dice.below(50))), ..Number::default() };
    tell(now, Offered { ani: Some(ani), trunk: Some("trunk1".into()), ..Offered::default() }.into());
    let mut legs = 1 + dice.below(5) / 4;
    while legs > 0 {
        legs -= 1;
        let queue = ["sales", "support", "billing"][dice.below(3) as usize];
        let agent = format!("10{}", dice.below(6));
        now += 500;
        tell(now, queued(queue));
        now += 1_000 + dice.below(40_000) as i64;
        if dice.below(5) == 0 {
            let cause = if dice.below(3) == 0 { QueueExit::Timeout } else { QueueExit::Abandoned };
            tell(now, Dequeued { queue: queue.into(), cause, waited_ms: None }.into());
            break;
        }
        let alerting = |agent: &str| Alerting {
            agent: agent.into(),
            device: None,
            queue: Some(queue.into()),
            team: Some("red".into()),
        };
        tell(now, alerting(&agent).into());
        if dice.below(6) == 0 {
            now += 8_000;
            let rona = serde_json::json!({ "agent": agent, "queue": queue });
            tell(now, serde_json::from_value::<Rona>(rona).unwrap().into());
            now += 900;
            tell(now, alerting(&agent).into());
        }
        now += 1_000 + dice.below(9_000) as i64;
        tell(now, Dequeued { queue: queue.into(), cause: QueueExit::Answered, waited_ms: None }.into());
        let answered =
            Answered { agent: Some(agent.as_str().into()), queue: Some(queue.into()), ..Answered::default() };
        tell(now, answered.into());
        now += 5_000 + dice.below(200_000) as i64;
        if dice.below(3) == 0 {
            tell(now, Held::default().into());
            now += 1 + dice.below(30_000) as i64;
            tell(now, Retrieved::default().into());
            now += 3_000;
        }
        if legs > 0 {
            let to = Destination::Queue("support".into());
            tell(now, Transferred { kind: TransferKind::Blind, agent: Some(agent.as_str().into()), to }.into());
        }
    }
    tell(now + 700, Ended::default().into());
    out
}

/// A history of `calls` calls from `from` on, with agents, queues and a source; out of order within a few events, with
/// duplicates and some that come much later than they happened.
pub fn history(calls: u64, from: i64, seed: u64) -> Vec<Envelope> {
    let mut dice = Dice::new(seed);
    let mut events = vec![event(Subject::Source("pbx1".into()), from - 1_000, source::Connected::default())];
    for n in 0..6 {
        let id = format!("10{n}");
        let subject = || Subject::Agent(id.as_str().into());
        events.push(event(subject(), from - 900 + n, agent::LoggedIn::default()));
        let member = serde_json::json!({ "agent": id, "penalty": n });
        let member: queue::MemberAdded = serde_json::from_value(member).unwrap();
        events.push(event(Subject::Queue("sales".into()), from - 800 + n, member));
        let mut now = from;
        for _ in 0..calls / 10 {
            now += 1_000 + dice.below(60_000) as i64;
            let state = [agent::State::Ready, agent::State::NotReady, agent::State::Talking][dice.below(3) as usize];
            let changed = agent::StateChanged { state, reason: None, call: None, queue: None, team: None };
            events.push(event(subject(), now, changed));
        }
    }
    for n in 0..calls {
        let at = from + n as i64 * 6_000 + dice.below(5_000) as i64;
        events.extend(call(&format!("c{n}"), at, &mut dice));
    }
    events.sort_by_key(|event| event.time);
    for i in 1..events.len() {
        if dice.below(8) == 0 {
            let j = i.saturating_sub(1 + dice.below(4) as usize);
            events.swap(i, j);
        }
    }
    let mut late = Vec::new();
    let mut out = Vec::new();
    for event in events {
        match dice.below(50) {
            0 => late.push((out.len() + 300, event)),
            1 | 2 => out.extend([event.clone(), event]),
            _ => out.push(event),
        }
        while late.first().is_some_and(|(at, _)| *at <= out.len()) {
            out.push(late.remove(0).1);
        }
    }
    out.extend(late.into_iter().map(|(_, event)| event));
    out
}

pub fn stream_of(subject: &Subject) -> Stream {
    match subject {
        Subject::Call(_) => Stream::EventsCall,
        Subject::Agent(_) => Stream::EventsAgent,
        Subject::Device(_) => Stream::EventsDevice,
        Subject::Queue(_) => Stream::EventsQueue,
        Subject::Source(_) => Stream::EventsSource,
    }
}

pub async fn publish(journal: &Arc<dyn Journal>, events: &[Envelope]) {
    for chunk in events.chunks(500) {
        let entry = |e: &Envelope| Entry::new(stream_of(&e.subject), e.subject.id().to_owned(), e.to_json());
        journal.append(chunk.iter().map(entry).collect()).await.unwrap();
    }
}

pub fn memory(partitions: u32) -> Arc<dyn Journal> {
    Memory::new(Topology::uniform(partitions), Clock::system())
}

pub async fn sqlite(dir: &Path, name: &str) -> Arc<dyn Reports> {
    Arc::new(Sqlite::open(dir.join(name)).await.unwrap())
}

pub fn context(instance: &str) -> Context {
    Context::new("aggregator", instance, Clock::system(), &Seeds::fixed(7))
}

/// Folds everything into a store of its own: what every other way of folding must come to.
pub async fn reference(journal: &Arc<dyn Journal>, dir: &Path) -> Arc<dyn Reports> {
    let store = sqlite(dir, "reference.db").await;
    aggregator::catch_up_to_end(journal, &store, &CatchUp::new("reference"), &context("reference")).await.unwrap();
    store
}

/// An aggregator that runs beside the test.
pub struct Running {
    pub context: Context,
    pub outer: Tasks,
    task: Task,
}

impl Running {
    pub fn start(instance: &str, journal: &Arc<dyn Journal>, store: &Arc<dyn Reports>, config: Config) -> Running {
        let context = context(instance);
        let outer = Tasks::new("test", 4, Clock::system(), Drain::new());
        let aggregator = Aggregator::new(Arc::clone(journal), Arc::clone(store), config);
        let task = outer.spawn("aggregator", aggregator.run(context.clone())).unwrap();
        Running { context, outer, task }
    }

    /// Dies where it stands, as far as a task can.
    pub async fn kill(self) {
        self.task.abort();
        self.task.finished().await;
        let _ = self.context.tasks.shutdown(Duration::ZERO).await;
    }

    /// Finishes in order.
    pub async fn stop(self) {
        self.context.drain.start("test is over");
        self.task.finished().await;
        self.outer.shutdown(Duration::from_secs(1)).await.unwrap();
        self.context.tasks.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

/// Waits until `holds`, at most 20 s.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let clock = Clock::system();
    for _ in 0..2_000 {
        if holds().await {
            return;
        }
        clock.sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

pub async fn ends(journal: &Arc<dyn Journal>) -> BTreeMap<String, u64> {
    let mut ends = BTreeMap::new();
    for stream in Stream::EVENTS {
        for number in 0..journal.partitions(stream) {
            let end = journal.end(stream, number).await.unwrap();
            if end > 0 {
                ends.insert(format!("{stream}/{number}"), end);
            }
        }
    }
    ends
}

/// Whether the store has folded everything.
pub async fn caught_up(journal: &Arc<dyn Journal>, store: &Arc<dyn Reports>) -> bool {
    let progress = store.progress().await.unwrap();
    let folded: BTreeMap<String, u64> =
        progress.into_iter().filter_map(|p| Some((p.part.to_string(), p.next.filter(|n| *n > 0)?))).collect();
    folded == ends(journal).await
}

/// Asserts that two stores hold the same rows, calls and positions.
pub async fn assert_same(old: &Arc<dyn Reports>, new: &Arc<dyn Reports>) {
    let verdict = aggregator::diff(&**old, &**new, |_| {}).await.unwrap();
    let first = verdict.differences.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(verdict.is_same(), "{verdict}\n{first}");
    assert!(verdict.rows > 50 && verdict.calls > 50, "too little was compared: {verdict}");
}
