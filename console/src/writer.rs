//! Writes what persons decide to `control`, and answers when it was read back: only then is it known whether it took effect.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use journal::{Entry, Journal, Stream};
use model::control::{By, Envelope, Event};
use model::{EventId, SourceId, TenantId, Time};
use policy::plan::Applied;
use rand::RngCore;
use service::{Clock, Rng, Seeds};

use crate::book::{Books, Change};

/// How long to wait for our own record.
const READ_BACK: Duration = Duration::from_secs(10);

/// Why something was not decided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal did not take it.
    #[error("the decision was not written")]
    Journal(#[from] journal::Error),
    /// It is written, and nobody knows yet whether it took effect.
    #[error("the decision is written, but was not read back within {} s", READ_BACK.as_secs())]
    Unread,
}

/// Writes decisions of persons. A cheap handle.
#[derive(Clone)]
pub struct Writer {
    journal: Arc<dyn Journal>,
    books: Books,
    source: SourceId,
    clock: Clock,
    chance: Arc<Mutex<Rng>>,
}

impl Writer {
    /// A writer of the instance `source`.
    pub fn new(journal: Arc<dyn Journal>, books: Books, source: &str, clock: Clock, seeds: &Seeds) -> Writer {
        let chance = Arc::new(Mutex::new(seeds.stream("event ids")));
        Writer { journal, books, source: source.into(), clock, chance }
    }

    /// A name that nothing else has: an instance that starts anew with the same seed does so at another time.
    pub fn unique(&self, what: &str) -> String {
        let mut bytes = [0; 16];
        self.chance.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        EventId::from_parts(&self.source, what, "control", self.clock.now_ms(), &hex::encode(bytes)).to_string()
    }

    /// Writes, and answers what became of it.
    ///
    /// # Errors
    /// When it was not written, or not read back.
    pub async fn write(
        &self,
        tenant: &TenantId,
        by: By,
        why: String,
        cause_id: Option<EventId>,
        event: Event,
    ) -> Result<Change, Error> {
        let (id, time) = (EventId::new(self.unique(event.ty())), Time(self.clock.now_ms()));
        let source = self.source.clone();
        let envelope = Envelope { id: id.clone(), source, time, tenant: tenant.clone(), by, why, cause_id, event };
        let entry = Entry::new(Stream::Control, tenant.as_str().to_owned(), envelope.to_json());
        let written = self.journal.append(vec![entry]).await?;
        let offset = written.first().map_or(0, |position| position.offset);
        if !self.books.until(offset + 1, &self.clock, READ_BACK).await {
            return Err(Error::Unread);
        }
        let change = self.books.look().change(&id).cloned();
        change.filter(|change| change.offset == offset).ok_or(Error::Unread)
    }

    /// Whether a change took effect.
    pub fn held(change: &Change) -> bool {
        change.applied == Applied::Changed
    }
}
