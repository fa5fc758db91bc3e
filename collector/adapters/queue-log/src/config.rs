//! Which files, and who is who in them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Millis, Problems};

/// A `queue_log`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Files to read. To follow, exactly one: the live file; its rotation is noticed. To import, any number, in any order;
    /// `.gz` is unpacked. The command line's paths replace these.
    pub paths: Vec<PathBuf>,
    /// Follow the file as it grows, instead of importing what is in it.
    pub follow: bool,
    /// How often the followed file is looked at.
    pub poll: Millis,
    /// At most so many lines in all imported files together: they are sorted by time in memory.
    pub lines_max: usize,
    /// The file names one agent in two ways (`PJSIP/101` when a member is added, `Agent 101` when it answers): from the
    /// file's word to the agent's id. A word that is not here is the id.
    pub agents: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            paths: Vec::new(),
            follow: false,
            poll: Millis::new(200),
            lines_max: 20_000_000,
            agents: BTreeMap::new(),
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        if self.paths.is_empty() {
            problems.add("paths", "[]", "names no file", "give at least one path, here or on the command line");
        }
        if self.follow && self.paths.len() > 1 {
            problems.add("paths", self.paths.len(), "names more than one file to follow", "make a source for each");
        }
        problems.range("poll", self.poll, Millis::new(10)..=Millis::seconds(60));
        problems.range("lines_max", self.lines_max, 1..=100_000_000);
    }
}
