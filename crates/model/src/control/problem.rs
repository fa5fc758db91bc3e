//! What is wrong with something that a person wrote: all of it, each with its place.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that cannot be, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Where, dotted.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.what, self.fix)
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn add(&mut self, path: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Problem { path: path.into(), what: what.into(), fix: fix.into() });
    }

    /// Adds one unless `holds`.
    pub fn unless(&mut self, holds: bool, path: &str, what: impl FnOnce() -> String, fix: &str) {
        if !holds {
            self.add(path, what(), fix);
        }
    }

    /// A number that must be within two borders, both allowed. What is no number is not.
    pub fn within(&mut self, path: &str, value: f64, least: f64, most: f64) {
        self.unless(
            value >= least && value <= most,
            path,
            || format!("{value} is not between {least} and {most}"),
            &format!("write a number from {least} to {most}"),
        );
    }

    /// Adds those of a part, under its name.
    pub fn under(&mut self, prefix: &str, problems: Vec<Problem>) {
        self.0.extend(problems.into_iter().map(|p| Problem { path: format!("{prefix}.{}", p.path), ..p }));
    }

    /// All of them.
    pub fn all(self) -> Vec<Problem> {
        self.0
    }
}
