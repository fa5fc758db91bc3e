//! What is told on the journal: frames for `views` and `records`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use journal::{Commit, Entry, Generation, Stream};
use model::Time;
use stats::RowKey;
use store::Part;
use store::frame::{self, Body, DETAILS_VIEW, FOLD_VIEW, Fold, Frame, PartialRow, RING_MS};

use crate::GROUP;
use crate::shard::{Scope, Shard, Snapshot};

/// The most entries of one append.
const PORTION_ENTRIES: usize = 4_000;
/// The most bytes of one append, unless it is a single entry.
const PORTION_BYTES: usize = 8 << 20;
/// The largest key and value that a journal takes.
const ENTRY_BYTES_MAX: (usize, usize) = (1 << 10, 8 << 20);

/// Frames of `views` that wait to be written: the latest of each key, so that waiting costs no memory without end.
pub(crate) struct Outbox {
    /// How long rows may wait to be told, in milliseconds.
    rows_every_ms: i64,
    waiting: BTreeMap<Bytes, Bytes>,
    /// Partitions of which it was said that their details are older.
    details_told: BTreeSet<Part>,
}

impl Outbox {
    pub(crate) fn new(rows_every_ms: i64) -> Self {
        Self { rows_every_ms, waiting: BTreeMap::new(), details_told: BTreeSet::new() }
    }

    /// Adds a partition's news of this scope. Rows older than the ring are left to the store.
    pub(crate) fn add(&mut self, shard: &mut Shard, at: Time, scope: Scope) {
        let news = shard.take_news(scope);
        for (view, value) in news.views {
            let value = value.map_or_else(Bytes::new, |view| frame(shard, at, Body::View(view)).to_json().into());
            self.put(key(shard, &view), value);
        }
        for row in news.rows.into_iter().filter(|row| at - row.start < RING_MS) {
            let view = frame::row_view(&row);
            let body = Body::Row(partial(shard, row));
            self.put(key(shard, &view), frame(shard, at, body).to_json().into());
        }
    }

    /// Adds the partition's own frame: how far it is. `now`: rows that are still to be told are as old as the last that were.
    pub(crate) fn add_fold(&mut self, shard: &Shard, now: Time, owner: &str) {
        let (part, owner, next, end) = (shard.part().to_string(), owner.to_owned(), shard.next, shard.end());
        let fold = Fold { part, owner, next, end, complete: true };
        let frame = |at| frame(shard, at, Body::Fold(fold.clone())).to_json().into();
        let rows_at = if shard.has_rows() { now + -self.rows_every_ms } else { now };
        self.put(key(shard, FOLD_VIEW), frame(shard.current_at().min(rows_at)));
        // Said only while it differs; afterwards taken back.
        match shard.details_held_since {
            Some(since) => self.put(key(shard, DETAILS_VIEW), frame(since)),
            None if self.details_told.contains(shard.part()) => self.put(key(shard, DETAILS_VIEW), Bytes::new()),
            None => return,
        }
        if shard.details_held_since.is_some() {
            self.details_told.insert(shard.part().clone());
        } else {
            self.details_told.remove(shard.part());
        }
    }

    fn put(&mut self, key: Bytes, value: Bytes) {
        if fits(&key, &value) {
            self.waiting.insert(key, value);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes frames to write next, a bounded number of them. A partition's own frame comes after all others, so that what it
    /// calls complete is.
    pub(crate) fn take_portion(&mut self) -> Vec<Entry> {
        let own = |key: &&Bytes| key.starts_with(FOLD_VIEW.as_bytes()) || key.starts_with(DETAILS_VIEW.as_bytes());
        let others = self.waiting.iter().filter(|(key, _)| !own(key));
        let all = others.chain(self.waiting.iter().filter(|(key, _)| own(key)));
        let mut bytes = 0;
        let entries: Vec<Entry> = all
            .take(PORTION_ENTRIES)
            .map(|(key, value)| Entry { stream: Stream::Views, key: key.clone(), value: value.clone() })
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += size(entry);
                first || bytes <= PORTION_BYTES
            })
            .collect();
        if entries.len() == self.waiting.len() {
            self.waiting.clear();
        } else {
            entries.iter().for_each(|entry| _ = self.waiting.remove(&entry.key));
        }
        entries
    }

    /// Takes back what could not be written. Of a key that has something newer to tell by now, that stays.
    pub(crate) fn put_back(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.waiting.entry(entry.key).or_insert(entry.value);
        }
    }

    /// Forgets what a partition wanted to tell that is no longer ours.
    pub(crate) fn drop_part(&mut self, part: &Part) {
        self.details_told.remove(part);
        let suffix = format!("@{part}");
        self.waiting.retain(|key, _| !key.ends_with(suffix.as_bytes()));
    }
}

fn size(entry: &Entry) -> usize {
    entry.key.len() + entry.value.len()
}

/// Whether a journal takes it. What is larger is not told, and that is said: it is in the store all the same.
fn fits(key: &[u8], value: &[u8]) -> bool {
    let fits = key.len() <= ENTRY_BYTES_MAX.0 && value.len() <= ENTRY_BYTES_MAX.1;
    if !fits {
        let name = String::from_utf8_lossy(&key[..key.len().min(80)]);
        tracing::warn!(%name, key = key.len(), value = value.len(), "too large to be told");
    }
    fits
}

/// How many of these entries make one append: at least one.
pub(crate) fn portion(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let within = entries.iter().take(PORTION_ENTRIES).take_while(|entry| {
        bytes += size(entry);
        bytes <= PORTION_BYTES
    });
    within.count().max(1).min(entries.len())
}

fn key(shard: &Shard, view: &str) -> Bytes {
    frame::key(view, shard.part()).into()
}

fn frame(shard: &Shard, at: Time, body: Body) -> Frame {
    Frame { version: shard.version(), as_of: shard.as_of, at, body }
}

fn partial(shard: &Shard, key: RowKey) -> PartialRow {
    let row = shard.row(&key);
    PartialRow { key, part: shard.part().to_string(), row }
}

/// What a snapshot has to tell on `records`: closed calls and restated rows. Taken out of the snapshot.
pub(crate) fn records(shard: &Shard, snapshot: &mut Snapshot, at: Time) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(snapshot.closed.len() + snapshot.restated.len());
    for (id, record) in snapshot.closed.drain(..) {
        let value = frame(shard, at, Body::Call(record)).to_json();
        entries.push(Entry::new(Stream::Records, id.as_str().to_owned(), value));
    }
    for (key, row) in snapshot.restated.drain(..) {
        let name = frame::row_view(&key);
        let body = Body::Row(PartialRow { key, part: shard.part().to_string(), row });
        entries.push(Entry::new(Stream::Records, name, frame(shard, at, body).to_json()));
    }
    entries.retain(|entry| fits(&entry.key, &entry.value));
    entries
}

/// An append of one who may have lost its partitions meanwhile: then it is refused. What somebody says who was stopped and woke up
/// later would take the place of what its heir has said. Membership is proof enough: a partition goes from a member that stays
/// only when that member gave it back, and forgot what it had to say of it. No positions: the disk need not be waited for.
pub(crate) fn ours(entries: Vec<Entry>, holder: Generation) -> Commit {
    Commit { entries, group: GROUP.to_owned(), fence: Some(holder), ..Commit::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::memory::Memory;
    use journal::{Journal, Subscription};
    use service::Clock;

    #[tokio::test]
    async fn who_lost_its_place_can_tell_nothing_any_more() {
        let journal = Memory::new(journal::Topology::uniform(1), Clock::manual(0));
        let join = || journal.subscribe(Subscription::new(GROUP, "a", Stream::EVENTS));
        let frame = || vec![Entry::new(Stream::Views, "queue/default/sales@events.call/0", "{}")];
        let stopped = join().await.unwrap();
        journal.append_and_commit(ours(frame(), stopped.generation())).await.unwrap();
        let heir = join().await.unwrap();
        let refused = journal.append_and_commit(ours(frame(), stopped.generation())).await.unwrap_err();
        assert!(matches!(refused, journal::Error::Fenced { .. }), "{refused}");
        journal.append_and_commit(ours(frame(), heir.generation())).await.unwrap();
        assert_eq!(journal.end(Stream::Views, 0).await.unwrap(), 2);
        assert!(heir.generation().number > stopped.generation().number, "the heir's views are the newer ones");
    }
}
