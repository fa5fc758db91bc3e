//! Writing: one idempotent producer, acknowledged by all replicas that are in sync, with a bound on what is under way.
//!
//! - Invariant: records of one call that go to one partition lie there one after the other; calls do not interleave.
//! - Invariant: what waits is bounded by bytes. Who comes when it is full waits; nothing is ever dropped.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::client::{Net, number};
use crate::{Error, Result};

/// The largest record: the largest value and the largest key, and what goes around them.
pub(crate) const RECORD_BYTES: usize = 9 << 20;

/// A record on its way.
pub(crate) struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    pub(crate) key: Option<Bytes>,
    /// `None`: a tombstone.
    pub(crate) value: Option<Bytes>,
    pub(crate) at_ms: i64,
}

impl Message {
    fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// The answer to a call: the offset of each of its records, in order.
pub(crate) type Answer = oneshot::Receiver<Result<Vec<u64>>>;

/// One call, shared by the tickets of its records.
struct Call {
    offsets: Vec<AtomicU64>,
    left: AtomicUsize,
    fault: Mutex<Option<String>>,
    reply: Mutex<Option<oneshot::Sender<Result<Vec<u64>>>>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Call {
    fn done(&self, index: usize, outcome: std::result::Result<u64, String>) {
        match outcome {
            Ok(offset) => self.offsets[index].store(offset, Ordering::Relaxed),
            Err(fault) => _ = lock(&self.fault).get_or_insert(fault),
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let outcome = match lock(&self.fault).take() {
            Some(fault) => Err(Error::Unanswered(fault)),
            None => Ok(self.offsets.iter().map(|offset| offset.load(Ordering::Relaxed)).collect()),
        };
        if let Some(reply) = lock(&self.reply).take() {
            let _ = reply.send(outcome); // nobody listens when the caller has gone
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A record's place in its call.
pub(crate) struct Ticket {
    call: Arc<Call>,
    index: usize,
}

/// Takes the brokers' acknowledgements.
pub(crate) struct Receipts;

impl ClientContext for Receipts {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "kafka producer");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for Receipts {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let outcome = match result {
            Ok(message) => u64::try_from(message.offset()).map_err(|_| "no offset".to_owned()),
            Err((error, _)) => Err(error.to_string()),
        };
        ticket.call.done(ticket.index, outcome);
    }
}

type Producer = ThreadedProducer<Receipts>;

/// The one way to write.
pub(crate) struct Outbox {
    net: Net,
    compression: &'static str,
    producer: RwLock<Option<Arc<Producer>>>,
    /// Held while the records of a call are handed over, so that no other call comes in between.
    order: Mutex<()>,
    room: Arc<Semaphore>,
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}

impl Outbox {
    pub(crate) fn new(net: Net, queue_bytes: usize) -> Result<Self> {
        let room = Arc::new(Semaphore::new(kib(queue_bytes.max(crate::contract::limit::CALL_BYTES)) as usize));
        let outbox = Self { net, compression: "lz4", producer: RwLock::new(None), order: Mutex::new(()), room };
        *outbox.producer.write().unwrap_or_else(PoisonError::into_inner) = Some(outbox.make()?);
        Ok(outbox)
    }

    fn config(&self) -> ClientConfig {
        let mut config = self.net.config();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", self.compression)
            .set("linger.ms", "1")
            .set("message.timeout.ms", self.net.timeout.as_millis().to_string())
            .set("message.max.bytes", RECORD_BYTES.to_string())
            // bounded by our own measure, which counts what callers count
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "2147483647");
        config
    }

    fn make(&self) -> Result<Arc<Producer>> {
        Ok(Arc::new(self.net.client(&self.config(), Receipts)?))
    }

    /// The producer; a new one when the old one cannot go on.
    fn producer(&self) -> Result<Arc<Producer>> {
        let current = self.producer.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)?;
        let Some((code, reason)) = current.client().fatal_error() else { return Ok(current) };
        tracing::warn!(?code, reason, "the producer cannot go on; another one takes its place");
        let mut slot = self.producer.write().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(other) if !Arc::ptr_eq(other, &current) => Ok(Arc::clone(other)),
            Some(_) => Ok(Arc::clone(slot.insert(self.make()?))),
            None => Err(Error::Closed),
        }
    }

    /// Writes, when there is room, and answers when all replicas in sync have it.
    pub(crate) async fn send(&self, messages: Vec<Message>) -> Result<Vec<u64>> {
        let size = kib(messages.iter().map(Message::size).sum());
        let room = Arc::clone(&self.room).acquire_many_owned(size).await.map_err(|_| Error::Closed)?;
        self.post(messages, Some(room))?.await.map_err(|_| Error::Closed)?
    }

    /// Hands over without waiting: for what is small and seldom.
    pub(crate) fn post(&self, messages: Vec<Message>, room: Option<OwnedSemaphorePermit>) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        if messages.is_empty() {
            let _ = reply.send(Ok(Vec::new()));
            return Ok(answer);
        }
        let producer = self.producer()?;
        let call = Arc::new(Call {
            offsets: messages.iter().map(|_| AtomicU64::new(0)).collect(),
            left: AtomicUsize::new(messages.len()),
            fault: Mutex::new(None),
            reply: Mutex::new(Some(reply)),
            _room: room,
        });
        let _turn = lock(&self.order);
        for (index, message) in messages.iter().enumerate() {
            let ticket = Box::new(Ticket { call: Arc::clone(&call), index });
            let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(&message.topic, ticket)
                .partition(number(message.partition))
                .timestamp(message.at_ms.max(1));
            if let Some(key) = &message.key {
                record = record.key(key);
            }
            if let Some(value) = &message.value {
                record = record.payload(value);
            }
            if let Err((error, _)) = producer.send(record) {
                call.done(index, Err(error.to_string()));
            }
        }
        Ok(answer)
    }

    /// Writes what is under way, and takes nothing more.
    pub(crate) async fn close(&self) -> Result<()> {
        let last = self.producer.write().unwrap_or_else(PoisonError::into_inner).take();
        self.room.close();
        let Some(producer) = last else { return Ok(()) };
        let timeout = self.net.timeout;
        super::client::blocking(move || producer.flush(timeout).map_err(|e| Error::Unanswered(e.to_string()))).await
    }
}
