//! A source now: the link, its heartbeat, and when we were blind.

use std::collections::BTreeMap;

use model::{SourceId, TenantId, Time, TrunkId};
use serde::{Deserialize, Serialize};

/// The heartbeat interval of a source that does not say its own, in milliseconds.
pub const HEARTBEAT_MS_DEFAULT: i64 = 10_000;

/// A source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Which.
    pub source: SourceId,
    /// Whose.
    pub tenant: TenantId,
    /// The adapter kind.
    #[serde(default)]
    pub vendor: String,
    /// The vendor's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether the link is up; absent when nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// Since when it is so.
    pub since: Time,
    /// Why it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_at: Option<Time>,
    /// After how long without one the source counts as half silent, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<i64>,
    /// Round trip to the vendor, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<u64>,
    /// The last snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_at: Option<Time>,
    /// When we were blind, ascending, the last thousand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// How busy its trunks are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trunks: BTreeMap<TrunkId, Trunk>,
    /// When something was last heard.
    pub last_at: Time,
}

/// A time when we were blind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// The last moment we saw.
    pub from: Time,
    /// The first moment we saw again.
    pub to: Time,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// How busy a trunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk {
    /// Lines in use.
    pub in_use: u32,
    /// Lines there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// When that was said.
    pub at: Time,
}

impl Source {
    /// Since when nothing of this source can be believed: since the link went down, or since the second missed heartbeat.
    /// `None`: the link is up, or it never beat (then silence says nothing: a file import).
    pub fn lost_since(&self, as_of: Time) -> Option<Time> {
        if self.connected == Some(false) {
            return Some(self.since);
        }
        let every = self.every_ms.unwrap_or(HEARTBEAT_MS_DEFAULT).max(1);
        let lost = self.heartbeat_at? + 2 * every;
        (as_of > lost).then_some(lost)
    }
}

/// For how many milliseconds of [`from`, `to`) we were blind: gaps that overlap count once.
pub fn gap_ms<'a>(gaps: impl IntoIterator<Item = &'a Gap>, from: Time, to: Time) -> i64 {
    let mut spans: Vec<(i64, i64)> = gaps.into_iter().map(|g| (g.from.max(from).0, g.to.min(to).0)).collect();
    spans.sort_unstable();
    let mut end = i64::MIN;
    let mut sum = 0;
    for (a, b) in spans {
        sum += (b - a.max(end)).max(0);
        end = end.max(b);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_gaps_count_once() {
        let gap = |from, to| Gap { from: Time(from), to: Time(to), reason: String::new() };
        let gaps = [gap(10, 30), gap(20, 40), gap(90, 200), gap(22, 25)];
        assert_eq!(gap_ms(&gaps, Time(0), Time(100)), 40);
        assert_eq!(gap_ms(&[], Time(0), Time(100)), 0);
    }
}
