//! Agents, devices, queues and sources: given what was said of them, in any order, then what is so and what it counts for.

use std::collections::BTreeMap;

use crate::story::*;
use model::event::agent::{self, State};
use model::event::{device, queue, source};
use model::{Envelope, Event, Quality, Time};
use stats::agent::Change;
use stats::{Dim, Field, Grains, Rows, Tally};

const DAY: i64 = 86_400_000;

fn agent_of(events: Vec<Envelope>) -> (stats::agent::State, Tally, Vec<Change>) {
    let mut state = stats::agent::State::new("ann".into(), "pbx1".into(), "acme".into());
    let mut rows = Rows::new(Grains::default());
    let changes = events.iter().map(|e| state.apply(e, &mut rows)).collect();
    (state, event_sum(&rows.sorted(), Dim::Agent, "ann"), changes)
}

fn said(ms: i64, e: impl Into<Event>) -> Envelope {
    event("agent/ann", ms, e)
}

fn state(state: State, reason: Option<&str>, call: Option<&str>) -> agent::StateChanged {
    agent::StateChanged {
        state,
        reason: reason.map(str::to_owned),
        call: call.map(Into::into),
        queue: None,
        team: None,
    }
}

#[test]
fn a_state_told_again_began_when_it_was_first_told() {
    let since = |second: agent::StateChanged| {
        let first = state(State::NotReady, Some("lunch"), Some("c1"));
        agent_of(vec![said(10, first), said(20, second)]).0.live().since
    };
    assert_eq!(since(state(State::NotReady, Some("lunch"), Some("c1"))), Time(10));
    assert_eq!(since(state(State::WrapUp, Some("lunch"), Some("c1"))), Time(20), "another state");
    assert_eq!(since(state(State::NotReady, Some("training"), Some("c1"))), Time(20), "another reason");
    assert_eq!(since(state(State::NotReady, Some("lunch"), Some("c2"))), Time(20), "another call");
}

#[test]
fn logins_logouts_skills_and_marks_are_each_counted_or_kept() {
    let skills = BTreeMap::from([("sales".into(), 2)]);
    let (s, t, _) = agent_of(vec![
        said(0, agent::LoggedIn { device: Some("PJSIP/101".into()), team: Some("red".into()) }),
        said(1_000, agent::SkillsChanged { skills: skills.clone(), team: None }),
        marked(said(2_000, state(State::Ready, None, None)), Quality::Late),
        said(9_000, agent::LoggedOut::default()),
    ]);
    assert_eq!((t.get(Field::Logins), t.get(Field::Logouts), t.get(Field::Late)), (1, 1, 1));
    let live = s.live();
    assert_eq!((live.skills, live.device, live.team), (skills, Some("PJSIP/101".into()), Some("red".into())));
    assert_eq!((live.state, live.logged_in_since, live.last_at), (None, None, Time(9_000)));
}

#[test]
fn a_word_is_taken_up_to_a_day_late_and_refused_after() {
    let (s, t, changes) = agent_of(vec![
        said(DAY, state(State::NotReady, None, None)),
        said(0, state(State::Ready, None, None)),
        said(-1, state(State::Talking, None, None)),
        said(-2, state(State::Talking, None, None)),
        said(DAY, state(State::NotReady, None, None)),
    ]);
    assert_eq!(changes, [Change::Changed, Change::Changed, Change::Refused, Change::Refused, Change::Unchanged]);
    assert_eq!((s.refused, t.get(Field::ReadyMs)), (2, DAY));
    let mut phone = stats::device::State::new("d".into(), "pbx1".into(), "acme".into());
    let mut rows = Rows::new(Grains::default());
    for (ms, change) in [(DAY, Change::Changed), (-1, Change::Refused), (-2, Change::Refused)] {
        assert_eq!(phone.apply(&event("device/d", ms, device::Registered { address: None }), &mut rows), change);
    }
    assert_eq!(phone.refused, 2);
}

#[test]
fn what_no_late_word_can_change_is_settled_and_stored_no_more() {
    let stored = |moments: &[i64]| {
        let talk = |i: usize| if i.is_multiple_of(2) { State::Ready } else { State::NotReady };
        let (s, _, _) =
            agent_of(moments.iter().enumerate().map(|(i, ms)| said(*ms, state(talk(i), None, None))).collect());
        let json = serde_json::to_value(&s).unwrap();
        (json["track"]["points"].as_array().unwrap().len(), s.live().state, s.live().since)
    };
    assert_eq!(stored(&[0, 1_000, DAY]), (3, Some(State::Ready), Time(DAY)), "the first may still be preceded");
    assert_eq!(
        stored(&[0, 1_000, DAY + 1_000]),
        (3, Some(State::Ready), Time(DAY + 1_000)),
        "exactly a day is not older"
    );
    assert_eq!(
        stored(&[0, 1_000, DAY + 1_001]),
        (2, Some(State::Ready), Time(DAY + 1_001)),
        "the last of the old ones is what held"
    );
    assert_eq!(stored(&[0, 500, 1_000, DAY + 1_000]).0, 3, "of the two that are older the last must stay");
    assert_eq!(stored(&[0, 1_000, 2 * DAY, 3 * DAY + 1]), (2, Some(State::NotReady), Time(3 * DAY + 1)));
}

#[test]
fn a_device_that_is_not_registered_is_unavailable_whatever_its_state_was() {
    let mut phone = stats::device::State::new("d".into(), "pbx1".into(), "acme".into());
    let mut rows = Rows::new(Grains::default());
    let mut say = |ms, e: Event| {
        phone.apply(&event("device/d", ms, e), &mut rows);
        let live = phone.live();
        (live.state, live.since, live.registered)
    };
    use device::State::{Idle, InUse, Unavailable};
    let doing = |state| Event::from(device::StateChanged { state });
    assert_eq!(
        say(1_000, device::Registered { address: None }.into()),
        (None, Time(0), Some(true)),
        "nobody said what it does"
    );
    assert_eq!(say(2_000, doing(Idle)), (Some(Idle), Time(2_000), Some(true)));
    assert_eq!(say(3_000, doing(Idle)), (Some(Idle), Time(2_000), Some(true)), "told again");
    assert_eq!(say(4_000, device::Unregistered { reason: None }.into()), (Some(Unavailable), Time(4_000), Some(false)));
    assert_eq!(say(5_000, doing(InUse)), (Some(Unavailable), Time(4_000), Some(false)));
    assert_eq!(say(7_000, device::Registered { address: None }.into()), (Some(InUse), Time(7_000), Some(true)));
    let late = marked(event("device/d", 2_500, doing(Idle)), Quality::Late);
    phone.apply(&late, &mut rows);
    let t = event_sum(&rows.sorted(), Dim::Device, "d");
    assert_eq!((t.get(Field::DeviceIdleMs), t.get(Field::DeviceUnavailableMs), t.get(Field::Late)), (2_000, 3_000, 1));
}

fn queue_of(events: Vec<(i64, Event)>) -> (stats::queue::State, Vec<Change>) {
    let mut q = stats::queue::State::new("sales".into(), "pbx1".into(), "acme".into());
    let changes = events.into_iter().map(|(ms, e)| q.apply(&event("queue/sales", ms, e))).collect();
    (q, changes)
}

fn joined(agent: &str, paused: bool) -> Event {
    queue::MemberAdded { agent: agent.into(), device: Some("PJSIP/101".into()), penalty: 2, paused }.into()
}

fn paused(agent: &str, paused: bool, reason: Option<&str>) -> Event {
    queue::MemberPaused { agent: agent.into(), paused, reason: reason.map(str::to_owned) }.into()
}

fn removed(agent: &str) -> Event {
    queue::MemberRemoved { agent: agent.into() }.into()
}

#[test]
fn a_queue_is_set_up_and_manned_as_was_last_said() {
    let set_up = queue::Configured {
        name: Some("Sales".into()),
        strategy: Some("rrmemory".into()),
        service_level_s: Some(20),
        waiting_max: Some(9),
    };
    let (q, _) = queue_of(vec![
        (0, set_up.into()),
        (1, joined("ann", false)),
        (2, joined("bob", false)),
        (3, paused("ann", true, Some("lunch"))),
        (4, removed("bob")),
    ]);
    let live = q.live();
    assert_eq!(
        (live.name.as_deref(), live.strategy.as_deref(), live.service_level_s, live.waiting_max),
        (Some("Sales"), Some("rrmemory"), Some(20), Some(9))
    );
    let ann = stats::live::Member {
        device: Some("PJSIP/101".into()),
        penalty: 2,
        paused: true,
        reason: Some("lunch".into()),
    };
    assert_eq!(live.members.into_iter().collect::<Vec<_>>(), [("ann".into(), ann)]);
}

#[test]
fn why_an_agent_paused_outlives_a_snapshot_that_only_says_that_they_are() {
    let reason = |events| queue_of(events).0.live().members["ann"].reason.clone();
    let lunch = (1, paused("ann", true, Some("lunch")));
    assert_eq!(
        reason(vec![(0, joined("ann", false)), lunch.clone(), (2, joined("ann", true))]).as_deref(),
        Some("lunch")
    );
    assert_eq!(
        reason(vec![(0, joined("ann", false)), lunch.clone(), (2, joined("ann", false))]),
        None,
        "they came back"
    );
    let old = (1, paused("ann", false, Some("lunch")));
    assert_eq!(
        reason(vec![(0, joined("ann", false)), old, (2, joined("ann", true))]),
        None,
        "that was of another pause"
    );
}

#[test]
fn a_word_about_a_member_changes_the_queue_if_any_of_it_is_news() {
    let (_, changes) = queue_of(vec![
        (5, paused("ann", true, None)),
        (1, joined("ann", false)),
        (1, joined("ann", false)),
        (0, removed("ann")),
    ]);
    assert_eq!(changes, [Change::Changed, Change::Changed, Change::Unchanged, Change::Unchanged]);
}

#[test]
fn who_left_a_queue_is_remembered_for_as_long_as_a_late_word_may_come() {
    let remembered = |more: Vec<(i64, Event)>| {
        let mut events = vec![(0, joined("ann", false)), (1_000, removed("ann")), (1_000, joined("bob", false))];
        events.extend(more);
        let json = serde_json::to_value(queue_of(events).0).unwrap();
        json["members"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(remembered(vec![(DAY + 1_000, joined("cy", false))]), ["ann", "bob", "cy"]);
    assert_eq!(remembered(vec![(DAY + 1_001, joined("cy", false))]), ["bob", "cy"]);
    let paused_after = vec![(2_000, paused("ann", true, None)), (DAY + 1_500, joined("cy", false))];
    assert_eq!(remembered(paused_after), ["ann", "bob", "cy"], "the last word about her is younger");
}

fn source_of(events: Vec<(i64, Event)>) -> (stats::source::State, Tally, Vec<Change>) {
    let mut s = stats::source::State::new("pbx1".into(), "acme".into());
    let mut rows = Rows::new(Grains::default());
    let changes = events.into_iter().map(|(ms, e)| s.apply(&event("source/pbx1", ms, e), &mut rows)).collect();
    (s, event_sum(&rows.sorted(), Dim::Source, "pbx1"), changes)
}

#[test]
fn a_source_is_as_was_last_said_of_its_link_its_beat_and_its_trunks() {
    let up = || Event::from(source::Connected { vendor: "asterisk".into(), version: Some("22".into()) });
    let down = || Event::from(source::Disconnected { reason: "closed".into() });
    let (s, _, changes) = source_of(vec![
        (1_000, up()),
        (5_000, source::Heartbeat { round_trip_ms: Some(3), every_ms: Some(2_000) }.into()),
        (6_000, source::SnapshotTaken { calls: vec![], agents: vec![] }.into()),
        (7_000, source::TrunkUsage { trunk: "t1".into(), in_use: 12, capacity: Some(30) }.into()),
        (8_000, down()),
        (500, up()),
        (8_000, down()),
    ]);
    let live = s.live();
    assert_eq!((live.vendor.as_str(), live.version.as_deref(), live.connected), ("asterisk", Some("22"), Some(false)));
    assert_eq!((live.since, live.reason.as_deref(), live.last_at), (Time(8_000), Some("closed"), Time(8_000)));
    assert_eq!(
        (live.heartbeat_at, live.every_ms, live.snapshot_at),
        (Some(Time(5_000)), Some(2_000), Some(Time(6_000)))
    );
    let trunk = &live.trunks["t1"];
    assert_eq!((trunk.in_use, trunk.capacity, trunk.at), (12, Some(30), Time(7_000)));
    assert_eq!(changes[5..], [Change::Unchanged, Change::Unchanged], "older than what stands, and told again");
    assert!(changes[..5].iter().all(|c| *c == Change::Changed));
}

#[test]
fn a_source_that_comes_back_is_news_even_if_its_vendor_is_not() {
    let up = || Event::from(source::Connected { vendor: "asterisk".into(), version: None });
    let (s, _, changes) =
        source_of(vec![(9_000, source::Disconnected { reason: "closed".into() }.into()), (5_000, up())]);
    assert_eq!((changes[1], s.live().connected), (Change::Changed, Some(false)), "its vendor was not known");
    assert_eq!(source_of(vec![(1_000, up())]).2, [Change::Changed]);
}

#[test]
fn gaps_that_overlap_or_touch_are_counted_once() {
    let gap = |from: i64, to: i64| Event::from(source::Gap { from: Time(from), to: Time(to), reason: String::new() });
    let (s, t, _) = source_of(vec![
        (90_000, gap(10_000, 30_000)),
        (91_000, gap(20_000, 50_000)),
        (92_000, gap(50_000, 60_000)),
        (93_000, gap(95_000, 94_000)),
    ]);
    assert_eq!((t.get(Field::GapMs), s.live().gaps.len()), (50_000, 4));
}

#[test]
fn a_late_word_of_a_device_counts_by_what_was_said_long_before() {
    use device::State::{Idle, InUse};
    let mut phone = stats::device::State::new("d".into(), "pbx1".into(), "acme".into());
    let mut rows = Rows::new(Grains::default());
    let mut say = |ms, e: Event| phone.apply(&event("device/d", ms, e), &mut rows);
    let doing = |state| Event::from(device::StateChanged { state });
    say(0, device::Unregistered { reason: None }.into());
    // more than are kept as they came
    (1..60).for_each(|s| _ = say(s * 1_000, doing(if s % 2 == 0 { Idle } else { InUse })));
    assert_eq!(say(57_500, doing(Idle)), Change::Changed);
    let t = event_sum(&rows.sorted(), Dim::Device, "d");
    let counted = [Field::DeviceUnavailableMs, Field::DeviceIdleMs, Field::DeviceInUseMs].map(|field| t.get(field));
    assert_eq!(counted, [59_000, 0, 0], "it was not registered all the while");
}

#[test]
fn two_of_whom_different_things_were_said_are_not_the_same_though_the_same_holds() {
    let told = |again: i64| {
        let mut phone = stats::device::State::new("d".into(), "pbx1".into(), "acme".into());
        let mut rows = Rows::new(Grains::default());
        for ms in [1_000, again] {
            phone.apply(&event("device/d", ms, device::StateChanged { state: device::State::Idle }), &mut rows);
        }
        phone
    };
    assert_eq!(told(1_500), told(1_500));
    assert_ne!(told(1_500), told(1_600));
}
