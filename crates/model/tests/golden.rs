//! One golden file per event version, under `tests/golden`: what stands in the journal for good.
//!
//! A golden file is never edited once a version was released; a new version adds a file, and the old one must still read
//! (through its lift). To write the file of a new type: `GOLDEN=write cargo test -p model --test golden`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::envelope::{Parsed, Reader};
use model::event::call::*;
use model::event::{TYPES, agent, device, queue, source};
use model::{Envelope, Event, Number, NumberKey, Quality, Subject, Time};

fn file(ty: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{ty}.json"))
}

fn sealed() -> Number {
    Number::plain("+86 138 0013 8000").sealed(&NumberKey::new("golden"))
}

fn team() -> Option<model::TeamId> {
    Some("red".into())
}

/// One event of every type, with every field filled.
fn examples() -> Vec<Event> {
    let mut all = calls();
    all.extend(others());
    all
}

fn calls() -> Vec<Event> {
    let (a, d, q) = (|| Some("101".into()), || Some("PJSIP/101".into()), || Some("sales".into()));
    vec![
        Offered {
            direction: Direction::Inbound,
            ani: Some(sealed()),
            dnis: Some(sealed()),
            trunk: Some("t1".into()),
            agent: a(),
        }
        .into(),
        IvrEntered { node: "main".into() }.into(),
        IvrSelected { node: "main".into(), choice: "2".into() }.into(),
        IvrLeft { node: "main".into() }.into(),
        Queued {
            queue: "sales".into(),
            priority: Some(5),
            position: Some(3),
            offered_at: Some(Time(1_795_227_083_000)),
        }
        .into(),
        Alerting { agent: "101".into(), device: d(), queue: q(), team: team() }.into(),
        Rona {
            agent: "101".into(),
            device: d(),
            queue: q(),
            rang_ms: Some(5_000),
            reason: RonaReason::Busy,
            team: team(),
        }
        .into(),
        AlertCancelled { agent: "101".into(), device: d(), queue: q(), rang_ms: Some(800) }.into(),
        Dequeued { queue: "sales".into(), cause: QueueExit::ShortAbandoned, waited_ms: Some(4_200) }.into(),
        Diverted {
            target: "callback".into(),
            name: Some("ring-back".into()),
            rule: "ewt".into(),
            level: 2,
            plan: 7,
            queue: q(),
        }
        .into(),
        Admitted { queue: "sales".into(), rule: "room".into(), level: 2, plan: 7 }.into(),
        Answered { agent: a(), device: d(), queue: q(), waited_ms: Some(12_000), team: team() }.into(),
        Held { agent: a() }.into(),
        Retrieved { agent: a() }.into(),
        Consulted { agent: a(), to: Destination::Device("PJSIP/107".into()) }.into(),
        Transferred { kind: TransferKind::Attended, agent: a(), to: Destination::Number(sealed()) }.into(),
        Conferenced { agent: a(), parties: Some(3) }.into(),
        Released { agent: a(), by: Party::Caller, talked_ms: Some(61_000) }.into(),
        WrappedUp { agent: a(), wrap_up_ms: 2_000 }.into(),
        RecordingReady { location: "rec/1.wav".into() }.into(),
        Surveyed { score: 4.0, score_max: 5.0 }.into(),
        DataAttached { values: BTreeMap::from([("order".to_owned(), "17".to_owned())]) }.into(),
        Ended {
            by: Party::Caller,
            cause: Some("normal".into()),
            q850: Some(16),
            merged_into: Some("pbx1-17.2".into()),
            not_after: Some(Time(1_795_227_090_000)),
        }
        .into(),
    ]
}

fn others() -> Vec<Event> {
    let state = agent::StateChanged {
        state: agent::State::NotReady,
        reason: Some("lunch".into()),
        call: Some("pbx1-17.1".into()),
        queue: Some("sales".into()),
        team: team(),
    };
    let skills = BTreeMap::from([("sales".into(), 1), ("support".into(), 3)]);
    vec![
        agent::LoggedIn { device: Some("PJSIP/101".into()), team: team() }.into(),
        state.into(),
        agent::SkillsChanged { skills, team: team() }.into(),
        agent::LoggedOut { reason: Some("shift over".into()), team: team() }.into(),
        device::Registered { address: Some("sip:101@192.0.2.1".into()) }.into(),
        device::StateChanged { state: device::State::InUse }.into(),
        device::Unregistered { reason: Some("expired".into()) }.into(),
        queue::Configured {
            name: Some("Sales".into()),
            strategy: Some("rrmemory".into()),
            service_level_s: Some(20),
            waiting_max: Some(100),
        }
        .into(),
        queue::MemberAdded { agent: "101".into(), device: Some("PJSIP/101".into()), penalty: 2, paused: true }.into(),
        queue::MemberPaused { agent: "101".into(), paused: true, reason: Some("lunch".into()) }.into(),
        queue::MemberRemoved { agent: "101".into() }.into(),
        source::Connected { vendor: "asterisk".into(), version: Some("22.10.1".into()) }.into(),
        source::Disconnected { reason: "closed".into() }.into(),
        source::Gap { from: Time(1_795_227_000_000), to: Time(1_795_227_060_000), reason: "the link was down".into() }
            .into(),
        source::SnapshotTaken { calls: vec!["pbx1-17.1".into()], agents: vec!["101".into()] }.into(),
        source::Heartbeat { round_trip_ms: Some(3), every_ms: Some(5_000) }.into(),
        source::TrunkUsage { trunk: "t1".into(), in_use: 12, capacity: Some(30) }.into(),
    ]
}

fn envelope(event: Event) -> Envelope {
    let subject = format!("{}/{}", event.family(), if event.family() == "call" { "pbx1-17.1" } else { "x" });
    Envelope {
        id: "0123456789abcdef0123456789abcdef".into(),
        source: "pbx1".into(),
        subject: Subject::parse(&subject).unwrap(),
        time: Time(1_795_227_084_123),
        tenant: Some("default".into()),
        observed_time: Some(Time(1_795_227_084_125)),
        cause_id: Some("fedcba9876543210fedcba9876543210".into()),
        seq: Some(1_795_227_084_123_456),
        quality: Some(Quality::Inferred),
        event,
    }
}

#[expect(clippy::disallowed_methods, reason = "a flag of the person at the desk, for this test alone")]
fn asked_to_write() -> bool {
    std::env::var("GOLDEN").is_ok_and(|value| value == "write")
}

#[test]
fn every_type_is_written_as_its_golden_file_says_and_read_back() {
    let examples = examples();
    let types: Vec<_> = examples.iter().map(Event::ty).collect();
    assert_eq!(types, TYPES, "one example per type, in the order of the vocabulary");
    for event in examples {
        let (ty, envelope) = (event.ty(), envelope(event));
        let path = file(ty);
        let pretty = format!("{}\n", serde_json::to_string_pretty(&envelope).unwrap());
        if asked_to_write() && !path.exists() {
            std::fs::write(&path, &pretty).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| {
            panic!("{}: {e}; write it with GOLDEN=write cargo test -p model --test golden", path.display())
        });
        assert_eq!(pretty, golden, "{ty} is written differently from its golden file");
        assert_eq!(Envelope::parse(golden.as_bytes()).unwrap(), Parsed::Known(envelope), "{ty}");
    }
}

#[test]
fn every_golden_file_is_still_read() {
    for entry in std::fs::read_dir(file("x").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let parsed = Envelope::parse(&std::fs::read(&path).unwrap()).unwrap();
        assert!(matches!(parsed, Parsed::Known(_)), "{} is no longer known", path.display());
    }
}

#[test]
fn a_time_is_read_alike_whatever_was_read_before_it() {
    let text = String::from_utf8(envelope(Offered::default().into()).to_json()).unwrap();
    let mut reader = Reader::default();
    for second in ["24", "00", "59", "60", "61", "75", "99", "24"] {
        let other = text.replace(":24.123Z", &format!(":{second}.123Z"));
        assert_eq!(other == text, second == "24", "{text}");
        assert_eq!(reader.read(other.as_bytes()).ok(), Envelope::parse(other.as_bytes()).ok(), "{second}");
    }
}

#[test]
fn what_is_printed_of_a_key_and_of_a_number_is_no_secret() {
    assert_eq!(format!("{:?}", NumberKey::new("golden")), "NumberKey");
    assert_eq!(format!("{:?}", sealed()), format!("Number({})", sealed().shown()));
}
