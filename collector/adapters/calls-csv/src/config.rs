//! Which column of the table means what.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Problems};

/// A table of calls and what its columns mean.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Files to read, in any order; `.gz` is unpacked. The command line's paths replace these.
    pub paths: Vec<PathBuf>,
    /// The character between fields.
    pub delimiter: char,
    /// At most so many rows in all files together: they are sorted by time in memory.
    pub rows_max: usize,
    /// The columns.
    pub columns: Columns,
    /// How dates and clocks are written.
    pub formats: Formats,
    /// What each text of the outcome column means.
    pub outcomes: BTreeMap<String, Outcome>,
    /// The IVR node that callers pass; `{queue}` stands for the queue. Empty: the table knows of no IVR.
    pub ivr_node: String,
    /// Texts of the caller column that mean "not known".
    pub caller_absent: Vec<String>,
}

/// Column names, as the header line has them. Empty: the table has no such column.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
    /// Columns that together name a call, once and for all.
    pub call: Vec<String>,
    /// The date of the first clock. Empty when the clocks carry their date.
    pub date: String,
    /// When the call arrived (entered the IVR).
    pub arrived: String,
    /// When it left the IVR: when it was offered.
    pub offered: String,
    /// When it entered the queue.
    pub queue_entered: String,
    /// When it left the queue.
    pub queue_left: String,
    /// How long it waited, in seconds.
    pub waited_s: String,
    /// When it was answered.
    pub answered: String,
    /// When the conversation ended.
    pub released: String,
    /// How long they spoke, in seconds.
    pub talked_s: String,
    /// How it ended: see `outcomes`.
    pub outcome: String,
    /// The queue.
    pub queue: String,
    /// The agent.
    pub agent: String,
    /// The caller: a number or another lasting name.
    pub caller: String,
    /// The priority, a whole number.
    pub priority: String,
    /// The trunk or line.
    pub trunk: String,
}

/// How dates and clocks are written.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Formats {
    /// The date column, in strftime letters (`%y%m%d`).
    pub date: String,
    /// Clocks with their date, in strftime letters (`%Y-%m-%d %H:%M:%S`). Empty: `h:mm:ss` after the date column, and a
    /// clock more than twelve hours before its predecessor is on the next day.
    pub moment: String,
    /// The text of a clock that means "did not happen", where the step's other clock says the same.
    pub absent: String,
    /// The IANA zone of the clocks; `UTC` takes them as they stand, without daylight-saving time.
    pub time_zone: String,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An agent answered.
    Answered,
    /// The caller left.
    Abandoned,
    /// No call at all: only counted.
    Phantom,
}

impl Default for Formats {
    fn default() -> Self {
        Formats {
            date: "%Y-%m-%d".to_owned(),
            moment: String::new(),
            absent: String::new(),
            time_zone: "UTC".to_owned(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            paths: Vec::new(),
            delimiter: ',',
            rows_max: 2_000_000,
            columns: Columns::default(),
            formats: Formats::default(),
            outcomes: BTreeMap::new(),
            ivr_node: String::new(),
            caller_absent: vec![String::new()],
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        if self.paths.is_empty() {
            problems.add("paths", "[]", "names no file", "give at least one path, here or on the command line");
        }
        if !self.delimiter.is_ascii() {
            problems.add("delimiter", self.delimiter, "is no ASCII character", "use one such as ',' or ';'");
        }
        problems.range("rows_max", self.rows_max, 1..=50_000_000);
        if self.columns.call.is_empty() {
            problems.add("columns.call", "[]", "names no column", "name the columns that together identify a call");
        }
        for (key, column) in [("columns.outcome", &self.columns.outcome), ("columns.queue", &self.columns.queue)] {
            problems.not_empty(key, column);
        }
        if self.columns.arrived.is_empty() && self.columns.offered.is_empty() {
            problems.add("columns.offered", "\"\"", "is empty, and so is columns.arrived", "name at least one of them");
        }
        if self.formats.moment.is_empty() {
            problems.not_empty("columns.date", &self.columns.date);
        }
        if jiff::tz::TimeZone::get(&self.formats.time_zone).is_err() {
            let zone = &self.formats.time_zone;
            problems.add("formats.time_zone", zone, "is no IANA zone", "use one such as \"Asia/Shanghai\" or \"UTC\"");
        }
        if self.outcomes.is_empty() {
            problems.add("outcomes", "{}", "is empty", "say what each text means: answered, abandoned or phantom");
        }
    }
}
