//! What was set aside: malformed input with its reason, kept in the journal until an operator replays or drops it.

use std::sync::Arc;

use bytes::Bytes;
use journal::{Commit, Entry, Journal, Stream};
use model::Time;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The receiver's group in the journal.
pub const GROUP: &str = "receiver";
/// Where set-aside records are kept in the group's state.
pub(crate) const PREFIX: &str = "aside/";
/// The most records kept; beyond, the oldest go, and health says so.
pub const ASIDE_MAX: usize = 10_000;
/// The most bytes kept of one record.
const BYTES_MAX: usize = 64 << 10;

/// One record that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// Its name in the list.
    pub id: String,
    /// When it was set aside.
    pub at: Time,
    /// Why.
    pub reason: String,
    /// The key it had in `ingest`: its source.
    pub source: String,
    /// Its bytes; not UTF-8 is shown with replacement characters, and `whole` is false.
    pub text: String,
    /// Whether `text` is all of it, byte for byte: only then can it be replayed.
    pub whole: bool,
}

impl Aside {
    /// Of a record of `ingest` at `partition`/`offset`.
    pub(crate) fn new(at: Time, partition: u32, offset: u64, source: &[u8], value: &[u8], reason: String) -> Aside {
        let cut = &value[..value.len().min(BYTES_MAX)];
        let (text, whole) = match std::str::from_utf8(cut) {
            Ok(text) => (text.to_owned(), cut.len() == value.len()),
            Err(_) => (String::from_utf8_lossy(cut).into_owned(), false),
        };
        // Sorted by time, unique by place: reading the record again after a crash overwrites itself.
        let id = format!("{:013}-{:08x}", at.ms(), xxh3_64(format!("{partition}/{offset}").as_bytes()) as u32);
        Aside { id, at, reason, source: String::from_utf8_lossy(source).into_owned(), text, whole }
    }

    /// Under what it is kept.
    pub(crate) fn entry(&self) -> (Bytes, Option<Bytes>) {
        let value = serde_json::to_vec(self).expect("text serialises");
        (key(&self.id), Some(value.into()))
    }
}

fn key(id: &str) -> Bytes {
    Bytes::from(format!("{PREFIX}{id}"))
}

/// The list of an operator: everything set aside, oldest first.
pub async fn list(journal: &Arc<dyn Journal>) -> journal::Result<Vec<Aside>> {
    let stored = journal.state(GROUP, PREFIX.as_bytes()).await?;
    Ok(stored.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect())
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Sent to `ingest` again.
    pub sent: usize,
    /// Left where they are, because not all of their bytes were kept.
    pub kept: usize,
}

/// Sends records to `ingest` again and removes them from the list, in one transaction. An empty `ids` means all.
pub async fn replay(journal: &Arc<dyn Journal>, ids: &[String]) -> journal::Result<Replayed> {
    let mut done = Replayed::default();
    for chunk in list(journal).await?.chunks(500) {
        let mut commit = Commit { group: GROUP.to_owned(), ..Commit::default() };
        for aside in chunk.iter().filter(|a| ids.is_empty() || ids.contains(&a.id)) {
            if !aside.whole {
                done.kept += 1;
                continue;
            }
            commit.entries.push(Entry::new(Stream::Ingest, aside.source.clone(), aside.text.clone()));
            commit.state.push((key(&aside.id), None));
            done.sent += 1;
        }
        if !commit.state.is_empty() {
            journal.append_and_commit(commit).await?;
        }
    }
    Ok(done)
}

/// Removes records from the list for good. Returns how many there were of `ids`.
pub async fn drop_all(journal: &Arc<dyn Journal>, ids: &[String]) -> journal::Result<usize> {
    let there: Vec<_> = list(journal).await?.into_iter().filter(|a| ids.is_empty() || ids.contains(&a.id)).collect();
    let state = there.iter().map(|a| (key(&a.id), None)).collect();
    journal.append_and_commit(Commit { group: GROUP.to_owned(), state, ..Commit::default() }).await?;
    Ok(there.len())
}
