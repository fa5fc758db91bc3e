//! What is told on the journal: frames for `views` and `records`.

use std::collections::BTreeMap;

use bytes::Bytes;
use journal::{Entry, Stream};
use model::Time;
use stats::RowKey;
use store::frame::{self, Body, FOLD_VIEW, Fold, Frame, PartialRow, RING_MS, Version};

use crate::shard::{Shard, Snapshot};

/// The most entries of one append.
const PORTION_ENTRIES: usize = 4_000;
/// The most bytes of one append, unless it is a single entry.
const PORTION_BYTES: usize = 8 << 20;
/// The largest key and value that a journal takes.
const ENTRY_BYTES_MAX: (usize, usize) = (1 << 10, 8 << 20);

/// Frames of `views` that wait to be written: the latest of each key, so that waiting costs no memory without end.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: BTreeMap<Bytes, Bytes>,
}

impl Outbox {
    /// Adds a partition's news. Rows older than the ring are left to the store.
    pub(crate) fn add(&mut self, shard: &mut Shard, at: Time) {
        let news = shard.take_news();
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

    /// Adds the partition's own frame: how far it is.
    pub(crate) fn add_fold(&mut self, shard: &Shard, at: Time, owner: &str) {
        let end = shard.end.max(shard.next);
        let fold =
            Fold { part: shard.part().to_string(), owner: owner.to_owned(), next: shard.next, end, complete: true };
        self.put(key(shard, FOLD_VIEW), frame(shard, at, Body::Fold(fold)).to_json().into());
    }

    fn put(&mut self, key: Bytes, value: Bytes) {
        if fits(&key, &value) {
            self.waiting.insert(key, value);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Frames to write next, a bounded number of them; they stay here until [`Self::written`]. A partition's own frame
    /// comes after all others, so that what it calls complete is.
    pub(crate) fn portion(&self) -> Vec<Entry> {
        let own = |key: &&Bytes| key.starts_with(FOLD_VIEW.as_bytes());
        let others = self.waiting.iter().filter(|(key, _)| !own(key));
        let all = others.chain(self.waiting.iter().filter(|(key, _)| own(key)));
        let mut bytes = 0;
        all.take(PORTION_ENTRIES)
            .map(|(key, value)| Entry { stream: Stream::Views, key: key.clone(), value: value.clone() })
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += size(entry);
                first || bytes <= PORTION_BYTES
            })
            .collect()
    }

    pub(crate) fn written(&mut self, keys: impl Iterator<Item = Bytes>) {
        for key in keys {
            self.waiting.remove(&key);
        }
    }

    /// Forgets what a partition wanted to tell that is no longer ours.
    pub(crate) fn drop_part(&mut self, part: &store::Part) {
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
    let version = Version { epoch: shard.held.fence, number: shard.next };
    Frame { version, as_of: shard.as_of, at, body }
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
