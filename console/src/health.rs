//! What gates say on `health` of who came to them.

use std::collections::HashMap;

use model::control::{Envelope, Event, Parsed, QueueCounted, TargetCounted};
use model::{QueueId, TargetId, TenantId, Time};

use crate::figures::Key;

/// A gate that was silent for so long counts no more, in milliseconds.
const SILENT_MS: i64 = 5_000;

/// The newest counts of each gate, and what they grew since they were last asked for.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    gates: HashMap<(TenantId, String), (Time, HashMap<QueueId, QueueCounted>)>,
    grown: HashMap<Key, Grown>,
    targets: HashMap<(TenantId, String, TargetId), (u64, u64)>,
    settled: HashMap<(TenantId, TargetId), (u64, u64)>,
}

/// Targets of gates that are told apart; names that others make up must not grow without a bound.
const TARGETS_MAX: usize = 10_000;

/// What came to all gates of a queue since it was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grown {
    /// Calls that asked.
    pub attempts: u64,
    /// The first ones of their callers.
    pub first: u64,
    /// Those that were let in.
    pub admitted: u64,
}

impl Gates {
    /// Takes in a record of `health`; most are heartbeats, and none of ours.
    pub(crate) fn take(&mut self, value: &[u8]) {
        let Ok(Parsed::Known(envelope)) = Envelope::parse(value) else { return };
        let Event::GateCounted(counted) = envelope.event else { return };
        let tenant = envelope.tenant;
        let known = self.gates.contains_key(&(tenant.clone(), counted.gate.clone()));
        self.settle(&tenant, &counted.gate, &counted.targets, known);
        let (at, queues) = self.gates.entry((tenant.clone(), counted.gate)).or_default();
        if envelope.time < *at {
            return;
        }
        // a gate that is new to us says what came before we looked: only what comes from now on is news
        let known = *at != Time::default();
        *at = envelope.time;
        for now in counted.queues {
            let last = queues.get(&now.queue);
            // counts that shrank are of a gate that started anew
            let last = last.filter(|last| last.attempts <= now.attempts && last.admitted <= now.admitted);
            let since = |now: u64, last: Option<u64>| now - last.unwrap_or(0).min(now);
            if known {
                let grown = self.grown.entry((tenant.clone(), now.queue.clone())).or_default();
                grown.attempts += since(now.attempts, last.map(|last| last.attempts));
                grown.first += since(now.first, last.map(|last| last.first));
                grown.admitted += since(now.admitted, last.map(|last| last.admitted));
            }
            queues.insert(now.queue.clone(), now);
        }
    }

    /// Counts of targets, as a gate says them: what grew is news, unless the gate itself is new to us.
    fn settle(&mut self, tenant: &TenantId, gate: &str, targets: &[TargetCounted], known: bool) {
        for now in targets {
            let key = (tenant.clone(), gate.to_owned(), now.target.clone());
            if self.targets.len() >= TARGETS_MAX && !self.targets.contains_key(&key) {
                continue;
            }
            let last = self.targets.insert(key, (now.settled, now.returned));
            if known {
                // counts that shrank are of a gate that started anew
                let (settled, returned) = last.filter(|last| last.0 <= now.settled).unwrap_or_default();
                let grown = self.settled.entry((tenant.clone(), now.target.clone())).or_default();
                grown.0 += now.settled - settled;
                grown.1 += now.returned.saturating_sub(returned);
            }
        }
    }

    /// Callers of each target who were judged since this was last asked, and those of them who came back.
    pub(crate) fn take_settled(&mut self) -> Vec<((TenantId, TargetId), u64, u64)> {
        let grown = self.settled.drain().filter(|(_, (settled, _))| *settled > 0);
        grown.map(|(key, (settled, returned))| (key, settled, returned)).collect()
    }

    /// Every gate that was heard of of late, and for how long it is silent, if it is.
    pub(crate) fn silent(&self, now: Time) -> impl Iterator<Item = (&TenantId, &str, Option<i64>)> {
        self.gates.iter().map(move |((tenant, gate), (at, _))| {
            let silent = now.since(*at);
            (tenant, gate.as_str(), (silent > SILENT_MS).then_some(silent))
        })
    }

    /// What came to a queue's gates since this was last asked; `None`: no gate speaks of it.
    pub(crate) fn take_grown(&mut self, key: &Key, now: Time) -> Option<Grown> {
        let speaks = self.gates.iter().any(|((tenant, _), (at, queues))| {
            *tenant == key.0 && now.since(*at) <= SILENT_MS && queues.contains_key(&key.1)
        });
        let grown = self.grown.remove(key);
        speaks.then(|| grown.unwrap_or_default())
    }

    /// Forgets gates that are gone.
    pub(crate) fn forget(&mut self, now: Time) {
        self.gates.retain(|_, (at, _)| now.since(*at) < 100 * SILENT_MS);
        let gates = &self.gates;
        self.targets.retain(|(tenant, gate, _), _| gates.contains_key(&(tenant.clone(), gate.clone())));
        self.grown.retain(|_, grown| *grown != Grown::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::control::{By, GateCounted};

    fn told(gate: &str, at: i64, attempts: u64) -> Vec<u8> {
        let queues = vec![QueueCounted { queue: "sales".into(), attempts, first: attempts / 2, admitted: attempts }];
        let envelope = Envelope {
            id: format!("{gate}{at}").as_str().into(),
            source: gate.into(),
            time: Time(at),
            tenant: "bank".into(),
            by: By::Automatic,
            why: String::new(),
            cause_id: None,
            event: GateCounted { gate: gate.to_owned(), queues, targets: Vec::new() }.into(),
        };
        envelope.to_json()
    }

    #[test]
    fn what_came_is_the_growth_of_all_gates_and_a_gate_that_starts_anew_begins_at_nothing() {
        let (mut gates, key): (Gates, Key) = (Gates::default(), ("bank".into(), "sales".into()));
        assert_eq!(gates.take_grown(&key, Time(0)), None);
        gates.take(&told("a", 1_000, 1_000));
        gates.take(&told("b", 1_000, 10));
        assert_eq!(gates.take_grown(&key, Time(1_500)), Some(Grown::default()), "what was before is no news");
        gates.take(&told("a", 2_000, 1_004));
        gates.take(&told("b", 2_000, 3));
        let grown = gates.take_grown(&key, Time(2_500)).unwrap();
        assert_eq!((grown.attempts, grown.first, grown.admitted), (7, 3, 7));
        gates.take(b"{\"a\":1}");
        assert_eq!(gates.take_grown(&key, Time(2_500)), Some(Grown::default()));
        assert_eq!(gates.take_grown(&key, Time(9_000)), None, "silent gates say nothing");
    }
}
