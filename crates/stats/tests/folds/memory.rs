//! Given a partition's events, then what is kept of them in memory, and for how long.

use crate::living::{apply, folded, keys, one_of_each, sales};
use crate::story::*;
use model::event::call::*;
use model::{Event, Quality, Time};
use stats::agent::Change;
use stats::call::Record;
use stats::fold::{PartitionFold, Settings};
use stats::live::{OPEN_MS_MAX, View};

fn over(call: &'static str, ms: i64) -> Vec<(&'static str, i64, Event)> {
    vec![(call, ms, queued("sales")), (call, ms + 1_000, ended(Party::Caller))]
}

fn keeping(closed_kept: usize) -> PartitionFold {
    PartitionFold::new(Settings { closed_kept, ..Settings::default() })
}

#[test]
fn closed_calls_leave_memory_oldest_first_and_never_before_they_were_taken() {
    let mut fold = keeping(2);
    for (i, call) in ["call/c1", "call/c2", "call/c3", "call/c4", "call/c5"].into_iter().enumerate() {
        apply(&mut fold, over(call, i as i64 * 10_000));
        fold.take_changes();
    }
    apply(&mut fold, vec![("call/c1", 90_000, attached("order", "17"))]);
    assert_eq!(fold.evict_closed(), 2, "the first has news that nobody has stored");
    let mut left: Vec<&str> = fold.calls().map(|r| r.call.as_str()).collect();
    left.sort_unstable();
    assert_eq!(left, ["c1", "c4", "c5"]);
    fold.take_changes();
    assert_eq!((fold.evict_closed(), fold.calls().count()), (1, 2));
    assert_eq!((fold.evict_closed(), fold.calls().count()), (0, 2), "so many stay for their late events");
}

#[test]
fn a_call_that_came_back_to_life_stays_and_leaves_when_it_is_over_again() {
    let mut fold = keeping(0);
    let lost = Ended { by: Party::Unknown, cause: Some("lost".into()), ..Ended::default() };
    fold.apply(event("call/c1", 0, queued("sales")));
    fold.apply(marked(event("call/c1", 9_000, lost), Quality::Inferred));
    assert_eq!(keys(&fold.take_changes()), [], "over before it was ever shown");
    fold.apply(event("call/c1", 20_000, answered("ann", Some("sales"))));
    assert_eq!(keys(&fold.take_changes()), [("call/c1", true), ("queue/acme/sales", true)]);
    assert_eq!((fold.evict_closed(), fold.calls().count()), (0, 1));
    fold.apply(event("call/c1", 30_000, ended(Party::Caller)));
    let c = fold.take_changes();
    assert_eq!((keys(&c), c.closed.len()), (vec![("call/c1", false), ("queue/acme/sales", true)], 1));
    assert_eq!((fold.evict_closed(), fold.calls().count()), (1, 0));
}

#[test]
fn a_call_may_be_silent_for_half_a_day() {
    const HOUR: i64 = 3_600_000;
    let mut fold = folded(vec![("call/c1", 0, queued("sales"))]);
    fold.take_changes();
    assert_eq!([11, 13].map(|hours| fold.retire_stale(Time(hours * HOUR)).len()), [0, 2]);
}

#[test]
fn open_calls_beyond_the_bound_are_forgotten_those_that_were_silent_longest_first() {
    let mut fold = PartitionFold::new(Settings { open_kept: 20, ..Settings::default() });
    let opened =
        |fold: &mut PartitionFold, i: i64| fold.apply(event(&format!("call/c{i:02}"), i * 1_000, queued("sales")));
    apply(&mut fold, over("call/over", 0));
    (1..=20).for_each(|i| assert_eq!(opened(&mut fold, i), Change::Changed));
    fold.take_changes();
    assert_eq!(fold.retire_surplus(), (vec![], vec![]), "so many may be");
    (21..=22).for_each(|i| assert_eq!(opened(&mut fold, i), Change::Changed));
    fold.take_changes();
    apply(&mut fold, vec![("call/c01", 90_000, attached("order", "17"))]);
    let (gone, views) = fold.retire_surplus();
    assert_eq!(
        gone,
        ["c02".into(), "c03".into(), "c04".into()],
        "a tenth more than must, and none that nobody has stored"
    );
    assert_eq!((views.len(), views[3].0.as_str()), (4, "queue/acme/sales"));
    assert_eq!((fold.calls().count(), sales(fold.views()).unwrap().waiting), (20, 19));
    assert_eq!(fold.needs(&[event("call/c02", 95_000, offered())]), ["c02".into()], "it is found in the store again");
}

#[test]
fn names_beyond_the_bound_are_refused_and_those_that_are_followed_and_calls_are_not() {
    let mut fold = PartitionFold::new(Settings { names_kept: 1, ..Settings::default() });
    let of = |who: &str, ms: i64| {
        one_of_each().into_iter().map(|(_, _, e)| event(&format!("{}/{who}", e.family()), ms, e)).collect::<Vec<_>>()
    };
    let said = |fold: &mut PartitionFold, who: &str, ms: i64| {
        of(who, ms).into_iter().map(|e| fold.apply(e)).collect::<Vec<_>>()
    };
    use Change::{Changed, Refused};
    assert_eq!(said(&mut fold, "first", 1_000), [Changed; 5]);
    assert_eq!(
        said(&mut fold, "second", 2_000),
        [Changed, Refused, Refused, Refused, Refused],
        "calls have their own bound"
    );
    assert_eq!(said(&mut fold, "first", 3_000), [Changed; 5]);
    assert_eq!(fold.take_changes().agents, ["first".into()]);
}

#[test]
fn queues_beyond_the_bound_go_with_their_last_open_call_and_come_back_with_the_next() {
    let mut fold = PartitionFold::new(Settings { names_kept: 2, ..Settings::default() });
    let shown = |fold: &PartitionFold| {
        let key = |view: View| view.key();
        let mut keys: Vec<_> = fold.views().into_iter().map(key).filter(|key| key.starts_with("queue/")).collect();
        keys.sort();
        keys
    };
    let enters = |fold: &mut PartitionFold, call: &str, queue: &str, ms: i64| {
        apply(fold, vec![(call, ms, queued(queue))]);
        fold.take_changes();
    };
    let leaves = |fold: &mut PartitionFold, call: &str, ms: i64| {
        apply(fold, vec![(call, ms, ended(Party::Caller))]);
        keys(&fold.take_changes()).into_iter().map(|(key, stays)| (key.to_owned(), stays)).collect::<Vec<_>>()
    };
    for (n, queue) in ["a", "b", "c", "d"].into_iter().enumerate() {
        enters(&mut fold, &format!("call/{queue}"), queue, n as i64);
    }
    assert_eq!(shown(&fold).len(), 4, "somebody waits in each");
    let told = leaves(&mut fold, "call/c", 10);
    assert!(told.contains(&("queue/acme/c".to_owned(), false)), "{told:?}");
    leaves(&mut fold, "call/d", 11);
    let told = leaves(&mut fold, "call/a", 12);
    assert!(told.contains(&("queue/acme/a".to_owned(), true)), "so many are kept without calls: {told:?}");
    assert_eq!(shown(&fold), ["queue/acme/a", "queue/acme/b"]);
    enters(&mut fold, "call/d2", "d", 20);
    let waiting = |view: View| if let View::Queue(queue) = view { Some((queue.queue, queue.waiting)) } else { None };
    let d = fold.views().into_iter().filter_map(waiting).find(|(queue, _)| queue.as_str() == "d");
    assert_eq!(d, Some(("d".into(), 1)), "a place that was given up is counted from nothing");
}

#[test]
fn only_calls_that_are_not_in_memory_are_asked_for() {
    let fold = folded(one_of_each());
    let batch = [("call/c3", 0), ("call/c1", 1), ("call/c2", 2), ("call/c3", 3)].map(|(s, ms)| event(s, ms, offered()));
    assert_eq!(fold.needs(&batch), ["c2".into(), "c3".into()]);
}

#[test]
fn a_loaded_call_is_no_news_until_something_happens_to_it_and_then_its_view_goes() {
    let stored = |events: Vec<(&str, i64, Event)>| {
        let fold = folded(events);
        fold.calls().map(|r| Record::decode(&r.encode()).unwrap()).collect::<Vec<_>>()
    };
    let mut fold = PartitionFold::new(Settings::default());
    fold.load_calls(stored(vec![("call/c1", 0, queued("sales"))]));
    fold.load_calls(stored(over("call/c2", 0)));
    assert!(fold.take_changes().is_empty());
    assert_eq!(sales(fold.views()).map(|q| q.waiting), Some(1));
    apply(&mut fold, vec![("call/c1", 5_000, ended(Party::Caller)), ("call/c2", 5_000, attached("order", "17"))]);
    let c = fold.take_changes();
    assert_eq!(keys(&c), [("call/c1", false), ("queue/acme/sales", true)], "the closed one was never shown");
    assert_eq!(c.closed.len(), 2);
}

#[test]
fn only_open_calls_of_which_all_was_taken_grow_stale() {
    let mut fold = folded(
        [vec![("call/open", 0, queued("sales")), ("call/busy", 0, queued("sales"))], over("call/over", 0)].concat(),
    );
    fold.take_changes();
    apply(&mut fold, vec![("call/busy", 1_000, attached("order", "17"))]);
    let gone = fold.retire_stale(Time(2 * OPEN_MS_MAX));
    assert_eq!(
        gone.iter().map(|(k, v)| (k.as_str(), v.is_some())).collect::<Vec<_>>(),
        [("call/open", false), ("queue/acme/sales", true)]
    );
    assert_eq!((fold.calls().count(), sales(fold.views()).unwrap().waiting), (2, 1));
}

#[test]
fn a_map_of_few_is_made_of_pairs_and_gives_them_back_in_order() {
    let few = stats::Few::from([(2, 'b'), (1, 'a'), (3, 'c')]);
    assert_eq!(few.get(&2), Some(&'b'));
    assert_eq!(few.into_iter().collect::<Vec<_>>(), [(1, 'a'), (2, 'b'), (3, 'c')]);
}
