//! Offsets, keys, order, limits.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;

use super::{Dice, Fixture, Setup, all_of, call, numbered, text, with_partitions};
use crate::{Class, Commit, Entry, Error, Position, Stream};

pub async fn offsets_start_at_zero_and_grow_by_one(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    assert_eq!(journal.end(Stream::EventsCall, 0).await.unwrap(), 0);
    let first = journal.append(vec![call("a", "1"), call("b", "2")]).await.unwrap();
    let second = journal.append(vec![call("c", "3")]).await.unwrap();
    let offsets: Vec<_> = first.iter().chain(&second).map(|position| position.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
    assert_eq!(journal.end(Stream::EventsCall, 0).await.unwrap(), 3);
    assert_eq!(journal.end(Stream::EventsAgent, 0).await.unwrap(), 0, "streams do not share offsets");
}

pub async fn a_key_always_goes_to_the_same_partition(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 8).await;
    let journal = &*fixture.journal;
    let positions = journal.append(numbered(Stream::EventsCall, 0, 100)).await.unwrap();
    for (n, position) in positions.iter().enumerate() {
        assert_eq!(position.partition, journal.partition_of(Stream::EventsCall, format!("key-{n}").as_bytes()));
    }
    let used: std::collections::HashSet<_> = positions.iter().map(|position| position.partition).collect();
    assert_eq!(used.len(), 8, "a hundred keys reach all eight partitions");
    // The same in every implementation and version: xxh3 of the empty key is a published constant.
    assert_eq!(u64::from(journal.partition_of(Stream::EventsCall, b"")), 0x2d06_8005_38d3_94c2 % 8);
}

pub async fn what_is_told_of_one_partition_lies_in_one_and_stays_in_order(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 8).await;
    let journal = &*fixture.journal;
    let told = |view: &str, of: u32| Entry::new(Stream::Views, format!("{view}@events.call/{of}"), view.to_owned());
    let entries = (0..24).flat_map(|of| ["queue/a@b", "row/1", "fold"].map(|view| told(view, of))).collect();
    let positions = journal.append(entries).await.unwrap();
    for of in positions.chunks(3) {
        assert!(of.iter().all(|position| position.partition == of[0].partition), "{of:?}");
        assert!(of.is_sorted_by_key(|position| position.offset), "{of:?}");
    }
    let used: std::collections::HashSet<_> = positions.iter().map(|position| position.partition).collect();
    assert!(used.len() > 4, "those of different ones do not all lie together: {used:?}");
}

pub async fn one_call_keeps_the_order_of_its_entries(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 3).await;
    let journal = &*fixture.journal;
    let entries: Vec<_> = (0..50).map(|n| call(&format!("k{}", n % 5), &n.to_string())).collect();
    let positions = journal.append(entries.clone()).await.unwrap();
    assert_eq!(positions.len(), entries.len());
    for (entry, position) in entries.iter().zip(positions) {
        let Position { stream, partition, offset } = position;
        let found = journal.read(stream, partition, offset, 1, 1 << 20).await.unwrap();
        assert_eq!(
            (&found.records[0].key, &found.records[0].value),
            (&entry.key, &entry.value),
            "positions answer in the order of the entries"
        );
    }
    for key in 0..5 {
        let partition = journal.partition_of(Stream::EventsCall, format!("k{key}").as_bytes());
        let records = all_of(journal, Stream::EventsCall, partition).await;
        let of_key: Vec<_> =
            records.iter().map(text).filter(|(k, _)| *k == format!("k{key}")).map(|(_, v)| v).collect();
        assert_eq!(of_key, (0..10).map(|n| (n * 5 + key).to_string()).collect::<Vec<_>>());
    }
}

/// Generated histories: producers that append batches of several keys at the same time, each key by one producer.
pub async fn concurrent_calls_keep_the_order_of_each_key(make: impl AsyncFn(Setup) -> Fixture) {
    for (seed, partitions) in [(1, 1), (2, 4), (3, 7)] {
        let (fixture, _) = with_partitions(&make, partitions).await;
        let journal = &*fixture.journal;
        let producers = (0..12_u64).map(|producer| async move {
            let mut dice = Dice(seed * 1_000 + producer);
            let mut sent = HashMap::<String, usize>::new();
            for _ in 0..12 {
                let entries = (0..=dice.below(6)).map(|_| {
                    let key = format!("p{producer}-k{}", dice.below(3));
                    let count = sent.entry(key.clone()).or_default();
                    *count += 1;
                    call(&key, &count.to_string())
                });
                journal.append(entries.collect()).await.unwrap();
            }
            sent
        });
        let sent: HashMap<String, usize> = join_all(producers).await.into_iter().flatten().collect();
        let mut seen = HashMap::<String, usize>::new();
        for partition in 0..partitions {
            for record in all_of(journal, Stream::EventsCall, partition).await {
                let (key, value) = text(&record);
                let count = seen.entry(key.clone()).or_default();
                *count += 1;
                assert_eq!(value, count.to_string(), "key {key} of seed {seed}");
            }
        }
        assert_eq!(seen, sent, "seed {seed}: nothing is lost, nothing is there twice");
    }
}

pub async fn concurrent_calls_are_not_interleaved_within_a_partition(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    let calls = (0..20).map(|n| journal.append((0..5).map(|i| call(&format!("{n}.{i}"), &n.to_string())).collect()));
    for positions in join_all(calls).await {
        let offsets: Vec<_> = positions.unwrap().iter().map(|position| position.offset).collect();
        assert_eq!(offsets, (offsets[0]..offsets[0] + 5).collect::<Vec<_>>());
    }
}

pub async fn an_empty_call_is_answered(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    assert_eq!(fixture.journal.append(Vec::new()).await.unwrap(), []);
    assert_eq!(fixture.journal.append_and_commit(Commit::default()).await.unwrap(), []);
}

pub async fn what_is_too_large_is_refused_whole(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    let large_key = Entry::new(Stream::EventsCall, vec![b'k'; (1 << 10) + 1], "v");
    let large_value = Entry::new(Stream::EventsCall, "k", vec![b'v'; (8 << 20) + 1]);
    for large in [large_key, large_value] {
        let refused = journal.append(vec![call("a", "1"), large]).await.unwrap_err();
        assert!(matches!(refused, Error::TooLarge { .. }), "{refused}");
        assert_eq!(refused.class(), Class::Malformed);
    }
    assert_eq!(journal.end(Stream::EventsCall, 0).await.unwrap(), 0);
}

pub async fn a_dropped_append_harms_nobody(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    for n in 0..20_u64 {
        let append = journal.append(vec![call("dropped", &n.to_string())]);
        // Sometimes before, sometimes after it was written.
        let _ = tokio::time::timeout(Duration::from_micros(n * 50), append).await;
    }
    journal.append(vec![call("kept", "1")]).await.unwrap();
    let records = all_of(journal, Stream::EventsCall, 0).await;
    assert_eq!(text(&records[records.len() - 1]), ("kept".to_owned(), "1".to_owned()));
    let dropped: Vec<u64> =
        records.iter().map(text).filter(|(key, _)| key == "dropped").map(|(_, value)| value.parse().unwrap()).collect();
    assert!(dropped.is_sorted_by(|a, b| a < b), "each at most once, in order: {dropped:?}");
}

pub async fn a_closed_journal_says_so(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(vec![call("a", "1")]).await.unwrap();
    journal.close().await.unwrap();
    journal.close().await.unwrap();
    assert!(matches!(journal.append(vec![call("a", "2")]).await, Err(Error::Closed)));
    assert!(matches!(journal.read(Stream::EventsCall, 0, 0, 1, 1).await, Err(Error::Closed)));
    assert!(matches!(journal.wait_past(Stream::EventsCall, 0, 9).await, Err(Error::Closed)));
}
