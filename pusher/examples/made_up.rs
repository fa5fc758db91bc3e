//! A wallboard with made-up figures, to work on the page: `cargo run -p pusher --example made_up`, then open
//! <http://127.0.0.1:7400/>. Everything is in memory; nothing of it comes from a phone system.

use std::sync::Arc;

use journal::{Entry, Journal, Stream, Topology};
use model::event::agent::State;
use model::event::call::Direction;
use model::{Directory, Time};
use pusher::Pusher;
use rand::Rng as _;
use service::{Clock, Component as _, Context, Seeds};
use stats::live::{Agent, Call, Member, Members, Queue, Source, Stage, View};
use stats::{Dim, Field, Row, RowKey};
use store::frame::{Body, Fold, Frame, PartialRow, Version, key, row_view};
use store::{Part, Reports};

const QUEUES: [(&str, &str, &str, f64); 6] = [
    ("sales", "Sales", "销售", 1.0),
    ("service", "Customer service", "客户服务", 1.6),
    ("claims", "Claims", "理赔", 0.7),
    ("cards", "Lost cards", "挂失", 0.4),
    ("business", "Business line", "企业专线", 0.5),
    ("english", "English desk", "英语坐席", 0.2),
];
const NAMES: [&str; 12] = [
    "Li Na",
    "Wang Wei",
    "Zhang Min",
    "Liu Yang",
    "Chen Jie",
    "Zhao Lei",
    "Huang Fei",
    "Zhou Xin",
    "Wu Hao",
    "Xu Jing",
    "Sun Li",
    "Ma Chao",
];
const AGENTS: usize = 42;

fn directory() -> Directory {
    let mut directory = Directory::default();
    let tenant = model::directory::Tenant { time_zone: "Asia/Shanghai".into(), ..Default::default() };
    directory.tenants.insert("default".into(), tenant);
    for (id, name, name_zh, _) in QUEUES {
        let queue = model::directory::Queue { name: name.into(), name_zh: name_zh.into(), ..Default::default() };
        directory.queues.insert(id.into(), queue);
    }
    for n in 0..AGENTS {
        let name = format!("{} {}", NAMES[n % NAMES.len()], n + 1);
        let agent = model::directory::Agent { name, ..Default::default() };
        directory.agents.insert(format!("{}", 1001 + n).as_str().into(), agent);
    }
    directory
}

/// What is made up, and how it is told.
struct Centre {
    journal: Arc<dyn Journal>,
    clock: Clock,
    rng: service::Rng,
    number: u64,
    calls: Vec<Call>,
    agents: Vec<Agent>,
    next_call: u32,
}

impl Centre {
    fn now(&self) -> Time {
        Time(self.clock.now_ms())
    }

    fn entry(&mut self, view: &str, body: Body) -> Entry {
        self.number += 1;
        let (version, now) = (Version { epoch: 1, number: self.number }, self.now());
        let frame = Frame { version, as_of: now, at: now, body };
        Entry::new(Stream::Views, key(view, &Part::new("events.call", 0)), frame.to_json())
    }

    /// The counts of one minute of one queue, for the queue and the tenant.
    fn minute(&mut self, start: Time, queue: usize, offered: i64, load: f64) -> Vec<Entry> {
        let mut row = Row::default();
        let t = &mut row.event;
        for _ in 0..offered {
            t.add(Field::Offered, 1);
            let wait = (self.rng.random::<f64>().powi(3) * 90_000.0 * load) as i64;
            if self.rng.random::<f64>() < 0.04 + 0.05 * load {
                t.add(if wait < 5_000 { Field::ShortAbandoned } else { Field::Abandoned }, 1);
                t.observe(Field::WaitAbandoned, wait, 1);
                t.add(Field::WaitAbandonedMs, wait);
            } else {
                let talk = 60_000 + (self.rng.random::<f64>() * 240_000.0) as i64;
                t.add(Field::Answered, 1);
                t.add(Field::WaitAnsweredMs, wait);
                t.observe(Field::WaitAnswered, wait, 1);
                t.add(Field::Completed, 1);
                t.add(Field::TalkMs, talk);
            }
        }
        let mut out = Vec::new();
        for (dim, id) in [(Dim::Queue, QUEUES[queue].0), (Dim::Tenant, "default")] {
            // The tenant's row is one per queue here: a source each, so that they add up.
            let source = format!("pbx{queue}");
            let key = RowKey { tenant: "default".into(), source: source.as_str().into(), dim, id: id.into(), start };
            let view = row_view(&key);
            let body = Body::Row(PartialRow { key, part: "events.call/0".into(), row: row.clone() });
            out.push(self.entry(&view, body));
        }
        out
    }

    fn day(&mut self) -> Vec<Entry> {
        let now = self.now().ms();
        let midnight = now - (now + 8 * 3_600_000).rem_euclid(86_400_000);
        let mut out = Vec::new();
        for start in (midnight..now).step_by(60_000) {
            let hour = (start - midnight) as f64 / 3_600_000.0;
            let busy = (-((hour - 10.5) / 2.2).powi(2)).exp() + 0.9 * (-((hour - 15.5) / 2.4).powi(2)).exp() + 0.03;
            for (queue, made) in QUEUES.iter().enumerate() {
                let offered = (busy * made.3 * 6.0 * self.rng.random::<f64>()).round() as i64;
                out.extend(self.minute(Time(start), queue, offered, busy * if queue == 2 { 1.5 } else { 0.8 }));
            }
        }
        out
    }

    fn call_view(&mut self) -> Vec<Entry> {
        let now = self.now();
        let mut out = Vec::new();
        if self.rng.random::<f64>() < 0.5 && self.calls.len() < 22 {
            self.next_call += 1;
            let id = format!("1763712000.{}", self.next_call);
            let queue = [0, 1, 1, 2, 2, 2, 3, 4][self.rng.random_range(0..8)];
            let call = Call {
                call: id.as_str().into(),
                source: "pbx0".into(),
                tenant: "default".into(),
                direction: Direction::Inbound,
                stage: Stage::Waiting,
                since: now,
                offered_at: now,
                queue: Some(QUEUES[queue].0.into()),
                queued_at: Some(now),
                agent: None,
                caller: Some(format!("138***{:02}", self.rng.random_range(0..100))),
                priority: None,
                open: Vec::new(),
                last_at: now,
            };
            self.calls.push(call);
        }
        if !self.calls.is_empty() && self.rng.random::<f64>() < 0.45 {
            let n = self.rng.random_range(0..self.calls.len());
            let gone = self.calls.remove(n);
            out.push(Entry::new(Stream::Views, key(&format!("call/{}", gone.call), &Part::new("events.call", 0)), ""));
        }
        for call in self.calls.clone() {
            out.push(self.entry(&format!("call/{}", call.call), Body::View(View::Call(call))));
        }
        for (id, ..) in QUEUES {
            let waiting: Vec<Time> = self
                .calls
                .iter()
                .filter(|c| c.queue.as_ref().is_some_and(|q| q.as_str() == id))
                .map(|c| c.since)
                .collect();
            let mut queue = Queue::empty("default".into(), id.into());
            queue.waiting = waiting.len() as i64;
            queue.oldest_waiting_since = waiting.into_iter().min();
            queue.talking = self.rng.random_range(3..9);
            out.push(self.entry(&format!("queue/{id}"), Body::View(View::Queue(queue))));
        }
        out
    }

    fn agent_views(&mut self, share: f64) -> Vec<Entry> {
        let now = self.now();
        let states = [
            State::Ready,
            State::Talking,
            State::Talking,
            State::Talking,
            State::WrapUp,
            State::NotReady,
            State::Reserved,
        ];
        let mut out = Vec::new();
        for n in 0..AGENTS {
            if self.rng.random::<f64>() > share {
                continue;
            }
            let mut agent = self.agents[n].clone();
            let state = states[self.rng.random_range(0..states.len())];
            agent.state = Some(state);
            agent.since = if share < 1.0 { now } else { now + -self.rng.random_range(1_000..600_000) };
            agent.last_at = agent.since;
            agent.reason = (state == State::NotReady).then(|| ["lunch", "training", "break"][n % 3].to_owned());
            agent.queue = (state == State::Talking).then(|| QUEUES[n % QUEUES.len()].0.into());
            self.agents[n] = agent.clone();
            out.push(self.entry(&format!("agent/{}", agent.agent), Body::View(View::Agent(agent))));
        }
        out
    }

    fn beat(&mut self) -> Vec<Entry> {
        let now = self.now();
        let source = Source {
            source: "pbx0".into(),
            tenant: "default".into(),
            vendor: "asterisk".into(),
            version: Some("22.5.2".into()),
            connected: Some(true),
            since: now + -7_200_000,
            reason: None,
            heartbeat_at: Some(now),
            every_ms: Some(5_000),
            round_trip_ms: Some(self.rng.random_range(1..6)),
            snapshot_at: None,
            gaps: Vec::new(),
            trunks: Default::default(),
            last_at: now,
        };
        let fold = Fold { part: "events.call/0".into(), owner: "made-up".into(), next: 1, end: 1, complete: true };
        vec![self.entry("source/pbx0", Body::View(View::Source(source))), self.entry("fold", Body::Fold(fold))]
    }

    fn members(&mut self) -> Vec<Entry> {
        let mut out = Vec::new();
        for (number, (id, ..)) in QUEUES.iter().enumerate() {
            let mine = (0..AGENTS).filter(|n| n % 3 == number % 3 || n % QUEUES.len() == number);
            let member = || Member { device: None, penalty: 0, paused: false, reason: None };
            let members = Members {
                tenant: "default".into(),
                source: "pbx0".into(),
                queue: (*id).into(),
                name: None,
                strategy: None,
                service_level_s: None,
                waiting_max: None,
                members: mine.map(|n| (format!("{}", 1001 + n).as_str().into(), member())).collect(),
                last_at: self.now(),
            };
            out.push(self.entry(&format!("members/{id}"), Body::View(View::Members(members))));
        }
        out
    }
}

fn agent(n: usize, now: Time) -> Agent {
    Agent {
        agent: format!("{}", 1001 + n).as_str().into(),
        tenant: "default".into(),
        source: "pbx0".into(),
        team: None,
        logged_in_since: Some(now + -10_000_000),
        state: None,
        since: now,
        reason: None,
        call: None,
        queue: None,
        device: None,
        skills: Default::default(),
        last_at: now,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Clock::system();
    let journal: Arc<dyn Journal> = journal::memory::Memory::new(Topology::default(), clock.clone());
    let folder = tempfile::tempdir()?;
    let store: Arc<dyn Reports> = Arc::new(store::Sqlite::open(folder.path().join("store.db")).await?);
    let seeds = Seeds::fixed(7);
    let context = Context::new("pusher", "made-up", clock.clone(), &seeds)
        .with_shared(Arc::clone(&journal))
        .with_shared(store)
        .with_shared(Arc::new(directory()));
    let now = Time(clock.now_ms());
    let agents = (0..AGENTS).map(|n| agent(n, now)).collect();
    let rng = seeds.stream("made-up");
    let mut centre = Centre {
        journal: Arc::clone(&journal),
        clock: clock.clone(),
        rng,
        number: 0,
        calls: Vec::new(),
        agents,
        next_call: 0,
    };
    let mut first = centre.day();
    first.extend(centre.members());
    first.extend(centre.agent_views(1.1));
    first.extend(centre.beat());
    centre.journal.append(first).await?;
    let pusher =
        Pusher::build(Pusher::plan(Default::default()).map_err(|problems| problems.to_string())?, &context).await?;
    let telling = async {
        for turn in 0u64.. {
            let mut entries = centre.call_view();
            entries.extend(centre.agent_views(0.03));
            entries.extend(centre.beat());
            let minute = Time(centre.now().ms() / 60_000 * 60_000);
            if turn % 7 == 0 {
                entries.extend(centre.minute(minute, (turn / 7) as usize % QUEUES.len(), 1 + (turn % 4) as i64, 0.6));
            }
            if centre.journal.append(entries).await.is_err() {
                return;
            }
            clock.sleep(std::time::Duration::from_millis(700)).await;
        }
    };
    println!("http://127.0.0.1:7400/");
    tokio::select! {
        () = telling => {}
        ended = pusher.run(context) => ended.map_err(|error| error.chain())?,
    }
    Ok(())
}
