//! Levels of a queue and tiers of the platform.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::QueueId;

/// How far a queue's flood has come, and so what is done with its callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// 0: nothing.
    #[default]
    Normal,
    /// 1: a callback or a chat is offered; nobody must take it.
    Offer,
    /// 2: a share is led elsewhere.
    DivertShare,
    /// 3: everybody is led elsewhere who is not protected.
    DivertAll,
    /// 4: hard phones, or an announcement. Never by load alone: by tier or by an operator.
    HardPhone,
}

impl Level {
    /// 0 to 4.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The next lower one; the lowest of itself.
    #[must_use]
    pub fn below(self) -> Level {
        match self {
            Level::Normal | Level::Offer => Level::Normal,
            Level::DivertShare => Level::Offer,
            Level::DivertAll => Level::DivertShare,
            Level::HardPhone => Level::DivertAll,
        }
    }
}

/// A queue's level changed, as its callers feel it: automatic and overrides together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelChanged {
    /// The queue.
    pub queue: QueueId,
    /// Before.
    pub was: Level,
    /// Now.
    pub level: Level,
    /// The plan that brings it.
    pub plan: u64,
}

/// How much of the platform still works by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// 0: all is well.
    #[default]
    Normal,
    /// 1: a part failed, and is restarted or reconnected.
    SelfHeal,
    /// 2: load is shed by plan.
    Threshold,
    /// 3: the phone system rings desk phones by its own rules.
    HardPhone,
}

/// The tier of a part of the platform changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TierChanged {
    /// Which part: `platform`, or a queue, a source, a component instance, such as `queue/sales`.
    pub part: String,
    /// Before.
    pub was: Tier,
    /// Now.
    pub tier: Tier,
}
