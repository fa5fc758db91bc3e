//! The twelve traps that other systems fell into: each is a conformance case of ours.

use crate::story::*;
use model::event::agent::State;
use model::event::call::*;
use model::{Event, Time};
use stats::contribution::rows_of_call;
use stats::live::{Agent, LastServed, OPEN_MS_MAX, Source, effective_agents, expected_wait_ms};
use stats::metric::{Context, evaluate};
use stats::{Dim, Field, Grains, Policy, Rows, Tally, agent, overlay};

fn sales(events: Vec<(i64, Event)>) -> Tally {
    counted(&call(events), Dim::Queue, "sales")
}

#[test]
fn trap_1_a_call_answered_now_moves_the_service_level_now() {
    let t = sales(vec![
        (0, queued("sales")),
        (3_000, dequeued("sales", QueueExit::Answered)),
        (3_000, answered("ann", Some("sales"))),
    ]);
    assert_eq!((t.get(Field::Completed), Policy::default().level(&t, 20_000)), (0, Some(1.0)));
}

#[test]
fn trap_2_talk_of_outbound_calls_is_no_service_level() {
    let r = call(vec![
        (0, outbound("ann")),
        (30_000, answered("ann", None)),
        (40_000, released("ann", Party::Agent)),
        (40_000, ended(Party::Agent)),
    ]);
    for (dim, id) in [(Dim::Tenant, "acme"), (Dim::Agent, "ann")] {
        let t = counted(&r, dim, id);
        assert_eq!((Policy::default().level(&t, 20_000), t.get(Field::Answered)), (None, 0), "{dim}");
        assert_eq!((t.get(Field::OutboundAnswered), t.get(Field::OutboundTalkMs)), (1, 10_000), "{dim}");
    }
}

#[test]
fn trap_3_averages_do_not_truncate() {
    let mut t = Tally::new();
    for wait in [1_000, 1_000, 2_000] {
        t.add(Field::Answered, 1);
        t.add(Field::WaitAnsweredMs, wait);
    }
    assert_eq!(evaluate(&t, &Context::default()).asa_ms, Some(4_000.0 / 3.0));
}

#[test]
fn trap_4_the_expected_wait_grows_while_nobody_is_answered() {
    let last = Some(LastServed { at: Time(0), wait_ms: 1_000 });
    let ewt = |k| expected_wait_ms(k, false, Some(5.0), Some(180_000.0), 0.0, last).unwrap();
    assert!(ewt(20) > ewt(5) && ewt(5) > 180_000.0, "{} {}", ewt(20), ewt(5));
}

#[test]
fn trap_5_only_a_caller_who_left_is_an_abandon() {
    for cause in QueueExit::ALL {
        let t = sales(vec![(0, queued("sales")), (90_000, dequeued("sales", cause))]);
        let left = matches!(cause, QueueExit::Abandoned | QueueExit::ShortAbandoned);
        let answered = cause == QueueExit::Answered;
        let abandoned = t.get(Field::Abandoned) + t.get(Field::ShortAbandoned);
        assert_eq!((abandoned, t.total(Field::FlowOut)), (i64::from(left), i64::from(!left && !answered)), "{cause:?}");
    }
}

#[test]
fn trap_6_every_count_stands_in_its_interval() {
    let r = call(vec![(0, queued("sales")), (61_000, dequeued("sales", QueueExit::Abandoned))]);
    let rows = rows_of_call(&r, Grains::default());
    let of = |start: i64| &rows.iter().find(|(k, _)| k.dim == Dim::Queue && k.start == Time(start)).unwrap().1;
    assert_eq!((of(0).event.get(Field::Offered), of(0).event.get(Field::Abandoned)), (1, 0));
    assert_eq!((of(60_000).event.get(Field::Offered), of(60_000).event.get(Field::Abandoned)), (0, 1));
    assert_eq!(of(0).cohort.get(Field::Abandoned), 1, "the cohort keeps the outcome with the offer");
    assert_eq!((of(0).event.get(Field::WaitOverlapMs), of(60_000).event.get(Field::WaitOverlapMs)), (60_000, 1_000));
}

fn agent_of(events: Vec<(i64, Event)>) -> (agent::State, Rows) {
    let mut state = agent::State::new("ann".into(), "pbx1".into(), "acme".into());
    let mut rows = Rows::new(Grains::default());
    for (ms, e) in events {
        state.apply(&event("agent/ann", ms, e), &mut rows);
    }
    (state, rows)
}

fn live_agent(state: State) -> Agent {
    agent_of(vec![(0, agent_state(state, None))]).0.live()
}

#[test]
fn trap_7_agents_on_a_break_or_unknown_serve_nobody() {
    let agents = [State::Ready, State::NotReady, State::Talking, State::Unknown].map(live_agent);
    assert_eq!(effective_agents(agents.iter().map(|a| (a, None)), Time(1)), 2);
    let lost: Source = {
        let mut s = stats::source::State::new("pbx1".into(), "acme".into());
        let beat = model::event::source::Heartbeat { round_trip_ms: None, every_ms: Some(5_000) };
        s.apply(&event("source/pbx1", 0, beat), &mut Rows::new(Grains::default()));
        s.live()
    };
    assert_eq!(effective_agents(agents.iter().map(|a| (a, Some(&lost))), Time(10_000)), 2);
    assert_eq!(effective_agents(agents.iter().map(|a| (a, Some(&lost))), Time(10_001)), 0, "two heartbeats missed");
}

#[test]
fn trap_8_diverting_does_not_flatter_the_answer_rate() {
    let mut t = sales(vec![(0, queued("sales")), (1_000, answered("ann", Some("sales")))]);
    t.plus(&sales(vec![(0, queued("sales")), (1_000, dequeued("sales", QueueExit::DivertedChat))]));
    let f = evaluate(&t, &Context::default());
    assert_eq!((f.answer_rate, f.service_level), (Some(0.5), Some(0.5)));
}

#[test]
fn trap_9_abandons_and_callbacks_are_not_served_within_t() {
    let mut t = sales(vec![(0, queued("sales")), (8_000, dequeued("sales", QueueExit::Abandoned))]);
    t.plus(&sales(vec![(0, queued("sales")), (8_000, dequeued("sales", QueueExit::DivertedCallback))]));
    let f = evaluate(&t, &Context::default());
    assert_eq!((f.answered_in_t, f.service_level, f.offered), (0, Some(0.0), 2));
}

#[test]
fn trap_10_a_lost_transfer_does_not_let_the_first_agent_talk_on() {
    let r = call(vec![
        (0, queued("sales")),
        (1_000, dequeued("sales", QueueExit::Answered)),
        (1_000, answered("ann", Some("sales"))),
        (61_000, queued("support")),
        (65_000, dequeued("support", QueueExit::Answered)),
        (65_000, answered("bob", Some("support"))),
        (3_665_000, released("bob", Party::Caller)),
        (3_665_000, ended(Party::Caller)),
    ]);
    assert_eq!(
        (count(&r, Dim::Agent, "ann", Field::TalkMs), count(&r, Dim::Agent, "bob", Field::TalkMs)),
        (60_000, 3_600_000)
    );
}

#[test]
fn trap_11_each_pause_counts_from_its_own_beginning_and_wrap_up_survives_a_reset() {
    let (_, rows) = agent_of(vec![
        (0, agent_state(State::NotReady, Some("lunch"))),
        (10_000, agent_state(State::Ready, None)),
        (20_000, agent_state(State::NotReady, Some("lunch"))),
        (25_000, agent_state(State::WrapUp, None)),
        (26_000, model::event::agent::LoggedOut::default().into()),
        (30_000, agent_state(State::WrapUp, None)),
        (37_000, agent_state(State::Ready, None)),
    ]);
    let t = event_sum(&rows.sorted(), Dim::Agent, "ann");
    assert_eq!(t.labels(Field::NotReadyReasonMs).collect::<Vec<_>>(), [("lunch", 15_000)]);
    assert_eq!((t.get(Field::WrapUpStateMs), t.get(Field::StaffedMs), t.get(Field::ReadyMs)), (8_000, 33_000, 10_000));
}

#[test]
fn trap_12_nothing_is_stuck_in_a_state_for_ever() {
    let r = call(vec![(0, queued("sales"))]);
    let live = r.live().unwrap();
    let mut rows = Rows::new(Grains::default());
    overlay::of_call(&live, Time(100 * OPEN_MS_MAX), &mut rows);
    assert_eq!(event_sum(&rows.sorted(), Dim::Queue, "sales").get(Field::WaitOverlapMs), OPEN_MS_MAX);
    assert!(live.stale(Time(OPEN_MS_MAX + 1)) && !live.stale(Time(OPEN_MS_MAX)));
    let talking = live_agent(State::Talking);
    assert_eq!(talking.state_at(None, Time(OPEN_MS_MAX)).unwrap().0, State::Talking);
    assert_eq!(talking.state_at(None, Time(OPEN_MS_MAX + 1)).unwrap().0, State::Unknown);
}

#[test]
fn trap_12_a_lost_hang_up_does_not_hold_a_place_in_the_queue() {
    use stats::live::View;
    let mut fold = stats::PartitionFold::new(stats::fold::Settings::default());
    fold.apply(event("call/stuck", 0, queued("sales")));
    fold.apply(event("call/fresh", 60_000, queued("sales")));
    fold.take_changes();
    assert!(fold.retire_stale(Time(OPEN_MS_MAX)).is_empty(), "not yet");
    let views = fold.retire_stale(Time(OPEN_MS_MAX + 1));
    assert_eq!(views[0], ("call/stuck".to_owned(), None));
    let Some(View::Queue(q)) = &views[1].1 else { panic!("{views:?}") };
    assert_eq!((q.waiting, q.oldest_waiting_since), (1, Some(Time(60_000))));
    assert_eq!(
        fold.needs(&[event("call/stuck", 1, ended(Party::Caller))]),
        ["stuck".into()],
        "it is found in the store again"
    );
}
