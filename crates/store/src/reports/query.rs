//! What can be asked of the reports.

use model::{AgentId, CallId, QueueId, SourceId, TenantId, Time};
use serde::{Deserialize, Serialize};
use stats::Dim;
use stats::call::Record as CallRecord;

/// The most rows that one answer holds.
pub const ROWS_MAX: usize = 2_000_000;
/// The most calls that one page holds.
pub const PAGE_MAX: usize = 1_000;

/// Which base rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RowFilter {
    /// Of what.
    pub dim: Dim,
    /// Base rows that start at or after this.
    pub from: Time,
    /// Base rows that start before this.
    pub to: Time,
    /// Of these only; empty: of all.
    pub ids: Vec<String>,
    /// Of this tenant only.
    pub tenant: Option<TenantId>,
    /// Of this source only.
    pub source: Option<SourceId>,
}

impl RowFilter {
    /// All rows of a dimension in a range.
    pub fn new(dim: Dim, from: Time, to: Time) -> Self {
        Self { dim, from, to, ids: Vec::new(), tenant: None, source: None }
    }
}

/// Which calls. Every condition that is given must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFilter {
    /// Offered at or after this.
    pub from: Time,
    /// Offered before this.
    pub to: Time,
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// Of this source.
    pub source: Option<SourceId>,
    /// That entered this queue.
    pub queue: Option<QueueId>,
    /// That this agent answered.
    pub agent: Option<AgentId>,
    /// That left a queue for this cause, by its wire name.
    pub cause: Option<String>,
    /// By wire name: `inbound`, `outbound`, `internal`.
    pub direction: Option<String>,
    /// Of the caller with this token.
    pub caller: Option<String>,
    /// Only those that are over (`true`) or not (`false`).
    pub closed: Option<bool>,
    /// The latest first.
    pub newest_first: bool,
}

impl CallFilter {
    /// All calls offered in a range, the earliest first.
    pub const fn new(from: Time, to: Time) -> Self {
        Self {
            from,
            to,
            tenant: None,
            source: None,
            queue: None,
            agent: None,
            cause: None,
            direction: None,
            caller: None,
            closed: None,
            newest_first: false,
        }
    }
}

/// A place between two calls of a listing. Stable: calls that come later do not move it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// When the last call before it was offered.
    pub offered_at: Time,
    /// That call.
    pub id: CallId,
}

/// Some calls of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In order of (offered, id).
    pub calls: Vec<CallRecord>,
    /// Where to read on; `None`: there is no more.
    pub next: Option<Cursor>,
}

/// How long reports are kept. `None`: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Closed calls that ended before this go.
    pub calls_before: Option<Time>,
    /// Hours that start before this go.
    pub rows_before: Option<Time>,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Calls.
    pub calls: u64,
    /// Blocks of rows.
    pub blocks: u64,
}

/// What [`verify`](crate::Reports::verify) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Calls read.
    pub calls: u64,
    /// Blocks of rows read.
    pub blocks: u64,
    /// States read.
    pub states: u64,
    /// What is wrong, the first hundred; empty in a sound store.
    pub faults: Vec<String>,
}
