//! Keeps the shared views: reads the stream `views` beside the live loop and puts what it tells.
//!
//! - Invariant: the position that is shared is never ahead of the views that are. It is put with them or after them, and only while nobody
//!   else has put and nothing was lost (the cursor is still ours); else what is there is looked at again, and gone on from.
//! - Invariant: nothing that happens to the shared state reaches the live loop.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use journal::{Journal, Stream};
use serde::Deserialize;
use service::health::Check;
use service::{Clock, Drain, metric};
use store::frame::{self, Version};
use store::live::shared::{POSITION, Position, VIEWS};
use store::live::{Partial, Slot};
use store::{Live, Part, Reports};

use super::recall::misfit;
use super::settling::Settling;

/// Records and bytes of one read.
const READ: (usize, usize) = (2_000, 4 << 20);
/// The shortest time between two puts.
const TICK: Duration = Duration::from_millis(250);
/// How often somebody who writes says so, and looks how far the reports are.
const BEAT: Duration = Duration::from_secs(1);
/// After so long without a beat another goes on.
const SILENT: Duration = Duration::from_secs(10);
/// How long to wait after what failed.
const PAUSE: Duration = Duration::from_secs(2);

/// What it works with.
pub struct Mirror {
    /// What is shared.
    pub live: Arc<dyn Live>,
    /// Where the views come from.
    pub journal: Arc<dyn Journal>,
    /// Where the rows are.
    pub reports: Arc<dyn Reports>,
    /// The time.
    pub clock: Clock,
    /// Asks to finish.
    pub drain: Drain,
    /// Whether the shared views are kept.
    pub health: Check,
}

/// What of a frame is looked at.
#[derive(Deserialize)]
struct Head {
    version: Version,
    #[serde(default)]
    body: Told,
}

#[derive(Default, Deserialize)]
struct Told {
    fold: Option<Complete>,
}

#[derive(Deserialize)]
struct Complete {
    complete: bool,
}

/// The one who writes.
struct Writing {
    /// Of the shared state, after our last change.
    cursor: u64,
    /// The number of the position that was put last, and what it said.
    number: u64,
    position: Position,
    /// What is read of the stream, by partition.
    next: Vec<u64>,
    settling: Vec<Settling>,
    /// The newest epoch heard of each partition of events; those that have told all of themselves.
    epochs: HashMap<Part, u64>,
    complete: HashMap<Part, u64>,
    beaten: Duration,
}

/// What one read of a partition of the stream has told.
#[derive(Default)]
struct Batch {
    partials: BTreeMap<Slot, Partial>,
    begun: Vec<(Part, u64)>,
    rows: BTreeMap<Part, u64>,
}

/// Why writing ended.
enum Ended {
    Drain,
    /// Somebody else writes, or something was lost.
    Moved,
    Failed(String),
}

impl From<store::Error> for Ended {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Moved { .. } => Self::Moved,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<journal::Error> for Ended {
    fn from(error: journal::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Mirror {
    /// Watches, and writes when nobody does, until the drain.
    pub async fn run(self) {
        metric::describe_gauge("pusher_shares_views", "1 while this pusher keeps the shared views");
        let writes = metric::gauge("pusher_shares_views", &[]);
        let mut heard: Option<(Position, Duration)> = None;
        while !self.drain.is_started() {
            let pause = match self.look(&mut heard).await {
                Ok(None) => {
                    self.health.ok();
                    PAUSE
                }
                Ok(Some(writing)) => {
                    writes.set(1.0);
                    let ended = self.write(writing).await;
                    writes.set(0.0);
                    heard = None;
                    match ended {
                        Ended::Drain => return,
                        Ended::Moved => Duration::ZERO,
                        Ended::Failed(why) => self.failed(&why),
                    }
                }
                Err(Ended::Failed(why)) => self.failed(&why),
                Err(_) => Duration::ZERO,
            };
            self.rest(pause).await;
        }
    }

    fn failed(&self, why: &str) -> Duration {
        tracing::warn!(why, "the shared views are not kept just now; figures are served all the same");
        self.health.degraded(format!("the shared views are not kept: {why}"));
        PAUSE
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            biased;
            () = self.drain.started() => {}
            () = self.clock.sleep(pause) => {}
        }
    }

    /// Whether it is for us to write: nobody ever did, what is there does not fit, or whoever did has been silent for long.
    async fn look(&self, heard: &mut Option<(Position, Duration)>) -> Result<Option<Writing>, Ended> {
        let snapshot = self.live.snapshot(POSITION).await?;
        let found =
            snapshot.partials.iter().find_map(|partial| Some((Position::read(partial)?, partial.version.number)));
        let Some((position, number)) = found else { return self.begin(snapshot.cursor).await.map(Some) };
        if let Some(why) = misfit(&position, &*self.journal).await? {
            tracing::warn!(why, "the shared views are begun anew");
            return self.begin(snapshot.cursor).await.map(Some);
        }
        let now = self.clock.monotonic();
        match heard {
            Some((before, since)) if *before == position => {
                if now.saturating_sub(*since) < SILENT {
                    return Ok(None);
                }
                self.resume(snapshot.cursor, number, position).await.map(Some)
            }
            _ => {
                *heard = Some((position, now));
                Ok(None)
            }
        }
    }

    /// From the beginning of the stream, with nothing there.
    async fn begin(&self, cursor: u64) -> Result<Writing, Ended> {
        let cursor = self.live.clear(Some(cursor)).await?;
        let mut next = Vec::new();
        for partition in 0..self.journal.partitions(Stream::Views) {
            next.push(self.journal.earliest(Stream::Views, partition).await?);
        }
        tracing::info!("the shared views are kept by this process, from the beginning of the stream");
        let position = Position { journal: self.journal.identity(), next, beat: 0, whole: false };
        Ok(self.writing(cursor, 0, position, HashMap::new()))
    }

    /// From where another has ended.
    async fn resume(&self, cursor: u64, number: u64, position: Position) -> Result<Writing, Ended> {
        let folds = self.live.snapshot(&format!("{VIEWS}{}", frame::FOLD_VIEW)).await?;
        if folds.cursor != cursor {
            return Err(Ended::Moved);
        }
        let epochs = folds.partials.into_iter().map(|fold| (fold.slot.part, fold.version.epoch)).collect();
        tracing::info!("the shared views are kept by this process, from where another has ended");
        Ok(self.writing(cursor, number, position, epochs))
    }

    fn writing(&self, cursor: u64, number: u64, position: Position, epochs: HashMap<Part, u64>) -> Writing {
        let next = position.next.clone();
        let settling = next.iter().map(|_| Settling::default()).collect();
        let (complete, beaten) = (epochs.clone(), self.clock.monotonic());
        Writing { cursor, number, position, next, settling, epochs, complete, beaten }
    }

    async fn write(&self, mut writing: Writing) -> Ended {
        // Before all is read that is there now, the slots are of the past.
        let mut ends = Vec::new();
        for partition in 0..writing.next.len() {
            match self.journal.end(Stream::Views, partition as u32).await {
                Ok(end) => ends.push(end),
                Err(error) => return error.into(),
            }
        }
        while !self.drain.is_started() {
            let any = match self.turn(&mut writing).await {
                Ok(any) => any,
                Err(ended) => return ended,
            };
            if !writing.position.whole && writing.next.iter().zip(&ends).all(|(next, end)| next >= end) {
                writing.position.whole = true;
                writing.beaten = Duration::ZERO; // told at once
            }
            self.health.ok();
            if !any || writing.position.whole {
                self.rest(TICK).await;
            }
        }
        Ended::Drain
    }

    /// Reads a batch of each partition and puts it; whether there was anything.
    async fn turn(&self, writing: &mut Writing) -> Result<bool, Ended> {
        let mut any = false;
        for partition in 0..writing.next.len() {
            let from = writing.next[partition];
            let read = self.journal.read(Stream::Views, partition as u32, from, READ.0, READ.1).await;
            let (batch, next) = match read {
                Ok(read) => {
                    let mut batch = Batch::default();
                    for record in &read.records {
                        batch.take(&record.key, &record.value, record.offset, writing);
                    }
                    (batch, read.next)
                }
                Err(journal::Error::Truncated { earliest, .. }) => (Batch::default(), earliest),
                Err(journal::Error::Damaged { offset, .. }) => (Batch::default(), offset + 1),
                // Another journal, or an older copy of it.
                Err(journal::Error::Beyond { .. }) => return Err(Ended::Moved),
                Err(error) => return Err(error.into()),
            };
            any |= next > from;
            self.put(writing, batch.partials.into_values().collect()).await?;
            for (part, epoch) in batch.begun {
                writing.cursor = self.live.begin(&part, epoch, Some(writing.cursor)).await?;
                writing.complete.insert(part, epoch);
            }
            writing.settling[partition].told(from, batch.rows);
            writing.next[partition] = next;
        }
        self.tell(writing).await?;
        Ok(any)
    }

    async fn put(&self, writing: &mut Writing, partials: Vec<Partial>) -> Result<(), Ended> {
        if !partials.is_empty() {
            writing.cursor = self.live.put(partials, Some(writing.cursor)).await?;
        }
        Ok(())
    }

    /// Says how far all is.
    async fn tell(&self, writing: &mut Writing) -> Result<(), Ended> {
        let now = self.clock.monotonic();
        if now.saturating_sub(writing.beaten) < BEAT && !writing.beaten.is_zero() {
            return Ok(());
        }
        writing.beaten = now;
        match self.reports.progress().await {
            Ok(progress) => {
                let stored: BTreeMap<Part, u64> =
                    progress.into_iter().filter_map(|progress| Some((progress.part, progress.next?))).collect();
                writing.settling.iter_mut().for_each(|settling| settling.stored(&stored));
            }
            // Nothing settles meanwhile: whoever starts reads more of the stream.
            Err(error) => tracing::debug!(%error, "how far the reports are is not known"),
        }
        let from = writing.settling.iter().zip(&writing.next).map(|(settling, next)| settling.from(*next));
        writing.position.next = from.collect();
        writing.position.beat += 1;
        writing.number += 1;
        let position = writing.position.partial(writing.number);
        self.put(writing, vec![position]).await
    }
}

impl Batch {
    /// Takes in one record of the stream. Its order is that of its keys, so the offset is the number of the version.
    fn take(&mut self, key: &[u8], value: &[u8], offset: u64, writing: &mut Writing) {
        let Some((view, part)) = std::str::from_utf8(key).ok().and_then(frame::split) else { return };
        if value.is_empty() {
            let epoch = writing.epochs.get(&part).copied().unwrap_or(0);
            return self.slot(view, part, epoch, offset, None);
        }
        let Ok(head) = serde_json::from_slice::<Head>(value) else { return };
        let epoch = head.version.epoch;
        if view.starts_with("row/") {
            let told = self.rows.entry(part).or_default();
            *told = head.version.number.max(*told);
            return;
        }
        let newest = writing.epochs.entry(part.clone()).or_default();
        *newest = epoch.max(*newest);
        let is_complete = view == frame::FOLD_VIEW && head.body.fold.is_some_and(|fold| fold.complete);
        let known = writing.complete.get(&part).copied();
        if is_complete && known.is_none_or(|known| known < epoch) && !self.begun.contains(&(part.clone(), epoch)) {
            self.begun.push((part.clone(), epoch));
        }
        self.slot(view, part, epoch, offset, Some(value.into()));
    }

    fn slot(&mut self, view: &str, part: Part, epoch: u64, offset: u64, value: Option<Arc<[u8]>>) {
        let slot = Slot { key: format!("{VIEWS}{view}").into(), part };
        let version = Version { epoch, number: offset + 1 };
        let newer = self.partials.get(&slot).is_none_or(|held| held.version < version);
        if newer {
            self.partials.insert(slot.clone(), Partial { slot, version, value });
        }
    }
}
