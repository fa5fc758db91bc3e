//! The simulator's own ledger of what really happened, as the oracle's stays.

use crate::oracle::{Exit, Service, Stay, Transfer};
use crate::records::number_of;
use anyhow::{Context as _, Result};
use serde::Deserialize;

/// One call of the ledger, in the names of `GET /v1/truth`.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// Unique id of its first channel.
    pub call: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// When it came (ms since the epoch).
    pub offered_ms: i64,
    /// When its last channel went; none while it lives.
    pub ended_ms: Option<i64>,
    visits: Vec<Visit>,
    transfers: Vec<Handover>,
}

#[derive(Clone, Debug, Deserialize)]
struct Visit {
    queue: String,
    queued_ms: i64,
    left_ms: Option<i64>,
    exit: Option<String>,
    wait_ms: Option<i64>,
    rings: Vec<Ring>,
    agent: Option<String>,
    talk_ms: i64,
    hold_ms: i64,
    ended_ms: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Ring {
    agent: String,
    outcome: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Handover {
    at_ms: i64,
    how: String,
}

/// Reads the ledger: one JSON object a line.
pub fn read(text: &str) -> Result<Vec<Call>> {
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("in the ledger: {line}"))).collect()
}

impl Call {
    /// Its stays in queues; nothing if it is not over, or ended in a way that no real queue of these tests shows.
    pub fn stays(&self) -> Option<Vec<Stay>> {
        self.ended_ms?;
        self.visits.iter().map(|visit| self.stay(visit)).collect()
    }

    fn stay(&self, visit: &Visit) -> Option<Stay> {
        let exit = match visit.exit.as_deref()? {
            "answered" => Exit::Answered,
            "abandoned" | "abandoned_ringing" => Exit::Abandoned,
            "timeout" | "overflow" => Exit::TimedOut,
            _ => return None,
        };
        let service = visit.agent.as_ref().filter(|_| exit == Exit::Answered).map(|agent| Service {
            agent: number_of(agent).to_owned(),
            leg: String::new(),
            answered_at: visit.left_ms.unwrap_or(visit.queued_ms),
            engaged_ms: visit.talk_ms + visit.hold_ms,
            hold_ms: visit.hold_ms,
            transfer: self.handover(visit),
        });
        let missed = |ring: &&Ring| ring.outcome.as_deref().is_some_and(|end| end == "rang_out" || end == "refused");
        Some(Stay {
            call: self.call.clone(),
            queue: visit.queue.clone(),
            queued_at: visit.queued_ms,
            exit,
            wait_ms: visit.wait_ms?,
            unanswered: visit.rings.iter().filter(missed).map(|ring| number_of(&ring.agent).to_owned()).collect(),
            left_ringing: visit.exit.as_deref() == Some("abandoned_ringing"),
            service,
        })
    }

    /// The transfer that ended the conversation of this visit.
    fn handover(&self, visit: &Visit) -> Option<Transfer> {
        let ended = visit.ended_ms?;
        let found = self.transfers.iter().find(|transfer| (transfer.at_ms - ended).abs() <= 50)?;
        Some(if found.how == "blind" { Transfer::Blind } else { Transfer::Attended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transferred_call_of_the_ledger_becomes_stays() {
        let line = r#"{"call":"sim1-1.1","direction":"inbound","number":"1","line":"5001","offered_ms":0,"menu":[],"legs":[],
            "ended_by":"caller","ended_ms":90000,"transfers":[{"at_ms":40000,"how":"blind","agent":"Agent 201","to":"queue:support"}],
            "visits":[{"queue":"sales","queued_ms":0,"position":1,"left_ms":8000,"exit":"answered","wait_ms":8000,"agent":"Agent 201",
            "rings":[{"agent":"Agent 205","at_ms":1,"ring_ms":5000,"outcome":"rang_out"}],"talk_ms":30000,"hold_ms":2000,
            "ended_ms":40000,"ended_by":null,"wrap_up_ms":0},
            {"queue":"support","queued_ms":40000,"position":1,"left_ms":90000,"exit":"abandoned_ringing","wait_ms":50000,"rings":[],
            "agent":null,"talk_ms":0,"hold_ms":0,"ended_ms":null,"ended_by":null,"wrap_up_ms":0}]}"#;
        let calls = read(&line.replace('\n', "")).expect("a ledger");
        let stays = calls[0].stays().expect("an ended call");
        let service = stays[0].service.as_ref().expect("an answer");
        assert_eq!((service.transfer, service.talk_ms(), &*service.agent), (Some(Transfer::Blind), 30_000, "201"));
        assert_eq!(stays[0].unanswered, ["205"]);
        assert_eq!((stays[1].exit, stays[1].left_ringing), (Exit::Abandoned, true));
    }
}
