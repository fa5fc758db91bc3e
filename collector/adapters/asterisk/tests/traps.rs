//! What a collector must know of Asterisk, one story each.

mod support;

use support::story::Story;

#[test]
fn an_abandon_has_a_hang_up_request_before_it() {
    let mut s = Story::default();
    s.at(0).caller("1").join("1", "sales");
    s.at(7000).on("HangupRequest", "1", &[]).given_up("1", "sales").hangup("1", "0");
    assert_eq!(
        s.call("1"),
        ["0 offered inbound", "0 queued sales", "7000 dequeued sales abandoned", "7000 ended Caller normal None"]
    );
}

#[test]
fn a_hang_up_request_that_comes_a_blink_late_is_still_an_abandon() {
    let mut s = Story::default();
    s.at(0).caller("1").join("1", "sales").at(7000).given_up("1", "sales");
    s.at(7001).on("HangupRequest", "1", &[]).hangup("1", "0");
    assert_eq!(s.call("1")[2], "7000 dequeued sales abandoned");
}

#[test]
fn the_same_event_without_a_hang_up_is_a_timeout() {
    let mut s = Story::default();
    s.at(0).caller("1").join("1", "sales").at(30_000).given_up("1", "sales");
    s.at(30_500).on("SoftHangupRequest", "1", &[("Cause", "16")]).hangup("1", "16");
    assert_eq!(s.call("1")[2..], ["30000 dequeued sales timeout", "30500 ended System normal None"]);
}

#[test]
fn a_timeout_that_goes_on_to_another_queue_in_time_is_an_overflow() {
    for (later, cause) in [(1999, "overflow"), (2001, "timeout")] {
        let mut s = Story::default();
        s.at(0).caller("1").join("1", "sales").at(30_000).given_up("1", "sales");
        s.at(30_000 + later).join("1", "support");
        s.at(40_000).on("HangupRequest", "1", &[]).given_up("1", "support").hangup("1", "0");
        let said = s.call("1");
        assert_eq!(said[2], format!("30000 dequeued sales {cause}"));
        assert_eq!(said[3], format!("{} queued support", 30_000 + later));
        assert_eq!(said[4], "40000 dequeued support abandoned");
    }
}

#[test]
fn the_dialplans_word_says_why_a_caller_left() {
    for (status, cause) in
        [("LEAVEEMPTY", "no_agent"), ("LEAVEUNAVAIL", "no_agent"), ("TIMEOUT", "timeout"), ("CONTINUE", "timeout")]
    {
        let mut s = Story::default();
        s.at(0).caller("1").join("1", "sales").at(9000).given_up("1", "sales");
        s.at(9001).on("UserEvent", "1", &[("UserEvent", "QueueLeft"), ("Queue", "sales"), ("QueueStatus", status)]);
        s.at(12_000).hangup("1", "16");
        assert_eq!(s.call("1")[2], format!("9000 dequeued sales {cause}"), "{status}");
    }
}

#[test]
fn a_caller_who_is_turned_away_entered_and_left_at_once() {
    for (status, cause) in [("FULL", "queue_full"), ("JOINEMPTY", "no_agent"), ("JOINUNAVAIL", "no_agent")] {
        let mut s = Story::default();
        s.at(0).caller("1");
        s.at(50).on("UserEvent", "1", &[("UserEvent", "QueueLeft"), ("Queue", "sales"), ("QueueStatus", status)]);
        s.at(60).hangup("1", "16");
        assert_eq!(s.call("1")[1..3], ["50 queued sales".to_owned(), format!("50 dequeued sales {cause}")]);
    }
}

#[test]
fn a_second_queue_that_is_full_does_not_change_why_the_first_was_left() {
    let mut s = Story::default();
    s.at(0).caller("1").join("1", "sales").at(30_000).given_up("1", "sales");
    s.on("UserEvent", "1", &[("UserEvent", "QueueLeft"), ("Queue", "sales"), ("QueueStatus", "TIMEOUT")]);
    s.at(30_010).on("UserEvent", "1", &[("UserEvent", "QueueLeft"), ("Queue", "support"), ("QueueStatus", "FULL")]);
    s.at(30_020).hangup("1", "16");
    assert_eq!(
        s.call("1")[2..5],
        ["30000 dequeued sales overflow", "30010 queued support", "30010 dequeued support queue_full"]
    );
}

#[test]
fn a_leave_without_abandon_or_answer_is_a_key() {
    let mut s = Story::default();
    s.at(0).caller("1").join("1", "sales").at(9000).on("QueueCallerLeave", "1", &[("Queue", "sales")]);
    s.at(20_000).hangup("1", "16");
    assert_eq!(s.call("1")[2], "9000 dequeued sales exit_key");
}

#[test]
fn an_answered_call_is_told_from_queue_to_wrap_up() {
    let mut s = Story::default();
    s.member("sales", "PJSIP/101").talk();
    s.at(60_000)
        .on("HangupRequest", "2", &[])
        .completed("1", "2", "sales", "agent")
        .hangup("2", "16")
        .hangup("1", "16");
    assert_eq!(
        s.call("1"),
        [
            "0 offered inbound",
            "0 queued sales",
            "1000 alerting 101 sales",
            "2000 dequeued sales answered",
            "2000 answered 101 sales",
            "60000 released 101 by Agent",
            "60000 ended Agent normal None",
            "62000 wrapped_up 2000",
        ]
    );
    assert_eq!(
        s.agent("101"),
        [
            "0 logged_in",
            "0 skills_changed",
            "0 state_changed Ready -",
            "1000 state_changed Reserved -",
            "2000 state_changed Talking -",
            "60000 state_changed WrapUp -",
            "62000 state_changed Ready -",
        ]
    );
}

#[test]
fn a_busy_phone_and_one_that_rings_out_are_told_apart_and_ring_time_is_in_milliseconds() {
    let mut s = Story::default();
    s.at(0).caller("1").join("1", "sales");
    s.at(1000).rung("1", "2", "PJSIP/106", "sales");
    s.at(1300).on("HangupRequest", "2", &[("Cause", "17"), ("TechCause", "486")]);
    s.pair("DialEnd", "1", "2", &[("DialStatus", "NOANSWER")]);
    s.pair("AgentRingNoAnswer", "1", "2", &[("Queue", "sales"), ("RingTime", "0")]).hangup("2", "17");
    s.at(2000).rung("1", "3", "PJSIP/105", "sales");
    // The other way round: the queue's event before the dial's, and the dial ends twice.
    s.at(7000).pair("AgentRingNoAnswer", "1", "3", &[("Queue", "sales"), ("RingTime", "5000")]);
    s.pair("DialEnd", "1", "3", &[("DialStatus", "NOANSWER")]).pair("DialEnd", "1", "3", &[("DialStatus", "CANCEL")]);
    s.hangup("3", "0");
    let said = s.call("1");
    assert_eq!(said[3], "1300 rona 106 Busy Some(0)");
    assert_eq!(said[5], "7000 rona 105 NoAnswer Some(5000)");
    assert_eq!(said.len(), 6);
}

#[test]
fn a_phone_that_rings_when_the_caller_leaves_is_no_rona() {
    let mut s = Story::default();
    s.at(0).caller("1").join("1", "sales");
    s.at(1000).rung("1", "2", "PJSIP/105", "sales");
    s.at(3000).on("HangupRequest", "1", &[]);
    s.pair("DialEnd", "1", "2", &[("DialStatus", "CANCEL")]).pair("DialEnd", "1", "2", &[("DialStatus", "CANCEL")]);
    s.given_up("1", "sales").hangup("2", "0").hangup("1", "0");
    assert_eq!(s.call("1")[3..5], ["3000 alert_cancelled 105", "3000 dequeued sales abandoned"]);
}

#[test]
fn when_one_of_many_answers_the_others_are_cancelled() {
    let mut s = Story::default();
    s.at(0).caller("1").join("1", "sales");
    s.at(1000).rung("1", "2", "PJSIP/101", "sales").rung("1", "3", "PJSIP/102", "sales");
    s.at(2000).pair("DialEnd", "1", "3", &[("DialStatus", "CANCEL")]).hangup("3", "26").connected("1", "2", "sales");
    assert_eq!(
        s.call("1")[4..],
        ["2000 alert_cancelled 102", "2000 dequeued sales answered", "2000 answered 101 sales"]
    );
}

#[test]
fn an_unhold_without_a_hold_says_nothing() {
    let mut s = Story::default();
    s.talk().at(3000).on("Unhold", "2", &[]).at(4000).on("Hold", "2", &[]).on("Hold", "2", &[]);
    s.at(5000).on("Unhold", "2", &[]).on("Unhold", "2", &[]);
    assert_eq!(s.call("1")[5..], ["4000 held", "5000 retrieved"]);
}

#[test]
fn an_originated_call_is_outbound_and_its_first_ring_is_no_alert() {
    let mut s = Story::default();
    s.at(0)
        .phone("87", "PJSIP/107", "87")
        .event("DialBegin", &[("DestChannel", "PJSIP/107-00000087"), ("DestUniqueid", "87")]);
    s.at(500).event(
        "OriginateResponse",
        &[
            ("Response", "Success"),
            ("ActionID", "27"),
            ("Channel", "PJSIP/107-00000087"),
            ("Exten", "0309876543"),
            ("Uniqueid", "87"),
        ],
    );
    s.channel("88", "PJSIP/trunk-00000088", "87", "inbound", "s").pair(
        "DialBegin",
        "87",
        "88",
        &[("Exten", "0309876543")],
    );
    s.at(2000).pair("DialEnd", "87", "88", &[("DialStatus", "ANSWER")]);
    s.at(9000).on("HangupRequest", "88", &[("Cause", "16")]).hangup("88", "16").hangup("87", "16");
    assert_eq!(s.call("87"), ["0 offered outbound", "2000 answered 107 -", "9000 ended Caller normal None"]);
}

#[test]
fn an_originate_that_failed_is_an_outbound_call_nobody_answered() {
    let mut s = Story::default();
    s.at(0).phone("9", "PJSIP/106", "9");
    s.at(300).event(
        "OriginateResponse",
        &[("Response", "Failure"), ("Channel", "PJSIP/106"), ("Exten", "0309876543"), ("Uniqueid", "<unknown>")],
    );
    s.hangup("9", "17");
    assert_eq!(s.call("9"), ["0 offered outbound", "300 ended System busy None"]);
}

#[test]
fn a_queue_member_behind_a_local_channel_is_rung_once() {
    let mut s = Story::default();
    s.at(0).caller("1").join("1", "sales");
    s.at(1000).channel("2", "Local/101@from-queue-00000000;1", "1", "from-queue", "101");
    s.channel("3", "Local/101@from-queue-00000000;2", "1", "from-queue", "101");
    s.pair("AgentCalled", "1", "2", &[("Queue", "sales"), ("Interface", "Local/101@from-queue/n")]);
    s.phone("4", "PJSIP/101", "1").pair("DialBegin", "3", "4", &[]);
    s.at(2000).pair("DialEnd", "3", "4", &[("DialStatus", "ANSWER")]).pair(
        "DialEnd",
        "1",
        "2",
        &[("DialStatus", "ANSWER")],
    );
    s.on("QueueCallerLeave", "1", &[("Queue", "sales")]);
    s.pair("AgentConnect", "1", "2", &[("Queue", "sales"), ("Interface", "Local/101@from-queue/n")]);
    s.at(3000).on("Hold", "4", &[]).at(4000).on("Unhold", "4", &[]);
    assert_eq!(
        s.call("1")[2..],
        [
            "1000 alerting 101 sales",
            "2000 dequeued sales answered",
            "2000 answered 101 sales",
            "3000 held",
            "4000 retrieved"
        ]
    );
}

#[test]
fn a_direct_call_is_answered_without_a_queue() {
    let mut s = Story::default();
    s.at(0).caller("1").phone("2", "PJSIP/107", "1").pair("DialBegin", "1", "2", &[]);
    s.at(600).pair("DialEnd", "1", "2", &[("DialStatus", "ANSWER")]);
    s.at(5000).on("HangupRequest", "1", &[]).hangup("1", "16").hangup("2", "16");
    assert_eq!(
        s.call("1"),
        ["0 offered inbound", "0 alerting 107 -", "600 answered 107 -", "5000 ended Caller normal None"]
    );
}

#[test]
fn a_pause_in_every_queue_is_not_ready_and_its_reason_is_the_reason() {
    let pause = |s: &mut Story, queue: &str, paused: &str, key: &str| {
        let headers = [
            ("Queue", queue),
            ("MemberName", "PJSIP/101"),
            ("Interface", "PJSIP/101"),
            ("Status", "1"),
            ("Paused", paused),
            (key, "lunch"),
        ];
        s.event("QueueMemberPause", &headers);
    };
    // Asterisk 16 says Reason, later ones PausedReason.
    for key in ["Reason", "PausedReason"] {
        let mut s = Story::default();
        s.at(0).member("sales", "PJSIP/101").member("support", "PJSIP/101").at(1000);
        pause(&mut s, "sales", "1", key);
        s.at(2000);
        pause(&mut s, "support", "1", key);
        s.at(3000);
        pause(&mut s, "sales", "0", key);
        let said: Vec<_> = s.agent("101").into_iter().filter(|line| line.contains("state")).collect();
        assert_eq!(
            said,
            ["0 state_changed Ready -", "2000 state_changed NotReady lunch", "3000 state_changed Ready -"]
        );
    }
}

#[test]
fn the_next_call_ends_the_wrap_up_early_and_the_last_membership_ends_the_day() {
    let mut s = Story::default();
    s.member("sales", "PJSIP/101")
        .talk()
        .at(10_000)
        .completed("1", "2", "sales", "caller")
        .hangup("2", "16")
        .hangup("1", "16");
    s.at(10_500).caller("5").join("5", "sales").at(11_600).rung("5", "6", "PJSIP/101", "sales");
    s.at(12_000).on("HangupRequest", "5", &[]).given_up("5", "sales").hangup("6", "0").hangup("5", "0");
    s.at(13_000)
        .event("QueueMemberRemoved", &[("Queue", "sales"), ("MemberName", "PJSIP/101"), ("Interface", "PJSIP/101")]);
    assert_eq!(s.call("1").last().unwrap(), "11600 wrapped_up 1600");
    assert_eq!(s.agent("101").last().unwrap(), "13000 logged_out");
}

#[test]
fn ivr_choices_come_before_the_queue() {
    let mut s = Story::default();
    s.at(0).caller("1").at(100).on("Newstate", "1", &[]);
    s.at(3000).on("UserEvent", "1", &[("UserEvent", "IvrChoice"), ("Menu", "main"), ("Digit", "2")]);
    s.at(3001).join("1", "support");
    assert_eq!(
        s.call("1"),
        ["0 offered inbound", "100 ivr_entered", "3000 ivr_selected main 2", "3001 ivr_left", "3001 queued support"]
    );
}

#[test]
fn a_system_name_before_the_uniqueid_and_test_events_change_nothing() {
    let mut s = Story::default();
    s.event("TestEvent", &[("Type", "StateChange"), ("Uniqueid", "pbx1-17.1")]);
    s.at(0).channel("pbx1-17.1", "PJSIP/trunk-00000001", "pbx1-17.1", "inbound", "5001").join("pbx1-17.1", "sales");
    assert_eq!(s.call("pbx1-17.1"), ["0 offered inbound", "0 queued sales"]);
}

#[test]
fn events_told_twice_at_once_or_late_say_nothing_new() {
    let mut once = Story::default();
    once.member("sales", "PJSIP/101").member("sales", "PJSIP/105").at(0).caller("1").join("1", "sales");
    once.at(500).rung("1", "9", "PJSIP/105", "sales");
    once.at(900).pair("AgentRingNoAnswer", "1", "9", &[("Queue", "sales"), ("RingTime", "0")]).hangup("9", "17");
    once.at(1000).rung("1", "2", "PJSIP/101", "sales").at(2000).connected("1", "2", "sales");
    once.at(3000)
        .on("HangupRequest", "1", &[])
        .completed("1", "2", "sales", "caller")
        .hangup("2", "16")
        .hangup("1", "16");
    once.at(4000)
        .caller("5")
        .join("5", "sales")
        .at(9000)
        .on("HangupRequest", "5", &[])
        .given_up("5", "sales")
        .hangup("5", "0");
    for late in [0, 1, 2, 5] {
        let mut twice = Story::default();
        for n in 0..once.frames.len() + late {
            twice.frames.extend(once.frames.get(n).cloned());
            twice.frames.extend(n.checked_sub(late).and_then(|n| once.frames.get(n)).cloned());
        }
        let unique = |story: &Story| {
            let mut seen = std::collections::BTreeSet::new();
            let news = |f: &model::Fact| seen.insert(f.id(&"pbx1".into()));
            story
                .facts()
                .into_iter()
                .filter(news)
                .map(|f| format!("{} {}", f.subject, support::story::line(&f)))
                .collect::<Vec<_>>()
        };
        assert_eq!(unique(&twice), unique(&once), "{late} events later");
    }
}

#[test]
fn a_completion_that_does_not_name_the_agents_channel_still_begins_the_wrap_up() {
    let mut s = Story::default();
    s.member("sales", "PJSIP/101").talk().at(9000);
    let transfer =
        [("Result", "Success"), ("TransfererUniqueid", "2"), ("TransfereeUniqueid", "1"), ("Extension", "602")];
    s.event("BlindTransfer", &transfer).hangup("2", "16");
    s.on("AgentComplete", "1", &[("Queue", "sales"), ("Interface", "PJSIP/101"), ("Reason", "transfer")]);
    assert_eq!(s.agent("101")[5..], ["9000 state_changed WrapUp -", "11000 state_changed Ready -"]);
}

#[test]
fn what_is_due_at_a_moment_goes_before_what_happens_at_it() {
    let mut s = Story::default();
    s.member("sales", "PJSIP/101")
        .talk()
        .at(10_000)
        .completed("1", "2", "sales", "caller")
        .hangup("2", "16")
        .hangup("1", "16");
    s.at(11_000).caller("5").join("5", "sales").at(12_000).rung("5", "6", "PJSIP/101", "sales");
    let facts = s.facts();
    let at_once: Vec<_> =
        facts.iter().filter(|f| f.subject.id() == "101" && f.occurred_at.ms() % 60_000 == 32_000).collect();
    assert_eq!(
        at_once.iter().map(|f| support::story::line(f)).collect::<Vec<_>>(),
        ["12000 state_changed Ready -", "12000 state_changed Reserved -"]
    );
    assert!(at_once[0].seq < at_once[1].seq);
}
