//! What every process has, whatever it runs: the table `[process]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::Listen;
use crate::telemetry::Log;
use crate::{ConfigFile, Millis, Problems, Seeds};

/// The table `[process]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Process {
    /// The name of this process among others of its kind, in logs, metrics and heartbeats.
    pub instance: String,
    /// The seed of everything random. Not set: taken from the operating system, and logged.
    pub seed: Option<u64>,
    /// How long finishing may take when asked to stop, before what is left is aborted.
    pub drain: Millis,
    /// The text log.
    pub log: Log,
    /// Where /livez, /readyz, /healthz and /metrics are served.
    pub ops: Listen,
}

impl Default for Process {
    fn default() -> Self {
        Process {
            instance: "main".to_owned(),
            seed: None,
            drain: Millis::seconds(20),
            log: Log::default(),
            ops: Listen::loopback(7402),
        }
    }
}

impl ConfigFile for Process {
    fn check(&self, problems: &mut Problems) {
        problems.not_empty("instance", &self.instance);
        if self.drain > Millis::seconds(3_600) {
            problems.add("drain", self.drain, "is longer than any supervisor waits", "use at most 1h");
        }
        problems.within("log", |problems| self.log.check(problems));
        problems.within("ops", |problems| self.ops.check(problems));
    }
}

impl Process {
    /// The seeds of this process: configured, or from the operating system.
    pub fn seeds(&self) -> Seeds {
        self.seed.map_or_else(Seeds::from_entropy, Seeds::fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_table_process_is_current() {
        let intro = "# Configuration of every process\n\nDefault < file < environment (`TIDEGATE_PROCESS__DRAIN=5s`) < flag \
            (`--set process.drain=5s`). The same file serves every\nprocess of a host: each reads `[process]` and the table of its \
            own component.\n\n";
        crate::conformance::golden(
            "docs/reference/process.md",
            &format!("{intro}{}", crate::config::reference::<Process>("process")),
        );
    }

    #[test]
    fn the_same_seed_is_the_same_run_and_none_is_another_each_time() {
        let seeded = Process { seed: Some(7), ..Process::default() };
        assert_eq!(seeded.seeds(), Seeds::fixed(7));
        assert_ne!(Process::default().seeds(), Process::default().seeds());
    }
}
