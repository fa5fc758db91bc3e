//! The live views, followed: who waits and who is free, as soon as the aggregator says so, and not only as often as the console speaks.
//!
//! Every gate reads all of `views`, without a group: nothing is shared with other gates, and nothing is committed.

mod queues;

use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, Stream};
use service::health::{Check, Pulse};
use service::{Clock, Drain, metric};

use crate::follow::{next_of, wait_for_any};
use crate::gate::Gate;
pub use queues::Now;
use queues::Queues;

/// Records and bytes of one read.
const READ: (usize, usize) = (2_000, 4 << 20);
/// The shortest time between two pictures of all queues.
const TICK: Duration = Duration::from_millis(200);
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
        metric::describe_counter("cti_views_malformed_total", "records of the stream views that could not be read");
        let mut next = next_of(&*self.journal, Stream::Views).await?;
        let mut queues = Queues::default();
        let mut painted = None;
        while !self.drain.is_started() {
            self.pulse.beat();
            let read = self.read(&mut next, &mut queues).await?;
            let now = self.clock.monotonic();
            if painted.is_none_or(|at| now.saturating_sub(at) >= TICK) {
                painted = Some(now);
                let figures = queues.now();
                match figures.is_empty() {
                    true => self.health.degraded("no figures have come yet: is the aggregator running?"),
                    false => self.health.ok(),
                }
                self.gate.see(figures);
                metric::counter("cti_views_malformed_total", &[]).absolute(queues.malformed());
            }
            if !read {
                let pause = if painted == Some(now) { IDLE } else { TICK };
                wait_for_any(&*self.journal, Stream::Views, &next, pause, &self.clock, &self.drain).await?;
                if !self.drain.is_started() {
                    // Frames of one tick come together: one picture for all of them.
                    self.clock.sleep(Duration::from_millis(20)).await;
                }
            }
        }
        Ok(())
    }

    /// Reads what there is; whether that was anything.
    async fn read(&self, next: &mut Vec<u64>, queues: &mut Queues) -> journal::Result<bool> {
        let mut any = false;
        for partition in 0..next.len() {
            match self.journal.read(Stream::Views, partition as u32, next[partition], READ.0, READ.1).await {
                Ok(batch) => {
                    batch.records.iter().for_each(|record| queues.take(&record.key, &record.value));
                    any |= batch.next > next[partition];
                    next[partition] = batch.next;
                }
                Err(journal::Error::Truncated { earliest, .. }) => next[partition] = earliest,
                Err(journal::Error::Damaged { offset, .. }) => next[partition] = offset + 1,
                Err(journal::Error::Beyond { .. }) => {
                    // Another journal, or an older copy of it: what was known is of another world.
                    *next = next_of(&*self.journal, Stream::Views).await?;
                    *queues = Queues::default();
                    return Ok(true);
                }
                Err(error) => self.put_off(error).await?,
            }
        }
        Ok(any)
    }

    async fn put_off(&self, error: journal::Error) -> journal::Result<()> {
        self.health.degraded(error.to_string());
        crate::follow::put_off(error, &self.clock, &self.drain).await
    }
}
