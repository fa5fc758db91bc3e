//! Where a figure was measured.

use std::process::Command;

use serde::{Deserialize, Serialize};

/// The size of a machine, as its kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Processors that this process may use.
    pub cores: usize,
    /// Main memory, GiB.
    pub memory_gib: u64,
    /// The model of the processor; `unknown` where the kernel does not tell.
    pub processor: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Machine {
        let line_of = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned())
        };
        let kib = line_of("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kib.unwrap_or(0).div_ceil(1 << 20),
            processor: line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} cores, {} GiB, {}", self.cores, self.memory_gib, self.processor)
    }
}

/// The commit of this checkout, short, with `+` where tracked files differ; `unknown` without git.
pub(crate) fn commit() -> String {
    let git = |words: &[&str]| {
        let told = Command::new("git").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        told.status.success().then(|| String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    // findings themselves change with every run; the code is what matters
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ":/", ":!/docs"]);
    if changed.is_some_and(|files| !files.is_empty()) { hash + "+" } else { hash }
}
