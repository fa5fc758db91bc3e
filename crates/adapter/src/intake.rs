//! Where the facts of a source go: the journal's stream `ingest`, or a receiver of the same process.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use journal::{Commit, Entry, Journal, Stream};
use model::{Envelope, SourceId};

use crate::chunks::{self, Chunk};
use crate::contract::Verbatim;

/// What a source hands over at once.
#[derive(Clone, Debug)]
pub struct Handover {
    /// Whose `state` this is.
    pub group: String,
    /// The source.
    pub source: SourceId,
    /// What happened, in the vendor's order.
    pub envelopes: Vec<Envelope>,
    /// Envelopes of a recording, as the bytes they are.
    pub verbatim: Vec<Verbatim>,
    /// Vendor frames for the stream `raw`.
    pub raw: Vec<Bytes>,
    /// Changes of the adapter's own state; `None` deletes.
    pub state: Vec<(Bytes, Option<Bytes>)>,
}

/// Takes facts, durably.
///
/// # The contract
///
/// When [`hand_over`](Intake::hand_over) answers, the disk has all of it, in the order given. After a crash or an error
/// in between, any part of the facts may be there, but the state only with all of them: handing over again repeats
/// facts, which have the same ids, and loses none.
#[async_trait]
pub trait Intake: Send + Sync {
    /// What earlier handovers of this group stored.
    async fn state(&self, group: &str) -> journal::Result<Vec<(Bytes, Bytes)>>;

    /// Makes it durable.
    async fn hand_over(&self, handover: Handover) -> journal::Result<()>;
}

/// The stream `ingest` of a journal: facts wait there for a receiver, of this process or another.
pub struct Ingest(pub Arc<dyn Journal>);

impl Handover {
    /// The records of the stream `raw`.
    pub fn take_raw(&mut self) -> impl Iterator<Item = Entry> + use<> {
        let key = Bytes::copy_from_slice(self.source.as_str().as_bytes());
        std::mem::take(&mut self.raw).into_iter().map(move |frame| Entry::new(Stream::Raw, key.clone(), frame))
    }

    /// Whether there is nothing to hand over.
    pub(crate) fn is_empty(&self) -> bool {
        self.envelopes.is_empty() && self.verbatim.is_empty() && self.raw.is_empty() && self.state.is_empty()
    }

    /// All of it as records and state, in pieces that the journal takes.
    pub(crate) fn cut(mut self) -> Vec<Chunk> {
        let mut entries = Vec::with_capacity(self.envelopes.len());
        for envelope in std::mem::take(&mut self.envelopes) {
            let key = Bytes::copy_from_slice(envelope.source.as_str().as_bytes());
            entries.push(Entry::new(Stream::Ingest, key, envelope.to_json()));
        }
        for envelope in std::mem::take(&mut self.verbatim) {
            let key = Bytes::copy_from_slice(envelope.source.as_str().as_bytes());
            entries.push(Entry::new(Stream::Ingest, key, envelope.bytes));
        }
        entries.extend(self.take_raw());
        // What the journal would refuse is said and left out: it must not stop the source for ever.
        entries.retain(|entry| kept("a record", &entry.key, entry.value.len()));
        self.state
            .retain(|(key, value)| kept("a piece of the adapter's state", key, value.as_ref().map_or(0, Bytes::len)));
        chunks::cut(entries, self.state)
    }
}

#[async_trait]
impl Intake for Ingest {
    async fn state(&self, group: &str) -> journal::Result<Vec<(Bytes, Bytes)>> {
        self.0.state(group, b"").await
    }

    async fn hand_over(&self, handover: Handover) -> journal::Result<()> {
        let group = handover.group.clone();
        for chunk in handover.cut() {
            let commit =
                Commit { entries: chunk.entries, group: group.clone(), state: chunk.state, ..Commit::default() };
            self.0.append_and_commit(commit).await?;
        }
        Ok(())
    }
}

fn kept(what: &str, key: &[u8], bytes: usize) -> bool {
    let fits = chunks::fits(key, bytes);
    if !fits {
        let key = String::from_utf8_lossy(&key[..key.len().min(80)]);
        tracing::warn!(%key, bytes, "{what} is too large for the journal and was left out");
    }
    fits
}
