//! The table `[collector]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::config::{ConfigFile, Millis, Problems};

use crate::registry::registry;

/// The most sources of one collector.
const SOURCES_MAX: usize = 256;

/// The table `[collector]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The journal; unused when the process provides one to all its components.
    pub journal: journal::config::Config,
    /// The vendor instances to collect from, by name. The name stands in every event (`source`): never change it.
    pub sources: BTreeMap<String, Source>,
}

/// One vendor instance.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// Which adapter: `asterisk`, `queue-log`, `calls-csv`, `replay`.
    pub kind: String,
    /// The adapter's own table; its keys are in the adapter's reference.
    pub config: Value,
    /// How often a heartbeat is written while the vendor shows life. After two missed ones its agents are `unknown`.
    pub heartbeat: Millis,
    /// How long connecting may take, log-in included.
    pub connect_timeout: Millis,
    /// The first wait after a broken link; it doubles, with jitter, up to `retry_max`.
    pub retry_first: Millis,
    /// The longest wait between two attempts: every second without the vendor is a second of blindness.
    pub retry_max: Millis,
    /// The wait after the vendor refused us (a wrong secret, say), which only a person can end.
    pub retry_refused: Millis,
    /// Keep the vendor's frames in the `raw` stream, so that an adapter's bug can be repaired by translating again.
    pub keep_raw: bool,
    /// The most facts that are held while they cannot be written: while another collector of this source writes, or the journal is away.
    pub held_max: usize,
    /// Of a recording: so many times real time. Not set: as fast as possible.
    pub speed: Option<f64>,
}

impl Default for Source {
    fn default() -> Self {
        Source {
            kind: String::new(),
            config: Value::Object(serde_json::Map::new()),
            heartbeat: Millis::seconds(5),
            connect_timeout: Millis::seconds(10),
            retry_first: Millis::new(250),
            retry_max: Millis::seconds(3),
            retry_refused: Millis::seconds(30),
            keep_raw: false,
            held_max: 200_000,
            speed: None,
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.within("journal", |problems| self.journal.check(problems));
        problems.range("sources", self.sources.len(), 0..=SOURCES_MAX);
        for (name, source) in &self.sources {
            problems.within(&format!("sources.{name}"), |problems| source.check(problems));
        }
    }
}

impl ConfigFile for Source {
    fn check(&self, problems: &mut Problems) {
        problems.range("heartbeat", self.heartbeat, Millis::new(100)..=Millis::seconds(3_600));
        problems.range("connect_timeout", self.connect_timeout, Millis::new(100)..=Millis::seconds(300));
        problems.range("retry_first", self.retry_first, Millis::new(10)..=self.retry_max);
        problems.range("retry_max", self.retry_max, Millis::new(10)..=Millis::seconds(3_600));
        problems.range("retry_refused", self.retry_refused, Millis::new(10)..=Millis::seconds(3_600));
        problems.range("held_max", self.held_max, 1_000..=10_000_000);
        if let Some(speed) = self.speed {
            problems.range("speed", speed, 0.001..=1_000_000.0);
        }
        match registry().kind(&self.kind) {
            Err(what) => problems.add("kind", &self.kind, "is no adapter", what),
            Ok(kind) => {
                if let Err(found) = kind.plan(&self.config) {
                    problems.extend("config", found);
                }
            }
        }
    }
}
