//! A pusher on loopback with a journal in memory and a store in a folder, and clients for it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use journal::{Entry, Journal, Stream, Topology};
use model::event::call::{Answered, Dequeued, Direction, Ended, Offered, Party, QueueExit, Queued, Released};
use model::{Envelope, Event, EventId, Number, Subject, Time};
use pusher::Pusher;
use serde_json::Value;
use service::http::Listen;
use service::http::auth::Auth;
use service::{Clock, Component as _, Context, Drain, Seeds};
use stats::live::{Queue, View};
use stats::{Dim, Field, PartitionFold, Row, RowKey};
use store::frame::{self, Body, Fold, Frame, PartialRow, Version};
use store::reports::{Block, BlockKey, Change, Held, StoredCall};
use store::{Part, Reports};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running pusher.
pub struct Bench {
    port: u16,
    journal: Arc<dyn Journal>,
    store: Arc<dyn Reports>,
    held: Held,
    fold: tokio::sync::Mutex<PartitionFold>,
    clock: Clock,
    drain: Drain,
    number: AtomicU64,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

/// A view of a queue where so many wait.
pub fn view_of_queue(id: &str, waiting: i64) -> Body {
    Body::View(View::Queue(Queue { waiting, ..Queue::empty("default".into(), id.into()) }))
}

fn part() -> Part {
    Part::new("events.call", 0)
}

impl Bench {
    /// Starts it.
    pub async fn start(auth: Auth) -> Bench {
        let clock = Clock::system();
        let journal: Arc<dyn Journal> = journal::memory::Memory::new(Topology::default(), clock.clone());
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Reports> = Arc::new(store::Sqlite::open(folder.path().join("store.db")).await.unwrap());
        let held = store.take("bench", "j1", &[part()]).await.unwrap().remove(0).held;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let context = Context::new("pusher", "bench", clock.clone(), &Seeds::fixed(1))
            .with_shared(Arc::clone(&journal))
            .with_shared(Arc::clone(&store));
        let config = pusher::config::Config { auth, listen: Listen::loopback(port), ..Default::default() };
        let pusher = Pusher::build(Pusher::plan(config).unwrap(), &context).await.unwrap();
        let drain = context.drain.clone();
        tokio::spawn(async move { pusher.run(context).await.unwrap() });
        let (number, http) = (AtomicU64::new(1), reqwest::Client::new());
        let fold = tokio::sync::Mutex::new(PartitionFold::new(stats::fold::Settings::default()));
        Bench { port, journal, store, held, fold, clock, drain, number, http, _folder: folder }
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.drain.start("test");
    }

    /// Now.
    pub fn now(&self) -> Time {
        Time(self.clock.now_ms())
    }

    /// A complete fold of the only partition.
    pub fn fold(&self) -> Fold {
        Fold { part: part().to_string(), owner: "bench".into(), next: 1, end: 1, complete: true }
    }

    /// Appends a frame to `views`, and that the partition is folded.
    pub async fn tell(&self, view: &str, body: Body) {
        self.tell_at(view, body, self.now()).await;
        self.tell_at(frame::FOLD_VIEW, Body::Fold(self.fold()), self.now()).await;
    }

    /// Appends a frame made at a time.
    pub async fn tell_at(&self, view: &str, body: Body, at: Time) {
        let version = Version { epoch: 1, number: self.number.fetch_add(1, Ordering::SeqCst) };
        let value = Frame { version, as_of: at, at, body }.to_json();
        self.journal.append(vec![Entry::new(Stream::Views, frame::key(view, &part()), value)]).await.unwrap();
    }

    /// A base row of a queue with so many offered.
    pub async fn tell_row(&self, queue: &str, start: Time, offered: i64) {
        let mut row = Row::default();
        row.event.add(Field::Offered, offered);
        let key = RowKey { tenant: "default".into(), source: "pbx".into(), dim: Dim::Queue, id: queue.into(), start };
        let view = frame::row_view(&key);
        self.tell(&view, Body::Row(PartialRow { key, part: part().to_string(), row })).await;
    }

    /// Stores answered calls of 10 s wait and a minute of talk, one per minute from 2026-03-02 09:00 UTC.
    pub async fn store_calls(&self, which: Range<i64>) {
        let mut fold = self.fold.lock().await;
        let next = which.end as u64 * 10;
        for n in which {
            for event in call(n) {
                fold.apply(event);
            }
        }
        let changes = fold.take_changes();
        let calls = changes.calls.iter().filter_map(|id| fold.call(id)).map(StoredCall::of).collect();
        let mut blocks: BTreeMap<BlockKey, Block> = BTreeMap::new();
        for (key, row) in changes.rows {
            let of = BlockKey::of(&key);
            let block = blocks.entry(of.clone()).or_insert(Block { key: of, version: next, rows: Default::default() });
            block.rows.insert(key.start, row);
        }
        let blocks = blocks.into_values().map(Arc::new).collect();
        let change = Change { held: self.held.clone(), next, calls, blocks, states: Vec::new() };
        self.store.checkpoint(&[change]).await.unwrap();
    }

    /// A request.
    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("http://127.0.0.1:{}{path}", self.port))
    }

    /// A WebSocket client.
    pub async fn connect(&self, token: Option<&str>) -> Client {
        let mut request = format!("ws://127.0.0.1:{}/v1/ws", self.port).into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        Client(tokio_tungstenite::connect_async(request).await.unwrap().0)
    }

    /// The status with which a handshake of a page is refused.
    pub async fn refused(&self, origin: &str) -> u16 {
        let mut request = format!("ws://127.0.0.1:{}/v1/ws", self.port).into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        match tokio_tungstenite::connect_async(request).await {
            Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Waits until a feed has so many items; gives its last frame.
    pub async fn settled(&self, client: &mut Client, items: usize) -> Value {
        let mut keys = std::collections::BTreeSet::new();
        loop {
            let frame = client.next_frame().await;
            for list in ["items", "changed"] {
                let all = frame[list].as_array().into_iter().flatten();
                keys.extend(all.map(|item| item["key"].as_str().unwrap().to_owned()));
            }
            if keys.len() >= items {
                return frame;
            }
        }
    }

    /// Waits until the first live queue is so.
    pub async fn until(&self, so: impl Fn(&Value) -> bool) {
        for _ in 0..200 {
            let answer: Value = self.get("/v1/live/queues").send().await.unwrap().json().await.unwrap();
            if so(&answer["items"][0]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never came to be so");
    }
}

/// The events of a call.
fn call(n: i64) -> Vec<Envelope> {
    let id = format!("c{n:03}");
    let start = Time::parse("2026-03-02T09:00:00Z").unwrap() + n * 60_000;
    let (queue, agent) = (model::QueueId::new("sales"), model::AgentId::new("101"));
    let caller = Number { token: Some("one".into()), mask: Some("138***00".into()), digits: None };
    let events: Vec<(i64, Event)> = vec![
        (0, Offered { direction: Direction::Inbound, ani: Some(caller), ..Offered::default() }.into()),
        (0, serde_json::from_value::<Queued>(serde_json::json!({ "queue": "sales" })).unwrap().into()),
        (10_000, Dequeued { queue: queue.clone(), cause: QueueExit::Answered, waited_ms: None }.into()),
        (10_000, Answered { agent: Some(agent.clone()), queue: Some(queue), ..Answered::default() }.into()),
        (70_000, Released { agent: Some(agent), by: Party::Caller, talked_ms: None }.into()),
        (70_000, Ended { by: Party::Caller, ..Ended::default() }.into()),
    ];
    let envelope = |(after, event): (i64, Event)| Envelope {
        id: EventId::from_reference(&"pbx".into(), &format!("{id}/{}", event.ty())),
        source: "pbx".into(),
        subject: Subject::Call(id.as_str().into()),
        time: start + after,
        tenant: Some("default".into()),
        observed_time: None,
        cause_id: None,
        seq: None,
        quality: None,
        event,
    };
    events.into_iter().map(envelope).collect()
}

/// A WebSocket client.
pub struct Client(tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>);

impl Client {
    /// Sends a message.
    pub async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("an answer in time").expect("not closed").unwrap()
    }

    /// The next message with this op; others are passed over.
    pub async fn hear(&mut self, op: &str) -> Value {
        loop {
            if let Message::Text(text) = self.next().await {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["op"] == op {
                    return frame;
                }
            }
        }
    }

    /// The next frame of any feed.
    pub async fn next_frame(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.next().await {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame.get("feed").is_some() {
                    return frame;
                }
            }
        }
    }

    /// The close code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(Some(frame)) = self.next().await {
                return frame.code.into();
            }
        }
    }
}
