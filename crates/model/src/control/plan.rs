//! The plan of a queue: how many may enter, where the others go, and of which figures that was made.

use serde::{Deserialize, Serialize};

use super::level::Level;
use crate::id::{QueueId, TargetId};
use crate::time::Time;

/// A queue's figures, as the console saw them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Of when.
    pub at: Time,
    /// Callers who wait.
    pub waiting: f64,
    /// Agents who are ready for this queue.
    pub free: f64,
    /// Effective agents: the share of each agent's time that is open to this queue.
    pub agents: f64,
    /// Mean handling time, seconds; absent when nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_s: Option<f64>,
    /// Calls that entered service, since a time that all figures of one writer share.
    #[serde(default)]
    pub answered: u64,
    /// Calls that left by their own will before that, since then.
    #[serde(default)]
    pub abandoned: u64,
    /// Seconds that callers waited who left the queue, since then.
    #[serde(default)]
    pub waited_s: f64,
}

/// What came to the gate, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// All attempts.
    pub attempts_per_s: f64,
    /// The first ones of their callers.
    pub first_per_s: f64,
    /// Those who were let in.
    pub admitted_per_s: f64,
}

/// What the load alone asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Automatic {
    /// How far the flood has come.
    pub level: Level,
    /// Calls per second that may enter.
    pub rate_per_s: f64,
    /// The share of the callers, lowest places first, who are led elsewhere all the hour.
    pub divert_share: f64,
}

/// A target's share of the diverted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Which.
    pub target: TargetId,
    /// 0 to 1; a plan's shares add up to 1, or all are 0 when no target can take anybody.
    pub share: f64,
    /// Calls per second that it takes of this queue at most.
    pub capacity_per_s: f64,
}

/// The plan of one queue from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanIssued {
    /// The queue.
    pub queue: QueueId,
    /// Grows with each plan of the queue.
    pub version: u64,
    /// The version of the thresholds that it follows; 0: nobody set any, the defaults hold.
    pub thresholds: u64,
    /// What the load alone asks for.
    pub automatic: Automatic,
    /// The level that held when it was issued, overrides included. Whoever enforces it combines anew: an override may end meanwhile.
    pub level: Level,
    /// The same of the rate, calls per second.
    pub rate_per_s: f64,
    /// nμ: calls per second that enter service while everybody works.
    pub capacity_per_s: f64,
    /// θ: departures without service, per second and waiting caller.
    pub patience_per_s: f64,
    /// λ*: calls per second with which the goal would still be met.
    pub sustainable_per_s: f64,
    /// The expected wait of the next caller, seconds; absent when nobody serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_s: Option<f64>,
    /// The mean error of the waits that were expected so far, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_error_s: Option<f64>,
    /// Where the diverted go.
    #[serde(default)]
    pub split: Vec<Share>,
    /// V: figures older than this no longer describe the queue, seconds.
    pub valid_s: f64,
    /// The figures that it was made of.
    pub figures: Figures,
    /// What came then.
    #[serde(default)]
    pub flow: Flow,
}

/// The plans that are in force, and that somebody still watches over them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanAffirmed {
    /// Every queue of the tenant that has a plan.
    pub plans: Vec<Affirmed>,
}

/// One plan that is still in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affirmed {
    /// The queue.
    pub queue: QueueId,
    /// The version of its plan.
    pub version: u64,
    /// The figures of now, which the plan still fits.
    pub figures: Figures,
}
