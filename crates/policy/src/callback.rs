//! The list of callbacks: a fold of what was asked, tried, claimed and closed.
//!
//! - **Invariant:** a caller has one open entry for a queue, however often they ask.
//! - **Invariant:** attempts count from 1 without a gap, and one is under way at a time: so nobody is dialled twice at once.
//! - **Invariant:** an entry that is closed stays closed.
//!
//! Start at [`List::apply`], then [`List::due`], then [`Pace`].

mod pace;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use model::control::{CallbackAsked, Close, Envelope, Event, Outcome};
use model::{CallbackId, QueueId, ServiceId, Time};

use crate::plan::{Applied, Stamp};

pub use pace::{Pace, Room};

/// Open entries of a tenant; a further one is refused.
pub const OPEN_MAX: usize = 10_000;
/// Closed entries of a tenant that are kept for a look, the youngest.
pub const CLOSED_MAX: usize = 1_000;

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It waits; not to be tried before this.
    Waiting {
        /// From then on.
        again_at: Time,
    },
    /// It is being tried.
    Dialling {
        /// Since then.
        since: Time,
    },
    /// A person has taken it upon themselves.
    Claimed(Stamp),
    /// It is over.
    Closed {
        /// Why.
        close: Close,
        /// Since then.
        at: Time,
    },
}

/// One attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// When it began.
    pub at: Time,
    /// The call service that carried it.
    pub service: Option<ServiceId>,
    /// What came of it; absent while it lasts.
    pub outcome: Option<Outcome>,
}

/// One promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What was asked for.
    pub asked: CallbackAsked,
    /// When.
    pub at: Time,
    /// Every attempt so far.
    pub attempts: Vec<Attempt>,
    /// Where it stands.
    pub state: State,
}

impl Entry {
    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    fn tried(&mut self, outcome: Outcome, again_at: Time, at: Time) {
        if let Some(last) = self.attempts.last_mut() {
            last.outcome = Some(outcome);
        }
        self.state = match outcome {
            Outcome::Answered => State::Closed { close: Close::Reached, at },
            _ if self.attempts.len() as u64 >= u64::from(self.asked.attempts_max) => {
                State::Closed { close: Close::AttemptsUsed, at }
            }
            _ => State::Waiting { again_at },
        };
    }
}

/// The callbacks of a tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    entries: BTreeMap<CallbackId, Entry>,
    /// Open ones, the oldest first.
    order: BTreeSet<(Time, CallbackId)>,
    /// Open ones by queue and caller.
    callers: HashMap<(QueueId, String), CallbackId>,
    /// How many open ones a caller has.
    known: HashMap<String, u32>,
    /// Closed ones, the oldest first.
    closed: VecDeque<CallbackId>,
}

impl List {
    /// Takes the next record into account.
    pub fn apply(&mut self, envelope: &Envelope, stamp: Stamp) -> Applied {
        let at = envelope.time;
        match &envelope.event {
            Event::CallbackAsked(asked) => self.ask(asked, at),
            Event::CallbackBegun(begun) => self.change(&begun.callback, at, |entry| {
                let next = entry.attempts.len() as u64 + 1 == u64::from(begun.attempt);
                if !next || !matches!(entry.state, State::Waiting { .. }) {
                    return Applied::Refused;
                }
                entry.attempts.push(Attempt { at, service: begun.service.clone(), outcome: None });
                entry.state = State::Dialling { since: at };
                Applied::Changed
            }),
            Event::CallbackTried(tried) => self.change(&tried.callback, at, |entry| {
                let this = entry.attempts.len() as u64 == u64::from(tried.attempt);
                if !this || !matches!(entry.state, State::Dialling { .. }) {
                    return Applied::Refused;
                }
                entry.tried(tried.outcome, tried.again_at, at);
                Applied::Changed
            }),
            Event::CallbackClaimed(claimed) => self.change(&claimed.callback, at, |entry| {
                if !matches!(entry.state, State::Waiting { .. }) {
                    return Applied::Refused;
                }
                entry.state = State::Claimed(stamp);
                Applied::Changed
            }),
            Event::CallbackClosed(closed) => self.change(&closed.callback, at, |entry| {
                entry.state = State::Closed { close: closed.close, at };
                Applied::Changed
            }),
            _ => Applied::Same,
        }
    }

    fn ask(&mut self, asked: &CallbackAsked, at: Time) -> Applied {
        let caller = (asked.queue.clone(), asked.caller.clone());
        if self.entries.contains_key(&asked.callback) || self.callers.contains_key(&caller) {
            return Applied::Same;
        }
        if self.order.len() >= OPEN_MAX {
            return Applied::Refused;
        }
        let at = asked.asked_at.unwrap_or(at);
        self.order.insert((at, asked.callback.clone()));
        *self.known.entry(asked.caller.clone()).or_default() += 1;
        self.callers.insert(caller, asked.callback.clone());
        let entry = Entry { asked: asked.clone(), at, attempts: Vec::new(), state: State::Waiting { again_at: at } };
        self.entries.insert(asked.callback.clone(), entry);
        Applied::Changed
    }

    /// Changes an open entry.
    fn change(&mut self, id: &CallbackId, _at: Time, change: impl FnOnce(&mut Entry) -> Applied) -> Applied {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.is_open()) else { return Applied::Refused };
        let applied = change(entry);
        if !entry.is_open() {
            self.order.remove(&(entry.at, id.clone()));
            self.callers.remove(&(entry.asked.queue.clone(), entry.asked.caller.clone()));
            if let Some(open) = self.known.get_mut(&entry.asked.caller) {
                *open -= 1;
                if *open == 0 {
                    self.known.remove(&entry.asked.caller);
                }
            }
            self.closed.push_back(id.clone());
            if self.closed.len() > CLOSED_MAX
                && let Some(oldest) = self.closed.pop_front()
            {
                self.entries.remove(&oldest);
            }
        }
        applied
    }

    /// One entry, open or not.
    pub fn entry(&self, id: &CallbackId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The open entry of a caller for a queue.
    pub fn of_caller(&self, queue: &QueueId, caller: &str) -> Option<&Entry> {
        self.entries.get(self.callers.get(&(queue.clone(), caller.to_owned()))?)
    }

    /// Whether a caller has an open entry of any queue.
    pub fn has_caller(&self, caller: &str) -> bool {
        self.known.contains_key(caller)
    }

    /// Open entries, the oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|(_, id)| self.entries.get(id))
    }

    /// Closed entries, the youngest first.
    pub fn closed(&self) -> impl Iterator<Item = &Entry> {
        self.closed.iter().rev().filter_map(|id| self.entries.get(id))
    }

    /// Entries of a queue that may be tried now, the oldest first. `minute`: of the tenant's day.
    pub fn due<'a>(&'a self, queue: &QueueId, now: Time, minute: u16) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let queue = queue.clone();
        self.open().filter(move |entry| {
            let waits = matches!(entry.state, State::Waiting { again_at } if again_at <= now);
            waits && entry.asked.queue == queue && entry.asked.until > now && entry.asked.hours.hold(minute)
        })
    }

    /// How many are being tried for a queue.
    pub fn dialling(&self, queue: &QueueId) -> usize {
        let own = |entry: &&Entry| entry.asked.queue == *queue && matches!(entry.state, State::Dialling { .. });
        self.open().filter(own).count()
    }

    /// Entries whose time is over, and that nobody dials just now.
    pub fn over(&self, now: Time) -> impl Iterator<Item = &Entry> {
        self.open().filter(move |entry| entry.asked.until <= now && !matches!(entry.state, State::Dialling { .. }))
    }

    /// Attempts that began before `then` and never ended: whoever dialled is gone.
    pub fn orphans(&self, then: Time) -> impl Iterator<Item = &Entry> {
        self.open().filter(move |entry| matches!(entry.state, State::Dialling { since } if since < then))
    }
}

#[cfg(test)]
#[path = "callback/tests.rs"]
mod tests;
