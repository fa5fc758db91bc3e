//! Three brokers, of which one after the other is killed and comes back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use journal::kafka::{Kafka, Options, topics};
use journal::{Class, Commit, Delivery, Entry, Journal, Stream, Subscription, Topology};
use service::Clock;
use tidegate_tests::broker::Brokers;
use tokio::time::{Instant, sleep};

use super::{PATIENCE, all_of};

/// What a producer knows.
#[derive(Default)]
struct Ledger {
    acknowledged: AtomicU64,
    /// Calls that had to be made again, because nobody knew.
    repeated: AtomicU64,
    over: AtomicBool,
}

/// Appends numbers in calls of ten until it is over; what was not acknowledged is appended again.
async fn produce(journal: Arc<Kafka>, ledger: Arc<Ledger>) -> Duration {
    let (mut number, mut longest) = (0_u64, Duration::ZERO);
    while !ledger.over.load(Ordering::SeqCst) {
        let entries =
            |from: u64| (from..from + 10).map(|n| Entry::new(Stream::Ingest, format!("s{}", n % 7), n.to_string()));
        let begun = Instant::now();
        while let Err(error) = journal.append(entries(number).collect()).await {
            assert_eq!(error.class(), Class::Transient, "{error}");
            ledger.repeated.fetch_add(1, Ordering::SeqCst);
        }
        longest = longest.max(begun.elapsed());
        number += 10;
        ledger.acknowledged.store(number, Ordering::SeqCst);
        sleep(Duration::from_millis(5)).await;
    }
    longest
}

/// Reads, and keeps the sum of what it read in its state, together with its position.
async fn consume(journal: Arc<Kafka>, ledger: Arc<Ledger>) -> u64 {
    let mut consumer = journal.subscribe(Subscription::new("sum", "m", [Stream::Ingest])).await.expect("joined");
    let mut counts: HashMap<u32, u64> = HashMap::new();
    loop {
        let batch = match consumer.next().await {
            Ok(Delivery::Batch(batch)) => batch,
            Ok(Delivery::Idle) if ledger.over.load(Ordering::SeqCst) => break,
            Ok(_) => continue,
            Err(error) => {
                assert_eq!(error.class(), Class::Transient, "{error}");
                continue;
            }
        };
        let count = counts.get(&batch.partition).copied().unwrap_or_default() + batch.records.len() as u64;
        counts.insert(batch.partition, count);
        let commit = Commit {
            group: "sum".to_owned(),
            positions: vec![batch.position()],
            state: vec![(format!("count/{}", batch.partition).into(), Some(count.to_string().into()))],
            fence: Some(consumer.generation()),
            ..Commit::default()
        };
        // The same again changes nothing.
        while let Err(error) = journal.append_and_commit(commit.clone()).await {
            assert_eq!(error.class(), Class::Transient, "{error}");
            assert!(!matches!(error, journal::Error::Fenced { .. }), "nobody else is there: {error}");
        }
    }
    counts.values().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn killed_brokers_lose_nothing_and_double_nothing() {
    let brokers = Arc::new(Brokers::start(3, false).expect("three brokers"));
    let mut options = Options::new(brokers.servers().join(","), Topology::uniform(3), Clock::system());
    options.prefix = "k.".to_owned();
    options.timeout = Duration::from_secs(60);
    options.lease = Duration::from_secs(3);
    topics::create(&options, None).await.expect("topics in three copies");
    assert_eq!(topics::check(&options).await.unwrap(), topics::Differences::default());
    let journal = Kafka::open(options).await.unwrap();
    let ledger = Arc::new(Ledger::default());
    let producing = tokio::spawn(produce(Arc::clone(&journal), Arc::clone(&ledger)));
    let consuming = tokio::spawn(consume(Arc::clone(&journal), Arc::clone(&ledger)));
    for node in [1, 2] {
        let before = ledger.acknowledged.load(Ordering::SeqCst);
        let (killing, begun) = (Arc::clone(&brokers), Instant::now());
        tokio::task::spawn_blocking(move || killing.kill(node)).await.unwrap().unwrap();
        // Two of three are enough.
        while ledger.acknowledged.load(Ordering::SeqCst) < before + 200 {
            assert!(begun.elapsed() < PATIENCE, "nothing goes on without broker {node}");
            sleep(Duration::from_millis(50)).await;
        }
        eprintln!("without broker {node} it went on {:?} after the kill", begun.elapsed());
        let starting = Arc::clone(&brokers);
        tokio::task::spawn_blocking(move || starting.up()).await.unwrap().unwrap();
        // In sync again before the next one goes.
        sleep(Duration::from_secs(6)).await;
    }
    ledger.over.store(true, Ordering::SeqCst);
    let longest = producing.await.unwrap();
    let consumed = consuming.await.unwrap();
    let mut there = Vec::new();
    for partition in 0..3 {
        there.extend(all_of(&*journal, Stream::Ingest, partition).await.into_iter().map(|(_, value)| value));
    }
    let distinct: HashSet<u64> = there.iter().map(|value| value.parse().unwrap()).collect();
    let acknowledged = ledger.acknowledged.load(Ordering::SeqCst);
    let repeated = ledger.repeated.load(Ordering::SeqCst);
    eprintln!("{acknowledged} acknowledged, {repeated} calls repeated, the longest wait {longest:?}");
    assert!((0..acknowledged).all(|n| distinct.contains(&n)), "something acknowledged is not there");
    let doubled = there.len() as u64 - distinct.len() as u64;
    assert!(doubled <= repeated * 10, "{doubled} are there twice, after {repeated} repeated calls of ten");
    assert_eq!(consumed, there.len() as u64, "each record was delivered once");
    let kept = journal.state("sum", b"count/").await.unwrap();
    let kept: u64 = kept.iter().map(|(_, value)| String::from_utf8_lossy(value).parse::<u64>().unwrap()).sum();
    assert_eq!(kept, consumed, "and the state says so");
    journal.close().await.unwrap();
}
