//! A queue now: who waits, who is served, who works here, and how long it will take.

use std::collections::BTreeMap;

use model::{AgentId, DeviceId, QueueId, SourceId, TenantId, Time};
use serde::{Deserialize, Serialize};

/// Open calls of one queue in one partition, counted. Partials add up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Whose.
    pub tenant: TenantId,
    /// Which queue.
    pub queue: QueueId,
    /// How many wait, the ringing included.
    #[serde(default)]
    pub waiting: i64,
    /// How many of them ring at an agent.
    #[serde(default)]
    pub ringing: i64,
    /// How many talk, holds left out.
    #[serde(default)]
    pub talking: i64,
    /// How many are on hold.
    #[serde(default)]
    pub held: i64,
    /// How many wait at each priority.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "by_priority")]
    pub waiting_by_priority: BTreeMap<i32, i64>,
    /// Since when the one waits who waits longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_waiting_since: Option<Time>,
    /// The last caller who entered service, for the fallback of the expected wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_served: Option<LastServed>,
}

/// Reads the keys as text: within the tagged [`super::View`] serde hands JSON's text keys on as they are.
fn by_priority<'de, D: serde::Deserializer<'de>>(d: D) -> Result<BTreeMap<i32, i64>, D::Error> {
    let text = BTreeMap::<String, i64>::deserialize(d)?;
    text.into_iter().map(|(k, n)| Ok((k.parse().map_err(serde::de::Error::custom)?, n))).collect()
}

/// The last caller who entered service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LastServed {
    /// When.
    pub at: Time,
    /// After what wait, in milliseconds.
    pub wait_ms: i64,
}

impl Queue {
    /// A queue where nobody waits.
    pub fn empty(tenant: TenantId, queue: QueueId) -> Queue {
        Queue {
            tenant,
            queue,
            waiting: 0,
            ringing: 0,
            talking: 0,
            held: 0,
            waiting_by_priority: BTreeMap::new(),
            oldest_waiting_since: None,
            last_served: None,
        }
    }

    /// Whether nobody waits or talks.
    pub fn is_idle(&self) -> bool {
        self.waiting == 0 && self.talking == 0 && self.held == 0
    }

    /// Adds another partition's counts.
    pub fn merge(&mut self, other: &Queue) {
        self.waiting += other.waiting;
        self.ringing += other.ringing;
        self.talking += other.talking;
        self.held += other.held;
        for (priority, n) in &other.waiting_by_priority {
            *self.waiting_by_priority.entry(*priority).or_default() += n;
        }
        self.oldest_waiting_since = match (self.oldest_waiting_since, other.oldest_waiting_since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.last_served = self.last_served.max(other.last_served);
    }
}

/// Who works for a queue, and how it is set up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Members {
    /// Whose.
    pub tenant: TenantId,
    /// From which source.
    pub source: SourceId,
    /// Which queue.
    pub queue: QueueId,
    /// The vendor's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it picks agents, in the vendor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The vendor's own service-level threshold, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_level_s: Option<u32>,
    /// How many may wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_max: Option<u32>,
    /// Who works here.
    #[serde(default)]
    pub members: BTreeMap<AgentId, Member>,
    /// When something last changed.
    pub last_at: Time,
}

/// An agent who works for a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// On which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Lower goes first; vendor scale.
    #[serde(default)]
    pub penalty: i32,
    /// Whether paused in this queue.
    #[serde(default)]
    pub paused: bool,
    /// Why paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The expected wait of a caller with `ahead` callers ahead, in milliseconds: EWT(k) = Σ_{i=0..k} 1/(nμ + iθ), served by `agents`
/// effective agents (logged in and open to this queue: breaks and unknowns left out), each `1/aht_ms` per millisecond, while
/// each waiting caller leaves at `theta` per millisecond. When agents or AHT are unknown: the wait of the last caller who
/// entered service. `None` when that is not known either, and when nobody works here and nobody gives up.
/// A caller who finds a free agent (`free`) waits 0.
pub fn expected_wait_ms(
    ahead: i64,
    free: bool,
    agents: Option<f64>,
    aht_ms: Option<f64>,
    theta: f64,
    last: Option<LastServed>,
) -> Option<f64> {
    if free && ahead <= 0 {
        return Some(0.0);
    }
    let service = match (agents, aht_ms) {
        (Some(n), Some(aht)) if aht > 0.0 && n >= 0.0 => n / aht,
        _ => return last.map(|l| l.wait_ms as f64),
    };
    let theta = theta.max(0.0);
    let term = |i: i64| 1.0 / (service + i as f64 * theta);
    let sum: f64 = if ahead < 10_000 {
        (0..=ahead.max(0)).map(term).sum()
    } else if theta > 0.0 {
        (1.0 + (ahead + 1) as f64 * theta / service).ln() / theta // the integral: bounded work for an endless queue
    } else {
        (ahead + 1) as f64 * term(0)
    };
    sum.is_finite().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_wait_grows_with_the_queue_and_shrinks_with_agents() {
        let ewt = |k, n| expected_wait_ms(k, false, Some(n), Some(180_000.0), 1.0 / 120_000.0, None).unwrap();
        assert!((expected_wait_ms(0, false, Some(10.0), Some(180_000.0), 0.0, None).unwrap() - 18_000.0).abs() < 1e-6);
        assert!(ewt(5, 10.0) > ewt(4, 10.0) && ewt(5, 11.0) < ewt(5, 10.0));
        assert!((ewt(9_999, 10.0) - ewt(10_000, 10.0)).abs() / ewt(9_999, 10.0) < 0.02, "the integral joins the sum");
    }

    #[test]
    fn without_agents_known_the_last_served_speaks() {
        let last = Some(LastServed { at: Time(1), wait_ms: 42_000 });
        assert_eq!(expected_wait_ms(3, false, None, Some(1.0), 0.0, last), Some(42_000.0));
        assert_eq!(expected_wait_ms(3, false, Some(0.0), Some(180_000.0), 0.0, None), None);
        assert_eq!(expected_wait_ms(0, true, Some(2.0), Some(180_000.0), 0.0, None), Some(0.0));
    }

    #[test]
    fn partial_queues_add_up_and_the_oldest_is_the_minimum() {
        let empty = Queue::empty("t".into(), "q".into());
        let a = Queue { waiting: 2, oldest_waiting_since: Some(Time(50)), ..empty.clone() };
        let b = Queue { waiting: 1, oldest_waiting_since: Some(Time(20)), ..empty.clone() };
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge(&b);
        ba.merge(&a);
        assert_eq!(ab, ba);
        assert_eq!((ab.waiting, ab.oldest_waiting_since), (3, Some(Time(20))));
        ab.merge(&empty);
        assert_eq!(ab, ba);
    }
}
