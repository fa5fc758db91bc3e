//! The stream `health`, followed: the console affirms there that its plans still hold. Everything else that stands there is passed over.

use std::sync::Arc;

use journal::{Journal, Record, Stream};
use model::control::{Envelope, Event, Parsed};
use policy::plan::Applied;
use service::health::Check;
use service::{Clock, Drain};

use crate::follow::Reader;
use crate::gate::Gate;
use crate::sharing::Kept;

/// What it works with.
pub(crate) struct Follow {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) gate: Arc<Gate>,
    /// For other gates.
    pub(crate) kept: Kept,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
    pub(crate) health: Check,
}

impl Follow {
    /// Follows from now on, until the drain: what was affirmed before is affirmed again, or no longer true.
    pub(crate) async fn run(self) {
        let (journal, stream) = (&*self.journal, Stream::Health);
        let (clock, drain, health) = (&self.clock, &self.drain, &self.health);
        let reader = Reader { journal, stream, clock, drain, health };
        let mut next = reader.end().await;
        while !drain.is_started() {
            reader.more(&mut next).await.iter().for_each(|record| self.take(record));
        }
    }

    fn take(&self, record: &Record) {
        if let Ok(Parsed::Known(envelope)) = Envelope::parse(&record.value)
            && matches!(envelope.event, Event::PlanAffirmed(_))
            && self.gate.hear(&envelope) == Applied::Changed
        {
            self.kept.note(&envelope, &record.value, record.offset);
        }
    }
}
