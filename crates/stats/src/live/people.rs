//! An agent and a device now.

use std::collections::BTreeMap;

use model::event::{agent, device};
use model::{AgentId, CallId, DeviceId, QueueId, SourceId, TeamId, TenantId, Time};
use serde::{Deserialize, Serialize};

use super::{OPEN_MS_MAX, Source};

/// An agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Who.
    pub agent: AgentId,
    /// Whose.
    pub tenant: TenantId,
    /// From which source.
    pub source: SourceId,
    /// The team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// Since when logged in; absent when logged out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged_in_since: Option<Time>,
    /// The state; `None` when logged out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<agent::State>,
    /// Since when it is so.
    pub since: Time,
    /// The not-ready reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The call that the state belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The queue that the state belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// The device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Skills by queue.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skills: BTreeMap<QueueId, i32>,
    /// When something was last heard.
    pub last_at: Time,
}

impl Agent {
    /// The state at `as_of`, and since when: `unknown` when the source was lost since (two heartbeats missed), or when a state
    /// that ends with a call (reserved, talking) lasts beyond [`OPEN_MS_MAX`]. `None`: logged out.
    pub fn state_at(&self, source: Option<&Source>, as_of: Time) -> Option<(agent::State, Time)> {
        let state = self.state?;
        if let Some(lost) = source.and_then(|s| s.lost_since(as_of)) {
            return Some((agent::State::Unknown, lost.max(self.since)));
        }
        let passing = matches!(state, agent::State::Reserved | agent::State::Talking | agent::State::WrapUp);
        if passing && as_of.since(self.since) > OPEN_MS_MAX {
            return Some((agent::State::Unknown, self.since + OPEN_MS_MAX));
        }
        Some((state, self.since))
    }
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Which.
    pub device: DeviceId,
    /// Whose.
    pub tenant: TenantId,
    /// From which source.
    pub source: SourceId,
    /// Whether it can be reached; absent when nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<bool>,
    /// The state; absent when nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<device::State>,
    /// Since when it is so.
    pub since: Time,
    /// When something was last heard.
    pub last_at: Time,
}

/// How many agents can serve: ready, being rung, talking or wrapping up. Never who is not ready, nor who is unknown.
pub fn effective_agents<'a>(agents: impl IntoIterator<Item = (&'a Agent, Option<&'a Source>)>, as_of: Time) -> usize {
    use agent::State::{Ready, Reserved, Talking, WrapUp};
    let serves = |(a, s): (&Agent, Option<&Source>)| {
        a.state_at(s, as_of).is_some_and(|(state, _)| matches!(state, Ready | Reserved | Talking | WrapUp))
    };
    agents.into_iter().map(serves).filter(|yes| *yes).count()
}
