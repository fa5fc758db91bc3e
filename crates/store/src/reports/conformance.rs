//! What every implementation of [`Reports`] must pass: one line in its own tests, `conformance::run(async || …).await`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::event::call::{Answered, Dequeued, Ended, Offered, QueueExit, Queued};
use model::{CallId, Envelope, Event, EventId, Number, Subject, TenantId, Time};
use stats::call::Record;
use stats::{Dim, Field, Row};

use super::{
    BLOCK_MS, Block, BlockKey, CallFilter, Change, Held, Kind, PAGE_MAX, Reports, Retention, RowFilter, State,
    StoredCall,
};
use crate::{Error, Part};

const JOURNAL: &str = "journal-1";
const NOON: i64 = 12 * BLOCK_MS;

/// Runs the whole suite; `make` gives an empty store each time.
///
/// # Panics
/// When the implementation breaks the contract.
pub async fn run<R: Reports>(make: impl AsyncFn() -> R) {
    a_checkpoint_is_what_is_resumed(&make().await).await;
    a_former_owner_is_refused_whole(&make().await).await;
    another_journal_is_refused(&make().await).await;
    rows_are_summed_over_partitions_and_cut_to_the_range(&make().await).await;
    a_block_is_replaced_whole(&make().await).await;
    records_are_found_by_what_happened_in_them(&make().await).await;
    pages_follow_each_other_without_gap_or_repetition(&make().await).await;
    two_writers_at_once_lose_nothing(&make().await).await;
    a_sweep_removes_only_what_is_old(&make().await).await;
    a_wipe_refuses_whoever_was_folding(&make().await).await;
    remarks_are_kept(&make().await).await;
}

fn part(number: u32) -> Part {
    Part::new("events.call", number)
}

async fn take<R: Reports>(store: &R, number: u32) -> Held {
    store.take("tester", JOURNAL, &[part(number)]).await.expect("a partition can be taken").remove(0).held
}

fn change(held: &Held, next: u64) -> Change {
    Change { held: held.clone(), next, calls: Vec::new(), blocks: Vec::new(), states: Vec::new() }
}

fn event(call: &str, at: i64, event: impl Into<Event>) -> Envelope {
    let event = event.into();
    Envelope {
        id: EventId::new(format!("{call}-{at}-{}", event.ty())),
        source: "pbx1".into(),
        subject: Subject::Call(call.into()),
        time: Time(at),
        tenant: Some("bank".into()),
        observed_time: None,
        cause_id: None,
        seq: None,
        quality: None,
        event,
    }
}

/// A call that is offered at `at`, queued, and (when `agent` is given) answered and ended.
fn record(id: &str, at: i64, queue: &str, agent: Option<&str>) -> Record {
    let ani = Number { token: Some(format!("token-{id}")), ..Number::default() };
    let mut record = Record::new(id.into(), "pbx1".into(), "bank".into());
    let mut tell = |after: i64, what: Event| {
        record.apply(event(id, at + after, what));
    };
    tell(0, Offered { ani: Some(ani), ..Offered::default() }.into());
    tell(1, event_queued(queue));
    if let Some(agent) = agent {
        tell(5_000, Dequeued { queue: queue.into(), cause: QueueExit::Answered, waited_ms: None }.into());
        tell(5_000, Answered { agent: Some(agent.into()), queue: Some(queue.into()), ..Answered::default() }.into());
        tell(60_000, Ended::default().into());
    }
    record
}

fn call(id: &str, at: i64, queue: &str, agent: Option<&str>) -> StoredCall {
    StoredCall::of(&record(id, at, queue, agent))
}

fn event_queued(queue: &str) -> Event {
    serde_json::from_value::<Queued>(serde_json::json!({ "queue": queue })).expect("a queue is enough").into()
}

fn row(offered: i64) -> Row {
    let mut row = Row::default();
    row.event.add(Field::Offered, offered);
    row
}

fn key(id: &str, hour: i64) -> BlockKey {
    BlockKey { dim: Dim::Queue, hour: Time(hour), tenant: "bank".into(), source: "pbx1".into(), id: id.into() }
}

fn block(id: &str, hour: i64, rows: &[(i64, i64)]) -> Arc<Block> {
    let rows = rows.iter().map(|(minute, offered)| (Time(hour + minute * 60_000), row(*offered))).collect();
    Arc::new(Block { key: key(id, hour), version: 7, rows })
}

async fn offered<R: Reports>(store: &R, filter: &RowFilter) -> BTreeMap<(String, i64), i64> {
    let rows = store.rows(filter).await.expect("rows are found");
    rows.iter().map(|(key, row)| ((key.id.to_string(), key.start.ms()), row.event.get(Field::Offered))).collect()
}

async fn a_checkpoint_is_what_is_resumed<R: Reports>(store: &R) {
    assert_eq!(store.take("tester", JOURNAL, &[part(0)]).await.unwrap()[0].next, None, "nothing was folded yet");
    assert_eq!(store.span().await.unwrap(), None);
    let held = take(store, 0).await;
    let (open, over) = (record("open", NOON, "sales", None), record("over", NOON, "sales", Some("101")));
    let state =
        |id: &str, body: Option<&[u8]>| State { kind: Kind::Agent, id: id.to_owned(), body: body.map(Into::into) };
    let first = Change {
        calls: vec![StoredCall::of(&open), StoredCall::of(&over)],
        blocks: vec![block("sales", NOON, &[(0, 2)])],
        states: vec![state("101", Some(b"ready")), state("102", Some(b"ready"))],
        ..change(&held, 10)
    };
    store.checkpoint(&[first]).await.unwrap();
    let second = Change { states: vec![state("101", Some(b"talking")), state("102", None)], ..change(&held, 12) };
    store.checkpoint(&[second]).await.unwrap();

    let taken = store.take("heir", JOURNAL, &[part(0), part(1)]).await.unwrap();
    assert_eq!((taken[0].next, taken[1].next), (Some(12), None));
    assert!(taken[0].held.fence > held.fence);
    let resumed = store.resume(&part(0)).await.unwrap();
    assert_eq!(resumed.open_calls, std::slice::from_ref(&open));
    assert_eq!(resumed.states, [state("101", Some(b"talking"))]);
    assert_eq!(resumed.newest_hour, Some(Time(NOON)));
    assert_eq!(store.span().await.unwrap(), Some((Time(NOON), Time(NOON + BLOCK_MS))));
    let other = store.resume(&part(1)).await.unwrap();
    assert!(other.open_calls.is_empty() && other.states.is_empty() && other.newest_hour.is_none());

    let ids = ["over", "open", "never"].map(CallId::from);
    assert_eq!(store.calls_by_id(&ids).await.unwrap().len(), 2);
    assert_eq!(store.call(&ids[0]).await.unwrap().as_ref(), Some(&over));
    assert_eq!(store.call(&ids[2]).await.unwrap(), None);
    assert_eq!(store.open_calls().await.unwrap(), std::slice::from_ref(&open));
    assert_eq!(store.states(Kind::Agent).await.unwrap().len(), 1);
    assert!(store.states(Kind::Source).await.unwrap().is_empty());
    let found = store.blocks_by_key(&part(0), &[key("sales", NOON), key("sales", 0)]).await.unwrap();
    assert_eq!(found, [(*block("sales", NOON, &[(0, 2)])).clone()]);
    assert!(store.blocks_by_key(&part(1), &[key("sales", NOON)]).await.unwrap().is_empty());
    let progress = store.progress().await.unwrap();
    assert_eq!((progress[0].next, progress[0].owner.as_str()), (Some(12), "heir"));
}

async fn a_former_owner_is_refused_whole<R: Reports>(store: &R) {
    let (ghost, other) = (take(store, 0).await, take(store, 1).await);
    store.checkpoint(&[change(&ghost, 5)]).await.unwrap();
    let heir = take(store, 0).await;
    let late = Change { blocks: vec![block("sales", NOON, &[(0, 1)])], ..change(&other, 9) };
    let refused = store.checkpoint(&[late, change(&ghost, 6)]).await;
    assert!(matches!(&refused, Err(Error::Fenced { part: p, .. }) if *p == part(0)), "{refused:?}");
    let progress = store.progress().await.unwrap();
    assert_eq!((progress[0].next, progress[1].next), (Some(5), None), "nothing of the refused checkpoint is written");
    assert!(store.rows(&RowFilter::new(Dim::Queue, Time(0), Time(2 * NOON))).await.unwrap().is_empty());
    store.checkpoint(&[change(&heir, 6), change(&other, 9)]).await.unwrap();
    let never = Held { part: part(7), fence: 1 };
    assert!(matches!(store.checkpoint(&[change(&never, 1)]).await, Err(Error::Fenced { .. })));
}

async fn another_journal_is_refused<R: Reports>(store: &R) {
    take(store, 0).await;
    let refused = store.take("tester", "journal-2", &[part(0)]).await;
    assert!(matches!(refused, Err(Error::Foreign { .. })), "{refused:?}");
}

async fn rows_are_summed_over_partitions_and_cut_to_the_range<R: Reports>(store: &R) {
    let (a, b) = (take(store, 0).await, take(store, 1).await);
    let one =
        Change { blocks: vec![block("sales", NOON, &[(0, 2), (1, 3)]), block("it", NOON, &[(0, 1)])], ..change(&a, 1) };
    let two = Change {
        blocks: vec![block("sales", NOON, &[(1, 4), (2, 5)]), block("it", NOON, &[(0, -1)])],
        ..change(&b, 1)
    };
    store.checkpoint(&[one, two]).await.unwrap();
    let minute = |n: i64| Time(NOON + n * 60_000);
    let filter = RowFilter { ids: vec!["sales".to_owned()], ..RowFilter::new(Dim::Queue, minute(0), minute(60)) };
    let at = |n: i64| ("sales".to_owned(), minute(n).ms());
    assert_eq!(offered(store, &filter).await, BTreeMap::from([(at(0), 2), (at(1), 7), (at(2), 5)]));
    let cut = RowFilter { from: minute(1), to: minute(2), ..filter.clone() };
    assert_eq!(offered(store, &cut).await, BTreeMap::from([(at(1), 7)]));
    let all = RowFilter { ids: Vec::new(), ..filter.clone() };
    assert_eq!(offered(store, &all).await.len(), 3, "rows that come to nothing are no rows");
    for nothing in [
        RowFilter { dim: Dim::Agent, ..filter.clone() },
        RowFilter { tenant: Some(TenantId::new("shop")), ..filter.clone() },
        RowFilter { source: Some("pbx2".into()), ..filter.clone() },
    ] {
        assert!(offered(store, &nothing).await.is_empty());
    }
    assert_eq!(store.blocks_in(&cut).await.unwrap().len(), 2, "the parts, each by itself");
}

async fn a_block_is_replaced_whole<R: Reports>(store: &R) {
    let held = take(store, 0).await;
    for rows in [&[(0, 2), (1, 3)][..], &[(1, 9)][..]] {
        let next = Change { blocks: vec![block("sales", NOON, rows)], ..change(&held, 1) };
        store.checkpoint(&[next]).await.unwrap();
    }
    let rows = offered(store, &RowFilter::new(Dim::Queue, Time(NOON), Time(NOON + BLOCK_MS))).await;
    assert_eq!(rows, BTreeMap::from([(("sales".to_owned(), NOON + 60_000), 9)]));
}

async fn listed<R: Reports>(store: &R, filter: CallFilter) -> Vec<String> {
    let page = store.calls(&filter, None, 100).await.expect("a page is found");
    page.calls.iter().map(|call| call.call.to_string()).collect()
}

async fn records_are_found_by_what_happened_in_them<R: Reports>(store: &R) {
    let held = take(store, 0).await;
    let calls = vec![
        call("c1", NOON, "sales", Some("101")),
        call("c2", NOON + 1, "Sales", Some("1012")),
        call("c3", NOON + 2, "sales%", None),
    ];
    store.checkpoint(&[Change { calls, ..change(&held, 1) }]).await.unwrap();
    let all = CallFilter::new(Time(NOON), Time(NOON + 3));
    assert_eq!(listed(store, all.clone()).await, ["c1", "c2", "c3"]);
    assert_eq!(listed(store, CallFilter { newest_first: true, ..all.clone() }).await, ["c3", "c2", "c1"]);
    assert_eq!(listed(store, CallFilter::new(Time(NOON + 1), Time(NOON + 2))).await, ["c2"]);
    let cases = [
        (CallFilter { queue: Some("sales".into()), ..all.clone() }, vec!["c1"]),
        (CallFilter { queue: Some("sales%".into()), ..all.clone() }, vec!["c3"]),
        (CallFilter { agent: Some("101".into()), ..all.clone() }, vec!["c1"]),
        (CallFilter { cause: Some("answered".to_owned()), ..all.clone() }, vec!["c1", "c2"]),
        (CallFilter { closed: Some(false), ..all.clone() }, vec!["c3"]),
        (CallFilter { caller: Some("token-c2".to_owned()), ..all.clone() }, vec!["c2"]),
        (CallFilter { direction: Some("outbound".to_owned()), ..all.clone() }, vec![]),
        (CallFilter { tenant: Some("shop".into()), ..all.clone() }, vec![]),
        (CallFilter { source: Some("pbx1".into()), ..all.clone() }, vec!["c1", "c2", "c3"]),
    ];
    for (filter, want) in cases {
        assert_eq!(listed(store, filter.clone()).await, want, "{filter:?}");
    }
}

async fn pages_follow_each_other_without_gap_or_repetition<R: Reports>(store: &R) {
    let held = take(store, 0).await;
    // Several calls of one millisecond, so that the id must break the tie.
    let calls = (0..7).map(|n| call(&format!("c{n}"), NOON + n / 3, "sales", None)).collect();
    store.checkpoint(&[Change { calls, ..change(&held, 1) }]).await.unwrap();
    for newest_first in [false, true] {
        let filter = CallFilter { newest_first, ..CallFilter::new(Time(NOON - 5), Time(NOON + 100)) };
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.calls(&filter, cursor.as_ref(), 2).await.unwrap();
            seen.extend(page.calls.iter().map(|call| call.call.to_string()).filter(|id| id.starts_with('c')));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
            // Calls that come to both ends of the listing meanwhile move nothing.
            let late = vec![call("before", NOON - 5, "sales", None), call("z-after", NOON + 50, "sales", None)];
            store.checkpoint(&[Change { calls: late, ..change(&held, 1) }]).await.unwrap();
        }
        let mut want: Vec<String> = (0..7).map(|n| format!("c{n}")).collect();
        if newest_first {
            want.reverse();
        }
        assert_eq!(seen, want, "newest first: {newest_first}");
    }
    let refused = store.calls(&CallFilter::new(Time(0), Time(1)), None, PAGE_MAX + 1).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
}

async fn two_writers_at_once_lose_nothing<R: Reports>(store: &R) {
    let (a, b) = (take(store, 0).await, take(store, 1).await);
    let write = async |held: &Held| {
        for n in 0..20 {
            let id = format!("{}-{n}", held.part.number);
            let calls = vec![call(&id, NOON + n, "sales", None)];
            store.checkpoint(&[Change { calls, ..change(held, n.unsigned_abs() + 1) }]).await.unwrap();
        }
    };
    futures::join!(write(&a), write(&b));
    assert_eq!(store.open_calls().await.unwrap().len(), 40);
    let progress = store.progress().await.unwrap();
    assert!(progress.iter().all(|p| p.next == Some(20)), "{progress:?}");
}

async fn a_sweep_removes_only_what_is_old<R: Reports>(store: &R) {
    let held = take(store, 0).await;
    let calls = vec![
        call("old", 0, "sales", Some("101")),
        call("old but open", 0, "sales", None),
        call("new", NOON, "sales", Some("101")),
    ];
    let blocks = vec![block("sales", 0, &[(0, 1)]), block("sales", NOON, &[(0, 2)])];
    store.checkpoint(&[Change { calls, blocks, ..change(&held, 3) }]).await.unwrap();
    let swept = store.sweep(Retention { calls_before: Some(Time(NOON)), rows_before: Some(Time(NOON)) }).await.unwrap();
    assert_eq!((swept.calls, swept.blocks), (1, 1));
    assert_eq!(listed(store, CallFilter::new(Time(0), Time(2 * NOON))).await, ["old but open", "new"]);
    assert_eq!(offered(store, &RowFilter::new(Dim::Queue, Time(0), Time(2 * NOON))).await.len(), 1);
    assert_eq!(store.sweep(Retention::default()).await.unwrap(), super::Swept::default());
}

async fn a_wipe_refuses_whoever_was_folding<R: Reports>(store: &R) {
    let held = take(store, 0).await;
    store.put_meta("directory", "{}").await.unwrap();
    let calls = vec![call("c1", NOON, "sales", None)];
    store
        .checkpoint(&[Change { calls, blocks: vec![block("sales", NOON, &[(0, 1)])], ..change(&held, 3) }])
        .await
        .unwrap();
    store.wipe().await.unwrap();
    assert!(matches!(store.checkpoint(&[change(&held, 4)]).await, Err(Error::Fenced { .. })));
    assert!(store.open_calls().await.unwrap().is_empty());
    assert!(offered(store, &RowFilter::new(Dim::Queue, Time(0), Time(2 * NOON))).await.is_empty());
    assert_eq!(store.meta("directory").await.unwrap().as_deref(), Some("{}"));
    assert_eq!(
        store.take("tester", "journal-2", &[part(0)]).await.unwrap()[0].next,
        None,
        "from the beginning, of any journal"
    );
}

async fn remarks_are_kept<R: Reports>(store: &R) {
    assert_eq!(store.meta("directory").await.unwrap(), None);
    for value in ["one", "two"] {
        store.put_meta("directory", value).await.unwrap();
        assert_eq!(store.meta("directory").await.unwrap().as_deref(), Some(value));
    }
}
