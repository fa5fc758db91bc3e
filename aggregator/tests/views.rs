//! What live readers are told.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use aggregator::Config;
use common::{Dice, Running, call, caught_up, event, history, memory, publish, sqlite, until};
use journal::{Journal, Stream};
use model::event::call::{Ended, Offered};
use model::{Subject, Time};
use service::{Clock, Millis};
use stats::live::View;
use stats::{Dim, Field, Row, RowKey};
use store::Reports;
use store::frame::{self, Body, Frame};
use store::reports::RowFilter;

fn config() -> Config {
    Config {
        tick: Millis::new(5),
        checkpoint_every: Millis::new(20),
        restated_after: Millis::seconds(60),
        ..Config::default()
    }
}

async fn read(journal: &Arc<dyn Journal>, stream: Stream) -> Vec<(String, Option<Frame>)> {
    let mut found = Vec::new();
    for number in 0..journal.partitions(stream) {
        let mut at = journal.earliest(stream, number).await.unwrap();
        let end = journal.end(stream, number).await.unwrap();
        while at < end {
            let batch = journal.read(stream, number, at, 1_000, 1 << 24).await.unwrap();
            at = batch.next;
            for record in batch.records {
                let key = String::from_utf8(record.key.to_vec()).unwrap();
                let value = (!record.value.is_empty()).then(|| Frame::from_json(&record.value).unwrap());
                found.push((key, value));
            }
        }
    }
    found
}

/// What a reader of `views` knows: the latest frame of each key.
async fn known(journal: &Arc<dyn Journal>) -> BTreeMap<String, Frame> {
    let mut known: BTreeMap<String, Frame> = BTreeMap::new();
    for (key, frame) in read(journal, Stream::Views).await {
        match frame {
            Some(frame) => {
                assert!(known.get(&key).is_none_or(|old| old.version <= frame.version), "{key} goes back");
                known.insert(key, frame);
            }
            None => drop(known.remove(&key)),
        }
    }
    known
}

async fn rows_stored(store: &Arc<dyn Reports>) -> BTreeMap<RowKey, Row> {
    let mut stored = BTreeMap::new();
    for dim in Dim::ALL {
        stored.extend(store.rows(&RowFilter::new(dim, Time(0), Time(i64::MAX / 2))).await.unwrap());
    }
    stored
}

/// What the latest frames of all rows come to is what the store has.
async fn assert_told_as_stored(journal: &Arc<dyn Journal>, store: &Arc<dyn Reports>) {
    let mut told: BTreeMap<RowKey, Row> = BTreeMap::new();
    for (key, frame) in known(journal).await {
        if let Body::Row(partial) = frame.body {
            assert_eq!(key, frame::key(&frame::row_view(&partial.key), &partial.part.parse().unwrap()));
            told.entry(partial.key).or_default().plus(&partial.row);
        }
    }
    told.retain(|_, row| !row.is_zero());
    let stored = rows_stored(store).await;
    assert!(told == stored, "{} rows told, {} stored", told.len(), stored.len());
}

/// The latest life of an owner that told anything.
async fn epoch(journal: &Arc<dyn Journal>) -> u64 {
    known(journal).await.into_values().map(|frame| frame.version.epoch).max().unwrap_or(0)
}

fn calls_of(known: &BTreeMap<String, Frame>) -> Vec<String> {
    let call = |frame: &Frame| match &frame.body {
        Body::View(View::Call(call)) => Some(call.call.to_string()),
        _ => None,
    };
    known.values().filter_map(call).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_told_live_are_the_rows_that_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(3), sqlite(dir.path(), "store.db").await);
    let running = Running::start("aggregator-1", &journal, &store, config());
    let from = Clock::system().now_ms() - 3_600_000;
    publish(&journal, &history(200, from, 11)).await;
    until("all is folded", async || caught_up(&journal, &store).await).await;
    running.stop().await;
    assert_told_as_stored(&journal, &store).await;
    assert!(rows_stored(&store).await.len() > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_stored_were_told_whenever_their_owner_dies() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(2), sqlite(dir.path(), "store.db").await);
    let slow = Config { tick: Millis::seconds(10), details_every: Millis::seconds(60), ..config() };
    let running = Running::start("aggregator-1", &journal, &store, slow);
    let from = Clock::system().now_ms() - 3_600_000;
    for part in history(60, from, 12).chunks(150) {
        publish(&journal, part).await;
        until("all is folded", async || caught_up(&journal, &store).await).await;
    }
    running.kill().await;
    let running = Running::start("aggregator-2", &journal, &store, config());
    until("the heir has come", async || store.progress().await.unwrap()[0].owner == "aggregator-2").await;
    running.stop().await;
    assert_told_as_stored(&journal, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_only_a_dead_owner_saw_touched_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(1), sqlite(dir.path(), "store.db").await);
    let never_stores = Config { checkpoint_every: Millis::seconds(3_600), ..config() };
    let running = Running::start("aggregator-1", &journal, &store, never_stores);
    let subject = || Subject::Call("c1".into());
    // The call is first heard of in one interval, and began in the one before.
    let border = (Clock::system().now_ms() / 3_600_000 - 2) * 3_600_000;
    publish(&journal, &[event(subject(), border + 1_000, Offered::default())]).await;
    let told = async || {
        let known = known(&journal).await.into_values();
        let row = |frame: Frame| if let Body::Row(partial) = frame.body { Some(partial) } else { None };
        let rows: Vec<_> = known.filter_map(row).filter(|partial| partial.key.dim == Dim::Tenant).collect();
        rows.into_iter().filter(|partial| !partial.row.is_zero()).map(|partial| partial.key.start).collect::<Vec<_>>()
    };
    until("its row is told", async || told().await == [Time(border)]).await;
    running.kill().await;
    assert!(rows_stored(&store).await.is_empty(), "nothing is stored: the heir begins at the beginning");
    publish(&journal, &[event(subject(), border - 1_000, Offered::default())]).await;
    let running = Running::start("aggregator-2", &journal, &store, config());
    until("all is folded", async || caught_up(&journal, &store).await).await;
    running.stop().await;
    assert_told_as_stored(&journal, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_call_is_shown_while_it_lives_and_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(2), sqlite(dir.path(), "store.db").await);
    let now = Clock::system().now_ms();
    let subject = || Subject::Call("c1".into());
    let running = Running::start("aggregator-1", &journal, &store, config());
    publish(&journal, &[event(subject(), now, Offered::default())]).await;
    until("the call is shown", async || calls_of(&known(&journal).await) == ["c1"]).await;
    until("it is stored", async || store.open_calls().await.unwrap().len() == 1).await;
    running.kill().await;
    let first = epoch(&journal).await;
    let running = Running::start("aggregator-1", &journal, &store, config());
    let shown_anew = async || {
        let known = known(&journal).await;
        known.iter().any(|(key, frame)| key.starts_with("call/c1@") && frame.version.epoch > first)
    };
    until("the call is shown by the new owner", shown_anew).await;
    let complete = known(&journal).await;
    let own = complete.iter().filter(|(key, _)| key.starts_with("fold@"));
    assert!(own.clone().count() > 0 && own.clone().all(|(_, f)| matches!(&f.body, Body::Fold(fold) if fold.complete)));
    publish(&journal, &[event(subject(), now + 60_000, Ended::default())]).await;
    until("the call is gone", async || calls_of(&known(&journal).await).is_empty()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_call_and_a_late_event_are_told_as_records() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(1), sqlite(dir.path(), "store.db").await);
    let running = Running::start("aggregator-1", &journal, &store, config());
    let from = Clock::system().now_ms() - 7_200_000;
    let mut dice = Dice::new(3);
    let mut events = call("early", from, &mut dice);
    let late = events.remove(1);
    events.extend(call("later", from + 3_600_000, &mut dice));
    publish(&journal, &events).await;
    until("all is folded", async || caught_up(&journal, &store).await).await;
    let closed = |frames: &[(String, Option<Frame>)]| {
        let calls = frames.iter().filter(|(_, f)| f.as_ref().is_some_and(|f| matches!(f.body, Body::Call(_))));
        calls.map(|(key, _)| key.clone()).collect::<std::collections::BTreeSet<_>>().len()
    };
    until("both calls are told", async || closed(&read(&journal, Stream::Records).await) == 2).await;
    let offered = async || {
        let rows = store.rows(&RowFilter::new(Dim::Queue, Time(from - 60_000), Time(from + 3_600_000))).await.unwrap();
        rows.values().map(|row| row.event.get(Field::Offered)).sum::<i64>()
    };
    let before = (offered().await, read(&journal, Stream::Records).await.len());
    publish(&journal, std::slice::from_ref(&late)).await;
    until("the late event is folded", async || caught_up(&journal, &store).await).await;
    let after = read(&journal, Stream::Records).await;
    assert!(after.len() > before.1);
    let restated: Vec<&Frame> = after[before.1..].iter().filter_map(|(_, f)| f.as_ref()).collect();
    let row = |f: &&&Frame| matches!(&f.body, Body::Row(p) if p.key.start.ms() <= late.time.ms() && late.time.ms() - p.key.start.ms() < 900_000);
    assert!(restated.iter().any(|f| row(&f)), "the row of the late event is told again");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_as_long_as_they_may_be_are_told_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(1), sqlite(dir.path(), "store.db").await);
    let running = Running::start("aggregator-1", &journal, &store, config());
    let name = |c: &str| c.repeat(500);
    let mut events = call("long", Clock::system().now_ms() - 600_000, &mut Dice::new(3));
    for event in &mut events {
        event.source = name("s").into();
        event.tenant = Some(name("t").into());
        if let model::Event::CallQueued(queued) = &mut event.event {
            queued.queue = name("q").into();
        }
    }
    publish(&journal, &events).await;
    until("all is folded", async || caught_up(&journal, &store).await).await;
    let rows = async || {
        let known = known(&journal).await;
        known.into_values().filter(|f| matches!(&f.body, Body::Row(p) if *p.key.id == *name("q"))).count()
    };
    until("the rows of the long queue are told", async || rows().await > 0).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_end_was_lost_is_not_shown_after_a_restart_but_can_still_end() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(1), sqlite(dir.path(), "store.db").await);
    let now = Clock::system().now_ms();
    let three_days = 3 * 86_400_000;
    let running = Running::start("aggregator-1", &journal, &store, config());
    let offered = |id: &str, at| event(Subject::Call(id.into()), at, Offered::default());
    publish(&journal, &[offered("lost", now - three_days), offered("new", now)]).await;
    until("both are stored", async || store.open_calls().await.unwrap().len() == 2).await;
    running.kill().await;
    let first = epoch(&journal).await;
    let running = Running::start("aggregator-1", &journal, &store, config());
    let heir = async || {
        let known = known(&journal).await.into_values().filter(|f| f.version.epoch > first);
        known.filter_map(|f| if let Body::View(View::Call(call)) = f.body { Some(call.call.to_string()) } else { None })
    };
    until("the heir shows the new call", async || heir().await.any(|id| id == "new")).await;
    assert!(!heir().await.any(|id| id == "lost"));
    publish(&journal, &[event(Subject::Call("lost".into()), now - three_days + 60_000, Ended::default())]).await;
    until("the lost call is over", async || store.open_calls().await.unwrap().len() == 1).await;
    let record = store.call(&"lost".into()).await.unwrap().unwrap();
    assert_eq!((record.closed, record.timeline().len()), (true, 2));
    running.stop().await;
}
