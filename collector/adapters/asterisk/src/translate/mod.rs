//! From AMI frames to facts. Pure: frames and times in, facts and changed state out; it reads no clock and no socket.
//!
//! - **Invariant:** facts, their times and their ids depend on the PBX's words alone: two collectors say the same.
//! - **Invariant:** what is decided later (timeout or overflow, the end of after-call work) is decided by the PBX's clock,
//!   as its messages and pongs tell it, never by ours.
//! - **Invariant:** memory is bounded however many things a PBX names ([`bounds`]).
//!
//! References are natural keys, so that live events, snapshots and the backfill from queue_log name one occurrence alike:
//! `offered|LINKEDID`, `queued|UNIQUEID|QUEUE|N`, `answered|UNIQUEID of the agent's channel`, …; where there is no such key
//! the microsecond stands in.

pub mod agents;
pub mod bounds;
pub mod channels;
pub mod desks;
pub mod devices;
pub mod dials;
mod learn;
pub mod queues;
pub mod transfers;
pub mod words;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use model::event::Event;
use model::event::call::Direction;
use model::{Fact, Quality, Subject, Time};

use crate::config::Plan;
use crate::frame::Frame;
use crate::state::{Agent, Call, Device, Queue};

/// For how long a call that is over is remembered, for what comes late.
const REMEMBER_US: i64 = 120_000_000;

/// What is due at a moment of the PBX's clock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// Nothing followed: decide why the caller left the queue.
    Exit(String),
    /// After-call work is over.
    Wrap(String),
    /// Forget a call that is over.
    Forget(String),
}

/// The state of one PBX, fed by its frames.
pub struct Translator {
    pub(crate) plan: Arc<Plan>,
    pub(crate) calls: BTreeMap<String, Call>,
    /// Live channels and the calls they belong to.
    pub(crate) legs: HashMap<String, String>,
    pub(crate) agents: BTreeMap<String, Agent>,
    /// Which agent a member name or interface means.
    pub(crate) names: HashMap<String, String>,
    pub(crate) queues: BTreeMap<String, Queue>,
    pub(crate) devices: BTreeMap<String, Device>,
    /// Endpoints that were seen to lead outside.
    pub(crate) trunks: BTreeSet<String>,
    /// Phones that were seen, by their extension.
    pub(crate) phones: HashMap<String, String>,
    /// How what is said now is known.
    pub(crate) quality: Option<Quality>,
    /// Set while what is gone from sight is closed: it ended before this.
    pub(crate) lost_before_us: Option<i64>,
    /// While a list of members is read: its agents, and whether their skills changed.
    pub(crate) listed: Option<BTreeMap<String, bool>>,
    /// What was said of each trunk's use.
    pub(crate) usage: BTreeMap<String, u32>,
    /// What hangs on all calls, see [`Call::weight`].
    weight: usize,
    /// How many memberships all agents have.
    pub(crate) memberships: usize,
    surplus: bounds::Surplus,
    now_us: i64,
    due_first: bool,
    /// Until when agents were said to be unknown, because nobody watched; what a snapshot says comes after it.
    blind_us: i64,
    due: BTreeSet<(i64, Due)>,
    facts: VecDeque<Fact>,
    dirty: BTreeSet<String>,
    /// What another session knows better.
    unsure: learn::Unsure,
    malformed: Vec<(Bytes, String)>,
}

impl Translator {
    /// Of what an earlier session left (see [`Translator::changes`]); entries that cannot be read are forgotten.
    pub fn new(plan: Arc<Plan>, known: &BTreeMap<String, Bytes>) -> Translator {
        let mut it = Translator {
            plan,
            calls: BTreeMap::new(),
            legs: HashMap::new(),
            agents: BTreeMap::new(),
            names: HashMap::new(),
            queues: BTreeMap::new(),
            devices: BTreeMap::new(),
            trunks: BTreeSet::new(),
            phones: HashMap::new(),
            quality: None,
            lost_before_us: None,
            listed: None,
            usage: BTreeMap::new(),
            weight: 0,
            memberships: 0,
            surplus: bounds::Surplus::default(),
            now_us: 0,
            due_first: false,
            blind_us: 0,
            due: BTreeSet::new(),
            facts: VecDeque::new(),
            dirty: BTreeSet::new(),
            unsure: learn::Unsure::default(),
            malformed: Vec::new(),
        };
        for (key, value) in known {
            it.restore(key, value);
        }
        it
    }

    fn restore(&mut self, key: &str, value: &Bytes) {
        fn read<T: serde::de::DeserializeOwned>(value: &Bytes) -> Option<T> {
            serde_json::from_slice(value).ok()
        }
        match key.split_once('/') {
            Some(("call", id)) => {
                let Some(call) = read::<Call>(value) else { return };
                for uid in call.legs.keys() {
                    self.legs.insert(uid.clone(), id.to_owned());
                }
                if let Some(left) = call.stay.as_ref().and_then(|stay| stay.left) {
                    self.due.insert((left.due_us, Due::Exit(id.to_owned())));
                }
                if let Some(over) = call.over_us {
                    self.due.insert((over.saturating_add(REMEMBER_US), Due::Forget(id.to_owned())));
                }
                self.weight += call.weight();
                self.calls.insert(id.to_owned(), call);
            }
            Some(("agent", id)) => {
                let Some(agent) = read::<Agent>(value) else { return };
                if let Some(wrap) = &agent.wrap {
                    self.due.insert((wrap.due_us, Due::Wrap(id.to_owned())));
                }
                self.learn_names(&agent);
                self.memberships += agent.queues.len();
                self.agents.insert(id.to_owned(), agent);
            }
            Some(("queue", id)) => {
                self.queues.extend(read(value).map(|queue| (id.to_owned(), queue)));
            }
            Some(("device", id)) => {
                self.devices.extend(read(value).map(|device| (id.to_owned(), device)));
            }
            Some(("trunk", id)) => {
                self.trunks.insert(id.to_owned());
            }
            _ => {}
        }
    }

    /// The PBX's clock as far as we heard it.
    pub fn now(&self) -> Time {
        Time(self.now_us.div_euclid(1000))
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.now_us
    }

    /// The next moment of the PBX's clock at which something is due that makes facts.
    pub fn next_due(&self) -> Option<Time> {
        let first = self.due.iter().find(|(_, due)| !matches!(due, Due::Forget(_)))?;
        Some(Time(first.0.div_euclid(1000) + 1))
    }

    /// How many facts are ready.
    pub fn ready(&self) -> usize {
        self.facts.len()
    }

    /// Takes the facts.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts).into()
    }

    /// Takes at most so many facts, the oldest first.
    pub fn take_some(&mut self, max: usize) -> Vec<Fact> {
        self.facts.drain(..max.min(self.facts.len())).collect()
    }

    /// Takes what was set aside.
    pub fn take_malformed(&mut self) -> Vec<(Bytes, String)> {
        std::mem::take(&mut self.malformed)
    }

    /// Takes the changes of the state: to be stored with the facts that were taken with them.
    pub fn changes(&mut self) -> Vec<(String, Option<Bytes>)> {
        fn write<T: serde::Serialize>(value: Option<&T>) -> Option<Bytes> {
            value.map(|v| Bytes::from(serde_json::to_vec(v).expect("state of ours always serialises")))
        }
        std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|key| {
                let value = match key.split_once('/') {
                    Some(("call", id)) => write(self.calls.get(id)),
                    Some(("agent", id)) => write(self.agents.get(id)),
                    Some(("queue", id)) => write(self.queues.get(id)),
                    Some(("device", id)) => write(self.devices.get(id)),
                    Some(("trunk", id)) => self.trunks.contains(id).then(Bytes::new),
                    _ => None,
                };
                (key, value)
            })
            .collect()
    }

    /// Moves the PBX's clock on: whatever was due by then happens first, in the order of its time.
    pub fn advance(&mut self, to_us: i64) {
        while let Some((at, _)) = self.due.first().filter(|(at, _)| *at <= to_us) {
            let at = *at;
            let Some((_, due)) = self.due.pop_first() else { break };
            match due {
                Due::Exit(call) => self.exit_due(&call, at),
                Due::Wrap(agent) => {
                    // What was due at a moment goes before what happens at it.
                    self.due_first = true;
                    self.wrap_due(&agent, at);
                    self.due_first = false;
                }
                Due::Forget(call) => self.forget(&call),
            }
        }
        self.now_us = self.now_us.max(to_us);
    }

    /// Takes one event. `observed_us` stands in when the PBX writes no `Timestamp`.
    pub fn event(&mut self, frame: &Frame, observed_us: i64) {
        let at = frame.timestamp_us().unwrap_or(observed_us);
        self.advance(at);
        while self.due.len() > self.due_max() {
            // A clock that stands still or runs backwards: what is due first is due now.
            let Some((first, _)) = self.due.first() else { break };
            self.advance(*first);
        }
        let Some(name) = frame.event() else { return };
        if let Some(why) = Self::overlong(frame) {
            return self.refuse(frame, why);
        }
        if self.is_too_much(frame, name) {
            return;
        }
        self.follow_linkedid(frame, at);
        match name {
            "Newchannel" => self.new_channel(frame, at),
            "Newstate" => self.new_state(frame, at),
            "Rename" => self.renamed(frame),
            "HangupRequest" | "SoftHangupRequest" => self.hangup_requested(frame, at, name == "HangupRequest"),
            "Hangup" => self.hung_up(frame, at),
            "DialBegin" => self.dial_begun(frame, at),
            "DialEnd" => self.dial_ended(frame, at),
            "BridgeEnter" => self.bridge_entered(frame, at),
            "Hold" => self.held(frame, at),
            "Unhold" => self.unheld(frame, at),
            "BlindTransfer" => self.blind_transfer(frame, at),
            "AttendedTransfer" => self.attended_transfer(frame, at),
            "OriginateResponse" => self.originated(frame, at),
            "QueueCallerJoin" => self.joined(frame, at),
            "QueueCallerLeave" => self.left(frame, at, false),
            "QueueCallerAbandon" => self.left(frame, at, true),
            "AgentCalled" => self.agent_called(frame, at),
            "AgentConnect" => self.agent_connected(frame, at),
            "AgentComplete" => self.agent_completed(frame, at),
            // An agent who hangs up during the announcement never took the call.
            "AgentRingNoAnswer" | "AgentDump" => self.agent_rang_out(frame, at),
            "QueueMemberAdded" => self.member_added(frame, at),
            "QueueMemberRemoved" => self.member_removed(frame, at),
            "QueueMemberPause" | "QueueMemberPenalty" | "QueueMemberStatus" => self.member_changed(frame, at, name),
            "DeviceStateChange" => self.device_state(frame, at),
            "ContactStatus" => self.contact_status(frame, at),
            "PeerStatus" => self.peer_status(frame, at),
            "UserEvent" => self.user_event(frame, at),
            "MixMonitorStart" => self.recording(frame, at, true),
            "MixMonitorStop" => self.recording(frame, at, false),
            _ => {}
        }
    }

    /// Sets a frame aside that makes no sense to us.
    pub(crate) fn refuse(&mut self, frame: &Frame, reason: impl Into<String>) {
        let mut text = frame.to_text();
        text.truncate((0..=512).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0));
        self.malformed.push((Bytes::from(text), reason.into()));
    }

    /// Sets bytes aside that are no frame.
    pub fn refuse_bytes(&mut self, sample: Vec<u8>, reason: String) {
        self.malformed.push((Bytes::from(sample), reason));
    }

    pub(crate) fn say(&mut self, at_us: i64, subject: Subject, event: impl Into<Event>, reference: String) {
        let mut fact = Fact::new(Time(at_us.div_euclid(1000)), subject, event).reference(reference);
        fact.seq = u64::try_from(at_us - i64::from(self.due_first)).ok();
        fact.quality = self.quality;
        self.facts.push_back(fact);
    }

    /// Says something of a call; that it exists goes first.
    pub(crate) fn say_call(&mut self, call: &mut Call, at_us: i64, event: impl Into<Event>, reference: String) {
        if call.drill {
            return;
        }
        self.ensure_offered(call, Direction::Internal);
        if call.over_us.is_some() {
            return;
        }
        call.last_us = call.last_us.max(at_us);
        self.say(at_us, Subject::Call(call.id.as_str().into()), event, reference);
    }

    /// Takes a call out to work on it; [`Translator::put`] brings it back.
    pub(crate) fn take(&mut self, id: &str) -> Option<Call> {
        let call = self.calls.remove(id)?;
        self.weight -= call.weight();
        Some(call)
    }

    pub(crate) fn put(&mut self, call: Call) {
        self.weight += call.weight();
        self.touch("call", &call.id);
        let replaced = self.calls.insert(call.id.clone(), call);
        self.weight -= replaced.map_or(0, |call| call.weight());
    }

    pub(crate) fn touch(&mut self, family: &str, id: &str) {
        let key = format!("{family}/{id}");
        self.unsure.touched(&key, self.now_us);
        self.dirty.insert(key);
    }

    fn forget(&mut self, id: &str) {
        if let Some(call) = self.take(id) {
            for uid in call
                .legs
                .keys()
                .filter(|uid| self.legs.get(*uid).is_some_and(|of| of == id))
                .cloned()
                .collect::<Vec<_>>()
            {
                self.legs.remove(&uid);
            }
            self.touch("call", id);
        }
    }

    pub(crate) fn schedule_exit(&mut self, call: &str, due_us: i64) {
        self.due.insert((due_us, Due::Exit(call.to_owned())));
    }

    pub(crate) fn schedule_wrap(&mut self, agent: &str, due_us: i64) {
        self.due.insert((due_us, Due::Wrap(agent.to_owned())));
    }

    pub(crate) fn schedule_forget(&mut self, call: &str, over_us: i64) {
        self.due.insert((over_us.saturating_add(REMEMBER_US), Due::Forget(call.to_owned())));
    }
}
