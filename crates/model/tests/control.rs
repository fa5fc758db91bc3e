//! One golden file per type of the vocabulary of control, under `tests/golden-control`: what stands in the journal for good.
//!
//! To write the file of a new type: `GOLDEN=write cargo test -p model --test control`.

use std::path::PathBuf;

use model::Time;
use model::control::*;

fn file(ty: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden-control").join(format!("{ty}.json"))
}

const AT: Time = Time(1_795_227_084_123);

fn figures() -> Figures {
    Figures {
        at: AT,
        waiting: 14.0,
        free: 0.0,
        agents: 9.5,
        service_s: Some(181.5),
        answered: 240,
        abandoned: 12,
        waited_s: 2_400.5,
    }
}

fn plan() -> PlanIssued {
    PlanIssued {
        queue: "sales".into(),
        version: 7,
        thresholds: 3,
        automatic: Automatic { level: Level::DivertShare, rate_per_s: 0.75, divert_share: 0.25 },
        level: Level::DivertShare,
        rate_per_s: 0.5,
        capacity_per_s: 0.5,
        patience_per_s: 0.0078125,
        sustainable_per_s: 0.375,
        wait_s: Some(24.5),
        wait_error_s: Some(3.25),
        split: vec![Share { target: "chat".into(), share: 1.0, capacity_per_s: 2.0 }],
        valid_s: 75.0,
        figures: figures(),
        flow: Flow { attempts_per_s: 1.5, first_per_s: 1.25, admitted_per_s: 0.5 },
    }
}

fn thresholds() -> Thresholds {
    Thresholds {
        stale: Stale { static_per_s: vec![0.5], ..Stale::default() },
        offers: vec!["callback".into()],
        targets: vec![Toward { target: "chat".into(), weight: 1.0, capacity_per_s: Some(1.5) }],
        ..Thresholds::default()
    }
}

/// One event of every type, with every field filled.
fn examples() -> Vec<Event> {
    let effects = Effects {
        seconds: 120.0,
        attempts: 180,
        answered: 60,
        abandoned: 9,
        diverted: 111,
        wait_mean_s: Some(11.5),
        waiting_mean: 5.25,
    };
    let order = Order::RateAtMost { per_s: 0.5 };
    let affirmed = Affirmed { queue: "sales".into(), version: 7, figures: figures() };
    let weighed = Weighed { service: "a".into(), weight: 1.0, standing: Standing::In, score: 0.875 };
    vec![
        ThresholdsSet { queue: "sales".into(), version: 3, thresholds: thresholds() }.into(),
        plan().into(),
        PlanAffirmed { plans: vec![affirmed] }.into(),
        LevelChanged { queue: "sales".into(), was: Level::Normal, level: Level::DivertShare, plan: 7 }.into(),
        TierChanged { part: "platform".into(), was: Tier::Normal, tier: Tier::Threshold }.into(),
        OverrideSet { id: "o1".into(), queue: Some("sales".into()), order, until: AT }.into(),
        OverrideCleared { id: "o1".into() }.into(),
        TargetConfigured {
            target: "chat".into(),
            version: 1,
            kind: Kind::Chat,
            address: "chat,s,1".into(),
            capacity_per_s: 2.0,
            containment: 0.5,
            enabled: true,
        }
        .into(),
        TargetRemoved { target: "chat".into(), version: 2 }.into(),
        TargetObserved { target: "chat".into(), healthy: true, capacity_per_s: Some(1.5), containment: Some(0.75) }
            .into(),
        ServiceConfigured { service: "a".into(), version: 1, address: "PJSIP/a".into(), weight: 3.0, enabled: true }
            .into(),
        ServiceRemoved { service: "a".into(), version: 2 }.into(),
        ServiceWeighed { services: vec![weighed] }.into(),
        EffectMeasured {
            queue: "sales".into(),
            change: "c1".into(),
            was: Level::Normal,
            level: Level::DivertShare,
            before: effects,
            after: effects,
        }
        .into(),
        GateCounted {
            gate: "cti-1".into(),
            queues: vec![QueueCounted { queue: "sales".into(), attempts: 9, first: 7, admitted: 5 }],
            targets: Vec::new(),
        }
        .into(),
        AuditSealed { until: 41, hash: "ab".repeat(32) }.into(),
        CallbackAsked {
            callback: "b1".into(),
            queue: "sales".into(),
            caller: "0123456789abcdef01234567".into(),
            mask: "493***01".into(),
            sealed: "00ff".into(),
            source: "pbx1".into(),
            call: "pbx1-1".into(),
            asked_at: Some(AT),
            until: AT,
            hours: Hours { from: 540, to: 1_200 },
            attempts_max: 3,
        }
        .into(),
        CallbackBegun { callback: "b1".into(), attempt: 1, service: Some("a".into()) }.into(),
        CallbackTried { callback: "b1".into(), attempt: 1, outcome: Outcome::NoAnswer, again_at: AT }.into(),
        CallbackClaimed { callback: "b1".into() }.into(),
        CallbackClosed { callback: "b1".into(), close: Close::Reached }.into(),
    ]
}

fn envelope(event: Event) -> Envelope {
    Envelope {
        id: "0123456789abcdef0123456789abcdef".into(),
        source: "console-1".into(),
        time: AT,
        tenant: "default".into(),
        by: By::Operator("ann".into()),
        why: "a drill".into(),
        cause_id: Some("fedcba9876543210fedcba9876543210".into()),
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
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &pretty).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| {
            panic!("{}: {e}; write it with GOLDEN=write cargo test -p model --test control", path.display())
        });
        assert_eq!(pretty, golden, "{ty} is written differently from its golden file");
        assert_eq!(Envelope::parse(golden.as_bytes()).unwrap(), Parsed::Known(envelope), "{ty}");
    }
}

#[test]
fn a_type_of_a_later_version_passes_with_its_head() {
    let text =
        String::from_utf8(envelope(plan().into()).to_json()).unwrap().replace("plan.issued.v1", "plan.dreamt.v9");
    let Parsed::Unknown(head) = Envelope::parse(text.as_bytes()).unwrap() else { panic!("known?") };
    assert_eq!((head.ty.as_str(), head.time), ("plan.dreamt.v9", AT));
}

#[test]
fn each_fault_names_what_is_wrong() {
    let good = String::from_utf8(envelope(plan().into()).to_json()).unwrap();
    for (from, to, want) in [
        ("\"1.0\"", "\"0.3\"", "specversion"),
        ("operator/ann", "the/king", "nobody"),
        ("\"version\":7,", "", "missing field `version`"),
        ("2026-", "year-", "RFC 3339"),
    ] {
        let err = Envelope::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(format!("{err}").contains(want), "{to}: {err}");
    }
}

#[test]
fn who_decides_is_read_as_it_is_written_and_nobody_else_is() {
    for (by, text) in [
        (By::Automatic, "automatic"),
        (By::Operator("ann".into()), "operator/ann"),
        (By::Carrier("c1".into()), "carrier/c1"),
    ] {
        assert_eq!((by.to_string().as_str(), text.parse::<By>().unwrap()), (text, by));
    }
    for text in ["", "automatically", "operator", "operator/", "carrier/", "the/king"] {
        let nobody = format!("{text:?} is nobody: want automatic, operator/NAME or carrier/NAME");
        assert_eq!(text.parse::<By>().unwrap_err().to_string(), nobody);
    }
}

#[test]
fn a_kind_of_target_has_one_name_and_a_level_one_number() {
    let kinds = [
        (Kind::HumanQueue, "human_queue"),
        (Kind::CallService, "call_service"),
        (Kind::SmartIvr, "smart_ivr"),
        (Kind::Chat, "chat"),
        (Kind::KeypadIvr, "keypad_ivr"),
        (Kind::Callback, "callback"),
        (Kind::External, "external"),
    ];
    for (kind, name) in kinds {
        assert_eq!((kind.as_str(), serde_json::to_value(kind).unwrap().as_str()), (name, Some(name)));
    }
    let levels = [Level::Normal, Level::Offer, Level::DivertShare, Level::DivertAll, Level::HardPhone];
    assert_eq!(levels.map(Level::number), [0, 1, 2, 3, 4]);
    assert_eq!(levels.map(|level| level.below().number()), [0, 0, 1, 2, 3]);
}

#[test]
fn a_queue_has_thirty_two_targets_and_offers_at_most_and_each_weighs_one() {
    let targets = |n: usize| -> Vec<Toward> {
        (0..n).map(|n| serde_json::from_value(serde_json::json!({ "target": format!("t{n}") })).unwrap()).collect()
    };
    assert_eq!(targets(1)[0], Toward { target: "t0".into(), weight: 1.0, capacity_per_s: None });
    let faults =
        |thresholds: Thresholds| -> Vec<_> { thresholds.problems().into_iter().map(|fault| fault.path).collect() };
    for (n, want) in [(32, vec![]), (33, vec!["targets"])] {
        assert_eq!(faults(Thresholds { targets: targets(n), ..Thresholds::default() }), want);
        let offers = targets(n).into_iter().map(|toward| toward.target).collect();
        let want: Vec<_> = want.iter().map(|_| "offers").collect();
        assert_eq!(faults(Thresholds { offers, ..Thresholds::default() }), want);
    }
    let told = Thresholds { targets: targets(33), ..Thresholds::default() }.problems()[0].to_string();
    assert_eq!(told, "targets: 33 of them; name 32 at most");
}

#[test]
fn hours_over_midnight_hold_from_their_first_minute_until_before_their_last() {
    let night = Hours { from: 22 * 60, to: 6 * 60 };
    assert_eq!(
        [22 * 60 - 1, 22 * 60, 0, 6 * 60 - 1, 6 * 60].map(|minute| night.hold(minute)),
        [false, true, true, true, false]
    );
}
