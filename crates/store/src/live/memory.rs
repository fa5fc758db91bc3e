//! Live state of one process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Changes, Live, Partial, Slot, Snapshot, Version};
use crate::{Error, Part, Result};

/// How much a [`Memory`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Slots, emptied ones included.
    pub slots: usize,
    /// Bytes of one value.
    pub value_bytes: usize,
    /// Emptied slots that are remembered.
    pub emptied: usize,
}

impl Default for Limits {
    /// A million slots of at most 1 MiB, 100,000 emptied ones.
    fn default() -> Self {
        Self { slots: 1_000_000, value_bytes: 1 << 20, emptied: 100_000 }
    }
}

/// Live state in the memory of one process.
#[derive(Debug)]
pub struct Memory {
    limits: Limits,
    state: Mutex<State>,
    moved: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    cursor: u64,
    // Below this, removals have been forgotten: whoever is older must take a snapshot.
    oldest: u64,
    slots: BTreeMap<Slot, Held>,
    // The order of last changes. One entry per slot, so it is bounded with them.
    order: BTreeMap<u64, Slot>,
    emptied: BTreeMap<u64, Slot>,
    epochs: HashMap<Part, u64>,
}

#[derive(Debug)]
struct Held {
    version: Version,
    value: Option<std::sync::Arc<[u8]>>,
    at: u64,
}

impl Memory {
    /// Empty.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), moved: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state when the cursor is still the one that is asked for; tells those who watch.
    fn change(&self, after: Option<u64>, change: impl FnOnce(&mut State) -> Result<()>) -> Result<u64> {
        let cursor = {
            let mut state = self.state();
            if let Some(wanted) = after.filter(|wanted| *wanted != state.cursor) {
                return Err(Error::Moved { wanted, cursor: state.cursor });
            }
            change(&mut state)?;
            state.forget(self.limits.emptied);
            state.cursor
        };
        self.moved.send_replace(cursor);
        Ok(cursor)
    }

    fn check(&self, state: &State, partials: &[Partial]) -> Result<()> {
        let large = partials.iter().filter_map(|p| p.value.as_ref()).map(|v| v.len()).max().unwrap_or(0);
        if large > self.limits.value_bytes {
            return Err(Error::TooLarge { what: "bytes of a live value", size: large, limit: self.limits.value_bytes });
        }
        let fresh = partials.iter().filter(|p| !state.slots.contains_key(&p.slot)).count();
        let size = state.slots.len() + fresh;
        if size > self.limits.slots {
            return Err(Error::TooLarge { what: "live slots", size, limit: self.limits.slots });
        }
        Ok(())
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl State {
    fn put(&mut self, partial: Partial) {
        let Partial { slot, version, value } = partial;
        if self.epochs.get(&slot.part).is_some_and(|epoch| version.epoch < *epoch) {
            return;
        }
        let before = self.slots.get(&slot);
        if before.is_some_and(|held| held.version >= version) {
            return;
        }
        if let Some(held) = before {
            self.order.remove(&held.at);
            self.emptied.remove(&held.at);
        }
        self.cursor += 1;
        let at = self.cursor;
        self.order.insert(at, slot.clone());
        if value.is_none() {
            self.emptied.insert(at, slot.clone());
        }
        self.slots.insert(slot, Held { version, value, at });
    }

    fn forget(&mut self, keep: usize) {
        while self.emptied.len() > keep {
            let Some((at, slot)) = self.emptied.pop_first() else { return };
            self.order.remove(&at);
            self.slots.remove(&slot);
            self.oldest = at;
        }
    }
}

fn partial(slot: &Slot, held: &Held) -> Partial {
    Partial { slot: slot.clone(), version: held.version, value: held.value.clone() }
}

#[async_trait]
impl Live for Memory {
    async fn put(&self, partials: Vec<Partial>, after: Option<u64>) -> Result<u64> {
        self.change(after, |state| {
            self.check(state, &partials)?;
            partials.into_iter().for_each(|partial| state.put(partial));
            Ok(())
        })
    }

    async fn begin(&self, part: &Part, epoch: u64, after: Option<u64>) -> Result<u64> {
        self.change(after, |state| {
            let known = state.epochs.entry(part.clone()).or_default();
            *known = epoch.max(*known);
            let old: Vec<Slot> = state
                .slots
                .iter()
                .filter(|(slot, held)| slot.part == *part && held.version.epoch < epoch && held.value.is_some())
                .map(|(slot, _)| slot.clone())
                .collect();
            for slot in old {
                state.put(Partial { slot, version: Version { epoch, number: 0 }, value: None });
            }
            Ok(())
        })
    }

    async fn clear(&self, after: Option<u64>) -> Result<u64> {
        self.change(after, |state| {
            let cursor = state.cursor + 1;
            *state = State { cursor, oldest: cursor, ..State::default() };
            Ok(())
        })
    }

    async fn snapshot(&self, prefix: &str) -> Result<Snapshot> {
        let state = self.state();
        let from = Slot { key: prefix.into(), part: Part::new("", 0) };
        let partials = state
            .slots
            .range(from..)
            .take_while(|(slot, _)| slot.key.starts_with(prefix))
            .filter(|(_, held)| held.value.is_some())
            .map(|(slot, held)| partial(slot, held))
            .collect();
        Ok(Snapshot { cursor: state.cursor, partials })
    }

    async fn changes(&self, since: u64, limit: usize) -> Result<Changes> {
        let mut moved = self.moved.subscribe();
        loop {
            {
                let state = self.state();
                if since < state.oldest || since > state.cursor {
                    return Err(Error::Lapsed { since, oldest: state.oldest });
                }
                let mut cursor = since;
                let mut partials = Vec::new();
                for (at, slot) in state.order.range(since + 1..).take(limit.max(1)) {
                    cursor = *at;
                    partials.extend(state.slots.get(slot).map(|held| partial(slot, held)));
                }
                if !partials.is_empty() {
                    return Ok(Changes { cursor, partials });
                }
            }
            if moved.changed().await.is_err() {
                return Err(Error::Closed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        super::super::conformance::run(async || Memory::default()).await;
    }

    #[tokio::test]
    async fn a_reader_older_than_the_forgotten_removals_is_told_to_take_a_snapshot() {
        let live = Memory::new(Limits { emptied: 1, ..Limits::default() });
        let put = |key: &str, number, value: Option<&[u8]>| Partial {
            slot: Slot { key: key.into(), part: Part::new("events.call", 0) },
            version: Version { epoch: 1, number },
            value: value.map(Into::into),
        };
        live.put(vec![put("a", 1, Some(b"1")), put("b", 1, Some(b"1"))], None).await.unwrap();
        live.put(vec![put("a", 2, None), put("b", 2, None)], None).await.unwrap();
        assert!(matches!(live.changes(0, 10).await, Err(Error::Lapsed { since: 0, oldest: 3 })));
    }

    #[tokio::test]
    async fn what_is_over_the_bounds_is_refused_whole() {
        let live = Memory::new(Limits { slots: 1, value_bytes: 2, emptied: 1 });
        let put = |key: &str, value: &[u8]| Partial {
            slot: Slot { key: key.into(), part: Part::new("events.call", 0) },
            version: Version { epoch: 1, number: 1 },
            value: Some(value.into()),
        };
        assert!(matches!(live.put(vec![put("a", b"123")], None).await, Err(Error::TooLarge { .. })));
        assert!(matches!(live.put(vec![put("a", b"1"), put("b", b"1")], None).await, Err(Error::TooLarge { .. })));
        assert!(live.snapshot("").await.unwrap().partials.is_empty());
    }
}
