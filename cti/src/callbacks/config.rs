//! The table `[cti.callbacks]`.

use model::control::Hours;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Millis, Problems};

/// How promised calls are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether this process makes them. The list is kept in any case.
    pub dials: bool,
    /// From this hour on somebody may be called, in the tenant's zone.
    pub from_hour: u8,
    /// Before this hour; the same as the first: the whole day.
    pub to_hour: u8,
    /// How long a promise holds.
    pub keep: Millis,
    /// How often somebody is tried at most.
    pub attempts_max: u32,
    /// How long after a try in vain the next one may be.
    pub again_after: Millis,
    /// How long it rings.
    pub ring: Millis,
    /// Calls that are dialled at once, over all queues.
    pub at_once: usize,
    /// What is dialled where no call service is set up: `PJSIP/{number}@trunk`. Empty: nothing is.
    pub dial: String,
    /// How often the promises are fetched that a phone system kept for us.
    pub fetch: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dials: true,
            from_hour: 9,
            to_hour: 20,
            keep: Millis::seconds(86_400),
            attempts_max: 3,
            again_after: Millis::seconds(900),
            ring: Millis::seconds(25),
            at_once: 5,
            dial: String::new(),
            fetch: Millis::seconds(5),
        }
    }
}

impl Config {
    /// When somebody may be called.
    pub(crate) fn hours(&self) -> Hours {
        Hours { from: u16::from(self.from_hour) * 60, to: u16::from(self.to_hour) * 60 }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.range("from_hour", self.from_hour, 0..=23);
        problems.range("to_hour", self.to_hour, 0..=24);
        problems.range("keep", self.keep, Millis::seconds(60)..=Millis::seconds(30 * 86_400));
        problems.range("attempts_max", self.attempts_max, 1..=20);
        problems.range("again_after", self.again_after, Millis::seconds(1)..=Millis::seconds(86_400));
        problems.range("ring", self.ring, Millis::seconds(5)..=Millis::seconds(120));
        problems.range("at_once", self.at_once, 1..=1_000);
        problems.range("fetch", self.fetch, Millis::seconds(1)..=Millis::seconds(3_600));
        if !self.dial.is_empty() && super::dial::Way::of(&self.dial).is_none() {
            problems.add(
                "dial",
                &self.dial,
                "is no way to dial",
                "write TECHNOLOGY/{number}@TRUNK or TECHNOLOGY/TRUNK, such as PJSIP/{number}@carrier",
            );
        }
    }
}
