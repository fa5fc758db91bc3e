//! Bytes, limits, borders, waiting.

use std::time::Duration;

use super::{Fixture, START_MS, Setup, all_of, call, numbered, text, with_partitions};
use crate::{Class, Entry, Error, Stream};

pub async fn every_byte_comes_back(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    let contents: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b"plain".to_vec(), b"value".to_vec()),
        (b"".to_vec(), b"an empty key".to_vec()),
        (b"an empty value".to_vec(), b"".to_vec()),
        (vec![0, 255, 10, 13, 0], (0..=255).collect()),
        (vec![b'k'; 1 << 10], vec![b'v'; 8 << 20]),
        ("名".into(), "技能组".into()),
    ];
    let entries = contents.iter().map(|(key, value)| Entry::new(Stream::Records, key.clone(), value.clone()));
    journal.append(entries.collect()).await.unwrap();
    let records = all_of(journal, Stream::Records, 0).await;
    assert_eq!(records.len(), contents.len());
    for (record, (key, value)) in records.iter().zip(&contents) {
        assert!(record.key == key && record.value == value, "record {} differs", record.offset);
    }
}

pub async fn a_batch_keeps_to_its_limits(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    let entries = (0..10).map(|n| Entry::new(Stream::Ingest, "k", vec![n; 99]));
    journal.append(entries.collect()).await.unwrap();
    let by_count = journal.read(Stream::Ingest, 0, 2, 3, 1 << 20).await.unwrap();
    assert_eq!(by_count.records.iter().map(|record| record.offset).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!((by_count.next, by_count.position().offset), (5, 5));
    let by_bytes = journal.read(Stream::Ingest, 0, 0, 100, 250).await.unwrap();
    assert_eq!((by_bytes.records.len(), by_bytes.next), (2, 2), "100 bytes each");
    let alone = journal.read(Stream::Ingest, 0, 0, 100, 1).await.unwrap();
    assert_eq!((alone.records.len(), alone.next), (1, 1), "a record over the limit comes alone");
    let rest = journal.read(Stream::Ingest, 0, 8, 100, 1 << 20).await.unwrap();
    assert_eq!((rest.records.len(), rest.next), (2, 10));
}

pub async fn the_end_is_empty_and_beyond_it_is_an_error(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 3)).await.unwrap();
    let empty = journal.read(Stream::EventsCall, 0, 3, 10, 1 << 20).await.unwrap();
    assert_eq!((empty.records.len(), empty.next), (0, 3));
    let asked = [(Stream::Views, 0), (Stream::EventsCall, 0)];
    assert_eq!(journal.ends(&asked).await.unwrap(), [0, 3], "in the order asked");
    let beyond = journal.read(Stream::EventsCall, 0, 4, 10, 1 << 20).await.unwrap_err();
    assert!(matches!(beyond, Error::Beyond { from: 4, end: 3, .. }), "{beyond}");
    assert_eq!(beyond.to_string(), "events.call/0 ends at 3: there is no offset 4");
    assert_eq!(beyond.class(), Class::Refused);
}

pub async fn a_missing_partition_is_named(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 2).await;
    let journal = &*fixture.journal;
    assert_eq!(journal.partitions(Stream::EventsCall), 2);
    let missing = journal.read(Stream::EventsCall, 2, 0, 1, 1).await.unwrap_err();
    assert_eq!(missing.to_string(), "events.call has 2 partitions: there is no partition 2");
    assert!(journal.end(Stream::EventsCall, 9).await.is_err());
    assert!(journal.wait_past(Stream::EventsCall, 9, 0).await.is_err());
}

pub async fn a_wait_ends_when_the_record_is_there(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    let early = tokio::time::timeout(Duration::from_millis(30), journal.wait_past(Stream::EventsCall, 0, 0)).await;
    assert!(early.is_err(), "there is nothing yet");
    let (waited, appended) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(60), journal.wait_past(Stream::EventsCall, 0, 1)),
        async {
            journal.append(vec![call("a", "0")]).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            journal.append(vec![call("a", "1")]).await
        }
    );
    appended.unwrap();
    waited.expect("the wait ends").unwrap();
    let found = journal.read(Stream::EventsCall, 0, 1, 1, 100).await.unwrap();
    assert_eq!(text(&found.records[0]).1, "1", "what was waited for can be read");
    tokio::time::timeout(Duration::from_secs(60), journal.wait_past(Stream::EventsCall, 0, 0))
        .await
        .expect("it is there already")
        .unwrap();
}

pub async fn records_carry_the_time_at_which_they_were_taken(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, clock) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(vec![call("a", "0")]).await.unwrap();
    clock.advance(Duration::from_millis(1_500)).await;
    journal.append(vec![call("a", "1")]).await.unwrap();
    let times: Vec<_> =
        all_of(journal, Stream::EventsCall, 0).await.iter().map(|record| record.recorded_at_ms).collect();
    assert_eq!(times, [START_MS, START_MS + 1_500]);
}
