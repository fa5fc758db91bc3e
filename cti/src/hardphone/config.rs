//! The table `[cti.hard_phones]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{Millis, Problems};

/// Desk phones in the databases of the phone systems of `[cti.ami]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Write them. Off: they are worked out and shown, and the phone systems are left as they are.
    pub enabled: bool,
    /// A change is written when it has lasted so long.
    pub settle: Millis,
    /// A queue that nobody works for any more keeps its phones for so long.
    pub emptied_after: Millis,
    /// How often what the phone system holds is read back and compared.
    pub check_every: Millis,
    /// Write over what somebody changed by hand. Off: it is told (TG0351) and stays.
    pub overwrite: bool,
    /// Phones of one queue at most.
    pub phones_max: usize,
    /// Rounds of one queue at most: what would come later rings with the last.
    pub rounds_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: true,
            settle: Millis::seconds(10),
            emptied_after: Millis::seconds(900),
            check_every: Millis::seconds(60),
            overwrite: false,
            phones_max: 20,
            rounds_max: 3,
        }
    }
}

impl Config {
    /// Tells what cannot be.
    pub(crate) fn check(&self, problems: &mut Problems) {
        problems.range("settle", self.settle, Millis::new(0)..=Millis::seconds(600));
        problems.range("emptied_after", self.emptied_after, Millis::new(0)..=Millis::seconds(86_400));
        problems.range("check_every", self.check_every, Millis::seconds(1)..=Millis::seconds(3_600));
        problems.range("phones_max", self.phones_max, 1..=60);
        problems.range("rounds_max", self.rounds_max, 1..=9);
    }
}
