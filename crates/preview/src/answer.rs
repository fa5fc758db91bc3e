//! What a preview answers: both sets of thresholds beside each other, and how far to trust it.

use std::collections::BTreeMap;

use model::{QueueId, TenantId, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::interval::Spread;

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whose traffic.
    pub tenant: TenantId,
    /// From when.
    pub from: Time,
    /// Up to when, exclusive.
    pub to: Time,
    /// The first seed, and how many there were.
    pub seed: u64,
    /// How many.
    pub seeds: u32,
    /// How old the controller's figures were, seconds.
    pub age_s: f64,
    /// All queues together.
    pub all: Compared,
    /// Each queue that was asked for.
    pub queues: Vec<Compared>,
    /// How well the simulation repeats the record when nothing is controlled.
    pub fidelity: Fidelity,
    /// What was estimated, and from how much.
    pub estimates: Estimates,
    /// What must be known to read it right.
    pub notes: Vec<String>,
}

/// Both sets of thresholds beside each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// The queue; absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub queue: Option<QueueId>,
    /// Whoever is answered within so many seconds is in time, and all whose figures are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_s: Option<f64>,
    /// Each figure by its name.
    pub figures: BTreeMap<String, Both>,
    /// How many were led to each target.
    pub diverted_to: BTreeMap<String, Both>,
}

/// A figure as recorded, and under both sets of thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Both {
    /// As it was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<f64>,
    /// Under the current thresholds.
    pub current: Spread,
    /// Under the proposed ones.
    pub proposed: Spread,
    /// Proposed less current, seed by seed: the same seed is the same callers.
    pub difference: Spread,
}

/// How well the simulation repeats the record when nothing is controlled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fidelity {
    /// Whether the record is of a time without control, too: else the two are not the same thing.
    pub comparable: bool,
    /// All queues: as recorded, and as simulated.
    pub all: Vec<Repeated>,
    /// The service level of each queue.
    pub queues: BTreeMap<String, Repeated>,
    /// The mean distance of a day's service level, weighted by its calls.
    pub service_level_day_error: f64,
    /// The largest one of a day with at least a hundred calls, and which day (its number, from 0).
    pub service_level_day_worst: f64,
    /// That day.
    pub worst_day: i64,
    /// Days that were compared.
    pub days: u32,
}

/// A figure as recorded and as simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repeated {
    /// Its name.
    pub figure: String,
    /// As recorded.
    pub recorded: f64,
    /// As simulated.
    pub simulated: Spread,
}

/// What was estimated from the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimates {
    /// Calls of the period, those before it included that filled its queues.
    pub calls: u64,
    /// Shifts of agents.
    pub shifts: u64,
    /// Hours that agents were there.
    pub staffed_h: f64,
    /// The mean time that a call keeps an agent, seconds.
    pub keeps_s: f64,
    /// The median patience, seconds; absent where fewer than half were seen to lose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience_median_s: Option<f64>,
    /// The share of those who were not served that calls again.
    pub redial_share: f64,
    /// For each priority, the head start, seconds.
    pub head_starts_s: BTreeMap<i32, f64>,
}

impl Answer {
    /// As a table for people.
    pub fn table(&self) -> String {
        crate::table::table(self)
    }

    /// As JSON, indented, with a line feed at its end. The same answer gives the same bytes.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}
