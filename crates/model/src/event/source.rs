//! What happens to a source: the link to one vendor instance.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, CallId, TrunkId};
use crate::time::Time;

/// The link is up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connected {
    /// The adapter kind.
    #[serde(default)]
    pub vendor: String,
    /// The vendor's version, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The link is down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disconnected {
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// We were blind from `from` to `to`: figures of that time may miss something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The last moment we saw.
    pub from: Time,
    /// The first moment we saw again.
    pub to: Time,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// The vendor's whole state was read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapshotTaken {
    /// Calls that live now. What we thought alive and is not here, has ended.
    #[serde(default)]
    pub calls: Vec<CallId>,
    /// Agents that are logged in now.
    #[serde(default)]
    pub agents: Vec<AgentId>,
}

/// The link works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Round trip to the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<u64>,
    /// After how long without a heartbeat the source counts as half silent; two of them make states `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
}

/// How busy a trunk is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrunkUsage {
    /// The trunk.
    pub trunk: TrunkId,
    /// Lines in use.
    pub in_use: u32,
    /// Lines there are; absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
}
