//! The journal over a real Apache Kafka: the conformance suite of every journal, and what is Kafka's own. One broker serves all tests of
//! this file; each has topics of its own.
#![allow(clippy::disallowed_methods, reason = "these tests run a real broker and real processes in real time")]

mod brokers;
mod members;
#[path = "../collector_pairs/pair.rs"]
mod pair;
mod pairs;
mod product;
mod topics;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use journal::conformance::{Fixture, Setup};
use journal::kafka::{Kafka, Options};
use journal::{Journal, Stream, Topology};
use service::Clock;
use tidegate_tests::broker::Brokers;

/// How long anything may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(90);

/// Options with a prefix that no other test has.
fn options(topology: Topology, clock: Clock) -> Options {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut options = Options::new(Brokers::shared().servers().join(","), topology, clock);
    options.prefix = format!("t{}.", COUNT.fetch_add(1, Ordering::Relaxed));
    options
}

/// Removes a journal's topics when its test is over: a broker with thousands of partitions is slow.
struct Topics(Options);

impl Drop for Topics {
    fn drop(&mut self) {
        let options = self.0.clone();
        let remove = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // What stays goes with the broker.
            runtime.map(|runtime| runtime.block_on(journal::kafka::topics::remove(&options)))
        };
        let _ = std::thread::spawn(remove).join();
    }
}

/// Makes the topics; they are there for as long as what is answered.
async fn made(options: &Options) -> Topics {
    journal::kafka::topics::create(options, Some(1)).await.expect("the topics are made");
    Topics(options.clone())
}

async fn on_kafka(setup: Setup) -> Fixture {
    let mut options = options(setup.topology, setup.clock);
    options.lease = setup.lease;
    options.max_poll = setup.lease;
    let topics = made(&options).await;
    let journal = Kafka::open(options).await.expect("a new journal");
    Fixture { journal, keep: Box::new(topics) }
}

journal::conformance!(on_kafka);

/// Everything in a partition, as text.
async fn all_of(journal: &dyn Journal, stream: Stream, partition: u32) -> Vec<(String, String)> {
    let mut from = journal.earliest(stream, partition).await.expect("the earliest");
    let end = journal.end(stream, partition).await.expect("the end");
    let mut found = Vec::new();
    while from < end {
        let batch = journal.read(stream, partition, from, 10_000, 64 << 20).await.expect("a batch");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        found.extend(batch.records.iter().map(|record| (text(&record.key), text(&record.value))));
        assert!(batch.next > from, "a read before the end moves on");
        from = batch.next;
    }
    found
}
