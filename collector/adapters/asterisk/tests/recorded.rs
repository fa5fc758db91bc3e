//! A recorded minute of a real Asterisk 22: what the adapter says of it against what that PBX logged itself.
//! Needs `../shared/asterisk/sample`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use adapter_queue_log::line::{QueueLogLine, Verb};
use model::event::Event;
use model::event::call::{Direction, Party, QueueExit, RonaReason, TransferKind};
use model::{Fact, SourceId};
use support::{facts, kind, shared};

fn capture() -> Vec<u8> {
    let path = shared().join("asterisk/sample/ami_capture.txt.gz");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

fn log() -> Vec<QueueLogLine> {
    let text = std::fs::read_to_string(shared().join("asterisk/sample/queue_log")).unwrap();
    text.lines().map(|line| QueueLogLine::parse(line).unwrap()).collect()
}

type Count = BTreeMap<(String, String), usize>;

fn add(count: &mut Count, a: impl AsRef<str>, b: impl AsRef<str>) {
    *count.entry((a.as_ref().to_owned(), b.as_ref().to_owned())).or_default() += 1;
}

/// Of the log: verbs by queue and by agent. `Agent 101` and `PJSIP/101` are agent 101.
fn of_log(log: &[QueueLogLine]) -> Count {
    let mut count = Count::new();
    for line in log {
        let queue = line.queue.clone().unwrap_or_default();
        let agent =
            line.agent.as_deref().map(|a| a.trim_start_matches("Agent ").trim_start_matches("PJSIP/").to_owned());
        let agent = agent.unwrap_or_default();
        match &line.verb {
            Verb::EnterQueue { .. } => add(&mut count, "queued", &queue),
            Verb::Connect { .. } => {
                add(&mut count, "answered", &queue);
                add(&mut count, "answered by", &agent);
            }
            Verb::Abandon(_) => add(&mut count, "abandoned", &queue),
            Verb::ExitWithTimeout(_) => add(&mut count, "timed out", &queue),
            Verb::RingNoAnswer { .. } => add(&mut count, "rona", &agent),
            Verb::RingCanceled { .. } => add(&mut count, "alert cancelled", &agent),
            Verb::BlindTransfer { .. } => add(&mut count, "blind", &agent),
            Verb::AttendedTransfer { .. } => add(&mut count, "attended", &agent),
            Verb::CompleteAgent(_) => add(&mut count, "completed by agent", &agent),
            Verb::CompleteCaller(_) => add(&mut count, "completed by caller", &agent),
            Verb::AddMember { .. } => add(&mut count, "member added", &queue),
            Verb::RemoveMember => add(&mut count, "member removed", &queue),
            Verb::Pause { .. } | Verb::Unpause => add(&mut count, "paused or back", &agent),
            _ => {}
        }
    }
    count
}

fn of_facts(facts: &[Fact]) -> Count {
    let mut count = Count::new();
    let mut queue_talks = BTreeSet::new();
    for fact in facts {
        match &fact.event {
            Event::CallQueued(e) => add(&mut count, "queued", &e.queue),
            Event::CallAnswered(e) => {
                if let Some(queue) = &e.queue {
                    queue_talks.insert((fact.subject.id(), e.agent.clone()));
                    add(&mut count, "answered", queue);
                    add(&mut count, "answered by", e.agent.as_ref().unwrap());
                }
            }
            Event::CallDequeued(e) => match e.cause {
                QueueExit::Abandoned => add(&mut count, "abandoned", &e.queue),
                QueueExit::Timeout | QueueExit::Overflow => add(&mut count, "timed out", &e.queue),
                QueueExit::Answered => {}
                other => add(&mut count, other.as_str(), &e.queue),
            },
            Event::CallRona(e) if e.queue.is_some() => add(&mut count, "rona", &e.agent),
            Event::CallAlertCancelled(e) if e.queue.is_some() => add(&mut count, "alert cancelled", &e.agent),
            Event::CallTransferred(e) => {
                let kind = if e.kind == TransferKind::Blind { "blind" } else { "attended" };
                add(&mut count, kind, e.agent.as_ref().unwrap());
            }
            // Talks outside queues (targets of transfers, direct calls) are not in the log.
            Event::CallReleased(e) if queue_talks.contains(&(fact.subject.id(), e.agent.clone())) => {
                add(&mut count, format!("completed by {:?}", e.by).to_lowercase(), e.agent.as_ref().unwrap());
            }
            Event::QueueMemberAdded(_) => add(&mut count, "member added", fact.subject.id()),
            Event::QueueMemberRemoved(_) => add(&mut count, "member removed", fact.subject.id()),
            Event::QueueMemberPaused(e) => add(&mut count, "paused or back", &e.agent),
            _ => {}
        }
    }
    count
}

#[test]
fn the_facts_count_what_the_pbx_logged() {
    assert_eq!(of_facts(&facts(&capture(), 4096)), of_log(&log()));
}

#[test]
fn each_call_is_offered_and_ended_once_and_local_legs_are_none() {
    let facts = facts(&capture(), 65_536);
    let mut directions = BTreeMap::new();
    for fact in &facts {
        if let Event::CallOffered(e) = &fact.event {
            *directions.entry(e.direction).or_insert(0) += 1;
        }
    }
    // 60 callers reached the dialplan (the 61st dialled a number that is none); two originates went out and one rang in
    // vain; seven consultations by REFER are calls of their own.
    let want = BTreeMap::from([(Direction::Inbound, 60), (Direction::Outbound, 3), (Direction::Internal, 7)]);
    assert_eq!(directions, want);
    for ty in ["call.offered", "call.ended"] {
        let calls: Vec<_> = facts.iter().filter(|f| kind(f) == ty).map(|f| f.subject.id().to_owned()).collect();
        assert_eq!(calls.len(), 70, "{ty}");
        assert_eq!(calls.iter().collect::<BTreeSet<_>>().len(), 70, "{ty}");
    }
    let merged = facts.iter().filter(|f| matches!(&f.event, Event::CallEnded(e) if e.merged_into.is_some())).count();
    assert_eq!(merged, 7);
}

#[test]
fn a_busy_phone_is_told_from_one_that_rings_out() {
    let mut reasons = BTreeMap::new();
    for fact in facts(&capture(), 1000) {
        if let Event::CallRona(e) = &fact.event {
            *reasons.entry((e.agent.to_string(), e.reason)).or_insert(0) += 1;
        }
    }
    let busy: usize = reasons.iter().filter(|((_, r), _)| *r == RonaReason::Busy).map(|(_, n)| n).sum();
    assert_eq!(
        reasons.keys().map(|(a, r)| (a.as_str(), *r)).collect::<Vec<_>>(),
        [("105", RonaReason::NoAnswer), ("106", RonaReason::Busy)]
    );
    assert_eq!(busy, 36);
}

#[test]
fn every_timeout_that_went_on_to_another_queue_is_an_overflow() {
    let facts = facts(&capture(), 500);
    let overflows =
        facts.iter().filter(|f| matches!(&f.event, Event::CallDequeued(e) if e.cause == QueueExit::Overflow));
    assert_eq!(overflows.count(), 10);
}

#[test]
fn no_two_facts_have_one_id_and_cuts_of_the_stream_change_nothing() {
    let bytes = capture();
    let whole = facts(&bytes, bytes.len());
    let source = SourceId::new("pbx1");
    let ids: BTreeSet<_> = whole.iter().map(|f| f.id(&source)).collect();
    assert_eq!(ids.len(), whole.len());
    for split in [1, 7, 1448, 4096] {
        assert_eq!(facts(&bytes, split), whole, "reads of {split}");
    }
}

#[test]
fn facts_of_one_subject_come_in_order_within_the_swaps_of_the_pbx() {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for fact in facts(&capture(), 4096) {
        let subject = fact.subject.to_string();
        let at = fact.occurred_at.ms();
        let before = last.insert(subject.clone(), at).unwrap_or(at);
        assert!(at + 1 >= before, "{subject}: {} at {at} after {before}", kind(&fact));
    }
}

#[test]
fn every_agent_is_ready_or_gone_at_the_end_and_talks_as_long_as_the_log_says() {
    let mut talk_ms: BTreeMap<String, i64> = BTreeMap::new();
    let mut open: BTreeMap<(String, String), i64> = BTreeMap::new();
    for fact in facts(&capture(), 4096) {
        let (call, at) = (fact.subject.id().to_owned(), fact.occurred_at.ms());
        match &fact.event {
            Event::CallAnswered(e) if e.queue.is_some() => {
                open.insert((call, e.agent.as_ref().unwrap().to_string()), at);
            }
            Event::CallReleased(model::event::call::Released { agent, .. })
            | Event::CallTransferred(model::event::call::Transferred { agent, .. }) => {
                let agent = agent.as_ref().unwrap().to_string();
                if let Some(since) = open.remove(&(call, agent.clone())) {
                    *talk_ms.entry(agent).or_default() += at - since;
                }
            }
            _ => {}
        }
    }
    assert_eq!(open, BTreeMap::new(), "every talk ends");
    let mut logged: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for line in log() {
        if let Verb::CompleteAgent(t)
        | Verb::CompleteCaller(t)
        | Verb::BlindTransfer { talk: t, .. }
        | Verb::AttendedTransfer { talk: t, .. } = line.verb
        {
            let entry = logged.entry(line.agent.unwrap().trim_start_matches("Agent ").to_owned()).or_default();
            entry.0 += i64::try_from(t.talk_s).unwrap() * 1000;
            entry.1 += 1;
        }
    }
    for (agent, (ms, calls)) in logged {
        let ours = talk_ms.get(&agent).copied().unwrap_or(0);
        assert!((ours - ms).abs() <= calls * 1000, "{agent}: {ours} ms, the log says {ms} ms in {calls} calls");
    }
}

/// One row of the PBX's channel event log: event, seconds, caller, channel, uniqueid, linkedid, extra.
struct Cel {
    event: String,
    at_ms: i64,
    caller: String,
    exten: String,
    uid: String,
    linked: String,
    extra: String,
}

fn cel() -> Vec<Cel> {
    let path = shared().join("asterisk/sample/cel.csv.gz");
    let rows = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(rows);
    rows.records()
        .map(|row| {
            let row = row.unwrap();
            let (s, us) = row[1].split_once('.').unwrap();
            Cel {
                event: row[0].to_owned(),
                at_ms: s.parse::<i64>().unwrap() * 1000 + us.parse::<i64>().unwrap() / 1000,
                caller: row[3].to_owned(),
                exten: row[6].to_owned(),
                uid: row[12].to_owned(),
                linked: row[13].to_owned(),
                extra: row[17].to_owned(),
            }
        })
        .collect()
}

#[test]
fn calls_begin_and_end_when_the_channel_event_log_says_and_by_whom() {
    let facts = facts(&capture(), 4096);
    let of = |id: &str, ty: &str| facts.iter().find(|f| f.subject.id() == id && kind(f) == ty).unwrap();
    let cel = cel();
    let mut by = BTreeMap::new();
    for end in cel.iter().filter(|row| row.event == "LINKEDID_END") {
        let begin = cel.iter().find(|row| row.event == "CHAN_START" && row.uid == end.linked).unwrap();
        let (offered, ended) = (of(&end.linked, "call.offered"), of(&end.linked, "call.ended"));
        assert!((offered.occurred_at.ms() - begin.at_ms).abs() <= 5, "{}", end.linked);
        let Event::CallOffered(offer) = &offered.event else { unreachable!() };
        let Event::CallEnded(over) = &ended.event else { unreachable!() };
        if offer.direction != Direction::Inbound {
            continue;
        }
        assert!((ended.occurred_at.ms() - end.at_ms).abs() <= 10, "{}", end.linked);
        assert_eq!(offer.ani.as_ref().unwrap().digits.as_deref(), Some(begin.caller.as_str()));
        assert_eq!(offer.dnis.as_ref().unwrap().digits.as_deref(), Some(begin.exten.as_str()));
        let hangup = cel.iter().find(|row| row.event == "HANGUP" && row.uid == end.linked).unwrap();
        let source = hangup.extra.split(r#""hangupsource":""#).nth(1).unwrap().split('"').next().unwrap();
        *by.entry((over.by, source.split('-').next().unwrap().to_owned())).or_insert(0) += 1;
        let cause: u16 =
            hangup.extra.split(r#""hangupcause":"#).nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(over.q850.unwrap_or(0), cause, "{}", end.linked);
    }
    // Who hung up: the trunk's end is the caller's; a phone's is an agent's; nobody's is the dialplan's.
    for ((by, source), calls) in &by {
        println!("{by:?} {source:20} {calls}");
    }
    assert_eq!(by.values().sum::<usize>(), 60);
    for (party, source) in by.keys() {
        let want = match source.as_str() {
            source if source.contains("trunk") => Party::Caller,
            source if source.starts_with("dialplan") => Party::System,
            _ => Party::Agent,
        };
        assert!(source.is_empty() || *party == want, "{party:?} but the hang-up came from {source}");
    }
}

#[test]
fn no_agent_is_in_a_state_for_no_time_between_ringing_and_talking() {
    let mut last: BTreeMap<String, (i64, model::event::agent::State)> = BTreeMap::new();
    for fact in facts(&capture(), 4096) {
        if let Event::AgentStateChanged(e) = &fact.event {
            let (id, at) = (fact.subject.id().to_owned(), fact.occurred_at.ms());
            if let Some((since, state)) = last.insert(id.clone(), (at, e.state)) {
                let ready = state == model::event::agent::State::Ready;
                assert!(!(ready && since == at && e.state == model::event::agent::State::Talking), "{id} at {at}");
            }
        }
    }
    assert_eq!(last.len(), 7);
}
