//! Base rows of a range, with what still lasts laid over them, merged into the intervals of a question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{SourceId, TenantId, Time};
use serde::de::DeserializeOwned;
use stats::interval::{Interval, Merged, merge};
use stats::live::{Gap, gap_ms};
use stats::{Dim, Grains, Row, RowKey, Rows, overlay};
use store::Reports;
use store::reports::{Kind, RowFilter};

use super::ask::Intervals;
use super::{Error, Refused};

/// One thing in one interval, merged.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Whose.
    pub tenant: TenantId,
    /// Which one.
    pub id: Arc<str>,
    /// When the interval begins.
    pub start: Time,
    /// When it ends.
    pub end: Time,
    /// What was counted.
    pub merged: Merged,
    /// For how long the sources of these rows were blind, milliseconds; the sum where there are several.
    pub gap_ms: i64,
}

/// How long something open may have lasted: nothing older changes by what is open now.
const OPEN_MS: i64 = stats::live::OPEN_MS_MAX;
const APART: char = '\u{1f}';

/// Merges the rows of a question. In order of interval, tenant and id.
///
/// # Errors
/// A range with too many intervals or rows; a store that cannot be read.
pub async fn cells(reports: &dyn Reports, asked: &Intervals, now: Time) -> Result<Vec<Cell>, Error> {
    between(reports, asked, &borders(asked)?, now).await
}

async fn between(reports: &dyn Reports, asked: &Intervals, borders: &[Time], now: Time) -> Result<Vec<Cell>, Error> {
    let (from, to) = (borders[0], borders[borders.len() - 1]);
    let filter = RowFilter {
        ids: asked.ids.clone(),
        tenant: asked.tenant.clone(),
        source: asked.source.clone(),
        ..RowFilter::new(asked.by, from, to)
    };
    let mut rows = reports.rows(&filter).await?;
    let sources = sources(reports).await?;
    if to + OPEN_MS > now && from < now {
        lay_over(reports, &filter, &sources, now, &mut rows).await?;
    }
    let group = |key: &RowKey| Some(Arc::from(format!("{}{APART}{}", key.tenant, key.id)));
    let merged = merge(rows.iter(), borders, asked.attribution, group);
    let known: BTreeSet<Arc<str>> = merged.keys().map(|(_, name)| Arc::clone(name)).collect();
    let slots = borders.len() - 1;
    let wanted = if asked.fill { known.len().saturating_mul(slots) } else { merged.len() };
    if wanted > asked.bounds.rows {
        let max = asked.bounds.rows;
        let detail = format!(
            "the report would have {wanted} rows, the limit is {max}: ask for less time, longer intervals or fewer ids"
        );
        return Err(Refused { parameter: "interval", detail }.into());
    }
    let brought = brought(&rows);
    let cell = |slot: usize, name: &str, merged: Merged| {
        let (tenant, id) = name.split_once(APART).unwrap_or(("", name));
        let (start, end) = (borders[slot], borders[slot + 1]);
        let of = brought.get(name).into_iter().flatten();
        let gap_ms =
            of.filter_map(|source| sources.get(source)).map(|s| gap_ms(&gaps(s, now), start, end.min(now))).sum();
        Cell { tenant: TenantId::new(tenant), id: Arc::from(id), start, end, merged, gap_ms }
    };
    if !asked.fill {
        return Ok(merged.into_iter().map(|((slot, name), merged)| cell(slot, &name, merged)).collect());
    }
    let mut merged = merged;
    let all = (0..slots).flat_map(|slot| known.iter().map(move |name| (slot, name)));
    Ok(all.map(|(slot, name)| cell(slot, name, merged.remove(&(slot, Arc::clone(name))).unwrap_or_default())).collect())
}

fn borders(asked: &Intervals) -> Result<Vec<Time>, Error> {
    let range = &asked.range;
    if asked.interval == Interval::All {
        // What is kept begins at whole base rows: a range between them would miss the rows at both its ends.
        let grain = Grains::default().of(asked.by);
        let floor = |at: Time| Time(at.ms().div_euclid(grain) * grain);
        return Ok(vec![floor(range.from), floor(range.to + (grain - 1))]);
    }
    let borders = asked.interval.borders(&range.zone, range.from, range.to, asked.bounds.rows);
    borders.map_err(|error| Refused { parameter: "interval", detail: error.to_string() }.into())
}

/// Which sources brought the rows of each thing.
fn brought(rows: &BTreeMap<RowKey, Row>) -> BTreeMap<String, BTreeSet<SourceId>> {
    let mut brought: BTreeMap<String, BTreeSet<SourceId>> = BTreeMap::new();
    let mut last: Option<&RowKey> = None;
    for key in rows.keys() {
        if last.is_some_and(|l| l.tenant == key.tenant && l.source == key.source && l.id == key.id) {
            continue;
        }
        brought.entry(format!("{}{APART}{}", key.tenant, key.id)).or_default().insert(key.source.clone());
        last = Some(key);
    }
    brought
}

fn gaps(source: &stats::live::Source, now: Time) -> Vec<Gap> {
    let mut gaps = source.gaps.clone();
    if let Some(from) = source.lost_since(now) {
        gaps.push(Gap { from, to: now, reason: String::new() });
    }
    gaps
}

async fn states<T: DeserializeOwned>(reports: &dyn Reports, kind: Kind) -> Result<Vec<T>, Error> {
    let states = reports.states(kind).await?;
    let read = |state: store::reports::State| {
        let body = state.body?;
        let read = serde_json::from_slice(&body);
        Some(read.map_err(|error| Error::State { kind, id: state.id, reason: error.to_string() }))
    };
    states.into_iter().filter_map(read).collect()
}

/// What is known of every source.
///
/// # Errors
/// A store that cannot be read.
pub async fn sources(reports: &dyn Reports) -> Result<BTreeMap<SourceId, stats::live::Source>, Error> {
    let states: Vec<stats::source::State> = states(reports, Kind::Source).await?;
    Ok(states.into_iter().map(|state| state.live()).map(|source| (source.source.clone(), source)).collect())
}

/// Adds what lasts now: waits, conversations and agent states that no event has ended yet.
async fn lay_over(
    reports: &dyn Reports,
    filter: &RowFilter,
    sources: &BTreeMap<SourceId, stats::live::Source>,
    now: Time,
    rows: &mut BTreeMap<RowKey, Row>,
) -> Result<(), Error> {
    let mut open = Rows::new(Grains::default());
    for call in reports.open_calls().await? {
        if let Some(call) = call.live() {
            overlay::of_call(&call, now, &mut open);
        }
    }
    match filter.dim {
        Dim::Agent | Dim::Team => {
            for state in states::<stats::agent::State>(reports, Kind::Agent).await? {
                let agent = state.live();
                overlay::of_agent(&agent, sources.get(&agent.source), now, &mut open);
            }
        }
        Dim::Device => {
            for state in states::<stats::device::State>(reports, Kind::Device).await? {
                overlay::of_device(&state.live(), now, &mut open);
            }
        }
        _ => {}
    }
    let wanted = |key: &RowKey| {
        key.dim == filter.dim
            && (filter.from..filter.to).contains(&key.start)
            && (filter.ids.is_empty() || filter.ids.iter().any(|id| **id == *key.id))
            && filter.tenant.as_ref().is_none_or(|tenant| *tenant == key.tenant)
            && filter.source.as_ref().is_none_or(|source| *source == key.source)
    };
    for (key, row) in open.into_rows().filter(|(key, _)| wanted(key)) {
        rows.entry(key).or_default().plus(&row);
    }
    Ok(())
}

/// On how many days of the report's zone each thing of a question did something that `did` says.
///
/// # Errors
/// As [`cells`].
pub async fn days(
    reports: &dyn Reports,
    asked: &Intervals,
    now: Time,
    did: impl Fn(&Merged) -> bool,
) -> Result<BTreeMap<(Time, TenantId, Arc<str>), i64>, Error> {
    let outer = borders(asked)?;
    let (first, last) = (outer[0], outer[outer.len() - 1]);
    let by_day = Intervals { interval: Interval::Day, fill: false, ..asked.clone() };
    let mut inner = borders(&by_day)?;
    // Only what is within the range: its first and its last day may be parts of days.
    inner.retain(|border| (first..last).contains(border));
    inner.insert(0, first);
    inner.push(last);
    inner.dedup();
    let mut days = BTreeMap::new();
    for cell in between(reports, &by_day, &inner, now).await? {
        let slot = outer.partition_point(|border| *border <= cell.start).clamp(1, outer.len() - 1) - 1;
        *days.entry((outer[slot], cell.tenant, cell.id)).or_default() += i64::from(did(&cell.merged));
    }
    Ok(days)
}
