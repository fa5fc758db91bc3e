//! The stream `control`, followed: each decision of the console and of persons is folded into the gate's memory as it comes.

use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, Stream};
use model::control::{Envelope, Parsed};
use service::health::{Check, Pulse};
use service::{Clock, Drain, metric};

use crate::follow::{next_of, put_off, wait_for_any};
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
    ///
    /// # Errors
    /// When the journal is closed or broken for good.
    pub(crate) async fn run(self) -> journal::Result<()> {
        metric::describe_counter("cti_control_malformed_total", "records of the stream control that could not be read");
        let malformed = metric::counter("cti_control_malformed_total", &[]);
        let mut next = next_of(&*self.journal, Stream::Control).await?;
        while !self.drain.is_started() {
            self.pulse.beat();
            let mut any = false;
            for partition in 0..next.len() {
                match self.journal.read(Stream::Control, partition as u32, next[partition], READ.0, READ.1).await {
                    Ok(batch) => {
                        for record in &batch.records {
                            if !self.take(&record.value) {
                                malformed.increment(1);
                            }
                        }
                        any |= batch.next > next[partition];
                        next[partition] = batch.next;
                        self.health.ok();
                    }
                    Err(journal::Error::Truncated { earliest, .. }) => next[partition] = earliest,
                    Err(journal::Error::Damaged { offset, .. }) => {
                        tracing::warn!(offset, "a decision on the stream control is damaged; it is stepped over");
                        next[partition] = offset + 1;
                    }
                    Err(error) => {
                        self.health.degraded(error.to_string());
                        put_off(error, &self.clock, &self.drain).await?;
                    }
                }
            }
            if !any {
                wait_for_any(&*self.journal, Stream::Control, &next, IDLE, &self.clock, &self.drain).await?;
            }
        }
        Ok(())
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
