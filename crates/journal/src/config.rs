//! The table `journal` of a component's configuration, and how a component gets its journal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Millis, Problems};
use service::{Clock, Context};

use crate::embedded::{Embedded, Options};
use crate::kafka::{self, Kafka};
use crate::{Journal, Stream, Topology};

/// Where a journal lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In a file of this host; every process of the host names the same one.
    #[default]
    Embedded,
    /// In Apache Kafka; every process of the deployment names the same brokers and the same prefix.
    Kafka,
}

/// The journal: a file of one host, or Apache Kafka for many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it lies.
    pub kind: Kind,
    /// Brokers, for the kind `kafka`.
    pub kafka: kafka::config::Config,
    /// For the kind `embedded`: the file, on a local disk; created with its directories when it is not there.
    pub path: PathBuf,
    /// Partitions by stream, `{ "events.call" = 4 }`; streams that are not named have their default. Fixed when the
    /// journal (its file, its topics) is created.
    pub partitions: BTreeMap<String, u32>,
    /// How long a process that died keeps its partitions.
    pub lease: Millis,
    /// How long a member of a group may work on one batch before its partitions go to others.
    pub max_poll: Millis,
    /// For the kind `embedded`: how long to wait for other processes that write.
    pub busy: Millis,
    /// How long records are kept, by stream; streams that are not named are kept for ever.
    pub keep: BTreeMap<String, Millis>,
    /// How often old and superseded records are removed.
    pub sweep: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            kafka: kafka::config::Config::default(),
            path: PathBuf::from("data/journal.db"),
            partitions: BTreeMap::new(),
            lease: Millis::seconds(3),
            max_poll: Millis::seconds(60),
            busy: Millis::seconds(10),
            keep: BTreeMap::from([
                (Stream::Raw.name().to_owned(), Millis::seconds(24 * 3_600)),
                (Stream::Health.name().to_owned(), Millis::seconds(3_600)),
            ]),
            sweep: Millis::seconds(60),
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        match self.kind {
            Kind::Embedded => problems.not_empty("path", &self.path.to_string_lossy()),
            Kind::Kafka => problems.within("kafka", |problems| self.kafka.check(problems)),
        }
        for (name, partitions) in &self.partitions {
            check_stream(problems, "partitions", name);
            problems.within("partitions", |problems| problems.range(name, *partitions, 1..=Topology::PARTITIONS_MAX));
        }
        for (name, keep) in &self.keep {
            check_stream(problems, "keep", name);
            problems.within("keep", |problems| problems.range(name, *keep, Millis::seconds(1)..=Millis::new(u64::MAX)));
        }
        problems.range("lease", self.lease, Millis::new(300)..=Millis::seconds(60));
        problems.range("max_poll", self.max_poll, self.lease.min(Millis::seconds(3_600))..=Millis::seconds(3_600));
        problems.range("busy", self.busy, Millis::new(100)..=Millis::seconds(60));
        problems.range("sweep", self.sweep, Millis::seconds(1)..=Millis::seconds(24 * 3_600));
    }
}

fn check_stream(problems: &mut Problems, table: &str, name: &str) {
    if name.parse::<Stream>().is_err() {
        let names = Stream::ALL.map(Stream::name).join(", ");
        problems.within(table, |problems| {
            problems.add(name, name, "is the name of no stream", format!("use one of {names}"));
        });
    }
}

impl Config {
    /// The partitions that the configuration asks for.
    pub fn topology(&self) -> Topology {
        let named = self.partitions.iter().filter_map(|(name, count)| Some((name.parse::<Stream>().ok()?, *count)));
        named.fold(Topology::default(), |topology, (stream, count)| topology.with(stream, count))
    }

    /// How the configuration opens the embedded journal.
    pub fn options(&self, clock: Clock) -> Options {
        let mut options = Options::new(&self.path, self.topology(), clock);
        options.lease = self.lease.duration();
        options.max_poll = self.max_poll.duration();
        options.busy = self.busy.duration();
        options
    }

    /// How the configuration opens the journal over Kafka. Reads the password.
    ///
    /// # Errors
    /// `TG0123` when the password cannot be read.
    pub fn kafka_options(&self, clock: Clock) -> service::Result<kafka::Options> {
        let mut options = self.kafka.options(self.topology(), clock)?;
        options.lease = self.lease.duration();
        options.max_poll = self.max_poll.duration();
        Ok(options)
    }

    /// Opens the journal, for this process alone.
    ///
    /// # Errors
    /// Those of [`Embedded::open`] and [`Kafka::open`]; the message names the file or the brokers, and the code the page that says what to
    /// do.
    pub async fn open(&self, clock: &Clock) -> service::Result<Arc<dyn Journal>> {
        let (opened, place): (crate::Result<Arc<dyn Journal>>, _) = match self.kind {
            Kind::Embedded => {
                let opened = Embedded::open(self.options(clock.clone())).await;
                (opened.map(|journal| journal as Arc<dyn Journal>), self.path.display().to_string())
            }
            Kind::Kafka => {
                let opened = Kafka::open(self.kafka_options(clock.clone())?).await;
                (opened.map(|journal| journal as Arc<dyn Journal>), format!("at {}", self.kafka.brokers.join(",")))
            }
        };
        opened.map_err(|error| {
            let class = service::Error::from(error.clone()).class();
            let message = format!("cannot open the journal {place}");
            service::Error::new(class, error.code().unwrap_or("TG0101"), message).caused_by(error)
        })
    }
}

/// The journal of a component: the one that the process provides to all its components (an `Arc<dyn Journal>` among the
/// context's shared things), or one opened for this component alone.
///
/// # Errors
/// As [`Config::open`].
pub async fn of_process(config: &Config, context: &Context) -> service::Result<Arc<dyn Journal>> {
    match context.shared::<Arc<dyn Journal>>() {
        Some(journal) => Ok(journal),
        None => config.open(&context.clock).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_problem() {
        let mut problems = Problems::new();
        Config::default().check(&mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(Config::default().topology(), Topology::default());
    }

    #[test]
    fn every_wrong_stream_and_count_is_told() {
        let partitions = BTreeMap::from([("events.calls".to_owned(), 4), ("events.agent".to_owned(), 0)]);
        let mut problems = Problems::new();
        Config { partitions, ..Config::default() }.check(&mut problems);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[tokio::test]
    async fn a_component_uses_the_journal_of_its_process() {
        let context = Context::new("test", "test-1", Clock::manual(0), &service::Seeds::fixed(1));
        let shared: Arc<dyn Journal> = crate::memory::Memory::new(Topology::default(), context.clock.clone());
        let context = context.with_shared(Arc::clone(&shared));
        let found = of_process(&Config::default(), &context).await.unwrap();
        assert!(Arc::ptr_eq(&found, &shared));
    }
}
