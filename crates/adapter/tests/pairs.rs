//! Several collectors of one source: one writes, the others hold what they hear, or are not connected; and when it goes another goes on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter::registry::{Live, Planned};
use adapter::runtime::{self, Environment, Settings};
use adapter::{Batch, Context, Fault};
use async_trait::async_trait;
use journal::{Journal, Stream, Topology, memory::Memory};
use model::envelope::Parsed;
use model::event::call::Ended;
use model::{Envelope, Fact, Subject, Time};
use service::{Clock, Drain, Seeds};

/// One end of a vendor that tells every session what it has for it, and then nothing more.
struct End {
    paired: bool,
    says: Mutex<VecDeque<Result<Batch, Fault>>>,
    connected: AtomicUsize,
    acked: AtomicUsize,
}

struct Ear(Arc<End>);

/// A collector's plan: this end.
struct Watch(Arc<End>);

#[async_trait]
impl Planned for Watch {
    fn recording(&self) -> bool {
        false
    }

    fn paired(&self) -> bool {
        self.0.paired
    }

    async fn connect(&self, _: Context) -> Result<Box<dyn Live>, Fault> {
        self.0.connected.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Ear(Arc::clone(&self.0))))
    }
}

#[async_trait]
impl Live for Ear {
    async fn next(&mut self, _: usize) -> Result<Batch, Fault> {
        let next = self.0.says.lock().unwrap().pop_front();
        match next {
            Some(next) => next,
            None => std::future::pending().await,
        }
    }

    async fn acked(&mut self) -> Result<(), Fault> {
        self.0.acked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), Fault> {
        Ok(())
    }
}

fn said(call: &str, at_ms: i64) -> Result<Batch, Fault> {
    let fact = Fact::new(Time(at_ms), Subject::Call(call.into()), Ended::default());
    let state = vec![(format!("call/{call}"), Some("over".into()))];
    Ok(Batch { facts: vec![fact], state, seen_until: Some(Time(at_ms)), ..Batch::default() })
}

/// A journal and a clock, on which collectors run.
struct World {
    journal: Arc<dyn Journal>,
    clock: Clock,
}

/// A collector at work.
struct Collector {
    end: Arc<End>,
    drain: Drain,
    task: tokio::task::JoinHandle<Result<runtime::Outcome, runtime::Error>>,
}

impl World {
    fn new() -> World {
        let clock = Clock::manual(1_000_000);
        World { journal: Memory::new(Topology::default(), clock.clone()), clock }
    }

    async fn collector(&self, name: &str, paired: bool, says: Vec<Result<Batch, Fault>>) -> Collector {
        let says = Mutex::new(says.into());
        let end = Arc::new(End { paired, says, connected: AtomicUsize::new(0), acked: AtomicUsize::new(0) });
        let drain = Drain::new();
        let env = Environment {
            intake: Arc::new(adapter::Ingest(Arc::clone(&self.journal))),
            turns: Some(Arc::clone(&self.journal)),
            clock: self.clock.clone(),
            seeds: Seeds::fixed(7),
            drain: drain.clone(),
        };
        let (settings, watch) = (Settings::live("pbx1".into(), name), Watch(Arc::clone(&end)));
        #[expect(clippy::disallowed_methods, reason = "the test owns this task")]
        let task = tokio::spawn(async move { runtime::run(&watch, settings, env, |_| {}).await });
        self.pass(100).await;
        Collector { end, drain, task }
    }

    /// Lets time go by in small steps, so that everybody sees it.
    async fn pass(&self, ms: u64) {
        for _ in 0..ms.div_ceil(50) {
            self.clock.advance(Duration::from_millis(50)).await;
        }
    }

    /// What was written, in short.
    async fn written(&self) -> Vec<String> {
        let partition = self.journal.partition_of(Stream::Ingest, b"pbx1");
        let batch = self.journal.read(Stream::Ingest, partition, 0, 1_000, usize::MAX).await.unwrap();
        let short = |value: &[u8]| match Envelope::parse(value).unwrap() {
            Parsed::Known(Envelope { subject: Subject::Call(call), .. }) => call.as_str().to_owned(),
            Parsed::Known(known) => known.event.ty().to_owned(),
            Parsed::Unknown(head) => panic!("{}", head.ty),
        };
        batch.records.iter().map(|record| short(&record.value)).collect()
    }
}

const UP: &str = "source.connected.v1";
const DOWN: &str = "source.disconnected.v1";

#[tokio::test]
async fn who_stands_by_goes_on_where_the_other_one_ended_and_nobody_was_blind() {
    let world = World::new();
    let first = world.collector("one", true, vec![said("1", 1_000_000), said("2", 1_010_000)]).await;
    let all = || vec![said("1", 1_000_000), said("2", 1_010_000), said("3", 1_011_000)];
    let second = world.collector("two", true, all()).await;
    world.pass(2_000).await;
    assert_eq!(world.written().await, [UP, "1", "2"], "one writes");
    assert_eq!(second.end.connected.load(Ordering::Relaxed), 1, "the other one hears, too");
    assert_eq!(second.end.acked.load(Ordering::Relaxed), 0, "what only it has heard is not acknowledged");
    first.task.abort();
    world.pass(6_000).await;
    // The first is a margin behind what was written last, the second may have come a moment later: it is repeated.
    assert_eq!(world.written().await, [UP, "1", "2", UP, "2", "3"]);
    assert!(second.end.acked.load(Ordering::Relaxed) > 0);
    second.drain.start("test over");
    assert_eq!(second.task.await.unwrap().unwrap().facts, 3);
}

#[tokio::test]
async fn who_loses_its_link_makes_room_for_who_has_one() {
    let world = World::new();
    let first = world.collector("one", true, vec![said("1", 1_000_000)]).await;
    let second = world.collector("two", true, vec![said("1", 1_000_000), said("2", 1_001_000)]).await;
    first.end.says.lock().unwrap().push_back(Err(Fault::Transient("reset by peer".into())));
    // It is asked again with the next heartbeat.
    world.pass(12_000).await;
    let written = world.written().await;
    let words: Vec<_> = written.iter().filter(|what| !what.starts_with("source.heartbeat")).collect();
    assert_eq!(words, [UP, "1", DOWN, UP, "1", "2"], "the other one goes on, and says that the link is up");
    assert!(first.end.connected.load(Ordering::Relaxed) >= 2, "it listens again, too");
    second.drain.start("test over");
    second.task.await.unwrap().unwrap();
    world.pass(2_000).await;
    first.drain.start("test over");
    first.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn where_two_sessions_are_not_the_same_the_other_one_waits_unconnected() {
    let world = World::new();
    let first = world.collector("one", false, vec![said("1", 1_000_000)]).await;
    let second = world.collector("two", false, vec![said("2", 1_001_000)]).await;
    world.pass(2_000).await;
    assert_eq!(world.written().await, [UP, "1"]);
    assert_eq!(second.end.connected.load(Ordering::Relaxed), 0);
    first.drain.start("it is updated");
    first.task.await.unwrap().unwrap();
    world.pass(2_000).await;
    let written = world.written().await;
    assert_eq!(written[2..], [UP, "source.gap.v1", "2"], "nobody heard what came in between");
    second.task.abort();
}
