//! Given a partition's events, then what is so now: live views, counts of queues, and what lasts.

use std::collections::BTreeMap;

use crate::story::*;
use model::event::agent::State;
use model::event::call::*;
use model::event::{device, queue, source};
use model::{Event, Time};
use stats::fold::{Changes, PartitionFold, Settings};
use stats::live::{Gap, LastServed, OpenKind, Queue, Stage, View, expected_wait_ms, gap_ms};
use stats::{Dim, Field, Grains, Rows, Tally, agent::Change, overlay};

pub fn folded(events: Vec<(&str, i64, Event)>) -> PartitionFold {
    let mut fold = PartitionFold::new(Settings::default());
    apply(&mut fold, events);
    fold
}

pub fn apply(fold: &mut PartitionFold, events: Vec<(&str, i64, Event)>) -> Vec<Change> {
    events.into_iter().map(|(subject, ms, e)| fold.apply(event(subject, ms, e))).collect()
}

pub fn keys(changes: &Changes) -> Vec<(&str, bool)> {
    changes.views.iter().map(|(k, v)| (k.as_str(), v.is_some())).collect()
}

pub fn sales(views: impl IntoIterator<Item = View>) -> Option<Queue> {
    views.into_iter().find_map(|v| if let View::Queue(q) = v { Some(q) } else { None })
}

fn prioritised(priority: i32) -> Event {
    Queued { queue: "sales".into(), priority: Some(priority), position: None, offered_at: None }.into()
}

pub fn one_of_each() -> Vec<(&'static str, i64, Event)> {
    vec![
        ("call/c1", 0, queued("sales")),
        ("agent/ann", 1_000, agent_state(State::Ready, None)),
        ("device/d1", 2_000, device::StateChanged { state: device::State::InUse }.into()),
        ("queue/sales", 3_000, queue::Configured { name: Some("Sales".into()), ..queue::Configured::default() }.into()),
        ("source/pbx1", 4_000, source::Disconnected { reason: "closed".into() }.into()),
    ]
}

#[test]
fn what_changed_is_told_once_with_its_view_and_a_known_event_changes_nothing() {
    let mut fold = folded(one_of_each());
    let c = fold.take_changes();
    let told = (c.calls.len(), c.agents.len(), c.devices.len(), c.queues.len(), c.sources.len());
    assert_eq!((told, c.closed.len(), c.is_empty()), ((1, 1, 1, 1, 1), 0, false));
    let mut views = keys(&c);
    views.sort_unstable();
    let all = ["agent/ann", "call/c1", "device/d1", "members/sales", "queue/acme/sales", "source/pbx1"];
    assert_eq!(views, all.map(|k| (k, true)));
    let mut now: Vec<String> = fold.views().iter().map(View::key).collect();
    now.sort_unstable();
    assert_eq!(now, all);
    assert!(apply(&mut fold, one_of_each()).iter().all(|c| *c == Change::Unchanged));
    assert!(fold.take_changes().is_empty());
}

#[test]
fn changes_of_any_kind_are_changes() {
    for one in one_of_each() {
        assert!(!folded(vec![one]).take_changes().is_empty());
    }
    let with = |set: fn(&mut Changes)| {
        let mut c = Changes::default();
        set(&mut c);
        c.is_empty()
    };
    assert!(with(|_| {}));
    assert!(!with(|c| c.calls = vec!["c".into()]) && !with(|c| c.views = vec![("call/c".into(), None)]));
    assert!(!with(|c| c.agents = vec!["a".into()]) && !with(|c| c.devices = vec!["d".into()]));
    assert!(!with(|c| c.queues = vec!["q".into()]) && !with(|c| c.sources = vec!["s".into()]));
    let mut rows = Rows::new(Grains::default());
    let scope = rows.scope(&"t".into(), &"s".into(), Dim::Queue, &"q".into());
    rows.event(&scope, Time(0)).add(Field::Offered, 1);
    assert!(!Changes { rows: rows.take(), ..Changes::default() }.is_empty());
}

#[test]
fn a_queue_counts_who_waits_by_priority_who_rings_who_talks_and_who_is_on_hold() {
    let mut fold = folded(vec![
        ("call/c1", 0, prioritised(5)),
        ("call/c2", 1_000, prioritised(5)),
        ("call/c3", 2_000, prioritised(1)),
        ("call/c1", 3_000, alerting("ann", Some("sales"))),
        ("call/c4", 4_000, answered("bob", Some("sales"))),
        ("call/c5", 5_000, answered("cy", Some("sales"))),
        ("call/c5", 6_000, held("cy")),
    ]);
    fold.take_changes();
    let q = sales(fold.views()).unwrap();
    assert_eq!((q.waiting, q.ringing, q.talking, q.held), (3, 1, 1, 1));
    assert_eq!(q.waiting_by_priority, BTreeMap::from([(1, 1), (5, 2)]));
    assert_eq!((q.oldest_waiting_since, q.is_idle()), (Some(Time(0)), false));
    apply(
        &mut fold,
        ["call/c1", "call/c2", "call/c3", "call/c4", "call/c5"].map(|c| (c, 9_000, ended(Party::Caller))).to_vec(),
    );
    let after = sales(fold.take_changes().views.into_iter().filter_map(|v| v.1)).unwrap();
    let served = Some(LastServed { at: Time(5_000), wait_ms: 0 });
    assert_eq!(after, Queue { last_served: served, ..Queue::empty("acme".into(), "sales".into()) });
    assert!(after.is_idle());
}

#[test]
fn the_last_served_is_the_latest_answer_and_old_news_does_not_publish_the_queue_again() {
    let mut fold = folded(vec![
        ("call/c1", 0, queued("sales")),
        ("call/c2", 0, queued("sales")),
        ("call/c2", 8_000, answered("bob", Some("sales"))),
        ("call/c1", 3_000, answered("ann", Some("sales"))),
    ]);
    fold.take_changes();
    assert_eq!(sales(fold.views()).unwrap().last_served, Some(LastServed { at: Time(8_000), wait_ms: 8_000 }));
    apply(&mut fold, vec![("call/c2", 9_000, ended(Party::Caller))]);
    fold.take_changes();
    apply(&mut fold, vec![("call/c2", 12_000, wrapped_up("bob", 3_000))]);
    assert_eq!(keys(&fold.take_changes()), [], "after-call work changes no count of the queue");
}

#[test]
fn a_queue_is_idle_when_nobody_waits_talks_or_is_on_hold() {
    let empty = Queue::empty("t".into(), "q".into());
    assert!(empty.is_idle());
    assert!(!Queue { waiting: 1, ..empty.clone() }.is_idle() && !Queue { held: 1, ..empty.clone() }.is_idle());
    assert!(!Queue { talking: 1, ..empty }.is_idle());
}

#[test]
fn partial_counts_of_a_queue_add_up_in_every_field() {
    let part = |n: i64| Queue {
        waiting: n,
        ringing: n + 1,
        talking: n + 2,
        held: n + 3,
        waiting_by_priority: BTreeMap::from([(n as i32, n), (9, n)]),
        last_served: Some(LastServed { at: Time(n), wait_ms: n }),
        ..Queue::empty("t".into(), "q".into())
    };
    let mut sum = View::Queue(part(3));
    sum.merge(&View::Queue(part(4)));
    let View::Queue(q) = &sum else { panic!("{sum:?}") };
    assert_eq!((q.waiting, q.ringing, q.talking, q.held), (7, 9, 11, 13));
    assert_eq!(q.waiting_by_priority, BTreeMap::from([(3, 3), (4, 4), (9, 7)]));
    assert_eq!(q.last_served, Some(LastServed { at: Time(4), wait_ms: 4 }));
    let json = serde_json::to_string(&sum).unwrap();
    assert_eq!(serde_json::from_str::<View>(&json).unwrap(), sum);
}

#[test]
fn of_two_views_of_one_thing_the_newer_stays_and_the_first_of_two_as_new() {
    for i in 0..5 {
        let view = |ms: i64| {
            let mut one = one_of_each().remove(i);
            one.1 = ms;
            let kind = |v: &View| !matches!(v, View::Queue(_));
            folded(vec![one]).views().into_iter().find(kind).unwrap()
        };
        let merged = |mut a: View, b: &View| {
            a.merge(b);
            a
        };
        let (old, new) = (view(10), view(20));
        assert_ne!(old, new);
        assert_eq!((merged(old.clone(), &new), merged(new.clone(), &old)), (new.clone(), new.clone()), "{}", new.key());
        let twin = match new.clone() {
            View::Call(v) => View::Call(stats::live::Call { caller: Some("twin".into()), ..v }),
            View::Members(v) => View::Members(stats::live::Members { name: Some("twin".into()), ..v }),
            View::Agent(v) => View::Agent(stats::live::Agent { reason: Some("twin".into()), ..v }),
            View::Device(v) => View::Device(stats::live::Device { registered: Some(true), ..v }),
            View::Source(v) => View::Source(stats::live::Source { vendor: "twin".into(), ..v }),
            View::Queue(v) => View::Queue(v),
        };
        assert_eq!(merged(new.clone(), &twin), new, "as new as each other");
        assert_eq!(merged(new.clone(), &View::Queue(Queue::empty("t".into(), "q".into()))), new, "another kind");
    }
}

#[test]
fn a_call_is_shown_where_it_is_and_since_when() {
    let mut story = vec![(1_000, offered()), (2_000, ivr("main")), (3_000, IvrLeft { node: "main".into() }.into())];
    story.extend([
        (4_000, queued("sales")),
        (5_000, alerting("ann", Some("sales"))),
        (6_000, answered("ann", Some("sales"))),
        (7_000, held("ann")),
    ]);
    let shown = |n: usize| call(story[..n].to_vec()).live().map(|v| (v.stage, v.since.0)).unwrap();
    let stages =
        [Stage::Offered, Stage::Ivr, Stage::Offered, Stage::Waiting, Stage::Ringing, Stage::Talking, Stage::Held];
    let since = [1_000, 2_000, 1_000, 4_000, 5_000, 6_000, 7_000];
    assert_eq!((1..=7).map(shown).collect::<Vec<_>>(), stages.into_iter().zip(since).collect::<Vec<_>>());
}

fn lasting(events: Vec<(i64, Event)>, dim: Dim, id: &str) -> Tally {
    let mut rows = Rows::new(Grains::default());
    overlay::of_call(&call(events).live().unwrap(), Time(60_000), &mut rows);
    event_sum(&rows.sorted(), dim, id)
}

fn rung(agent: &str, queue: Option<&str>) -> Event {
    let (device, team) = (Some("d1".into()), Some("red".into()));
    Alerting { agent: agent.into(), device, queue: queue.map(Into::into), team }.into()
}

fn picked_up(agent: &str, queue: Option<&str>) -> Event {
    let (device, team) = (Some("d1".into()), Some("red".into()));
    Answered { agent: Some(agent.into()), device, queue: queue.map(Into::into), waited_ms: None, team }.into()
}

#[test]
fn what_lasts_of_a_call_lasts_for_its_queue_and_its_people() {
    let people = [(Dim::Agent, "ann"), (Dim::Team, "red"), (Dim::Device, "d1")];
    let everyone = people.into_iter().chain([(Dim::Queue, "sales"), (Dim::Tenant, "acme"), (Dim::Source, "pbx1")]);
    for (dim, id) in everyone {
        let ringing = lasting(vec![(0, queued("sales")), (10_000, rung("ann", Some("sales")))], dim, id);
        assert_eq!(ringing.get(Field::RingOverlapMs), 50_000, "{dim}");
        let talking = vec![(0, queued("sales")), (20_000, picked_up("ann", Some("sales")))];
        assert_eq!(lasting(talking.clone(), dim, id).get(Field::TalkOverlapMs), 40_000, "{dim}");
        let on_hold = lasting([talking, vec![(45_000, held("ann"))]].concat(), dim, id);
        assert_eq!((on_hold.get(Field::HoldOverlapMs), on_hold.get(Field::TalkOverlapMs)), (15_000, 0), "{dim}");
    }
    for (dim, id) in people {
        let direct = lasting(vec![(0, offered()), (20_000, picked_up("ann", None))], dim, id);
        assert_eq!(direct.get(Field::TalkOverlapMs), 40_000, "{dim}");
    }
    assert!(
        lasting(vec![(0, offered()), (20_000, picked_up("ann", None))], Dim::Tenant, "acme").is_zero(),
        "a direct call"
    );
}

#[test]
fn what_lasts_says_what_it_is_and_whether_it_is_a_queues() {
    let open = |events: Vec<(i64, Event)>| call(events).live().unwrap().open;
    let visit = &open(vec![(0, ivr("main"))])[0];
    assert_eq!((visit.kind, visit.node.clone(), visit.direct), (OpenKind::Ivr, Some("main".into()), false));
    let direct = |events| open(events).iter().map(|o| o.direct).collect::<Vec<_>>();
    assert_eq!(direct(vec![(0, queued("sales"))]), [false]);
    assert_eq!(direct(vec![(0, rung("ann", None))]), [true]);
    assert_eq!(direct(vec![(0, queued("sales")), (1, picked_up("ann", Some("sales")))]), [false, false]);
    assert_eq!(direct(vec![(0, offered()), (1, picked_up("ann", None))]), [true, true]);
    assert_eq!(direct(vec![(0, outbound("ann")), (1, picked_up("ann", Some("sales")))]), [true, true], "outbound");
}

#[test]
fn who_waits_on_across_a_border_is_there_in_the_first_second_of_the_next_row() {
    let mut rows = Rows::new(Grains::default());
    let waits = call(vec![(59_999, queued("sales"))]).live().unwrap();
    overlay::of_call(&waits, Time(60_000), &mut rows);
    let rows = rows.sorted();
    let level = rows
        .iter()
        .find(|(k, _)| k.dim == Dim::Queue && k.start == Time(60_000))
        .map(|(_, r)| r.event.cell(Field::Waiting, 0));
    assert_eq!(level, Some(1), "a row that begins at this very moment has begun");
}

fn shown_until(view: &View, as_of: i64, source: Option<&stats::live::Source>, dim: Dim, id: &str) -> Tally {
    let mut rows = Rows::new(Grains::default());
    overlay::of_view(view, |_| source, Time(as_of), &mut rows);
    event_sum(&rows.sorted(), dim, id)
}

#[test]
fn a_state_lasts_until_now_and_is_unknown_from_when_the_source_was_lost() {
    let views = folded(vec![one_of_each().remove(1)]).views();
    let t = shown_until(&views[0], 61_000, None, Dim::Agent, "ann");
    assert_eq!((t.get(Field::ReadyMs), t.get(Field::UnknownMs), t.get(Field::StaffedMs)), (60_000, 0, 60_000));
    let Some(View::Source(lost)) = folded(vec![one_of_each().remove(4)]).views().pop() else { panic!("no source") };
    let t = shown_until(&views[0], 61_000, Some(&lost), Dim::Agent, "ann");
    assert_eq!((t.get(Field::ReadyMs), t.get(Field::UnknownMs)), (3_000, 57_000));
}

#[test]
fn a_device_and_a_lost_source_last_until_now_and_a_gap_that_was_told_is_not_told_again() {
    let device = folded(vec![one_of_each().remove(2)]).views().remove(0);
    assert_eq!(shown_until(&device, 62_000, None, Dim::Device, "d1").get(Field::DeviceInUseMs), 60_000);
    let gap = |to: i64| source::Gap { from: Time(4_000), to: Time(to), reason: String::new() };
    let lost = |more: Vec<(&'static str, i64, Event)>| {
        folded([vec![one_of_each().remove(4)], more].concat()).views().remove(0)
    };
    let blind = |v: &View| shown_until(v, 64_000, None, Dim::Source, "pbx1").get(Field::GapMs);
    assert_eq!(blind(&lost(vec![])), 60_000);
    assert_eq!(blind(&lost(vec![("source/pbx1", 44_000, gap(44_000).into())])), 20_000);
}

#[test]
fn gaps_are_clipped_to_the_asked_range_and_an_empty_one_is_none() {
    let gap = |from, to| Gap { from: Time(from), to: Time(to), reason: String::new() };
    assert_eq!(gap_ms(&[gap(0, 10), gap(10, 10), gap(90, 120)], Time(5), Time(100)), 15);
}

#[test]
fn the_expected_wait_is_the_sum_of_the_steps_of_a_queue_that_some_leave() {
    let ewt = |ahead, agents, aht, theta| expected_wait_ms(ahead, false, Some(agents), Some(aht), theta, None);
    let close =
        |have: Option<f64>, want: f64| assert!((have.unwrap() - want).abs() < want * 1e-6, "{have:?} is not {want}");
    close(ewt(0, 2.0, 100.0, 0.5), 50.0);
    close(ewt(1, 2.0, 100.0, 0.5), 50.0 + 1.0 / 0.52);
    close(ewt(2, 2.0, 100.0, 0.0), 150.0);
    close(ewt(20_000, 2.0, 100.0, 0.0), 20_001.0 * 50.0);
    close(ewt(20_000, 1.0, 100.0, 0.01), 20_002_f64.ln() / 0.01);
    close(ewt(10_000, 1.0, 100.0, 0.01), 10_002_f64.ln() / 0.01);
    close(ewt(9_999, 1.0, 100.0, 0.01), (0..=9_999).map(|i| 1.0 / (0.01 + f64::from(i) * 0.01)).sum());
    assert_eq!(ewt(20_000, 0.0, 100.0, 0.01), None, "nobody works here: the first in line never gets out");
    let fallback = |agents, aht| {
        expected_wait_ms(3, false, Some(agents), Some(aht), 0.0, Some(LastServed { at: Time(0), wait_ms: 7 }))
    };
    assert_eq!(
        [fallback(1.0, 0.0), fallback(-1.0, 100.0), fallback(1.0, -5.0)],
        [Some(7.0); 3],
        "no rate of service is known"
    );
    assert_eq!(expected_wait_ms(0, false, Some(2.0), Some(100.0), 0.0, None), Some(50.0), "nobody is free");
    assert_eq!(expected_wait_ms(1, true, Some(2.0), Some(100.0), 0.0, None), Some(100.0), "somebody is ahead");
}

#[test]
fn a_fold_that_tells_no_views_counts_alike_and_has_them_all_at_the_end() {
    let (mut told, mut untold) =
        (PartitionFold::new(Settings::default()), PartitionFold::new(Settings::default()).untold());
    for n in 0..3 {
        let all = one_of_each().into_iter().map(|(subject, at, what)| (subject, at + n * 60_000, what));
        all.for_each(|(subject, at, what)| {
            assert_eq!(told.apply(event(subject, at, what.clone())), untold.apply(event(subject, at, what)))
        });
        let (mut a, mut b) = (told.take_changes(), untold.take_changes());
        assert_eq!((a.views.is_empty(), b.views.is_empty()), (false, true));
        a.views.clear();
        [&mut a, &mut b].into_iter().for_each(|changes| changes.rows.sort_by(|x, y| x.0.cmp(&y.0)));
        assert_eq!(a, b);
    }
    let views = |fold: &PartitionFold| {
        fold.views().into_iter().map(|v| (v.key(), format!("{v:?}"))).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(views(&told), views(&untold));
    assert_eq!(views(&told).len(), 6);
}

#[test]
fn events_whose_ids_begin_alike_are_different_events() {
    let mut fold = folded(vec![("call/c1", 0, queued("sales"))]);
    let named = |id: &str, at| model::Envelope { id: id.into(), ..event("call/c1", at, attached("order", id)) };
    for id in ["0123456789abcdef0", "0123456789abcdef1", "0123456789abcdef0123456789abcdef0123"] {
        assert_eq!(fold.apply(named(id, 1_000)), Change::Changed, "{id}");
        assert_eq!(fold.apply(named(id, 2_000)), Change::Unchanged, "{id}");
    }
    assert_eq!(fold.call(&"c1".into()).unwrap().timeline().len(), 4);
}
