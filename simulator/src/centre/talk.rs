//! Conversations: the answer, holds, the hang-up, and what the queue says when it is over.

use std::sync::Arc;

use rand::Rng as _;

use super::agenda::{Due, Turn};
use super::channel::State;
use super::consult::Consult;
use super::member::Device;
use super::queueing::Own;
use super::ringing::Ringing;
use super::truth::{EndedBy, Exit, RingEnd};
use super::{Centre, Phase, chance};

/// A conversation between a customer and an agent.
#[derive(Debug)]
pub(crate) struct Talking {
    /// The queue that made it; none after a transfer to an agent, and for a call out.
    pub(crate) queue: Option<usize>,
    pub(crate) agent: usize,
    /// The agent's channel and the customer's.
    pub(crate) phone: u64,
    pub(crate) customer: u64,
    pub(crate) bridge: Arc<str>,
    /// The pair of local channels between them, where the PBX transferred, with the second bridge.
    pub(crate) local: Option<(u64, u64, Arc<str>)>,
    pub(crate) since_ms: i64,
    /// When its phone began to ring.
    pub(crate) dialled_ms: i64,
    /// What the queue will say the caller waited, whole seconds.
    pub(crate) waited_s: i64,
    pub(crate) held_since_ms: Option<i64>,
    pub(crate) held_ms: i64,
    /// After a hold, so long until the finale.
    pub(crate) rest_ms: i64,
    pub(crate) finale: Turn,
    pub(crate) consult: Option<Consult>,
}

impl Talking {
    /// The channel that is in the bridge with the customer: the agent's, or the first local one.
    pub(super) fn near(&self) -> u64 {
        self.local.as_ref().map_or(self.phone, |(one, _, _)| *one)
    }
}

impl Centre {
    /// The agent picks up.
    pub(super) fn answer(&mut self, no: u64, queue: usize, ringing: Ringing) {
        let caller = self.calls[&no].chan;
        let Some(joined_ms) = self.waiting(no).map(|waiting| waiting.joined_ms) else { return };
        let agent = ringing.agent;
        let waited_s = self.seconds() - joined_ms.div_euclid(1000);
        self.set_state(ringing.chan, State::Up);
        self.say_dial_end(no, &ringing, "ANSWER");
        if let Some(channel) = self.channels.get(&caller) {
            self.voice.plain(self.now, "MusicOnHoldStop", channel);
        }
        self.leave(no);
        self.truth.left(no, queue, Exit::Answered, self.now);
        self.truth.ring_ends(no, queue, agent, RingEnd::Answered, self.now);
        let name = self.agents[agent].party.name.to_string();
        if let Some(visit) = self.truth.visit(no) {
            visit.agent = Some(name);
        }
        let own = &mut self.queues[queue].own;
        own.hold_s = Own::average(own.hold_s, waited_s);
        if waited_s <= self.plan.queues[queue].service_level_s {
            own.completed_in_level += 1;
        }
        self.agents[agent].in_call = true;
        self.agents[agent].talking = true;
        let ring_s = (self.now - ringing.since_ms) / 1000;
        let more = [("HoldTime", waited_s.to_string()), ("RingTime", ring_s.to_string())];
        self.say_queue_event("AgentConnect", caller, Some(ringing.chan), queue, agent, &more);
        self.set_device(agent, Device::InUse);
        let bridge = self.open_bridge(&[ringing.chan, caller]);
        let talking = Talking {
            queue: Some(queue),
            agent,
            phone: ringing.chan,
            customer: caller,
            bridge,
            local: None,
            since_ms: self.now,
            dialled_ms: ringing.since_ms,
            waited_s,
            held_since_ms: None,
            held_ms: 0,
            rest_ms: 0,
            finale: Turn::AgentEnds,
            consult: None,
        };
        self.converse(no, talking);
    }

    /// Starts a conversation and decides, from the call's own chance, how it will go.
    pub(super) fn converse(&mut self, no: u64, mut talking: Talking) {
        let plan = self.plan.clone();
        let manners = &plan.manners;
        let Some(call) = self.calls.get_mut(&no) else { return };
        let law = match talking.queue {
            Some(queue) => plan.queues[queue].talk,
            None => manners.out_talk,
        };
        let talk_ms = call.wish.talk_ms.unwrap_or_else(|| law.draw(&mut call.rng)).max(500);
        let agent_ends = chance::happens(&mut call.rng, manners.agent_hangs_up_share);
        talking.finale = if agent_ends { Turn::AgentEnds } else { Turn::CallerEnds };
        let hold = chance::happens(&mut call.rng, manners.hold_share) && talking.queue.is_some();
        let part: f64 = call.rng.random_range(0.1..0.8);
        if let Some(from) = talking.queue
            && call.wish.plain != Some(true)
        {
            let other = call.rng.random_range(0..plan.queues.len()) as u32;
            let x: f64 = call.rng.random();
            let by_pbx = chance::happens(&mut call.rng, manners.atxfer_share);
            let edges = [
                (manners.blind_to_queue_share, Turn::BlindToQueue { queue: other }),
                (manners.blind_outside_share, Turn::BlindOutside),
                (manners.attended_share, Turn::Consult { by_pbx }),
            ];
            let mut edge = 0.0;
            for (share, turn) in edges {
                if x >= edge && x < edge + share && turn != (Turn::BlindToQueue { queue: from as u32 }) {
                    talking.finale = turn;
                }
                edge += share;
            }
        }
        call.leg += 1;
        let leg = call.leg;
        let plain = call.wish.plain == Some(true);
        let agent = talking.agent;
        if hold && !plain {
            let before = (talk_ms as f64 * part) as i64;
            talking.rest_ms = talk_ms - before;
            self.later(before, Due::Talk { call: no, leg, turn: Turn::Hold });
        } else {
            self.later(talk_ms, Due::Talk { call: no, leg, turn: talking.finale });
        }
        if let Some(call) = self.calls.get_mut(&no) {
            call.phase = Phase::Talking(talking);
        }
        self.mark(agent);
    }

    /// The conversation takes its next turn.
    pub(super) fn talk_due(&mut self, no: u64, leg: u32, turn: Turn) {
        if self.calls.get(&no).is_none_or(|call| call.leg != leg) {
            return;
        }
        match turn {
            Turn::Hold => self.hold(no),
            Turn::Retrieve => self.retrieve(no),
            Turn::AgentEnds => self.hang_up(no, EndedBy::Agent),
            Turn::CallerEnds => self.hang_up(no, EndedBy::Caller),
            Turn::BlindToQueue { queue } => self.blind_to_queue(no, queue as usize),
            Turn::BlindOutside => self.blind_outside(no, None),
            Turn::Consult { by_pbx } => self.consult(no, by_pbx, None),
            Turn::ConsultAnswered => self.consult_answered(no),
            Turn::ConsultFails => self.consult_fails(no),
            Turn::HandOver => self.hand_over(no),
            Turn::SystemEnds => self.outside_ends(no),
            Turn::OutAnswered => self.out_answered(no),
            Turn::OutFails { busy } => self.out_fails(no, busy),
            Turn::OriginateAnswered => self.originate_answered(no),
            Turn::OriginateFails => self.originate_fails(no),
        }
    }

    pub(super) fn talking(&mut self, no: u64) -> Option<&mut Talking> {
        match &mut self.calls.get_mut(&no)?.phase {
            Phase::Talking(talking) => Some(talking),
            _ => None,
        }
    }

    /// Writes down the next turn of a conversation.
    pub(super) fn turn_later(&mut self, no: u64, after_ms: i64, turn: Turn) {
        if let Some(call) = self.calls.get(&no) {
            let leg = call.leg;
            self.later(after_ms, Due::Talk { call: no, leg, turn });
        }
    }

    fn hold(&mut self, no: u64) {
        let plan = self.plan.clone();
        let Some(call) = self.calls.get_mut(&no) else { return };
        let lasts = plan.manners.hold.draw(&mut call.rng).max(500);
        let gives_up = chance::happens(&mut call.rng, plan.manners.hold_abandon_share);
        self.start_hold(no, true);
        let turn = if gives_up { Turn::CallerEnds } else { Turn::Retrieve };
        self.turn_later(no, lasts, turn);
    }

    /// `Hold` on the agent's channel and music for the customer. A phone names the music, the PBX's own transfer does not.
    pub(super) fn start_hold(&mut self, no: u64, by_phone: bool) {
        let now = self.now;
        let Some(talking) = self.talking(no) else { return };
        talking.held_since_ms = Some(now);
        let (phone, customer, agent) = (talking.phone, talking.customer, talking.agent);
        if let Some(channel) = self.channels.get(&phone) {
            self.voice.hold(now, channel, by_phone.then_some("default"));
        }
        if let Some(channel) = self.channels.get(&customer) {
            self.voice.music_starts(now, channel);
        }
        self.set_device(agent, Device::OnHold);
        self.agents[agent].holding = true;
        self.mark(agent);
    }

    fn retrieve(&mut self, no: u64) {
        self.end_hold(no);
        let Some(talking) = self.talking(no) else { return };
        let (rest, finale) = (talking.rest_ms, talking.finale);
        self.turn_later(no, rest, finale);
    }

    /// `Unhold`, and the customer is back.
    pub(super) fn end_hold(&mut self, no: u64) {
        let now = self.now;
        let Some(talking) = self.talking(no) else { return };
        talking.held_ms += talking.held_since_ms.take().map(|since| now - since).unwrap_or(0);
        let (phone, customer, agent) = (talking.phone, talking.customer, talking.agent);
        if let Some(channel) = self.channels.get(&phone) {
            self.voice.plain(now, "Unhold", channel);
        }
        if let Some(channel) = self.channels.get(&customer) {
            self.voice.plain(now, "MusicOnHoldStop", channel);
        }
        self.agents[agent].holding = false;
        self.set_device(agent, Device::InUse);
        self.mark(agent);
    }

    /// One of the two hangs up.
    pub(super) fn hang_up(&mut self, no: u64, by: EndedBy) {
        if let Some(call) = self.calls.get(&no)
            && matches!(call.phase, Phase::Outside)
        {
            return self.outside_ends(no);
        }
        self.drop_consult(no);
        let Some(mut talking) = self.take_talking(no) else { return };
        if talking.customer != self.calls[&no].chan {
            return self.end_out(no, talking, by);
        }
        let caller = talking.customer;
        let first = if by == EndedBy::Agent { talking.phone } else { caller };
        if let Some(channel) = self.channels.get(&first) {
            self.voice.hangup_request(self.now, channel, None);
        }
        let bridge = talking.bridge.clone();
        let near = talking.near();
        if by == EndedBy::Agent {
            self.leave_bridge(&bridge, near, 1);
            self.leave_bridge(&bridge, caller, 0);
            self.leave_local(&mut talking);
            self.complete(no, &talking, "agent");
        } else {
            self.complete(no, &talking, "caller");
            self.leave_bridge(&bridge, caller, 1);
            self.leave_bridge(&bridge, near, 0);
            self.leave_local(&mut talking);
        }
        self.voice.bridge_life(self.now, "BridgeDestroy", &bridge);
        self.conversation_over(no, &talking, Some(by));
        let (phone, agent) = (talking.phone, talking.agent);
        self.finish(no, by, 16, Some((phone, agent)));
        self.settle(agent);
    }

    /// Takes the conversation out of the call; its timers no longer count.
    pub(super) fn take_talking(&mut self, no: u64) -> Option<Talking> {
        let call = self.calls.get_mut(&no)?;
        if !matches!(call.phase, Phase::Talking(_)) {
            return None;
        }
        call.leg += 1;
        match std::mem::replace(&mut call.phase, Phase::Menu) {
            Phase::Talking(talking) => Some(talking),
            _ => None,
        }
    }

    /// The local channels of a PBX-made transfer go, when there are any.
    pub(super) fn leave_local(&mut self, talking: &mut Talking) {
        let Some((one, two, bridge)) = talking.local.take() else { return };
        self.leave_bridge(&bridge, talking.phone, 1);
        self.leave_bridge(&bridge, two, 0);
        self.voice.bridge_life(self.now, "BridgeDestroy", &bridge);
        for id in [two, one] {
            if let Some(channel) = self.channels.get(&id) {
                self.voice.soft_hangup(self.now, channel);
            }
            self.close_channel(id, 16, None);
        }
    }

    /// Says `AgentComplete`, for a queue call, and starts the wrap-up.
    pub(super) fn complete(&mut self, no: u64, talking: &Talking, reason: &str) {
        let Some(queue) = talking.queue else { return };
        let talk_s = self.seconds() - talking.since_ms.div_euclid(1000);
        let own = &mut self.queues[queue].own;
        own.completed += 1;
        own.talk_s = Own::average(own.talk_s, talk_s);
        let more = [
            ("HoldTime", talking.waited_s.to_string()),
            ("TalkTime", talk_s.to_string()),
            ("Reason", reason.to_owned()),
        ];
        // On a transfer the agent's channel may be gone before the queue speaks: the real PBX then leaves it out.
        let gone =
            reason == "transfer" && self.calls.get_mut(&no).is_some_and(|call| chance::happens(&mut call.rng, 0.08));
        let phone = (!gone).then_some(talking.phone);
        self.say_queue_event("AgentComplete", talking.customer, phone, queue, talking.agent, &more);
        let wrap_ms = self.wrap_up(talking.agent);
        if let Some(visit) = self.truth.visit(no) {
            visit.wrap_up_ms = wrap_ms;
        }
    }

    /// Books a conversation that has just ended.
    pub(super) fn conversation_over(&mut self, no: u64, talking: &Talking, by: Option<EndedBy>) {
        let now = self.now;
        let to = self.channels.get(&talking.phone).map(|channel| channel.name.clone());
        let record = self.record_of(no, to, talking.dialled_ms, Some(talking.since_ms));
        if let Some(call) = self.calls.get_mut(&no) {
            call.cdrs.push(record);
        }
        let held = talking.held_ms + talking.held_since_ms.map_or(0, |since| now - since);
        if talking.queue.is_some() {
            if let Some(visit) = self.truth.visit(no) {
                visit.hold_ms = held;
                visit.talk_ms = now - talking.since_ms - held;
                visit.ended_ms = Some(now);
                visit.ended_by = by;
            }
        } else {
            self.truth.leg_ends(no, now);
        }
        let agent = &mut self.agents[talking.agent];
        agent.talking = false;
        agent.holding = false;
    }

    /// Puts an agent's phone down and frees the agent; the caller settles when all is said.
    pub(super) fn hang_phone(&mut self, agent: usize, phone: u64) {
        self.close_channel(phone, 16, None);
        self.agents[agent].call = None;
        self.set_device(agent, Device::NotInUse);
    }

    /// Ends a call whose first channel is alone, with this cause.
    pub(super) fn end_call(&mut self, no: u64, by: EndedBy, cause: u8) {
        self.finish(no, by, cause, None);
    }

    /// Ends a call: its records, then the phone, if there is one, then its first channel.
    fn finish(&mut self, no: u64, by: EndedBy, cause: u8, phone: Option<(u64, usize)>) {
        let Some(call) = self.calls.remove(&no) else { return };
        let field = match call.did {
            Some(line) => format!("did:{}", self.plan.lines[line].did),
            None => format!("out:{}", call.number),
        };
        if let Some(channel) = self.channels.get(&call.chan) {
            for record in &call.cdrs {
                record.say(self.now, channel, &field, &mut self.voice);
            }
        }
        if let Some(channel) = self.channels.get_mut(&call.chan) {
            self.voice.soft_hangup(self.now, channel);
            channel.exten = self.words.h.clone();
        }
        if let Some((phone, agent)) = phone {
            self.hang_phone(agent, phone);
        }
        self.close_channel(call.chan, cause, None);
        self.truth.end(no, by, self.now);
    }
}
