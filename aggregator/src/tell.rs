//! What is told on the journal: frames for `views` and `records`.

use std::collections::BTreeMap;

use bytes::Bytes;
use journal::{Entry, Stream};
use model::Time;
use stats::RowKey;
use store::frame::{self, Body, FOLD_VIEW, Fold, Frame, PartialRow, RING_MS, Version};

use crate::shard::{Shard, Snapshot};

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
            self.waiting.insert(key(shard, &view), value);
        }
        for row in news.rows.into_iter().filter(|row| at - row.start < RING_MS) {
            let view = frame::row_view(&row);
            let body = Body::Row(partial(shard, row));
            self.waiting.insert(key(shard, &view), frame(shard, at, body).to_json().into());
        }
    }

    /// Adds the partition's own frame: how far it is.
    pub(crate) fn add_fold(&mut self, shard: &Shard, at: Time, owner: &str) {
        let end = shard.end.max(shard.next);
        let fold =
            Fold { part: shard.part().to_string(), owner: owner.to_owned(), next: shard.next, end, complete: true };
        self.waiting.insert(key(shard, FOLD_VIEW), frame(shard, at, Body::Fold(fold)).to_json().into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The frames as entries; they stay here until [`Self::written`]. A partition's own frame comes last, so that what
    /// it calls complete is.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entry =
            |(key, value): (&Bytes, &Bytes)| Entry { stream: Stream::Views, key: key.clone(), value: value.clone() };
        let own = |key: &&Bytes| key.starts_with(FOLD_VIEW.as_bytes());
        let others = self.waiting.iter().filter(|(key, _)| !own(key));
        others.chain(self.waiting.iter().filter(|(key, _)| own(key))).map(entry).collect()
    }

    pub(crate) fn written(&mut self) {
        self.waiting.clear();
    }

    /// Forgets what a partition wanted to tell that is no longer ours.
    pub(crate) fn drop_part(&mut self, part: &store::Part) {
        let suffix = format!("@{part}");
        self.waiting.retain(|key, _| !key.ends_with(suffix.as_bytes()));
    }
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
    entries
}
