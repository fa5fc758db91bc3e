//! Calls that are handed on, as Asterisk tells it: one story each.

mod support;

use support::story::Story;

#[test]
fn a_blind_transfer_ends_the_first_agents_part_and_the_next_answers_for_itself() {
    let mut s = Story::default();
    s.talk().at(9000).on("Unhold", "2", &[]);
    s.event(
        "BlindTransfer",
        &[
            ("Result", "Success"),
            ("TransfererChannel", "PJSIP/101-00000002"),
            ("TransfererUniqueid", "2"),
            ("TransfereeUniqueid", "1"),
            ("Extension", "602"),
        ],
    );
    s.completed("1", "2", "sales", "transfer").hangup("2", "16").at(9500).join("1", "support");
    s.at(10_000).rung("1", "3", "PJSIP/102", "support").at(11_000).connected("1", "3", "support");
    let said = s.call("1");
    assert_eq!(said[5], r#"9000 transferred Blind Some("101") Queue(QueueId("support"))"#);
    assert_eq!(said[6], "9500 queued support");
    assert_eq!(said[9], "11000 answered 102 support");
    assert!(!said.iter().any(|line| line.contains("released")), "{said:?}");
}

#[test]
fn an_attended_transfer_within_the_call_goes_by_local_halves_and_makes_no_call() {
    let mut s = Story::default();
    s.talk().at(5000).on("Hold", "2", &[]);
    s.channel("18", "Local/107@agents-00000000;1", "1", "agents", "107");
    s.channel("19", "Local/107@agents-00000000;2", "1", "agents", "107");
    s.event("LocalBridge", &[("LocalOneUniqueid", "18"), ("LocalTwoUniqueid", "19")]);
    s.phone("20", "PJSIP/107", "1").pair("DialBegin", "19", "20", &[]);
    s.at(6000).pair("DialEnd", "19", "20", &[("DialStatus", "ANSWER")]);
    s.at(9000)
        .on("HangupRequest", "2", &[])
        .event("BridgeMerge", &[("ToBridgeUniqueid", "b1"), ("FromBridgeUniqueid", "b2")]);
    s.event(
        "AttendedTransfer",
        &[
            ("Result", "Success"),
            ("OrigTransfererUniqueid", "2"),
            ("OrigTransfererChannel", "PJSIP/101-00000002"),
            ("SecondTransfererUniqueid", "2"),
            ("TransfereeUniqueid", "1"),
            ("TransferTargetUniqueid", "18"),
            ("TransferTargetChannel", "Local/107@agents-00000000;1"),
            ("DestType", "Bridge"),
        ],
    );
    s.completed("1", "2", "sales", "transfer").hangup("2", "16");
    s.at(20_000).on("HangupRequest", "20", &[("Cause", "16")]).hangup("20", "16").hangup("19", "16").hangup("18", "16");
    s.at(20_001).hangup("1", "16");
    assert_eq!(
        s.call("1")[5..],
        [
            "5000 held",
            r#"5000 consulted 101 Agent(AgentId("107"))"#,
            r#"9000 transferred Attended Some("101") Agent(AgentId("107"))"#,
            "9000 answered 107 -",
            "20000 released 107 by Agent",
            "20001 ended Agent normal None",
        ]
    );
    assert_eq!(s.facts().iter().filter(|f| f.event.ty() == "call.offered.v1").count(), 1, "Local halves make no calls");
}

#[test]
fn an_attended_transfer_by_refer_merges_the_consultation_into_the_call() {
    let mut s = Story::default();
    s.talk().at(5000).on("Hold", "2", &[]);
    s.channel("43", "PJSIP/101-00000043", "43", "agents", "107");
    s.phone("44", "PJSIP/107", "43").pair("DialBegin", "43", "44", &[]);
    s.at(6000).pair("DialEnd", "43", "44", &[("DialStatus", "ANSWER")]);
    s.at(9000).on("Unhold", "2", &[]).on("Unhold", "43", &[]);
    s.event(
        "BridgeEnter",
        &[("Channel", "PJSIP/107-00000044"), ("Uniqueid", "44"), ("Linkedid", "1"), ("BridgeNumChannels", "2")],
    );
    s.event(
        "AttendedTransfer",
        &[
            ("Result", "Success"),
            ("OrigTransfererUniqueid", "2"),
            ("OrigTransfererChannel", "PJSIP/101-00000002"),
            ("SecondTransfererUniqueid", "43"),
            ("TransfereeUniqueid", "1"),
            ("TransferTargetUniqueid", "44"),
            ("TransferTargetChannel", "PJSIP/107-00000044"),
            ("DestType", "Bridge"),
        ],
    );
    s.completed("1", "2", "sales", "transfer").hangup("43", "16").hangup("2", "16");
    s.at(20_000).on("HangupRequest", "1", &[]).hangup("1", "16").hangup("44", "16");
    assert_eq!(
        s.call("1")[5..],
        [
            "5000 held",
            r#"5000 consulted 101 Device(DeviceId("107"))"#,
            "9000 retrieved",
            r#"9000 transferred Attended Some("101") Agent(AgentId("107"))"#,
            "9000 answered 107 -",
            "20000 ended Caller normal None",
        ]
    );
    assert_eq!(
        s.call("43"),
        [
            "5000 offered internal",
            "5000 alerting 107 -",
            "6000 answered 107 -",
            r#"9000 ended System merged Some("1")"#
        ]
    );
}

#[test]
fn a_transfer_that_failed_changes_nothing() {
    let mut s = Story::default();
    s.talk().at(9000);
    s.event("BlindTransfer", &[("Result", "Fail"), ("TransfererUniqueid", "2"), ("Extension", "999")]);
    s.event("AttendedTransfer", &[("Result", "Fail"), ("OrigTransfererUniqueid", "2"), ("DestType", "Fail")]);
    assert_eq!(s.call("1").len(), 5);
}

#[test]
fn an_agent_who_hangs_up_before_the_transfer_is_told_was_released_and_handed_on() {
    // Seen on the wire: AgentComplete (agent) a millisecond before AttendedTransfer.
    let mut s = Story::default();
    s.talk().at(9000).on("HangupRequest", "2", &[]).completed("1", "2", "sales", "agent");
    s.at(9001).event(
        "AttendedTransfer",
        &[
            ("Result", "Success"),
            ("OrigTransfererUniqueid", "2"),
            ("OrigTransfererChannel", "PJSIP/101-00000002"),
            ("TransfereeUniqueid", "1"),
            ("DestType", "Bridge"),
        ],
    );
    s.hangup("2", "16");
    let said = s.call("1");
    assert_eq!(said[5], "9000 released 101 by Agent");
    assert!(said[6].starts_with(r#"9001 transferred Attended Some("101")"#), "{said:?}");
}
