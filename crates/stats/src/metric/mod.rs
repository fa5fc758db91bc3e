//! The figures that we publish: the dictionary that names them, and their evaluation over a tally.

mod dictionary;
mod figures;

use serde::Serialize;

pub use dictionary::DICTIONARY;
pub use figures::{Context, Figures, evaluate};

/// The version of the dictionary: grows when a definition changes.
pub const VERSION: u32 = 1;

/// One metric, as the dictionary has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// The name that reports use.
    pub id: &'static str,
    /// The name for people, English.
    pub label_en: &'static str,
    /// The name for people, Chinese.
    pub label_zh: &'static str,
    /// What is counted.
    pub definition: &'static str,
    /// How it is computed; empty for a plain count.
    pub formula: &'static str,
    /// `count`, `ms`, `share` (0 to 1), `score`, `epoch` or `agents`.
    pub unit: &'static str,
    /// The closest vendor term; empty: none.
    pub closest: &'static str,
}

/// A metric by its id.
pub fn find(id: &str) -> Option<&'static Metric> {
    DICTIONARY.iter().find(|m| m.id == id)
}
