//! What a person or a carrier orders, for a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::level::Level;
use crate::id::{OverrideId, QueueId};
use crate::time::Time;

/// What is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Not more than so many calls per second may enter: with the automatic rate and other orders, the lowest holds.
    RateAtMost {
        /// Calls per second.
        per_s: f64,
    },
    /// Not below this level: the highest of all holds.
    LevelAtLeast {
        /// The level.
        level: Level,
    },
    /// Exactly this level, whatever the load says; `normal` switches the diversion off. The youngest lock holds.
    LevelLocked {
        /// The level.
        level: Level,
    },
}

/// An override begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverrideSet {
    /// Which; the same again replaces it.
    pub id: OverrideId,
    /// For this queue; absent: for all of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// What is ordered.
    pub order: Order,
    /// When it ends by itself.
    pub until: Time,
}

/// An override ended before its time, or its time was over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverrideCleared {
    /// Which.
    pub id: OverrideId,
}
