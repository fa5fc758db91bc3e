//! From what was recorded to a centre that can be played.
//!
//! Each part is an estimate with its own rule: who was at work ([`staff`]), who goes first ([`order`]), who calls again ([`redial`]),
//! how long callers wait and calls last ([`laws`]).

pub mod laws;
pub mod order;
pub mod redial;
pub mod staff;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use model::{QueueId, Time};
use policy::rehearsal::centre::{Agent, Call, Crowd, Next, Patience, QUEUES_MAX};

use crate::Error;
use crate::recorded::{Left, Recorded, Stay};

/// A recorded period as a centre.
#[derive(Clone, Debug, PartialEq)]
pub struct Rebuilt {
    /// The queues, by their numbers.
    pub queues: Vec<QueueId>,
    /// The moment of second 0.
    pub origin: Time,
    /// From when on calls count, seconds.
    pub from_s: f64,
    /// Nobody calls later, seconds.
    pub until_s: f64,
    /// One for each stay of the record, in its order.
    pub calls: Vec<Call>,
    /// Stays of agents.
    pub agents: Vec<Agent>,
    /// What is drawn.
    pub crowd: Crowd,
    /// For each priority that was seen, the head start that explains the order of service best, seconds.
    pub head_starts: BTreeMap<i32, f64>,
}

impl Rebuilt {
    /// Estimates everything from the record.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no call, no agent, or there are too many queues.
    pub fn of(recorded: &Recorded) -> Result<Rebuilt, Error> {
        let queues = queues(recorded)?;
        let number: HashMap<&QueueId, usize> = queues.iter().enumerate().map(|(n, queue)| (queue, n)).collect();
        let origin = recorded.stays.first().map_or(recorded.from, |stay| stay.entered_at.min(recorded.from));
        let seconds = |time: Time| (time.ms() - origin.ms()) as f64 / 1_000.0;
        let staff = staff::of(recorded, &number, &seconds);
        if staff.agents.is_empty() {
            return Err(Error::refused(
                "from",
                "no call of this period was answered by an agent: there is nobody to play",
            ));
        }
        let head_starts = order::head_starts(recorded);
        let links = redial::links(recorded);
        let crowd = Crowd {
            patience: laws::patience(recorded, &number),
            service: laws::service(recorded, &number, &staff.keeps_s),
            redial_share: links.share,
            redial_after: links.after.clone(),
            contained: Vec::new(),
        };
        let mut callers = Callers::default();
        let calls = recorded.stays.iter().enumerate().map(|(n, stay)| Call {
            at_s: seconds(stay.entered_at),
            follows: links.follows[n],
            queue: number[&stay.queue],
            caller: callers.number(stay.caller.as_ref()),
            head_start_s: head_starts.get(&stay.priority).copied().unwrap_or(0.0),
            patience: patience(stay),
            service_s: staff.keeps_s[n],
            protected: false,
            next: next(stay, links.next[n]),
        });
        Ok(Rebuilt {
            calls: calls.collect(),
            origin,
            from_s: seconds(recorded.from),
            until_s: seconds(recorded.to),
            agents: staff.agents,
            crowd,
            head_starts,
            queues,
        })
    }
}

fn queues(recorded: &Recorded) -> Result<Vec<QueueId>, Error> {
    let mut queues: Vec<QueueId> = recorded.stays.iter().map(|stay| stay.queue.clone()).collect();
    queues.sort();
    queues.dedup();
    match queues.len() {
        0 => Err(Error::refused("from", "no call entered a queue in this period: ask for one with traffic")),
        n if n > QUEUES_MAX => {
            Err(Error::refused("from", format!("{n} queues had calls, and a preview plays {QUEUES_MAX} at most")))
        }
        _ => Ok(queues),
    }
}

/// What the record shows of a caller's patience. Who left for another reason leaves then, whatever happens.
fn patience(stay: &Stay) -> Patience {
    let waited_s = stay.waited_ms as f64 / 1_000.0;
    match stay.left {
        Left::Abandoned | Left::Otherwise => Patience::Exactly(waited_s),
        Left::Served(_) | Left::Diverted => Patience::Above(waited_s),
    }
}

fn next(stay: &Stay, linked: Option<(usize, f64)>) -> Next {
    match (linked, &stay.left) {
        (Some((call, after_s)), _) => Next::Attempt(call, after_s),
        (None, Left::Served(_)) => Next::Drawn,
        (None, _) => Next::Nothing,
    }
}

/// A number for every caller; who is not known is somebody else each time.
#[derive(Default)]
struct Callers {
    known: HashMap<Arc<str>, u64>,
    next: u64,
}

impl Callers {
    fn number(&mut self, token: Option<&Arc<str>>) -> u64 {
        if let Some(number) = token.and_then(|token| self.known.get(token)) {
            return *number;
        }
        self.next += 1;
        if let Some(token) = token {
            self.known.insert(Arc::clone(token), self.next);
        }
        self.next
    }
}
