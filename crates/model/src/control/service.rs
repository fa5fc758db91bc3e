//! Call services: vendors and trunks that carry calls at the same time, by weight.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ServiceId;

/// A call service is set up, or set up anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceConfigured {
    /// Which.
    pub service: ServiceId,
    /// Replaces the version before it.
    pub version: u64,
    /// Where it is, in the words of whoever dials: a trunk, an endpoint.
    pub address: String,
    /// Its part of the calls, relative to the others. While it is in, it never gets nothing.
    pub weight: f64,
    /// Whether it takes calls.
    pub enabled: bool,
}

/// A call service is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRemoved {
    /// Which.
    pub service: ServiceId,
    /// Replaces the version before it.
    pub version: u64,
}

/// Whether a service takes calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does.
    #[default]
    In,
    /// It failed, and waits.
    Out,
    /// It takes a few, to see.
    Probing,
}

/// A service at a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// Which.
    pub service: ServiceId,
    /// The share of the calls that it gets, 0 to 1.
    pub weight: f64,
    /// Whether it takes calls.
    pub standing: Standing,
    /// How well it works, 0 to 1.
    pub score: f64,
}

/// The services were weighed anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceWeighed {
    /// Every one of the tenant; their weights add up to 1.
    pub services: Vec<Weighed>,
}
