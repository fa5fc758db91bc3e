//! The live views, followed: who waits and who is free, as soon as the aggregator says so, and not only as often as the console speaks.
//!
//! Every gate reads all of `views`, without a group: nothing is shared with other gates, and nothing is committed.

mod queues;

use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, Stream};
use model::Time;
use service::health::{Check, Pulse};
use service::{Clock, Drain, metric};

use crate::follow::Reader;
use crate::gate::Gate;
use crate::hardphone::Shared;
pub use queues::Now;
pub(crate) use queues::Queues;

/// Records and bytes of one read.
const READ: (usize, usize) = (2_000, 4 << 20);
/// The shortest time between two pictures of all queues.
const TICK: Duration = Duration::from_millis(200);
/// The shortest time between two maps of the desk phones.
const PHONES_TICK: Duration = Duration::from_secs(1);
/// How often the loop turns when nothing comes.
const IDLE: Duration = Duration::from_secs(1);

/// What it works with.
pub(crate) struct Follow {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) phones: Arc<Shared>,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
    pub(crate) health: Check,
    pub(crate) pulse: Pulse,
}

impl Follow {
    /// Follows until the drain.
    pub(crate) async fn run(self) {
        metric::describe_counter("cti_views_malformed_total", "records of the stream views that could not be read");
        let (journal, stream) = (&*self.journal, Stream::Views);
        let (clock, drain, health) = (&self.clock, &self.drain, &self.health);
        let reader = Reader { journal, stream, clock, drain, health };
        let mut next = reader.beginning().await;
        let mut queues = Queues::default();
        let (mut painted, mut mapped) = (None, None);
        while !drain.is_started() {
            self.pulse.beat();
            let read = self.read(&reader, &mut next, &mut queues).await;
            let now = clock.monotonic();
            let due = painted.is_none_or(|at| now.saturating_sub(at) >= TICK);
            if due {
                painted = Some(now);
                self.paint(&queues);
                if mapped.is_none_or(|at| now.saturating_sub(at) >= PHONES_TICK) && queues.is_whole() {
                    mapped = Some(now);
                    self.phones.see(&queues.people(), Time(clock.now_ms()));
                }
            }
            if !read {
                reader.wait_for_any(&next, if due { IDLE } else { TICK }).await;
                if !drain.is_started() {
                    // Frames of one tick come together: one picture for all of them.
                    clock.sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn paint(&self, queues: &Queues) {
        let figures = queues.now();
        match figures.is_empty() {
            true => self.health.degraded("no figures have come yet: is the aggregator running?"),
            false => self.health.ok(),
        }
        self.gate.see(figures);
        metric::counter("cti_views_malformed_total", &[]).absolute(queues.malformed());
    }

    /// Reads what there is; whether that was anything.
    async fn read(&self, reader: &Reader<'_>, next: &mut Vec<u64>, queues: &mut Queues) -> bool {
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
                    *next = reader.beginning().await;
                    *queues = Queues::default();
                    return true;
                }
                Err(error) => reader.put_off(&error).await,
            }
        }
        any
    }
}
