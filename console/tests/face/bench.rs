//! Consoles on loopback with a journal in memory and a store in a folder, fed by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use console::Console;
use journal::{Entry, Journal, Record, Stream, Topology};
use model::control::{self, Parsed};
use model::event::agent::State;
use model::event::call::{Direction, Diverted, Offered};
use model::{Directory, Envelope, Event, EventId, Subject, Time};
use serde_json::Value;
use service::http::auth::{Auth, Token, generate};
use service::http::{Listen, Role};
use service::{Clock, Component as _, Context, Drain, Millis, Seeds};
use stats::PartitionFold;
use stats::live::{Agent, Member, Members, Queue, View};
use store::frame::{self, Body, Fold, Frame, Version};
use store::reports::{Change, StoredCall};
use store::{Part, Reports};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(50);

struct Running {
    port: u16,
    drain: Drain,
    ended: tokio::task::JoinHandle<()>,
}

/// Running consoles.
pub struct Bench {
    pub journal: Arc<dyn Journal>,
    pub client: reqwest::Client,
    store: Arc<dyn Reports>,
    running: BTreeMap<String, Running>,
    clock: Clock,
    token: String,
    auth: Auth,
    number: AtomicU64,
    beat: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.beat.abort();
    }
}

fn part() -> Part {
    Part::new("events.call", 0)
}

/// The control events among records.
pub fn told(records: &[Record]) -> Vec<control::Envelope> {
    let known = |record: &Record| match control::Envelope::parse(&record.value) {
        Ok(Parsed::Known(envelope)) => Some(envelope),
        _ => None,
    };
    records.iter().filter_map(known).collect()
}

async fn tell(journal: &Arc<dyn Journal>, number: u64, view: &str, body: Body, at: Time) {
    let frame = Frame { version: Version { epoch: 1, number }, as_of: at, at, body };
    let entry = Entry::new(Stream::Views, frame::key(view, &part()), frame.to_json());
    journal.append(vec![entry]).await.unwrap();
}

fn fold() -> Body {
    Body::Fold(Fold { part: part().to_string(), owner: "bench".into(), next: 1, end: 1, complete: true })
}

impl Bench {
    /// Starts so many, whose figures are always fresh.
    pub async fn start(consoles: usize) -> Bench {
        let clock = Clock::system();
        let journal: Arc<dyn Journal> = journal::memory::Memory::new(Topology::default(), clock.clone());
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Reports> = Arc::new(store::Sqlite::open(folder.path().join("store.db")).await.unwrap());
        let (token, sha256) = generate();
        let known = Token { name: "ann".into(), sha256, tenant: "*".into(), role: Role::Operator };
        let auth = Auth { tokens: vec![known], anonymous: Some(Role::Viewer) };
        let (beating, beats) = (Arc::clone(&journal), clock.clone());
        let beat = tokio::spawn(async move {
            for number in 1.. {
                tell(&beating, number, frame::FOLD_VIEW, fold(), Time(beats.now_ms())).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        let mut bench = Bench {
            journal,
            client: reqwest::Client::new(),
            store,
            running: BTreeMap::new(),
            clock,
            token,
            auth,
            number: AtomicU64::new(1_000_000),
            beat,
            _folder: folder,
        };
        for number in 1..=consoles {
            bench.start_again(&format!("console-{number}")).await;
        }
        bench
    }

    /// Starts one.
    pub async fn start_again(&mut self, name: &str) {
        let context = Context::new("console", name, self.clock.clone(), &Seeds::fixed(1))
            .with_shared(Arc::clone(&self.journal))
            .with_shared(Arc::clone(&self.store))
            .with_shared(Arc::new(Directory::default()));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = console::config::Config {
            auth: self.auth.clone(),
            listen: Listen::loopback(port),
            tick: Millis::new(100),
            affirm: Millis::seconds(1),
            seal: Millis::seconds(1),
            ..Default::default()
        };
        let built = Console::build(Console::plan(config).unwrap(), &context).await.unwrap();
        let drain = context.drain.clone();
        let ended = tokio::spawn(async move { built.run(context).await.unwrap() });
        self.running.insert(name.to_owned(), Running { port, drain, ended });
    }

    /// Stops one, and waits until it is gone.
    pub async fn stop(&mut self, name: &str) {
        let running = self.running.remove(name).unwrap();
        running.drain.start("test");
        tokio::time::timeout(PATIENCE, running.ended).await.unwrap().unwrap();
    }

    /// An address of whoever runs.
    pub fn url(&self, path: &str) -> String {
        let running = self.running.values().next().unwrap();
        format!("http://127.0.0.1:{}{path}", running.port)
    }

    async fn view(&self, key: &str, view: View) {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        tell(&self.journal, number, key, Body::View(view), Time(self.clock.now_ms())).await;
    }

    /// A queue of three agents, so many of them free, where so many wait.
    pub async fn queue(&self, id: &str, waiting: i64, free: usize) {
        let now = Time(self.clock.now_ms());
        let talking = 3 - free as i64;
        let queue = Queue { waiting, talking, ..Queue::empty("default".into(), id.into()) };
        self.view(&format!("queue/default/{id}"), View::Queue(queue)).await;
        let member = Member { device: None, penalty: 0, paused: false, reason: None };
        let members = Members {
            tenant: "default".into(),
            source: "pbx".into(),
            queue: id.into(),
            name: None,
            strategy: None,
            service_level_s: None,
            waiting_max: None,
            members: (0..3).map(|n| (format!("{n}").into(), member.clone())).collect(),
            last_at: now,
        };
        self.view(&format!("members/{id}"), View::Members(members)).await;
        for n in 0..3 {
            let state = if n < free { State::Ready } else { State::Talking };
            let agent = Agent {
                agent: format!("{n}").into(),
                tenant: "default".into(),
                source: "pbx".into(),
                team: None,
                logged_in_since: Some(now),
                state: Some(state),
                since: now,
                reason: None,
                call: None,
                queue: None,
                device: None,
                skills: BTreeMap::new(),
                last_at: now,
            };
            self.view(&format!("agent/{n}"), View::Agent(agent)).await;
        }
    }

    /// Stores a call that a gate led elsewhere.
    pub async fn diverted_call(&self, call: &str, queue: &str, plan: u64) {
        let mut fold = PartitionFold::new(stats::fold::Settings::default());
        let now = Time(self.clock.now_ms());
        let events: [Event; 2] = [
            Offered { direction: Direction::Inbound, ..Offered::default() }.into(),
            Diverted {
                target: "smart_ivr".into(),
                name: Some("smart".into()),
                rule: "all_diverted".into(),
                level: 3,
                plan,
                queue: Some(queue.into()),
            }
            .into(),
        ];
        for event in events {
            fold.apply(Envelope {
                id: EventId::from_reference(&"pbx".into(), &format!("{call}/{}", event.ty())),
                source: "pbx".into(),
                subject: Subject::Call(call.into()),
                time: now,
                tenant: Some("default".into()),
                observed_time: Some(now),
                cause_id: None,
                seq: None,
                quality: None,
                event,
            });
        }
        let changes = fold.take_changes();
        let calls = changes.calls.iter().filter_map(|id| fold.call(id)).map(StoredCall::of).collect();
        let held = self.store.take("bench", "j1", &[part()]).await.unwrap().remove(0).held;
        let change = Change { held, next: 2, calls, blocks: Vec::new(), states: Vec::new() };
        self.store.checkpoint(&[change]).await.unwrap();
    }

    /// A request of an operator, repeated while it is put off.
    pub async fn send(&self, method: &str, path: &str, replaces: Option<&str>, body: Option<Value>) -> (u16, Value) {
        let begun = self.clock.monotonic();
        loop {
            let mut request = self.client.request(method.parse().unwrap(), self.url(path)).bearer_auth(&self.token);
            if let Some(version) = replaces {
                request = request.header("if-match", version);
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            match request.send().await {
                Ok(answer) if ![429, 503].contains(&answer.status().as_u16()) => {
                    let status = answer.status().as_u16();
                    return (status, answer.json().await.unwrap_or_default());
                }
                other => assert!(self.clock.monotonic() - begun < PATIENCE, "{method} {path}: {other:?}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What is there.
    pub async fn get(&self, path: &str) -> Value {
        self.send("GET", path, None, None).await.1
    }

    /// What is there, as text.
    pub async fn text(&self, path: &str) -> String {
        self.client.get(self.url(path)).bearer_auth(&self.token).send().await.unwrap().text().await.unwrap()
    }

    /// Waits until it is so.
    pub async fn until(&self, path: &str, so: impl Fn(&Value) -> bool) -> Value {
        let begun = self.clock.monotonic();
        loop {
            let found = self.get(path).await;
            if so(&found) {
                return found;
            }
            assert!(self.clock.monotonic() - begun < PATIENCE, "{path} never came to be so: {found:#}");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// All records of `control`.
    pub async fn decided(&self) -> Vec<Record> {
        self.records(Stream::Control).await
    }

    /// All records of a stream.
    async fn records(&self, stream: Stream) -> Vec<Record> {
        let mut records = Vec::new();
        for partition in 0..self.journal.partitions(stream) {
            let end = self.journal.end(stream, partition).await.unwrap();
            let mut next = 0;
            while next < end {
                let batch = self.journal.read(stream, partition, next, 10_000, 64 << 20).await.unwrap();
                next = batch.next;
                records.extend(batch.records);
            }
        }
        records
    }

    /// Waits until so many plans were affirmed by another one than this, from now on.
    pub async fn until_affirmed(&self, times: usize, but: &str) {
        let affirms = |records: Vec<Record>| {
            let told = told(&records).into_iter();
            let ours = |told: &control::Envelope| {
                matches!(told.event, control::Event::PlanAffirmed(_)) && told.source.as_str() != but
            };
            told.filter(ours).count()
        };
        let (before, begun) = (affirms(self.records(Stream::Health).await), self.clock.monotonic());
        while affirms(self.records(Stream::Health).await) < before + times {
            assert!(self.clock.monotonic() - begun < PATIENCE, "no plan was affirmed");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Writes an event of control, as a gate would.
    pub async fn say(&self, event: impl Into<control::Event>) {
        let (event, number) = (event.into(), self.number.fetch_add(1, Ordering::SeqCst));
        let envelope = control::Envelope {
            id: EventId::new(format!("said-{number}")),
            source: "cti-1".into(),
            time: Time(self.clock.now_ms()),
            tenant: "default".into(),
            by: control::By::Automatic,
            why: "a test".into(),
            cause_id: None,
            event,
        };
        self.journal.append(vec![Entry::new(Stream::Control, "default", envelope.to_json())]).await.unwrap();
    }
}
