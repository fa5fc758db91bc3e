//! What a row is about: whose, of which source, which thing, and from when.

use std::fmt;
use std::sync::Arc;

use model::{SourceId, TenantId, Time};
use serde::{Deserialize, Serialize};

/// What a row counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Dim {
    /// A queue (skill group).
    Queue = 1,
    /// An agent.
    Agent = 2,
    /// A device (extension).
    Device = 3,
    /// A team.
    Team = 4,
    /// A source: all its calls, and its gaps.
    Source = 5,
    /// A trunk or call service.
    Trunk = 6,
    /// A node of the IVR.
    Ivr = 7,
    /// A tenant: all its calls.
    Tenant = 8,
}

impl Dim {
    /// Every dimension.
    pub const ALL: [Dim; 8] =
        [Dim::Queue, Dim::Agent, Dim::Device, Dim::Team, Dim::Source, Dim::Trunk, Dim::Ivr, Dim::Tenant];

    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Dim::Queue => "queue",
            Dim::Agent => "agent",
            Dim::Device => "device",
            Dim::Team => "team",
            Dim::Source => "source",
            Dim::Trunk => "trunk",
            Dim::Ivr => "ivr",
            Dim::Tenant => "tenant",
        }
    }

    /// From the wire name.
    pub fn parse(text: &str) -> Option<Dim> {
        Dim::ALL.into_iter().find(|d| d.as_str() == text)
    }

    /// From the number that stands for it in a store.
    pub fn from_code(code: u8) -> Option<Dim> {
        Dim::ALL.into_iter().find(|d| *d as u8 == code)
    }

    /// The number that stands for it in a store; never changes.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The key of one base row. Rows of one key from different partitions are partial: their sum is the row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowKey {
    /// Whose.
    pub tenant: TenantId,
    /// From which source.
    pub source: SourceId,
    /// What kind of thing.
    pub dim: Dim,
    /// Which one.
    pub id: Arc<str>,
    /// Where the row begins; it ends one grain of `dim` later.
    pub start: Time,
}

/// How long a base row is, per dimension, in milliseconds. Each divides 15 minutes: every zone's offset is a multiple of
/// that, so that the borders of 15, 30, 60 minutes and of days fall on base borders in every zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grains {
    /// Queue, source, trunk, IVR and tenant rows.
    pub traffic_ms: i64,
    /// Agent, device and team rows.
    pub people_ms: i64,
}

/// Fifteen minutes, in milliseconds.
pub const QUARTER_MS: i64 = 900_000;

impl Default for Grains {
    fn default() -> Self {
        Grains { traffic_ms: 60_000, people_ms: QUARTER_MS }
    }
}

impl Grains {
    /// The length of a base row of `dim`, in milliseconds.
    pub fn of(&self, dim: Dim) -> i64 {
        match dim {
            Dim::Agent | Dim::Device | Dim::Team => self.people_ms,
            _ => self.traffic_ms,
        }
    }

    /// The start of the base row of `dim` that `at` falls into.
    pub fn start(&self, dim: Dim, at: Time) -> Time {
        Time(at.0 - at.0.rem_euclid(self.of(dim)))
    }

    /// What is wrong with these grains, in words; `None`: nothing.
    pub fn problem(&self) -> Option<String> {
        for (name, ms) in [("traffic_ms", self.traffic_ms), ("people_ms", self.people_ms)] {
            if ms < 1000 || ms % 1000 != 0 || QUARTER_MS % ms != 0 {
                return Some(format!("{name}: {ms} is no whole number of seconds that divides {QUARTER_MS}"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_begins_at_or_before_its_time_even_before_the_epoch() {
        let g = Grains::default();
        assert_eq!(g.start(Dim::Queue, Time(61_234)), Time(60_000));
        assert_eq!(g.start(Dim::Agent, Time(-1)), Time(-QUARTER_MS));
    }

    #[test]
    fn a_grain_that_crosses_a_quarter_hour_is_refused() {
        assert_eq!(Grains::default().problem(), None);
        assert!(Grains { traffic_ms: 7_000, ..Grains::default() }.problem().unwrap().contains("traffic_ms"));
    }

    #[test]
    fn names_and_codes_lead_back_to_the_dimension() {
        for d in Dim::ALL {
            assert_eq!((Dim::parse(d.as_str()), Dim::from_code(d.code())), (Some(d), Some(d)));
        }
    }
}
