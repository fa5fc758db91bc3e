//! The stream `control`, followed: each decision of the console and of persons is folded into the gate's memory as it comes.

use std::sync::Arc;

use journal::{Journal, Record, Stream};
use model::control::{Envelope, Parsed};
use policy::plan::{Applied, Table};
use service::health::{Check, Pulse};
use service::{Clock, Drain, metric};

use crate::follow::{IDLE, READ, Reader};
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
    pub(crate) pulse: Pulse,
}

impl Follow {
    /// Follows until the drain.
    pub(crate) async fn run(self) {
        metric::describe_counter("cti_control_malformed_total", "records of the stream control that could not be read");
        let malformed = metric::counter("cti_control_malformed_total", &[]);
        let (journal, stream) = (&*self.journal, Stream::Control);
        let (clock, drain, health) = (&self.clock, &self.drain, &self.health);
        let reader = Reader { journal, stream, clock, drain, health };
        let mut next = reader.beginning().await;
        // Decisions hold when all of them are read: what was ordered once and taken back since never holds in between.
        let mut unread = Some(Table::default());
        while !drain.is_started() {
            self.pulse.beat();
            let (mut any, mut failed, mut whole) = (false, false, true);
            for (partition, next) in next.iter_mut().enumerate() {
                match journal.read(stream, partition as u32, *next, READ.0, READ.1).await {
                    Ok(batch) => {
                        let unread = batch.records.iter().filter(|record| !self.take(record, &mut unread)).count();
                        malformed.increment(unread as u64);
                        any |= batch.next > *next;
                        *next = batch.next;
                        health.ok();
                    }
                    Err(journal::Error::Truncated { earliest, .. }) => (*next, whole) = (earliest, false),
                    Err(journal::Error::Damaged { offset, .. }) => {
                        tracing::warn!(offset, "a decision on the stream control is damaged; it is stepped over");
                        (*next, whole) = (offset + 1, false);
                    }
                    Err(error) => {
                        (failed, whole) = (true, false);
                        reader.put_off(&error).await;
                    }
                }
            }
            if !any && !failed {
                if let Some(table) = unread.take() {
                    self.gate.read(table);
                }
                self.kept.read_to(next.first().copied().unwrap_or(0));
            }
            if !any {
                if whole && !next.is_empty() {
                    self.gate.caught_up();
                }
                reader.wait_for_any(&next, IDLE).await;
            }
        }
    }

    /// Folds one record; whether it could be read. A type that is not known passes.
    fn take(&self, record: &Record, unread: &mut Option<Table>) -> bool {
        match Envelope::parse(&record.value) {
            Ok(Parsed::Known(envelope)) => {
                let applied = match unread {
                    Some(table) => table.apply(&envelope),
                    None => self.gate.hear(&envelope),
                };
                if applied == Applied::Changed {
                    self.kept.note(&envelope, &record.value, record.offset);
                }
                true
            }
            Ok(Parsed::Unknown(_)) => true,
            Err(error) => {
                tracing::warn!(%error, "a record of the stream control cannot be read; it is left out");
                false
            }
        }
    }
}
