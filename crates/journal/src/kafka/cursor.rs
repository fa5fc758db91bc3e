//! Reading: a cursor fetches one partition from one place onwards, before it is asked for. A reader that goes on where it stopped
//! finds its cursor there; one that begins elsewhere gets another.
//!
//! Cursors of different partitions share a *lane*, one client with its connections; two cursors of one partition need two lanes,
//! because a client is at one place of a partition only.
//!
//! - Invariant: what a cursor returns is consecutive from where it was asked, up to holes that compaction left, or that were looked at twice.
//! - Invariant: each partition has at most [`STRAY_MAX`] cursors of readers that are in no group; each member of a group has one.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::Notify;

use super::client::{Inquiries, Net, Reader, Voice, blocking, failed, number, offset};
use crate::board::Board;
use crate::contract::{Batch, Partition, Position, Record};
use crate::{Error, Result};
use service::Clock;

/// Whoever is in no group reads with this number.
pub(crate) const STRAY: u64 = 0;
/// The most cursors of such readers in a partition; the one that was not used for longest goes.
const STRAY_MAX: usize = 4;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One client, and what it reads.
struct Lane {
    reader: Arc<Reader>,
    taken: Mutex<HashSet<Partition>>,
}

/// A partition of a lane, taken until this is dropped.
struct Place {
    lane: Arc<Lane>,
    partition: Partition,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.lane.taken).remove(&self.partition);
    }
}

/// What a queue says when something came.
struct Signal {
    ready: AtomicBool,
    came: Notify,
}

/// One place of one partition, and what was fetched from there on.
pub(crate) struct Cursor {
    topic: String,
    signal: Arc<Signal>,
    /// Where the next read begins.
    at: AtomicU64,
    used: AtomicU64,
    broken: AtomicBool,
    fetched: tokio::sync::Mutex<Fetched>,
    /// Given back when the queue is gone, and not before: with the queue goes the bell of whoever has the place then.
    place: Place,
}

struct Fetched {
    queue: PartitionQueue<Voice>,
    /// Fetched, and too large for the batch before.
    stash: Option<Record>,
}

impl Cursor {
    fn is_at(&self, from: u64) -> bool {
        self.at.load(Ordering::SeqCst) == from && !self.broken.load(Ordering::SeqCst)
    }

    /// Whether something lies here, or comes to be known not to.
    pub(crate) async fn has_more(&self) -> bool {
        let mut fetched = self.fetched.lock().await;
        if fetched.stash.is_none() {
            self.signal.ready.store(false, Ordering::SeqCst);
            match fetched.queue.poll(std::time::Duration::ZERO).map(|polled| polled.map(|message| record(&message))) {
                None => return false,
                Some(Err(error)) => {
                    let (stream, partition) = self.place.partition;
                    tracing::debug!(%stream, partition, %error, "a cursor broke");
                    self.broken.store(true, Ordering::SeqCst);
                }
                Some(Ok(record)) => fetched.stash = Some(record),
            }
            self.signal.ready.store(true, Ordering::SeqCst);
        }
        true
    }

    /// Whether something lies here to be read.
    pub(crate) fn is_ready(&self) -> bool {
        self.signal.ready.load(Ordering::SeqCst)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, number(self.place.partition.1));
        if let Err(error) = self.place.lane.reader.incremental_unassign(&list) {
            tracing::debug!(%error, "a cursor could not be taken back");
        }
    }
}

impl Fetched {
    /// The next record that is here already.
    fn pull(&mut self) -> Option<std::result::Result<Record, KafkaError>> {
        if let Some(record) = self.stash.take() {
            return Some(Ok(record));
        }
        let polled = self.queue.poll(std::time::Duration::ZERO)?;
        Some(polled.map(|message| record(&message)))
    }
}

/// Where a cursor last found less than it must, by partition: what should have come next, and what came.
#[derive(Default)]
struct Holes(Mutex<HashMap<Partition, (u64, u64)>>);

impl Holes {
    /// Whether a record that comes next leaves some out that may be there after all: only when two cursors, one after the other, come to the
    /// same hole, there is nothing in it.
    fn doubt(&self, (stream, partition): Partition, next: u64, comes: u64) -> bool {
        if comes == next || stream.is_compacted() {
            return false;
        }
        let doubtful = lock(&self.0).insert((stream, partition), (next, comes)) != Some((next, comes));
        if doubtful {
            tracing::warn!(%stream, partition, next, comes, "records did not come; they are asked for again");
        } else {
            tracing::error!(%stream, partition, next, comes, "records are missing in the log, and are passed over");
            crate::metering::damaged();
        }
        doubtful
    }
}

/// What comes after these records, which were read from a place on.
fn next_of(records: &[Record], from: u64) -> u64 {
    records.last().map_or(from, |last| last.offset + 1)
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        offset: u64::try_from(message.offset()).unwrap_or_default(),
        key: message.key().map(Bytes::copy_from_slice).unwrap_or_default(),
        value: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
        recorded_at_ms: message.timestamp().to_millis().unwrap_or_default(),
    }
}

/// The most of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Most {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// Cursors that nobody uses, by whose they were and what they read.
type Idle = HashMap<(u64, Partition), Vec<Arc<Cursor>>>;

/// All cursors of this process.
pub(crate) struct Cursors {
    net: Net,
    clock: Clock,
    board: Arc<Board>,
    inquiries: Inquiries,
    lanes: Mutex<Vec<Arc<Lane>>>,
    cursors: Mutex<Idle>,
    uses: AtomicU64,
    holes: Holes,
}

impl Cursors {
    pub(crate) fn new(net: Net, clock: Clock, board: Arc<Board>, inquiries: Inquiries) -> Self {
        let (lanes, cursors, holes) = (Mutex::default(), Mutex::default(), Holes::default());
        Self { net, clock, board, inquiries, lanes, cursors, uses: AtomicU64::new(0), holes }
    }

    /// The cursor of a reader at a place, if it has one there.
    pub(crate) fn find(&self, reader: u64, partition: Partition, from: u64) -> Option<Arc<Cursor>> {
        let cursors = lock(&self.cursors);
        let here = cursors.get(&(reader, partition))?;
        // Of several at one place, one that nobody reads from just now.
        let at = || here.iter().filter(|cursor| cursor.is_at(from));
        at().find(|cursor| cursor.fetched.try_lock().is_ok()).or_else(|| at().next()).cloned()
    }

    /// The cursor of a reader at a place, made if need be.
    ///
    /// # Errors
    /// `Truncated` and `Beyond` when there is no such place; `Storage`.
    pub(crate) async fn open(&self, reader: u64, partition: Partition, from: u64) -> Result<Arc<Cursor>> {
        if let Some(cursor) = self.find(reader, partition, from) {
            return Ok(cursor);
        }
        self.make_room(reader, partition);
        let place = self.place(partition)?;
        let (inquiries, topic) = (self.inquiries.clone(), self.net.topic(partition.0.name()));
        let board = Arc::clone(&self.board);
        let made = blocking(move || {
            let (earliest, end) = inquiries.bounds(&topic, partition.1)?;
            board.learn(partition, end);
            exists(partition, from, earliest, end)?;
            Queued::of(place, topic, &board)?.fetch(from)
        });
        let cursor = Arc::new(made.await?);
        self.touch(&cursor);
        lock(&self.cursors).entry((reader, partition)).or_default().push(Arc::clone(&cursor));
        Ok(cursor)
    }

    fn touch(&self, cursor: &Cursor) {
        cursor.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn make_room(&self, reader: u64, partition: Partition) {
        let mut cursors = lock(&self.cursors);
        let Some(here) = cursors.get_mut(&(reader, partition)) else { return };
        let most = if reader == STRAY { STRAY_MAX } else { 1 };
        let mut gone: Vec<_> = here.extract_if(.., |cursor| cursor.broken.load(Ordering::SeqCst)).collect();
        while here.len() >= most {
            let oldest = here.iter().enumerate().min_by_key(|(_, cursor)| cursor.used.load(Ordering::Relaxed));
            let Some((index, _)) = oldest else { break };
            gone.push(here.swap_remove(index));
        }
        drop(cursors);
        // Outside the lock: taking a cursor back asks its client.
        drop(gone);
    }

    /// A lane on which nobody reads the partition, taken for it.
    fn place(&self, partition: Partition) -> Result<Place> {
        let mut lanes = lock(&self.lanes);
        if let Some(free) = lanes.iter().find(|lane| lock(&lane.taken).insert(partition)) {
            return Ok(Place { lane: Arc::clone(free), partition });
        }
        let reader: Reader = self.net.client(&self.net.reader_config(), Voice::default())?;
        let lane = Arc::new(Lane { reader: Arc::new(reader), taken: Mutex::new(HashSet::from([partition])) });
        lanes.push(Arc::clone(&lane));
        Ok(Place { lane, partition })
    }

    /// Hears what clients say of themselves. To be called now and then.
    pub(crate) fn listen(&self) {
        self.inquiries.listen();
        let lanes = lock(&self.lanes).clone();
        for lane in lanes {
            while let Some(event) = lane.reader.poll(std::time::Duration::ZERO) {
                if let Err(error) = event {
                    tracing::debug!(%error, "kafka reader");
                }
            }
        }
    }

    /// A reader is done with a partition.
    pub(crate) fn let_go(&self, reader: u64, partition: Partition) {
        let gone = lock(&self.cursors).remove(&(reader, partition));
        drop(gone);
    }

    /// Lets go of everything.
    pub(crate) fn close(&self) {
        let gone = std::mem::take(&mut *lock(&self.cursors));
        drop(gone);
        lock(&self.lanes).clear();
    }

    /// Reads on from a cursor's place: what is here, or, when it is known that something is there, what comes of it. `None` when somebody
    /// else has moved the cursor.
    pub(crate) async fn read(&self, cursor: &Cursor, from: u64, most: Most) -> Result<Option<Batch>> {
        let mut fetched = cursor.fetched.lock().await;
        if !cursor.is_at(from) {
            return Ok(None);
        }
        self.touch(cursor);
        let (stream, partition) = cursor.place.partition;
        let (mut records, mut bytes) = (Vec::new(), 0);
        cursor.signal.ready.store(false, Ordering::SeqCst);
        loop {
            match fetched.pull() {
                Some(Ok(record)) if record.offset < from => {}
                Some(Ok(record))
                    if self.holes.doubt(cursor.place.partition, next_of(&records, from), record.offset) =>
                {
                    cursor.broken.store(true, Ordering::SeqCst);
                    if records.is_empty() {
                        return Ok(None);
                    }
                    break;
                }
                Some(Ok(record)) => {
                    let size = record.key.len() + record.value.len();
                    if !records.is_empty() && (records.len() >= most.records || bytes + size > most.bytes) {
                        fetched.stash = Some(record);
                        cursor.signal.ready.store(true, Ordering::SeqCst);
                        break;
                    }
                    bytes += size;
                    records.push(record);
                    if records.len() >= most.records {
                        cursor.signal.ready.store(true, Ordering::SeqCst);
                        break;
                    }
                }
                Some(Err(error)) => {
                    cursor.broken.store(true, Ordering::SeqCst);
                    if records.is_empty() {
                        return Err(self.reason(cursor.place.partition, from, &error).await);
                    }
                    break;
                }
                None if !records.is_empty()
                    || self.board.is_closed()
                    || self.board.end(cursor.place.partition) <= from =>
                {
                    break;
                }
                // It is there, and on its way. Nothing is lost when the wait is given up.
                None => {
                    let came = self.clock.timeout(self.net.timeout, cursor.signal.came.notified()).await;
                    if came.is_err() {
                        cursor.broken.store(true, Ordering::SeqCst);
                        return Err(Error::Storage(format!("{stream}/{partition}@{from} does not come")));
                    }
                }
            }
        }
        let next = next_of(&records, from);
        cursor.at.store(next, Ordering::SeqCst);
        self.board.learn(cursor.place.partition, next);
        Ok(Some(Batch { stream, partition, records, next }))
    }

    /// Why a partition cannot be read on.
    async fn reason(&self, partition: Partition, from: u64, error: &KafkaError) -> Error {
        let asked = (self.net.topic(partition.0.name()), partition.1);
        let bounds = async {
            Ok::<_, Error>((self.inquiries.beginning(asked.clone()).await?, self.inquiries.end(asked).await?))
        };
        match bounds.await {
            Ok((earliest, end)) => {
                exists(partition, from, earliest, end).err().unwrap_or_else(|| self.damage(partition, from, error))
            }
            Err(_) => failed(error),
        }
    }

    fn damage(&self, (stream, partition): Partition, offset: u64, error: &KafkaError) -> Error {
        use rdkafka::error::RDKafkaErrorCode::{BadMessage, InvalidMessage};
        match error.rdkafka_error_code() {
            Some(BadMessage | InvalidMessage) => {
                crate::metering::damaged();
                Error::Damaged { stream, partition, offset, reason: error.to_string() }
            }
            _ => failed(error),
        }
    }
}

fn exists((stream, partition): Partition, from: u64, earliest: u64, end: u64) -> Result<()> {
    if from < earliest {
        return Err(Error::Truncated { stream, partition, from, earliest });
    }
    if from > end {
        return Err(Error::Beyond { stream, partition, from, end });
    }
    Ok(())
}

/// A partition whose queue is there, and of which nothing is fetched yet: what is fetched before there is one lies in the queue of the whole
/// client, where nobody looks for it.
struct Queued {
    topic: String,
    queue: PartitionQueue<Voice>,
    signal: Arc<Signal>,
    place: Place,
}

impl Queued {
    fn of(place: Place, topic: String, board: &Arc<Board>) -> Result<Self> {
        let partition = place.partition.1;
        let queue = place.lane.reader.split_partition_queue(&topic, number(partition));
        let mut queue = queue.ok_or_else(|| Error::Storage(format!("{topic}/{partition} has no queue")))?;
        let signal = Arc::new(Signal { ready: AtomicBool::new(true), came: Notify::new() });
        let (bell, board) = (Arc::clone(&signal), Arc::clone(board));
        queue.set_nonempty_callback(move || {
            bell.ready.store(true, Ordering::SeqCst);
            bell.came.notify_one();
            board.tick();
        });
        Ok(Self { topic, queue, signal, place })
    }

    /// Begins to fetch.
    fn fetch(self, from: u64) -> Result<Cursor> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, number(self.place.partition.1), offset(from)).map_err(|e| failed(&e))?;
        self.place.lane.reader.incremental_assign(&list).map_err(|e| failed(&e))?;
        let Self { topic, queue, signal, place } = self;
        Ok(Cursor {
            topic,
            signal,
            at: AtomicU64::new(from),
            used: AtomicU64::new(0),
            broken: AtomicBool::new(false),
            fetched: tokio::sync::Mutex::new(Fetched { queue, stash: None }),
            place,
        })
    }
}

impl Cursors {
    /// Whether a reader may find something at a place, as far as is known here.
    pub(crate) fn may_read(&self, reader: u64, partition: Partition, next: u64) -> bool {
        match self.find(reader, partition, next) {
            Some(cursor) => cursor.is_ready() || self.board.end(partition) > next,
            // Nobody looks there yet.
            None => true,
        }
    }

    /// Reads on, for a reader that goes on where it stopped.
    pub(crate) async fn read_on(&self, reader: u64, from: Position, most: Most) -> Result<Batch> {
        loop {
            let cursor = self.open(reader, from.partition(), from.offset).await?;
            if let Some(batch) = self.read(&cursor, from.offset, most).await? {
                return Ok(batch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    #[test]
    fn a_hole_is_believed_when_two_come_to_the_same() {
        let (holes, calls) = (Holes::default(), (Stream::EventsCall, 0));
        assert!(!holes.doubt(calls, 7, 7), "nothing is left out");
        assert!(holes.doubt(calls, 7, 9));
        assert!(holes.doubt(calls, 7, 8), "the next one finds more: what is missing may still come");
        assert!(!holes.doubt(calls, 7, 8));
        assert!(holes.doubt((Stream::EventsCall, 1), 7, 8), "each partition by itself");
        assert!(!holes.doubt((Stream::Views, 0), 7, 9), "brokers compact it");
    }
}
