//! The core, alone: determinism, and that what the PBX says and what the ledger holds are one story.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Event, START_MS, play, small};
use simulator::truth::{Exit, State};
use simulator::{Centre, Config};

#[test]
fn the_same_seed_gives_the_same_bytes_however_time_is_cut() {
    let config = small();
    let plan = std::sync::Arc::new(config.plan().unwrap());
    let run = |step_ms: i64| {
        let mut centre = Centre::new(plan.clone(), 7, START_MS);
        let mut bytes = Vec::new();
        for at in (0..1_800_000).step_by(step_ms as usize) {
            centre.advance(START_MS + at);
            for frame in centre.take_frames() {
                bytes.extend_from_slice(&frame.text);
            }
        }
        centre.advance(START_MS + 1_800_000);
        centre.take_frames().iter().for_each(|frame| bytes.extend_from_slice(&frame.text));
        bytes
    };
    let whole = run(1_800_000);
    assert!(whole.len() > 1_000_000, "only {} bytes in half an hour", whole.len());
    assert!(whole == run(1_800_000), "two runs of one seed differ");
    assert!(whole == run(777), "cutting time into steps of 777 ms changes what is said");
}

#[test]
fn another_seed_gives_another_story() {
    let plan = std::sync::Arc::new(small().plan().unwrap());
    let texts = |seed| {
        let mut centre = Centre::new(plan.clone(), seed, START_MS);
        centre.advance(START_MS + 60_000);
        centre.take_frames()
    };
    assert!(texts(1) != texts(2));
}

#[test]
fn when_the_callers_stop_the_centre_empties() {
    let (centre, said) = play(&small(), 11);
    assert!(centre.is_finished());
    assert_eq!(centre.gauge().channels, 0, "channels are left over");
    assert_eq!(centre.truth().open().count(), 0);
    let mut up = BTreeSet::new();
    let mut bridged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in &said {
        match event.name() {
            "Newchannel" => assert!(up.insert(event["Uniqueid"].clone()), "{} twice", event["Uniqueid"]),
            "Hangup" => assert!(up.remove(&event["Uniqueid"]), "{} was never there", event["Uniqueid"]),
            "BridgeEnter" => {
                let members = bridged.entry(event["BridgeUniqueid"].clone()).or_default();
                assert!(members.insert(event["Uniqueid"].clone()));
                assert_eq!(event["BridgeNumChannels"], members.len().to_string());
            }
            "BridgeLeave" => {
                let members = bridged.get_mut(&event["BridgeUniqueid"]).expect("a bridge that was entered");
                assert!(members.remove(&event["Uniqueid"]), "{event:?}");
                assert_eq!(event["BridgeNumChannels"], members.len().to_string());
            }
            "BridgeDestroy" => {
                let members = bridged.remove(&event["BridgeUniqueid"]).expect("a bridge that was made");
                assert!(members.is_empty(), "{members:?} are in a bridge that goes");
            }
            _ => {}
        }
    }
    assert!(up.is_empty() && bridged.is_empty());
}

/// What a listener who knows the traps makes of the events of a queue.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    joined: u64,
    answered: u64,
    abandoned: u64,
    timed_out: u64,
    rona: u64,
    wait_s: i64,
}

fn hear(said: &[Event]) -> BTreeMap<String, Heard> {
    let mut queues: BTreeMap<String, Heard> = BTreeMap::new();
    let mut hung_up = BTreeSet::new();
    for event in said {
        match event.name() {
            "HangupRequest" => {
                hung_up.insert(event["Uniqueid"].clone());
            }
            "QueueCallerJoin" => queues.entry(event["Queue"].clone()).or_default().joined += 1,
            "AgentConnect" => {
                let queue = queues.entry(event["Queue"].clone()).or_default();
                queue.answered += 1;
                queue.wait_s += event["HoldTime"].parse::<i64>().unwrap();
            }
            "QueueCallerAbandon" => {
                let queue = queues.entry(event["Queue"].clone()).or_default();
                // The trap: the same event on a timeout. Only who asked to hang up has abandoned.
                match hung_up.contains(&event["Uniqueid"]) {
                    true => queue.abandoned += 1,
                    false => queue.timed_out += 1,
                }
            }
            "AgentRingNoAnswer" => queues.entry(event["Queue"].clone()).or_default().rona += 1,
            _ => {}
        }
    }
    queues
}

#[test]
fn what_is_heard_and_what_is_true_agree_for_every_queue() {
    let (centre, said) = play(&small(), 5);
    let heard = hear(&said);
    for queue in centre.truth().queues() {
        let heard = &heard[&queue.queue];
        let exits = |exit| queue.exits.get(&exit).copied().unwrap_or(0);
        let full = exits(Exit::Full);
        assert_eq!(heard.joined, queue.offered - full, "{}", queue.queue);
        assert_eq!(heard.answered, exits(Exit::Answered));
        assert_eq!(heard.abandoned, exits(Exit::Abandoned) + exits(Exit::AbandonedRinging));
        assert_eq!(heard.timed_out, exits(Exit::Timeout) + exits(Exit::Overflow));
        assert_eq!(heard.rona, queue.rona);
        assert_eq!(queue.offered, queue.exits.values().sum::<u64>());
        let off_ms = heard.wait_s * 1000 - queue.answered_wait_ms;
        assert!(off_ms.unsigned_abs() <= heard.answered * 1000, "whole seconds cannot be off by {off_ms} ms");
    }
    let all = |exit| -> u64 { centre.truth().queues().iter().filter_map(|queue| queue.exits.get(&exit)).sum() };
    for exit in [Exit::Answered, Exit::Abandoned, Exit::AbandonedRinging, Exit::Timeout, Exit::Overflow] {
        assert!(all(exit) > 0, "nobody ever left by {exit:?}: the story is too poor to test with");
    }
}

#[test]
fn every_kind_of_event_is_heard_in_one_busy_hour() {
    let (centre, said) = play(&small(), 5);
    let names: BTreeSet<&str> = said.iter().map(Event::name).collect();
    for name in [
        "AgentCalled",
        "AgentComplete",
        "AgentConnect",
        "AgentRingNoAnswer",
        "AttendedTransfer",
        "BlindTransfer",
        "BridgeMerge",
        "Cdr",
        "DTMFEnd",
        "DeviceStateChange",
        "Hold",
        "LocalBridge",
        "NewCallerid",
        "QueueMemberAdded",
        "QueueMemberPause",
        "QueueMemberRemoved",
        "QueueMemberStatus",
        "Unhold",
        "UserEvent",
    ] {
        assert!(names.contains(name), "{name} is never said");
    }
    let kinds: BTreeSet<String> = centre
        .truth()
        .ended()
        .flat_map(|call| call.transfers.iter().map(|transfer| format!("{:?}", transfer.how)))
        .collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

#[test]
fn an_agents_states_fill_the_whole_time_and_match_the_calls() {
    let (centre, _) = play(&small(), 5);
    let now = centre.now_ms();
    let mut talk: BTreeMap<&str, i64> = BTreeMap::new();
    let calls: Vec<_> = centre.truth().ended().collect();
    for visit in calls.iter().flat_map(|call| &call.visits) {
        if let Some(agent) = &visit.agent {
            *talk.entry(agent).or_default() += visit.talk_ms + visit.hold_ms;
            assert_eq!(visit.exit, Some(Exit::Answered));
            assert_eq!(visit.ended_ms.unwrap() - visit.left_ms.unwrap(), visit.talk_ms + visit.hold_ms);
        }
    }
    for agent in centre.truth().agents(now) {
        let first = agent.changes.front().unwrap().at_ms;
        let all: i64 = agent.in_state_ms.values().sum();
        assert!(now - first <= all && all <= now - START_MS, "{}", agent.agent);
        let busy =
            agent.in_state_ms.get(&State::Talking).unwrap_or(&0) + agent.in_state_ms.get(&State::Holding).unwrap_or(&0);
        let queued = talk.get(agent.agent.as_str()).copied().unwrap_or(0);
        assert!(busy >= queued, "{}: {busy} ms in conversation, {queued} ms of it for queues", agent.agent);
    }
}

#[test]
fn a_default_centre_starts_busy() {
    let plan = std::sync::Arc::new(Config::default().plan().unwrap());
    for hour in [0, 4, 9, 15, 21] {
        let mut centre = Centre::new(plan.clone(), 1, START_MS + hour * 3_600_000);
        let gauge = centre.gauge();
        assert_eq!(gauge.agents.values().sum::<usize>(), 40);
        assert_eq!(gauge.agents.get(&State::Offline), None, "{gauge:?}");
        assert!(gauge.agents[&State::Talking] >= 10, "{gauge:?}");
        assert!(centre.take_frames().is_empty(), "the warm-up is unheard");
        centre.advance(START_MS + hour * 3_600_000 + 2_000);
        let said = centre.take_frames().len();
        assert!(said >= 3, "{said} events in two seconds, {hour} h");
    }
}

#[test]
fn arrivals_come_at_the_rate_of_the_hour_and_of_the_flood() {
    let mut config = small();
    config.warm_up = service::Millis::new(0);
    config.arrivals.calls_per_hour = 3_600.0;
    config.arrivals.profile = (0..24).map(|hour| if hour == 1 { 0.5 } else { 1.0 }).collect();
    config.arrivals.redial_share = 0.0;
    config.arrivals_for = service::Millis::new(0);
    config.groups.iter_mut().for_each(|group| group.calls_out_per_hour = 0.0);
    let plan = std::sync::Arc::new(config.plan().unwrap());
    let mut centre = Centre::new(plan, 3, START_MS);
    let mut count = |minutes: i64| {
        let before = centre.gauge().calls_begun;
        centre.advance(centre.now_ms() + minutes * 60_000);
        centre.gauge().calls_begun - before
    };
    let first = count(60);
    let second = count(60);
    assert!((3_300..3_900).contains(&first), "{first}");
    assert!((1_600..2_000).contains(&second), "{second}");
    centre.flood(4.0, 600_000);
    let before = centre.gauge().calls_begun;
    centre.advance(centre.now_ms() + 600_000);
    let flood = centre.gauge().calls_begun - before;
    assert!((2_200..2_600).contains(&flood), "{flood}");
    assert!((centre.flood_factor() - 1.0).abs() < f64::EPSILON, "the flood is over");
}

/// The header lists of each event, as a real PBX sent them, with the snapshots written out.
fn real_headers() -> BTreeMap<String, BTreeSet<Vec<String>>> {
    let channel = "Channel ChannelState ChannelStateDesc CallerIDNum CallerIDName ConnectedLineNum ConnectedLineName Language \
                   AccountCode Context Exten Priority Uniqueid Linkedid";
    let bridge =
        "BridgeUniqueid BridgeType BridgeTechnology BridgeCreator BridgeName BridgeNumChannels BridgeVideoSourceMode";
    let mut all: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    for line in include_str!("asterisk22.txt").lines().filter(|line| !line.starts_with('#')) {
        let (name, words) = line.split_once(": ").unwrap();
        let mut keys = vec!["Event".to_owned()];
        for word in words.split(' ') {
            let snapshot = match word.as_bytes()[0] {
                b'{' => channel,
                b'[' => bridge,
                _ => "",
            };
            let prefix = word.trim_matches(['{', '}', '[', ']']);
            keys.extend(snapshot.split_whitespace().map(|key| format!("{prefix}{key}")));
            keys.extend(snapshot.is_empty().then(|| word.to_owned()));
        }
        all.entry(name.to_owned()).or_default().insert(keys);
    }
    all
}

#[test]
fn every_event_has_the_headers_of_a_real_asterisk_in_their_order() {
    let real = real_headers();
    let (_, said) = play(&small(), 5);
    let mut centre = Centre::new(std::sync::Arc::new(small().plan().unwrap()), 5, START_MS);
    centre.advance(START_MS + 1_800_000);
    let lists = [
        centre.list_channels(Some("1")).text,
        centre.list_bridges(Some("1")).text,
        centre.list_devices(Some("1")).text,
        centre.list_queues(None, Some("1")).text,
        centre.list_summaries(None, Some("1")).text,
    ];
    let items = lists.iter().flat_map(|list| list.split_terminator("\r\n\r\n")).map(Event::read);
    let mut seen = BTreeSet::new();
    for event in said.iter().cloned().chain(items) {
        let forms = real.get(event.name()).unwrap_or_else(|| panic!("a real Asterisk says no {}", event.name()));
        let mut keys = event.keys.clone();
        if let Some(own) = keys.iter().position(|key| key == "UserEvent") {
            keys.truncate(own + 1);
        }
        assert!(forms.contains(&keys), "{} has {keys:?}, a real one {forms:?}", event.name());
        seen.insert(event.name().to_owned());
    }
    assert!(seen.len() >= 35 && seen.contains("CoreShowChannel") && seen.contains("QueueEntry"), "only {seen:?}");
}
