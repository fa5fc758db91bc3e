//! What is decided and asked in the call path: events of control, thresholds, FastAGI; and the body of the receiver's door.

use cti::agi::wire::{Head, Malformed, Said, SetVariable, said};
use model::control::{Envelope, Parsed, ThresholdsFile};
use model::{QueueId, Time};
use policy::plan::{Applied, Table, rules_of, staleness_of};

/// The most of a problem's path that a file can name: the file itself.
const FILE_MAX: usize = 1 << 16;

/// Any bytes as an event of control: refused with a reason, or written and read again as the same.
pub fn control(data: &[u8]) {
    match Envelope::parse(data) {
        Ok(Parsed::Known(envelope)) => match Envelope::parse(&envelope.to_json()) {
            Ok(Parsed::Known(again)) => assert_eq!(again.to_json(), envelope.to_json(), "it changes by being written"),
            other => panic!("{envelope:?} is read again as {other:?}"),
        },
        Ok(Parsed::Unknown(head)) => assert!(!model::control::TYPES.contains(&head.ty.as_str()), "{head:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Lines of control as a gate folds them: whatever they say, what holds for a queue can be asked, and a second gate has the same.
pub fn plan(data: &[u8]) {
    let (mut one, mut two) = (Table::default(), Table::default());
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(Parsed::Known(envelope)) = Envelope::parse(line) else { continue };
        let before = one.version();
        let applied = one.apply(&envelope);
        assert_eq!(applied, two.apply(&envelope), "two gates differ over {envelope:?}");
        assert_eq!(one.version() > before, applied == Applied::Changed);
        let now = Time(envelope.time.ms().clamp(0, 4_102_444_800_000));
        for (tenant, decided) in one.tenants() {
            for (queue, known) in decided.queues() {
                let force = one.force(tenant, queue, now, 23).expect("a queue that is known has something that holds");
                assert_eq!(Some(force.orders.level), two.force(tenant, queue, now, 23).map(|other| other.orders.level));
                assert_eq!(force.leads.len(), force.shares.len(), "a target without a share, or a share of nothing");
                assert_eq!(force.plan, known.plan_version());
            }
        }
    }
}

/// Any text as thresholds, in JSON and in TOML: every problem has a place and a fix, and what has none is finite.
pub fn thresholds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > FILE_MAX {
        return;
    }
    let read = [serde_json::from_str::<ThresholdsFile>(text).ok(), toml::from_str::<ThresholdsFile>(text).ok()];
    for file in read.into_iter().flatten() {
        let problems = file.problems(Some(&[QueueId::from("sales")].into()), None);
        assert!(problems.iter().all(|p| !p.path.is_empty() && !p.what.is_empty() && !p.fix.is_empty()), "{problems:?}");
        for thresholds in file.queues.values().filter(|thresholds| thresholds.problems().is_empty()) {
            let rules = rules_of(thresholds);
            let all = [
                rules.threshold_s,
                rules.goal_share,
                rules.target_share,
                rules.certainty,
                rules.room_min,
                rules.burst_s,
            ];
            assert!(all.iter().all(|value| value.is_finite() && *value >= 0.0), "{rules:?}");
            for hour in 0..24 {
                assert!(
                    staleness_of(thresholds, hour, None).static_per_s >= 0.0,
                    "a gap of less than nothing at {hour}"
                );
            }
        }
    }
}

/// What a PBX says over FastAGI, and values that are said to it.
pub fn agi(data: &[u8]) {
    if let Some((end, next)) = Head::end(data) {
        assert!(end < next && next <= data.len() && data[..next].ends_with(b"\n"));
        assert_eq!(Head::end(&data[..next]), Some((end, next)), "more bytes moved the end of the head");
    }
    match Head::parse(data) {
        Ok(head) => {
            assert!(!head.uniqueid.is_empty() && head.arguments.len() <= data.len());
            assert!(head.caller.is_none_or(|caller| !caller.is_empty()), "an empty number is no number");
        }
        Err(Malformed::Line(line)) => assert!(line >= 1),
        Err(Malformed::Text | Malformed::Channel) => {}
    }
    let text = String::from_utf8_lossy(data);
    for line in text.lines() {
        if let Some(Said::Not(code)) = said(line) {
            assert!(code != 200 && code < 1_000, "{line}");
        }
        let Ok(command) = SetVariable::new("TIDEGATE_DESTINATION", line) else { continue };
        let spoken = command.line().strip_suffix('\n').expect("a command is a line");
        assert!(!spoken.contains(['\n', '\r', '\0']), "{spoken:?} is more than one line");
        let quoted =
            spoken.strip_prefix("SET VARIABLE TIDEGATE_DESTINATION \"").and_then(|rest| rest.strip_suffix('"'));
        assert_eq!(unquoted(quoted.expect("the value is quoted")), line, "the PBX reads another value");
    }
}

/// As the PBX reads a quoted word: a backslash makes the next letter plain, and a quote ends it.
fn unquoted(text: &str) -> String {
    let mut letters = text.chars();
    let mut read = String::new();
    while let Some(letter) = letters.next() {
        assert!(letter != '"', "the word ends in the middle of {text:?}");
        read.push(if letter == '\\' { letters.next().expect("a backslash is before a letter") } else { letter });
    }
    read
}

/// A body of the receiver's door: one event, an array, or one a line; never more than asked for and one, each its own JSON.
pub fn door(data: &[u8]) {
    const MOST: usize = 8;
    let Ok(events) = receiver::events_of(data, MOST) else { return };
    let array = data.trim_ascii_start().first() == Some(&b'[');
    assert!(array || events.len() <= MOST + 1, "{} events", events.len());
    for event in events {
        let again = serde_json::from_str::<&serde_json::value::RawValue>(event.get()).map(|same| same.get());
        assert_eq!(again.ok(), Some(event.get()), "an event is not a JSON text of its own");
    }
}
