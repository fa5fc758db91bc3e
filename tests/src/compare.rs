//! The product's figures beside the oracle's. All differences are collected, so that one run tells everything.

use crate::figures::{Agent, Queue};
use crate::oracle::{Exit, Service, Stay, Transfer};
use crate::records::number_of;
use serde_json::Value;

/// How far two measurements of one duration may be apart (ms): both are taken inside the PBX, but at different moments of the
/// same event; and by how much more where the product knows of it only from `queue_log`, in whole seconds.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Per duration.
    pub each_ms: i64,
    /// Once per sum, for the stays that a gap touched.
    pub gap_ms: i64,
}

impl Tolerance {
    fn of(self, durations: i64) -> i64 {
        self.each_ms * durations.max(1) + self.gap_ms
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

    /// One line of its own.
    pub fn note(&mut self, what: String) {
        self.0.push(what);
    }
}

/// A whole number of a row, by its dotted path. An object counts as the sum of its members; what is absent counts as 0 only
/// inside an object that is there: a name that no row has is a difference.
pub fn number(row: &Value, path: &str, differences: &mut Differences) -> i64 {
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

/// A queue's row.
pub fn queue(name: &str, row: &Value, truth: &Queue, tolerance: Tolerance, differences: &mut Differences) {
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
    let times = [
        ("wait_answered_ms", truth.wait_answered_ms, truth.answered),
        ("wait_abandoned_ms", truth.wait_abandoned_ms, truth.abandoned + truth.short_abandoned),
        ("talk_ms", truth.talk_ms, truth.answered),
        ("hold_ms", truth.hold_ms, truth.answered),
        ("max_wait_ms", truth.max_wait_ms, 1),
    ];
    for (field, truth, durations) in times {
        let product = number(row, field, differences);
        differences.near(&format!("{name} {field}"), product, truth, tolerance.of(durations));
    }
}

/// An agent's row of interval figures.
pub fn agent(name: &str, row: &Value, truth: &Agent, tolerance: Tolerance, differences: &mut Differences) {
    for (field, truth) in [("answered", truth.answered), ("rona", truth.rona), ("transfers_out", truth.transfers)] {
        let product = number(row, field, differences);
        differences.same(&format!("{name} {field}"), product, truth);
    }
    for (field, truth, durations) in
        [("talk_ms", truth.talk_ms, truth.answered), ("hold_ms", truth.hold_ms, truth.answered)]
    {
        let product = number(row, field, differences);
        differences.near(&format!("{name} {field}"), product, truth, tolerance.of(durations));
    }
    for (reason, seconds) in &truth.paused_s {
        let product = number(row, &format!("not_ready_ms.{reason}"), differences);
        differences.near(
            &format!("{name} paused for {reason}"),
            product,
            seconds * 1000,
            1100 * truth.pauses + tolerance.gap_ms,
        );
    }
}

/// The segments of a call record, beside the stays of that call in their order.
pub fn segments(call: &str, record: &Value, stays: &[&Stay], tolerance: Tolerance, differences: &mut Differences) {
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
        differences.near(&format!("{name}: wait"), wait, stay.wait_ms, tolerance.of(1));
        if let Some(truth) = &stay.service {
            service(&name, segment, truth, tolerance, differences);
        }
    }
}

fn service(name: &str, segment: &Value, truth: &Service, tolerance: Tolerance, differences: &mut Differences) {
    differences.same(&format!("{name}: agent"), number_of(text(segment, "agent")), &truth.agent);
    for (field, truth) in [("talk_ms", truth.talk_ms()), ("hold_ms", truth.hold_ms)] {
        let product = number(segment, field, differences);
        differences.near(&format!("{name}: {field}"), product, truth, tolerance.of(1));
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

    #[test]
    fn a_wrong_count_a_far_sum_and_a_missing_name_are_each_one_difference() {
        let truth = Queue { offered: 3, wait_answered_ms: 5000, ..Queue::default() };
        let mut row = json!({
            "offered": 3, "answered": 0, "abandoned": 0, "short_abandoned": 0, "flow_out": {}, "rona": 0, "abandon_ringing": 0,
            "transfers_blind": 0, "transfers_attended": 0, "wait_answered_ms": 5080, "wait_abandoned_ms": 0, "talk_ms": 0,
            "hold_ms": 0, "max_wait_ms": 0
        });
        let tolerance = Tolerance { each_ms: 100, gap_ms: 0 };
        let mut none = Differences::default();
        queue("sales", &row, &truth, tolerance, &mut none);
        assert!(none.0.is_empty(), "{none:?}");
        row["offered"] = json!(4);
        row["wait_answered_ms"] = json!(5101);
        row.as_object_mut().expect("a row").remove("rona");
        let mut three = Differences::default();
        queue("sales", &row, &truth, tolerance, &mut three);
        assert_eq!(three.0.len(), 3, "{three:?}");
    }

    #[test]
    fn a_timeout_may_be_told_as_overflow_but_never_as_an_abandon() {
        let stay = Stay {
            call: "c".into(),
            queue: "sales".into(),
            queued_at: 0,
            exit: Exit::TimedOut,
            wait_ms: 30_000,
            unanswered: Vec::new(),
            left_ringing: false,
            service: None,
        };
        for (exit, wrong) in [("timeout", 0), ("overflow", 0), ("abandoned", 1)] {
            let record = json!({ "segments": [{ "queue": "sales", "exit": exit, "wait_ms": 30_010 }] });
            let mut differences = Differences::default();
            segments("c", &record, &[&stay], Tolerance { each_ms: 100, gap_ms: 0 }, &mut differences);
            assert_eq!(differences.0.len(), wrong, "{exit}: {differences:?}");
        }
    }
}
