//! What a call adds to the rows: a pure function of its record. A changed record is: the old taken back, the new added.
//!
//! - An event-time row holds what happened within it; a cohort row holds all outcomes of the segments offered within it.
//! - What is instantaneous counts at once, while the call still lives (an answer counts when it is answered).
//! - A span counts, clipped to its rows, when it is over; what lasts is overlaid by the reader ([`crate::overlay`]).
//! - **Invariant:** a stay in a queue counts for its queue, its tenant and its source alike, so a tenant's `offered` is the sum
//!   of its queues'. Direct and outbound calls never touch those counts nor any service level: they have their own fields.
//! - For an agent (team, device) `answered`, talk, hold and wrap-up are of queue and direct calls together; outbound calls
//!   are apart.

mod deed;
mod segment;
mod whole;

use std::sync::Arc;

use model::{Quality, Time};

use crate::call::Record;
use crate::field::Field;
use crate::key::{Dim, Grains, RowKey};
use crate::rows::{Rows, Scope};
use crate::tally::Row;

use deed::Noting;
pub(crate) use deed::{Deeds, Mark};

/// Adds (`sign` 1) or takes back (−1) everything that a call counts for.
pub fn of_call(record: &Record, sign: i64, rows: &mut Rows) {
    let mut deeds = Deeds::default();
    write_down(record, rows, &mut deeds);
    deeds.add(sign, rows);
}

/// Writes everything down that a call counts for, with scopes of `rows`.
pub(crate) fn write_down(record: &Record, rows: &mut Rows, deeds: &mut Deeds) {
    if record.timeline().is_empty() {
        return;
    }
    let tenant = rows.scope(&record.tenant, &record.source, Dim::Tenant, &record.tenant.0);
    let source = rows.scope(&record.tenant, &record.source, Dim::Source, &record.source.0);
    let mut sink = Sink { rows, deeds, record, tenant, source };
    if record.phantom() {
        sink.phantom();
        return;
    }
    sink.whole_call();
    for segment in &record.segments {
        sink.segment(segment);
    }
}

/// The rows of one call, by key.
pub fn rows_of_call(record: &Record, grains: Grains) -> Vec<(RowKey, Row)> {
    let mut rows = Rows::new(grains);
    of_call(record, 1, &mut rows);
    rows.sorted()
}

/// Where a quality mark is counted.
pub(crate) fn mark_field(quality: Quality) -> Field {
    match quality {
        Quality::Inferred => Field::Inferred,
        Quality::Snapshot => Field::Snapshot,
        Quality::Late => Field::Late,
    }
}

struct Sink<'a> {
    rows: &'a mut Rows,
    deeds: &'a mut Deeds,
    record: &'a Record,
    tenant: Scope,
    source: Scope,
}

impl Sink<'_> {
    fn scope(&mut self, dim: Dim, id: &Arc<str>) -> Scope {
        self.rows.scope(&self.record.tenant, &self.record.source, dim, id)
    }

    /// The tenant and the source of the call, and with them what is given.
    fn wholes_and(&mut self, more: Option<Scope>) -> Scope {
        let whole = [more.unwrap_or(self.tenant), self.tenant, self.source];
        let parts = if more.is_some() { &whole[..] } else { &whole[1..] };
        self.rows.together(parts).unwrap_or(self.tenant)
    }

    /// The tenant and the source of the call.
    fn wholes(&mut self) -> Scope {
        self.wholes_and(None)
    }

    /// Adds to the event-time row of `at` and to the cohort row of `offer`.
    fn both(&mut self, scope: &Scope, at: Time, offer: Time, note: impl FnOnce(&mut Noting<'_>)) {
        note(&mut self.deeds.both(scope, at, offer));
    }

    fn count(&mut self, scope: &Scope, at: Time, offer: Time, field: Field) {
        self.both(scope, at, offer, |t| t.add(field, 1));
    }

    fn overlap(&mut self, scope: &Scope, field: Field, from: Time, to: Time) {
        self.deeds.span(scope, field, from, to);
    }
}
