//! Reading a stream for oneself: from its beginning, without a group, stepping over nothing that is there.
//!
//! Nothing that happens to a journal ends a follower: what is known already is worth more than nothing, and calls come on.

use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;
use journal::{Journal, Record, Stream};
use service::health::Check;
use service::{Clock, Drain};

/// Records and bytes of one read.
pub(crate) const READ: (usize, usize) = (1_000, 4 << 20);
/// How often a follower turns when nothing comes.
pub(crate) const IDLE: Duration = Duration::from_secs(1);
/// How long to wait before a read is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A stream and the one who reads it.
pub(crate) struct Reader<'a> {
    pub(crate) journal: &'a dyn Journal,
    pub(crate) stream: Stream,
    pub(crate) clock: &'a Clock,
    pub(crate) drain: &'a Drain,
    pub(crate) health: &'a Check,
}

impl Reader<'_> {
    /// Where each partition begins, as soon as the journal says so; nowhere when the drain comes before.
    pub(crate) async fn beginning(&self) -> Vec<u64> {
        while !self.drain.is_started() {
            match self.earliest().await {
                Ok(next) => return next,
                Err(error) => self.put_off(&error).await,
            }
        }
        Vec::new()
    }

    /// The end of each partition, as soon as the journal says so: only what comes from now on.
    pub(crate) async fn end(&self) -> Vec<u64> {
        while !self.drain.is_started() {
            let ends = (0..self.journal.partitions(self.stream)).map(|p| self.journal.end(self.stream, p));
            match futures::future::try_join_all(ends).await {
                Ok(next) => return next,
                Err(error) => self.put_off(&error).await,
            }
        }
        Vec::new()
    }

    async fn earliest(&self) -> journal::Result<Vec<u64>> {
        let mut next = Vec::new();
        for partition in 0..self.journal.partitions(self.stream) {
            next.push(self.journal.earliest(self.stream, partition).await?);
        }
        Ok(next)
    }

    /// The next records of each partition, for who can do without those that are gone or damaged. Waits a while where there are none.
    pub(crate) async fn more(&self, next: &mut [u64]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut any = false;
        for (partition, next) in next.iter_mut().enumerate() {
            match self.journal.read(self.stream, partition as u32, *next, READ.0, READ.1).await {
                Ok(batch) => {
                    records.extend(batch.records);
                    any |= batch.next > *next;
                    *next = batch.next;
                    self.health.ok();
                }
                Err(journal::Error::Truncated { earliest, .. }) => *next = earliest,
                Err(journal::Error::Damaged { offset, .. }) => *next = offset + 1,
                Err(error) => self.put_off(&error).await,
            }
        }
        if !any {
            self.wait_for_any(next, IDLE).await;
        }
        records
    }

    /// Waits until any partition has something, `most` has passed, or the drain starts.
    pub(crate) async fn wait_for_any(&self, next: &[u64], most: Duration) {
        if next.is_empty() {
            return self.drain.started().await;
        }
        let wait =
            |(partition, next): (usize, &u64)| self.journal.wait_past(self.stream, partition as u32, *next).boxed();
        let any = select_all(next.iter().enumerate().map(wait));
        tokio::select! {
            biased;
            () = self.drain.started() => {}
            (ready, _, _) = any => if let Err(error) = ready {
                self.put_off(&error).await;
            },
            () = self.clock.sleep(most) => {}
        }
    }

    /// Waits a while for what may pass.
    pub(crate) async fn put_off(&self, error: &journal::Error) {
        tracing::warn!(%error, stream = %self.stream, "the journal cannot be read; what is known goes on");
        self.health.degraded(error.to_string());
        tokio::select! {
            biased;
            () = self.drain.started() => {}
            () = self.clock.sleep(PAUSE) => {}
        }
    }
}
