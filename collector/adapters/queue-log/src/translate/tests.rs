use super::*;

fn play(lines: &[&str]) -> Vec<String> {
    let mut translator =
        Translator::new(Memory::default(), BTreeMap::from([("PJSIP/101".to_owned(), "Ann".to_owned())]));
    let mut facts = Vec::new();
    for text in lines {
        facts.extend(translator.facts(text, &QueueLogLine::parse(text).unwrap()));
    }
    facts.extend(translator.finish());
    facts.iter().map(|f| format!("{} {} {}", f.occurred_at.ms() / 1000 % 1000, f.subject, f.event.ty())).collect()
}

#[test]
fn a_call_is_offered_once_and_ends_when_it_leaves_for_good() {
    let got = play(&[
        "1000|c1|sales|NONE|ENTERQUEUE||0301|1",
        "1012|c1|sales|Ann|CONNECT|12|c2|3",
        "1072|c1|sales|Ann|COMPLETECALLER|12|60|1",
    ]);
    let want = [
        "0 call/c1 call.offered.v1",
        "0 call/c1 call.queued.v1",
        "12 call/c1 call.dequeued.v1",
        "12 call/c1 call.answered.v1",
        "12 agent/Ann agent.state_changed.v1",
        "72 call/c1 call.released.v1",
        "72 agent/Ann agent.state_changed.v1",
        "72 call/c1 call.ended.v1",
    ];
    assert_eq!(got, want);
}

#[test]
fn a_timeout_that_joins_another_queue_is_the_same_call() {
    let got = play(&[
        "1000|c1|sales|NONE|ENTERQUEUE||0301|1",
        "1030|c1|sales|NONE|EXITWITHTIMEOUT|1|1|30",
        "1031|c1|support|NONE|ENTERQUEUE||0301|1",
        "1040|c1|support|NONE|ABANDON|1|1|9",
    ]);
    let count = |ty: &str| got.iter().filter(|line| line.ends_with(ty)).count();
    assert_eq!((count(".offered.v1"), count(".queued.v1"), count(".dequeued.v1"), count(".ended.v1")), (1, 2, 2, 1));
    assert_eq!(got.last().unwrap(), "40 call/c1 call.ended.v1");
}

#[test]
fn a_transfer_written_after_the_entry_that_it_leads_to_came_before_it_and_the_call_waits_on() {
    let lines = [
        "1000|c1|sales|NONE|ENTERQUEUE||0301|1",
        "1008|c1|sales|Ann|CONNECT|8|c2|0",
        "1009|c1|support|NONE|ENTERQUEUE||0301|3",
        "1009|c1|sales|Ann|BLINDTRANSFER|602|agents|8|1|10",
        "1040|c1|support|NONE|ABANDON|1|3|31",
    ];
    let mut translator = Translator::new(Memory::default(), BTreeMap::new());
    let mut facts = Vec::new();
    for text in lines {
        facts.extend(translator.facts(text, &QueueLogLine::parse(text).unwrap()));
    }
    facts.extend(translator.finish());
    facts.retain(|f| f.subject.family() == "call");
    facts.sort_by_key(|f| (f.occurred_at, f.seq));
    let short = |ty: &'static str| ty.trim_end_matches(".v1").trim_start_matches("call.");
    let types: Vec<_> = facts.iter().map(|f| short(f.event.ty())).collect();
    let want = ["offered", "queued", "dequeued", "answered", "released", "transferred", "queued", "dequeued", "ended"];
    assert_eq!(types, want);
}

#[test]
fn one_agent_under_two_names_logs_in_once_and_out_with_its_last_queue() {
    let got = play(&[
        "1000|MANAGER|sales|PJSIP/101|ADDMEMBER|",
        "1000|MANAGER|support|PJSIP/101|ADDMEMBER|",
        "1001|NONE|NONE|Ann|PAUSEALL|lunch",
        "1009|MANAGER|sales|PJSIP/101|REMOVEMEMBER|",
        "1010|MANAGER|support|PJSIP/101|REMOVEMEMBER|",
    ]);
    let agent: Vec<_> = got.iter().filter(|line| line.contains("agent/")).map(String::as_str).collect();
    let want = [
        "0 agent/Ann agent.logged_in.v1",
        "0 agent/Ann agent.state_changed.v1",
        "1 agent/Ann agent.state_changed.v1",
        "10 agent/Ann agent.logged_out.v1",
    ];
    assert_eq!(agent, want);
}

#[test]
fn a_restart_of_the_pbx_loses_who_waited() {
    let got = play(&["1000|c1|sales|NONE|ENTERQUEUE||0301|1", "1500|NONE|NONE|NONE|QUEUESTART|"]);
    assert_eq!(got[2..], ["500 call/c1 call.dequeued.v1", "500 call/c1 call.ended.v1"]);
}

fn fed(lines: impl Iterator<Item = String>) -> (Translator, usize, u64) {
    let mut translator = Translator::new(Memory::default(), BTreeMap::new());
    let (mut facts, mut surplus) = (0, 0);
    for text in lines {
        facts += translator.facts(&text, &QueueLogLine::parse(&text).unwrap()).len();
        surplus += translator.take_surplus().map_or(0, |(_, count)| count);
    }
    (translator, facts, surplus)
}

#[test]
fn a_hundred_thousand_calls_that_never_leave_are_all_told_and_a_bounded_number_is_remembered() {
    let lines = (0..100_000).map(|n| format!("{}|c{n}|sales|NONE|ENTERQUEUE||0301|1", 1000 + n / 10));
    let (translator, facts, surplus) = fed(lines);
    assert_eq!(facts, 200_000, "each is offered and queued");
    assert!(translator.memory.calls.len() <= CALLS_MAX && surplus >= 80, "{surplus}");
    assert!(translator.memory.calls.contains_key("c99999") && !translator.memory.calls.contains_key("c0"));
}

#[test]
fn a_hundred_thousand_agents_and_queues_are_followed_up_to_the_bound_and_the_rest_is_counted() {
    let agents = |n: usize| format!("1000|MANAGER|sales|PJSIP/{n}|ADDMEMBER|");
    let (translator, _, surplus) = fed((0..100_000).map(agents));
    assert_eq!((translator.memory.agents.len(), surplus), (AGENTS_MAX, 90_000));
    let queues = |n: usize| format!("1000|MANAGER|q{n}|PJSIP/101|ADDMEMBER|");
    let (translator, _, surplus) = fed((0..100_000).map(queues));
    assert_eq!((translator.memberships, surplus), (MEMBERSHIPS_MAX, 80_000));
    let words = |n: usize| format!("1000|x|sales|a{n}|PENALTY|1");
    let (translator, _, surplus) = fed((0..100_000).map(words));
    assert_eq!((translator.memory.agents.len(), surplus), (0, 0), "who is nowhere takes nobody's place");
}

#[test]
fn a_line_of_the_end_of_time_has_an_order_too() {
    let got = play(&["253402300799|c1|sales|NONE|ENTERQUEUE||0301|1", "253402300799|c1|sales|NONE|ABANDON|1|1|9"]);
    assert_eq!(got.len(), 4);
}
