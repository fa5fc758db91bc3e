//! Desk phones that ring for a queue without its application: the calls are the queue's all the same.

mod support;

use std::collections::BTreeMap;

use adapter_asterisk::translate::Translator;
use model::{Quality, Subject, Time};
use support::story::Story;

fn desks(s: &mut Story, uid: &str, why: &str) {
    s.on("UserEvent", uid, &[("UserEvent", "TidegateHardphone"), ("Queue", "sales"), ("Why", why)]);
}

#[test]
fn a_call_that_a_desk_phone_answers_is_offered_waits_and_is_answered_in_its_queue() {
    let mut s = Story::default();
    s.member("sales", "PJSIP/101").member("sales", "PJSIP/102");
    desks(s.at(0).caller("1"), "1", "silent");
    s.at(100).phone("2", "PJSIP/101", "1").pair("DialBegin", "1", "2", &[]);
    s.phone("3", "PJSIP/102", "1").pair("DialBegin", "1", "3", &[]);
    s.at(4000).pair("DialEnd", "1", "2", &[("DialStatus", "ANSWER")]);
    s.at(4001).pair("DialEnd", "1", "3", &[("DialStatus", "CANCEL")]).hangup("3", "26");
    s.at(9000).on("HangupRequest", "2", &[("Cause", "16")]).hangup("2", "16").hangup("1", "16");
    assert_eq!(
        s.call("1"),
        [
            "0 offered inbound",
            "0 queued sales",
            "0 admitted",
            "100 alerting 101 sales",
            "100 alerting 102 sales",
            "4000 alert_cancelled 102",
            "4000 dequeued sales answered",
            "4000 answered 101 sales",
            "9000 released 101 by Agent",
            "9000 ended Agent normal None",
        ]
    );
    let states = s.agent("101");
    assert!(states.contains(&"4000 state_changed Talking -".to_owned()), "{states:?}");
    assert!(states.last().is_some_and(|last| last.contains("Ready")), "no queue will say that it is over: {states:?}");
}

#[test]
fn a_caller_who_hangs_up_at_the_desk_phones_has_abandoned_the_queue() {
    let mut s = Story::default();
    desks(s.at(0).caller("1"), "1", "switch");
    s.at(100).phone("2", "PJSIP/101", "1").pair("DialBegin", "1", "2", &[]);
    s.at(7000).on("HangupRequest", "1", &[]).pair("DialEnd", "1", "2", &[("DialStatus", "CANCEL")]);
    s.hangup("2", "0").hangup("1", "127");
    let said = s.call("1");
    assert!(said.contains(&"7000 alert_cancelled 101".to_owned()), "{said:?}");
    assert_eq!(said[said.len() - 2..], ["7000 dequeued sales abandoned", "7000 ended Caller normal None"]);
}

#[test]
fn a_phone_that_rings_out_did_not_answer_and_the_queue_that_follows_is_the_same_stay() {
    let mut s = Story::default();
    s.member("sales", "PJSIP/101");
    desks(s.at(0).caller("1"), "1", "ordered");
    s.at(100).phone("2", "PJSIP/101", "1").pair("DialBegin", "1", "2", &[]);
    s.at(20_100).pair("DialEnd", "1", "2", &[("DialStatus", "NOANSWER")]).hangup("2", "0");
    s.at(20_200).join("1", "sales");
    s.at(21_000).rung("1", "3", "PJSIP/101", "sales").at(22_000).connected("1", "3", "sales");
    s.at(30_000).completed("1", "3", "sales", "caller").hangup("3", "16").hangup("1", "16");
    assert_eq!(
        s.call("1"),
        [
            "0 offered inbound",
            "0 queued sales",
            "100 alerting 101 sales",
            "20100 rona 101 NoAnswer None",
            "21000 alerting 101 sales",
            "22000 dequeued sales answered",
            "22000 answered 101 sales",
            "30000 released 101 by Caller",
            "30000 ended Caller normal None",
            "32000 wrapped_up 2000",
        ]
    );
}

#[test]
fn a_drill_is_nobodys_call() {
    let mut s = Story::default();
    s.member("sales", "PJSIP/101").at(0);
    s.channel("1", "Local/s@tidegate-drill-00000001;1", "1", "tidegate-drill", "s");
    s.channel("2", "Local/s@tidegate-drill-00000001;2", "1", "tidegate-drill", "s");
    desks(&mut s, "2", "switch");
    s.at(100).phone("3", "PJSIP/101", "1").pair("DialBegin", "2", "3", &[]);
    s.at(900).pair("DialEnd", "2", "3", &[("DialStatus", "ANSWER")]);
    s.at(2000).hangup("3", "16").hangup("2", "16").hangup("1", "16");
    assert_eq!(s.call("1"), [""; 0]);
    assert!(s.agent("101").iter().all(|said| !said.contains("Talking")), "{:?}", s.agent("101"));
}

#[test]
fn what_the_dialplan_logged_while_nobody_watched_is_said_as_if_it_had_been_seen_and_marked() {
    let log = [
        "1700000001|1|sales|NONE|TGDESKENTER|0301234567|silent",
        "1700000004|1|sales|PJSIP/101-00000002|TGDESKCONNECT|3|2",
        "1700000009|1|sales|NONE|TGDESKEND|ANSWER|3|5",
        "1700000010|5|sales|NONE|TGDESKENTER|0301234568|silent",
        "1700000015|5|sales|NONE|TGDESKEND||5|0",
        "1700000020|7|sales|NONE|TGDESKENTER||silent",
        "1700000040|7|sales|NONE|ENTERQUEUE||0301234569|1",
        "1700000042|7|sales|PJSIP/101|CONNECT|2|9|1",
    ];
    let lines: Vec<_> = log.iter().map(|line| adapter_queue_log::QueueLogLine::parse(line).unwrap()).collect();
    let mut translator = Translator::new(support::plan(), &BTreeMap::new());
    translator.backfill(&lines, Time(1_700_000_000_000));
    let facts = translator.take_facts();
    let of = |id: &str| -> Vec<String> {
        facts.iter().filter(|f| f.subject == Subject::Call(id.into())).map(support::story::line).collect()
    };
    assert_eq!(
        of("1"),
        [
            "1000 offered inbound",
            "1000 queued sales",
            "1000 admitted",
            "4000 dequeued sales answered",
            "4000 answered 101 sales",
            "9000 released 101 by Unknown",
        ]
    );
    assert_eq!(of("5")[3..], ["15000 dequeued sales abandoned"]);
    assert_eq!(of("7").iter().filter(|said| said.contains("queued")).count(), 2, "one stay: {:?}", of("7"));
    assert!(of("7").contains(&"42000 answered 101 sales".to_owned()), "{:?}", of("7"));
    let calls = facts.iter().filter(|fact| fact.subject.family() == "call");
    assert!(calls.map(|fact| fact.quality).all(|quality| quality == Some(Quality::Inferred)));
    // lines of a time that was seen already say nothing twice
    translator.backfill(&lines[..3], Time(1_700_000_009_500));
    let again: Vec<_> = translator.take_facts().iter().map(support::story::line).collect();
    assert!(again.iter().all(|said| !said.contains("answered") && !said.contains("queued")), "{again:?}");
}
