//! What a gate counted. It stands on the stream `health`, not on `control`: news of the moment, not a decision.

use serde::{Deserialize, Serialize};

use crate::id::QueueId;

/// What came to a gate since it started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateCounted {
    /// The instance; its counts begin at 0 when it starts.
    pub gate: String,
    /// Every queue that was asked for.
    pub queues: Vec<QueueCounted>,
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
