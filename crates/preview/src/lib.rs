//! What thresholds would have done: recorded traffic played again under proposed thresholds, beside the current ones.
//!
//! **What it is.** A period of the store's call records becomes a centre that can be played ([`policy::rehearsal::centre`]): calls as they
//! came, handling times and patience as they were shown, redials as they were made, agents as their calls show them. What was not shown is
//! drawn from laws that are estimated from the same period. Each seed plays it under both sets of thresholds, and once without any, which
//! must give what was recorded: how far it does not is part of every answer ([`answer::Fidelity`]).
//!
//! **What it is not.** It changes nothing and arms nothing. It does not forecast: the traffic is that of the period. Intervals are over
//! what was drawn, not over days that might have been.
//!
//! - **Invariant:** the same records, thresholds and seeds give the same answer, byte for byte, on every machine.
//! - **Invariant:** a preview of the thresholds that are in force against themselves shows no difference.
//! - **Invariant:** work is bounded: days, calls, queues and seeds; a preview whose asker is gone ends.
//!
//! Start at [`run::Preview`]; how records become a centre: [`rebuilt`].

pub mod answer;
pub mod face;
pub mod figures;
pub mod interval;
pub mod rebuilt;
pub mod recorded;
pub mod run;
pub mod scenario;
mod table;

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The question cannot be answered as it stands: each fault with its place.
    #[error("{}", told(.0))]
    Refused(Vec<Fault>),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// Nobody waits for it any more.
    #[error("called off")]
    CalledOff,
}

/// What is wrong with a question, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field or flag, dotted.
    pub at: String,
    /// What is wrong, naming the value, and what to do.
    pub what: String,
}

impl Error {
    /// One fault.
    pub fn refused(at: impl Into<String>, what: impl Into<String>) -> Error {
        Error::Refused(vec![Fault { at: at.into(), what: what.into() }])
    }
}

fn told(faults: &[Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.at, fault.what)).collect();
    lines.join("; ")
}
