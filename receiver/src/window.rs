//! The window of seen ids: bounded, and kept in the journal beside the position, so that a restart forgets nothing.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use model::EventId;
use xxhash_rust::xxh3::xxh3_128;

/// Ids seen in one `ingest` partition, oldest forgotten first. What slips through is dropped by the folds, which know the
/// ids of each call; the window is there so that duplicates cost nothing further on.
#[derive(Default)]
pub(crate) struct Window {
    seen: HashSet<u128>,
    chunks: VecDeque<(u64, Vec<u128>)>,
    open: Vec<u128>,
    next: u64,
}

/// The most ids that a window holds: 16 bytes each on disk, about 50 in memory.
pub(crate) const IDS_MAX: usize = 400_000;
/// Ids of a chunk. Only the open one is written again with each step, so it is small.
const CHUNK: usize = 256;

/// What a step changes in the journal's state.
pub(crate) type Changes = Vec<(Bytes, Option<Bytes>)>;

impl Window {
    /// Reads back what earlier steps stored under `prefix` (`w/<partition>/`).
    pub(crate) fn load(prefix: &str, stored: Vec<(Bytes, Bytes)>) -> Window {
        let mut window = Window::default();
        for (key, value) in stored {
            let number =
                std::str::from_utf8(&key).ok().and_then(|k| k.strip_prefix(prefix)).and_then(|n| n.parse().ok());
            let Some(number) = number else { continue };
            let ids: Vec<u128> =
                value.chunks_exact(16).map(|b| u128::from_le_bytes(b.try_into().expect("16 bytes"))).collect();
            window.seen.extend(&ids);
            window.chunks.push_back((number, ids));
        }
        window.chunks.make_contiguous().sort_by_key(|(number, _)| *number);
        window.next = window.chunks.back().map_or(0, |(number, _)| number + 1);
        if window.chunks.back().is_some_and(|(_, ids)| ids.len() < CHUNK) {
            let (number, ids) = window.chunks.pop_back().expect("there is a last chunk");
            (window.next, window.open) = (number, ids);
        }
        window
    }

    /// Notes an id; false when it was seen before.
    pub(crate) fn admit(&mut self, id: &EventId) -> bool {
        let hash = xxh3_128(id.as_str().as_bytes());
        let new = self.seen.insert(hash);
        if new {
            self.open.push(hash);
        }
        new
    }

    /// What must be written so that a restart knows what was admitted since the last call.
    pub(crate) fn changes(&mut self, prefix: &str) -> Changes {
        let mut changes = Vec::new();
        let key = |number: u64| Bytes::from(format!("{prefix}{number:012}"));
        while self.open.len() >= CHUNK {
            let rest = self.open.split_off(CHUNK);
            let full = std::mem::replace(&mut self.open, rest);
            changes.push((key(self.next), Some(packed(&full))));
            self.chunks.push_back((self.next, full));
            self.next += 1;
        }
        if !self.open.is_empty() {
            changes.push((key(self.next), Some(packed(&self.open))));
        }
        while self.chunks.len() * CHUNK > IDS_MAX {
            let Some((number, ids)) = self.chunks.pop_front() else { break };
            ids.iter().for_each(|id| _ = self.seen.remove(id));
            changes.push((key(number), None));
        }
        changes
    }
}

fn packed(ids: &[u128]) -> Bytes {
    ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn apply(disk: &mut BTreeMap<Bytes, Bytes>, changes: Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => _ = disk.insert(key, value),
                None => _ = disk.remove(&key),
            }
        }
    }

    #[test]
    fn a_restart_knows_what_was_seen_and_the_oldest_is_forgotten() {
        let (mut disk, mut window) = (BTreeMap::new(), Window::default());
        let id = |n: usize| EventId::new(format!("e{n}"));
        for n in 0..IDS_MAX + 3 * CHUNK + 7 {
            assert!(window.admit(&id(n)));
            if n % 1_000 == 0 {
                apply(&mut disk, window.changes("w/0/"));
            }
        }
        apply(&mut disk, window.changes("w/0/"));
        let mut again = Window::load("w/0/", disk.into_iter().collect());
        for n in [IDS_MAX + 3 * CHUNK + 6, IDS_MAX, 5 * CHUNK] {
            assert!(!again.admit(&id(n)), "{n} was forgotten");
        }
        assert!(again.admit(&id(0)), "the oldest is still held: the window has no bound");
        assert!(again.seen.len() <= IDS_MAX + CHUNK + 8);
    }
}
