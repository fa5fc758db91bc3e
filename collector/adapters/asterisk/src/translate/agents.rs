//! Agents: memberships make a person, and calls, pauses and device states make that person's state.
//!
//! An agent is logged in while a member of any queue; not ready when paused in every one of them (the reason of the pause is
//! the reason) or when the device cannot be reached. Conversations and ringing go before all, after-call work before pauses.

use model::Subject;
use model::event::agent::{self, State};
use model::event::call::Destination;
use model::event::queue;
use model::{Number, Quality};

use super::Translator;
use super::bounds::QUEUES_OF_AGENT_MAX;
use crate::config::AgentName;
use crate::frame::Frame;
use crate::pattern::{extension, is_phone};
use crate::state::{Agent, Member, Said, Wrap};

/// AST_DEVICE_* as `Status` of queue members.
const IN_USE: [i32; 4] = [2, 3, 7, 8];
const RINGING: i32 = 6;
const UNREACHABLE: [i32; 2] = [4, 5];
/// The most names of queues that it has left.
const NAMES_LEFT_MAX: usize = 8;
/// The most calls that ring or are spoken with one agent at once.
const CALLS_OF_AGENT_MAX: usize = 64;

impl Translator {
    /// The agent behind an endpoint.
    pub(crate) fn agent_of(&self, endpoint: &str) -> String {
        match self.names.get(endpoint) {
            Some(id) => id.clone(),
            None if self.plan.config.agents.id == AgentName::Interface => endpoint.to_owned(),
            None => extension(endpoint).to_owned(),
        }
    }

    /// The agent of a queue member.
    pub(crate) fn agent_of_member(&self, interface: &str, name: Option<&str>) -> String {
        match self.plan.config.agents.id {
            AgentName::Extension => extension(interface),
            AgentName::Interface => interface,
            AgentName::MemberName => name.unwrap_or_else(|| extension(interface)),
        }
        .to_owned()
    }

    /// The agent of a name as queue_log writes it: a member's name, or an interface.
    pub(crate) fn agent_of_name(&self, name: &str) -> String {
        match self.names.get(name) {
            Some(id) => id.clone(),
            None => self.agent_of_member(name, Some(name)),
        }
    }

    /// The device of an agent, best known.
    pub(crate) fn device_of(&self, agent: &str, interface: &str) -> String {
        let known = self.agents.get(agent).map(|agent| agent.device.as_str()).filter(|device| !device.is_empty());
        known.unwrap_or(interface).to_owned()
    }

    pub(crate) fn meet_phone(&mut self, endpoint: &str) {
        let exten = extension(endpoint);
        if !self.phones.contains_key(exten) && self.has_room(self.phones.len()) {
            self.phones.insert(exten.to_owned(), endpoint.to_owned());
        }
    }

    pub(crate) fn learn_names(&mut self, agent: &Agent) {
        for member in agent.queues.values() {
            for name in [&member.name, &member.interface, &member.device] {
                if self.names.get(name) != Some(&agent.id) {
                    self.learn_name(name, &agent.id);
                }
            }
        }
        for name in &agent.left_as {
            if !self.names.contains_key(name) {
                self.learn_name(name, &agent.id);
            }
        }
        if is_phone(&agent.device) {
            self.meet_phone(&agent.device);
        }
    }

    fn learn_name(&mut self, name: &str, id: &str) {
        if name.is_empty() {
            return;
        }
        if !self.names.contains_key(name) && !self.has_room(self.names.len() / 8) {
            self.names.clear(); // names of members who went: those who are there are learned again
        }
        self.names.insert(name.to_owned(), id.to_owned());
    }

    pub(crate) fn person(&self, agent: &str) -> Destination {
        Destination::Agent(agent.into())
    }

    /// What a dialled extension is, as far as we know.
    pub(crate) fn destination(&self, exten: &str) -> Destination {
        if let Some(queue) = self.plan.config.queues.extensions.get(exten) {
            Destination::Queue(queue.as_str().into())
        } else if let Some(phone) = self.phones.get(exten) {
            self.person(&self.agent_of(phone))
        } else if self.plan.is_internal(exten) {
            Destination::Device(exten.into())
        } else {
            Destination::Number(Number::plain(exten))
        }
    }

    fn with_agent(&mut self, id: &str, at: i64, change: impl FnOnce(&mut Agent)) {
        if !self.agents.contains_key(id) && !self.has_room(self.agents.len()) {
            return self.leave_out_bytes("more agents than names_max", || id.to_owned());
        }
        let mut agent = self.agents.remove(id).unwrap_or_else(|| Agent { id: id.to_owned(), ..Agent::default() });
        change(&mut agent);
        for calls in [&mut agent.alerts, &mut agent.talks] {
            while calls.len() > CALLS_OF_AGENT_MAX {
                calls.pop_first();
            }
        }
        self.review(&mut agent, at);
        self.touch("agent", id);
        // One who is no member of any queue is only remembered while on a call.
        if agent.said.is_some() || !agent.talks.is_empty() || !agent.alerts.is_empty() || agent.wrap.is_some() {
            self.agents.insert(id.to_owned(), agent);
        }
    }

    pub(crate) fn alert_begun(&mut self, agent: &str, uid: &str, call: &str, queue: Option<&str>, at: i64) {
        let of = (call.to_owned(), queue.map(str::to_owned));
        self.with_agent(agent, at, |agent| {
            agent.alerts.insert(uid.to_owned(), of);
        });
    }

    pub(crate) fn alert_over(&mut self, agent: &str, uid: &str, at: i64) {
        if self.agents.get(agent).is_none_or(|agent| !agent.alerts.contains_key(uid)) {
            return;
        }
        self.with_agent(agent, at, |agent| {
            agent.alerts.remove(uid);
            agent.stale = true;
        });
    }

    pub(crate) fn talk_begun(&mut self, agent: &str, uid: &str, call: &str, queue: Option<&str>, at: i64) {
        let of = (call.to_owned(), queue.map(str::to_owned));
        self.with_agent(agent, at, |agent| {
            agent.alerts.remove(uid);
            agent.talks.insert(uid.to_owned(), of);
        });
    }

    pub(crate) fn talk_over(&mut self, agent: &str, uid: &str, at: i64) {
        if self.agents.get(agent).is_none_or(|agent| !agent.talks.contains_key(uid)) {
            return;
        }
        // A queue's call is done when the queue says so (AgentComplete follows at once): until then the state stands, so
        // that a transfer does not make the agent ready for the blink of an eye.
        let queue = self.agents.get(agent).and_then(|agent| agent.talks.get(uid)).and_then(|(_, queue)| queue.clone());
        if queue.is_some_and(|queue| self.plan.wrap_up_ms(&queue, None) > 0) {
            if let Some(agent) = self.agents.get_mut(agent) {
                agent.talks.remove(uid);
                agent.stale = false;
                agent.status = IN_USE[0];
            }
            return self.touch("agent", agent);
        }
        self.with_agent(agent, at, |agent| {
            agent.talks.remove(uid);
            agent.stale = true;
        });
    }

    /// A queue's call is done: after-call work begins, if the queue gives any.
    pub(crate) fn wrap_begun(&mut self, agent: &str, uid: &str, call: &str, queue: &str, at: i64) {
        let member_s = self.agents.get(agent).and_then(|a| a.queues.get(queue)).map(|member| member.wrap_s);
        let due_us = at + self.plan.wrap_up_ms(queue, member_s) * 1000;
        if self.agents.get(agent).is_none_or(|a| a.said.is_none()) {
            return self.talk_over(agent, uid, at);
        }
        let wrap =
            Wrap { call: call.to_owned(), uid: uid.to_owned(), queue: Some(queue.to_owned()), since_us: at, due_us };
        self.with_agent(agent, at, |agent| {
            agent.talks.remove(uid);
            agent.stale = true;
            agent.wrap = (due_us > at).then_some(wrap);
        });
        if due_us > at {
            self.schedule_wrap(agent, due_us);
        }
    }

    pub(super) fn wrap_due(&mut self, id: &str, at: i64) {
        if self.agents.get(id).and_then(|agent| agent.wrap.as_ref()).is_some_and(|wrap| wrap.due_us <= at) {
            self.with_agent(id, at, |_| {});
        }
    }

    /// Says the agent's state when it is another than was said last.
    fn review(&mut self, agent: &mut Agent, at: i64) {
        // Lists and channels of a snapshot each know a part: the whole is said once, when all are read.
        if let Some(listed) = self.listed.as_mut() {
            listed.entry(agent.id.clone()).or_default();
            return;
        }
        // A snapshot knows states of now; when they began, it guesses.
        let at =
            if self.quality == Some(Quality::Snapshot) { at.max(self.now_us()).max(self.blind_us + 1) } else { at };
        let (state, of) = agent.current(at);
        // It is over when its time is, or when the next call comes before.
        if state != State::WrapUp
            && let Some(wrap) = agent.wrap.take()
        {
            let ms = u64::try_from((at - wrap.since_us) / 1000).unwrap_or(0);
            self.wrapped_up(&wrap.call, &wrap.uid, &agent.id, ms, at);
        }
        let Some(said) = &agent.said else { return };
        let reason = if state == State::NotReady { agent.not_ready_reason() } else { None };
        let call = of.as_ref().map(|(call, _)| call.clone());
        let same = said.state == state && said.reason == reason && (call.is_none() || said.call == call);
        if same {
            return;
        }
        let changed = agent::StateChanged {
            state,
            reason: reason.clone(),
            call: call.as_deref().map(Into::into),
            queue: of.and_then(|(_, queue)| queue).as_deref().map(Into::into),
            team: None,
        };
        let reference = format!("agent|{}|{}|{}|{at}", agent.id, state as u8, call.as_deref().unwrap_or_default());
        self.say(at, Subject::Agent(agent.id.as_str().into()), changed, reference);
        agent.said = Some(Said { state, reason, call });
    }

    /// Nobody watched since `seen`: what agents did meanwhile is unknown until something says it. Unknown is never ready.
    pub fn blind_since(&mut self, seen: model::Time) {
        let at = seen.ms().saturating_mul(1000).saturating_add(999); // after everything that was seen in that millisecond
        self.blind_us = at;
        self.quality = Some(Quality::Inferred);
        let ids: Vec<_> = self.agents.keys().cloned().collect();
        for id in ids {
            let Some(said) = self.agents.get_mut(&id).and_then(|agent| agent.said.as_mut()) else { continue };
            if said.state == State::Unknown {
                continue;
            }
            *said = Said { state: State::Unknown, reason: None, call: None };
            let unknown =
                agent::StateChanged { state: State::Unknown, reason: None, call: None, queue: None, team: None };
            self.say(at, Subject::Agent(id.as_str().into()), unknown, format!("blind|{id}|{at}"));
            self.touch("agent", &id);
        }
        self.quality = None;
    }

    pub(super) fn member_added(&mut self, frame: &Frame, at: i64) {
        match frame.get("Queue").zip(frame.get("Interface").or_else(|| frame.get("Location"))) {
            Some((queue, interface)) => self.member(frame, queue, interface, at),
            None => self.refuse(frame, "QueueMemberAdded without Queue or Interface"),
        }
    }

    pub(super) fn member_changed(&mut self, frame: &Frame, at: i64, name: &str) {
        let Some((queue, interface)) = frame.get("Queue").zip(frame.get("Interface")) else {
            return self.refuse(frame, format!("{name} without Queue or Interface"));
        };
        let agent = self.agent_of_member(interface, frame.get("MemberName"));
        let known = self.agents.get(&agent).is_some_and(|agent| agent.queues.contains_key(queue));
        let quality = self.quality;
        if !known && quality.is_none() {
            self.quality = Some(Quality::Inferred);
        }
        self.member(frame, queue, interface, at);
        self.quality = quality;
    }

    /// A member as an event or a list row shows it: says what is new.
    pub(crate) fn member(&mut self, frame: &Frame, queue: &str, interface: &str, at: i64) {
        let name = frame.get("MemberName").or_else(|| frame.get("Name"));
        let id = self.agent_of_member(interface, name);
        if !self.may_join(&id, queue) {
            return self.leave_out(frame, "more agents or memberships than names_max allows");
        }
        let mut agent = self.agents.remove(&id).unwrap_or_else(|| Agent { id: id.clone(), ..Agent::default() });
        let member = member_of(frame, interface, name, at);
        // Told late or again: what came after it stands.
        if agent.queues.get(queue).is_some_and(|known| known.at_us > at) {
            self.agents.insert(id, agent);
            return;
        }
        agent.device.clone_from(&member.device);
        if let Some(status) = frame.number("Status") {
            agent.status = status;
            agent.stale = false;
        }
        let old = agent.queues.insert(queue.to_owned(), member.clone());
        self.memberships += usize::from(old.is_none());
        self.learn_names(&agent);
        if agent.said.is_none() {
            let logged_in = agent::LoggedIn { device: Some(agent.device.as_str().into()), team: None };
            self.say(at, Subject::Agent(id.as_str().into()), logged_in, format!("logged_in|{id}|{at}"));
            agent.said = Some(Said { state: State::Unknown, reason: None, call: None });
        }
        self.say_member(&id, queue, old.as_ref(), &member, at);
        let skills = old.as_ref().map(|old| old.penalty) != Some(member.penalty);
        if let Some(listed) = self.listed.as_mut() {
            *listed.entry(id.clone()).or_default() |= skills;
        } else {
            if skills {
                self.say_skills(&agent, at);
            }
            self.review(&mut agent, at);
        }
        self.touch("agent", &id);
        self.agents.insert(id, agent);
    }

    fn may_join(&self, id: &str, queue: &str) -> bool {
        match self.agents.get(id) {
            Some(agent) if agent.queues.contains_key(queue) => true,
            Some(agent) => agent.queues.len() < QUEUES_OF_AGENT_MAX && self.has_membership_room(),
            None => self.has_room(self.agents.len()) && self.has_membership_room(),
        }
    }

    fn say_member(&mut self, id: &str, queue: &str, old: Option<&Member>, new: &Member, at: i64) {
        let subject = Subject::Queue(queue.into());
        match old {
            None => {
                let added = queue::MemberAdded {
                    agent: id.into(),
                    device: Some(new.device.as_str().into()),
                    penalty: new.penalty,
                    paused: new.paused,
                };
                self.say(at, subject, added, format!("member_added|{queue}|{id}|{at}"));
            }
            Some(old) if old.paused != new.paused || (new.paused && old.reason != new.reason) => {
                let paused = queue::MemberPaused { agent: id.into(), paused: new.paused, reason: new.reason.clone() };
                self.say(at, subject, paused, format!("member_paused|{queue}|{id}|{at}"));
            }
            Some(_) => {}
        }
    }

    /// A snapshot is read: what its rows together say of each agent is said once.
    pub(crate) fn members_over(&mut self, at: i64) {
        for (id, skills) in self.listed.take().unwrap_or_default() {
            let Some(mut agent) = self.agents.remove(&id) else { continue };
            if skills {
                self.say_skills(&agent, at);
            }
            self.review(&mut agent, at);
            self.agents.insert(id, agent);
        }
    }

    fn say_skills(&mut self, agent: &Agent, at: i64) {
        let skills = agent.queues.iter().map(|(queue, member)| (queue.as_str().into(), member.penalty)).collect();
        let changed = agent::SkillsChanged { skills, team: None };
        let reference = format!("skills|{}|{at}", agent.id);
        self.say(at, Subject::Agent(agent.id.as_str().into()), changed, reference);
    }

    pub(super) fn member_removed(&mut self, frame: &Frame, at: i64) {
        let Some((queue, interface)) = frame.get("Queue").zip(frame.get("Interface").or_else(|| frame.get("Location")))
        else {
            return self.refuse(frame, "QueueMemberRemoved without Queue or Interface");
        };
        let id = self.agent_of_member(interface, frame.get("MemberName"));
        self.leave_queue(&id, queue, at);
    }

    /// A membership ends; with the last one the agent is logged out.
    pub(crate) fn leave_queue(&mut self, id: &str, queue: &str, at: i64) {
        let Some(mut agent) = self.agents.remove(id) else { return };
        if let Some(member) = agent.queues.remove(queue) {
            self.memberships -= 1;
            if agent.left_as.len() < NAMES_LEFT_MAX {
                agent.left_as.insert(member.name);
            }
            let removed = queue::MemberRemoved { agent: id.into() };
            self.say(at, Subject::Queue(queue.into()), removed, format!("member_removed|{queue}|{id}|{at}"));
            self.say_skills(&agent, at);
        }
        if agent.queues.is_empty() && agent.said.is_some() {
            if let Some(wrap) = agent.wrap.take() {
                let ms = u64::try_from((at - wrap.since_us) / 1000).unwrap_or(0);
                self.wrapped_up(&wrap.call, &wrap.uid, id, ms, at);
            }
            agent.said = None;
            let out = agent::LoggedOut::default();
            self.say(at, Subject::Agent(id.into()), out, format!("logged_out|{id}|{at}"));
        } else {
            self.review(&mut agent, at);
        }
        self.touch("agent", id);
        if agent.said.is_some() || !agent.talks.is_empty() || !agent.alerts.is_empty() {
            self.agents.insert(id.to_owned(), agent);
        }
    }
}

impl Agent {
    /// The state at a moment, and the call and queue that it belongs to.
    fn current(&self, at: i64) -> (State, Option<(String, Option<String>)>) {
        if let Some(of) = self.talks.values().next() {
            (State::Talking, Some(of.clone()))
        } else if let Some(of) = self.alerts.values().next() {
            (State::Reserved, Some(of.clone()))
        } else if !self.stale && IN_USE.contains(&self.status) {
            (State::Talking, None)
        } else if !self.stale && self.status == RINGING {
            (State::Reserved, None)
        } else if let Some(wrap) = self.wrap.as_ref().filter(|wrap| wrap.due_us > at) {
            (State::WrapUp, Some((wrap.call.clone(), wrap.queue.clone())))
        } else if UNREACHABLE.contains(&self.status) || self.queues.values().all(|member| member.paused) {
            (State::NotReady, None)
        } else {
            (State::Ready, None)
        }
    }

    fn not_ready_reason(&self) -> Option<String> {
        if self.queues.values().all(|member| member.paused) {
            self.queues.values().find_map(|member| member.reason.clone())
        } else {
            Some("unreachable".to_owned())
        }
    }
}

fn member_of(frame: &Frame, interface: &str, name: Option<&str>, at_us: i64) -> Member {
    let watched = frame.get("StateInterface").filter(|device| is_phone(device));
    let paused = frame.get("Paused") == Some("1");
    // Asterisk 16 says Reason on pause events, later ones PausedReason.
    let reason = frame.get("PausedReason").or_else(|| frame.get("Reason")).filter(|_| paused);
    Member {
        interface: interface.to_owned(),
        device: watched.unwrap_or(interface).to_owned(),
        name: name.unwrap_or_default().to_owned(),
        paused,
        reason: reason.map(str::to_owned),
        penalty: frame.number("Penalty").unwrap_or(0),
        wrap_s: frame.number("Wrapuptime").unwrap_or(0),
        at_us,
    }
}
