//! What happens to a queue (skill group) itself.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, DeviceId};

/// The queue exists and is set up so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Configured {
    /// The name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it picks agents, in the vendor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The vendor's own service-level threshold, in seconds. Ours is in the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_level_s: Option<u32>,
    /// How many may wait; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_max: Option<u32>,
}

/// An agent works for the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberAdded {
    /// Who.
    pub agent: AgentId,
    /// On which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// Lower goes first; vendor scale.
    #[serde(default)]
    pub penalty: i32,
    /// Whether the member is paused.
    #[serde(default)]
    pub paused: bool,
}

/// An agent no longer works for the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberRemoved {
    /// Who.
    pub agent: AgentId,
}

/// A member was paused or came back, in this queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberPaused {
    /// Who.
    pub agent: AgentId,
    /// Paused, or back.
    pub paused: bool,
    /// Why: a not-ready reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
