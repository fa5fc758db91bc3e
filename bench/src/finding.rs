//! A claim with its figures.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use service::Clock;

use crate::Machine;

/// One claim, the command that shows it, and the figures of its last run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Its file's name in `docs/proof`, without the ending: `fold`.
    pub name: String,
    /// What is claimed, a sentence.
    pub claim: String,
    /// What repeats it, from the top of the repository.
    pub command: String,
    /// The day of the run, UTC, `2026-11-21`.
    pub date: String,
    /// The commit that ran; ends with `+` where the tree had changes.
    pub commit: String,
    /// Where it ran.
    pub machine: Machine,
    /// What was measured or counted.
    pub figures: Vec<Figure>,
    /// What a reader must know to believe the figures: sizes, seeds, what was not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One measured or counted figure, beside its peer where there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What it is of: "decode and full fold, one core".
    pub what: String,
    /// The figure, in `unit`.
    pub value: f64,
    /// `events/s`, `ms`, `MB`, `kills`; empty for a bare number.
    pub unit: String,
    /// Who else did the same work in the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// What was aimed at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aim: Option<Aim>,
}

/// Somebody else's figure for the same work, in the same unit and the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Who, with its version and how it was set: "DuckDB 1.4.1, one thread, one group-by".
    pub what: String,
    /// Its figure.
    pub value: f64,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// Not below.
    AtLeast(f64),
    /// Not above.
    AtMost(f64),
    /// The figure divided by the peer's, not below.
    RatioAtLeast(f64),
    /// The figure divided by the peer's, not above.
    RatioAtMost(f64),
}

impl Finding {
    /// A claim that `command` shows, of today, this machine and this commit.
    ///
    /// # Panics
    ///
    /// When the name is not made of lower-case letters, digits and hyphens.
    pub fn new(name: &str, claim: &str, command: &str) -> Finding {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(
            !name.is_empty() && name.chars().all(plain),
            "{name:?} is a file's name: lower-case letters, digits, hyphens"
        );
        let now = jiff::Timestamp::from_millisecond(Clock::system().now_ms()).expect("a clock within the calendar");
        Finding {
            name: name.to_owned(),
            claim: claim.to_owned(),
            command: command.to_owned(),
            date: now.strftime("%Y-%m-%d").to_string(),
            commit: crate::machine::commit(),
            machine: Machine::this(),
            figures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// With one more figure.
    #[must_use]
    pub fn figure(mut self, figure: Figure) -> Finding {
        self.figures.push(figure);
        self
    }

    /// With one more remark.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Finding {
        self.notes.push(text.into());
        self
    }

    /// Whether every figure that has an aim meets it.
    pub fn is_met(&self) -> bool {
        self.figures.iter().all(|figure| figure.is_met().unwrap_or(true))
    }

    /// Prints the figures, and writes the finding to `docs/proof` over its former run.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self) -> anyhow::Result<()> {
        self.save_in(&folder())
    }

    fn save_in(&self, folder: &Path) -> anyhow::Result<()> {
        print!("{self}");
        let path = folder.join(format!("{}.json", self.name));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

impl Figure {
    /// A figure without peer and aim.
    pub fn new(what: impl Into<String>, value: f64, unit: &str) -> Figure {
        Figure { what: what.into(), value, unit: unit.to_owned(), peer: None, aim: None }
    }

    /// Beside this peer's figure.
    #[must_use]
    pub fn peer(mut self, what: impl Into<String>, value: f64) -> Figure {
        self.peer = Some(Peer { what: what.into(), value });
        self
    }

    /// With this aim.
    #[must_use]
    pub fn aim(mut self, aim: Aim) -> Figure {
        self.aim = Some(aim);
        self
    }

    /// The figure divided by the peer's.
    pub fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|peer| self.value / peer.value)
    }

    /// Whether the aim is met; none without an aim. A ratio without a peer is not met.
    pub fn is_met(&self) -> Option<bool> {
        let ratio = self.ratio();
        Some(match self.aim? {
            Aim::AtLeast(least) => self.value >= least,
            Aim::AtMost(most) => self.value <= most,
            Aim::RatioAtLeast(least) => ratio.is_some_and(|ratio| ratio >= least),
            Aim::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio <= most),
        })
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}", self.name, self.claim)?;
        for figure in &self.figures {
            write!(f, "  {}: {} {}", figure.what, crate::page::number(figure.value), figure.unit)?;
            if let (Some(peer), Some(ratio)) = (&figure.peer, figure.ratio()) {
                write!(
                    f,
                    " · {}: {} · ratio {}",
                    peer.what,
                    crate::page::number(peer.value),
                    crate::page::number(ratio)
                )?;
            }
            match figure.is_met() {
                Some(true) => writeln!(f, " · aim met")?,
                Some(false) => writeln!(f, " · AIM MISSED")?,
                None => writeln!(f)?,
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

/// `docs/proof` of this checkout.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/proof")
}

/// Every finding on record, by name.
///
/// # Errors
///
/// When a file cannot be read or is no finding.
pub fn all() -> anyhow::Result<Vec<Finding>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let text = std::fs::read_to_string(&path)?;
            let finding: Finding =
                serde_json::from_str(&text).with_context(|| format!("{} is no finding", path.display()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            anyhow::ensure!(finding.name == name, "{} calls itself {}", path.display(), finding.name);
            found.push(finding);
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_read_back_as_it_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let finding = Finding::new("some-thing", "it is quick", "script/bench some-thing")
            .figure(Figure::new("of ours", 30.0, "events/s").peer("theirs", 10.0).aim(Aim::RatioAtLeast(2.0)))
            .note("of one run");
        finding.save_in(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("some-thing.json")).unwrap();
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
        assert!(finding.is_met());
    }

    #[test]
    fn an_aim_that_needs_a_peer_is_missed_without_one() {
        let figure = Figure::new("of ours", 30.0, "events/s");
        assert_eq!(figure.is_met(), None);
        assert_eq!(figure.clone().aim(Aim::RatioAtLeast(2.0)).is_met(), Some(false));
        assert_eq!(figure.clone().aim(Aim::AtMost(29.0)).is_met(), Some(false));
        assert_eq!(figure.peer("theirs", 10.0).aim(Aim::RatioAtMost(2.0)).is_met(), Some(false));
    }
}
