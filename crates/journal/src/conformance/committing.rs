//! Positions and state, together with entries or not at all.

use bytes::Bytes;

use super::{Fixture, Setup, call, numbered, with_partitions};
use crate::{Commit, Error, Generation, Journal, Position, Stream};

fn at(partition: u32, offset: u64) -> Position {
    Position::new(Stream::Ingest, partition, offset)
}

fn commit(group: &str, positions: Vec<Position>) -> Commit {
    Commit { group: group.to_owned(), positions, ..Commit::default() }
}

fn state(pairs: &[(&'static str, Option<&'static str>)]) -> Vec<(Bytes, Option<Bytes>)> {
    pairs.iter().map(|(key, value)| (Bytes::from(*key), value.map(Bytes::from))).collect()
}

async fn keys(journal: &dyn Journal, group: &str, prefix: &str) -> Vec<String> {
    let found = journal.state(group, prefix.as_bytes()).await.unwrap();
    found
        .iter()
        .map(|(key, value)| format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)))
        .collect()
}

pub async fn a_group_remembers_its_positions(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 2).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::Ingest, 0, 40)).await.unwrap();
    assert_eq!(journal.committed("receiver").await.unwrap(), []);
    journal.append_and_commit(commit("receiver", vec![at(0, 3), at(1, 5)])).await.unwrap();
    journal.append_and_commit(commit("receiver", vec![at(1, 7)])).await.unwrap();
    journal.append_and_commit(commit("other", vec![at(1, 1)])).await.unwrap();
    assert_eq!(journal.committed("receiver").await.unwrap(), [at(0, 3), at(1, 7)]);
    assert_eq!(journal.committed("other").await.unwrap(), [at(1, 1)]);
    journal.append_and_commit(commit("receiver", vec![at(0, 1)])).await.unwrap();
    assert_eq!(journal.committed("receiver").await.unwrap(), [at(0, 1), at(1, 7)], "an owner may go back");
}

pub async fn entries_positions_and_state_change_together(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::Ingest, 0, 2)).await.unwrap();
    let all = Commit {
        entries: vec![call("a", "1"), call("b", "2")],
        state: state(&[("x", Some("1")), ("y", Some("2")), ("x", Some("3"))]),
        ..commit("receiver", vec![at(0, 2)])
    };
    let positions = journal.append_and_commit(all).await.unwrap();
    assert_eq!(positions, [Position::new(Stream::EventsCall, 0, 0), Position::new(Stream::EventsCall, 0, 1)]);
    assert_eq!(journal.committed("receiver").await.unwrap(), [at(0, 2)]);
    assert_eq!(keys(journal, "receiver", "").await, ["x=3", "y=2"], "the later of two wins");
    let removal = Commit { state: state(&[("x", None), ("never", None)]), ..commit("receiver", vec![]) };
    journal.append_and_commit(removal).await.unwrap();
    assert_eq!(keys(journal, "receiver", "").await, ["y=2"]);
}

pub async fn state_is_found_by_prefix_in_order_of_key(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    let pairs = [
        ("b/2", Some("4")),
        ("a", Some("1")),
        ("b/10", Some("3")),
        ("b", Some("2")),
        ("c", Some("5")),
        ("", Some("0")),
    ];
    journal.append_and_commit(Commit { state: state(&pairs), ..commit("g", vec![]) }).await.unwrap();
    journal
        .append_and_commit(Commit { state: state(&[("b/3", Some("other"))]), ..commit("g2", vec![]) })
        .await
        .unwrap();
    assert_eq!(keys(journal, "g", "").await, ["=0", "a=1", "b=2", "b/10=3", "b/2=4", "c=5"]);
    assert_eq!(keys(journal, "g", "b/").await, ["b/10=3", "b/2=4"]);
    assert_eq!(keys(journal, "g2", "b").await, ["b/3=other"], "groups do not see each other's state");
    assert!(keys(journal, "g", "d").await.is_empty() && keys(journal, "g3", "").await.is_empty());
    let bytes = Commit {
        state: vec![(Bytes::from_static(&[0xff, 0x00]), Some(Bytes::from_static(&[0x00, 0xff])))],
        ..commit("bytes", vec![])
    };
    journal.append_and_commit(bytes).await.unwrap();
    let found = journal.state("bytes", &[0xff]).await.unwrap();
    assert_eq!(found, [(Bytes::from_static(&[0xff, 0x00]), Bytes::from_static(&[0x00, 0xff]))]);
}

async fn nothing_was_written(journal: &dyn Journal) {
    assert_eq!(journal.end(Stream::EventsCall, 0).await.unwrap(), 0);
    assert!(journal.committed("receiver").await.unwrap().is_empty() && keys(journal, "receiver", "").await.is_empty());
}

pub async fn a_position_beyond_the_end_is_refused_whole(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::Ingest, 0, 3)).await.unwrap();
    let refused = Commit {
        entries: vec![call("a", "1")],
        state: state(&[("x", Some("1"))]),
        ..commit("receiver", vec![at(0, 4)])
    };
    let error = journal.append_and_commit(refused).await.unwrap_err();
    assert!(matches!(error, Error::Beyond { from: 4, end: 3, .. }), "{error}");
    nothing_was_written(journal).await;
}

pub async fn a_commit_of_a_stranger_is_refused_whole(make: impl AsyncFn(Setup) -> Fixture) {
    let (fixture, _) = with_partitions(make, 1).await;
    let journal = &*fixture.journal;
    journal.append(numbered(Stream::Ingest, 0, 3)).await.unwrap();
    let fence = Some(Generation { member: 77, number: 1 });
    let refused = Commit {
        entries: vec![call("a", "1")],
        state: state(&[("x", Some("1"))]),
        fence,
        ..commit("receiver", vec![at(0, 1)])
    };
    // Beside one that is right, so that both may share a transaction.
    let (right, wrong) =
        tokio::join!(journal.append(numbered(Stream::Records, 0, 1)), journal.append_and_commit(refused));
    right.unwrap();
    assert!(matches!(wrong, Err(Error::Fenced { member: 77, .. })), "{wrong:?}");
    nothing_was_written(journal).await;
}
