//! Several journals over the same topics, as several processes have them: one dies, one wakes up too late, one comes later.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::kafka::Kafka;
use journal::{Commit, Consumer, Delivery, Entry, Error, Journal, Position, Stream, Subscription, Topology};
use service::Clock;
use tokio::time::{Instant, timeout};

use super::{PATIENCE, made, options};

fn subscription(member: &str) -> Subscription {
    Subscription::new("g", member, [Stream::Ingest])
}

/// Calls `next` until the member holds so many partitions.
async fn until_holds(consumer: &mut dyn Consumer, count: usize) {
    let mut held = Vec::new();
    let holds = async {
        while held.len() != count {
            match consumer.next().await.expect("next") {
                Delivery::Assigned(more) => held.extend(more),
                Delivery::Revoked(less) => held.retain(|partition| !less.contains(partition)),
                Delivery::Batch(_) | Delivery::Idle => {}
            }
        }
    };
    let late = timeout(PATIENCE, holds).await.is_err();
    assert!(!late, "holds {held:?}, not {count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_held_goes_to_the_others_and_what_it_says_later_does_not_count() {
    let mut options = options(Topology::uniform(4), Clock::system());
    options.lease = Duration::from_secs(2);
    let _topics = made(&options).await;
    let (dying, heir) = (Kafka::open(options.clone()).await.unwrap(), Kafka::open(options).await.unwrap());
    assert_eq!(dying.identity(), heir.identity(), "one journal, whoever opens it");
    let entries = (0..200).map(|n| Entry::new(Stream::Ingest, format!("s{n}"), n.to_string()));
    dying.append(entries.collect()).await.unwrap();
    let mut stuck = dying.subscribe(subscription("a")).await.unwrap();
    until_holds(&mut *stuck, 4).await;
    let at = |partition| Position::new(Stream::Ingest, partition, 1);
    stuck.commit(vec![at(0)]).await.unwrap();
    let last = stuck.generation();
    // Its process ends without a word; nobody calls, and nothing gives a sign of life.
    dying.close().await.unwrap();
    std::mem::forget(stuck);
    let mut member = heir.subscribe(subscription("b")).await.unwrap();
    let begun = Instant::now();
    until_holds(&mut *member, 4).await;
    eprintln!("taken over after {:?} with a lease of 2 s", begun.elapsed());
    let late = Commit {
        entries: vec![Entry::new(Stream::EventsCall, "late", "1")],
        group: "g".to_owned(),
        positions: vec![at(1)],
        state: vec![(Bytes::from_static(b"k"), Some(Bytes::from_static(b"late")))],
        fence: Some(last),
    };
    let refused = heir.append_and_commit(late).await.unwrap_err();
    assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
    assert_eq!(heir.committed("g").await.unwrap(), [at(0)], "what it committed in its time stays");
    assert!(heir.state("g", b"").await.unwrap().is_empty());
    heir.close().await.unwrap();
}

/// Much is said, so that the books are cut behind a snapshot; who comes later reads the snapshot and goes on from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_after_the_books_were_cut_knows_the_same() {
    let options = options(Topology::uniform(2), Clock::system());
    let _topics = made(&options).await;
    let first = Kafka::open(options.clone()).await.unwrap();
    first.append((0..50).map(|n| Entry::new(Stream::Ingest, format!("s{n}"), "x")).collect()).await.unwrap();
    let mut member = first.subscribe(subscription("a")).await.unwrap();
    until_holds(&mut *member, 2).await;
    // Larger than a part, so that it is cut; other values each time, so that much is superseded.
    let large = |n: u8| {
        Bytes::from((0..5_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 ^ n).collect::<Vec<_>>())
    };
    for n in 0..12_u8 {
        let state = vec![
            (Bytes::from(format!("key/{}", n % 3)), Some(large(n))),
            (Bytes::from_static(b"gone"), (n < 11).then(|| Bytes::from_static(b"there"))),
        ];
        let positions = vec![Position::new(Stream::Ingest, 0, u64::from(n))];
        let fence = Some(member.generation());
        first
            .append_and_commit(Commit { group: "g".to_owned(), positions, state, fence, ..Commit::default() })
            .await
            .unwrap();
    }
    let patience = Instant::now() + PATIENCE;
    while first.books_begin("g").await.unwrap() == 0 {
        assert!(Instant::now() < patience, "nothing of the books was cut");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let second = Kafka::open(options).await.unwrap();
    for journal in [&first, &second] {
        let found = journal.state("g", b"").await.unwrap();
        let whole: Vec<_> = (9..12_u8).map(|n| (Bytes::from(format!("key/{}", n % 3)), large(n))).collect();
        assert!(found == whole, "{:?}", found.iter().map(|(key, value)| (key, value.len())).collect::<Vec<_>>());
        assert_eq!(journal.committed("g").await.unwrap(), [Position::new(Stream::Ingest, 0, 11)]);
    }
    let mut other = second.subscribe(subscription("b")).await.unwrap();
    let shared = async {
        tokio::join!(until_holds(&mut *other, 1), async {
            loop {
                // The first must be called to let go of its share.
                let told = member.next().await.unwrap();
                if let Delivery::Revoked(_) = told {
                    let _ = member.next().await.unwrap();
                    break;
                }
            }
        })
    };
    timeout(PATIENCE, shared).await.expect("the new one gets its share of what the snapshot says");
    second.close().await.unwrap();
    first.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_another_process_is_told_of_what_is_appended() {
    let options = options(Topology::uniform(1), Clock::system());
    let _topics = made(&options).await;
    let (writer, reader) = (Kafka::open(options.clone()).await.unwrap(), Kafka::open(options).await.unwrap());
    let waiting = Arc::clone(&reader);
    let waiting = tokio::spawn(async move { waiting.wait_past(Stream::Control, 0, 4).await });
    let mut consumer = reader.subscribe(Subscription::new("c", "m", [Stream::Control])).await.unwrap();
    for n in 0..5 {
        writer.append(vec![Entry::new(Stream::Control, "t", n.to_string())]).await.unwrap();
    }
    timeout(PATIENCE, waiting).await.expect("told").unwrap().unwrap();
    let mut seen = 0;
    let all = async {
        while seen < 5 {
            if let Delivery::Batch(batch) = consumer.next().await.unwrap() {
                seen += batch.records.len();
            }
        }
    };
    timeout(PATIENCE, all).await.expect("read");
    consumer.close().await.unwrap();
    reader.close().await.unwrap();
    writer.close().await.unwrap();
}
