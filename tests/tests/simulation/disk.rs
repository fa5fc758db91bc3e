//! A process's way to the journal: slow, refused, cut off, poisoned, and dead with its process; otherwise the memory journal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use journal::{
    Batch, Commit, Consumer, Delivery, Entry, Error, Generation, Journal, Position, Report, Result, Retention, Stream,
    Subscription, Swept,
};
use service::simulation::Place;
use service::{Clock, Tasks};

use crate::sabotage::Sabotage;
use crate::trace::{Trace, digest};
use crate::weather::{Fate, Weather};

/// How long a call waits for others before it says so.
const BUSY: Duration = Duration::from_secs(10);
const READ: Duration = Duration::from_micros(300);
const WRITE: Duration = Duration::from_millis(4);

/// Members of dead processes: nobody says goodbye for them, their leases run out.
pub type Graveyard = Arc<Mutex<Vec<Box<dyn Consumer>>>>;

/// One process's handle of the journal.
pub struct Disk {
    pub journal: Arc<dyn Journal>,
    pub place: Place,
    pub clock: Clock,
    /// Of the process: what a lying disk does later.
    pub tasks: Tasks,
    pub weather: Arc<Weather>,
    pub trace: Arc<Trace>,
    pub graveyard: Graveyard,
    pub sabotage: Sabotage,
    /// Whether its process lives.
    pub alive: Arc<AtomicBool>,
    pub poisoned: AtomicBool,
}

impl Disk {
    async fn read_way(&self) -> Result<()> {
        self.clock.sleep(self.weather.delay(READ)).await;
        self.through().await?;
        let share = self.weather.sky().refused / 4.0;
        if self.weather.happens(share) { Err(Error::Storage("simulated: a read failed".to_owned())) } else { Ok(()) }
    }

    /// Waits while the way is cut, at most as long as one waits for a lock.
    async fn through(&self) -> Result<()> {
        let until = self.clock.monotonic() + BUSY;
        while self.weather.sky().cut {
            if self.clock.monotonic() >= until {
                return Err(Error::Busy);
            }
            self.clock.sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn write(&self, commit: Commit) -> Result<Vec<Position>> {
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(Error::Poisoned("simulated, before".to_owned()));
        }
        let delay = self.weather.delay(WRITE);
        self.clock.sleep(delay / 2).await;
        self.through().await?;
        match self.weather.fate() {
            Fate::Fair => {
                let answer = self.sabotaged(commit).await;
                self.clock.sleep(delay / 2).await;
                answer
            }
            Fate::Refused => {
                self.trace.count("commits refused");
                self.trace.tell(&self.place, "the disk refuses");
                Err(match self.weather.below(3) {
                    0 => Error::Busy,
                    1 => Error::Full,
                    _ => Error::Storage("simulated".to_owned()),
                })
            }
            Fate::Poisoned => {
                self.trace.count("commits of which nobody knows");
                self.poisoned.store(true, Ordering::Relaxed);
                if self.weather.below(2) == 0 {
                    let _ = self.apply(commit).await;
                }
                Err(Error::Poisoned("simulated".to_owned()))
            }
        }
    }

    /// The truth changes here.
    async fn apply(&self, commit: Commit) -> Result<Vec<Position>> {
        let told = describe(&commit);
        let outcome = self.journal.append_and_commit(commit).await;
        match &outcome {
            Ok(at) => self.trace.tell(&self.place, format_args!("wrote {told} at {}", places(at))),
            Err(error) => self.trace.tell(&self.place, format_args!("could not write {told}: {error}")),
        }
        outcome
    }

    async fn sabotaged(&self, mut commit: Commit) -> Result<Vec<Position>> {
        match self.sabotage {
            Sabotage::AnswersBeforeItIsDurable if commit.entries.iter().any(|e| e.stream == Stream::Ingest) => {
                let at = commit.entries.iter().map(|entry| Position::new(entry.stream, 0, 0)).collect();
                let (journal, clock) = (Arc::clone(&self.journal), self.clock.clone());
                let later = async move {
                    clock.sleep(Duration::from_millis(200)).await;
                    let _ = journal.append_and_commit(commit).await;
                };
                let _ = self.tasks.spawn("a lying disk", later);
                Ok(at)
            }
            Sabotage::ForgetsWhatWasSeen => {
                commit.state.retain(|(key, _)| !key.starts_with(b"w/"));
                self.apply(commit).await
            }
            Sabotage::TearsCommits if !commit.positions.is_empty() => {
                let entries = std::mem::take(&mut commit.entries);
                let at = self.apply(Commit { entries, ..Commit::default() }).await?;
                self.clock.sleep(Duration::from_millis(400)).await;
                self.apply(commit).await?;
                Ok(at)
            }
            Sabotage::ChangesAByte => {
                for entry in commit.entries.iter_mut().filter(|entry| entry.stream == Stream::EventsCall) {
                    if self.weather.below(100) == 0 {
                        let text = String::from_utf8_lossy(&entry.value).replacen("\"data\":{", "\"data\": {", 1);
                        entry.value = Bytes::from(text.into_bytes());
                    }
                }
                self.apply(commit).await
            }
            Sabotage::KeepsViews => {
                commit.entries.retain(|entry| entry.stream != Stream::Views || !entry.value.is_empty());
                self.apply(commit).await
            }
            _ => self.apply(commit).await,
        }
    }
}

fn describe(commit: &Commit) -> String {
    let bytes = commit.entries.iter().flat_map(|entry| [entry.key.as_ref(), entry.value.as_ref()]);
    let state = commit.state.iter().flat_map(|(key, value)| [key.as_ref(), value.as_deref().unwrap_or_default()]);
    let positions: Vec<String> =
        commit.positions.iter().map(|p| format!("{}/{}→{}", p.stream, p.partition, p.offset)).collect();
    let (content, kept) = (digest(bytes), digest(state));
    let (entries, keys) = (commit.entries.len(), commit.state.len());
    format!("{entries} records {content:016x}, {keys} states {kept:016x}, {} {}", commit.group, positions.join(" "))
}

fn places(at: &[Position]) -> String {
    let first = at.first().map(|p| format!("{}/{}@{}", p.stream, p.partition, p.offset));
    format!("{} and {} more", first.unwrap_or_default(), at.len().saturating_sub(1))
}

#[async_trait]
impl Journal for Disk {
    fn partitions(&self, stream: Stream) -> u32 {
        self.journal.partitions(stream)
    }

    fn identity(&self) -> String {
        self.journal.identity()
    }

    async fn append(&self, entries: Vec<Entry>) -> Result<Vec<Position>> {
        self.write(Commit { entries, ..Commit::default() }).await
    }

    async fn append_and_commit(&self, commit: Commit) -> Result<Vec<Position>> {
        self.write(commit).await
    }

    async fn state(&self, group: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>> {
        self.read_way().await?;
        self.journal.state(group, prefix).await
    }

    async fn read(&self, stream: Stream, partition: u32, from: u64, records: usize, bytes: usize) -> Result<Batch> {
        self.read_way().await?;
        self.journal.read(stream, partition, from, records, bytes).await
    }

    async fn end(&self, stream: Stream, partition: u32) -> Result<u64> {
        self.read_way().await?;
        self.journal.end(stream, partition).await
    }

    async fn earliest(&self, stream: Stream, partition: u32) -> Result<u64> {
        self.read_way().await?;
        self.journal.earliest(stream, partition).await
    }

    async fn wait_past(&self, stream: Stream, partition: u32, offset: u64) -> Result<()> {
        self.journal.wait_past(stream, partition, offset).await
    }

    async fn committed(&self, group: &str) -> Result<Vec<Position>> {
        self.read_way().await?;
        self.journal.committed(group).await
    }

    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>> {
        self.read_way().await?;
        let inner = Some(self.journal.subscribe(subscription).await?);
        Ok(Box::new(Reader {
            inner,
            clock: self.clock.clone(),
            place: self.place.clone(),
            weather: Arc::clone(&self.weather),
            trace: Arc::clone(&self.trace),
            graveyard: Arc::clone(&self.graveyard),
            alive: Arc::clone(&self.alive),
        }))
    }

    async fn retain(&self, policies: &[Retention]) -> Result<Swept> {
        self.journal.retain(policies).await
    }

    async fn compact(&self, tombstone_ms: i64) -> Result<Swept> {
        self.journal.compact(tombstone_ms).await
    }

    async fn verify(&self) -> Result<Report> {
        self.journal.verify().await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A member of a group in one process.
struct Reader {
    inner: Option<Box<dyn Consumer>>,
    clock: Clock,
    place: Place,
    weather: Arc<Weather>,
    trace: Arc<Trace>,
    graveyard: Graveyard,
    alive: Arc<AtomicBool>,
}

impl Reader {
    fn inner(&mut self) -> &mut Box<dyn Consumer> {
        self.inner.as_mut().expect("a reader that was not closed")
    }

    async fn way(&mut self) -> Result<()> {
        self.clock.sleep(self.weather.delay(READ)).await;
        while self.weather.sky().cut {
            self.clock.sleep(Duration::from_millis(50)).await;
        }
        let share = self.weather.sky().refused / 4.0;
        if self.weather.happens(share) { Err(Error::Storage("simulated: a read failed".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Consumer for Reader {
    async fn next(&mut self) -> Result<Delivery> {
        self.way().await?;
        // Nothing is waited for after it: what was delivered must not be lost with a dropped future.
        let delivery = self.inner().next().await;
        let told = match &delivery {
            Ok(Delivery::Idle) => None,
            Ok(Delivery::Batch(batch)) => Some(format!(
                "reads {} of {}/{} up to {}",
                batch.records.len(),
                batch.stream,
                batch.partition,
                batch.next
            )),
            Ok(other) => Some(format!("is told {other:?}")),
            Err(error) => Some(format!("cannot read: {error}")),
        };
        if let Some(told) = told {
            self.trace.tell(&self.place, told);
        }
        delivery
    }

    async fn seek(&mut self, position: Position) -> Result<()> {
        self.inner().seek(position).await
    }

    async fn commit(&mut self, positions: Vec<Position>) -> Result<()> {
        self.way().await?;
        self.inner().commit(positions).await
    }

    fn generation(&self) -> Generation {
        self.inner.as_ref().expect("a reader that was not closed").generation()
    }

    async fn close(mut self: Box<Self>) -> Result<()> {
        self.way().await?;
        match self.inner.take() {
            Some(inner) => inner.close().await,
            None => Ok(()),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|_| !self.alive.load(Ordering::Relaxed)) {
            self.graveyard.lock().unwrap_or_else(PoisonError::into_inner).push(inner);
        }
    }
}
