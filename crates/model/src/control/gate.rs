//! What a gate counted. It stands on the stream `health`, not on `control`: news of the moment, not a decision.

use serde::{Deserialize, Serialize};

use crate::id::{QueueId, TargetId};

/// What came to a gate since it started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateCounted {
    /// The instance; its counts begin at 0 when it starts.
    pub gate: String,
    /// Every queue that was asked for.
    pub queues: Vec<QueueCounted>,
    /// Every target that callers were led to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetCounted>,
}

/// What became of those who were led to a target, since the gate started. Only those are counted who had time to come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetCounted {
    /// The target.
    pub target: TargetId,
    /// Callers who were led there, and had time to come back.
    pub settled: u64,
    /// Those of them who did: sent back by the target, or by calling again.
    pub returned: u64,
}

/// What came for one queue since the gate started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueCounted {
    /// The queue.
    pub queue: QueueId,
    /// Calls that asked.
    pub attempts: u64,
    /// The first ones of their callers of late.
    pub first: u64,
    /// Those that were let in.
    pub admitted: u64,
}
