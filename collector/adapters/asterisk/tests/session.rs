//! A session against a stand-in PBX: the suite that every adapter passes, logins, broken links, snapshots and gaps.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use adapter::conformance::{Stand, examine};
use adapter::{Adapter, Context, Fault, Known, Session};
use adapter_asterisk::frame::Frame;
use adapter_asterisk::{Asterisk, Config};
use bytes::Bytes;
use model::event::Event;
use model::{Fact, Quality, Time};
use service::{Clock, Millis, Secret, Seeds};
use support::pbx::{Pbx, Script};
use support::story::{BEGIN_US, Story, line};

fn day() -> Story {
    let mut s = Story::default();
    s.member("sales", "PJSIP/101").talk();
    s.at(5000).caller("5").join("5", "sales").at(35_000).given_up("5", "sales").at(36_000).hangup("5", "16");
    s.at(60_000)
        .completed("1", "2", "sales", "caller")
        .on("HangupRequest", "1", &[])
        .hangup("2", "16")
        .hangup("1", "16");
    s
}

fn config(port: u16) -> Config {
    let mut config = Config { port, secret: Secret::plain("s3cret"), ..Config::default() };
    config.queues.wrap_up = Millis::seconds(2);
    config.ping_every = Millis::new(300);
    config.ping_timeout = Millis::new(400);
    config
}

async fn connect(config: Config, known: Known) -> Result<impl Session, Fault> {
    let plan = Asterisk::plan(config).unwrap();
    let context = Context { source: "pbx1".into(), known, clock: Clock::system(), seeds: Seeds::fixed(1) };
    Asterisk::connect(&plan, context).await
}

/// Everything that a session says in a while, and the state that it leaves.
async fn listen(config: Config, known: Known, ms: u64) -> (Vec<Fact>, Known) {
    let mut known = known;
    let mut session = connect(config, known.clone()).await.unwrap();
    let clock = Clock::system();
    let until = clock.monotonic() + Duration::from_millis(ms);
    let mut facts = Vec::new();
    while let Ok(batch) = clock.timeout(until.saturating_sub(clock.monotonic()), session.next(100)).await {
        let batch = batch.unwrap();
        facts.extend(batch.facts);
        for (key, value) in batch.state {
            match value {
                Some(value) => known.state.insert(key, value),
                None => known.state.remove(&key),
            };
        }
        known.last_seen = batch.seen_until.or(known.last_seen);
    }
    session.close().await.unwrap();
    (facts, known)
}

fn lines(facts: &[Fact], subject: &str) -> Vec<String> {
    facts.iter().filter(|f| f.subject.to_string() == subject).map(line).collect()
}

#[tokio::test]
async fn the_conformance_suite_of_adapters() {
    examine::<Asterisk>(async || {
        let pbx = Pbx::start(Script { story: day().bytes(), ..Script::default() });
        // One ping after the story: its pong ends what is due.
        let config = serde_json::json!({
            "port": pbx.port, "secret": "plain:s3cret", "ping_every": "700ms", "queues": { "wrap_up": "2s" },
        });
        Stand { config, silence: Duration::from_millis(500), keep: Box::new(pbx) }
    })
    .await;
}

#[tokio::test]
async fn a_login_by_md5_never_sends_the_secret_and_filters_before_events_begin() {
    let pbx = Pbx::start(Script::default());
    connect(config(pbx.port), Known::default()).await.unwrap();
    let heard = pbx.heard.lock().unwrap().join("");
    assert!(!heard.contains("s3cret"), "{heard}");
    let place = |what: &str| heard.find(what).unwrap_or_else(|| panic!("no {what} in {heard}"));
    assert!(place("Events: off") < place("Action: Filter") && place("Action: Filter") < place("EventMask: on"));
}

#[tokio::test]
async fn a_refused_login_is_for_the_operator_and_a_refused_filter_is_not() {
    let pbx = Pbx::start(Script { login: "Error", ..Script::default() });
    assert!(
        matches!(connect(config(pbx.port), Known::default()).await, Err(Fault::Refused(why)) if why.contains("as told"))
    );
    let pbx = Pbx::start(Script { filter: "Error", ..Script::default() });
    assert!(connect(config(pbx.port), Known::default()).await.is_ok());
}

#[tokio::test]
async fn something_else_that_listens_there_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9\r\n").unwrap();
    });
    assert!(matches!(connect(config(port), Known::default()).await, Err(Fault::Malformed(_))));
}

#[tokio::test]
async fn a_link_that_answers_no_ping_is_half_open_and_a_closed_one_is_transient_after_its_last_facts() {
    let pbx = Pbx::start(Script { pings_max: 2, ..Script::default() });
    let mut session = connect(config(pbx.port), Known::default()).await.unwrap();
    let fault = loop {
        match session.next(10).await {
            Ok(_) => {}
            Err(fault) => break fault,
        }
    };
    assert!(matches!(&fault, Fault::Transient(why) if why.contains("half open")), "{fault}");

    let pbx = Pbx::start(Script { story: day().bytes(), hangs_up: true, ..Script::default() });
    let mut session = connect(config(pbx.port), Known::default()).await.unwrap();
    let mut facts = Vec::new();
    let fault = loop {
        match session.next(3).await {
            Ok(batch) => facts.extend(batch.facts),
            Err(fault) => break fault,
        }
    };
    assert!(matches!(&fault, Fault::Transient(why) if why.contains("closed")), "{fault}");
    assert!(lines(&facts, "call/1").last().unwrap().contains("ended"));
}

#[tokio::test]
async fn what_agents_did_while_nobody_watched_is_unknown() {
    let pbx = Pbx::start(Script { story: day().bytes(), ..Script::default() });
    let (before, known) = listen(config(pbx.port), Known::default(), 700).await;
    assert!(!lines(&before, "agent/101").is_empty());
    let seen = known.last_seen.expect("the PBX said its time");
    let pbx = Pbx::start(Script::default());
    let (after, _) = listen(config(pbx.port), known, 700).await;
    let first = after.iter().find(|f| f.subject.to_string() == "agent/101").expect("the agent is spoken of");
    assert_eq!((first.occurred_at, first.quality), (seen, Some(Quality::Inferred)));
    assert!(matches!(&first.event, Event::AgentStateChanged(s) if s.state == model::event::agent::State::Unknown));
}

fn row(action: &'static str, event: &str, headers: &[(&str, &str)]) -> (&'static str, Frame) {
    (action, Frame::of([("Event", event)].iter().chain(headers).map(|(k, v)| (k.to_string(), v.to_string()))))
}

fn channel(uid: &str, name: &str, linked: &str, state: &str, duration: &str, bridge: &str) -> (&'static str, Frame) {
    row(
        "CoreShowChannels",
        "CoreShowChannel",
        &[
            ("Channel", name),
            ("ChannelState", state),
            ("CallerIDNum", "0301"),
            ("Context", "route-queue"),
            ("Uniqueid", uid),
            ("Linkedid", linked),
            ("Duration", duration),
            ("BridgeId", bridge),
        ],
    )
}

#[tokio::test]
async fn a_first_snapshot_says_what_lives_and_marks_it() {
    let rows = vec![
        row(
            "QueueStatus",
            "QueueParams",
            &[("Queue", "sales"), ("Max", "0"), ("Strategy", "rrmemory"), ("ServiceLevel", "10")],
        ),
        row(
            "QueueStatus",
            "QueueMember",
            &[("Queue", "sales"), ("Name", "Ann"), ("Location", "PJSIP/101"), ("Status", "2"), ("Paused", "0")],
        ),
        row("QueueStatus", "QueueEntry", &[("Queue", "sales"), ("Position", "1"), ("Uniqueid", "7"), ("Wait", "12")]),
        channel("7", "PJSIP/trunk-00000007", "7", "6", "00:00:15", ""),
        channel("1", "PJSIP/trunk-00000001", "1", "6", "00:01:00", "b1"),
        channel("2", "PJSIP/101-00000002", "1", "6", "00:00:40", "b1"),
        row("DeviceStateList", "DeviceStateChange", &[("Device", "PJSIP/101"), ("State", "INUSE")]),
        row("DeviceStateList", "DeviceStateChange", &[("Device", "Queue:sales_avail"), ("State", "INUSE")]),
        row(
            "PJSIPShowContacts",
            "ContactList",
            &[("Endpoint", "101"), ("Uri", "sip:101@10.0.0.1"), ("Status", "NonQualified")],
        ),
    ];
    let pbx = Pbx::start(Script { rows, ..Script::default() });
    let (facts, known) = listen(config(pbx.port), Known::default(), 250).await;
    // The lists are of two seconds before the story's beginning.
    assert_eq!(lines(&facts, "call/7"), ["-17000 offered inbound", "-14000 queued sales"]);
    assert_eq!(lines(&facts, "call/1"), ["-62000 offered inbound", "-42000 answered 101 -"]);
    let of_source = |f: &Fact| f.subject.family() == "source";
    assert!(facts.iter().all(|f| of_source(f) || f.quality == Some(Quality::Snapshot)), "{facts:?}");
    assert_eq!(lines(&facts, "agent/101").last().unwrap(), "-2000 state_changed Talking -");
    let Some(Event::SourceSnapshotTaken(taken)) =
        facts.iter().map(|f| &f.event).find(|e| matches!(e, Event::SourceSnapshotTaken(_)))
    else {
        panic!("no snapshot_taken")
    };
    assert_eq!((taken.calls.len(), taken.agents.len()), (2, 1));
    assert_eq!(lines(&facts, "device/PJSIP/101").len(), 2);
    // The same again finds nothing new but the snapshot itself, and that nobody saw what agents did meanwhile.
    let (again, _) = listen(config(pbx.port), known, 250).await;
    assert!(again.iter().all(|f| matches!(f.subject.family(), "source" | "agent")), "{again:?}");
}

#[tokio::test]
async fn an_agent_of_many_queues_is_told_once_by_all_rows_together() {
    let member = |queue: &str, paused: &str| {
        let headers =
            [("Queue", queue), ("Name", "Ann"), ("Location", "PJSIP/101"), ("Status", "1"), ("Paused", paused)];
        row("QueueStatus", "QueueMember", &headers)
    };
    let pbx =
        Pbx::start(Script { rows: vec![member("a", "1"), member("b", "0"), member("c", "1")], ..Script::default() });
    let (facts, _) = listen(config(pbx.port), Known::default(), 250).await;
    assert_eq!(lines(&facts, "agent/101"), ["-2000 logged_in", "-2000 skills_changed", "-2000 state_changed Ready -"]);
    let Event::AgentSkillsChanged(skills) =
        &facts.iter().find(|f| f.event.ty() == "agent.skills_changed.v1").unwrap().event
    else {
        unreachable!()
    };
    assert_eq!(skills.skills.len(), 3);
}

/// The state after a part of a story, as a killed collector leaves it.
fn known_after(story: &Story, seen_ms: i64) -> Known {
    let mut translator = adapter_asterisk::translate::Translator::new(support::plan(), &BTreeMap::new());
    story.frames.iter().for_each(|frame| translator.event(frame, 0));
    translator.take_facts();
    let state: BTreeMap<String, Bytes> = translator.changes().into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
    Known { state, last_seen: Some(Time(BEGIN_US / 1000 + seen_ms)) }
}

fn later(ms: i64) -> Vec<i64> {
    vec![BEGIN_US + ms * 1000, BEGIN_US + (ms + 10) * 1000]
}

#[tokio::test]
async fn what_is_gone_after_a_gap_is_closed_and_marked_inferred() {
    let mut before = Story::default();
    before.member("sales", "PJSIP/101").talk().at(3000).caller("5").join("5", "sales");
    let pbx = Pbx::start(Script { clock_us: later(60_000), ..Script::default() });
    let (facts, _) = listen(config(pbx.port), known_after(&before, 4000), 250).await;
    assert_eq!(lines(&facts, "call/5"), ["4000 dequeued sales source_lost", "4000 ended Unknown lost None"]);
    assert_eq!(lines(&facts, "call/1"), ["4000 ended Unknown lost None"]);
    assert_eq!(lines(&facts, "agent/101").last().unwrap(), "60000 logged_out");
    assert!(facts.iter().all(|f| f.subject.family() == "source" || f.quality.is_some()));
}

#[tokio::test]
async fn a_caller_who_was_answered_in_the_gap_is_found_in_the_bridge() {
    let mut before = Story::default();
    before.member("sales", "PJSIP/101").at(0).caller("1").join("1", "sales");
    let rows = vec![
        row(
            "QueueStatus",
            "QueueMember",
            &[("Queue", "sales"), ("Name", "PJSIP/101"), ("Location", "PJSIP/101"), ("Status", "2"), ("Paused", "0")],
        ),
        channel("1", "PJSIP/trunk-00000001", "1", "6", "00:01:00", "b1"),
        channel("2", "PJSIP/101-00000002", "1", "6", "00:00:40", "b1"),
    ];
    let pbx = Pbx::start(Script { rows, clock_us: later(60_000), ..Script::default() });
    let (facts, _) = listen(config(pbx.port), known_after(&before, 1000), 250).await;
    assert_eq!(lines(&facts, "call/1"), ["20000 dequeued sales answered", "20000 answered 101 sales"]);
}

#[tokio::test]
async fn a_gap_is_filled_from_queue_log_and_nothing_is_said_twice() {
    let mut before = Story::default();
    before.member("sales", "PJSIP/101").member("sales", "PJSIP/106").at(0).caller("1").join("1", "sales");
    before.at(400).rung("1", "3", "PJSIP/106", "sales");
    before.at(700).pair("AgentRingNoAnswer", "1", "3", &[("Queue", "sales"), ("RingTime", "0")]).hangup("3", "17");
    before.at(800).caller("5").join("5", "sales");
    let second = BEGIN_US / 1_000_000;
    let log = [
        (-5, "old|sales|NONE|ENTERQUEUE||0301|1"),
        (0, "1|sales|NONE|ENTERQUEUE||0301234567|1"),
        (0, "1|sales|PJSIP/106|RINGNOANSWER|0"),
        (0, "5|sales|NONE|ENTERQUEUE||0301234567|2"),
        (1, "1|sales|PJSIP/106|RINGNOANSWER|1000"),
        (3, "1|sales|PJSIP/101|CONNECT|3|2|1"),
        (4, "9|sales|NONE|ENTERQUEUE||0305|2"),
        (6, "9|sales|PJSIP/106|RINGCANCELED|1500"),
        (6, "9|sales|NONE|ABANDON|2|2|2"),
        (8, "1|sales|PJSIP/101|COMPLETECALLER|3|5|1"),
        (10, "5|sales|PJSIP/106|RINGNOANSWER|1000"),
        (10, "5|sales|NONE|EXITWITHTIMEOUT|1|2|10"),
        (10, "5|support|NONE|ENTERQUEUE||0301234567|1"),
        (12, "NONE|sales|PJSIP/101|PAUSE|lunch"),
    ];
    let text: String = log
        .iter()
        .map(|(at, rest)| match rest.strip_prefix("NONE|") {
            Some(rest) => format!("{}|NONE|{rest}\n", second + at),
            None => format!("{}|{rest}\n", second + at),
        })
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue_log");
    std::fs::write(&path, text + "1700000013|half a li").unwrap();
    let rows = vec![
        row(
            "QueueStatus",
            "QueueMember",
            &[
                ("Queue", "sales"),
                ("Name", "PJSIP/101"),
                ("Location", "PJSIP/101"),
                ("Status", "1"),
                ("Paused", "1"),
                ("PausedReason", "lunch"),
            ],
        ),
        row(
            "QueueStatus",
            "QueueMember",
            &[("Queue", "sales"), ("Name", "PJSIP/106"), ("Location", "PJSIP/106"), ("Status", "1"), ("Paused", "0")],
        ),
        row("QueueStatus", "QueueEntry", &[("Queue", "support"), ("Position", "1"), ("Uniqueid", "5"), ("Wait", "10")]),
        channel("5", "PJSIP/trunk-00000005", "5", "6", "00:00:20", ""),
    ];
    let pbx = Pbx::start(Script { rows, clock_us: later(20_000), ..Script::default() });
    let mut config = config(pbx.port);
    config.backfill.queue_log = path;
    let (facts, _) = listen(config, known_after(&before, 900), 250).await;
    assert_eq!(
        lines(&facts, "call/1"),
        [
            "1000 rona 106 NoAnswer Some(1000)",
            "3000 dequeued sales answered",
            "3000 answered 101 sales",
            "8000 released 101 by Caller",
            "10000 wrapped_up 2000",
            "8000 ended Caller normal None",
        ]
    );
    let of_5 = ["10000 rona 106 NoAnswer Some(1000)", "10000 dequeued sales overflow", "10000 queued support"];
    assert_eq!(lines(&facts, "call/5"), of_5);
    let order: Vec<_> = facts.iter().filter(|f| f.subject.to_string() == "call/5").map(|f| f.seq).collect();
    assert!(order.is_sorted_by(|a, b| a < b), "lines of one second are in the order of the log: {order:?}");
    assert_eq!(
        lines(&facts, "call/9"),
        [
            "4000 offered inbound",
            "4000 queued sales",
            "4500 alerting 106 sales",
            "6000 alert_cancelled 106",
            "6000 dequeued sales abandoned",
            "6000 ended Caller normal None",
        ]
    );
    assert_eq!(lines(&facts, "agent/101").last().unwrap(), "12000 state_changed NotReady lunch");
    assert_eq!(lines(&facts, "call/old"), Vec::<String>::new());
    assert!(facts.iter().all(|f| f.subject.family() == "source" || f.quality.is_some()));
}

#[tokio::test]
async fn a_line_calls_an_agent_who_left_while_the_phone_rang_by_the_name_in_the_queue() {
    let mut before = Story::default();
    let named = |name, interface| {
        [("Queue", "sales"), ("MemberName", name), ("Interface", interface), ("Status", "1"), ("Paused", "0")]
    };
    before.event("QueueMemberAdded", &named("Agent 105", "PJSIP/105"));
    before.at(0).caller("1").join("1", "sales").at(400).rung("1", "3", "PJSIP/105", "sales");
    before.at(600).event("QueueMemberRemoved", &named("Agent 105", "PJSIP/105"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue_log");
    let second = BEGIN_US / 1_000_000;
    let line = format!("{}|1|sales|Agent 105|RINGNOANSWER|5000\n", second + 5);
    std::fs::write(&path, line).unwrap();
    let rows = vec![
        row("QueueStatus", "QueueEntry", &[("Queue", "sales"), ("Position", "1"), ("Uniqueid", "1"), ("Wait", "10")]),
        channel("1", "PJSIP/trunk-00000001", "1", "6", "00:00:10", ""),
    ];
    let pbx = Pbx::start(Script { rows, clock_us: later(10_000), ..Script::default() });
    let mut config = config(pbx.port);
    config.backfill.queue_log = path;
    let (facts, _) = listen(config, known_after(&before, 900), 250).await;
    assert_eq!(lines(&facts, "call/1"), ["5000 rona 105 NoAnswer Some(5000)"]);
}

#[tokio::test]
async fn facts_of_live_events_carry_no_mark_and_two_sessions_agree_on_every_id() {
    let ids = |facts: &[Fact]| -> Vec<String> {
        facts.iter().filter(|f| f.quality.is_none()).map(|f| f.id(&"pbx1".into()).to_string()).collect()
    };
    let pbx = Pbx::start(Script { story: day().bytes(), ..Script::default() });
    let (one, _) = listen(config(pbx.port), Known::default(), 500).await;
    let (two, _) = listen(config(pbx.port), Known::default(), 500).await;
    assert!(ids(&one).len() > 15);
    assert_eq!(ids(&one), ids(&two));
}

/// A caller for whom desk phones ring, as it was known when the link broke.
fn at_the_desks() -> Story {
    let mut before = Story::default();
    before.member("sales", "PJSIP/101").at(0).caller("1");
    before.on("UserEvent", "1", &[("UserEvent", "TidegateHardphone"), ("Queue", "sales"), ("Why", "silent")]);
    before.at(100).phone("2", "PJSIP/101", "1").pair("DialBegin", "1", "2", &[]);
    before
}

#[tokio::test]
async fn a_caller_at_desk_phones_is_in_no_queues_list_and_is_not_lost_for_that() {
    let rows = vec![
        channel("1", "PJSIP/trunk-00000001", "1", "4", "00:00:08", ""),
        channel("2", "PJSIP/101-00000002", "1", "5", "00:00:08", ""),
    ];
    let pbx = Pbx::start(Script { rows, clock_us: later(8_000), ..Script::default() });
    let (facts, known) = listen(config(pbx.port), known_after(&at_the_desks(), 1000), 250).await;
    assert_eq!(lines(&facts, "call/1"), [""; 0], "it waits, and that is known");
    let rows = vec![
        channel("1", "PJSIP/trunk-00000001", "1", "6", "00:01:00", "b1"),
        channel("2", "PJSIP/101-00000002", "1", "6", "00:01:00", "b1"),
    ];
    let pbx = Pbx::start(Script { rows, clock_us: later(60_000), ..Script::default() });
    let (facts, known) = listen(config(pbx.port), known, 250).await;
    let said = lines(&facts, "call/1");
    assert!(said[0].ends_with("dequeued sales answered") && said[1].ends_with("answered 101 sales"), "{said:?}");
    let pbx = Pbx::start(Script { clock_us: later(90_000), ..Script::default() });
    let (facts, _) = listen(config(pbx.port), known, 250).await;
    assert!(lines(&facts, "call/1").last().is_some_and(|last| last.contains("ended")), "no queue has to end it");
}

#[tokio::test]
async fn a_talk_at_a_desk_phone_that_began_while_nobody_watched_is_known_once_and_ends_with_its_channel() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("queue_log");
    let second = BEGIN_US / 1_000_000;
    let text = [(2, "1|sales|NONE|TGDESKENTER|0301234567|silent"), (5, "1|sales|PJSIP/101-00000002|TGDESKCONNECT|3|2")];
    let text: String = text.iter().map(|(at, rest)| format!("{}|{rest}\n", second + at)).collect();
    std::fs::write(&log, text).unwrap();
    let mut config = config(0);
    config.backfill.queue_log = log;
    let mut before = Story::default();
    before.member("sales", "PJSIP/101");
    let rows = vec![
        channel("1", "PJSIP/trunk-00000001", "1", "6", "00:00:08", "b1"),
        channel("2", "PJSIP/101-00000002", "1", "6", "00:00:05", "b1"),
    ];
    let mut story = Story::default();
    story
        .at(20_000)
        .event("Hangup", &[("Channel", "PJSIP/101-00000002"), ("Uniqueid", "2"), ("Linkedid", "1"), ("Cause", "16")]);
    story
        .event("Hangup", &[("Channel", "PJSIP/trunk-00000001"), ("Uniqueid", "1"), ("Linkedid", "1"), ("Cause", "16")]);
    let pbx = Pbx::start(Script { rows, story: story.bytes(), clock_us: later(10_000), ..Script::default() });
    config.port = pbx.port;
    let (facts, _) = listen(config, known_after(&before, 1000), 250).await;
    let said = lines(&facts, "call/1");
    let count = |what: &str| said.iter().filter(|said| said.contains(what)).count();
    assert_eq!((count("queued sales"), count("dequeued sales answered")), (2, 1), "{said:?}");
    assert_eq!((count("answered 101 sales"), count("released 101"), count("ended")), (1, 1, 1), "{said:?}");
}
