//! Retention, truncation, compaction, verification.

use std::time::Duration;

use super::{Fixture, Setup, all_of, drain, numbered, subscription, text, values, with_partitions};
use crate::{Commit, Entry, Error, Journal, Position, Retention, Start, Stream};

fn view(key: &str, value: &str) -> Entry {
    Entry::new(Stream::Views, key.to_owned(), value.to_owned())
}

async fn kept(journal: &dyn Journal, stream: Stream) -> Vec<String> {
    all_of(journal, stream, 0).await.iter().map(|record| text(record).1).collect()
}

pub async fn retention_by_count_age_and_size(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, clock) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::Raw, 0, 5_000)).await.unwrap();
    clock.advance(Duration::from_secs(60)).await;
    journal.append(numbered(Stream::Raw, 5_000, 5_010)).await.unwrap();
    journal.append(numbered(Stream::EventsCall, 0, 10)).await.unwrap();
    let none = journal.retain(&[Retention::of(Stream::Raw)]).await.unwrap();
    assert_eq!(none.records, 0, "a policy without limits lets everything stay");
    let by_count =
        journal.retain(&[Retention { max_records: Some(4_500), ..Retention::of(Stream::Raw) }]).await.unwrap();
    assert_eq!((by_count.records, journal.earliest(Stream::Raw, 0).await.unwrap()), (510, 510));
    let by_age = journal.retain(&[Retention { max_age_ms: Some(59_000), ..Retention::of(Stream::Raw) }]).await.unwrap();
    assert_eq!(
        (by_age.records, journal.earliest(Stream::Raw, 0).await.unwrap()),
        (4_490, 5_000),
        "more than one step of maintenance"
    );
    // "key-5000" and "5000": twelve bytes each.
    let by_size = journal.retain(&[Retention { max_bytes: Some(40), ..Retention::of(Stream::Raw) }]).await.unwrap();
    assert_eq!((by_size.records, kept(journal, Stream::Raw).await.len()), (7, 3));
    assert_eq!(kept(journal, Stream::EventsCall).await.len(), 10, "streams without a policy keep everything");
    let all = journal.retain(&[Retention { max_records: Some(0), ..Retention::of(Stream::Raw) }]).await.unwrap();
    assert_eq!((all.records, journal.earliest(Stream::Raw, 0).await.unwrap()), (3, 5_010));
    let next = journal.append(numbered(Stream::Raw, 0, 1)).await.unwrap();
    assert_eq!(next[0].offset, 5_010, "offsets are never used twice");
    assert!(journal.verify().await.unwrap().is_sound());
}

pub async fn what_a_group_has_not_read_yet_stays(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::Ingest, 0, 10)).await.unwrap();
    let at = |group: &str, offset: u64| Commit {
        group: group.to_owned(),
        positions: vec![Position::new(Stream::Ingest, 0, offset)],
        ..Commit::default()
    };
    journal.append_and_commit(at("slow", 4)).await.unwrap();
    journal.append_and_commit(at("quick", 9)).await.unwrap();
    let all = [Retention { max_records: Some(0), ..Retention::of(Stream::Ingest) }];
    assert_eq!(journal.retain(&all).await.unwrap().records, 4, "what all have read");
    assert_eq!(journal.earliest(Stream::Ingest, 0).await.unwrap(), 4);
    journal.append_and_commit(at("slow", 10)).await.unwrap();
    assert_eq!(journal.retain(&all).await.unwrap().records, 5, "up to the quick one, which is now behind");
    assert!(journal.verify().await.unwrap().is_sound());
}

pub async fn a_reader_of_what_is_gone_is_told_where_to_go_on(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::EventsCall, 0, 10)).await.unwrap();
    let first = Position::new(Stream::EventsCall, 0, 2);
    journal.retain(&[Retention { max_records: Some(4), ..Retention::of(Stream::EventsCall) }]).await.unwrap();
    let gone = journal.read(Stream::EventsCall, 0, 5, 10, 1 << 20).await.unwrap_err();
    assert!(matches!(gone, Error::Truncated { from: 5, earliest: 6, .. }), "{gone}");
    // Its owner kept the position elsewhere: the journal knew of no reader.
    let mut consumer = journal.subscribe(subscription("g", "m").start(Start::At(vec![first]))).await.unwrap();
    consumer.next().await.unwrap();
    for _ in 0..2 {
        let gone = consumer.next().await.unwrap_err();
        assert!(matches!(gone, Error::Truncated { from: 2, earliest: 6, .. }), "{gone}: said until the owner decides");
    }
    consumer.seek(Position::new(Stream::EventsCall, 0, 6)).await.unwrap();
    assert_eq!(values(&drain(&mut *consumer).await), ["6", "7", "8", "9"]);
}

pub async fn compaction_keeps_the_latest_of_each_key(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    let rounds = 300;
    for round in 0..rounds {
        journal
            .append((0..20).map(|key| view(&format!("queue-{key}"), &format!("{key}:{round}"))).collect())
            .await
            .unwrap();
    }
    journal.append(vec![view("queue-3", "last")]).await.unwrap();
    let swept = journal.compact(0).await.unwrap();
    let mut expected: Vec<_> = (0..20).filter(|key| *key != 3).map(|key| format!("{key}:{}", rounds - 1)).collect();
    expected.push("last".to_owned());
    if !journal.promises().compacts_at_once {
        assert_eq!(swept.records, 0, "somebody else does it, when they like");
        // However far they are: of each key the latest is there, behind all that it supersedes.
        let mut latest = Vec::<(String, String)>::new();
        for (key, value) in all_of(journal, Stream::Views, 0).await.iter().map(text) {
            latest.retain(|(known, _)| *known != key);
            latest.push((key, value));
        }
        assert_eq!(latest.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), expected);
        assert_eq!(journal.append(vec![view("queue-3", "later")]).await.unwrap()[0].offset, 20 * rounds + 1);
        return;
    }
    assert_eq!(swept.records, 20 * rounds + 1 - 20);
    assert_eq!(kept(journal, Stream::Views).await, expected, "in the order in which they were written");
    let batch = journal.read(Stream::Views, 0, 5, 2, 1 << 20).await.unwrap();
    assert!(
        batch.records.len() == 2 && batch.next > batch.records[1].offset,
        "a read from within a hole goes on behind it"
    );
    assert_eq!(journal.compact(0).await.unwrap().records, 0, "nothing is left to do");
    assert_eq!(journal.append(vec![view("queue-3", "later")]).await.unwrap()[0].offset, 20 * rounds + 1);
    assert!(journal.verify().await.unwrap().is_sound());
}

pub async fn a_tombstone_removes_its_key_and_later_itself(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, clock) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(vec![view("a", "1"), view("b", "1"), view("a", "")]).await.unwrap();
    clock.advance(Duration::from_secs(10)).await;
    journal.compact(60_000).await.unwrap();
    let seen = kept(journal, Stream::Views).await;
    if !journal.promises().compacts_at_once {
        assert!(
            seen.ends_with(&["1".to_owned(), String::new()]),
            "a tombstone is read as what it was written: {seen:?}"
        );
        return;
    }
    assert_eq!(seen, ["1", ""], "readers must have time to see the tombstone");
    clock.advance(Duration::from_secs(60)).await;
    journal.compact(60_000).await.unwrap();
    assert_eq!(kept(journal, Stream::Views).await, ["1"]);
    let end = journal.read(Stream::Views, 0, 2, 10, 1 << 20).await.unwrap();
    assert_eq!((end.records.len(), end.next), (0, 3), "the hole at the end is read over");
}

pub async fn compaction_leaves_other_streams_alone(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    let same = |stream| (0..5).map(move |n| Entry::new(stream, "same", n.to_string()));
    journal.append(Stream::ALL.into_iter().flat_map(same).collect()).await.unwrap();
    let at_once = journal.promises().compacts_at_once;
    assert_eq!(journal.compact(0).await.unwrap().records, if at_once { 4 } else { 0 });
    for stream in Stream::ALL {
        let kept = kept(journal, stream).await;
        match (stream.is_compacted(), at_once) {
            (false, _) => assert_eq!(kept.len(), 5, "{stream}"),
            (true, true) => assert_eq!(kept, ["4"], "{stream}"),
            (true, false) => assert_eq!(kept.last().map(String::as_str), Some("4"), "{stream}"),
        }
    }
}

pub async fn a_sound_journal_is_found_sound(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 3).await;
    let journal = &*fixture.journal;
    assert!(journal.verify().await.unwrap().is_sound(), "an empty one too");
    journal.append(numbered(Stream::EventsCall, 0, 100)).await.unwrap();
    let state = vec![("k".into(), Some("v".into()))];
    journal.append_and_commit(Commit { group: "g".to_owned(), state, ..Commit::default() }).await.unwrap();
    let report = journal.verify().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    // "key-7" and "7": six bytes; eight for the ninety with two digits.
    assert_eq!((report.records, report.bytes), (100, 10 * 6 + 90 * 8));
}
