//! Where the facts of an import go.

use std::sync::Arc;

use adapter::Intake;
use adapter::intake::Handover;
use async_trait::async_trait;
use bytes::Bytes;
use journal::{Commit, Journal};
use model::Directory;
use receiver::{Handed, Outcome, Unwritten};
use service::{Clock, Result};

use crate::data::journal_failed;

/// How the facts of an import reach the receiver.
pub(crate) enum Front {
    /// At once: what is as fast as it can be need not lie in `ingest` before it is decided on.
    Direct(Arc<Direct>),
    /// Through `ingest`, as live facts do.
    Ingest(Directory),
}

impl Front {
    /// `paced`: the recording is played like a live source. So it is also when another receiver works on the journal.
    pub(crate) async fn open(
        journal: &Arc<dyn Journal>,
        directory: Directory,
        clock: &Clock,
        paced: bool,
    ) -> Result<Front> {
        if paced {
            return Ok(Front::Ingest(directory));
        }
        let receiver = receiver::Direct::open(journal, directory.clone(), clock.clone()).await;
        Ok(match receiver.map_err(|e| journal_failed(&e))? {
            Some(receiver) => Front::Direct(Arc::new(Direct { journal: Arc::clone(journal), receiver })),
            None => Front::Ingest(directory),
        })
    }
}

/// The receiver as an intake.
pub(crate) struct Direct {
    journal: Arc<dyn Journal>,
    receiver: receiver::Direct,
}

impl Direct {
    pub(crate) async fn close(self) -> journal::Result<Outcome> {
        self.receiver.close().await
    }
}

#[async_trait]
impl Intake for Direct {
    async fn state(&self, group: &str) -> journal::Result<Vec<(Bytes, Bytes)>> {
        self.journal.state(group, b"").await
    }

    async fn hand_over(&self, mut handover: Handover) -> journal::Result<()> {
        let others = handover.take_raw().collect();
        let verbatim = handover.verbatim.into_iter().map(|e| Unwritten::Verbatim(e.source, e.bytes));
        let events: Vec<_> = handover.envelopes.into_iter().map(Unwritten::Event).chain(verbatim).collect();
        self.receiver.take(Handed { events, others }).await?;
        if handover.state.is_empty() {
            return Ok(());
        }
        let (group, state) = (handover.group, handover.state);
        self.journal.append_and_commit(Commit { group, state, ..Commit::default() }).await.map(|_| ())
    }
}
