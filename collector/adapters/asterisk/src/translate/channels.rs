//! Channels come and go; together, by their Linkedid, they are calls.

use std::collections::BTreeMap;

use model::event::call::{self, Direction, Party};
use model::event::source::TrunkUsage;
use model::{Number, Quality, SourceId, Subject, Time};

use super::Translator;
use super::desks::is_drill;
use crate::frame::Frame;
use crate::pattern::{Technology, endpoint, technology};
use crate::state::{Call, Kind, Leg};

/// Whose hang-up a request just after the end of a stay still belongs to: events of two topics can change places.
const SWAPPED_US: i64 = 50_000;

impl Translator {
    /// The call that a channel belongs to.
    pub(crate) fn call_of(&self, uid: &str) -> Option<String> {
        self.legs.get(uid).cloned()
    }

    /// What a channel is; trunks and phones are remembered by their endpoints.
    pub(crate) fn kind_of(&mut self, channel: &str, context: Option<&str>) -> Kind {
        if technology(channel) == Technology::Local {
            return Kind::Local;
        }
        let end = endpoint(channel);
        let from_outside = context.is_some_and(|c| self.plan.is_inbound_context(c));
        if self.plan.is_trunk(end) || self.trunks.contains(end) || from_outside {
            if !self.trunks.contains(end) && self.has_room(self.trunks.len()) {
                self.trunks.insert(end.to_owned());
                self.touch("trunk", end);
            }
            return Kind::Trunk;
        }
        self.meet_phone(end);
        Kind::Phone
    }

    /// A channel by its headers, with no event: for snapshots too. False: it is no part of a call, or beyond the bound.
    pub(crate) fn adopt(&mut self, call: &mut Call, uid: &str, channel: &str, context: Option<&str>) -> Kind {
        let kind = self.kind_of(channel, context);
        let leg = Leg { name: channel.to_owned(), kind, ..Leg::default() };
        call.legs.insert(uid.to_owned(), leg);
        self.legs.insert(uid.to_owned(), call.id.clone());
        call.drill |= is_drill(channel);
        if kind == Kind::Phone && !call.drill && call.starter.is_none() && call.trunk.is_none() {
            call.starter = Some(self.agent_of(endpoint(channel)));
        }
        kind
    }

    pub(super) fn new_channel(&mut self, frame: &Frame, at: i64) {
        let (Some(uid), Some(channel)) = (frame.get("Uniqueid"), frame.get("Channel")) else {
            return self.refuse(frame, "a Newchannel without Uniqueid or Channel");
        };
        if technology(channel) == Technology::Internal || self.legs.contains_key(uid) {
            return;
        }
        if self.legs.len() >= self.plan.config.channels_max {
            return self.leave_out(frame, "more channels than channels_max");
        }
        let id = frame.get("Linkedid").unwrap_or(uid);
        let begins = !self.calls.contains_key(id);
        if self.calls.get(id).is_some_and(|call| call.is_past("gone", uid)) {
            return; // told again after its end
        }
        let mut call = self.take(id).unwrap_or_else(|| Call::begin(id, uid, at));
        let kind = self.adopt(&mut call, uid, channel, frame.get("Context"));
        let exten = frame.get("Exten").filter(|e| *e != "s").map(str::to_owned);
        if let Some(leg) = call.legs.get_mut(uid) {
            leg.exten = exten.clone().unwrap_or_default();
        }
        if begins {
            call.seen = true;
            call.ani = frame.get("CallerIDNum").map(str::to_owned);
            call.dnis = exten.clone();
            if kind == Kind::Trunk {
                call.direction = Some(Direction::Inbound);
                call.trunk = Some(endpoint(channel).to_owned());
                self.ensure_offered(&mut call, Direction::Inbound);
            }
        }
        self.put(call);
        if let (true, Kind::Phone, Some(exten)) = (begins, kind, exten) {
            self.consulted_apart(channel, uid, &exten, at);
        }
    }

    /// Says how many lines of each trunk are in use, where that changed since it was said last.
    pub fn trunk_usage(&mut self, source: &SourceId, at: i64) {
        let mut now: BTreeMap<String, u32> = self.usage.keys().map(|trunk| (trunk.clone(), 0)).collect();
        // Of a trunk that was idle and still is, there is nothing more to say.
        now.retain(|trunk, _| self.usage.get(trunk).is_some_and(|was| *was > 0));
        let legs = self.calls.values().flat_map(|call| call.legs.values());
        for leg in legs.filter(|leg| leg.kind == Kind::Trunk) {
            *now.entry(endpoint(&leg.name).to_owned()).or_default() += 1;
        }
        for (trunk, in_use) in &now {
            if self.usage.get(trunk) != Some(in_use) {
                let usage = TrunkUsage { trunk: trunk.as_str().into(), in_use: *in_use, capacity: None };
                self.say(at, Subject::Source(source.clone()), usage, format!("trunk|{trunk}|{at}"));
            }
        }
        self.usage = now;
    }

    /// Says that the call exists, once, as soon as its direction is known.
    pub(crate) fn ensure_offered(&mut self, call: &mut Call, otherwise: Direction) {
        if call.offered {
            return;
        }
        call.offered = true;
        let direction = *call.direction.get_or_insert(otherwise);
        let offered = call::Offered {
            direction,
            ani: call.ani.as_deref().map(Number::plain),
            dnis: call.dnis.as_deref().map(Number::plain),
            trunk: call.trunk.as_deref().map(Into::into),
            agent: call.starter.as_deref().filter(|_| direction != Direction::Inbound).map(Into::into),
        };
        let quality = self.quality;
        if !call.seen && quality.is_none() {
            self.quality = Some(Quality::Inferred);
        }
        self.say(call.began_us, Subject::Call(call.id.as_str().into()), offered, format!("offered|{}", call.id));
        self.quality = quality;
    }

    /// A channel that goes on under another Linkedid belongs to that call from now on.
    pub(super) fn follow_linkedid(&mut self, frame: &Frame, at: i64) {
        let (Some(uid), Some(to)) = (frame.get("Uniqueid"), frame.get("Linkedid")) else { return };
        let Some(from) = self.call_of(uid).filter(|from| from != to) else { return };
        if self.calls.get(to).is_none_or(|call| call.over_us.is_some()) {
            return;
        }
        let (Some(mut old), Some(mut new)) = (self.take(&from), self.take(to)) else { return };
        if let Some(leg) = old.legs.remove(uid) {
            new.legs.insert(uid.to_owned(), leg);
        }
        self.legs.insert(uid.to_owned(), to.to_owned());
        old.merged_into = Some(to.to_owned());
        if let Some(talk) = old.talks.remove(uid) {
            self.talk_over(&talk.agent, uid, at);
        }
        self.put(new);
        if old.legs.is_empty() && old.over_us.is_none() {
            self.end_call(&mut old, at, 0);
        }
        self.put(old);
    }

    /// Of the states only the caller's going up matters here: an IVR begins with it. Answers come with `DialEnd` and
    /// `AgentConnect`, ends with `Hangup`.
    pub(super) fn new_state(&mut self, frame: &Frame, at: i64) {
        self.renamed(frame);
        let Some(uid) = frame.get("Uniqueid").filter(|_| frame.get("ChannelState") == Some("6")) else { return };
        let Some(id) = self.call_of(uid) else { return };
        if let Some(call) = self.calls.get_mut(&id).filter(|call| call.caller == uid && call.up_us.is_none()) {
            call.up_us = Some(at);
            self.touch("call", &id);
        }
    }

    pub(super) fn renamed(&mut self, frame: &Frame) {
        let name = frame.get("Newname").or_else(|| frame.get("Channel"));
        let (Some(uid), Some(name)) = (frame.get("Uniqueid"), name) else { return };
        let Some(id) = self.call_of(uid) else { return };
        if let Some(leg) = self.calls.get_mut(&id).and_then(|call| call.legs.get_mut(uid))
            && leg.name != name
        {
            leg.name = name.to_owned();
            self.touch("call", &id);
        }
    }

    /// `hard`: somebody hung up (`HangupRequest`); else the PBX itself asks the channel to go.
    pub(super) fn hangup_requested(&mut self, frame: &Frame, at: i64, hard: bool) {
        let Some(uid) = frame.get("Uniqueid") else { return };
        let Some(mut call) = self.call_of(uid).and_then(|id| self.take(&id)) else { return };
        let up = frame.get("ChannelState") == Some("6");
        let speaks = call.talks.contains_key(call.key(uid));
        let is_caller = call.caller == uid;
        if let Some(leg) = call.legs.get_mut(uid) {
            leg.hangup_us.get_or_insert(at);
            if hard {
                leg.cause = frame.number("Cause").unwrap_or(leg.cause);
                leg.sip = frame.number("TechCause").unwrap_or(leg.sip);
            }
            let party = if leg.kind == Kind::Trunk { Party::Caller } else { Party::Agent };
            if hard && (speaks || is_caller || (up && leg.kind != Kind::Local)) {
                call.hung_by.get_or_insert(party);
            }
        }
        let left = call.stay.as_ref().filter(|stay| stay.uid == uid).and_then(|stay| stay.left);
        if hard && left.is_some_and(|left| at - left.at_us <= SWAPPED_US && left.said.is_none()) {
            self.settle_exit(&mut call, call::QueueExit::Abandoned);
        }
        self.put(call);
    }

    pub(super) fn hung_up(&mut self, frame: &Frame, at: i64) {
        let Some(uid) = frame.get("Uniqueid") else { return };
        let Some(mut call) = self.legs.remove(uid).and_then(|id| self.take(&id)) else { return };
        let Some(mut leg) = call.legs.remove(uid) else { return self.put(call) };
        call.pass("gone", uid);
        leg.cause = frame.number("Cause").filter(|c| *c != 0).unwrap_or(leg.cause);
        leg.sip = frame.number("TechCause").unwrap_or(leg.sip);
        self.leg_gone(&mut call, uid, &leg, at);
        self.put(call);
    }

    /// A channel is gone: what hung on it ends.
    pub(crate) fn leg_gone(&mut self, call: &mut Call, uid: &str, leg: &Leg, at: i64) {
        if leg.recorded {
            self.recording_ready(call, uid, at);
        }
        self.alert_gone(call, uid, leg, at);
        if call.stay.as_ref().is_some_and(|stay| stay.uid == uid) {
            self.waiting_gone(call, leg, at);
        }
        if let Some(talk) = call.talks.get(uid).filter(|talk| talk.queue.is_none() || talk.desk).cloned() {
            call.talks.remove(uid);
            let by = match (leg.hangup_us, call.hung_by) {
                (_, Some(party)) => party,
                _ if self.lost_before_us.is_some() => Party::Unknown,
                (Some(_), None) => Party::Agent,
                (None, None) => Party::System,
            };
            if !self.is_last(call, uid) {
                let released = call::Released { agent: Some(talk.agent.as_str().into()), by, talked_ms: None };
                self.say_call(call, at, released, format!("released|{uid}"));
            }
            self.talk_gone(&talk, uid, at);
        }
        call.stands_for.remove(uid);
        if call.over_us.is_none() && self.is_last(call, uid) {
            self.end_call(call, at, leg.cause);
        }
    }

    /// Whether the call ends with this channel, which is out of the call's legs already: an inbound call ends with its
    /// caller, any other with its last party.
    fn is_last(&self, call: &Call, uid: &str) -> bool {
        let caller_left = call.direction == Some(Direction::Inbound) && call.caller == uid;
        caller_left || call.legs.values().all(|leg| leg.kind == Kind::Local)
    }

    /// Ends a call: everything that is open in it closes at `at`.
    pub(crate) fn end_call(&mut self, call: &mut Call, at: i64, cause: u16) {
        if call.over_us.is_some() {
            return;
        }
        if call.stay.is_some() {
            let leg = Leg { hangup_us: call.hung_by.map(|_| at), ..Leg::default() };
            self.waiting_gone(call, &leg, at);
        }
        self.cancel_alerts(call, at);
        for (uid, talk) in std::mem::take(&mut call.talks) {
            self.talk_gone(&talk, &uid, at);
        }
        if call.is_real() {
            let outside = call.dnis.as_deref().is_some_and(|n| !self.plan.is_internal(n));
            let guess = if outside { Direction::Outbound } else { Direction::Internal };
            self.ensure_offered(call, guess);
            // Lost to sight, and nobody said how it ended.
            let lost = self.lost_before_us.filter(|_| call.hung_by.is_none());
            let word = match lost {
                Some(_) => "lost",
                None if call.merged_into.is_some() => "merged",
                None => cause_word(cause),
            };
            let ended = call::Ended {
                by: call.hung_by.unwrap_or(if lost.is_some() { Party::Unknown } else { Party::System }),
                cause: Some(word.to_owned()),
                q850: (cause != 0).then_some(cause),
                merged_into: call.merged_into.as_deref().map(Into::into),
                not_after: self.lost_before_us.map(|us| Time(us.div_euclid(1000))),
            };
            self.say_call(call, at, ended, format!("ended|{}", call.id));
        }
        call.over_us = Some(at);
        self.schedule_forget(&call.id, at);
    }

    pub(super) fn bridge_entered(&mut self, frame: &Frame, at: i64) {
        let parties: u32 = frame.number("BridgeNumChannels").unwrap_or(0);
        if parties < 3 || frame.get("BridgeType") != Some("basic") {
            return;
        }
        let (Some(uid), Some(bridge)) = (frame.get("Uniqueid"), frame.get("BridgeUniqueid")) else { return };
        let Some(mut call) = self.call_of(uid).and_then(|id| self.take(&id)) else { return };
        if call.over_us.is_none() {
            let agent = call.talks.values().next().map(|talk| talk.agent.as_str().into());
            let conferenced = call::Conferenced { agent, parties: Some(parties) };
            self.say_call(&mut call, at, conferenced, format!("conferenced|{bridge}|{parties}"));
        }
        self.put(call);
    }

    pub(super) fn held(&mut self, frame: &Frame, at: i64) {
        self.set_hold(frame, at, true);
    }

    /// `Unhold` comes with every transfer, held or not: only a hold that was seen is retrieved.
    pub(super) fn unheld(&mut self, frame: &Frame, at: i64) {
        self.set_hold(frame, at, false);
    }

    fn set_hold(&mut self, frame: &Frame, at: i64, hold: bool) {
        let Some(uid) = frame.get("Uniqueid") else { return };
        let Some(mut call) = self.call_of(uid).and_then(|id| self.take(&id)) else { return };
        let key = call.key(uid).to_owned();
        if let Some(talk) = call.talks.get_mut(&key).filter(|talk| talk.held != hold) {
            talk.held = hold;
            let agent = Some(talk.agent.as_str().into());
            if hold {
                self.say_call(&mut call, at, call::Held { agent }, format!("held|{uid}|{at}"));
            } else {
                self.say_call(&mut call, at, call::Retrieved { agent }, format!("retrieved|{uid}|{at}"));
            }
        }
        self.put(call);
    }
}

/// A word for a Q.850 cause.
fn cause_word(cause: u16) -> &'static str {
    match cause {
        0 | 16 | 31 | 127 => "normal",
        1 | 2 | 3 | 28 => "unallocated",
        17 => "busy",
        18 | 19 => "no_answer",
        20 | 27 => "unreachable",
        21 => "rejected",
        26 => "answered_elsewhere",
        34 | 42 => "congestion",
        38 | 41 | 44 => "network",
        _ => "other",
    }
}
