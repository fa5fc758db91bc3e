//! What only a caller's history tells: repeated attempts and first-call resolution, computed from call records when asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{TenantId, Time};
use stats::caller::{Contact, Histories, REPEAT_WINDOW_MS, RESOLUTION_WINDOW_MS, histories};
use stats::{CallRecord, Dim};
use store::Reports;
use store::reports::{CallFilter, PAGE_MAX};

use super::ask::Intervals;
use super::base::Cell;
use super::{Error, Refused};

/// The most calls that are read for one report.
const CALLS_MAX: usize = 200_000;
/// The most looks at a contact: calls times intervals.
const LOOKS_MAX: usize = 50_000_000;

type Group = (TenantId, Arc<str>);

/// The histories of each cell, in the order of the cells; none when they were not asked for.
///
/// # Errors
/// More calls, or more intervals, than can be looked through; a store that cannot be read.
pub async fn of_cells(
    reports: &dyn Reports,
    asked: &Intervals,
    cells: &[Cell],
) -> Result<Vec<Option<Histories>>, Error> {
    let range = cells.iter().map(|cell| cell.start).min().zip(cells.iter().map(|cell| cell.end).max());
    let Some((from, to)) = range.filter(|_| asked.callers) else { return Ok(vec![None; cells.len()]) };
    let contacts = contacts(reports, asked, from, to).await?;
    let none = Vec::new();
    let of = |cell: &Cell| contacts.get(&(cell.tenant.clone(), Arc::clone(&cell.id))).unwrap_or(&none);
    let looks: usize = cells.iter().map(|cell| of(cell).len()).sum();
    if looks > LOOKS_MAX {
        return Err(refused("the callers of so many intervals", "ask for longer intervals or less time"));
    }
    let told = |cell: &Cell| histories(of(cell), cell.start, cell.end, REPEAT_WINDOW_MS, RESOLUTION_WINDOW_MS);
    Ok(cells.iter().map(|cell| Some(told(cell))).collect())
}

fn refused(what: &str, instead: &str) -> Error {
    Refused { parameter: "callers", detail: format!("callers=true: {what} cannot be looked through: {instead}") }.into()
}

/// The contacts of the range, and one window more on each side, by what the report is by.
async fn contacts(
    reports: &dyn Reports,
    asked: &Intervals,
    from: Time,
    to: Time,
) -> Result<BTreeMap<Group, Vec<Contact>>, Error> {
    let filter = CallFilter {
        tenant: asked.tenant.clone(),
        source: asked.source.clone(),
        ..CallFilter::new(from + -REPEAT_WINDOW_MS, to + RESOLUTION_WINDOW_MS)
    };
    let (mut after, mut read) = (None, 0);
    let mut contacts: BTreeMap<Group, Vec<Contact>> = BTreeMap::new();
    loop {
        let page = reports.calls(&filter, after.as_ref(), PAGE_MAX).await?;
        read += page.calls.len();
        if read > CALLS_MAX {
            return Err(refused(&format!("more than {CALLS_MAX} calls"), "ask for less time"));
        }
        for record in &page.calls {
            let Some(contact) = Contact::of(record) else { continue };
            for id in groups(asked.by, record) {
                contacts.entry((record.tenant.clone(), id)).or_default().push(contact.clone());
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(contacts);
        }
    }
}

/// The things of a report that a call belongs to, each once.
fn groups(by: Dim, record: &CallRecord) -> Vec<Arc<str>> {
    match by {
        Dim::Tenant => vec![Arc::clone(&record.tenant.0)],
        Dim::Source => vec![Arc::clone(&record.source.0)],
        Dim::Queue => {
            let mut queues: Vec<Arc<str>> =
                record.segments.iter().filter_map(|segment| segment.queue.as_ref()).map(|q| Arc::clone(&q.0)).collect();
            queues.sort();
            queues.dedup();
            queues
        }
        _ => Vec::new(),
    }
}
