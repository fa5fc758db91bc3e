//! Attended transfers: the agent asks a colleague first. By the phone (a second call of its own, then REFER with Replaces) or by
//! the PBX (Atxfer, over a pair of local channels): the two look quite different on the wire.

use std::sync::Arc;

use super::agenda::Turn;
use super::channel::State;
use super::member::Device;
use super::talk::Talking;
use super::truth::{EndedBy, TransferKind};
use super::voice::Class;
use super::{Centre, chance};

/// A consultation in progress.
#[derive(Debug)]
pub(crate) struct Consult {
    /// The colleague and the colleague's channel.
    target: usize,
    phone: u64,
    /// The channel that dialled it: the agent's second one, or the second local one.
    from: u64,
    /// The first local channel, where the PBX transfers.
    local: Option<u64>,
    /// The bridge of the agent and the colleague (or the first local channel).
    bridge: Option<Arc<str>>,
    /// The bridge of the second local channel and the colleague.
    far_bridge: Option<Arc<str>>,
    answered: bool,
}

impl Centre {
    /// The agent rings a colleague, the caller on hold. Without anybody to ask, the agent takes leave of the caller.
    pub(super) fn consult(&mut self, no: u64, by_pbx: bool, target: Option<usize>) {
        let Some(first) = self.calls.get(&no).map(|call| call.chan) else { return };
        let Some(talking) = self.talking(no) else { return };
        if talking.consult.is_some() || talking.customer != first {
            return;
        }
        let (agent, queue, phone) = (talking.agent, talking.queue, talking.phone);
        let Some(target) = target.or_else(|| self.colleague(queue)) else {
            return self.hang_up(no, EndedBy::Agent);
        };
        self.take_off_idle(target);
        self.agents[target].call = Some(no);
        // Timers of the talk so far no longer count: the consultation takes over.
        if let Some(call) = self.calls.get_mut(&no) {
            call.leg += 1;
        }
        self.start_hold(no, !by_pbx);
        let consult = match by_pbx {
            true => self.consult_by_pbx(no, agent, phone, target),
            false => self.consult_by_phone(no, agent, target),
        };
        self.set_device(target, Device::Ringing);
        self.say_consult_state(&consult, "DialState", "RINGING");
        if let Some(talking) = self.talking(no) {
            talking.consult = Some(consult);
        }
        self.mark(target);
        let plan = self.plan.clone();
        let Some(call) = self.calls.get_mut(&no) else { return };
        let after = plan.manners.answer_after.draw(&mut call.rng).max(300);
        if chance::happens(&mut call.rng, plan.manners.rona_share) || after >= 20_000 {
            self.turn_later(no, 20_000, Turn::ConsultFails);
        } else {
            self.turn_later(no, after, Turn::ConsultAnswered);
        }
    }

    /// A free agent to ask: of the same queue, the one rung most lately, who is not next in turn for a call.
    fn colleague(&self, queue: Option<usize>) -> Option<usize> {
        let near = queue.and_then(|queue| self.queues[queue].idle.last());
        near.or_else(|| self.queues.iter().find_map(|queue| queue.idle.last())).map(|(_, _, agent)| *agent as usize)
    }

    fn consult_by_phone(&mut self, no: u64, agent: usize, target: usize) -> Consult {
        let exten: Arc<str> = self.agents[target].party.number.clone();
        let second = self.open_phone(no, agent, State::Ring, exten.clone(), None);
        let linked = self.channels[&second].linked.clone();
        let phone = self.open_phone(no, target, State::Down, exten, Some(linked));
        let (from, to) = (&self.channels[&second], &self.channels[&phone]);
        self.voice.dial_begin(self.now, Some(from), to, &self.agents[target].party.number);
        self.connect_line(second, self.agents[target].party.clone());
        self.connect_line(phone, self.agents[agent].party.clone());
        self.set_state(phone, State::Ringing);
        Consult { target, phone, from: second, local: None, bridge: None, far_bridge: None, answered: false }
    }

    fn consult_by_pbx(&mut self, no: u64, agent: usize, agent_phone: u64, target: usize) -> Consult {
        let exten: Arc<str> = self.agents[target].party.number.clone();
        let linked = self.channels[&agent_phone].linked.clone();
        let name = format!("Local/{exten}@agents-{:08x}", self.counters.local);
        self.counters.local += 1;
        let nobody = self.words.nobody.clone();
        let place = || ("agents", exten.clone());
        let one =
            self.open_channel(no, &format!("{name};1"), State::Down, nobody.clone(), place(), Some(linked.clone()));
        let two = self.open_channel(no, &format!("{name};2"), State::Ring, nobody, place(), Some(linked.clone()));
        if let Some(channel) = self.channels.get_mut(&two) {
            channel.caller = self.agents[agent].party.clone();
            self.voice.new_caller_id(self.now, channel);
        }
        self.voice
            .event("LocalBridge", Class::Call, self.now)
            .channel("LocalOne", &self.channels[&one])
            .channel("LocalTwo", &self.channels[&two])
            .put("Context", "agents")
            .put("Exten", &exten)
            .put("LocalOptimization", "Yes")
            .end();
        self.connect_line(one, self.agents[agent].party.clone());
        let bridge = self.open_bridge(&[one]);
        if let Some(first) = self.channels[&agent_phone].bridge.clone() {
            self.leave_bridge(&first, agent_phone, 1);
        }
        self.enter_bridge(&bridge, agent_phone, 2);
        let phone = self.open_phone(no, target, State::Down, self.words.s.clone(), Some(linked));
        self.connect_line(phone, self.agents[agent].party.clone());
        let (from, to) = (&self.channels[&two], &self.channels[&phone]);
        self.voice.dial_begin(self.now, Some(from), to, &exten);
        self.set_state(phone, State::Ringing);
        if let Some(channel) = self.channels.get_mut(&one) {
            channel.caller = self.agents[target].party.clone();
        }
        self.set_state(one, State::Ringing);
        self.voice.dial(self.now, "DialState", None, &self.channels[&one], "RINGING");
        Consult { target, phone, from: two, local: Some(one), bridge: Some(bridge), far_bridge: None, answered: false }
    }

    fn say_consult_state(&mut self, consult: &Consult, name: &'static str, status: &str) {
        if let (Some(from), Some(to)) = (self.channels.get(&consult.from), self.channels.get(&consult.phone)) {
            self.voice.dial(self.now, name, Some(from), to, status);
        }
    }

    /// The colleague picks up.
    pub(super) fn consult_answered(&mut self, no: u64) {
        let Some(mut consult) = self.talking(no).and_then(|talking| talking.consult.take()) else { return };
        self.set_state(consult.phone, State::Up);
        self.say_consult_state(&consult, "DialEnd", "ANSWER");
        self.set_state(consult.from, State::Up);
        if let Some(one) = consult.local {
            self.set_state(one, State::Up);
            self.voice.dial(self.now, "DialEnd", None, &self.channels[&one], "ANSWER");
            consult.far_bridge = Some(self.open_bridge(&[consult.phone, consult.from]));
        } else {
            consult.bridge = Some(self.open_bridge(&[consult.phone, consult.from]));
        }
        consult.answered = true;
        self.agents[consult.target].talking = true;
        self.set_device(consult.target, Device::InUse);
        self.mark(consult.target);
        if let Some(talking) = self.talking(no) {
            talking.consult = Some(consult);
        }
        let Some(call) = self.calls.get_mut(&no) else { return };
        let talk = chance::Law::Uniform { low_ms: 2_000.0, high_ms: 12_000.0 }.draw(&mut call.rng);
        self.turn_later(no, talk, Turn::HandOver);
    }

    /// The colleague does not pick up: back to the caller, and soon to the end.
    pub(super) fn consult_fails(&mut self, no: u64) {
        if let Some(consult) = self.talking(no).and_then(|talking| talking.consult.as_ref()) {
            let (from, phone) = (consult.from, consult.phone);
            if let (Some(from), Some(to)) = (self.channels.get(&from), self.channels.get(&phone)) {
                self.voice.dial(self.now, "DialEnd", Some(from), to, "NOANSWER");
            }
        }
        self.drop_consult(no);
        self.end_hold(no);
        self.turn_later(no, 4_000, Turn::AgentEnds);
    }

    /// Ends a consultation without a transfer: its channels go, the colleague is free, the agent is back in the first bridge.
    pub(super) fn drop_consult(&mut self, no: u64) {
        let Some(talking) = self.talking(no) else { return };
        let Some(consult) = talking.consult.take() else { return };
        let (first, agent_phone) = (talking.bridge.clone(), talking.phone);
        if let Some(bridge) = &consult.far_bridge {
            self.leave_bridge(bridge, consult.from, 1);
            self.leave_bridge(bridge, consult.phone, 0);
            self.voice.bridge_life(self.now, "BridgeDestroy", bridge);
        }
        match (&consult.bridge, consult.local) {
            (Some(bridge), Some(one)) => {
                self.leave_bridge(bridge, one, 1);
                self.leave_bridge(bridge, agent_phone, 0);
                self.voice.bridge_life(self.now, "BridgeDestroy", bridge);
                self.enter_bridge(&first, agent_phone, 2);
            }
            (Some(bridge), None) => {
                self.leave_bridge(bridge, consult.from, 1);
                self.leave_bridge(bridge, consult.phone, 0);
                self.voice.bridge_life(self.now, "BridgeDestroy", bridge);
            }
            _ => {}
        }
        let cause = if consult.answered { 16 } else { 0 };
        for id in [Some(consult.from), consult.local].into_iter().flatten() {
            if let Some(channel) = self.channels.get(&id) {
                self.voice.soft_hangup(self.now, channel);
            }
            self.close_channel(id, 16, None);
        }
        self.close_channel(consult.phone, cause, None);
        let target = &mut self.agents[consult.target];
        target.call = None;
        target.talking = false;
        self.set_device(consult.target, Device::NotInUse);
        self.settle(consult.target);
    }

    /// The agent hands the caller over to the colleague.
    pub(super) fn hand_over(&mut self, no: u64) {
        let Some(mut talking) = self.take_talking(no) else { return };
        let Some(consult) = talking.consult.take() else { return };
        let target = consult.target;
        let (customer, first) = (talking.customer, talking.bridge.clone());
        let local = match consult.local {
            Some(one) => self.merge(&talking, &consult, one),
            None => self.replace(&talking, &consult),
        };
        if let Some(channel) = self.channels.get(&customer) {
            self.voice.plain(self.now, "MusicOnHoldStop", channel);
        }
        self.connect_line(customer, self.agents[target].party.clone());
        let caller = self.channels[&customer].caller.clone();
        self.connect_line(consult.phone, caller);
        self.say_attended(no, &talking, &consult);
        self.complete(no, &talking, "transfer");
        let how = if consult.local.is_some() { TransferKind::AttendedByPbx } else { TransferKind::AttendedByPhone };
        let to = format!("agent:{}", self.agents[target].party.name);
        self.truth.transferred(no, how, talking.agent, to, self.now);
        self.conversation_over(no, &talking, None);
        if consult.local.is_none() {
            self.close_channel(consult.from, 16, None);
        }
        self.hang_phone(talking.agent, talking.phone);
        self.truth.leg_begins(no, Some(target), self.now);
        let left = talking.agent;
        let next = Talking {
            queue: None,
            agent: target,
            phone: consult.phone,
            customer,
            bridge: first,
            local,
            since_ms: self.now,
            dialled_ms: self.now,
            waited_s: 0,
            held_since_ms: None,
            held_ms: 0,
            rest_ms: 0,
            finale: Turn::AgentEnds,
            consult: None,
        };
        self.converse(no, next);
        self.settle(left);
    }

    /// By the phone: the colleague's channel takes the place of the agent's in the first bridge.
    fn replace(&mut self, talking: &Talking, consult: &Consult) -> Option<(u64, u64, Arc<str>)> {
        let second = consult.bridge.clone()?;
        for id in [talking.phone, consult.from] {
            if let Some(channel) = self.channels.get(&id) {
                self.voice.plain(self.now, "Unhold", channel);
            }
        }
        self.leave_bridge(&second, consult.phone, 1);
        self.leave_bridge(&talking.bridge, talking.phone, 1);
        let linked = self.channels[&talking.customer].linked.clone();
        let out = self.channels[&talking.phone].unique.clone();
        if let Some(channel) = self.channels.get_mut(&consult.phone) {
            channel.linked = linked;
            channel.bridge = Some(talking.bridge.clone());
            self.voice.bridge_swap(self.now, &talking.bridge, 2, channel, &out);
        }
        self.leave_bridge(&second, consult.from, 0);
        self.voice.bridge_life(self.now, "BridgeDestroy", &second);
        if let Some(channel) = self.channels.get(&consult.from) {
            self.voice.soft_hangup(self.now, channel);
        }
        None
    }

    /// By the PBX: the bridges merge, the local channels stay between the two.
    fn merge(&mut self, talking: &Talking, consult: &Consult, one: u64) -> Option<(u64, u64, Arc<str>)> {
        let second = consult.bridge.clone()?;
        if let Some(channel) = self.channels.get(&talking.phone) {
            self.voice.hangup_request(self.now, channel, None);
        }
        self.leave_bridge(&second, talking.phone, 1);
        self.voice
            .event("BridgeMerge", Class::Call, self.now)
            .bridge("To", &talking.bridge, 1)
            .bridge("From", &second, 1)
            .end();
        self.leave_bridge(&second, one, 0);
        self.enter_bridge(&talking.bridge, one, 2);
        self.voice.bridge_life(self.now, "BridgeDestroy", &second);
        consult.far_bridge.clone().map(|far| (one, consult.from, far))
    }

    fn say_attended(&mut self, no: u64, talking: &Talking, consult: &Consult) {
        // The real PBX leaves the target out of every other transfer of its own making.
        let by_pbx = consult.local.is_some();
        let hidden = self.calls.get_mut(&no).is_some_and(|call| by_pbx && chance::happens(&mut call.rng, 0.5));
        let second = if consult.local.is_some() { talking.phone } else { consult.from };
        let reached = consult.local.unwrap_or(consult.phone);
        let ids = [talking.phone, second, talking.customer, reached];
        let [Some(from), Some(also), Some(who), Some(to)] = ids.map(|id| self.channels.get(&id)) else { return };
        let bridge = consult.bridge.as_deref().unwrap_or("");
        let event = self
            .voice
            .event("AttendedTransfer", Class::Call, self.now)
            .put("Result", "Success")
            .channel("OrigTransferer", from)
            .bridge("Orig", &talking.bridge, 2)
            .channel("SecondTransferer", also)
            .bridge("Second", bridge, 0)
            .channel("Transferee", who);
        let event = if hidden { event } else { event.channel("TransferTarget", to) };
        event.put("IsExternal", "No").put("DestType", "Bridge").put("DestBridgeUniqueid", &talking.bridge).end();
    }
}
