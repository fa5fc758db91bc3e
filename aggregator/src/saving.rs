//! Writing checkpoints beside the fold: one at a time, repeated until it is written or refused.

use std::sync::Arc;

use journal::{Entry, Generation, Journal};
use service::config::Millis;
use service::retry::{Backoff, Policy};
use service::{Context, Tasks};
use store::Reports;
use store::reports::Change;
use tokio::sync::oneshot;

use crate::telemetry::Telemetry;
use crate::{Error, Result, tell};

/// Attempts after the drain has started.
const LAST_ATTEMPTS: u32 = 3;
/// Between attempts to write a checkpoint: what is needed may be back at any moment, and figures wait for it.
const AGAIN: Policy = Policy { first: Millis::new(250), max: Millis::seconds(3), stable_after: Millis::seconds(30) };

/// Writes checkpoints.
#[derive(Clone)]
pub(crate) struct Saver {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) store: Arc<dyn Reports>,
    pub(crate) context: Context,
    pub(crate) telemetry: Telemetry,
}

/// A checkpoint that is being written.
pub(crate) struct Saving(oneshot::Receiver<Result<()>>);

impl Saving {
    /// Resolves when it was written or refused. Dropping the future loses nothing.
    pub(crate) async fn done(&mut self) -> Result<()> {
        match (&mut self.0).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Task("checkpoint".to_owned())),
        }
    }
}

impl Saver {
    /// Begins to write.
    pub(crate) fn begin(
        &self,
        tasks: &Tasks,
        changes: Vec<Change>,
        told: Vec<Entry>,
        holder: Generation,
    ) -> Result<Saving> {
        let (tell, done) = oneshot::channel();
        let saver = self.clone();
        let work = async move {
            let _ = tell.send(saver.save(&changes, told, holder).await); // nobody listens when the owner has gone
        };
        tasks.spawn("checkpoint", work).map_err(|full| Error::Task(full.to_string()))?;
        Ok(Saving(done))
    }

    /// Writes: first what is told on `records`, then the checkpoint. After a crash in between it is told twice, but
    /// never not at all.
    async fn save(&self, changes: &[Change], mut told: Vec<Entry>, holder: Generation) -> Result<()> {
        let check = self.context.health.check("store");
        let clock = &self.context.clock;
        let mut backoff = Backoff::new(AGAIN, self.context.seeds.stream("checkpoint"), clock.clone());
        let begin = clock.monotonic();
        loop {
            let outcome = self.attempt(changes, &mut told, holder).await;
            let error = match outcome {
                Ok(()) => {
                    check.ok();
                    self.telemetry.checkpoints.record((clock.monotonic() - begin).as_secs_f64());
                    return Ok(());
                }
                Err(error) => error,
            };
            let last = self.context.drain.is_started() && backoff.failures() >= LAST_ATTEMPTS;
            if error.is_fenced() || !error.is_transient() || last {
                return Err(error);
            }
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "checkpoint not written, trying again");
            check.degraded(format!("the checkpoint is not written: {error}"));
            backoff.wait().await;
        }
    }

    async fn attempt(&self, changes: &[Change], told: &mut Vec<Entry>, holder: Generation) -> Result<()> {
        while !told.is_empty() {
            let some = tell::portion(told);
            self.journal.append_and_commit(tell::ours(told[..some].to_vec(), holder)).await?;
            self.telemetry.told(some);
            told.drain(..some);
        }
        Ok(self.store.checkpoint(changes).await?)
    }
}
