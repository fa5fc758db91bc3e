//! Ringing: one caller, one agent's phone, and how that ends.

use super::agenda::Due;
use super::cdr::Cdr;
use super::channel::State;
use super::member::Device;
use super::truth::RingEnd;
use super::voice::Class;
use super::{Call, Centre, chance};

/// A phone that rings for a caller.
#[derive(Debug)]
pub(crate) struct Ringing {
    pub(crate) agent: usize,
    pub(crate) chan: u64,
    pub(crate) since_ms: i64,
    pub(crate) outcome: RingEnd,
}

impl Centre {
    /// Rings an idle agent for a waiting caller.
    pub(super) fn ring(&mut self, no: u64, agent: usize) {
        let Some(waiting) = self.waiting(no) else { return };
        let (queue, place) = (waiting.queue, waiting.place);
        self.queues[queue].free.remove(&place);
        self.take_off_idle(agent);
        self.counters.rung += 1;
        self.agents[agent].last_rung = self.counters.rung;
        self.agents[agent].call = Some(no);
        let (after, outcome) = self.draw_ring(no, queue);
        let caller = self.calls[&no].chan;
        let linked = self.channels[&caller].linked.clone();
        let party = self.channels[&caller].caller.clone();
        let chan = self.open_phone(no, agent, State::Down, self.words.s.clone(), Some(linked));
        let exten = self.channels[&caller].exten.clone();
        if let Some(channel) = self.channels.get_mut(&chan) {
            channel.connected = party.clone();
            channel.exten = exten;
            channel.run("AppQueue", "(Outgoing Line)");
        }
        self.say_queue_event("AgentCalled", caller, Some(chan), queue, agent, &[]);
        let interface = self.agents[agent].interface.clone();
        let (from, to) = (&self.channels[&caller], &self.channels[&chan]);
        self.voice.dial_begin(self.now, Some(from), to, &interface);
        self.connect_line(caller, self.agents[agent].party.clone());
        self.set_state(chan, State::Ringing);
        self.connect_line(chan, party);
        self.set_device(agent, Device::Ringing);
        let (from, to) = (&self.channels[&caller], &self.channels[&chan]);
        self.voice.dial(self.now, "DialState", Some(from), to, "RINGING");
        let now = self.now;
        self.truth.rings(no, agent, now);
        if let Some(waiting) = self.waiting_mut(no) {
            waiting.ringing = Some(Ringing { agent, chan, since_ms: now, outcome });
        }
        if let Some(call) = self.calls.get_mut(&no) {
            call.ring += 1;
            let ring = call.ring;
            self.later(after, Due::Ring { call: no, ring });
        }
        self.mark(agent);
    }

    /// How this ring will end if the caller stays, and when.
    fn draw_ring(&mut self, no: u64, queue: usize) -> (i64, RingEnd) {
        let plan = self.plan.clone();
        let full = plan.queues[queue].ring_ms;
        let Some(call) = self.calls.get_mut(&no) else { return (full, RingEnd::RangOut) };
        let rang_out = chance::happens(&mut call.rng, plan.manners.rona_share);
        let refused = chance::happens(&mut call.rng, plan.manners.refuse_share);
        let after = plan.manners.answer_after.draw(&mut call.rng).max(200);
        if refused {
            (300.min(full), RingEnd::Refused)
        } else if rang_out || after >= full {
            (full, RingEnd::RangOut)
        } else {
            (after, RingEnd::Answered)
        }
    }

    /// An event of the queue about a caller and an agent.
    pub(super) fn say_queue_event(
        &mut self,
        name: &'static str,
        caller: u64,
        phone: Option<u64>,
        queue: usize,
        agent: usize,
        more: &[(&str, String)],
    ) {
        let Some(from) = self.channels.get(&caller) else { return };
        let mut event = self.voice.event(name, Class::Agent, self.now).channel("", from);
        if let Some(to) = phone.and_then(|phone| self.channels.get(&phone)) {
            event = event.channel("Dest", to);
        }
        let mut event = event
            .put("Queue", &self.plan.queues[queue].id)
            .put("Interface", &self.agents[agent].interface)
            .put("MemberName", &self.agents[agent].party.name);
        for (key, value) in more {
            event = event.put(key, value);
        }
        event.end();
    }

    /// The phone is picked up, refused or rings out.
    pub(super) fn ring_due(&mut self, no: u64, ring: u32) {
        if self.calls.get(&no).is_none_or(|call| call.ring != ring) {
            return;
        }
        let Some(waiting) = self.waiting_mut(no) else { return };
        let queue = waiting.queue;
        let Some(ringing) = waiting.ringing.take() else { return };
        if ringing.outcome == RingEnd::Answered {
            return self.answer(no, queue, ringing);
        }
        let refused = ringing.outcome == RingEnd::Refused;
        if refused && let Some(channel) = self.channels.get(&ringing.chan) {
            self.voice.hangup_request(self.now, channel, Some((17, 486)));
        }
        self.say_no_answer(no, queue, &ringing, !refused);
        self.truth.ring_ends(no, queue, ringing.agent, ringing.outcome, self.now);
        let agent = match refused {
            true => self.phone_down(no, ringing, 17, Some(486)),
            false => self.phone_down(no, ringing, 0, None),
        };
        let (visit, retry) = (self.calls[&no].visit, self.plan.queues[queue].retry_ms);
        self.later(retry, Due::Retry { call: no, visit, ring });
        if self.plan.queues[queue].auto_pause && !refused {
            self.pause(agent, Some("Auto-Pause"));
            self.come_back_later(agent, 60_000);
        }
        self.settle(agent);
    }

    /// The caller may be offered again.
    pub(super) fn retry_due(&mut self, no: u64, visit: u32, ring: u32) {
        if self.calls.get(&no).is_none_or(|call| call.visit != visit || call.ring != ring) {
            return;
        }
        let Some(waiting) = self.waiting(no) else { return };
        if waiting.ringing.is_none() {
            let (queue, place) = (waiting.queue, waiting.place);
            self.queues[queue].free.insert(place);
            self.offer(queue);
        }
    }

    /// `AgentRingNoAnswer` and the ends of the dial. The ring time of this one event is in milliseconds, as in the real PBX.
    pub(super) fn say_no_answer(&mut self, no: u64, queue: usize, ringing: &Ringing, rang_out: bool) {
        let caller = self.calls[&no].chan;
        let ring_ms = if rang_out { self.now - ringing.since_ms } else { 0 };
        let more = [("RingTime", ring_ms.to_string())];
        if !rang_out {
            self.say_dial_end(no, ringing, "NOANSWER");
        }
        self.say_queue_event("AgentRingNoAnswer", caller, Some(ringing.chan), queue, ringing.agent, &more);
        if rang_out {
            self.say_dial_end(no, ringing, "NOANSWER");
            self.say_dial_end(no, ringing, "CANCEL");
        }
    }

    /// The dial ends because the caller went away.
    pub(super) fn say_ring_cancelled(&mut self, no: u64, ringing: &Ringing) {
        self.say_dial_end(no, ringing, "CANCEL");
        self.say_dial_end(no, ringing, "CANCEL");
    }

    pub(super) fn say_dial_end(&mut self, no: u64, ringing: &Ringing, status: &str) {
        let Some(Call { chan, .. }) = self.calls.get(&no) else { return };
        if let (Some(from), Some(to)) = (self.channels.get(chan), self.channels.get(&ringing.chan)) {
            self.voice.dial(self.now, "DialEnd", Some(from), to, status);
        }
    }

    /// The phone stops ringing unanswered. Answers whose it was; the caller settles that agent when all is said.
    pub(super) fn phone_down(&mut self, no: u64, ringing: Ringing, cause: u8, tech: Option<u16>) -> usize {
        let to = self.channels.get(&ringing.chan).map(|channel| channel.name.clone());
        let record = self.record_of(no, to, ringing.since_ms, None);
        if let Some(call) = self.calls.get_mut(&no) {
            call.cdrs.push(record);
        }
        self.close_channel(ringing.chan, cause, tech);
        self.agents[ringing.agent].call = None;
        self.set_device(ringing.agent, Device::NotInUse);
        self.mark(ringing.agent);
        ringing.agent
    }

    /// The CDR of a part of a call that ends now.
    pub(super) fn record_of(&self, no: u64, to: Option<Box<str>>, start_ms: i64, answer_ms: Option<i64>) -> Cdr {
        let (exten, application) = match self.calls.get(&no).and_then(|call| self.channels.get(&call.chan)) {
            Some(channel) => (channel.exten.clone(), channel.application),
            None => (self.words.h.clone(), ""),
        };
        Cdr { to, context: "route-queue", exten, application, start_ms, answer_ms, end_ms: self.now }
    }
}
