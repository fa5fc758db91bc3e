//! What a change of level did.

use serde::{Deserialize, Serialize};

use super::level::Level;
use crate::id::{EventId, QueueId};

/// A queue over some time before or after a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// How long was measured, seconds.
    pub seconds: f64,
    /// Attempts that reached the gate or the queue.
    pub attempts: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Callers who gave up.
    pub abandoned: u64,
    /// Calls that were led elsewhere.
    pub diverted: u64,
    /// The mean wait of all who left the queue, seconds; absent when nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_mean_s: Option<f64>,
    /// Callers who waited, in the mean.
    pub waiting_mean: f64,
}

/// The effect of a change of level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectMeasured {
    /// The queue.
    pub queue: QueueId,
    /// The event that changed the level.
    pub change: EventId,
    /// The level before.
    pub was: Level,
    /// The level after.
    pub level: Level,
    /// Just before the change.
    pub before: Effects,
    /// From the change on.
    pub after: Effects,
}
