//! Who folds each partition, as the stream `views` says, which is what screens live on; and how long nobody did after a blow.

use anyhow::{Result, ensure};
use jiff::Timestamp;
use journal::kafka::{Kafka, Options};
use journal::{Journal, Stream, Topology};
use service::Clock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::frame::{Body, Frame};
use tidegate_tests::broker::Brokers;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::PATIENCE;
use super::world::lock;

/// A partition that changes hands.
struct Orphan {
    part: String,
    epoch: u64,
    since: Instant,
    /// The same by the clock of the day, in Unix milliseconds.
    since_ms: i64,
    blow: &'static str,
}

#[derive(Default)]
struct Seen {
    /// Of each partition: who folds it, since which generation of the group.
    holders: BTreeMap<String, (String, u64)>,
    orphans: Vec<Orphan>,
    /// For each kind of blow, how long each partition that its victim held was nobody's.
    waits: BTreeMap<&'static str, Vec<Duration>>,
}

/// Reads along; it ends when this is dropped.
pub struct Owners {
    seen: Arc<Mutex<Seen>>,
    readers: Vec<JoinHandle<()>>,
    /// Of the events.
    partitions: usize,
}

impl Owners {
    /// Begins at the end of the stream.
    pub async fn watch(brokers: &Brokers) -> Result<Self> {
        let options = Options::new(brokers.servers().join(","), Topology::default(), Clock::system());
        let journal: Arc<dyn Journal> = Kafka::open(options).await?;
        let seen = Arc::<Mutex<Seen>>::default();
        let mut readers = Vec::new();
        for partition in 0..journal.partitions(Stream::Views) {
            let from = journal.end(Stream::Views, partition).await?;
            readers.push(tokio::spawn(read(Arc::clone(&journal), partition, from, Arc::clone(&seen))));
        }
        let partitions = Stream::EVENTS.map(|stream| journal.partitions(stream) as usize).iter().sum();
        Ok(Self { seen, readers, partitions })
    }

    /// From now on the partitions of an instance are nobody's, until somebody says otherwise.
    pub fn struck(&self, instance: &str, blow: &'static str) {
        let mut seen = lock(&self.seen);
        let held: Vec<_> = { seen.holders.iter() }.filter(|(_, (owner, _))| owner == instance).collect();
        let orphan = |(part, (_, epoch)): (&String, &(String, u64))| Orphan {
            part: part.clone(),
            epoch: *epoch,
            since: Instant::now(),
            since_ms: Timestamp::now().as_millisecond(),
            blow,
        };
        let orphans: Vec<_> = held.into_iter().map(orphan).collect();
        seen.orphans.extend(orphans);
    }

    /// Waits until every partition of the events is folded by somebody.
    pub async fn all_owned(&self) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let (owned, orphans) = {
                let seen = lock(&self.seen);
                (seen.holders.len(), seen.orphans.len())
            };
            if owned >= self.partitions && orphans == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < patience, "{owned} of {} have an owner, {orphans} lost theirs", self.partitions);
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// How long partitions were nobody's, for each kind of blow.
    pub fn waits(&self) -> BTreeMap<&'static str, Vec<Duration>> {
        lock(&self.seen).waits.clone()
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

async fn read(journal: Arc<dyn Journal>, partition: u32, mut from: u64, seen: Arc<Mutex<Seen>>) {
    loop {
        let waited = journal.wait_past(Stream::Views, partition, from).await;
        let batch = match waited {
            Ok(()) => journal.read(Stream::Views, partition, from, 2_000, 8 << 20).await,
            Err(error) => Err(error),
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                // Brokers come and go here.
                println!("  views/{partition} cannot be read at {from} now: {error}");
                sleep(Duration::from_millis(500)).await;
                continue;
            }
        };
        from = batch.next;
        for record in &batch.records {
            let Ok(Frame { version, at, body: Body::Fold(fold), .. }) = Frame::from_json(&record.value) else {
                continue;
            };
            lock(&seen).folds(fold.part, fold.owner, version.epoch, at.ms());
        }
    }
}

impl Seen {
    /// Somebody folds a partition, and did at this moment. Mostly an heir; where the books of the group stood still as well, because a broker
    /// was away, one that stood still keeps what it had.
    fn folds(&mut self, part: String, owner: String, epoch: u64, at_ms: i64) {
        let has_one = |orphan: &mut Orphan| orphan.part == part && (orphan.epoch < epoch || orphan.since_ms < at_ms);
        for orphan in self.orphans.extract_if(.., has_one) {
            self.waits.entry(orphan.blow).or_default().push(orphan.since.elapsed());
        }
        let held = self.holders.entry(part).or_default();
        if epoch >= held.1 {
            *held = (owner, epoch);
        }
    }
}
