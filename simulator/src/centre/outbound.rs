//! Calls out: an agent phones somebody, by hand or because an order (`Originate`) made the PBX ring the agent first.

use std::sync::Arc;

use super::agenda::{Due, Turn};
use super::chance::{self, Law, Stream};
use super::channel::{Party, State};
use super::member::Device;
use super::orders::Wish;
use super::talk::Talking;
use super::truth::{self, Direction, EndedBy};
use super::voice::Class;
use super::{Call, Centre, Phase};

/// A call out before it is answered.
#[derive(Debug)]
pub(crate) struct CallingOut {
    agent: usize,
    /// The far end's channel, once it is dialled.
    trunk: Option<u64>,
    since_ms: i64,
    /// The order's `ActionID`, for its `OriginateResponse`.
    order: Option<Option<String>>,
}

impl Centre {
    pub(super) fn plan_call_out(&mut self, agent: usize) {
        let rate = self.plan.agents[agent].calls_out_per_hour;
        if rate > 0.0 {
            let law = Law::Exponential { mean_ms: 3_600_000.0 / rate };
            let after = law.draw(&mut self.agents_rng).max(1_000);
            self.later(after, Due::CallOut { agent: agent as u32 });
        }
    }

    /// An agent phones somebody, if nothing else is on.
    pub(super) fn call_out_due(&mut self, agent: usize) {
        if !self.agents[agent].logged_in || self.arrivals_are_over() {
            return;
        }
        self.plan_call_out(agent);
        if self.is_free(agent) {
            let number = self.plan.arrivals.numbers.0 + self.counters.call % self.plan.arrivals.numbers.1.max(1);
            self.take_off_idle(agent);
            let exten: Arc<str> = number.to_string().into();
            let no = self.begin_out(agent, number, State::Ring, exten, None);
            self.set_device(agent, Device::InUse);
            self.agents[agent].talking = true;
            self.mark(agent);
            self.dial_out(no);
        }
    }

    /// An order makes the PBX ring an agent, then the number. False when the agent cannot be rung.
    pub(super) fn originate(&mut self, agent: usize, number: u64, order: Option<String>) -> bool {
        if self.agents[agent].device != Device::NotInUse || self.agents[agent].call.is_some() {
            return false;
        }
        self.take_off_idle(agent);
        let no = self.begin_out(agent, number, State::Down, self.words.s.clone(), Some(order));
        let chan = self.calls[&no].chan;
        let interface = self.agents[agent].interface.clone();
        self.voice.new_caller_id(self.now, &self.channels[&chan]);
        self.voice.dial_begin(self.now, None, &self.channels[&chan], &interface);
        self.set_state(chan, State::Ringing);
        self.set_device(agent, Device::Ringing);
        self.voice.dial(self.now, "DialState", None, &self.channels[&chan], "RINGING");
        self.mark(agent);
        let plan = self.plan.clone();
        let Some(call) = self.calls.get_mut(&no) else { return true };
        let after = plan.manners.answer_after.draw(&mut call.rng).max(300);
        let rings_out = chance::happens(&mut call.rng, plan.manners.rona_share);
        let (after, turn) = if rings_out { (30_000, Turn::OriginateFails) } else { (after, Turn::OriginateAnswered) };
        self.turn_later(no, after, turn);
        true
    }

    fn begin_out(
        &mut self,
        agent: usize,
        number: u64,
        state: State,
        exten: Arc<str>,
        order: Option<Option<String>>,
    ) -> u64 {
        let no = self.counters.call;
        self.counters.call += 1;
        self.agents[agent].call = Some(no);
        let chan = self.open_phone(no, agent, state, exten, None);
        let record = truth::Call {
            call: self.channels[&chan].unique.to_string(),
            direction: Direction::Outbound,
            number: number.to_string(),
            line: None,
            offered_ms: self.now,
            menu: Vec::new(),
            visits: Vec::new(),
            transfers: Vec::new(),
            legs: Vec::new(),
            ended_ms: None,
            ended_by: None,
        };
        self.truth.begin(no, record);
        let call = Call {
            chan,
            number,
            did: None,
            rng: chance::stream(self.seed, Stream::Call(no)),
            phase: Phase::CallingOut(CallingOut { agent, trunk: None, since_ms: self.now, order }),
            menu: 0,
            visit: 0,
            ring: 0,
            leg: 0,
            wish: Wish::default(),
            cdrs: Vec::new(),
        };
        self.calls.insert(no, call);
        no
    }

    fn calling_out(&mut self, no: u64) -> Option<&mut CallingOut> {
        match &mut self.calls.get_mut(&no)?.phase {
            Phase::CallingOut(out) => Some(out),
            _ => None,
        }
    }

    /// The agent whom an order rang picks up: now the far end is dialled.
    pub(super) fn originate_answered(&mut self, no: u64) {
        let Some(out) = self.calling_out(no) else { return };
        let (agent, order) = (out.agent, out.order.take());
        let (chan, number) = (self.calls[&no].chan, self.calls[&no].number);
        self.set_state(chan, State::Up);
        self.say_originated(order.flatten(), true, agent, number, Some(chan));
        self.voice.dial(self.now, "DialEnd", None, &self.channels[&chan], "ANSWER");
        self.agents[agent].talking = true;
        self.set_device(agent, Device::InUse);
        self.mark(agent);
        self.dial_out(no);
    }

    /// That agent does not pick up.
    pub(super) fn originate_fails(&mut self, no: u64) {
        let Some(out) = self.calling_out(no) else { return };
        let (agent, order) = (out.agent, out.order.take());
        let (chan, number) = (self.calls[&no].chan, self.calls[&no].number);
        self.voice.dial(self.now, "DialEnd", None, &self.channels[&chan], "NOANSWER");
        self.say_originated(order.flatten(), false, agent, number, None);
        self.out_is_over(no, agent, EndedBy::System, 0);
    }

    /// `OriginateResponse`: an event that carries a `Response:` header.
    pub(super) fn say_originated(
        &mut self,
        id: Option<String>,
        ok: bool,
        agent: usize,
        number: u64,
        chan: Option<u64>,
    ) {
        let interface = self.agents[agent].interface.clone();
        let channel = chan.and_then(|chan| self.channels.get(&chan));
        let mut event = self.voice.event("OriginateResponse", Class::Call, self.now);
        if let Some(id) = id {
            event = event.put("ActionID", id);
        }
        event
            .put("Response", if ok { "Success" } else { "Failure" })
            .put("Channel", channel.map_or(&*interface, |c| &c.name))
            .put("Context", "outbound")
            .put("Exten", number)
            .put("Reason", if ok { 4 } else { 0 })
            .put("Uniqueid", channel.map_or("<unknown>", |c| &c.unique))
            .put("CallerIDNum", channel.map_or("<unknown>", |c| &c.caller.number))
            .put("CallerIDName", channel.map_or("<unknown>", |c| &c.caller.name))
            .end();
    }

    /// The far end is dialled.
    fn dial_out(&mut self, no: u64) {
        let Some(call) = self.calls.get(&no) else { return };
        let (chan, number) = (call.chan, call.number);
        let exten: Arc<str> = number.to_string().into();
        let linked = self.channels[&chan].linked.clone();
        if let Some(channel) = self.channels.get_mut(&chan) {
            channel.goto("outbound", &exten, 3);
            channel.run("Dial", format!("PJSIP/{exten}@trunk,30,tT"));
        }
        let trunk = self.open_trunk(no, State::Down, self.words.nobody.clone(), self.words.s.clone(), Some(linked));
        let party = Party { number: exten.clone(), name: self.words.nobody.name.clone() };
        if let Some(channel) = self.channels.get_mut(&trunk) {
            channel.caller = party.clone();
            channel.exten = exten.clone();
            self.voice.new_caller_id(self.now, channel);
        }
        let (from, to) = (&self.channels[&chan], &self.channels[&trunk]);
        self.voice.dial_begin(self.now, Some(from), to, &format!("{exten}@trunk"));
        self.set_state(trunk, State::Ringing);
        self.connect_line(chan, party);
        let (from, to) = (&self.channels[&chan], &self.channels[&trunk]);
        self.voice.dial(self.now, "DialState", Some(from), to, "RINGING");
        let now = self.now;
        if let Some(out) = self.calling_out(no) {
            out.trunk = Some(trunk);
            out.since_ms = now;
        }
        let plan = self.plan.clone();
        let Some(call) = self.calls.get_mut(&no) else { return };
        let after = plan.manners.out_ring.draw(&mut call.rng).clamp(500, 30_000);
        let turn = if chance::happens(&mut call.rng, plan.manners.out_answered_share) {
            Turn::OutAnswered
        } else {
            Turn::OutFails { busy: chance::happens(&mut call.rng, 0.5) }
        };
        let after = if turn == (Turn::OutFails { busy: false }) { 30_000 } else { after };
        self.turn_later(no, after, turn);
    }

    /// The far end picks up.
    pub(super) fn out_answered(&mut self, no: u64) {
        let chan = self.calls[&no].chan;
        let Some(out) = self.calling_out(no) else { return };
        let (agent, since_ms, Some(trunk)) = (out.agent, out.since_ms, out.trunk) else { return };
        self.set_state(trunk, State::Up);
        if self.channels[&chan].state != State::Up {
            self.set_state(chan, State::Up);
        }
        let (from, to) = (&self.channels[&chan], &self.channels[&trunk]);
        self.voice.dial(self.now, "DialEnd", Some(from), to, "ANSWER");
        let bridge = self.open_bridge(&[trunk, chan]);
        self.truth.leg_begins(no, Some(agent), self.now);
        let talking = Talking {
            queue: None,
            agent,
            phone: chan,
            customer: trunk,
            bridge,
            local: None,
            since_ms: self.now,
            dialled_ms: since_ms,
            waited_s: 0,
            held_since_ms: None,
            held_ms: 0,
            rest_ms: 0,
            finale: Turn::AgentEnds,
            consult: None,
        };
        self.converse(no, talking);
    }

    /// The far end is busy, or nobody is there.
    pub(super) fn out_fails(&mut self, no: u64, busy: bool) {
        let chan = self.calls[&no].chan;
        let Some(out) = self.calling_out(no) else { return };
        let (agent, Some(trunk)) = (out.agent, out.trunk) else { return };
        let (status, cause, tech) = if busy { ("BUSY", 17, Some(486)) } else { ("NOANSWER", 19, None) };
        if busy && let Some(channel) = self.channels.get(&trunk) {
            self.voice.hangup_request(self.now, channel, Some((17, 486)));
        }
        let (from, to) = (&self.channels[&chan], &self.channels[&trunk]);
        self.voice.dial(self.now, "DialEnd", Some(from), to, status);
        self.close_channel(trunk, cause, tech);
        self.say_out_end(no, status, cause);
        self.out_is_over(no, agent, EndedBy::System, cause);
    }

    fn say_out_end(&mut self, no: u64, status: &str, cause: u8) {
        let (chan, number) = (self.calls[&no].chan, self.calls[&no].number.to_string());
        if let Some(channel) = self.channels.get(&chan) {
            let cause = cause.to_string();
            let headers = [("Number", number.as_str()), ("DialStatus", status), ("Cause", cause.as_str())];
            self.voice.user(self.now, channel, "OutboundEnd", &headers);
        }
    }

    /// A conversation of a call out ends.
    pub(super) fn end_out(&mut self, no: u64, talking: Talking, by: EndedBy) {
        let (first, second) = match by {
            EndedBy::Agent => (talking.phone, talking.customer),
            _ => (talking.customer, talking.phone),
        };
        if let Some(channel) = self.channels.get(&first) {
            self.voice.hangup_request(self.now, channel, None);
        }
        let bridge = talking.bridge.clone();
        self.leave_bridge(&bridge, first, 1);
        self.leave_bridge(&bridge, second, 0);
        self.voice.bridge_life(self.now, "BridgeDestroy", &bridge);
        self.conversation_over(no, &talking, Some(by));
        self.close_channel(talking.customer, 16, None);
        self.out_is_over(no, talking.agent, by, 16);
    }

    /// The agent's own channel goes, and the call with it.
    pub(super) fn out_is_over(&mut self, no: u64, agent: usize, by: EndedBy, cause: u8) {
        self.end_call(no, by, cause);
        let a = &mut self.agents[agent];
        a.call = None;
        a.talking = false;
        self.set_device(agent, Device::NotInUse);
        self.settle(agent);
    }

    /// Ends a call out that has not been answered, on order.
    pub(super) fn drop_out(&mut self, no: u64) {
        let Some(out) = self.calling_out(no) else { return };
        let (agent, trunk) = (out.agent, out.trunk);
        if let Some(trunk) = trunk {
            self.close_channel(trunk, 16, None);
        }
        self.out_is_over(no, agent, EndedBy::System, 16);
    }
}
