//! The rows of one partition that are in memory: differences are added to them, and they are written whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::Time;
use stats::{Row, RowKey};
use store::reports::{Block, BlockKey};

/// Rows of one partition, in blocks of an hour.
///
/// Invariant: a block that is not here is in the store as it is, or nowhere.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    blocks: HashMap<BlockKey, Kept>,
    /// Blocks that changed since they were last taken: each once, because each knows that it is here.
    dirty: Vec<BlockKey>,
    /// The store has no block of a later hour.
    newest_hour: Option<Time>,
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    block: Arc<Block>,
    used: u64,
    dirty: bool,
}

impl Ledger {
    /// Nothing in memory yet; `newest_hour`: the latest hour that the store has.
    pub(crate) fn new(newest_hour: Option<Time>) -> Self {
        Self { newest_hour, ..Self::default() }
    }

    /// Blocks that must be loaded before these differences can be added.
    pub(crate) fn missing(&self, rows: &[(RowKey, Row)]) -> Vec<BlockKey> {
        let Some(newest) = self.newest_hour else { return Vec::new() };
        let mut missing: Vec<BlockKey> = rows
            .iter()
            .filter(|(row, _)| row.start.ms() < newest.ms() + store::reports::BLOCK_MS)
            .map(|(row, _)| BlockKey::of(row))
            .filter(|key| !self.blocks.contains_key(key))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Takes blocks from the store.
    pub(crate) fn load(&mut self, blocks: Vec<Block>) {
        for block in blocks {
            let used = self.uses;
            self.blocks.entry(block.key.clone()).or_insert_with(|| Kept { block: Arc::new(block), used, dirty: false });
        }
    }

    /// Adds differences.
    pub(crate) fn add(&mut self, rows: &[(RowKey, Row)]) {
        self.uses += 1;
        for (key, difference) in rows {
            let at = BlockKey::of(key);
            let kept = match self.blocks.get_mut(&at) {
                Some(kept) => kept,
                None => {
                    let block = Arc::new(Block { key: at.clone(), version: 0, rows: Default::default() });
                    self.blocks.entry(at.clone()).or_insert(Kept { block, used: 0, dirty: false })
                }
            };
            kept.used = self.uses;
            // Copied only while a checkpoint of it is being written.
            let block = Arc::make_mut(&mut kept.block);
            let row = block.rows.or_default(key.start);
            row.plus(difference);
            if row.is_zero() {
                block.rows.remove(&key.start);
            }
            if !std::mem::replace(&mut kept.dirty, true) {
                self.dirty.push(at);
            }
        }
    }

    /// A row as it is now; `None`: nothing is counted, or it is not in memory.
    pub(crate) fn row(&self, key: &RowKey) -> Option<&Row> {
        self.blocks.get(&BlockKey::of(key))?.block.rows.get(&key.start)
    }

    /// The blocks that changed since the last time, to be stored as folded up to `version`.
    pub(crate) fn take_dirty(&mut self, version: u64) -> Vec<Arc<Block>> {
        let mut taken = Vec::with_capacity(self.dirty.len());
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable(); // neighbours in the store are written one after the other
        for key in dirty {
            self.newest_hour = self.newest_hour.max(Some(key.hour));
            if let Some(kept) = self.blocks.get_mut(&key) {
                kept.dirty = false;
                Arc::make_mut(&mut kept.block).version = version;
                taken.push(Arc::clone(&kept.block));
            }
        }
        taken
    }

    /// Drops blocks beyond `keep`, the longest unused first, but none of `untold`: live readers are still to be told what
    /// is in them. Only what is stored may be dropped: call it when nothing is being written.
    pub(crate) fn evict(&mut self, keep: usize, untold: &HashSet<BlockKey>) {
        if self.blocks.len() <= keep {
            return;
        }
        // A quarter more than needed, so that the sorting is paid for once in a while only.
        let surplus = self.blocks.len() - keep + keep / 4;
        let idle = self.blocks.iter().filter(|(key, kept)| !kept.dirty && !untold.contains(*key));
        let mut clean: Vec<(u64, BlockKey)> = idle.map(|(key, kept)| (kept.used, key.clone())).collect();
        clean.sort_unstable();
        for (_, key) in clean.into_iter().take(surplus) {
            self.blocks.remove(&key);
        }
    }

    /// How many blocks are in memory.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::{Dim, Field};

    fn row(minute: i64, offered: i64) -> (RowKey, Row) {
        let mut row = Row::default();
        row.event.add(Field::Offered, offered);
        let start = Time(minute * 60_000);
        (RowKey { tenant: "t".into(), source: "s".into(), dim: Dim::Queue, id: "q".into(), start }, row)
    }

    #[test]
    fn only_hours_that_the_store_may_have_are_looked_up() {
        let mut ledger = Ledger::new(Some(Time(3_600_000)));
        let rows = [row(59, 1), row(61, 1), row(119, 1), row(120, 1)];
        assert_eq!(ledger.missing(&rows).len(), 2, "hours 0 and 1; hour 2 is new");
        assert!(Ledger::new(None).missing(&rows).is_empty());
        ledger.add(&rows);
        assert!(ledger.missing(&rows).is_empty());
    }

    #[test]
    fn what_is_taken_back_leaves_nothing_but_is_written() {
        let mut ledger = Ledger::new(None);
        ledger.add(&[row(1, 2)]);
        let first = ledger.take_dirty(5);
        ledger.add(&[row(1, -2)]);
        assert_eq!(ledger.row(&row(1, 0).0), None);
        assert_eq!(first[0].rows.len(), 1, "what is being written does not change");
        let second = ledger.take_dirty(6);
        assert_eq!((second[0].rows.len(), second[0].version), (0, 6));
        assert!(ledger.take_dirty(7).is_empty());
    }

    #[test]
    fn what_is_not_stored_is_not_evicted_and_what_is_evicted_is_looked_up_again() {
        let mut ledger = Ledger::new(None);
        ledger.add(&[row(1, 1), row(61, 1)]);
        let told = HashSet::new();
        ledger.evict(0, &told);
        assert_eq!(ledger.len(), 2);
        ledger.take_dirty(1);
        ledger.evict(0, &told);
        assert_eq!(ledger.len(), 0);
        assert_eq!(ledger.missing(&[row(1, 1), row(61, 1), row(121, 1)]).len(), 2);
    }

    #[test]
    fn what_is_still_to_be_told_is_not_evicted() {
        let mut ledger = Ledger::new(None);
        ledger.add(&[row(1, 1), row(61, 1)]);
        ledger.take_dirty(1);
        ledger.evict(0, &HashSet::from([BlockKey::of(&row(1, 0).0)]));
        assert!(ledger.row(&row(1, 0).0).is_some(), "an empty row would be told in its place");
        assert_eq!(ledger.row(&row(61, 0).0), None);
    }
}
