//! The report of calls: one row per call, page by page; and one call with its timeline.

use std::collections::BTreeSet;

use model::event::call::{Direction, Party};
use model::{CallId, Time};
use serde_json::Value;
use stats::CallRecord;
use store::Reports;

use super::ask::Calls;
use super::flat::{Texts, flat};
use super::range::local;
use super::{Error, cursor};

flat! {
    /// One call.
    pub struct CallRow {
        /// The call.
        pub call: String,
        /// From which source.
        pub source: String,
        /// Whose.
        pub tenant: String,
        /// `inbound`, `outbound` or `internal`.
        pub direction: String,
        /// When it began.
        #[schema(value_type = String, format = DateTime)]
        pub offered_at: Time,
        /// The same in the zone of the report, with its offset.
        pub offered_local: String,
        /// When it ended; empty while it lives.
        #[schema(value_type = Option<String>, format = DateTime)]
        pub ended_at: Option<Time>,
        /// Who ended it: `caller`, `agent`, `system` or `unknown`.
        pub ended_by: Option<String>,
        /// The vendor's cause in words.
        pub cause: Option<String>,
        /// The caller, masked.
        pub caller: Option<String>,
        /// Equal for equal callers of a tenant; tells no number.
        pub caller_token: Option<String>,
        /// The called number, masked.
        pub called: Option<String>,
        /// The trunk or call service.
        pub trunk: Option<String>,
        /// IVR nodes visited, in order.
        pub ivr: Texts,
        /// Queues entered, in order.
        pub queues: Texts,
        /// Why it left each, in order.
        pub exits: Texts,
        /// Agents who answered, in order.
        pub agents: Texts,
        /// Stays in queues and with agents.
        pub segments: i64,
        /// Waiting, all segments, milliseconds.
        pub wait_ms: i64,
        /// Conversation, hold not included, milliseconds.
        pub talk_ms: i64,
        /// Hold, milliseconds.
        pub hold_ms: i64,
        /// After-call work, milliseconds.
        pub wrap_up_ms: i64,
        /// Alerts that were not answered while the caller still waited.
        pub rona: i64,
        /// Times it was handed on.
        pub transfers: i64,
        /// Survey score, 0 to 1 of the best.
        pub csat: Option<f64>,
        /// Whether it is over.
        pub closed: bool,
        /// Events that were concluded, not seen.
        pub inferred: i64,
        /// Events that came late.
        pub late: i64,
    }
}

/// A page of the listing.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPage {
    /// The calls.
    pub rows: Vec<CallRow>,
    /// Where the next page begins; `None`: there is none.
    pub next: Option<String>,
}

fn party(party: Party) -> String {
    match party {
        Party::Caller => "caller",
        Party::Agent => "agent",
        Party::System => "system",
        Party::Unknown => "unknown",
    }
    .to_owned()
}

fn texts(all: impl Iterator<Item = impl ToString>) -> Texts {
    Texts(all.map(|one| one.to_string()).collect())
}

impl CallRow {
    /// The row of a record.
    pub fn of(record: &CallRecord, zone: &jiff::tz::TimeZone) -> CallRow {
        let segments = &record.segments;
        let sum = |of: fn(&stats::call::Segment) -> i64| segments.iter().map(of).sum();
        CallRow {
            call: record.call.to_string(),
            source: record.source.to_string(),
            tenant: record.tenant.to_string(),
            direction: match record.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
                Direction::Internal => "internal",
            }
            .to_owned(),
            offered_at: record.offered_at,
            offered_local: local(record.offered_at, zone),
            ended_at: record.ended_at,
            ended_by: record.ended_by.map(party),
            cause: record.cause.clone(),
            caller: record.ani.as_ref().map(model::Number::shown),
            caller_token: record.ani.as_ref().and_then(|ani| ani.token.clone()),
            called: record.dnis.as_ref().map(model::Number::shown),
            trunk: record.trunk.as_ref().map(ToString::to_string),
            ivr: texts(record.ivr.iter().map(|visit| &visit.node)),
            queues: texts(segments.iter().filter_map(|segment| segment.queue.as_ref())),
            exits: texts(
                segments.iter().filter(|s| s.queue.is_some()).filter_map(|s| s.exit).map(|exit| exit.as_str()),
            ),
            agents: texts(segments.iter().filter_map(|segment| segment.agent.as_ref())),
            segments: segments.len() as i64,
            wait_ms: sum(|segment| segment.wait_ms.unwrap_or(0)),
            talk_ms: sum(|segment| segment.talk_ms.unwrap_or(0)),
            hold_ms: sum(|segment| segment.hold_ms),
            wrap_up_ms: sum(|segment| segment.wrap_up_ms),
            rona: sum(|segment| {
                segment.alerts.iter().filter(|a| matches!(a.end, Some(stats::call::AlertEnd::Rona(_)))).count() as i64
            }),
            transfers: sum(|segment| i64::from(segment.transfer_out.is_some())),
            csat: record.csat.as_ref().map(|csat| csat.score / csat.score_max),
            closed: record.closed,
            inferred: i64::from(record.inferred),
            late: i64::from(record.late),
        }
    }
}

/// Answers a question about calls.
///
/// # Errors
/// A store that cannot be read.
pub async fn calls(reports: &dyn Reports, asked: &Calls) -> Result<CallPage, Error> {
    let page = reports.calls(&asked.filter, asked.after.as_ref(), asked.limit).await?;
    let rows = page.calls.iter().map(|record| CallRow::of(record, &asked.zone)).collect();
    Ok(CallPage { rows, next: page.next.as_ref().map(cursor::write) })
}

/// One call as JSON; `None`: there is none, or it is of another tenant.
///
/// # Errors
/// A store that cannot be read.
pub async fn call(reports: &dyn Reports, id: &CallId, tenant: Option<&str>) -> Result<Option<Value>, Error> {
    let record = reports.call(id).await?.filter(|record| tenant.is_none_or(|own| own == record.tenant.as_str()));
    Ok(record.map(|record| without_digits(serde_json::to_value(record).unwrap_or_default())))
}

/// The events of one call in order, as CloudEvents; `None`: there is none, or it is of another tenant.
///
/// # Errors
/// A store that cannot be read.
pub async fn timeline(reports: &dyn Reports, id: &CallId, tenant: Option<&str>) -> Result<Option<Vec<Value>>, Error> {
    let record = reports.call(id).await?.filter(|record| tenant.is_none_or(|own| own == record.tenant.as_str()));
    let event = |entry: &stats::call::Entry| {
        let json = entry.envelope(id).to_json();
        without_digits(serde_json::from_slice(&json).unwrap_or_default())
    };
    Ok(record.map(|record| record.timeline().iter().map(event).collect()))
}

/// Numbers are sealed by the receiver; should one have come past it in the clear, it ends here.
fn without_digits(mut value: Value) -> Value {
    fn walk(value: &mut Value, names: &BTreeSet<&str>) {
        match value {
            Value::Object(map) => {
                map.retain(|name, _| !names.contains(name.as_str()));
                map.values_mut().for_each(|value| walk(value, names));
            }
            Value::Array(all) => all.iter_mut().for_each(|value| walk(value, names)),
            _ => {}
        }
    }
    walk(&mut value, &BTreeSet::from(["digits"]));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_in_the_clear_leaves_the_house() {
        let value = serde_json::json!({"ani": {"digits": "13800138000", "mask": "138***00"}, "to": [{"number": {"digits": "1"}}]});
        let shown = without_digits(value).to_string();
        assert!(!shown.contains("digits") && shown.contains("138***00"));
    }
}
