//! The table `[journal]`: which journal a process uses, and how to open it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Problems};

use crate::embedded::{Embedded, Options};
use crate::{Clock, Journal, Stream, Topology};

/// The table `[journal]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The embedded journal's file; several processes of one host may share it.
    pub path: PathBuf,
    /// Partitions per stream (`"events.call" = 8`), fixed when the journal is created. Streams not named have the defaults.
    pub partitions: BTreeMap<String, u32>,
}

impl Default for Config {
    fn default() -> Self {
        Config { path: PathBuf::from("data/journal.db"), partitions: BTreeMap::new() }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        if self.path.as_os_str().is_empty() {
            problems.add("path", "\"\"", "is empty", "write the file's path, such as data/journal.db");
        }
        for (name, count) in &self.partitions {
            if name.parse::<Stream>().is_err() {
                let known = Stream::ALL.map(Stream::name).join(", ");
                problems.add(&format!("partitions.{name}"), count, "names no stream", format!("use one of {known}"));
            }
            problems.range(&format!("partitions.{name}"), *count, 1..=Topology::PARTITIONS_MAX);
        }
    }
}

impl Config {
    /// The topology that this asks for.
    pub fn topology(&self) -> Topology {
        let named = self.partitions.iter().filter_map(|(name, count)| Some((name.parse().ok()?, *count)));
        named.fold(Topology::default(), |topology, (stream, count)| topology.with(stream, count))
    }

    /// Opens the journal.
    ///
    /// # Errors
    /// `TG0101` when it cannot be opened; the message names the file and the reason.
    pub async fn open(&self, clock: &service::Clock) -> service::Result<Arc<dyn Journal>> {
        let (wall, steady) = (clock.clone(), clock.clone());
        let clock = Clock::new(move || wall.now_ms(), move || steady.monotonic());
        match Embedded::open(Options::new(&self.path, self.topology(), clock)).await {
            Ok(journal) => Ok(journal),
            Err(error) => {
                let message = format!("cannot open the journal {}", self.path.display());
                Err(service::Error::dependency("TG0101", message).caused_by(error))
            }
        }
    }
}

/// The process's journal: the one it provides to all its components, else one of this component's own.
///
/// # Errors
/// As [`Config::open`].
pub async fn of_process(config: &Config, context: &service::Context) -> service::Result<Arc<dyn Journal>> {
    match context.shared::<Arc<dyn Journal>>() {
        Some(journal) => Ok(journal),
        None => config.open(&context.clock).await,
    }
}
