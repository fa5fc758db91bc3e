//! A batch cut into pieces that the journal takes: however much a vendor says at once, it is written, never refused.

use bytes::Bytes;
use journal::Entry;

/// Far below the journal's limits of one call: entries and state changes, …
pub(crate) const ITEMS_MAX: usize = 20_000;
/// … and their bytes.
pub(crate) const BYTES_MAX: usize = 16 << 20;
/// The journal's limits of one value and one key.
const VALUE_BYTES_MAX: usize = 8 << 20;
const KEY_BYTES_MAX: usize = 1 << 10;

/// A change of the source's state.
pub(crate) type State = (Bytes, Option<Bytes>);

/// What is written in one transaction.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) entries: Vec<Entry>,
    pub(crate) state: Vec<State>,
    bytes: usize,
}

impl Chunk {
    /// What it weighs.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_full(&self, more: usize) -> bool {
        let items = self.entries.len() + self.state.len();
        items > 0 && (items == ITEMS_MAX || self.bytes + more > BYTES_MAX)
    }
}

/// Whether the journal takes a record of this size.
pub(crate) fn fits(key: &[u8], value: usize) -> bool {
    key.len() <= KEY_BYTES_MAX && value <= VALUE_BYTES_MAX
}

/// Entries first, then the state: what is remembered of the vendor never runs ahead of what was said of it.
pub(crate) fn cut(entries: Vec<Entry>, state: Vec<State>) -> Vec<Chunk> {
    let mut chunks = vec![Chunk::default()];
    for entry in entries {
        let size = entry.key.len() + entry.value.len();
        let chunk = room(&mut chunks, size);
        chunk.entries.push(entry);
    }
    for (key, value) in state {
        let size = key.len() + value.as_ref().map_or(0, Bytes::len);
        let chunk = room(&mut chunks, size);
        chunk.state.push((key, value));
    }
    chunks
}

fn room(chunks: &mut Vec<Chunk>, size: usize) -> &mut Chunk {
    if chunks.last().is_none_or(|last| last.is_full(size)) {
        chunks.push(Chunk::default());
    }
    let last = chunks.len() - 1;
    chunks[last].bytes += size;
    &mut chunks[last]
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::Stream;

    #[test]
    fn every_piece_is_within_the_bounds_and_the_state_comes_last() {
        let entry = |n: usize| Entry::new(Stream::Ingest, "pbx1", vec![b'x'; if n < 40 { 1 << 20 } else { 10 }]);
        let entries: Vec<_> = (0..50_000).map(entry).collect();
        let state: Vec<State> = (0..130_000).map(|n| (Bytes::from(format!("s{n}")), None)).collect();
        let chunks = cut(entries.clone(), state.clone());
        assert!(chunks.iter().all(|c| c.entries.len() + c.state.len() <= ITEMS_MAX && c.bytes <= BYTES_MAX));
        assert!(chunks.windows(2).all(|pair| pair[0].state.is_empty() || pair[1].entries.is_empty()));
        assert!(chunks.iter().flat_map(|c| &c.entries).eq(&entries));
        assert!(chunks.iter().flat_map(|c| &c.state).eq(&state));
        assert_eq!(cut(Vec::new(), Vec::new()), [Chunk::default()]);
    }
}
