//! Single rules of the centre, each with calls placed by hand.

mod common;

use std::sync::Arc;

use common::{START_MS, events};
use service::Millis;
use simulator::orders::Wish;
use simulator::truth::{Call, EndedBy, Exit, RingEnd};
use simulator::{Centre, Config, Kind, Law};

/// A centre to which nobody comes but who is sent, whose agents always answer after two seconds and never pause.
fn quiet(change: impl FnOnce(&mut Config)) -> Centre {
    let mut config = Config { time_zone: "UTC".to_owned(), warm_up: Millis::new(0), ..Default::default() };
    config.arrivals.calls_per_hour = 0.0;
    config.arrivals.redial_share = 0.0;
    config.manners.answer_after = Law { kind: Kind::Fixed, mean: Millis::seconds(2), spread: 0.0 };
    config.manners.rona_share = 0.0;
    config.manners.refuse_share = 0.0;
    for group in &mut config.groups {
        group.pauses.clear();
        group.calls_out_per_hour = 0.0;
    }
    change(&mut config);
    let mut centre = Centre::new(Arc::new(config.plan().unwrap()), 1, START_MS);
    centre.advance(START_MS + 5_000);
    centre.take_frames();
    centre
}

/// Only agents of these groups come to work.
fn only(config: &mut Config, groups: &[(&str, u32)]) {
    config.groups.retain(|group| groups.iter().any(|(id, _)| group.id == *id));
    for group in &mut config.groups {
        group.agents = groups.iter().find(|(id, _)| group.id == *id).map_or(0, |(_, n)| *n);
    }
}

fn wish(patience_ms: i64, talk_ms: i64) -> Wish {
    Wish { patience_ms: Some(patience_ms), talk_ms: Some(talk_ms), plain: Some(true) }
}

fn ended(centre: &Centre) -> Vec<Call> {
    centre.truth().ended().cloned().collect()
}

fn play_on(centre: &mut Centre, ms: i64) {
    centre.advance(centre.now_ms() + ms);
}

#[test]
fn an_agent_in_wrap_up_is_not_rung_before_it_is_over() {
    let mut centre = quiet(|config| only(config, &[("support", 1)]));
    centre.place_call("5002", 1, wish(600_000, 5_000)).unwrap();
    play_on(&mut centre, 1_000);
    centre.place_call("5002", 2, wish(600_000, 5_000)).unwrap();
    play_on(&mut centre, 60_000);
    let calls = ended(&centre);
    let (first, second) = (&calls[0].visits[0], &calls[1].visits[0]);
    assert_eq!((first.talk_ms, first.hold_ms, first.wrap_up_ms), (5_000, 0, 15_000));
    assert_eq!(second.rings[0].at_ms, first.ended_ms.unwrap() + 15_000);
    assert_eq!(second.wait_ms, Some(second.rings[0].at_ms + 2_000 - second.queued_ms));
}

#[test]
fn who_has_less_penalty_is_rung_first() {
    let mut centre = quiet(|config| only(config, &[("support", 2), ("senior", 2)]));
    for n in 0..3 {
        centre.place_call("5002", n, wish(600_000, 60_000)).unwrap();
        play_on(&mut centre, 1_000);
    }
    play_on(&mut centre, 120_000);
    let mut agents: Vec<_> = ended(&centre).iter().map(|call| call.visits[0].agent.clone().unwrap()).collect();
    agents.sort();
    assert_eq!(agents[..2], ["Agent 1101", "Agent 1102"]);
    assert!(agents[2].starts_with("Agent 13"), "{agents:?}");
}

#[test]
fn a_heavier_queue_gets_the_free_agent_first() {
    let mut centre = quiet(|config| only(config, &[("senior", 1)]));
    centre.place_call("5002", 1, wish(600_000, 5_000)).unwrap();
    play_on(&mut centre, 1_000);
    centre.place_call("5002", 2, wish(600_000, 5_000)).unwrap();
    play_on(&mut centre, 1_000);
    centre.place_call("5008", 3, wish(600_000, 5_000)).unwrap();
    play_on(&mut centre, 120_000);
    let order: Vec<_> = ended(&centre).iter().map(|call| call.number.clone()).collect();
    assert_eq!(order, ["1", "3", "2"]);
}

#[test]
fn a_caller_who_waits_too_long_overflows_and_may_be_let_go() {
    let mut centre = quiet(|config| {
        only(config, &[("billing", 1)]);
        config.groups[0].skills.retain(|skill| skill.queue == "billing");
    });
    centre.place_call("5001", 1, wish(600_000, 5_000)).unwrap();
    play_on(&mut centre, 300_000);
    let call = &ended(&centre)[0];
    let exits: Vec<_> = call.visits.iter().map(|visit| (visit.queue.as_str(), visit.exit, visit.wait_ms)).collect();
    let expected = [("sales", Some(Exit::Overflow), Some(60_000)), ("support", Some(Exit::Timeout), Some(120_000))];
    assert_eq!(exits, expected);
    assert_eq!(call.ended_by, Some(EndedBy::System));
    let said = events(&centre.take_frames());
    let asked_to_hang_up = said.iter().filter(|event| event.name() == "HangupRequest").count();
    let abandons = said.iter().filter(|event| event.name() == "QueueCallerAbandon").count();
    assert_eq!(
        (asked_to_hang_up, abandons),
        (0, 2),
        "the PBX says QueueCallerAbandon on a timeout, without a HangupRequest"
    );
}

#[test]
fn a_caller_may_leave_while_a_phone_rings() {
    let mut centre = quiet(|config| only(config, &[("support", 1)]));
    centre.place_call("5002", 1, wish(1_200, 5_000)).unwrap();
    play_on(&mut centre, 30_000);
    let call = &ended(&centre)[0];
    assert_eq!(call.visits[0].exit, Some(Exit::AbandonedRinging));
    assert_eq!(call.visits[0].rings[0].outcome, Some(RingEnd::CallerLeft));
    assert_eq!((call.visits[0].rings[0].ring_ms, call.visits[0].wait_ms), (Some(1_200), Some(1_200)));
}

#[test]
fn a_full_queue_lets_nobody_in() {
    let mut centre = quiet(|config| {
        only(config, &[("sales", 1)]);
        config.queues.iter_mut().for_each(|queue| queue.length_max = 1);
    });
    for n in 1..=2 {
        centre.place_call("5008", n, wish(10_000, 5_000)).unwrap();
        play_on(&mut centre, 100);
    }
    play_on(&mut centre, 30_000);
    let calls = ended(&centre);
    assert_eq!((calls[0].number.as_str(), calls[0].visits[0].exit), ("2", Some(Exit::Full)));
    let said = events(&centre.take_frames());
    assert_eq!(said.iter().filter(|event| event.name() == "QueueCallerJoin").count(), 1);
    let left = said.iter().find(|event| event.get("UserEvent") == Some("QueueLeft")).unwrap();
    assert_eq!(left["QueueStatus"], "FULL");
}

#[test]
fn a_phone_that_rings_out_is_told_in_milliseconds_and_the_caller_tries_on() {
    let mut centre = quiet(|config| {
        only(config, &[("support", 1)]);
        config.manners.rona_share = 1.0;
    });
    centre.place_call("5002", 1, wish(40_000, 5_000)).unwrap();
    play_on(&mut centre, 60_000);
    let rings = &ended(&centre)[0].visits[0].rings;
    assert_eq!(rings[0].outcome, Some(RingEnd::RangOut));
    assert_eq!(rings[1].at_ms, rings[0].at_ms + 15_000 + 1_000, "the next try is a retry later");
    let said = events(&centre.take_frames());
    let no_answer = said.iter().find(|event| event.name() == "AgentRingNoAnswer").unwrap();
    assert_eq!(no_answer["RingTime"], "15000");
}
