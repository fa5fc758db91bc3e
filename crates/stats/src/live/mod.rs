//! What is so now: partial views of one partition that merge in the reader.
//!
//! Queue counts add up and the oldest waiting is the minimum; everything else has one writer, and the newest wins.
//! A view says since when something is so, never for how long: readers and screens tick by themselves.

mod people;
mod queue;
mod source;

use model::event::call::Direction;
use model::{AgentId, CallId, DeviceId, NodeId, QueueId, SourceId, TeamId, TenantId, Time};
use serde::{Deserialize, Serialize};

pub use people::{Agent, Device, effective_agents};
pub use queue::{LastServed, Member, Members, Queue, expected_wait_ms};
pub use source::{Gap, HEARTBEAT_MS_DEFAULT, Source, Trunk, gap_ms};

/// One live view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum View {
    /// An open call.
    Call(Call),
    /// Open calls of a queue, counted.
    Queue(Queue),
    /// Who works for a queue, and how it is set up.
    Members(Members),
    /// An agent.
    Agent(Agent),
    /// A device.
    Device(Device),
    /// A source.
    Source(Source),
}

impl View {
    /// The key of a view of one partition, such as `queue/sales`; partials of one key merge.
    pub fn key(&self) -> String {
        match self {
            View::Call(v) => key("call/", v.call.as_str()),
            View::Queue(v) => queue_key(&v.tenant, &v.queue),
            View::Members(v) => key("members/", v.queue.as_str()),
            View::Agent(v) => key("agent/", v.agent.as_str()),
            View::Device(v) => key("device/", v.device.as_str()),
            View::Source(v) => key("source/", v.source.as_str()),
        }
    }

    /// Merges another partition's partial of the same key. Of two kinds the first stays.
    pub fn merge(&mut self, other: &View) {
        match (self, other) {
            (View::Queue(a), View::Queue(b)) => a.merge(b),
            (View::Call(a), View::Call(b)) if b.last_at > a.last_at => *a = b.clone(),
            (View::Members(a), View::Members(b)) if b.last_at > a.last_at => *a = b.clone(),
            (View::Agent(a), View::Agent(b)) if b.last_at > a.last_at => *a = b.clone(),
            (View::Device(a), View::Device(b)) if b.last_at > a.last_at => *a = b.clone(),
            (View::Source(a), View::Source(b)) if b.last_at > a.last_at => *a = b.clone(),
            _ => {}
        }
    }
}

/// The key of a queue's counts. Two tenants may name a queue alike, and their callers must never be added up: so it names both, and a
/// slash within a tenant's name is told from the one behind it.
pub fn queue_key(tenant: &TenantId, queue: &QueueId) -> String {
    format!("queue/{}/{queue}", tenant.as_str().replace('%', "%25").replace('/', "%2F"))
}

/// The key of a view of one thing.
pub(crate) fn key(kind: &str, id: &str) -> String {
    [kind, id].concat()
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Begun, and nowhere yet.
    Offered,
    /// In the IVR.
    Ivr,
    /// In a queue.
    Waiting,
    /// In a queue or direct, and an agent is rung.
    Ringing,
    /// In conversation.
    Talking,
    /// On hold.
    Held,
}

/// An open call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Which.
    pub call: CallId,
    /// From which source.
    pub source: SourceId,
    /// Whose.
    pub tenant: TenantId,
    /// Which way.
    pub direction: Direction,
    /// Where it is.
    pub stage: Stage,
    /// Since when it is there.
    pub since: Time,
    /// When it began.
    pub offered_at: Time,
    /// The queue it is in, or was answered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// When it entered the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Time>,
    /// The agent who talks or is rung.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The caller, masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Higher goes first; vendor scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// What lasts: for [`crate::overlay`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Open>,
    /// When something last happened to it.
    pub last_at: Time,
}

/// What can last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenKind {
    /// A stay in an IVR node.
    Ivr,
    /// A wait in a queue.
    Wait,
    /// The ringing of an agent.
    Ring,
    /// A conversation, holds left out.
    Talk,
    /// A hold.
    Hold,
    /// The service by an agent: conversation and holds together.
    Service,
}

/// Something that lasts: a span without an end yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// What.
    pub kind: OpenKind,
    /// Since when.
    pub since: Time,
    /// In which queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// With which agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Of which team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// On which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// In which IVR node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Whether it is an outbound or direct conversation: these are not a queue's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
}

/// An open thing is not believed to last longer than this: 12 hours, in milliseconds. A call or an agent stuck in a state
/// after a lost hang-up stops counting then.
pub const OPEN_MS_MAX: i64 = 12 * 3_600_000;

impl Call {
    /// Whether nothing was heard of it for so long that it no longer counts as open.
    pub fn stale(&self, as_of: Time) -> bool {
        as_of.since(self.last_at) > OPEN_MS_MAX
    }
}

impl crate::call::Record {
    /// Where the call is and since when; meaningless once it is over.
    fn stage(&self) -> (Stage, Time) {
        if let Some(s) = self.talking().last() {
            return s.on_hold().map_or((Stage::Talking, s.answered_at.unwrap_or(s.offered_at)), |t| (Stage::Held, t));
        }
        if let Some(s) = self.waiting().last() {
            let ring = s.alerts.iter().find(|a| a.until.is_none());
            return ring.map_or((Stage::Waiting, s.entered_at()), |a| (Stage::Ringing, a.at));
        }
        match self.ivr.last() {
            Some(v) if v.left_at.is_none() => (Stage::Ivr, v.entered_at),
            _ => (Stage::Offered, self.offered_at),
        }
    }

    /// The live view; `None` when the call is over.
    pub fn live(&self) -> Option<Call> {
        if self.closed {
            return None;
        }
        let (stage, since) = self.stage();
        let segment = self.talking().last().or_else(|| self.waiting().last());
        let rung = segment.and_then(|s| s.alerts.iter().find(|a| a.until.is_none())).map(|a| a.agent.clone());
        Some(Call {
            call: self.call.clone(),
            source: self.source.clone(),
            tenant: self.tenant.clone(),
            direction: self.direction,
            stage,
            since,
            offered_at: self.offered_at,
            queue: segment.and_then(|s| s.queue.clone()),
            queued_at: segment.map(|s| s.entered_at()),
            agent: segment.and_then(|s| s.agent.clone()).or(rung),
            caller: self.ani.as_ref().map(model::Number::shown),
            priority: segment.and_then(|s| s.priority),
            open: crate::overlay::open_of_call(self),
            last_at: self.last_at(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tenants_who_name_a_queue_alike_have_two_views() {
        let key = |tenant: &str, queue: &str| View::Queue(Queue::empty(tenant.into(), queue.into())).key();
        assert_eq!(key("bank", "sales"), "queue/bank/sales");
        assert_ne!(key("bank", "sales"), key("shop", "sales"));
        assert_ne!(key("a", "b/c"), key("a/b", "c"));
    }
}
