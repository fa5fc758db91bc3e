//! The loop around every session: durable before acknowledged, gaps named, broken links tried again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter::registry::{Kind, Registry};
use adapter::runtime::{self, Environment, Notice, Settings};
use adapter::{Adapter, Batch, Context, Fault, Known, Session};
use async_trait::async_trait;
use journal::{Journal, Stream, Topology, memory::Memory};
use model::envelope::Parsed;
use model::event::call::Ended;
use model::{Envelope, Event, Fact, Subject, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Problems};
use service::{Clock, Drain, Seeds};

/// What the vendor will do, one entry per `next`; shared by every session of one test.
#[derive(Default)]
struct Script {
    steps: VecDeque<Result<Batch, Fault>>,
    known: Vec<Known>,
    acked: usize,
    seen_at_ack: Vec<u64>,
}

type Shared = Arc<Mutex<Script>>;

type Named = (String, Shared, Arc<dyn Journal>);

// The registry makes plans from config alone, so the script travels by name.
static SCRIPTS: Mutex<Vec<Named>> = Mutex::new(Vec::new());

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Config {
    script: String,
}

impl ConfigFile for Config {}

struct Puppet;

struct Puppeteer(Shared, Arc<dyn Journal>);

#[async_trait]
impl Adapter for Puppet {
    const KIND: &'static str = "puppet";
    type Config = Config;
    type Plan = Config;
    type Session = Puppeteer;

    fn plan(config: Config) -> Result<Config, Problems> {
        Ok(config)
    }

    async fn connect(plan: &Config, context: Context) -> Result<Puppeteer, Fault> {
        let (script, journal) = find(&plan.script);
        script.lock().unwrap().known.push(context.known);
        Ok(Puppeteer(script, journal))
    }
}

fn find(name: &str) -> (Shared, Arc<dyn Journal>) {
    let all = SCRIPTS.lock().unwrap();
    let (_, script, journal) = all.iter().find(|(n, ..)| n == name).unwrap();
    (Arc::clone(script), Arc::clone(journal))
}

#[async_trait]
impl Session for Puppeteer {
    async fn next(&mut self, _max: usize) -> Result<Batch, Fault> {
        let step = self.0.lock().unwrap().steps.pop_front();
        match step {
            Some(step) => step,
            None => std::future::pending().await,
        }
    }

    async fn acked(&mut self) -> Result<(), Fault> {
        let end = self.1.end(Stream::Ingest, self.1.partition_of(Stream::Ingest, b"pbx1")).await.unwrap();
        let mut script = self.0.lock().unwrap();
        script.acked += 1;
        script.seen_at_ack.push(end);
        Ok(())
    }
}

fn said(call: &str, at_ms: i64) -> Batch {
    let fact = Fact::new(Time(at_ms), Subject::Call(call.into()), Ended::default());
    Batch {
        facts: vec![fact],
        state: vec![(format!("call/{call}"), Some("over".into()))],
        seen_until: Some(Time(at_ms)),
        ..Batch::default()
    }
}

struct World {
    journal: Arc<dyn Journal>,
    script: Shared,
    clock: Clock,
    drain: Drain,
    name: String,
}

impl World {
    fn new(name: &str, steps: Vec<Result<Batch, Fault>>) -> World {
        let clock = Clock::manual(1_000_000);
        let journal: Arc<dyn Journal> = Memory::new(Topology::default(), clock.clone());
        let script = Arc::new(Mutex::new(Script { steps: steps.into(), ..Script::default() }));
        SCRIPTS.lock().unwrap().push((name.to_owned(), Arc::clone(&script), Arc::clone(&journal)));
        World { journal, script, clock, drain: Drain::new(), name: name.to_owned() }
    }

    fn start(&self) -> tokio::task::JoinHandle<(Result<runtime::Outcome, runtime::Error>, Vec<Notice>)> {
        let registry = Registry::default().with::<Puppet>();
        let kind: &dyn Kind = registry.kind("puppet").unwrap();
        let planned = kind.plan(&serde_json::json!({ "script": self.name })).unwrap();
        let env = Environment {
            intake: Arc::new(adapter::Ingest(Arc::clone(&self.journal))),
            turns: Some(Arc::clone(&self.journal)),
            clock: self.clock.clone(),
            seeds: Seeds::fixed(7),
            drain: self.drain.clone(),
        };
        let settings = Settings::live("pbx1".into(), "one");
        #[expect(clippy::disallowed_methods, reason = "the test owns this task")]
        tokio::spawn(async move {
            let mut notices = Vec::new();
            let outcome = runtime::run(planned.as_ref(), settings, env, |n| notices.push(n)).await;
            (outcome, notices)
        })
    }

    async fn events(&self) -> Vec<Envelope> {
        let partition = self.journal.partition_of(Stream::Ingest, b"pbx1");
        let batch = self.journal.read(Stream::Ingest, partition, 0, 1_000, usize::MAX).await.unwrap();
        let parse = |value: &[u8]| match Envelope::parse(value).unwrap() {
            Parsed::Known(known) => known,
            Parsed::Unknown(head) => panic!("{}", head.ty),
        };
        batch.records.iter().map(|r| parse(&r.value)).collect()
    }

    async fn settle(&self) {
        self.clock.advance(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_batch_is_acknowledged_only_after_the_journal_has_it() {
    let world = World::new("ack", vec![Ok(said("1", 1_000_010)), Ok(said("2", 1_000_020))]);
    let running = world.start();
    world.settle().await;
    world.drain.start("test over");
    let (outcome, _) = running.await.unwrap();
    assert_eq!(outcome.unwrap().facts, 3, "source.connected and two ended calls");
    let script = world.script.lock().unwrap();
    // source.connected, then one fact each: at every acknowledgement its fact was there.
    assert_eq!((script.acked, script.seen_at_ack.as_slice()), (2, [2, 3].as_slice()));
}

#[tokio::test]
async fn a_broken_link_is_tried_again_and_the_blind_time_is_a_gap() {
    let lost = Fault::Transient("reset by peer".into());
    let world = World::new("gap", vec![Ok(said("1", 1_000_000)), Err(lost), Ok(said("2", 1_010_000))]);
    let running = world.start();
    world.settle().await;
    world.clock.advance(Duration::from_secs(10)).await;
    world.drain.start("test over");
    let (_, notices) = running.await.unwrap();
    assert!(notices.iter().any(|n| matches!(n, Notice::Broken { refused: false, .. })), "{notices:?}");
    let types: Vec<_> = world.events().await.iter().map(|e| e.event.ty()).collect();
    let want = [
        "source.connected.v1",
        "call.ended.v1",
        "source.disconnected.v1",
        "source.connected.v1",
        "source.gap.v1",
        "call.ended.v1",
    ];
    assert_eq!(types[..6], want);
    let gap = world.events().await.into_iter().find_map(|e| match e.event {
        Event::SourceGap(gap) => Some(gap),
        _ => None,
    });
    let gap = gap.unwrap();
    assert_eq!(gap.from, Time(1_000_000), "blind since the vendor was last seen");
    assert!(gap.to > gap.from && gap.to < Time(1_010_000), "{gap:?}");
    let known = &world.script.lock().unwrap().known;
    assert_eq!(
        known[1].state.keys().collect::<Vec<_>>(),
        ["call/1"],
        "the next session knows what the last one stored"
    );
}

#[tokio::test]
async fn a_refusal_waits_the_longest_time_and_a_defect_ends_the_source() {
    let refused = Fault::Refused("wrong secret".into());
    let world = World::new("refused", vec![Err(refused), Err(Fault::Bug("impossible".into()))]);
    let running = world.start();
    world.settle().await;
    world.clock.advance(Duration::from_secs(14)).await;
    assert!(!running.is_finished(), "asked again too soon");
    world.clock.advance(Duration::from_secs(17)).await;
    let (outcome, notices) = running.await.unwrap();
    assert!(outcome.unwrap_err().to_string().contains("impossible"));
    assert!(
        notices.iter().any(
            |n| matches!(n, Notice::Broken { refused: true, retry_in, .. } if *retry_in >= Duration::from_secs(15))
        )
    );
}

#[tokio::test]
async fn a_heartbeat_is_written_only_while_the_vendor_shows_life() {
    let world = World::new("pulse", vec![Ok(Batch { round_trip_ms: Some(3), ..Batch::default() })]);
    let running = world.start();
    world.settle().await;
    world.clock.advance(Duration::from_secs(35)).await;
    world.drain.start("test over");
    running.await.unwrap().0.unwrap();
    let beats = world.events().await.iter().filter(|e| e.event.ty() == "source.heartbeat.v1").count();
    assert_eq!(beats, 1, "one sign of life, one heartbeat");
}
