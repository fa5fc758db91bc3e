//! Given a call's events, then its record and what it counts for.

use crate::story::*;
use model::event::call::*;
use model::{Event, Quality, Time};
use stats::call::{AlertEnd, Record};
use stats::contribution::rows_of_call;
use stats::{Dim, Field, Grains, Row, RowKey, Tally};

/// A call that waits for 8 s, is on hold for 10 s from `held_at` on, and ends 39 s later.
fn an_answered_call(held_at: i64) -> Record {
    call(vec![
        (0, offered()),
        (1_000, queued("sales")),
        (5_000, alerting("ann", Some("sales"))),
        (9_000, dequeued("sales", QueueExit::Answered)),
        (9_000, answered("ann", Some("sales"))),
        (held_at, held("ann")),
        (held_at + 10_000, retrieved("ann")),
        (held_at + 49_000, released("ann", Party::Caller)),
        (held_at + 49_000, ended(Party::Caller)),
        (held_at + 55_000, wrapped_up("ann", 6_000)),
    ])
}

#[test]
fn an_answered_call_has_its_wait_talk_hold_and_wrap_up() {
    let r = an_answered_call(20_000);
    let s = &r.segments[0];
    assert_eq!((s.wait_ms, s.talk_ms, s.hold_ms, s.wrap_up_ms), (Some(8_000), Some(50_000), 10_000, 6_000));
    assert_eq!((s.exit, s.ended_by, r.closed, r.ignored), (Some(QueueExit::Answered), Some(Party::Caller), true, 0));
    assert_eq!((s.alerts[0].end, s.alerts[0].rang_ms), (Some(AlertEnd::Answered), Some(4_000)));
    for (dim, id) in [(Dim::Queue, "sales"), (Dim::Tenant, "acme"), (Dim::Source, "pbx1")] {
        let t = counted(&r, dim, id);
        assert_eq!((t.get(Field::Offered), t.get(Field::Answered), t.get(Field::TalkMs)), (1, 1, 50_000), "{dim}");
        assert_eq!(
            (t.get(Field::WaitOverlapMs), t.get(Field::TalkOverlapMs), t.get(Field::HoldOverlapMs)),
            (8_000, 50_000, 10_000)
        );
    }
    let ann = counted(&r, Dim::Agent, "ann");
    assert_eq!((ann.get(Field::Answered), ann.get(Field::WrapUpMs), ann.get(Field::RingMs)), (1, 6_000, 4_000));
}

#[test]
fn what_lies_with_the_offer_sums_up_to_what_happened() {
    let r = an_answered_call(3_620_000);
    let rows = rows_of_call(&r, Grains::default());
    let of = |(key, _): &&(RowKey, Row)| key.dim == Dim::Queue && &*key.id == "sales";
    let happened = event_sum(&rows, Dim::Queue, "sales");
    let offer = Tally::sum(rows.iter().filter(of).map(|(_, row)| &row.cohort));
    for (field, n) in
        [(Field::Answered, 1), (Field::WaitAnsweredMs, 8_000), (Field::TalkMs, 3_650_000), (Field::HoldMs, 10_000)]
    {
        assert_eq!((offer.get(field), happened.get(field)), (n, n), "{field:?}");
    }
}

#[test]
fn that_a_call_was_let_in_explains_it_and_changes_no_figure() {
    let admitted = Admitted { queue: "sales".into(), rule: "free_agent".into(), level: 1, plan: 3 };
    let r = call(vec![(0, offered()), (500, admitted.into()), (1_000, queued("sales"))]);
    assert_eq!((r.ignored, count(&r, Dim::Queue, "sales", Field::Offered)), (0, 1));
}

#[test]
fn ringing_that_stops_a_moment_before_the_caller_is_told_to_have_left_stopped_for_that() {
    let left_after = |ms: i64| {
        let cancelled =
            AlertCancelled { agent: "ann".into(), device: None, queue: Some("sales".into()), rang_ms: None };
        call(vec![
            (0, offered()),
            (1_000, queued("sales")),
            (5_000, alerting("ann", Some("sales"))),
            (9_000, cancelled.into()),
            (9_000 + ms, dequeued("sales", QueueExit::Abandoned)),
        ])
    };
    for (ms, ringing) in [(0, 1_i64), (1, 1), (60_000, 0)] {
        let r = left_after(ms);
        for (dim, id) in [(Dim::Queue, "sales"), (Dim::Agent, "ann")] {
            assert_eq!(count(&r, dim, id, Field::AbandonRinging), ringing, "{dim} {ms}");
        }
    }
}

#[test]
fn an_answer_whose_entry_was_missed_counts_with_the_vendors_wait() {
    let answer = Answered {
        agent: Some("ann".into()),
        queue: Some("sales".into()),
        waited_ms: Some(7_000),
        ..Answered::default()
    };
    let r = call(vec![(0, offered()), (10_000, answer.into()), (20_000, ended(Party::Agent))]);
    assert_eq!((r.segments[0].wait_ms, r.segments[0].offered_at), (Some(7_000), Time(3_000)));
    assert_eq!(count(&r, Dim::Queue, "sales", Field::Offered), 1);
}

#[test]
fn a_leave_whose_entry_was_missed_counts_with_the_vendors_wait() {
    let leave = Dequeued { queue: "sales".into(), cause: QueueExit::Timeout, waited_ms: Some(60_000) };
    let r = call(vec![(0, offered()), (90_000, leave.into())]);
    assert_eq!((r.segments[0].offered_at, r.segments[0].wait_ms), (Time(30_000), Some(60_000)));
}

#[test]
fn a_hang_up_while_waiting_is_an_abandon_until_the_queue_says_better() {
    let mut r = call(vec![(0, offered()), (0, queued("sales")), (4_000, ended(Party::Caller))]);
    assert_eq!((r.segments[0].exit, r.segments[0].exit_implied), (Some(QueueExit::Abandoned), true));
    r.apply(event("call/c1", 4_003, dequeued("sales", QueueExit::ShortAbandoned)));
    assert_eq!((r.segments[0].exit, r.segments[0].exit_implied), (Some(QueueExit::ShortAbandoned), false));
    assert_eq!(
        (count(&r, Dim::Queue, "sales", Field::ShortAbandoned), count(&r, Dim::Queue, "sales", Field::Abandoned)),
        (1, 0)
    );
}

#[test]
fn a_second_queue_without_a_word_from_the_first_is_an_overflow() {
    let r =
        call(vec![(0, offered()), (0, queued("sales")), (30_000, queued("support")), (40_000, ended(Party::Caller))]);
    assert_eq!([r.segments[0].exit, r.segments[1].exit], [Some(QueueExit::Overflow), Some(QueueExit::Abandoned)]);
    assert_eq!(count(&r, Dim::Tenant, "acme", Field::Offered), 2, "two stays are two segments");
}

#[test]
fn a_queue_told_twice_is_one_stay() {
    let again = marked(event("call/c1", 5_000, queued("sales")), Quality::Snapshot);
    let r = fold([event("call/c1", 0, queued("sales")), again]);
    assert_eq!((r.segments.len(), r.ignored, r.snapshot), (1, 1, 1));
}

#[test]
fn a_call_that_ends_on_hold_is_counted_by_who_ended_it() {
    let r = call(vec![
        (0, queued("sales")),
        (1_000, dequeued("sales", QueueExit::Answered)),
        (1_000, answered("ann", Some("sales"))),
        (5_000, held("ann")),
        (9_000, released("ann", Party::Caller)),
        (9_000, ended(Party::Caller)),
    ]);
    assert_eq!((r.segments[0].hold_ms, r.segments[0].talk_ms), (4_000, Some(4_000)));
    assert_eq!(counted(&r, Dim::Queue, "sales").cell(Field::HoldAbandons, 0), 1);
}

#[test]
fn a_blind_transfer_opens_the_next_segment() {
    let r = call(vec![
        (0, queued("sales")),
        (1_000, dequeued("sales", QueueExit::Answered)),
        (1_000, answered("ann", Some("sales"))),
        (11_000, transferred("ann", TransferKind::Blind, Destination::Queue("support".into()))),
        (11_000, queued("support")),
        (20_000, dequeued("support", QueueExit::Answered)),
        (20_000, answered("bob", Some("support"))),
        (50_000, released("bob", Party::Caller)),
        (50_000, ended(Party::Caller)),
    ]);
    let [a, b] = &r.segments[..] else { panic!("{:?}", r.segments) };
    assert_eq!((a.talk_ms, b.talk_ms, b.transfer_in), (Some(10_000), Some(30_000), Some(TransferKind::Blind)));
    assert!(!a.release_implied && !a.ended_on_hold);
    assert_eq!(
        (count(&r, Dim::Agent, "ann", Field::TransfersBlind), count(&r, Dim::Queue, "support", Field::TransfersIn)),
        (1, 1)
    );
}

#[test]
fn an_attended_transfer_ends_the_first_talk_and_marks_the_second() {
    let r = call(vec![
        (0, queued("sales")),
        (1_000, dequeued("sales", QueueExit::Answered)),
        (1_000, answered("ann", Some("sales"))),
        (10_000, held("ann")),
        (10_000, consulted("ann", "bob")),
        (11_000, alerting("bob", None)),
        (15_000, answered("bob", None)),
        (21_000, transferred("ann", TransferKind::Attended, Destination::Agent("bob".into()))),
        (61_000, released("bob", Party::Caller)),
        (61_000, ended(Party::Caller)),
    ]);
    let [a, b] = &r.segments[..] else { panic!("{:?}", r.segments) };
    assert_eq!((a.talk_ms, a.hold_ms, a.ended_on_hold), (Some(9_000), 11_000, false));
    assert_eq!((b.queue.clone(), b.transfer_in, b.talk_ms), (None, Some(TransferKind::Attended), Some(46_000)));
    assert_eq!(b.alerts.len(), 1, "the ringing of the consulted agent goes with the answer");
    assert_eq!(count(&r, Dim::Tenant, "acme", Field::Answered), 1, "a consulted agent is no queue's answer");
}

#[test]
fn a_ring_without_answer_is_counted_for_the_agent_and_the_queue() {
    let r = call(vec![
        (0, queued("sales")),
        (1_000, alerting("ann", Some("sales"))),
        (16_000, rona("ann", "sales")),
        (17_000, alerting("bob", Some("sales"))),
        (19_000, ended(Party::Caller)),
    ]);
    let rang = |agent| (count(&r, Dim::Agent, agent, Field::Rona), count(&r, Dim::Agent, agent, Field::AbandonRinging));
    assert_eq!((rang("ann"), rang("bob")), ((1, 0), (0, 1)));
    let q = counted(&r, Dim::Queue, "sales");
    assert_eq!((q.get(Field::Rona), q.get(Field::AbandonRinging), q.get(Field::Alerted)), (1, 1, 2));
}

#[test]
fn a_direct_call_counts_for_its_agent_and_for_no_queue() {
    let r = call(vec![
        (0, offered()),
        (0, alerting("ann", None)),
        (4_000, answered("ann", None)),
        (34_000, released("ann", Party::Agent)),
        (34_000, ended(Party::Agent)),
    ]);
    let t = counted(&r, Dim::Tenant, "acme");
    assert_eq!((t.get(Field::Offered), t.get(Field::DirectOffered), t.get(Field::DirectTalkMs)), (0, 1, 30_000));
    assert_eq!(count(&r, Dim::Agent, "ann", Field::Answered), 1);
}

#[test]
fn an_answer_by_a_clock_that_runs_ahead_of_the_queues_is_of_the_same_stay() {
    let r = call(vec![
        (5_000, answered("ann", Some("sales"))),
        (5_500, released("ann", Party::Caller)),
        (6_000, queued("sales")),
        (6_000, Dequeued { queue: "sales".into(), cause: QueueExit::Answered, waited_ms: Some(0) }.into()),
        (6_000, ended(Party::Caller)),
    ]);
    let [s] = &r.segments[..] else { panic!("{:?}", r.segments) };
    assert_eq!(
        (s.wait_ms, s.answered_at, s.exit_at, s.offered_at),
        (Some(0), Some(Time(5_000)), Some(Time(6_000)), Time(6_000))
    );
}

#[test]
fn an_answer_more_than_two_hours_before_the_queue_is_of_another_stay() {
    let segments = |ms| call(vec![(0, answered("ann", Some("sales"))), (ms, queued("sales"))]).segments.len();
    assert_eq!([segments(7_200_000), segments(7_200_001)], [1, 2]);
}

#[test]
fn an_end_that_was_only_concluded_is_void_when_the_call_lives_on() {
    let lost = Ended { by: Party::Unknown, cause: Some("lost".into()), ..Ended::default() };
    let mut r = fold([event("call/c1", 0, queued("sales")), marked(event("call/c1", 9_000, lost), Quality::Inferred)]);
    assert_eq!((r.closed, r.segments[0].exit), (true, Some(QueueExit::SourceLost)));
    r.apply(event("call/c1", 20_000, answered("ann", Some("sales"))));
    assert_eq!((r.closed, r.segments.len(), r.segments[0].wait_ms), (false, 1, Some(20_000)));
    r.apply(event("call/c1", 30_000, ended(Party::Caller)));
    assert_eq!((r.closed, r.ended_at), (true, Some(Time(30_000))));
}

#[test]
fn a_hang_up_in_the_ivr_is_the_ivrs_abandon_and_no_queues() {
    let r = call(vec![(0, offered()), (0, ivr("main")), (8_000, ended(Party::Caller))]);
    assert_eq!(
        (count(&r, Dim::Ivr, "main", Field::IvrAbandoned), count(&r, Dim::Tenant, "acme", Field::Offered)),
        (1, 0)
    );
    let r = call(vec![(0, offered()), (0, ivr("main")), (8_000, ended(Party::System))]);
    assert_eq!(count(&r, Dim::Ivr, "main", Field::IvrContained), 1);
}

#[test]
fn a_phantom_is_only_counted() {
    let end = Ended { by: Party::System, cause: Some("phantom".into()), ..Ended::default() };
    let r = call(vec![(0, offered()), (0, queued("sales")), (8_000, end.into())]);
    let t = counted(&r, Dim::Tenant, "acme");
    assert_eq!((t.get(Field::Phantom), t.get(Field::Calls), t.get(Field::Offered)), (1, 0, 0));
    let mut only = Tally::new();
    only.add(Field::Phantom, 1);
    assert_eq!(counted(&r, Dim::Queue, "sales"), only);
}

#[test]
fn a_diversion_is_counted_by_target_rule_and_level() {
    let divert = Diverted {
        target: "callback".into(),
        name: None,
        rule: "ewt".into(),
        level: 2,
        plan: 1,
        queue: Some("sales".into()),
    };
    let r = call(vec![
        (0, queued("sales")),
        (9_000, divert.clone().into()),
        (9_001, dequeued("sales", QueueExit::DivertedCallback)),
    ]);
    let q = counted(&r, Dim::Queue, "sales");
    assert_eq!(q.labels(Field::Diverted).collect::<Vec<_>>(), [("callback|ewt|2", 1)]);
    assert_eq!((q.total(Field::FlowOut), q.get(Field::DivertedAtGate)), (1, 0));
    let r = call(vec![(0, offered()), (1_000, divert.into())]);
    assert_eq!(count(&r, Dim::Queue, "sales", Field::DivertedAtGate), 1);
}

#[test]
fn a_stored_call_is_read_back_whole() {
    let events = vec![
        (0, offered()),
        (0, ivr("main")),
        (2_000, queued("sales")),
        (9_000, attached("order", "17")),
        (9_500, ended(Party::Caller)),
    ];
    let r = call(events);
    assert_eq!(Record::decode(&r.encode()).unwrap(), r);
    assert_eq!(r.envelopes().count(), 5);
    assert!(Record::decode(b"{}").is_err());
    let newer = String::from_utf8(r.encode()).unwrap().replace("call.queued.v1", "call.queued.v9");
    assert!(Record::decode(newer.as_bytes()).unwrap_err().to_string().contains("call.queued.v9"));
}

#[test]
fn events_beyond_the_bound_are_dropped_and_counted() {
    let events: Vec<(i64, Event)> = (0..1_200).map(|i| (i, attached("n", &i.to_string()))).collect();
    let r = call(events);
    assert_eq!((r.timeline().len(), r.dropped), (stats::call::EVENTS_MAX, 200));
}

#[test]
fn a_consultation_that_led_to_nothing_does_not_keep_the_first_agent_talking_for_ever() {
    let r = call(vec![
        (0, queued("sales")),
        (1_000, answered("ann", Some("sales"))),
        (5_000, held("ann")),
        (5_000, consulted("ann", "bob")),
        (9_000, retrieved("ann")),
        (20_000, queued("support")), // the transfer was lost
        (90_000, ended(Party::Caller)),
    ]);
    assert_eq!((r.segments[0].released_at, r.segments[0].release_implied), (Some(Time(20_000)), true));
}
