//! Reports in memory: the whole contract but outliving the process. It does the same on every run, so that a simulation can be
//! repeated; for tests, not for service.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::{CallId, Time};
use stats::call::Record as CallRecord;
use stats::{Row, RowKey};

use crate::codec;
use crate::reports::{
    BLOCK_MS, Block, BlockKey, CallFilter, Change, Cursor, Held, Kind, PAGE_MAX, Page, Progress, Reports, Resumed,
    Retention, RowFilter, State, StoredCall, Swept, Taken,
};
use crate::{Error, Part, Result};

/// Reports in memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    journal: Option<String>,
    meta: BTreeMap<String, String>,
    parts: BTreeMap<Part, Folded>,
    calls: BTreeMap<CallId, (Part, StoredCall)>,
    blocks: BTreeMap<(BlockKey, Part), (u64, Vec<u8>)>,
    states: BTreeMap<(Kind, String, Part), Vec<u8>>,
    closed: bool,
}

#[derive(Clone, Debug)]
struct Folded {
    owner: String,
    fence: u64,
    next: Option<u64>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another store with the same content: what a disk held at this moment.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.closed { Err(Error::Closed) } else { Ok(inner) }
    }
}

impl Inner {
    fn fenced(&self, held: &Held) -> Result<()> {
        let current = self.parts.get(&held.part).map_or(0, |folded| folded.fence);
        if current == held.fence && current > 0 {
            return Ok(());
        }
        Err(Error::Fenced { part: held.part.clone(), held: held.fence, current })
    }

    fn apply(&mut self, change: &Change) {
        let part = &change.held.part;
        if let Some(folded) = self.parts.get_mut(part) {
            folded.next = Some(change.next);
        }
        for call in &change.calls {
            self.calls.insert(call.id.clone(), (part.clone(), call.clone()));
        }
        for block in &change.blocks {
            let body = codec::encode_rows(block.key.hour, &block.rows);
            self.blocks.insert((block.key.clone(), part.clone()), (block.version, body));
        }
        for state in &change.states {
            let key = (state.kind, state.id.clone(), part.clone());
            match &state.body {
                Some(body) => self.states.insert(key, body.clone()),
                None => self.states.remove(&key),
            };
        }
    }

    /// The blocks whose hour touches the filter's range.
    fn touched(&self, filter: &RowFilter) -> Result<Vec<(Part, Block)>> {
        let first = filter.from.ms().div_euclid(BLOCK_MS) * BLOCK_MS;
        let wanted = |key: &BlockKey| {
            key.dim == filter.dim
                && (first..filter.to.ms()).contains(&key.hour.ms())
                && filter.tenant.as_ref().is_none_or(|tenant| key.tenant == *tenant)
                && filter.source.as_ref().is_none_or(|source| key.source == *source)
                && (filter.ids.is_empty() || filter.ids.iter().any(|id| **id == *key.id))
        };
        self.blocks.iter().filter(|((key, _), _)| wanted(key)).map(|(key, kept)| block(key, kept)).collect()
    }
}

fn block((key, part): &(BlockKey, Part), (version, body): &(u64, Vec<u8>)) -> Result<(Part, Block)> {
    let rows = codec::decode_rows(key, body)?;
    Ok((part.clone(), Block { key: key.clone(), version: *version, rows }))
}

fn state(((kind, id, _), body): (&(Kind, String, Part), &Vec<u8>)) -> State {
    State { kind: *kind, id: id.clone(), body: Some(body.clone()) }
}

fn wanted(call: &StoredCall, filter: &CallFilter) -> bool {
    let lists = |list: &str, item: Option<&str>| item.is_none_or(|item| codec::lists(list, item));
    (filter.from.ms()..filter.to.ms()).contains(&call.offered_at)
        && filter.tenant.as_ref().is_none_or(|tenant| call.tenant == *tenant)
        && filter.source.as_ref().is_none_or(|source| call.source == *source)
        && filter.direction.as_ref().is_none_or(|direction| call.direction == direction)
        && filter.caller.as_ref().is_none_or(|caller| !caller.is_empty() && call.caller == *caller)
        && lists(&call.queues, filter.queue.as_ref().map(|queue| queue.as_str()))
        && lists(&call.agents, filter.agent.as_ref().map(|agent| agent.as_str()))
        && lists(&call.causes, filter.cause.as_deref())
        && filter.closed.is_none_or(|closed| call.is_closed() == closed)
}

#[async_trait]
impl Reports for Memory {
    async fn take(&self, owner: &str, journal: &str, parts: &[Part]) -> Result<Vec<Taken>> {
        let mut inner = self.lock()?;
        let found = inner.journal.get_or_insert_with(|| journal.to_owned()).clone();
        if found != journal {
            return Err(Error::Foreign { found, wanted: journal.to_owned() });
        }
        let take = |part: &Part| {
            let folded =
                inner.parts.entry(part.clone()).or_insert(Folded { owner: String::new(), fence: 0, next: None });
            folded.fence += 1;
            folded.owner = owner.to_owned();
            Taken { held: Held { part: part.clone(), fence: folded.fence }, next: folded.next }
        };
        Ok(parts.iter().map(take).collect())
    }

    async fn resume(&self, part: &Part) -> Result<Resumed> {
        let inner = self.lock()?;
        let open = inner.calls.values().filter(|(of, call)| of == part && !call.is_closed());
        Ok(Resumed {
            open_calls: open.map(|(_, call)| call.record()).collect::<Result<_>>()?,
            states: inner.states.iter().filter(|((_, _, of), _)| of == part).map(state).collect(),
            newest_hour: inner.blocks.keys().filter(|(_, of)| of == part).map(|(key, _)| key.hour).max(),
        })
    }

    async fn checkpoint(&self, changes: &[Change]) -> Result<()> {
        let mut inner = self.lock()?;
        changes.iter().try_for_each(|change| inner.fenced(&change.held))?;
        changes.iter().for_each(|change| inner.apply(change));
        Ok(())
    }

    async fn calls_by_id(&self, ids: &[CallId]) -> Result<Vec<CallRecord>> {
        let inner = self.lock()?;
        ids.iter().filter_map(|id| inner.calls.get(id)).map(|(_, call)| call.record()).collect()
    }

    async fn blocks_by_key(&self, part: &Part, keys: &[BlockKey]) -> Result<Vec<Block>> {
        let inner = self.lock()?;
        let found = keys.iter().filter_map(|key| inner.blocks.get_key_value(&(key.clone(), part.clone())));
        found.map(|(key, kept)| block(key, kept).map(|(_, block)| block)).collect()
    }

    async fn span(&self) -> Result<Option<(Time, Time)>> {
        let inner = self.lock()?;
        let calls = inner.calls.values().map(|(_, call)| (call.offered_at, call.offered_at.saturating_add(1)));
        let blocks = inner.blocks.keys().map(|(key, _)| (key.hour.ms(), key.hour.ms().saturating_add(BLOCK_MS)));
        let span = calls.chain(blocks).reduce(|(from, to), (a, b)| (from.min(a), to.max(b)));
        Ok(span.map(|(from, to)| (Time(from), Time(to))))
    }

    async fn progress(&self) -> Result<Vec<Progress>> {
        let inner = self.lock()?;
        let one = |(part, folded): (&Part, &Folded)| Progress {
            part: part.clone(),
            owner: folded.owner.clone(),
            fence: folded.fence,
            next: folded.next,
        };
        Ok(inner.parts.iter().map(one).collect())
    }

    async fn rows(&self, filter: &RowFilter) -> Result<BTreeMap<RowKey, Row>> {
        let mut sum: BTreeMap<RowKey, Row> = BTreeMap::new();
        for (_, Block { key, rows, .. }) in self.lock()?.touched(filter)? {
            for (start, row) in rows.into_iter().filter(|(start, _)| *start >= filter.from && *start < filter.to) {
                sum.entry(key.row(start)).or_default().plus(&row);
            }
        }
        sum.retain(|_, row| !row.is_zero());
        Ok(sum)
    }

    async fn blocks_in(&self, filter: &RowFilter) -> Result<Vec<(Part, Block)>> {
        self.lock()?.touched(filter)
    }

    async fn calls(&self, filter: &CallFilter, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        if limit == 0 || limit > PAGE_MAX {
            return Err(Error::TooLarge { what: "calls of a page", size: limit, limit: PAGE_MAX });
        }
        let inner = self.lock()?;
        let place = |call: &StoredCall| Cursor { offered_at: Time(call.offered_at), id: call.id.clone() };
        let mut found: Vec<(Cursor, &StoredCall)> = inner
            .calls
            .values()
            .filter(|(_, call)| wanted(call, filter))
            .map(|(_, call)| (place(call), call))
            .collect();
        found.sort_by(|(a, _), (b, _)| if filter.newest_first { b.cmp(a) } else { a.cmp(b) });
        if let Some(after) = after {
            found.retain(|(at, _)| if filter.newest_first { at < after } else { at > after });
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|(at, _)| at.clone());
        Ok(Page { calls: found.iter().map(|(_, call)| call.record()).collect::<Result<_>>()?, next })
    }

    async fn call(&self, id: &CallId) -> Result<Option<CallRecord>> {
        self.lock()?.calls.get(id).map(|(_, call)| call.record()).transpose()
    }

    async fn open_calls(&self) -> Result<Vec<CallRecord>> {
        let inner = self.lock()?;
        let mut open: Vec<&StoredCall> =
            inner.calls.values().map(|(_, call)| call).filter(|call| !call.is_closed()).collect();
        open.sort_by(|a, b| (a.offered_at, &a.id).cmp(&(b.offered_at, &b.id)));
        open.into_iter().map(StoredCall::record).collect()
    }

    async fn states(&self, kind: Kind) -> Result<Vec<State>> {
        Ok(self.lock()?.states.iter().filter(|((of, _, _), _)| *of == kind).map(state).collect())
    }

    async fn meta(&self, name: &str) -> Result<Option<String>> {
        Ok(self.lock()?.meta.get(name).cloned())
    }

    async fn put_meta(&self, name: &str, value: &str) -> Result<()> {
        self.lock()?.meta.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    async fn sweep(&self, retention: Retention) -> Result<Swept> {
        let mut inner = self.lock()?;
        let before = (inner.calls.len(), inner.blocks.len());
        if let Some(oldest) = retention.calls_before.map(Time::ms) {
            let old = |call: &StoredCall| {
                call.is_closed() && call.ended_at.is_some_and(|at| at < oldest) && call.offered_at < oldest
            };
            inner.calls.retain(|_, (_, call)| !old(call));
        }
        if let Some(oldest) = retention.rows_before {
            inner.blocks.retain(|(key, _), _| key.hour >= oldest);
        }
        Ok(Swept { calls: (before.0 - inner.calls.len()) as u64, blocks: (before.1 - inner.blocks.len()) as u64 })
    }

    async fn wipe(&self) -> Result<()> {
        let mut inner = self.lock()?;
        inner.calls.clear();
        inner.blocks.clear();
        inner.states.clear();
        inner.journal = None;
        for folded in inner.parts.values_mut() {
            folded.next = None;
            folded.fence += 1;
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        crate::reports::conformance::run(async || Memory::new()).await;
    }
}
