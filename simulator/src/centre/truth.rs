//! The ledger of what really happened, kept beside what the PBX said about it, so that figures made from the one can be
//! compared with the other.
//!
//! Times are milliseconds since the Unix epoch; durations are milliseconds, exact, not in the PBX's whole seconds.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// One call, from its first offer to its last hang-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The unique id of its first channel, which is the linked id of all of them.
    pub call: String,
    /// Inbound or outbound.
    pub direction: Direction,
    /// The outside number.
    pub number: String,
    /// The number dialled by an inbound caller.
    pub line: Option<String>,
    /// When its first channel appeared.
    pub offered_ms: i64,
    /// Keys pressed in the menu; `timeout` when none was.
    pub menu: Vec<MenuStep>,
    /// Its stays in queues, in order.
    pub visits: Vec<Visit>,
    /// Its transfers, in order.
    pub transfers: Vec<Transfer>,
    /// Conversations that no queue made: outbound, or after a transfer to an agent or an outside line.
    pub legs: Vec<Leg>,
    /// When its last channel went; none while it lives.
    pub ended_ms: Option<i64>,
    /// Who ended it.
    pub ended_by: Option<EndedBy>,
}

/// Which way a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A customer calls.
    Inbound,
    /// An agent calls.
    Outbound,
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The customer.
    Caller,
    /// The agent.
    Agent,
    /// The dialplan.
    System,
}

/// A key in the menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuStep {
    /// When.
    pub at_ms: i64,
    /// The digit, `invalid` or `timeout`.
    pub digit: String,
}

/// One stay in one queue, and the conversation it led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The queue.
    pub queue: String,
    /// When the caller joined.
    pub queued_ms: i64,
    /// Position on joining, from 1; 0 when the queue let nobody in.
    pub position: u32,
    /// When the caller left the queue.
    pub left_ms: Option<i64>,
    /// Why.
    pub exit: Option<Exit>,
    /// `left_ms - queued_ms`.
    pub wait_ms: Option<i64>,
    /// Every phone that rang.
    pub rings: Vec<Ring>,
    /// The agent who answered.
    pub agent: Option<String>,
    /// From the answer to the end of the conversation, holds not counted.
    pub talk_ms: i64,
    /// Of the conversation, on hold or waiting while the agent consults.
    pub hold_ms: i64,
    /// When the conversation ended.
    pub ended_ms: Option<i64>,
    /// Who ended it; none when it was transferred.
    pub ended_by: Option<EndedBy>,
    /// Wrap-up that followed it.
    pub wrap_up_ms: i64,
}

/// How a stay in a queue ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// An agent answered.
    Answered,
    /// The caller hung up while nobody's phone rang.
    Abandoned,
    /// The caller hung up while a phone rang.
    AbandonedRinging,
    /// The wait was over and the call ended.
    Timeout,
    /// The wait was over and the call went to another queue.
    Overflow,
    /// The queue was full on arrival (`QUEUESTATUS` FULL): no `QueueCallerJoin` was ever said.
    Full,
    /// An operator moved the caller elsewhere.
    Moved,
}

/// A phone that rang.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Whose.
    pub agent: String,
    /// When it began.
    pub at_ms: i64,
    /// For how long.
    pub ring_ms: Option<i64>,
    /// How it ended.
    pub outcome: Option<RingEnd>,
}

/// How ringing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RingEnd {
    /// Picked up.
    Answered,
    /// Rang out while the caller still waited.
    RangOut,
    /// Refused with 486 while the caller still waited.
    Refused,
    /// The caller left first.
    CallerLeft,
}

/// A transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// When it was done.
    pub at_ms: i64,
    /// How.
    pub how: TransferKind,
    /// Who transferred.
    pub agent: String,
    /// To what: `queue:ID`, `agent:NAME` or `number:DIGITS`.
    pub to: String,
}

/// Kinds of transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// Without asking the target.
    Blind,
    /// After talking to the target, by the phone (REFER with Replaces).
    AttendedByPhone,
    /// After talking to the target, by the PBX (Atxfer).
    AttendedByPbx,
}

/// A conversation that no queue made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The agent; none for an outside line.
    pub agent: Option<String>,
    /// When it was answered.
    pub from_ms: i64,
    /// When it ended.
    pub to_ms: Option<i64>,
}

/// What an agent is doing. A conversation outranks ringing, ringing wrap-up, wrap-up a pause, and a pause readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not logged in.
    Offline,
    /// Free for a call.
    Ready,
    /// Paused.
    NotReady,
    /// The phone rings.
    Ringing,
    /// In conversation, consulting included.
    Talking,
    /// In conversation, the caller on hold.
    Holding,
    /// After a queue call.
    WrapUp,
}

/// A change of an agent's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at_ms: i64,
    /// To which state.
    pub state: State,
    /// The reason of a pause.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// One agent's day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// The agent's name, as in `MemberName`.
    pub agent: String,
    /// Milliseconds in each state since the start.
    pub in_state_ms: BTreeMap<State, i64>,
    /// Milliseconds paused, by reason.
    pub paused_ms: BTreeMap<String, i64>,
    /// Queue calls answered.
    pub answered: u64,
    /// Rings that rang out or were refused.
    pub rona: u64,
    /// The latest changes, oldest first; bounded.
    pub changes: VecDeque<Change>,
}

/// What happened in one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// The queue.
    pub queue: String,
    /// Callers who joined.
    pub offered: u64,
    /// Exits by cause.
    pub exits: BTreeMap<Exit, u64>,
    /// Sum of waits of the answered, ms.
    pub answered_wait_ms: i64,
    /// Rings that rang out or were refused while the caller waited.
    pub rona: u64,
}

/// The ledger.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    open: BTreeMap<u64, Call>,
    ended: VecDeque<Call>,
    forgotten: u64,
    agents: Vec<Agent>,
    queues: Vec<Queue>,
    calls_max: usize,
    changes_max: usize,
}

impl Ledger {
    pub(crate) fn new(queues: Vec<String>, agents: Vec<String>, calls_max: usize, changes_max: usize) -> Ledger {
        Ledger {
            queues: queues.into_iter().map(|queue| Queue { queue, ..Queue::default() }).collect(),
            agents: agents.into_iter().map(|agent| Agent { agent, ..Agent::default() }).collect(),
            calls_max,
            changes_max,
            ..Ledger::default()
        }
    }

    /// Calls that have ended, oldest first; at most as many as the plan keeps.
    pub fn ended(&self) -> impl Iterator<Item = &Call> {
        self.ended.iter()
    }

    /// Calls still in progress.
    pub fn open(&self) -> impl Iterator<Item = &Call> {
        self.open.values()
    }

    /// How many ended calls were dropped for the bound.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Every queue's totals since the start, warm-up included.
    pub fn queues(&self) -> &[Queue] {
        &self.queues
    }

    /// Every agent's day, the time in the current state included up to `now_ms`.
    pub fn agents(&self, now_ms: i64) -> impl Iterator<Item = Agent> {
        self.agents.iter().map(move |agent| {
            let mut agent = agent.clone();
            agent.settle(now_ms);
            agent
        })
    }

    pub(crate) fn begin(&mut self, no: u64, call: Call) {
        self.open.insert(no, call);
    }

    /// A live call.
    pub(crate) fn call(&mut self, no: u64) -> Option<&mut Call> {
        self.open.get_mut(&no)
    }

    /// The latest stay of a live call.
    pub(crate) fn visit(&mut self, no: u64) -> Option<&mut Visit> {
        self.open.get_mut(&no)?.visits.last_mut()
    }

    pub(crate) fn queued(&mut self, no: u64, queue: usize, position: u32, now: i64) {
        let id = self.queues[queue].queue.clone();
        self.queues[queue].offered += 1;
        if let Some(call) = self.open.get_mut(&no) {
            call.visits.push(Visit {
                queue: id,
                queued_ms: now,
                position,
                left_ms: None,
                exit: None,
                wait_ms: None,
                rings: Vec::new(),
                agent: None,
                talk_ms: 0,
                hold_ms: 0,
                ended_ms: None,
                ended_by: None,
                wrap_up_ms: 0,
            });
        }
    }

    pub(crate) fn left(&mut self, no: u64, queue: usize, exit: Exit, now: i64) {
        let Some(visit) = self.open.get_mut(&no).and_then(|call| call.visits.last_mut()) else { return };
        visit.left_ms = Some(now);
        visit.exit = Some(exit);
        visit.wait_ms = Some(now - visit.queued_ms);
        if exit == Exit::Answered {
            self.queues[queue].answered_wait_ms += now - visit.queued_ms;
        }
        *self.queues[queue].exits.entry(exit).or_default() += 1;
    }

    pub(crate) fn rings(&mut self, no: u64, agent: usize, now: i64) {
        let name = self.agents[agent].agent.clone();
        if let Some(visit) = self.visit(no) {
            visit.rings.push(Ring { agent: name, at_ms: now, ring_ms: None, outcome: None });
        }
    }

    pub(crate) fn ring_ends(&mut self, no: u64, queue: usize, agent: usize, outcome: RingEnd, now: i64) {
        if let Some(ring) = self.visit(no).and_then(|visit| visit.rings.last_mut()) {
            ring.ring_ms = Some(now - ring.at_ms);
            ring.outcome = Some(outcome);
        }
        match outcome {
            RingEnd::Answered => self.agents[agent].answered += 1,
            RingEnd::RangOut | RingEnd::Refused => {
                self.agents[agent].rona += 1;
                self.queues[queue].rona += 1;
            }
            RingEnd::CallerLeft => {}
        }
    }

    pub(crate) fn transferred(&mut self, no: u64, how: TransferKind, agent: usize, to: String, now: i64) {
        let agent = self.agents[agent].agent.clone();
        if let Some(call) = self.open.get_mut(&no) {
            call.transfers.push(Transfer { at_ms: now, how, agent, to });
        }
    }

    pub(crate) fn leg_begins(&mut self, no: u64, agent: Option<usize>, now: i64) {
        let agent = agent.map(|agent| self.agents[agent].agent.clone());
        if let Some(call) = self.open.get_mut(&no) {
            call.legs.push(Leg { agent, from_ms: now, to_ms: None });
        }
    }

    pub(crate) fn leg_ends(&mut self, no: u64, now: i64) {
        if let Some(leg) = self.open.get_mut(&no).and_then(|call| call.legs.last_mut()) {
            leg.to_ms.get_or_insert(now);
        }
    }

    pub(crate) fn end(&mut self, no: u64, by: EndedBy, now: i64) {
        let Some(mut call) = self.open.remove(&no) else { return };
        call.ended_ms = Some(now);
        call.ended_by = Some(by);
        self.ended.push_back(call);
        while self.ended.len() > self.calls_max {
            self.ended.pop_front();
            self.forgotten += 1;
        }
    }

    /// Writes down a state of an agent, if it is a new one.
    pub(crate) fn state(&mut self, agent: usize, state: State, reason: Option<&str>, now: i64) {
        let day = &mut self.agents[agent];
        if let Some(last) = day.changes.back()
            && last.state == state
            && last.reason.as_deref() == reason
        {
            return;
        }
        day.settle(now);
        day.changes.push_back(Change { at_ms: now, state, reason: reason.map(str::to_owned) });
        while day.changes.len() > self.changes_max.max(1) {
            day.changes.pop_front();
        }
    }
}

impl Agent {
    /// Books the time since the latest change. Called once per change, or on a copy for reading.
    fn settle(&mut self, now: i64) {
        let Some(last) = self.changes.back() else { return };
        let ms = now - last.at_ms;
        *self.in_state_ms.entry(last.state).or_default() += ms;
        if let (State::NotReady, Some(reason)) = (last.state, &last.reason) {
            *self.paused_ms.entry(reason.clone()).or_default() += ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(vec!["sales".into()], vec!["Agent 1".into()], 1, 2)
    }

    #[test]
    fn time_in_a_state_is_booked_to_the_state_left() {
        let mut ledger = ledger();
        ledger.state(0, State::Ready, None, 1_000);
        ledger.state(0, State::Ready, None, 1_500);
        ledger.state(0, State::NotReady, Some("lunch"), 4_000);
        ledger.state(0, State::Ready, None, 9_000);
        let day = ledger.agents(10_000).next().unwrap();
        assert_eq!(day.in_state_ms[&State::Ready], 4_000);
        assert_eq!(day.paused_ms["lunch"], 5_000);
        assert_eq!(day.changes.len(), 2, "the list of changes is bounded");
    }

    #[test]
    fn the_ledger_forgets_the_oldest_call_and_says_so() {
        let mut ledger = ledger();
        for no in 1..=3 {
            ledger.begin(
                no,
                Call {
                    call: no.to_string(),
                    direction: Direction::Inbound,
                    number: "1".into(),
                    line: None,
                    offered_ms: 0,
                    menu: vec![],
                    visits: vec![],
                    transfers: vec![],
                    legs: vec![],
                    ended_ms: None,
                    ended_by: None,
                },
            );
            ledger.end(no, EndedBy::Caller, 5);
        }
        assert_eq!(ledger.ended().map(|call| call.call.as_str()).collect::<Vec<_>>(), ["3"]);
        assert_eq!(ledger.forgotten(), 2);
    }
}
