//! What an agent does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{CallId, DeviceId, QueueId, TeamId};

/// The state of an agent (CSTA agent states, with `reserved` for "rung and not yet talking").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Free for a call.
    Ready,
    /// Logged in, not free; the reason says why.
    NotReady,
    /// A call is being offered to the agent.
    Reserved,
    /// In conversation.
    Talking,
    /// After-call work.
    WrapUp,
    /// Not heard of for two heartbeats. Never counts as ready.
    Unknown,
}

/// The agent is at work.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoggedIn {
    /// The agent's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// The agent's team, from the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
}

/// The agent went home.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoggedOut {
    /// Why, in the vendor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The agent's team, from the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
}

/// The agent's state is now this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateChanged {
    /// The state from now on.
    pub state: State,
    /// The not-ready reason: pause reasons are not-ready reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The call that the state belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The queue that the state belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// The agent's team, from the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
}

/// The agent's skills are now these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SkillsChanged {
    /// Queue and level (vendor scale; Asterisk penalty).
    pub skills: BTreeMap<QueueId, i32>,
    /// The agent's team, from the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
}
