//! Admission without the stream `ingest`: what is handed over is decided on at once, and written to `events.*`.
//!
//! `ingest` is there so that whoever saw a fact need not wait for whoever decides on it. A recording waits: it lies on
//! disk already, and importing it again adds only what is missing. So an import spares the stream: half of what would be
//! written, and reading it again. The decisions, the windows of seen ids and the list of what is set aside are the same.

use std::sync::Arc;

use bytes::Bytes;
use journal::{Entry, Journal};
use model::{Directory, Envelope, SourceId};
use service::Clock;
use tokio::sync::Mutex;

use crate::admit::Rules;
use crate::work::{LATE_AFTER_MS, Outcome, Worker, number_key};

/// An event that is in no stream yet.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are events: a box would cost each of them an allocation")]
pub enum Unwritten {
    /// An event of ours.
    Event(Envelope),
    /// The JSON of one, and its source.
    Verbatim(SourceId, Bytes),
}

impl Unwritten {
    pub(crate) fn source(&self) -> &SourceId {
        match self {
            Unwritten::Event(envelope) => &envelope.source,
            Unwritten::Verbatim(source, _) => source,
        }
    }
}

/// What is handed over at once.
#[derive(Debug, Default)]
pub struct Handed {
    /// Events, in order.
    pub events: Vec<Unwritten>,
    /// What is written beside them as it is.
    pub others: Vec<Entry>,
}

/// The only receiver of a journal, for as long as it lives.
pub struct Direct {
    worker: Mutex<Worker>,
}

impl Direct {
    /// Decides on what waits in `ingest`, and then on what is handed over. `None`: another receiver works on the same
    /// journal; use [`catch_up`](crate::catch_up) beside it.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn open(
        journal: &Arc<dyn Journal>,
        directory: Directory,
        clock: Clock,
    ) -> journal::Result<Option<Direct>> {
        let rules = Rules { directory, number_key: number_key(journal).await?, late_after_ms: LATE_AFTER_MS };
        let mut worker = Worker::join(Arc::clone(journal), "import", rules, clock, 4_000).await?;
        if worker.clear().await? {
            return Ok(Some(Direct { worker: Mutex::new(worker) }));
        }
        worker.leave().await?;
        Ok(None)
    }

    /// Decides on these. When it answers, the disk has what came of it, all or nothing.
    ///
    /// # Errors
    /// Those of the journal; `Fenced` when another receiver has taken over meanwhile.
    pub async fn take(&self, handed: Handed) -> journal::Result<()> {
        self.worker.lock().await.take(handed).await
    }

    /// Gives the place free.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn close(self) -> journal::Result<Outcome> {
        let worker = self.worker.into_inner();
        let outcome = Outcome { aside: worker.aside() };
        worker.leave().await?;
        Ok(outcome)
    }
}
