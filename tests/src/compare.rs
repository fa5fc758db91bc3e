//! The product's figures beside the oracle's. All differences are collected, so that one run tells everything.

use crate::figures::{Agent, Queue};
use crate::oracle::{Exit, Service, Stay, Transfer};
use crate::records::number_of;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// `queue_log` cuts to whole seconds at both ends of a duration.
const QUEUE_LOG_MS: i64 = 1100;

/// From a pause in `queue_log` to the event of it, both ends together.
const PAUSE_MS: i64 = 100;

/// How far two measurements of one duration may be apart.
#[derive(Clone, Debug, Default)]
pub struct Tolerance {
    /// Per duration (ms): both are taken inside the PBX, at two events of the same moment.
    pub each_ms: i64,
    /// When the product was blind (ms since the epoch). Of the stays that such a time touches it learns from `queue_log`
    /// afterwards, in whole seconds; how their conversations divide into talk and hold, and what agents did, it never learns.
    pub blind: Vec<(i64, i64)>,
}

/// What that makes for the sums over some stays (ms).
#[derive(Clone, Copy, Debug, Default)]
struct Slack {
    wait: i64,
    engaged: i64,
    talk: i64,
    hold: i64,
}

impl Tolerance {
    fn slack<'a>(&self, stays: impl IntoIterator<Item = &'a Stay>) -> Slack {
        let one = self.each_ms;
        let mut slack = Slack { wait: one, engaged: one, talk: one, hold: one };
        for stay in stays {
            let engaged = stay.service.as_ref().map_or(0, |service| service.engaged_ms);
            let end = stay.queued_at + stay.wait_ms + engaged;
            let touched = self.unseen(stay.queued_at, end) > 0;
            let (unsure, undivided) = if touched { (QUEUE_LOG_MS, engaged) } else { (0, 0) };
            slack.wait += one + unsure;
            slack.engaged += one + unsure;
            slack.talk += one + unsure + undivided;
            slack.hold += one + undivided;
        }
        slack
    }

    /// How much of a time was not seen.
    fn unseen(&self, from: i64, to: i64) -> i64 {
        self.blind.iter().map(|(dark, light)| (to.min(*light) - from.max(*dark)).max(0)).sum()
    }
}

/// What differed, one line each.
#[derive(Clone, Debug, Default)]
pub struct Differences(pub Vec<String>);

impl Differences {
    /// The value has to be exactly this.
    pub fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, product: T, truth: T) {
        if product != truth {
            self.0.push(format!("{what}: product {product:?}, truth {truth:?}"));
        }
    }

    /// The value has to be this within `tolerance`.
    pub fn near(&mut self, what: &str, product: i64, truth: i64, tolerance: i64) {
        if (product - truth).abs() > tolerance {
            self.0.push(format!("{what}: product {product}, truth {truth}, tolerance {tolerance}"));
        }
    }

    /// The value has to be one of these.
    pub fn between(&mut self, what: &str, product: i64, truth: RangeInclusive<i64>) {
        if !truth.contains(&product) {
            self.0.push(format!("{what}: product {product}, truth {} to {}", truth.start(), truth.end()));
        }
    }

    /// One line of its own.
    pub fn note(&mut self, what: String) {
        self.0.push(what);
    }
}

/// A whole number of a row, by its dotted path, or the sum of several joined by `+`. An object counts as the sum of its members; what is absent counts as 0 only
/// inside an object that is there: a name that no row has is a difference.
pub fn number(row: &Value, path: &str, differences: &mut Differences) -> i64 {
    path.split('+').map(|path| one_number(row, path, differences)).sum()
}

fn one_number(row: &Value, path: &str, differences: &mut Differences) -> i64 {
    match row.pointer(&format!("/{}", path.replace('.', "/"))) {
        Some(value) => total(value),
        None if path.contains('.') => 0,
        None => {
            let known = row.as_object().map(|row| row.keys().cloned().collect::<Vec<_>>().join(" "));
            differences.note(format!("no figure is called {path}; there are {}", known.unwrap_or_default()));
            0
        }
    }
}

fn total(value: &Value) -> i64 {
    match value {
        Value::Object(members) => members.values().map(total).sum(),
        other => other.as_i64().unwrap_or(0),
    }
}

/// A queue's row, beside the stays in that queue.
pub fn queue(name: &str, row: &Value, stays: &[&Stay], tolerance: &Tolerance, differences: &mut Differences) {
    let truth = Queue::of(stays);
    let counts = [
        ("offered", truth.offered),
        ("answered", truth.answered),
        ("abandoned", truth.abandoned),
        ("short_abandoned", truth.short_abandoned),
        ("flow_out", truth.timed_out),
        ("rona", truth.rona),
        ("abandon_ringing", truth.abandon_ringing),
        ("transfers_blind", truth.blind),
        ("transfers_attended", truth.attended),
    ];
    for (field, truth) in counts {
        let product = number(row, field, differences);
        differences.same(&format!("{name} {field}"), product, truth);
    }
    let slack = tolerance.slack(stays.iter().copied());
    let times = [
        ("wait_answered_ms", truth.wait_answered_ms, slack.wait),
        ("wait_abandoned_ms", truth.wait_abandoned_ms, slack.wait),
        ("talk_ms", truth.talk_ms, slack.talk),
        ("hold_ms", truth.hold_ms, slack.hold),
        (
            "max_wait_ms",
            truth.max_wait_ms,
            tolerance.each_ms.max(if tolerance.blind.is_empty() { 0 } else { QUEUE_LOG_MS }),
        ),
    ];
    for (field, truth, slack) in times {
        let product = number(row, field, differences);
        differences.near(&format!("{name} {field}"), product, truth, slack);
    }
}

/// An agent's row of interval figures; `stays` are those that this agent answered.
pub fn agent(
    name: &str,
    row: &Value,
    truth: &Agent,
    stays: &[&Stay],
    tolerance: &Tolerance,
    differences: &mut Differences,
) {
    for (field, truth) in [("answered", truth.answered), ("rona", truth.rona), ("transfers_out", truth.transfers)] {
        let product = number(row, field, differences);
        differences.same(&format!("{name} {field}"), product, truth);
    }
    let slack = tolerance.slack(stays.iter().copied());
    let times = [
        ("talk_ms", truth.talk_ms, slack.talk),
        ("hold_ms", truth.hold_ms, slack.hold),
        ("talk_ms+hold_ms", truth.talk_ms + truth.hold_ms, slack.engaged),
    ];
    for (field, truth, slack) in times {
        let product = number(row, field, differences);
        differences.near(&format!("{name} {field}"), product, truth, slack);
    }
    let reasons: BTreeSet<_> = truth.pauses.iter().map(|pause| &pause.reason).collect();
    for reason in reasons {
        let product = number(row, &format!("not_ready_by.{reason}"), differences);
        let (mut least, mut most) = (0, 0);
        for pause in truth.pauses.iter().filter(|pause| pause.reason == *reason) {
            let unseen = tolerance.unseen(pause.from * 1000, pause.to * 1000);
            let slack = PAUSE_MS + unseen + if unseen > 0 { QUEUE_LOG_MS } else { 0 };
            least += pause.least_ms - slack;
            most += pause.most_ms + slack;
        }
        differences.between(&format!("{name} paused for {reason}"), product, least..=most);
    }
}

/// The segments of a call record, beside the stays of that call in their order.
pub fn segments(call: &str, record: &Value, stays: &[&Stay], tolerance: &Tolerance, differences: &mut Differences) {
    let empty = Vec::new();
    let all = record.get("segments").and_then(Value::as_array).unwrap_or(&empty);
    let queued: Vec<_> = all.iter().filter(|segment| segment.get("queue").is_some_and(Value::is_string)).collect();
    differences.same(&format!("{call} stays in queues"), queued.len(), stays.len());
    for (segment, stay) in queued.iter().zip(stays) {
        let name = format!("{call} in {}", stay.queue);
        differences.same(&format!("{name}: queue"), text(segment, "queue"), &stay.queue);
        let exit = match (stay.exit, text(segment, "exit")) {
            (Exit::Answered, said) => said == "answered",
            (Exit::Abandoned, said) => said == "abandoned" || said == "short_abandoned",
            (Exit::TimedOut, said) => said == "timeout" || said == "overflow",
        };
        differences.same(&format!("{name}: {:?} is told as {:?}", stay.exit, text(segment, "exit")), exit, true);
        let wait = number(segment, "wait_ms", differences);
        let slack = tolerance.slack([*stay]);
        differences.near(&format!("{name}: wait"), wait, stay.wait_ms, slack.wait);
        if let Some(truth) = &stay.service {
            service(&name, segment, truth, slack, differences);
        }
    }
}

fn service(name: &str, segment: &Value, truth: &Service, slack: Slack, differences: &mut Differences) {
    differences.same(&format!("{name}: agent"), number_of(text(segment, "agent")), &truth.agent);
    let times = [
        ("talk_ms", truth.talk_ms(), slack.talk),
        ("hold_ms", truth.hold_ms, slack.hold),
        ("talk_ms+hold_ms", truth.engaged_ms, slack.engaged),
    ];
    for (field, truth, slack) in times {
        let product = number(segment, field, differences);
        differences.near(&format!("{name}: {field}"), product, truth, slack);
    }
    let told = segment.pointer("/transfer_out/kind").and_then(Value::as_str);
    let transfer = truth.transfer.map(|transfer| match transfer {
        Transfer::Blind => "blind",
        Transfer::Attended => "attended",
    });
    differences.same(&format!("{name}: handed on"), told, transfer);
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STRICT: Tolerance = Tolerance { each_ms: 100, blind: Vec::new() };

    fn stay(exit: Exit, wait_ms: i64) -> Stay {
        let (call, queue, unanswered) = ("c".into(), "sales".into(), Vec::new());
        Stay { call, queue, queued_at: 0, exit, wait_ms, unanswered, left_ringing: false, service: None }
    }

    fn row() -> Value {
        json!({
            "offered": 1, "answered": 0, "abandoned": 1, "short_abandoned": 0, "flow_out": {}, "rona": 0, "abandon_ringing": 0,
            "transfers_blind": 0, "transfers_attended": 0, "wait_answered_ms": 0, "wait_abandoned_ms": 8190, "talk_ms": 0,
            "hold_ms": 0, "max_wait_ms": 8050
        })
    }

    #[test]
    fn a_wrong_count_a_far_sum_and_a_missing_name_are_each_one_difference() {
        let truth = stay(Exit::Abandoned, 8000);
        let mut none = Differences::default();
        queue("sales", &row(), &[&truth], &STRICT, &mut none);
        assert!(none.0.is_empty(), "{none:?}");
        let mut wrong = row();
        wrong["offered"] = json!(2);
        wrong["wait_abandoned_ms"] = json!(8201);
        wrong.as_object_mut().expect("a row").remove("rona");
        let mut three = Differences::default();
        queue("sales", &wrong, &[&truth], &STRICT, &mut three);
        assert_eq!(three.0.len(), 3, "{three:?}");
    }

    #[test]
    fn only_stays_that_a_blind_time_touches_are_measured_in_whole_seconds() {
        let record = json!({ "segments": [{ "queue": "sales", "exit": "abandoned", "wait_ms": 9000 }] });
        for (blind, wrong) in [((7000, 7500), 0), ((8100, 9000), 1)] {
            let tolerance = Tolerance { each_ms: 100, blind: vec![blind] };
            let mut differences = Differences::default();
            segments("c", &record, &[&stay(Exit::Abandoned, 8000)], &tolerance, &mut differences);
            assert_eq!(differences.0.len(), wrong, "{blind:?}: {differences:?}");
        }
    }

    #[test]
    fn a_timeout_may_be_told_as_overflow_but_never_as_an_abandon() {
        for (exit, wrong) in [("timeout", 0), ("overflow", 0), ("abandoned", 1)] {
            let record = json!({ "segments": [{ "queue": "sales", "exit": exit, "wait_ms": 30_010 }] });
            let mut differences = Differences::default();
            segments("c", &record, &[&stay(Exit::TimedOut, 30_000)], &STRICT, &mut differences);
            assert_eq!(differences.0.len(), wrong, "{exit}: {differences:?}");
        }
    }
}
