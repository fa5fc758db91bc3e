//! The stream `health`, followed: the console affirms there that its plans still hold. Everything else that stands there is passed over.

use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, Record, Stream};
use model::control::{Envelope, Event, Parsed};
use policy::plan::Applied;
use service::health::Check;
use service::{Clock, Drain};

use crate::follow::Reader;
use crate::gate::Gate;
use crate::sharing::Kept;

/// Records and bytes of one read.
const READ: (usize, usize) = (1_000, 4 << 20);
/// How often the loop turns when nothing comes.
const IDLE: Duration = Duration::from_secs(1);

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
            let mut any = false;
            for (partition, next) in next.iter_mut().enumerate() {
                match journal.read(stream, partition as u32, *next, READ.0, READ.1).await {
                    Ok(batch) => {
                        batch.records.iter().for_each(|record| self.take(record));
                        any |= batch.next > *next;
                        *next = batch.next;
                        health.ok();
                    }
                    Err(journal::Error::Truncated { earliest, .. }) => *next = earliest,
                    Err(journal::Error::Damaged { offset, .. }) => *next = offset + 1,
                    Err(error) => reader.put_off(&error).await,
                }
            }
            if !any {
                reader.wait_for_any(&next, IDLE).await;
            }
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
