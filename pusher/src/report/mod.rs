//! Reports as a library: typed rows over [`store::Reports`], and their forms. The HTTP face and `tidegate report` print the same.

pub mod agents;
pub mod ask;
pub mod base;
pub mod callers;
pub mod calls;
mod columns;
pub mod cursor;
pub mod flat;
pub mod intervals;
pub mod range;

use std::fmt;

use store::reports::Kind;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The question cannot be answered as it was asked.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A state in the store cannot be read.
    #[error("the state of {kind:?} {id:?} cannot be read: {reason}")]
    State {
        /// Whose.
        kind: Kind,
        /// Of which.
        id: String,
        /// What does not fit.
        reason: String,
    },
}

/// A question that cannot be answered as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The parameter at fault.
    pub parameter: &'static str,
    /// What is wrong with it, and what to write instead.
    pub detail: String,
}

impl Refused {
    /// A value that cannot be.
    pub fn value(
        parameter: &'static str,
        value: impl fmt::Display,
        what: impl fmt::Display,
        instead: impl fmt::Display,
    ) -> Refused {
        Refused { parameter, detail: format!("{parameter}={value} {what}: {instead}") }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refused {}
