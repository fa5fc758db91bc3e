//! From lines to facts.

use std::collections::{BTreeMap, BTreeSet};

use model::event::agent::{self, State};
use model::event::call::{
    AlertCancelled, Answered, Dequeued, Destination, Ended, Party, QueueExit, Released, Rona, TransferKind, Transferred,
};
use model::event::queue::{MemberAdded, MemberPaused, MemberRemoved};
use model::{AgentId, CallId, Event, Fact, Quality, QueueId, Subject, Time};
use serde::{Deserialize, Serialize};

use crate::line::{Left, QueueLogLine, Talk, Verb};

/// A call that left its queue or its agent ends unless it comes back within this: the file says nothing of what it does
/// elsewhere.
const SETTLE_MS: i64 = 10_000;

/// At most so many calls are remembered at once; beyond, the longest unheard of are forgotten: the file never said that they
/// left.
pub const CALLS_MAX: usize = 10_000;
/// At most so many agents are remembered at once, and so many memberships of all of them; more are not followed.
pub const AGENTS_MAX: usize = 10_000;
/// See [`AGENTS_MAX`].
pub const MEMBERSHIPS_MAX: usize = 20_000;

/// Everything that must be remembered between lines; small, and stored with the events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    calls: BTreeMap<String, OpenCall>,
    agents: BTreeMap<String, Member>,
    /// The last line's second, and its number within it: lines of one second have an order, and it is the file's.
    last: (i64, u64),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenCall {
    /// Where it waits now, since when, and the order of the line that said so.
    pub(crate) waiting: Option<(String, i64, u64)>,
    /// When it left for somewhere the file does not follow, and by whose doing.
    gone: Option<(i64, Party)>,
    /// It waits at desk phones; the queue itself knows nothing of it.
    #[serde(default)]
    pub(crate) desk: bool,
    /// Who answered at a desk phone.
    #[serde(default)]
    pub(crate) desk_agent: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Member {
    queues: BTreeSet<String>,
    paused: Option<String>,
    is_paused: bool,
}

impl Memory {
    /// Whether a call is remembered.
    pub(crate) fn knows(&self, call: &str) -> bool {
        self.calls.contains_key(call)
    }
}

/// Translates lines, in the order of the file.
pub struct Translator {
    /// What is remembered.
    pub memory: Memory,
    agents: BTreeMap<String, String>,
    /// Calls of the memory that are gone, by when: so that a line need not look at all calls.
    gone: BTreeSet<(i64, String)>,
    memberships: usize,
    surplus: Option<(String, u64)>,
}

/// The facts of one line, made under its name.
pub(crate) struct Line<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: Time,
    pub(crate) seq: u64,
    facts: Vec<Fact>,
}

impl Line<'_> {
    pub(crate) fn add(&mut self, subject: Subject, event: impl Into<Event>) -> &mut Fact {
        let event = event.into();
        // The line itself is the vendor's reference: a line that is there twice happened once.
        let reference = format!("queue_log|{}|{}|{subject}", self.text, event.ty());
        self.facts.push(Fact::new(self.at, subject, event).reference(reference).seq(self.seq));
        self.facts.last_mut().expect("just pushed")
    }
}

impl Translator {
    /// With what earlier lines left, and the file's words for agents.
    pub fn new(memory: Memory, agents: BTreeMap<String, String>) -> Translator {
        let gone = memory.calls.iter().filter_map(|(id, call)| Some((call.gone?.0, id.clone()))).collect();
        let memberships = memory.agents.values().map(|member| member.queues.len()).sum();
        Translator { memory, agents, gone, memberships, surplus: None }
    }

    /// The first line that told more than is remembered, and how many did, since it was taken last.
    pub fn take_surplus(&mut self) -> Option<(String, u64)> {
        self.surplus.take()
    }

    fn too_many(&mut self, line: &str) {
        self.surplus.get_or_insert_with(|| (line.to_owned(), 0)).1 += 1;
    }

    /// The facts of one line; `text` is the line as it stands in the file.
    pub fn facts(&mut self, text: &str, line: &QueueLogLine) -> Vec<Fact> {
        let text = text.trim_end_matches(['\r', '\n']);
        let mut out = Line { text, at: line.at, seq: self.order(line.at), facts: Vec::new() };
        self.settle(line.at, &mut out.facts);
        let agent = line.agent.as_deref().map(|name| self.agent(name));
        match (&line.call, &line.queue) {
            // In lines about members the call field holds who asked for it (`MANAGER`, `CLI`).
            (Some(call), Some(queue)) if !about_member(&line.verb) => self.of_call(&mut out, call, queue, agent, line),
            _ => self.of_agent(&mut out, line.queue.as_deref(), agent, &line.verb),
        }
        out.facts
    }

    /// Nothing more will be read: what has left, has ended.
    pub fn finish(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        self.settle(Time(i64::MAX), &mut facts);
        facts
    }

    /// The order of a line: its time, then its place among the lines of that time. Steps of ten leave room between two.
    fn order(&mut self, at: Time) -> u64 {
        let (last, number) = self.memory.last;
        let number = if last == at.ms() { number + 10 } else { 10 };
        self.memory.last = (at.ms(), number);
        seq(at.ms(), number)
    }

    pub(crate) fn agent(&self, name: &str) -> AgentId {
        AgentId::new(self.agents.get(name).map_or(name, String::as_str))
    }

    /// Calls that left and did not come back have ended, when they left.
    fn settle(&mut self, now: Time, facts: &mut Vec<Fact>) {
        while let Some((at, _)) = self.gone.first().filter(|(at, _)| now.ms().saturating_sub(*at) > SETTLE_MS) {
            let at = *at;
            let Some((_, id)) = self.gone.pop_first() else { break };
            let by = self.memory.calls.remove(&id).and_then(|call| call.gone).map_or(Party::Unknown, |(_, by)| by);
            let subject = Subject::Call(CallId::new(&id));
            let reference = format!("queue_log|ended|{id}|{at}");
            let ended = Fact::new(Time(at), subject, Ended { by, ..Ended::default() });
            // After every line of its second.
            facts.push(ended.reference(reference).seq(seq(at, 999_999)));
        }
    }

    /// Whether the configuration gives a name to this.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.agents.contains_key(name)
    }

    /// Whether a call waits at the desk phones of this queue.
    pub(crate) fn waits_at_desks(&self, call: &str, queue: &str) -> bool {
        let at = |open: &OpenCall| open.desk && open.waiting.as_ref().is_some_and(|(where_, _, _)| where_ == queue);
        self.memory.calls.get(call).is_some_and(at)
    }

    /// A call, to be changed; it is here and not gone.
    pub(crate) fn open(&mut self, call: &str, line: &str) -> &mut OpenCall {
        if !self.memory.calls.contains_key(call) && self.memory.calls.len() >= CALLS_MAX {
            self.too_many(line);
            self.forget_oldest();
        }
        let open = self.memory.calls.entry(call.to_owned()).or_default();
        if let Some((at, _)) = open.gone.take() {
            self.gone.remove(&(at, call.to_owned()));
        }
        open
    }

    /// Forgets a tenth of the calls, so that it need not be done again for as many.
    fn forget_oldest(&mut self) {
        let heard = |call: &OpenCall| {
            let waits = call.waiting.as_ref().map_or(i64::MIN, |(_, at, _)| *at);
            call.gone.map_or(waits, |(at, _)| at.max(waits))
        };
        let mut all: Vec<_> = self.memory.calls.iter().map(|(id, call)| (heard(call), id.clone())).collect();
        all.sort_unstable();
        for (_, id) in all.into_iter().take(CALLS_MAX / 10) {
            let call = self.memory.calls.remove(&id);
            if let Some((at, _)) = call.and_then(|call| call.gone) {
                self.gone.remove(&(at, id));
            }
        }
    }

    fn of_call(&mut self, out: &mut Line<'_>, call: &str, queue: &str, agent: Option<AgentId>, line: &QueueLogLine) {
        let (verb, phone) = (&line.verb, line.agent.as_deref());
        let subject = || Subject::Call(CallId::new(call));
        let queue_id = || QueueId::new(queue);
        match verb {
            // no desk phone answered, and the queue itself goes on: the same stay
            Verb::EnterQueue { .. } if self.waits_at_desks(call, queue) => self.open(call, out.text).desk = false,
            Verb::EnterQueue { caller, position } => self.entered(out, call, queue, caller.as_deref(), *position),
            Verb::Connect { hold_s, .. } => {
                self.leave(out, call, queue, QueueExit::Answered, hold_s * 1000);
                let waited_ms = Some(hold_s * 1000);
                out.add(
                    subject(),
                    Answered { agent: agent.clone(), queue: Some(queue_id()), waited_ms, ..Answered::default() },
                );
                self.state(out, agent, State::Talking, Some((call, queue)));
            }
            Verb::CompleteAgent(talk) => self.complete(out, call, queue, agent, Party::Agent, *talk),
            Verb::CompleteCaller(talk) => self.complete(out, call, queue, agent, Party::Caller, *talk),
            Verb::BlindTransfer { exten, talk, .. } | Verb::Transfer { exten, talk, .. } => {
                self.transfer(out, call, queue, agent, TransferKind::Blind, exten, *talk);
            }
            Verb::AttendedTransfer { target, talk, .. } => {
                self.transfer(out, call, queue, agent, TransferKind::Attended, target, *talk);
            }
            Verb::Abandon(left) => self.left(out, call, queue, QueueExit::Abandoned, *left, Party::Caller),
            Verb::ExitWithTimeout(left) => self.left(out, call, queue, QueueExit::Timeout, *left, Party::System),
            Verb::ExitEmpty(left) => self.left(out, call, queue, QueueExit::NoAgent, *left, Party::System),
            Verb::ExitWithKey { left, .. } => self.left(out, call, queue, QueueExit::ExitKey, *left, Party::Caller),
            Verb::Withdraw(left) => self.left(out, call, queue, QueueExit::Overflow, *left, Party::System),
            Verb::RingNoAnswer { ring_ms } => {
                let Some(agent) = agent else { return };
                let rang_ms = Some(*ring_ms);
                out.add(
                    subject(),
                    Rona { agent, device: None, queue: Some(queue_id()), rang_ms, reason: <_>::default(), team: None },
                );
            }
            Verb::RingCanceled { ring_ms } => {
                let Some(agent) = agent else { return };
                out.add(
                    subject(),
                    AlertCancelled { agent, device: None, queue: Some(queue_id()), rang_ms: Some(*ring_ms) },
                );
            }
            Verb::DeskEnter { .. } | Verb::DeskConnect { .. } | Verb::DeskEnd { .. } => {
                // the line names the phone, not the agent
                let device = phone.map(AgentId::new);
                self.of_desk(out, call, queue, device, verb);
            }
            _ => {}
        }
    }

    pub(crate) fn leave(&mut self, out: &mut Line<'_>, call: &str, queue: &str, cause: QueueExit, waited_ms: u64) {
        let open = self.open(call, out.text);
        (open.waiting, open.desk) = (None, false);
        let event = Dequeued { queue: QueueId::new(queue), cause, waited_ms: Some(waited_ms) };
        out.add(Subject::Call(CallId::new(call)), event);
    }

    pub(crate) fn left(
        &mut self,
        out: &mut Line<'_>,
        call: &str,
        queue: &str,
        cause: QueueExit,
        left: Left,
        by: Party,
    ) {
        self.leave(out, call, queue, cause, left.wait_s * 1000);
        self.gone(out, call, by);
    }

    fn gone(&mut self, out: &Line<'_>, call: &str, by: Party) {
        let at = out.at.ms();
        self.open(call, out.text).gone = Some((at, by));
        self.gone.insert((at, call.to_owned()));
    }

    pub(crate) fn complete(
        &mut self,
        out: &mut Line<'_>,
        call: &str,
        queue: &str,
        agent: Option<AgentId>,
        by: Party,
        talk: Talk,
    ) {
        let talked_ms = Some(talk.talk_s * 1000);
        out.add(Subject::Call(CallId::new(call)), Released { agent: agent.clone(), by, talked_ms });
        self.gone(out, call, by);
        self.back(out, agent, call, queue);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one line")]
    fn transfer(
        &mut self,
        out: &mut Line<'_>,
        call: &str,
        queue: &str,
        agent: Option<AgentId>,
        kind: TransferKind,
        to: &str,
        talk: Talk,
    ) {
        let subject = Subject::Call(CallId::new(call));
        // The PBX writes a transfer and the entry that it leads to from two threads: the entry may stand first.
        let entered = self.memory.calls.get(call).and_then(|open| open.waiting.as_ref()).map(|(_, _, seq)| *seq);
        let order = out.seq;
        out.seq = entered.map_or(order, |entered| entered.saturating_sub(5));
        out.add(
            subject.clone(),
            Released { agent: agent.clone(), by: Party::Agent, talked_ms: Some(talk.talk_s * 1000) },
        );
        out.add(subject, Transferred { kind, agent: agent.clone(), to: Destination::Device(to.into()) });
        out.seq = order;
        if entered.is_none() {
            self.gone(out, call, Party::System);
        }
        self.back(out, agent, call, queue);
    }

    /// The agent is free again, or back in its pause.
    fn back(&mut self, out: &mut Line<'_>, agent: Option<AgentId>, call: &str, queue: &str) {
        let paused = agent.as_ref().and_then(|a| self.memory.agents.get(a.as_str())).is_some_and(|m| m.is_paused);
        let state = if paused { State::NotReady } else { State::Ready };
        self.state(out, agent, state, (!paused).then_some((call, queue)));
    }

    pub(crate) fn state(&self, out: &mut Line<'_>, agent: Option<AgentId>, state: State, of: Option<(&str, &str)>) {
        let Some(agent) = agent else { return };
        let member = self.memory.agents.get(agent.as_str());
        let reason = if state == State::NotReady { member.and_then(|m| m.paused.clone()) } else { None };
        let talking = of.filter(|_| state == State::Talking);
        let event = agent::StateChanged {
            state,
            reason,
            call: talking.map(|(call, _)| CallId::new(call)),
            queue: talking.map(|(_, queue)| QueueId::new(queue)),
            team: None,
        };
        out.add(Subject::Agent(agent), event);
    }

    fn of_agent(&mut self, out: &mut Line<'_>, queue: Option<&str>, agent: Option<AgentId>, verb: &Verb) {
        if *verb == Verb::QueueStart {
            self.restarted(out);
            return;
        }
        let Some(agent) = agent else { return };
        if !self.may_know(&agent, verb) {
            return self.too_many(out.text);
        }
        let mut unknown = Member::default();
        let member = match verb {
            Verb::AddMember { .. } | Verb::PauseAll { .. } => self.memory.agents.entry(agent.to_string()).or_default(),
            // Nothing that has to be remembered.
            _ => self.memory.agents.get_mut(agent.as_str()).unwrap_or(&mut unknown),
        };
        match (verb, queue) {
            (Verb::AddMember { paused }, Some(queue)) => {
                let first = member.queues.is_empty();
                self.memberships += usize::from(member.queues.insert(queue.to_owned()));
                member.is_paused = *paused;
                let added = MemberAdded { agent: agent.clone(), device: None, penalty: 0, paused: *paused };
                out.add(Subject::Queue(queue.into()), added);
                if first {
                    out.add(Subject::Agent(agent.clone()), agent::LoggedIn::default());
                    let state = if *paused { State::NotReady } else { State::Ready };
                    self.state(out, Some(agent), state, None);
                }
            }
            (Verb::RemoveMember, Some(queue)) => {
                let was = member.queues.remove(queue);
                self.memberships -= usize::from(was);
                let last = was && member.queues.is_empty();
                out.add(Subject::Queue(queue.into()), MemberRemoved { agent: agent.clone() });
                if last {
                    self.memory.agents.remove(agent.as_str());
                    out.add(Subject::Agent(agent), agent::LoggedOut::default());
                }
            }
            (Verb::Pause { reason }, Some(queue)) => {
                let event = MemberPaused { agent, paused: true, reason: reason.clone() };
                out.add(Subject::Queue(queue.into()), event);
            }
            (Verb::Unpause, Some(queue)) => {
                out.add(Subject::Queue(queue.into()), MemberPaused { agent, paused: false, reason: None });
            }
            (Verb::PauseAll { reason }, _) => {
                member.is_paused = true;
                member.paused.clone_from(reason);
                self.state(out, Some(agent), State::NotReady, None);
            }
            (Verb::UnpauseAll, _) => {
                member.is_paused = false;
                member.paused = None;
                if member.queues.is_empty() {
                    self.memory.agents.remove(agent.as_str());
                }
                self.state(out, Some(agent), State::Ready, None);
            }
            _ => {}
        }
    }

    /// Whether there is room for what a line says of an agent.
    fn may_know(&self, agent: &AgentId, verb: &Verb) -> bool {
        let known = self.memory.agents.contains_key(agent.as_str()) || self.memory.agents.len() < AGENTS_MAX;
        match verb {
            Verb::AddMember { .. } => known && self.memberships < MEMBERSHIPS_MAX,
            Verb::PauseAll { .. } => known,
            _ => true,
        }
    }

    /// The PBX started: who waited, is gone, and nobody is logged in but who is added again.
    fn restarted(&mut self, out: &mut Line<'_>) {
        self.gone.clear();
        self.memberships = 0;
        for (id, call) in std::mem::take(&mut self.memory.calls) {
            let subject = Subject::Call(CallId::new(&id));
            if let Some((queue, since, _)) = call.waiting {
                let waited_ms = Some(out.at.since(Time(since)) as u64);
                let lost = Dequeued { queue: queue.into(), cause: QueueExit::SourceLost, waited_ms };
                out.add(subject.clone(), lost).quality = Some(Quality::Inferred);
            }
            let ended = Ended { by: Party::System, cause: Some("lost".to_owned()), ..Ended::default() };
            out.add(subject, ended).quality = Some(Quality::Inferred);
        }
        for id in std::mem::take(&mut self.memory.agents).into_keys() {
            let gone = agent::LoggedOut { reason: Some("the PBX started".to_owned()), team: None };
            out.add(Subject::Agent(id.into()), gone).quality = Some(Quality::Inferred);
        }
    }
}

/// The order of a line within its call: its time, then its place among the lines of that time.
fn seq(at_ms: i64, number: u64) -> u64 {
    u64::try_from(at_ms).unwrap_or(0).saturating_mul(1_000_000).saturating_add(number)
}

fn about_member(verb: &Verb) -> bool {
    use Verb::{AddMember, Pause, PauseAll, Penalty, RemoveMember, Unpause, UnpauseAll};
    matches!(
        verb,
        AddMember { .. } | RemoveMember | Pause { .. } | Unpause | PauseAll { .. } | UnpauseAll | Penalty { .. }
    )
}

#[cfg(test)]
mod tests;
