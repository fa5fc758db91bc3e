//! The sides of the comparison: each reads the whole topic once and says how many events a second that were, from the first that came on:
//! connecting is nobody's business here.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use journal::{Batch, Delivery, Journal, Stream, Subscription};
use model::envelope::{Parsed, Reader};
use model::event::call::Answered;
use model::{Envelope, Event, Time};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use service::Clock;
use stats::fold::{PartitionFold, Settings};
use stats::{Dim, Field};

/// Offered and answered by queue and half hour.
pub(crate) type Counts = BTreeMap<(String, i64), [i64; 2]>;

const HALF_HOUR_MS: i64 = 1_800_000;
/// Events folded between two takings of changes; the aggregator, when it catches up, takes them twice as often.
const CHUNK: u64 = 16_000;

/// The client alone: every record polled and copied.
pub(crate) fn bare(server: &str, topic: &str, partitions: u32, events: u64) -> anyhow::Result<f64> {
    let clock = Clock::system();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("fetch.queue.backoff.ms", "2")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition as i32, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    consumer.poll(Duration::from_secs(30)).context("nothing comes")??;
    let begin = clock.monotonic();
    for _ in 1..events {
        let message = consumer.poll(Duration::from_secs(30)).context("nothing comes")??;
        black_box((message.key().map(Bytes::copy_from_slice), message.payload().map(Bytes::copy_from_slice)));
    }
    Ok(rate(events - 1, clock.monotonic() - begin))
}

fn rate(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64().max(1e-9)
}

/// A member of a new group reads everything, batch by batch.
async fn each(
    journal: &dyn Journal,
    group: &str,
    events: u64,
    mut what: impl FnMut(&Batch) -> anyhow::Result<()>,
) -> anyhow::Result<(u64, Duration)> {
    let clock = Clock::system();
    let subscription = Subscription::new(group, "bench", [Stream::EventsCall]).batch(4_000, 16 << 20);
    let mut consumer = journal.subscribe(subscription).await?;
    let (mut read, mut first, mut begin) = (0, 0, clock.monotonic());
    while read < events {
        if let Delivery::Batch(batch) = consumer.next().await? {
            read += batch.records.len() as u64;
            what(&batch)?;
            if first == 0 {
                (first, begin) = (read, clock.monotonic());
            }
        }
    }
    let took = clock.monotonic() - begin;
    consumer.close().await?;
    ensure!(read == events, "{read} of {events}");
    Ok((read - first, took))
}

/// Our consumer alone.
pub(crate) async fn read(journal: &dyn Journal, group: &str, events: u64) -> anyhow::Result<f64> {
    let (events, took) = each(journal, group, events, |batch| {
        black_box(batch);
        Ok(())
    })
    .await?;
    Ok(rate(events, took))
}

fn decoded(reader: &mut Reader, value: &[u8]) -> anyhow::Result<Envelope> {
    match reader.read(value)? {
        Parsed::Known(event) => Ok(event),
        Parsed::Unknown(head) => anyhow::bail!("{} is of no known type", head.ty),
    }
}

/// Our consumer, and every event decoded.
pub(crate) async fn decode(journal: &dyn Journal, group: &str, events: u64) -> anyhow::Result<f64> {
    let mut reader = Reader::default();
    let (events, took) = each(journal, group, events, |batch| {
        for record in &batch.records {
            black_box(decoded(&mut reader, &record.value)?);
        }
        Ok(())
    })
    .await?;
    Ok(rate(events, took))
}

/// Our consumer, every event decoded, and of them what Kafka Streams counts: nothing more.
pub(crate) async fn count(journal: &dyn Journal, group: &str, events: u64) -> anyhow::Result<(f64, Counts)> {
    let (mut reader, mut counts) = (Reader::default(), Counts::new());
    let (events, took) = each(journal, group, events, |batch| {
        for record in &batch.records {
            let Envelope { time, event, .. } = decoded(&mut reader, &record.value)?;
            let (queue, place) = match event {
                Event::CallQueued(queued) => (queued.queue, 0),
                Event::CallAnswered(Answered { queue: Some(queue), .. }) => (queue, 1),
                _ => continue,
            };
            counts.entry((queue.to_string(), half_hour(time))).or_default()[place] += 1;
        }
        Ok(())
    })
    .await?;
    Ok((rate(events, took), counts))
}

/// The half hour in which a moment lies, by its beginning.
fn half_hour(moment: Time) -> i64 {
    moment.ms() - moment.ms().rem_euclid(HALF_HOUR_MS)
}

/// Our consumer, and every event decoded and folded, a fold for each partition.
pub(crate) async fn fold(journal: &dyn Journal, group: &str, events: u64) -> anyhow::Result<(f64, Counts)> {
    let mut folds = Folds::default();
    let (events, mut took) = each(journal, group, events, |batch| folds.take(batch)).await?;
    let clock = Clock::system();
    let begin = clock.monotonic();
    let counts = folds.done();
    took += clock.monotonic() - begin;
    Ok((rate(events, took), counts))
}

/// The folds of several partitions.
#[derive(Default)]
pub(crate) struct Folds {
    reader: Reader,
    folds: BTreeMap<u32, (PartitionFold, u64)>,
    counts: Counts,
}

impl Folds {
    /// Decodes and folds a batch.
    pub(crate) fn take(&mut self, batch: &Batch) -> anyhow::Result<()> {
        let fresh = || (PartitionFold::new(Settings { closed_kept: 1_000, ..Settings::default() }).untold(), 0);
        let (fold, since) = self.folds.entry(batch.partition).or_insert_with(fresh);
        for record in &batch.records {
            fold.apply(decoded(&mut self.reader, &record.value)?);
            *since += 1;
            if *since == CHUNK {
                *since = 0;
                take(fold, &mut self.counts);
            }
        }
        Ok(())
    }

    /// Takes the last changes; all counts.
    pub(crate) fn done(mut self) -> Counts {
        for (fold, _) in self.folds.values_mut() {
            take(fold, &mut self.counts);
        }
        self.counts.retain(|_, count| *count != [0, 0]);
        self.counts
    }
}

fn take(fold: &mut PartitionFold, counts: &mut Counts) {
    let changes = fold.take_changes();
    for (key, row) in changes.rows.iter().filter(|(key, _)| key.dim == Dim::Queue) {
        let (offered, answered) = (row.event.get(Field::Offered), row.event.get(Field::Answered));
        if offered != 0 || answered != 0 {
            let count = counts.entry((key.id.to_string(), half_hour(key.start))).or_default();
            *count = [count[0] + offered, count[1] + answered];
        }
    }
    fold.evict_closed();
}
