//! A whole centre played through: queues that share agents, calls and stays as they were recorded or made up, a rule at the doors.
//!
//! - What is known of a call is given with it; what is not is drawn, each thing of each call from a chance of its own. So two plays of
//!   the same seed differ only by what the rule at the doors did: a caller who waits longer under one rule is as patient as under the
//!   other.
//! - Whoever is free takes the first call of all the queues that they serve: first by the moment of entry less the head start. Of
//!   several free agents the one who has been free longest takes the call.
//! - Who leaves without service calls again as the record shows; where the record shows nothing, as the law says.
//! - **Invariant:** each attempt ends exactly once ([`Ended`]), and the same centre and seed give the same ends in the same order.

mod door;
mod orders;
mod stage;

use super::law::Law;

pub use door::{Asks, Door, Gated, Held, Lead, Open, Way};
pub use orders::Ordered;

/// Queues that one centre may have: who serves what is kept as one bit for each.
pub const QUEUES_MAX: usize = 64;

/// How long a caller waits before they leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Patience {
    /// So long, seconds: they were seen to leave.
    Exactly(f64),
    /// Longer than this, seconds: they were seen to be served then.
    Above(f64),
}

/// What a caller does who was not served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Makes this attempt (its number among the calls), so many seconds later.
    Attempt(usize, f64),
    /// Nothing: who left in the record and was not seen again does not call again here either.
    Nothing,
    /// Was served in the record: what they would have done is drawn.
    Drawn,
}

/// One attempt to reach a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    /// When, seconds from the start. Of an attempt that follows another one ([`Next::Attempt`]) only the record's.
    pub at_s: f64,
    /// Whether it happens only after another attempt that failed.
    pub follows: bool,
    /// Which queue.
    pub queue: usize,
    /// Who: the same number is the same caller.
    pub caller: u64,
    /// Is served as if it had come so much earlier, seconds.
    pub head_start_s: f64,
    /// How long they wait.
    pub patience: Patience,
    /// How long they keep an agent, talk and what follows it, where it is known, seconds.
    pub service_s: Option<f64>,
    /// Whether the business protects them.
    pub protected: bool,
    /// What they do when they are not served.
    pub next: Next,
}

/// One agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The queues that they serve.
    pub queues: Vec<usize>,
    /// From when to when they take calls, seconds from the start, ascending. Who is in a call then, ends it.
    pub stays: Vec<(f64, f64)>,
}

/// What is drawn where it is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Crowd {
    /// Patience of each queue's callers.
    pub patience: Vec<Law>,
    /// How long each queue's calls keep an agent.
    pub service: Vec<Law>,
    /// The share of those who were not served that call again.
    pub redial_share: f64,
    /// After how long they do.
    pub redial_after: Law,
    /// For each target, the share of those led there who are content.
    pub contained: Vec<f64>,
}

/// One play.
#[derive(Clone, Copy, Debug)]
pub struct Centre<'a> {
    /// Those that do not follow another, in the order of time.
    pub calls: &'a [Call],
    /// Who works.
    pub agents: &'a [Agent],
    /// What is drawn.
    pub crowd: &'a Crowd,
    /// How often the rule is told, seconds.
    pub tick_s: f64,
    /// How old the figures are that it is told, seconds.
    pub age_s: f64,
    /// Nobody calls later, seconds from the start.
    pub until_s: f64,
    /// Of everything that is drawn.
    pub seed: u64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// An agent answered after this wait, seconds.
    Answered(f64),
    /// The caller left after this wait, seconds.
    Abandoned(f64),
    /// Led to this target; whether an agent was free for the queue and nobody waited.
    Diverted(usize, bool),
}

/// An attempt that ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ended {
    /// The number of the call that it began with.
    pub call: usize,
    /// Attempts of this play before it that began with the same call: 0 is the recorded one.
    pub repeat: u32,
    /// When it came, seconds from the start.
    pub at_s: f64,
    /// Which queue.
    pub queue: usize,
    /// How.
    pub how: How,
    /// The agent who answered, and how long the call kept them, seconds.
    pub agent: Option<(usize, f64)>,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Played {
    /// Every attempt, in the order of their ends.
    pub ended: Vec<Ended>,
    /// Of each queue: changes of the rule's mind.
    pub changes: Vec<u64>,
    /// Agents' seconds in calls, and there.
    pub busy_s: f64,
    /// Agents' seconds there.
    pub staffed_s: f64,
}

impl Centre<'_> {
    /// Plays it through. `still` is asked now and then, with the moment that the play has come to; when it says no, the play ends there
    /// and there is no outcome.
    pub fn under(&self, door: &mut dyn Door, still: &mut dyn FnMut(f64) -> bool) -> Option<Played> {
        stage::Stage::new(self, door).play(still)
    }

    /// How many queues there are.
    pub fn queues(&self) -> usize {
        self.crowd.service.len()
    }
}

#[cfg(test)]
mod tests;
