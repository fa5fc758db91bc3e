//! How the phone systems stand, for people to see.

use std::collections::BTreeMap;

use model::{SourceId, Time};
use serde::Serialize;

use super::Diff;
use super::map::OfSource;

/// One phone system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The map as it is worked out now.
    pub map: OfSource,
    /// Its version.
    pub version: String,
    /// This gate writes it; with several gates one does.
    pub writes: bool,
    /// What the phone system held when it was read last, against what it shall hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Diff>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Time>,
    /// How many entries were written since this gate started.
    pub written: u64,
    /// Why it could not be read or written, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Every phone system.
pub(crate) type All = BTreeMap<SourceId, Status>;
