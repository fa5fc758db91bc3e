//! The stream `control`, followed: each decision of the console and of persons is folded into the gate's memory as it comes.

use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, Stream};
use model::control::{Envelope, Parsed};
use service::health::{Check, Pulse};
use service::{Clock, Drain, metric};

use crate::follow::Reader;
use crate::gate::Gate;

/// Records and bytes of one read.
const READ: (usize, usize) = (1_000, 4 << 20);
/// How often the loop turns when nothing comes.
const IDLE: Duration = Duration::from_secs(1);

/// What it works with.
pub(crate) struct Follow {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) gate: Arc<Gate>,
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
        while !drain.is_started() {
            self.pulse.beat();
            let (mut any, mut whole) = (false, true);
            for (partition, next) in next.iter_mut().enumerate() {
                match journal.read(stream, partition as u32, *next, READ.0, READ.1).await {
                    Ok(batch) => {
                        let unread = batch.records.iter().filter(|record| !self.take(&record.value)).count();
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
                        whole = false;
                        reader.put_off(&error).await;
                    }
                }
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
    fn take(&self, value: &[u8]) -> bool {
        match Envelope::parse(value) {
            Ok(Parsed::Known(envelope)) => {
                self.gate.hear(&envelope);
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
