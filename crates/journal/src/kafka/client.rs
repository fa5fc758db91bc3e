//! What every client of the brokers is told, and the questions that block until a broker answers.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::{Error, Result};

/// How connections are made.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// Encrypted, or in the clear.
    pub tls: Option<Tls>,
    /// Who we are, or nobody in particular.
    pub login: Option<Login>,
}

/// Files of an encrypted connection, PEM.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whom to trust; the machine's own authorities when absent.
    pub ca: Option<PathBuf>,
    /// Our certificate, for brokers that ask for one.
    pub certificate: Option<PathBuf>,
    /// The certificate's key.
    pub key: Option<PathBuf>,
}

/// A SASL login.
#[derive(Clone)]
pub struct Login {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({} by {})", self.user, self.mechanism)
    }
}

/// Takes what a client says of itself to our log, and remembers the last complaint: a refused login is a complaint, not an answer.
#[derive(Default)]
pub(crate) struct Voice {
    complaint: Mutex<Option<String>>,
}

impl ClientContext for Voice {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Lost connections are said by whoever could not do something because of them.
        tracing::debug!(?level, facility, message, "kafka client");
        if level as i32 <= RDKafkaLogLevel::Warning as i32 {
            // What stands before the text names a thread of the client.
            let text = message.split_once("]: ").map_or(message, |(_, text)| text);
            *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Voice {}

/// A consumer that is told what to read; it is in no group of Kafka's.
pub(crate) type Reader = BaseConsumer<Voice>;

/// Where the brokers are, and how to talk to them.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) brokers: String,
    pub(crate) prefix: String,
    pub(crate) security: Security,
    /// How long a broker may take to answer.
    pub(crate) timeout: Duration,
}

impl Net {
    /// What all clients have in common.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let tls = self.security.tls.as_ref();
        let protocol = match (tls.is_some(), self.security.login.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "tidegate")
            .set("security.protocol", protocol)
            .set("allow.auto.create.topics", "false")
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("retry.backoff.ms", "50")
            .set("log.connection.close", "false");
        let files = tls.map(|tls| {
            [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.certificate),
                ("ssl.key.location", &tls.key),
            ]
        });
        for (name, file) in files.into_iter().flatten() {
            if let Some(file) = file {
                config.set(name, file.to_string_lossy());
            }
        }
        if let Some(login) = &self.security.login {
            config.set("sasl.mechanism", &login.mechanism);
            config.set("sasl.username", &login.user).set("sasl.password", &login.password);
        }
        config
    }

    /// What readers have in common. Positions are ours: nothing is stored at the broker.
    pub(crate) fn reader_config(&self) -> ClientConfig {
        let mut config = self.config();
        config
            // the client wants a name here even of those that are in no group
            .set("group.id", format!("{}readers", self.prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("check.crcs", "true")
            // what is gone is told, never skipped
            .set("auto.offset.reset", "error")
            // a partition that is added to a reader waits for the request that is under way
            .set("fetch.wait.max.ms", "50")
            .set("fetch.error.backoff.ms", "100")
            // each partition has a queue of its own; the bounds are per queue, and a full one must not sleep for a second
            .set("queued.min.messages", "20000")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.queue.backoff.ms", "2")
            .set("fetch.message.max.bytes", "1048576");
        config
    }

    /// Makes a client.
    pub(crate) fn client<T: FromClientConfigAndContext<C>, C: ClientContext>(
        &self,
        config: &ClientConfig,
        context: C,
    ) -> Result<T> {
        T::from_config_and_context(config, context)
            .map_err(|e| Error::Unreachable { brokers: self.brokers.clone(), reason: e.to_string() })
    }

    /// A client for what is done to topics.
    pub(crate) fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        self.client(&self.config(), DefaultClientContext)
    }

    /// The topic of a stream, or of the books.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Runs what blocks on a thread of its own.
#[expect(clippy::disallowed_methods, reason = "awaited at once, so its panic is seen here")]
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Storage(e.to_string()))?
}

/// A failed question: nothing was written by it.
pub(crate) fn failed(error: &KafkaError) -> Error {
    Error::Storage(error.to_string())
}

/// Asks the brokers where partitions begin and end.
#[derive(Clone)]
pub(crate) struct Inquiries {
    reader: Arc<Reader>,
    timeout: Duration,
}

/// A question about a partition of a topic.
pub(crate) type Asked = (String, u32);

const END: i64 = -1;
const BEGINNING: i64 = -2;

impl Inquiries {
    pub(crate) fn new(net: &Net) -> Result<Self> {
        let reader = net.client(&net.reader_config(), Voice::default())?;
        Ok(Self { reader: Arc::new(reader), timeout: net.timeout })
    }

    pub(crate) fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// What the client last complained of.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.listen();
        self.reader.client().context().complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hears what the client says of itself. To be called now and then.
    pub(crate) fn listen(&self) {
        while let Some(event) = self.reader.poll(Duration::ZERO) {
            if let Err(error) = event {
                tracing::debug!(%error, "kafka client");
            }
        }
    }

    /// The offsets that the next records will get.
    pub(crate) async fn ends(&self, asked: Vec<Asked>) -> Result<Vec<u64>> {
        let found = self.query(asked.into_iter().map(|asked| (asked, END)).collect()).await?;
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// The offset that the next record of one partition will get.
    pub(crate) async fn end(&self, asked: Asked) -> Result<u64> {
        Ok(self.ends(vec![asked]).await?.into_iter().next().unwrap_or_default())
    }

    /// The first offset that is kept.
    pub(crate) async fn beginning(&self, asked: Asked) -> Result<u64> {
        Ok(self.query(vec![(asked, BEGINNING)]).await?.into_iter().next().flatten().unwrap_or_default())
    }

    /// The first record taken at or after a moment; `None` when there is none.
    pub(crate) async fn since(&self, asked: Asked, at_ms: i64) -> Result<Option<u64>> {
        Ok(self.query(vec![(asked, at_ms.max(0))]).await?.into_iter().next().flatten())
    }

    async fn query(&self, asked: Vec<(Asked, i64)>) -> Result<Vec<Option<u64>>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let (reader, timeout) = (Arc::clone(&self.reader), self.timeout);
        blocking(move || {
            let mut list = TopicPartitionList::with_capacity(asked.len());
            for ((topic, partition), when) in &asked {
                let offset = if *when == END {
                    Offset::End
                } else if *when == BEGINNING {
                    Offset::Beginning
                } else {
                    Offset::Offset(*when)
                };
                list.add_partition_offset(topic, number(*partition), offset).map_err(|e| failed(&e))?;
            }
            persist(&reader, &asked[0].0.0, timeout, || {
                let answer = reader.offsets_for_times(list.clone(), timeout)?;
                let mut found = Vec::with_capacity(asked.len());
                for ((topic, partition), _) in &asked {
                    let element = answer.find_partition(topic, number(*partition));
                    let element = element.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition))?;
                    element.error()?;
                    found.push(if let Offset::Offset(at) = element.offset() { u64::try_from(at).ok() } else { None });
                }
                Ok(found)
            })
        })
        .await
    }

    /// Where a partition begins and ends. Blocks.
    pub(crate) fn bounds(&self, topic: &str, partition: u32) -> Result<(u64, u64)> {
        let ask = || self.reader.fetch_watermarks(topic, number(partition), self.timeout);
        let (earliest, end) = persist(&self.reader, topic, self.timeout, ask)?;
        Ok((earliest.unsigned_abs(), end.unsigned_abs()))
    }
}

/// Asks again while a partition finds its leader: a topic that was just made, or a broker that went. Blocks.
fn persist<T>(
    reader: &Reader,
    topic: &str,
    timeout: Duration,
    ask: impl Fn() -> std::result::Result<T, KafkaError>,
) -> Result<T> {
    use RDKafkaErrorCode as Code;
    const PAUSE: Duration = Duration::from_millis(100);
    let mut left = timeout.as_millis() / PAUSE.as_millis();
    loop {
        let error = match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let passing = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::NotLeaderForPartition
                    | Code::LeaderNotAvailable
                    | Code::UnknownTopicOrPartition
                    | Code::UnknownPartition
                    | Code::ReplicaNotAvailable
                    | Code::FencedLeaderEpoch
                    | Code::UnknownLeaderEpoch
                    | Code::OffsetNotAvailable
                    | Code::BrokerTransportFailure
                    // The client gave up its handle of a broker that went while the question was under way.
                    | Code::DestroyBroker
            )
        );
        if !passing || left == 0 {
            return Err(failed(&error));
        }
        left -= 1;
        std::thread::sleep(PAUSE);
        // Makes the client learn who leads now. When nobody answers, the question itself says so.
        let _ = reader.fetch_metadata(Some(topic), PAUSE * 10);
    }
}

/// A partition as the client counts it.
pub(crate) fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// An offset as the client counts it.
pub(crate) fn offset(at: u64) -> Offset {
    Offset::Offset(i64::try_from(at).unwrap_or(i64::MAX))
}
