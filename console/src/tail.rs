//! Reads a partition to its end, and goes on reading.

use std::sync::Arc;
use std::time::Duration;

use journal::{Class, Error, Journal, Record, Stream};
use service::{Clock, Drain};

/// Records and bytes of one read.
const READ: (usize, usize) = (2_000, 4 << 20);
/// How long to wait before a read is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Who reads, and how long.
#[derive(Clone)]
pub(crate) struct Tail {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
}

/// What a reader is given.
pub(crate) enum Read<'a> {
    /// The next record.
    Record(&'a Record),
    /// A record that cannot be read, or that is no longer kept, was stepped over.
    Skipped,
    /// Everything before this offset was given.
    Until(u64),
}

impl Tail {
    /// Follows until the drain.
    ///
    /// # Errors
    /// When the journal is closed, or is another one than before.
    pub(crate) async fn follow(
        &self,
        stream: Stream,
        partition: u32,
        from: u64,
        mut give: impl FnMut(Read<'_>) + Send,
    ) -> journal::Result<()> {
        let mut next = from;
        while !self.drain.is_started() {
            match self.journal.read(stream, partition, next, READ.0, READ.1).await {
                Ok(batch) => {
                    batch.records.iter().for_each(|record| give(Read::Record(record)));
                    next = batch.next;
                    give(Read::Until(next));
                    if batch.records.is_empty() {
                        tokio::select! {
                            biased;
                            () = self.drain.started() => return Ok(()),
                            more = self.journal.wait_past(stream, partition, next) => more?,
                        }
                    }
                }
                Err(error) if error.class() == Class::Transient => {
                    tracing::warn!(%stream, %error, "cannot be read now; trying again");
                    self.clock.sleep(PAUSE).await;
                }
                Err(error) => {
                    next = match error {
                        Error::Truncated { earliest, .. } => earliest,
                        Error::Damaged { offset, .. } => offset + 1,
                        error => return Err(error),
                    };
                    tracing::warn!(%stream, %error, "stepped over what cannot be read");
                    give(Read::Skipped);
                }
            }
        }
        Ok(())
    }
}
