//! The embedded journal on files that something else has touched: every damage is named, and nothing wrong is ever read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::embedded::{Embedded, Options};
use journal::{Class, Commit, Delivery, Entry, Error, Journal, Position, Stream, Subscription, Topology};
use proptest::prelude::*;
use service::Clock;

const RECORDS: usize = 400;

fn options(path: &Path) -> Options {
    Options::new(path, Topology::uniform(1), Clock::manual(1_700_000_000_000))
}

fn value(stream: Stream, n: usize) -> String {
    format!("{stream} number {n} {}", "x".repeat(n % 200))
}

fn state_value(n: usize) -> String {
    format!("state number {n} {}", "y".repeat(n))
}

/// A closed journal: records in two streams, views, a position and some state.
async fn sound(directory: &Path) -> PathBuf {
    let path = directory.join("journal.db");
    let journal = Embedded::open(options(&path)).await.unwrap();
    for stream in [Stream::EventsCall, Stream::Views] {
        let entry = |n: usize| Entry::new(stream, format!("key-{n}"), value(stream, n));
        journal.append((0..RECORDS).map(entry).collect()).await.unwrap();
    }
    let state = (0..50).map(|n| (Bytes::from(format!("s{n}")), Some(Bytes::from(state_value(n))))).collect();
    let positions = vec![Position::new(Stream::EventsCall, 0, 123)];
    journal.append_and_commit(Commit { group: "g".into(), positions, state, ..Commit::default() }).await.unwrap();
    journal.close().await.unwrap();
    assert!(!path.with_extension("db-wal").exists(), "a closed journal is one file");
    path
}

fn find(file: &[u8], text: &str) -> usize {
    file.windows(text.len()).position(|window| window == text.as_bytes()).expect("the text is in the file")
}

fn flip(path: &Path, at: usize, bits: u8) {
    let mut file = fs::read(path).unwrap();
    file[at] ^= bits;
    fs::write(path, file).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_in_a_value_is_named_and_the_rest_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = sound(directory.path()).await;
    let at = find(&fs::read(&path).unwrap(), &value(Stream::EventsCall, 77));
    flip(&path, at + 3, 0x10);
    let journal = Embedded::open(options(&path)).await.unwrap();
    let before = journal.read(Stream::EventsCall, 0, 70, 100, 1 << 20).await.unwrap();
    assert_eq!((before.records.len(), before.next), (7, 77), "what is sound before it is delivered");
    let damaged = journal.read(Stream::EventsCall, 0, 77, 100, 1 << 20).await.unwrap_err();
    assert_eq!(damaged.to_string(), "events.call/0@77 is damaged: its checksum does not match");
    assert_eq!((damaged.class(), damaged.code()), (Class::Refused, Some("TG0104")));
    assert_eq!(journal.read(Stream::EventsCall, 0, 78, 1_000, 1 << 20).await.unwrap().records.len(), RECORDS - 78);
    let report = journal.verify().await.unwrap();
    let named: Vec<_> = report.damaged.iter().map(|damage| (damage.stream, damage.from, damage.to)).collect();
    assert_eq!(named, [(Stream::EventsCall, 77, 78)]);
    assert_eq!(report.records, 2 * RECORDS as u64 - 1);
}

#[tokio::test]
async fn a_consumer_stops_at_damage_until_its_owner_seeks_past_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = sound(directory.path()).await;
    let at = find(&fs::read(&path).unwrap(), &value(Stream::EventsCall, 200));
    flip(&path, at, 0x01);
    let journal = Embedded::open(options(&path)).await.unwrap();
    let subscription = Subscription::new("other", "m", [Stream::EventsCall]).poll(Duration::ZERO);
    let mut consumer = journal.subscribe(subscription).await.unwrap();
    let mut read = 0;
    let damaged = loop {
        match consumer.next().await {
            Ok(Delivery::Batch(batch)) => read += batch.records.len(),
            Ok(Delivery::Idle) => panic!("it read over the damage"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(
        matches!(damaged, Error::Damaged { stream: Stream::EventsCall, partition: 0, offset: 200, .. }),
        "{damaged}"
    );
    assert_eq!(read, 200);
    assert!(consumer.next().await.is_err(), "again and again");
    consumer.seek(Position::new(Stream::EventsCall, 0, 201)).await.unwrap();
    let Delivery::Batch(batch) = consumer.next().await.unwrap() else { panic!("the rest") };
    assert_eq!(batch.records[0].offset, 201);
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    fs::write(&text, "not a journal, but long enough to have a header of a hundred bytes. ".repeat(10)).unwrap();
    let refused = Embedded::open(options(&text)).await.err().unwrap();
    assert!(matches!(refused, Error::NotAJournal { .. }), "{refused}");
    let other = directory.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = fs::read(&other).unwrap();
    let refused = Embedded::open(options(&other)).await.err().unwrap();
    assert!(refused.to_string().ends_with("it is a SQLite file of another program"), "{refused}");
    assert_eq!(fs::read(&other).unwrap(), before);
}

#[tokio::test]
async fn another_number_of_partitions_is_refused_and_both_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = sound(directory.path()).await;
    let mut wrong = options(&path);
    wrong.topology = Topology::uniform(1).with(Stream::EventsCall, 8);
    let refused = Embedded::open(wrong).await.err().unwrap();
    let expected = "events.call was created with 1 partitions, and the configuration asks for 8: \
                    set it to 1, or start a new journal";
    assert_eq!(refused.to_string(), expected);
    assert!(Embedded::open(options(&path)).await.is_ok(), "nothing was changed by it");
}

#[tokio::test]
async fn reopening_finds_everything_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = sound(directory.path()).await;
    let journal = Embedded::open(options(&path)).await.unwrap();
    let identity = journal.identity();
    assert!(check_everything(&journal).await.is_empty());
    let next = journal.append(vec![Entry::new(Stream::EventsCall, "k", "v")]).await.unwrap();
    assert_eq!(next[0].offset, RECORDS as u64);
    journal.close().await.unwrap();
    assert_eq!(Embedded::open(options(&path)).await.unwrap().identity(), identity);
}

/// Reads everything, and fails where anything differs from what was written. Answers the errors it met.
async fn check_everything(journal: &Arc<Embedded>) -> Vec<Error> {
    let mut errors = Vec::new();
    for stream in [Stream::EventsCall, Stream::Views] {
        let (mut from, mut met) = (0, 0);
        while from < RECORDS as u64 {
            match journal.read(stream, 0, from, 37, 1 << 20).await {
                Ok(batch) => {
                    for record in &batch.records {
                        let n = usize::try_from(record.offset).unwrap();
                        assert_eq!(
                            (&record.key[..], &record.value[..]),
                            (format!("key-{n}").as_bytes(), value(stream, n).as_bytes())
                        );
                        met += 1;
                    }
                    assert!(batch.next > from);
                    from = batch.next;
                }
                Err(error) => {
                    from = if let Error::Damaged { offset, .. } = &error { offset + 1 } else { RECORDS as u64 };
                    errors.push(error);
                }
            }
        }
        // On a compacted stream a missing record is only found by counting, which `verify` does.
        if met < RECORDS && errors.is_empty() && stream == Stream::Views {
            errors.extend(journal.verify().await.unwrap().faults.into_iter().map(Error::Storage));
        }
        assert!(met == RECORDS || !errors.is_empty(), "{} records of {stream} vanished silently", RECORDS - met);
    }
    match journal.committed("g").await {
        Ok(positions) if positions == [Position::new(Stream::EventsCall, 0, 123)] => {}
        Ok(positions) => assert!(!journal.verify().await.unwrap().is_sound(), "a wrong position: {positions:?}"),
        Err(error) => errors.push(error),
    }
    match journal.state("g", b"").await {
        Ok(state) => {
            for (key, found) in &state {
                let n: usize = String::from_utf8_lossy(&key[1..]).parse().unwrap();
                assert_eq!(&found[..], state_value(n).as_bytes());
            }
            assert!(state.len() == 50 || !journal.verify().await.unwrap().is_sound(), "state vanished silently");
        }
        Err(error) => errors.push(error),
    }
    errors
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Anywhere in the file: either nothing that matters was hit, or an error says so; what is read is what was written.
    #[test]
    fn flipped_bytes_are_never_read_as_something_else(places in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let path = sound(directory.path()).await;
            let mut file = fs::read(&path).unwrap();
            for (place, bits) in places {
                let at = place.index(file.len());
                file[at] ^= bits;
            }
            fs::write(&path, file).unwrap();
            // An error at opening is an answer too.
            if let Ok(journal) = Embedded::open(options(&path)).await {
                check_everything(&journal).await;
                let _ = journal.verify().await;
            }
        });
    }
}
