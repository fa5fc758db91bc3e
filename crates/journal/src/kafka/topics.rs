//! The topics: as `deploy/kafka/topics.toml` defines them, as they are, and what lies between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode;
use serde::Deserialize;

use super::Options;
use super::clerk::BOOKS;
use super::client::{Inquiries, Net, blocking, failed};
use crate::{Error, Result, Stream, Topology};

/// The checked-in definition.
const DEFINITION: &str = include_str!("../../../../deploy/kafka/topics.toml");
/// How long the brokers may take to let a client in.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a topic that was just made may take to be known.
const KNOWN: Duration = Duration::from_secs(30);

/// What the topics are to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Copies of each partition.
    pub replication: u32,
    /// How many copies must have a record before it counts.
    pub min_insync: u32,
    /// Settings of every topic.
    pub every: BTreeMap<String, String>,
    /// The topics, by name without the prefix.
    pub topics: BTreeMap<String, Topic>,
}

/// What one topic is to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// The number of partitions.
    pub partitions: u32,
    /// Settings that differ from those of every topic.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl Definition {
    /// The definition that belongs to this version.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn checked_in() -> Self {
        toml::from_str(DEFINITION).expect("the definition is part of the program, and a test reads it")
    }

    /// The settings of a topic.
    fn settings(&self, name: &str) -> BTreeMap<&str, &str> {
        let own = self.topics.get(name).into_iter().flat_map(|topic| &topic.settings);
        self.every.iter().chain(own).map(|(key, value)| (key.as_str(), value.as_str())).collect()
    }

    /// The number of partitions of a topic in a deployment.
    fn partitions(&self, name: &str, topology: &Topology) -> u32 {
        match name.parse::<Stream>() {
            Ok(stream) => topology.partitions(stream),
            Err(_) => self.topics.get(name).map_or(1, |topic| topic.partitions),
        }
    }

    /// How many copies must have a record, of so many.
    fn insync_of(&self, replication: u32) -> u32 {
        self.min_insync.min(replication.saturating_sub(1)).max(1)
    }
}

/// A topic as it is.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    partitions: u32,
    replication: u32,
    /// Empty where we may not ask for it.
    settings: BTreeMap<String, String>,
}

/// The topics that are there, by name without the prefix.
pub(crate) type FoundTopics = BTreeMap<String, Found>;

/// What making the topics did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Created {
    /// Names of the topics that were made.
    pub made: Vec<String>,
    /// Names of those that were there already, as they are.
    pub there: Vec<String>,
}

fn admin(net: &Net) -> Result<AdminClient<DefaultClientContext>> {
    net.config().create().map_err(|e| Error::Unreachable { brokers: net.brokers.clone(), reason: e.to_string() })
}

/// Asks the brokers for our topics.
pub(crate) async fn found(net: &Net, inquiries: &Inquiries) -> Result<FoundTopics> {
    let (reader, prefix) = (Arc::clone(inquiries.reader()), net.prefix.clone());
    let wait = net.timeout.min(CONNECT);
    let listed = blocking(move || {
        let mut found = FoundTopics::new();
        for name in Definition::checked_in().topics.into_keys() {
            let metadata = reader.fetch_metadata(Some(&format!("{prefix}{name}")), wait).map_err(|e| failed(&e))?;
            let Some(topic) = metadata.topics().iter().find(|topic| topic.error().is_none()) else { continue };
            if topic.partitions().is_empty() {
                continue;
            }
            let replication = topic.partitions().iter().map(|part| part.replicas().len()).min().unwrap_or_default();
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let (partitions, replication) = (count(topic.partitions().len()), count(replication));
            found.insert(name, Found { partitions, replication, settings: BTreeMap::new() });
        }
        Ok(found)
    });
    let mut listed = listed.await.map_err(|error| {
        let reason = inquiries.complaint().unwrap_or_else(|| error.to_string());
        Error::Unreachable { brokers: net.brokers.clone(), reason }
    })?;
    describe(net, &mut listed).await?;
    Ok(listed)
}

/// Adds the settings of the topics. Who may not ask is content with the rest.
async fn describe(net: &Net, found: &mut FoundTopics) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = found.keys().map(|name| net.topic(name)).collect();
    let asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(net.timeout));
    let answers = admin(net)?.describe_configs(&asked, &options).await.map_err(|e| failed(&e))?;
    for (topic, answer) in found.iter_mut().zip(answers) {
        match answer {
            Ok(config) => {
                let entries = config.entries.into_iter();
                topic.1.settings = entries.filter_map(|entry| Some((entry.name, entry.value?))).collect();
            }
            Err(code) => {
                tracing::warn!(?code, topic = topic.0, "the settings of a topic may not be read, and are not checked")
            }
        }
    }
    Ok(())
}

/// How many partitions the books have.
pub(crate) fn books(found: &FoundTopics, _prefix: &str) -> u32 {
    found.get(BOOKS).map_or(1, |books| books.partitions)
}

/// What keeps the journal from working: a sentence for each.
pub(crate) fn hindrances(found: &FoundTopics, prefix: &str, topology: &Topology) -> Vec<String> {
    let definition = Definition::checked_in();
    let mut wrong = Vec::new();
    for name in definition.topics.keys() {
        let Some(topic) = found.get(name) else {
            wrong.push(format!("{prefix}{name} is missing"));
            continue;
        };
        let wanted = definition.partitions(name, topology);
        // The books may have any number: it is read from them.
        if topic.partitions != wanted && name != BOOKS {
            wrong.push(format!(
                "{prefix}{name} has {} partitions, and the configuration says {wanted}",
                topic.partitions
            ));
        }
        for (key, wanted) in definition.settings(name) {
            match topic.settings.get(key).map(String::as_str) {
                Some(has) if !suffices(key, has, wanted) => {
                    wrong.push(format!("{prefix}{name} has {key}={has}, and it must be {wanted}"));
                }
                _ => {}
            }
        }
    }
    wrong
}

/// Whether a setting is as good as the one that is wanted.
fn suffices(key: &str, has: &str, wanted: &str) -> bool {
    let larger = || has.parse::<i64>().ok().zip(wanted.parse::<i64>().ok()).is_some_and(|(has, wanted)| has >= wanted);
    has == wanted || (key == "max.message.bytes" && larger())
}

/// What lets the journal work, but less safely than defined.
fn weaknesses(found: &FoundTopics, prefix: &str) -> Vec<String> {
    let definition = Definition::checked_in();
    let mut weak = Vec::new();
    for (name, topic) in found {
        if topic.replication < definition.replication {
            weak.push(format!(
                "{prefix}{name} has {} copies, and {} are defined",
                topic.replication, definition.replication
            ));
        }
        let insync = topic.settings.get("min.insync.replicas").and_then(|value| value.parse::<u32>().ok());
        let wanted = definition.insync_of(topic.replication);
        if insync.is_some_and(|insync| insync < wanted) {
            weak.push(format!(
                "{prefix}{name} has min.insync.replicas={}, and it should be {wanted}",
                insync.unwrap_or(0)
            ));
        }
    }
    weak
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// With these no component starts.
    pub hindrances: Vec<String>,
    /// With these it does, and what it writes is less safe than defined.
    pub weaknesses: Vec<String>,
}

/// Compares the topics with the definition.
///
/// # Errors
/// `Unreachable`, `Storage`.
pub async fn check(options: &Options) -> Result<Differences> {
    let net = options.net();
    let found = found(&net, &Inquiries::new(&net)?).await?;
    let hindrances = hindrances(&found, &options.prefix, &options.topology);
    Ok(Differences { hindrances, weaknesses: weaknesses(&found, &options.prefix) })
}

/// Makes the topics that are missing, with so many copies (by default as defined). Those that are there are left as they are.
///
/// # Errors
/// `Unreachable`, `Storage`; `Topics` when the brokers refuse some, by name.
pub async fn create(options: &Options, replication: Option<u32>) -> Result<Created> {
    let net = options.net();
    let inquiries = Inquiries::new(&net)?;
    let there = found(&net, &inquiries).await?;
    let definition = Definition::checked_in();
    let copies = replication.unwrap_or(definition.replication).max(1);
    let insync = definition.insync_of(copies).to_string();
    let missing: Vec<_> = definition.topics.keys().filter(|name| !there.contains_key(*name)).collect();
    let names: Vec<String> = missing.iter().map(|name| net.topic(name)).collect();
    let made = |(name, full): (&&String, &'_ String)| {
        let partitions = i32::try_from(definition.partitions(name, &options.topology)).unwrap_or(i32::MAX);
        (full.clone(), partitions, definition.settings(name))
    };
    let wanted: Vec<_> = missing.iter().zip(&names).map(made).collect();
    let mut topics = Vec::with_capacity(wanted.len());
    for (name, partitions, settings) in &wanted {
        let copies = i32::try_from(copies).unwrap_or(i32::MAX);
        let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(copies));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        topics.push(topic.set("min.insync.replicas", &insync));
    }
    if !topics.is_empty() {
        let options = AdminOptions::new().request_timeout(Some(net.timeout)).operation_timeout(Some(net.timeout));
        let answers = admin(&net)?.create_topics(&topics, &options).await.map_err(|e| failed(&e))?;
        let refused = answers.into_iter().filter_map(std::result::Result::err);
        // Somebody else may make them at the same moment.
        let refused = refused.filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists);
        let refused: Vec<_> = refused.map(|(name, code)| format!("{name} was refused: {code}")).collect();
        if !refused.is_empty() {
            return Err(Error::Topics(refused));
        }
        until_known(options_of(&net), &net, &inquiries, &definition).await?;
    }
    Ok(Created { made: names, there: there.into_keys().map(|name| net.topic(&name)).collect() })
}

/// How often, and how far apart, one looks whether topics are known.
fn options_of(_: &Net) -> (u32, Duration) {
    let pause = Duration::from_millis(50);
    (u32::try_from(KNOWN.as_millis() / pause.as_millis()).unwrap_or(1), pause)
}

/// Waits until the brokers know what they made.
async fn until_known(tries: (u32, Duration), net: &Net, inquiries: &Inquiries, definition: &Definition) -> Result<()> {
    for _ in 0..tries.0 {
        let known = found(net, inquiries).await?;
        if definition.topics.keys().all(|name| known.contains_key(name)) {
            return Ok(());
        }
        blocking(move || {
            std::thread::sleep(tries.1);
            Ok(())
        })
        .await?;
    }
    Err(Error::Storage("the topics were made, and the brokers do not know them yet".to_owned()))
}

/// Removes the topics with all that is in them: for tests, and for who starts anew.
///
/// # Errors
/// `Unreachable`, `Storage`.
pub async fn remove(options: &Options) -> Result<()> {
    let net = options.net();
    let names: Vec<String> = Definition::checked_in().topics.keys().map(|name| net.topic(name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let admin_options = AdminOptions::new().request_timeout(Some(net.timeout));
    let answers = admin(&net)?.delete_topics(&names, &admin_options).await.map_err(|e| failed(&e))?;
    for (name, code) in answers.into_iter().filter_map(std::result::Result::err) {
        if code != RDKafkaErrorCode::UnknownTopicOrPartition {
            return Err(Error::Storage(format!("{name} cannot be removed: {code}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_defined() -> FoundTopics {
        let definition = Definition::checked_in();
        let found = |(name, topic): (&String, &Topic)| {
            let settings = definition.settings(name).into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            (name.clone(), Found { partitions: topic.partitions, replication: 3, settings })
        };
        definition.topics.iter().map(found).collect()
    }

    #[test]
    fn the_definition_names_every_stream_as_the_default_topology_has_it_and_the_books() {
        let definition = Definition::checked_in();
        let mut names: Vec<_> = Stream::ALL.iter().map(|stream| stream.name()).chain([BOOKS]).collect();
        names.sort_unstable();
        assert_eq!(definition.topics.keys().map(String::as_str).collect::<Vec<_>>(), names);
        for stream in Stream::ALL {
            let name = stream.name();
            assert_eq!(definition.topics[name].partitions, Topology::default().partitions(stream), "{name}");
            let policy = definition.settings(name)["cleanup.policy"];
            assert_eq!(policy == "compact", stream.is_compacted(), "{name}");
        }
        let most: usize = definition.every["max.message.bytes"].parse().unwrap();
        assert_eq!(most, super::super::outbox::RECORD_BYTES);
    }

    #[test]
    fn topics_as_defined_hinder_nobody() {
        assert_eq!(hindrances(&as_defined(), "t.", &Topology::default()), Vec::<String>::new());
        assert_eq!(weaknesses(&as_defined(), "t."), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_named() {
        let mut found = as_defined();
        found.remove("raw");
        found.get_mut("events.call").unwrap().partitions = 3;
        found.get_mut("views").unwrap().settings.insert("cleanup.policy".to_owned(), "delete".to_owned());
        found.get_mut("ingest").unwrap().settings.insert("retention.ms".to_owned(), "604800000".to_owned());
        found.get_mut("records").unwrap().settings.insert("max.message.bytes".to_owned(), "99999999".to_owned());
        found.get_mut("health").unwrap().replication = 1;
        let wrong = hindrances(&found, "t.", &Topology::default());
        assert_eq!(
            wrong,
            [
                "t.events.call has 3 partitions, and the configuration says 4",
                "t.ingest has retention.ms=604800000, and it must be -1",
                "t.raw is missing",
                "t.views has cleanup.policy=delete, and it must be compact",
            ]
        );
        assert_eq!(weaknesses(&found, "t."), ["t.health has 1 copies, and 3 are defined"]);
    }
}
