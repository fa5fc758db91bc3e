//! Targets: where callers are led who cannot wait for a person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::TargetId;

/// What kind of place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// People, in a queue.
    HumanQueue,
    /// Another call service: a vendor or trunk.
    CallService,
    /// An IVR that understands speech.
    SmartIvr,
    /// Online chat.
    Chat,
    /// An IVR with keys.
    KeypadIvr,
    /// A callback, later.
    Callback,
    /// An external number or partner.
    External,
}

impl Kind {
    /// The wire name: the `target` of `call.diverted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::HumanQueue => "human_queue",
            Kind::CallService => "call_service",
            Kind::SmartIvr => "smart_ivr",
            Kind::Chat => "chat",
            Kind::KeypadIvr => "keypad_ivr",
            Kind::Callback => "callback",
            Kind::External => "external",
        }
    }
}

/// A target is set up, or set up anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetConfigured {
    /// Which.
    pub target: TargetId,
    /// Replaces the version before it.
    pub version: u64,
    /// What kind of place.
    pub kind: Kind,
    /// Where it is, in the words of whoever leads there: a dialplan destination, a queue, a URL, a number.
    pub address: String,
    /// Calls per second that it takes at most.
    pub capacity_per_s: f64,
    /// The share of those led there who will not call again, until it is measured.
    pub containment: f64,
    /// Whether anybody may be led there.
    pub enabled: bool,
}

/// A target is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRemoved {
    /// Which.
    pub target: TargetId,
    /// Replaces the version before it.
    pub version: u64,
}

/// A target as it was seen at work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetObserved {
    /// Which.
    pub target: TargetId,
    /// Whether it answers.
    pub healthy: bool,
    /// Calls per second that it says it takes; absent: it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_per_s: Option<f64>,
    /// The share of those led there who did not call again; absent: too few were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containment: Option<f64>,
}
