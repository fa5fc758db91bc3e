//! Limits of one call. They keep one caller from holding up everybody else behind a huge transaction.

use bytes::Bytes;

use crate::contract::{Commit, Entry, Journal, check};
use crate::{Error, Result};

/// The largest key, in bytes.
pub(crate) const KEY_BYTES: usize = 1 << 10;
/// The largest value, in bytes.
pub(crate) const VALUE_BYTES: usize = 8 << 20;
/// The most entries and state changes of one call.
pub(crate) const CALL_ENTRIES: usize = 100_000;
/// The most bytes of one call.
pub(crate) const CALL_BYTES: usize = 64 << 20;

impl Commit {
    /// Entries only, for no group.
    pub(crate) fn of(entries: Vec<Entry>) -> Self {
        Self { entries, ..Self::default() }
    }

    /// Bytes of keys and values.
    pub(crate) fn size(&self) -> usize {
        let state = self.state.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len));
        self.entries.iter().map(|entry| entry.key.len() + entry.value.len()).chain(state).sum()
    }

    /// Whether the call keeps to the limits and names partitions that exist.
    pub(crate) fn check<J: Journal + ?Sized>(&self, journal: &J) -> Result<()> {
        let within =
            |what, size, limit| if size <= limit { Ok(()) } else { Err(Error::TooLarge { what, size, limit }) };
        let keys = self.entries.iter().map(|entry| &entry.key).chain(self.state.iter().map(|(key, _)| key));
        let values = self
            .entries
            .iter()
            .map(|entry| &entry.value)
            .chain(self.state.iter().filter_map(|(_, value)| value.as_ref()));
        within("a key", keys.map(Bytes::len).max().unwrap_or(0), KEY_BYTES)?;
        within("a value", values.map(Bytes::len).max().unwrap_or(0), VALUE_BYTES)?;
        within("a call (entries)", self.entries.len() + self.state.len(), CALL_ENTRIES)?;
        within("a call", self.size(), CALL_BYTES)?;
        self.positions.iter().try_for_each(|position| check(journal, position.stream, position.partition))
    }
}
