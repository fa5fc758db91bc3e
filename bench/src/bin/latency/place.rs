//! Where the journal lies, and what its place does by itself: the peer.

use std::path::Path;
use std::time::Duration;

use bench::broker::Broker;
use clap::ValueEnum;
use journal::config::{Config, Kind as In};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use service::Clock;

use super::disk;

/// How long a bare client writes.
const LENGTH: Duration = Duration::from_secs(2);
/// The topic that the bare client writes into.
const BARE: &str = "bare.raw";

/// Where the journal lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// In a file.
    Embedded,
    /// In a Kafka of this machine.
    Kafka,
}

impl Kind {
    /// Until everything is warm at a rate: a broker compiles what it does often, and takes the processor for it meanwhile.
    pub fn warm(self) -> Duration {
        Duration::from_secs(if self == Kind::Kafka { 10 } else { 3 })
    }

    /// The finding's name, what is claimed, and who is beside it.
    pub fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Kind::Embedded => (
                "latency",
                "what happens is on the wallboard at once, and never before it is on disk twice",
                "the disk's own append and fdatasync of 4 KiB, before and after, p99",
            ),
            Kind::Kafka => (
                "latency-kafka",
                "over Kafka, too, what happens is on the wallboard at once, and never before the broker has acknowledged it twice",
                "a bare rdkafka client's record of 4 KiB until the same broker acknowledges it, one at a time, before and after, p99",
            ),
        }
    }
}

/// The place, for all rates.
pub struct Place(Option<Broker>);

impl Place {
    /// Starts a broker where one is needed.
    pub fn new(kind: Kind) -> anyhow::Result<Self> {
        Ok(Self(if kind == Kind::Kafka { Some(Broker::start()?) } else { None }))
    }

    /// The broker's address.
    pub fn server(&self) -> Option<String> {
        self.0.as_ref().map(Broker::server)
    }

    /// A journal with nothing in it.
    pub async fn made(&self, folder: &Path, prefix: &str) -> anyhow::Result<Config> {
        let config = journal(folder, self.server().map(|server| (server, prefix.to_owned())));
        if let Some(broker) = &self.0 {
            broker.journal(prefix, config.topology()).await?;
        }
        Ok(config)
    }

    /// What the place itself takes to keep four kilobytes, milliseconds each.
    pub async fn peer(&self, clock: &Clock) -> anyhow::Result<Vec<f64>> {
        let Some(broker) = &self.0 else {
            return disk::syncs(tempfile::tempdir()?.path(), clock);
        };
        broker.journal("bare.", journal::Topology::uniform(1)).await?;
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker.server()).set("acks", "all").set("linger.ms", "0");
        let client: FutureProducer = client.create()?;
        let (begun, block, mut took) = (clock.monotonic(), [7_u8; 4096], Vec::new());
        while clock.monotonic() - begun < LENGTH {
            let start = clock.monotonic();
            let record = FutureRecord::<(), _>::to(BARE).partition(0).payload(&block[..]);
            client.send(record, Duration::from_secs(10)).await.map_err(|(error, _)| error)?;
            took.push((clock.monotonic() - start).as_secs_f64() * 1e3);
        }
        Ok(took)
    }
}

/// A journal's configuration: in a folder, or at a broker, with topics of this prefix.
pub fn journal(folder: &Path, broker: Option<(String, String)>) -> Config {
    let mut config = Config { path: folder.join("journal.db"), ..Config::default() };
    if let Some((server, prefix)) = broker {
        config.kind = In::Kafka;
        config.kafka.brokers = vec![server];
        config.kafka.prefix = prefix;
    }
    config
}
