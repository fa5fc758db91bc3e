//! Given a call of which something is missing, doubled, out of place or told by two: its record still says what happened.

use crate::story::*;
use model::event::call::*;
use model::{Event, EventId, Quality, Time};
use stats::call::{AlertEnd, EVENTS_MAX, Record, VisitEnd};
use stats::{Dim, Field};

fn talk_told(agent: Option<&str>, talked_ms: u64) -> Event {
    Released { agent: agent.map(Into::into), by: Party::Agent, talked_ms: Some(talked_ms) }.into()
}

fn cancelled(agent: &str) -> Event {
    AlertCancelled { agent: agent.into(), device: None, queue: None, rang_ms: None }.into()
}

fn selected(node: &str, choice: &str) -> Event {
    IvrSelected { node: node.into(), choice: choice.into() }.into()
}

fn left(node: &str) -> Event {
    IvrLeft { node: node.into() }.into()
}

fn conference(agent: &str) -> Event {
    Conferenced { agent: Some(agent.into()), parties: Some(3) }.into()
}

fn diverted(queue: Option<&str>) -> Event {
    Diverted { target: "chat".into(), name: None, rule: "ewt".into(), level: 1, plan: 1, queue: queue.map(Into::into) }
        .into()
}

fn merged() -> Event {
    Ended { by: Party::System, merged_into: Some("c2".into()), ..Ended::default() }.into()
}

fn lost() -> Event {
    Ended { by: Party::Unknown, cause: Some("lost".into()), ..Ended::default() }.into()
}

/// Ann answered from "sales" after a second.
fn with_ann(more: Vec<(i64, Event)>) -> Record {
    let mut events = vec![
        (0, queued("sales")),
        (1_000, dequeued("sales", QueueExit::Answered)),
        (1_000, answered("ann", Some("sales"))),
    ];
    events.extend(more);
    call(events)
}

fn queues(r: &Record) -> Vec<Option<&str>> {
    r.segments.iter().map(|s| s.queue.as_ref().map(|q| q.as_str())).collect()
}

fn agents(r: &Record) -> Vec<Option<&str>> {
    r.segments.iter().map(|s| s.agent.as_ref().map(|a| a.as_str())).collect()
}

#[test]
fn the_vendors_own_wait_counts_rather_than_the_times() {
    let leave = Dequeued { queue: "sales".into(), cause: QueueExit::Timeout, waited_ms: Some(7_500) };
    assert_eq!(call(vec![(0, queued("sales")), (10_000, leave.into())]).segments[0].wait_ms, Some(7_500));
}

#[test]
fn ringing_stops_for_the_agent_it_is_told_of_and_for_no_other() {
    let r = call(vec![
        (0, queued("sales")),
        (1_000, alerting("ann", Some("sales"))),
        (2_000, alerting("bob", Some("sales"))),
        (6_000, cancelled("ann")),
        (7_000, cancelled("ann")),
    ]);
    let ends: Vec<_> = r.segments[0].alerts.iter().map(|a| (a.end, a.rang_ms)).collect();
    assert_eq!(ends, [(Some(AlertEnd::Cancelled), Some(5_000)), (None, None)]);
    assert_eq!(r.ignored, 1, "nobody of that name rings any more");
}

#[test]
fn an_answer_of_another_queue_is_no_answer_of_this_one() {
    let r = call(vec![(0, queued("sales")), (5_000, answered("ann", Some("support")))]);
    assert_eq!((queues(&r), agents(&r)), (vec![Some("sales"), Some("support")], vec![None, Some("ann")]));
    assert!(r.segments[0].waiting());
    let left = [
        (0, queued("sales")),
        (9_000, dequeued("sales", QueueExit::Timeout)),
        (20_000, answered("ann", Some("sales"))),
    ];
    assert_eq!(agents(&call(left.to_vec())), [None, Some("ann")], "the queue had given it up: this is another stay");
    let moved = [(0, queued("sales")), (9_000, queued("support")), (20_000, answered("ann", Some("sales")))];
    assert_eq!(agents(&call(moved.to_vec())), [None, None, Some("ann")], "it had gone on to another queue");
}

#[test]
fn visits_of_the_ivr_follow_each_other_and_a_repeated_word_is_one_visit() {
    let r = call(vec![
        (0, ivr("main")),
        (1_000, ivr("main")),
        (2_000, ivr("sub")),
        (3_000, ivr("main")),
        (4_000, left("sub")),
        (5_000, left("main")),
        (6_000, ivr("main")),
        (9_000, queued("sales")),
    ]);
    let visits: Vec<_> =
        r.ivr.iter().map(|v| (v.node.as_str(), v.entered_at.0, v.left_at.map(|t| t.0), v.end)).collect();
    let gone = Some(VisitEnd::Left);
    assert_eq!(
        visits,
        [
            ("main", 0, Some(2_000), gone),
            ("sub", 2_000, Some(3_000), gone),
            ("main", 3_000, Some(5_000), gone),
            ("main", 6_000, Some(9_000), gone)
        ]
    );
    assert_eq!(r.ignored, 2, "the second main, and leaving sub when the caller was in main");
}

#[test]
fn a_choice_belongs_to_its_node_even_when_the_entry_was_missed() {
    let r = call(vec![
        (0, ivr("main")),
        (1_000, selected("main", "1")),
        (2_000, selected("sub", "7")),
        (3_000, selected("main", "2")),
    ]);
    let chosen: Vec<_> = r.ivr.iter().map(|v| (v.node.as_str(), v.choices.clone())).collect();
    let main = vec![(Time(1_000), "1".to_owned()), (Time(3_000), "2".to_owned())];
    assert_eq!(chosen, [("main", main), ("sub", vec![(Time(2_000), "7".to_owned())])]);
    assert_eq!(r.ignored, 0);
}

#[test]
fn a_caller_who_hangs_up_in_the_ivr_is_told_from_one_who_had_gone_on() {
    let end_of = |events: Vec<(i64, Event)>| call(events).ivr.last().and_then(|v| v.end);
    let (gone, hung_up) = (Some(VisitEnd::Left), Some(VisitEnd::Abandoned));
    let in_one_breath = vec![(0, ivr("main")), (8_000, left("main")), (8_000, ended(Party::Caller))];
    assert_eq!(end_of(in_one_breath), hung_up, "left the IVR and over in one breath");
    assert_eq!(end_of(vec![(0, ivr("main")), (5_000, left("main")), (8_000, ended(Party::Caller))]), gone);
    let turned_away =
        vec![(0, ivr("main")), (7_000, diverted(Some("sales"))), (8_000, left("main")), (8_000, ended(Party::Caller))];
    assert_eq!(end_of(turned_away), gone, "a diversion took the call");
    let announced = vec![
        (0, queued("sales")),
        (1_000, ivr("announcement")),
        (9_000, dequeued("sales", QueueExit::Abandoned)),
        (9_000, ended(Party::Caller)),
    ];
    assert_eq!(end_of(announced), gone, "the queue had the call after that");
    let after_the_queue = vec![
        (0, queued("sales")),
        (9_000, dequeued("sales", QueueExit::Timeout)),
        (10_000, ivr("survey")),
        (15_000, ended(Party::Caller)),
    ];
    assert_eq!(end_of(after_the_queue), hung_up);
    assert_eq!(end_of(vec![(0, ivr("main")), (9_000, merged())]), gone, "it went on under another reference");
    assert_eq!(end_of(vec![(0, ivr("main")), (9_000, lost())]), Some(VisitEnd::Contained));
}

#[test]
fn segments_are_numbered_and_a_transfer_marks_the_one_that_follows_it() {
    let r = with_ann(vec![
        (11_000, transferred("ann", TransferKind::Blind, Destination::Queue("support".into()))),
        (11_500, queued("support")),
        (20_000, queued("billing")),
    ]);
    let marks: Vec<_> = r.segments.iter().map(|s| (s.segment_no, s.transfer_in)).collect();
    assert_eq!(marks, [(1, None), (2, Some(TransferKind::Blind)), (3, None)]);
}

#[test]
fn a_transfer_to_the_own_queue_marks_the_new_stay_and_not_the_old() {
    let r = with_ann(vec![
        (11_000, queued("sales")),
        (11_000, transferred("ann", TransferKind::Blind, Destination::Queue("sales".into()))),
    ]);
    assert_eq!(r.segments.iter().map(|s| s.transfer_in).collect::<Vec<_>>(), [None, Some(TransferKind::Blind)]);
}

#[test]
fn a_transfer_finds_whom_it_was_made_to_by_agent_device_or_ringing() {
    let arrived = |to: Destination, ringing: bool| {
        let (agent, device) = (Some("bob".into()), Some("PJSIP/102".into()));
        let rings = Alerting { agent: "bob".into(), device: device.clone(), queue: None, team: None };
        let answer = Answered { agent, device, ..Answered::default() };
        let there: Event = if ringing { rings.into() } else { answer.into() };
        let r = with_ann(vec![
            (9_000, released("ann", Party::Agent)),
            (10_000, there),
            (11_000, transferred("ann", TransferKind::Blind, to)),
        ]);
        (r.segments[0].transfer_in, r.segments[1].transfer_in)
    };
    let found = (None, Some(TransferKind::Blind));
    for ringing in [true, false] {
        assert_eq!(arrived(Destination::Agent("bob".into()), ringing), found, "agent, ringing: {ringing}");
        assert_eq!(arrived(Destination::Device("PJSIP/102".into()), ringing), found, "device, ringing: {ringing}");
        assert_eq!(arrived(Destination::Agent("cy".into()), ringing), (None, None), "somebody else");
        assert_eq!(arrived(Destination::Device("PJSIP/103".into()), ringing), (None, None), "another device");
    }
}

#[test]
fn who_was_only_consulted_is_not_whom_a_transfer_to_a_queue_reached() {
    let r = with_ann(vec![
        (5_000, consulted("ann", "bob")),
        (6_000, answered("bob", None)),
        (9_000, transferred("ann", TransferKind::Attended, Destination::Queue("support".into()))),
        (9_500, queued("support")),
    ]);
    assert_eq!(
        r.segments.iter().map(|s| s.transfer_in).collect::<Vec<_>>(),
        [None, None, Some(TransferKind::Attended)]
    );
}

#[test]
fn a_transfer_told_after_the_release_is_the_releasing_agents_not_the_waiting_callers() {
    let to = Destination::Queue("support".into());
    let r = with_ann(vec![
        (10_000, released("ann", Party::Agent)),
        (10_000, queued("support")),
        (12_000, transferred("ann", TransferKind::Blind, to)),
    ]);
    assert_eq!(r.segments.iter().map(|s| s.transfer_out.is_some()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(r.segments[0].talk_ms, Some(9_000), "the talk had ended before");
}

#[test]
fn ringing_of_a_consulted_agent_is_no_stay_of_the_caller() {
    let r = with_ann(vec![
        (5_000, consulted("ann", "bob")),
        (5_000, alerting("bob", None)),
        (9_000, cancelled("bob")),
        (30_000, ended(Party::Caller)),
    ]);
    assert_eq!((r.segments.len(), r.ignored), (1, 0));
}

#[test]
fn a_missed_ringing_is_made_good_by_its_rona_only_while_the_caller_waits() {
    let told: Event = Rona {
        agent: "ann".into(),
        device: None,
        queue: Some("sales".into()),
        rang_ms: Some(5_000),
        reason: RonaReason::NoAnswer,
        team: None,
    }
    .into();
    let r = call(vec![(0, queued("sales")), (9_000, told.clone())]);
    assert_eq!((r.segments[0].alerts[0].at, r.segments[0].alerts[0].rang_ms), (Time(4_000), Some(5_000)));
    let r = call(vec![(0, queued("sales")), (8_000, dequeued("sales", QueueExit::Timeout)), (9_000, told)]);
    assert_eq!((r.segments[0].alerts.len(), r.ignored), (0, 1));
}

#[test]
fn leaving_a_queue_whose_entry_was_missed_touches_no_other_stay() {
    let r =
        call(vec![(0, queued("sales")), (5_000, queued("support")), (9_000, dequeued("billing", QueueExit::Timeout))]);
    let exits: Vec<_> = r.segments.iter().map(|s| s.exit).collect();
    assert_eq!(exits, [Some(QueueExit::Overflow), None, Some(QueueExit::Timeout)]);
}

#[test]
fn a_diversion_is_at_the_gate_unless_the_call_is_in_that_queue_or_leaves_it_now() {
    let at_gate = |events: Vec<(i64, Event)>| {
        let r = call(events);
        (r.diversions[0].at_gate, r.diversions[0].queue.as_ref().map(|q| q.as_str().to_owned()))
    };
    let sales = Some("sales".to_owned());
    assert_eq!(at_gate(vec![(0, queued("sales")), (5_000, diverted(None))]), (false, sales.clone()));
    let leave = (9_000, dequeued("sales", QueueExit::DivertedChat));
    assert_eq!(at_gate(vec![(0, queued("sales")), leave.clone(), (9_000, diverted(None))]), (false, sales.clone()));
    assert_eq!(at_gate(vec![(0, queued("sales")), leave, (9_500, diverted(Some("sales")))]), (true, sales));
    let meant_for_support = vec![(0, queued("sales")), (5_000, diverted(Some("support")))];
    assert_eq!(at_gate(meant_for_support), (true, Some("support".to_owned())));
    assert_eq!(at_gate(vec![(0, alerting("ann", None)), (5_000, diverted(None))]), (true, None), "a direct call");
}

#[test]
fn who_is_on_hold_when_the_call_ends_was_left_there_unless_the_call_goes_on_or_was_lost() {
    let on_hold = |end: Event| with_ann(vec![(5_000, held("ann")), (9_000, end)]).segments[0].ended_on_hold;
    assert_eq!([on_hold(ended(Party::Caller)), on_hold(merged()), on_hold(lost())], [true, false, false]);
    assert!(!with_ann(vec![(9_000, ended(Party::Caller))]).segments[0].ended_on_hold, "nobody was on hold");
    let waiting = |end: Event| call(vec![(0, queued("sales")), (9_000, end)]).segments[0].exit;
    assert_eq!([waiting(merged()), waiting(lost())], [Some(QueueExit::Overflow), Some(QueueExit::SourceLost)]);
    assert_eq!(waiting(ended(Party::System)), Some(QueueExit::Error));
}

#[test]
fn a_queue_entered_after_an_answer_of_another_queue_is_a_new_stay() {
    let r = call(vec![(5_000, answered("ann", Some("support"))), (6_000, queued("sales"))]);
    assert_eq!(queues(&r), [Some("support"), Some("sales")]);
}

#[test]
fn what_the_first_offer_says_of_the_call_stays() {
    let offer = |trunk: &str, digits: &str| Offered {
        direction: Direction::Inbound,
        ani: Some(model::Number::plain(digits)),
        dnis: None,
        trunk: Some(trunk.into()),
        agent: None,
    };
    let again = Offered { direction: Direction::Outbound, dnis: Some(model::Number::plain("9")), ..offer("t2", "2") };
    let r = call(vec![(1_000, offer("t1", "1").into()), (2_000, again.into())]);
    assert_eq!((r.offered_at, r.direction, r.trunk), (Time(1_000), Direction::Inbound, Some("t1".into())));
    assert_eq!((r.ani, r.dnis), (Some(model::Number::plain("1")), Some(model::Number::plain("9"))));
}

#[test]
fn a_call_first_heard_of_in_the_middle_begins_there() {
    assert_eq!(
        call(vec![(5_000, queued("sales")), (9_000, offered())]).offered_at,
        Time(9_000),
        "its offer says better"
    );
    assert_eq!(call(vec![(5_000, queued("sales"))]).offered_at, Time(5_000));
    let void = marked(event("call/c1", 3_000, lost()), Quality::Inferred);
    let r = fold([void, event("call/c1", 5_000, queued("sales"))]);
    assert_eq!((r.closed, r.offered_at, r.inferred), (false, Time(3_000), 1), "a void end is a first sign too");
}

#[test]
fn only_what_was_seen_of_a_living_call_voids_an_end_that_was_concluded() {
    let closed_after = |e: model::Envelope| {
        fold([event("call/c1", 0, queued("sales")), marked(event("call/c1", 9_000, lost()), Quality::Inferred), e])
            .closed
    };
    assert!(!closed_after(event("call/c1", 12_000, ivr("main"))));
    assert!(
        closed_after(event("call/c1", 12_000, attached("order", "17"))),
        "data may be attached to a call that is over"
    );
    assert!(closed_after(marked(event("call/c1", 12_000, ivr("main")), Quality::Inferred)), "concluded itself");
}

#[test]
fn a_call_told_by_two_sources_keeps_who_told_what_when_stored() {
    let mut second = event("call/c1", 4_000, attached("order", "17"));
    (second.source, second.tenant, second.seq) = ("crm".into(), Some("shop".into()), Some(7));
    second.cause_id = Some(EventId::new("because"));
    second.observed_time = Some(Time(4_500));
    let first = event("call/c1", 0, queued("sales"));
    let r = fold([first.clone(), second.clone()]);
    assert_eq!((r.source.as_str(), r.tenant.as_str()), ("pbx1", "acme"));
    assert_eq!(r.envelopes().collect::<Vec<_>>(), [first.clone(), second.clone()]);
    let read = Record::decode(&r.encode()).unwrap();
    assert_eq!(read.envelopes().collect::<Vec<_>>(), [first, second]);
}

#[test]
fn the_stored_form_keeps_what_was_dropped_and_has_the_bound_of_a_call() {
    let many = |n: usize| call((0..n).map(|i| (i as i64, attached("n", &i.to_string()))).collect());
    for (n, dropped) in [(3, 0), (EVENTS_MAX, 0), (EVENTS_MAX + 5, 5)] {
        let r = many(n);
        let text = String::from_utf8(r.encode()).unwrap();
        assert_eq!((Record::decode(text.as_bytes()).unwrap(), r.dropped), (r, dropped), "{n}");
        assert_eq!(text.contains("\"dropped\""), dropped > 0, "nothing dropped is not stored");
    }
    let whole: serde_json::Value = serde_json::from_slice(&many(EVENTS_MAX).encode()).unwrap();
    let mut longer = whole.clone();
    longer["events"].as_array_mut().unwrap().push(whole["events"][0].clone());
    let told = Record::decode(&serde_json::to_vec(&longer).unwrap()).unwrap_err().to_string();
    assert!(told.contains("1001 events"), "{told}");
}

#[test]
fn while_two_agents_talk_each_event_is_of_the_agent_it_names() {
    let both = |more: Vec<(i64, Event)>| {
        let mut events = vec![(5_000, consulted("ann", "bob")), (6_000, answered("bob", None))];
        events.extend(more);
        with_ann(events)
    };
    let r = both(vec![(8_000, held("ann"))]);
    assert_eq!(r.segments.iter().map(|s| s.held.len()).collect::<Vec<_>>(), [1, 0]);
    let r = both(vec![(8_000, released("ann", Party::Agent))]);
    assert_eq!(r.segments.iter().map(|s| s.released_at).collect::<Vec<_>>(), [Some(Time(8_000)), None]);
    let r = both(vec![(8_000, wrapped_up("ann", 2_000))]);
    assert_eq!(r.segments.iter().map(|s| s.wrap_up_ms).collect::<Vec<_>>(), [2_000, 0]);
}

#[test]
fn in_a_conference_both_agents_talk_on_and_it_is_counted() {
    let r = with_ann(vec![
        (5_000, conference("ann")),
        (6_000, answered("bob", None)),
        (7_000, retrieved("ann")),
        (8_000, answered("cy", None)),
    ]);
    assert_eq!(r.segments.iter().filter(|s| s.talking()).count(), 3);
    assert_eq!(
        (r.segments[0].conferenced_at.as_slice(), r.ignored),
        ([Time(5_000)].as_slice(), 1),
        "nobody was on hold"
    );
    assert_eq!(count(&r, Dim::Queue, "sales", Field::Conferences), 1);
    assert_eq!(call(vec![(0, queued("sales")), (1_000, conference("ann"))]).ignored, 1, "nobody talks");
}

#[test]
fn a_hold_told_twice_is_one_hold() {
    let r = with_ann(vec![(5_000, held("ann")), (6_000, held("ann")), (8_000, retrieved("ann"))]);
    assert_eq!((r.segments[0].held.len(), r.segments[0].hold_ms, r.ignored), (1, 3_000, 1));
}

#[test]
fn an_agent_may_answer_the_same_call_a_second_time() {
    let r = with_ann(vec![(9_000, queued("sales")), (20_000, answered("ann", Some("sales")))]);
    assert_eq!((agents(&r), r.ignored), (vec![Some("ann"), Some("ann")], 0));
    assert_eq!(with_ann(vec![(20_000, answered("ann", Some("sales")))]).ignored, 1, "told again");
}

#[test]
fn a_release_ends_the_talk_when_it_is_told_not_when_the_call_ends() {
    let r = with_ann(vec![(9_000, released("ann", Party::Agent)), (50_000, ended(Party::Caller))]);
    let s = &r.segments[0];
    assert_eq!((s.talk_ms, s.ended_by, s.ended_on_hold), (Some(8_000), Some(Party::Agent), false));
}

#[test]
fn a_talk_that_the_vendor_tells_afterwards_is_of_the_agent_who_had_it() {
    let to = Destination::Agent("bob".into());
    let r = with_ann(vec![
        (10_000, transferred("ann", TransferKind::Blind, to)),
        (11_000, answered("bob", None)),
        (12_000, talk_told(Some("ann"), 8_500)),
    ]);
    assert_eq!(
        r.segments.iter().map(|s| (s.talk_ms, s.talking())).collect::<Vec<_>>(),
        [(Some(8_500), false), (None, true)]
    );
    let nobody_named = with_ann(vec![
        (10_000, released("ann", Party::Agent)),
        (11_000, queued("support")),
        (12_000, talk_told(None, 8_500)),
    ]);
    assert_eq!(nobody_named.segments[0].talk_ms, Some(8_500), "who waits has not talked");
    assert!(nobody_named.segments[1].waiting());
}

#[test]
fn a_release_belongs_to_the_talk_whose_end_was_only_concluded() {
    let r = with_ann(vec![
        (10_000, queued("sales")),
        (20_000, answered("ann", Some("sales"))),
        (30_000, released("ann", Party::Agent)),
        (31_000, talk_told(Some("ann"), 8_000)),
    ]);
    let talks: Vec<_> = r.segments.iter().map(|s| (s.talk_ms, s.release_implied)).collect();
    assert_eq!(talks, [(Some(8_000), false), (Some(10_000), false)]);
}

#[test]
fn a_talk_whose_answer_was_missed_began_so_long_before_its_end() {
    let told = vec![
        (0, queued("sales")),
        (5_000, dequeued("sales", QueueExit::Answered)),
        (30_000, talk_told(Some("ann"), 20_000)),
    ];
    let r = call(told);
    let s = &r.segments[0];
    assert_eq!((s.answered_at, s.talk_ms, agents(&r)), (Some(Time(10_000)), Some(20_000), vec![Some("ann")]));
    assert_eq!((s.released_at, s.ended_by, r.ignored), (Some(Time(30_000)), Some(Party::Agent), 0));
    let waiting = call(vec![(0, queued("sales")), (30_000, talk_told(Some("ann"), 20_000))]);
    assert_eq!((waiting.segments[0].wait_ms, waiting.segments[0].exit), (Some(10_000), Some(QueueExit::Answered)));
    let gave_up = call(vec![
        (0, queued("sales")),
        (5_000, dequeued("sales", QueueExit::Timeout)),
        (30_000, talk_told(Some("ann"), 20_000)),
    ]);
    assert_eq!((gave_up.segments[0].answered_at, gave_up.ignored), (None, 1), "the queue had given it up");
}

#[test]
fn recordings_and_data_are_kept_with_the_call() {
    let r = call(vec![
        (0, queued("sales")),
        (1_000, attached("order", "17")),
        (2_000, attached("order", "18")),
        (3_000, RecordingReady { location: "rec/1.wav".into() }.into()),
    ]);
    assert_eq!(
        (r.attached["order"].as_str(), r.recordings.as_slice(), r.ignored),
        ("18", ["rec/1.wav".to_owned()].as_slice(), 0)
    );
}
