//! Queues: joining, waiting, giving up, being let go.

use std::collections::{BTreeMap, BTreeSet};

use super::agenda::Due;
use super::ringing::Ringing;
use super::truth::{EndedBy, Exit, RingEnd};
use super::voice::Class;
use super::{Centre, Phase, chance};

/// A queue in progress. Places grow with every join, so their order is the order of waiting.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Everybody who waits, by place.
    pub(crate) waiting: BTreeMap<u64, u64>,
    /// Of those, the places that may be offered to an agent now.
    pub(crate) free: BTreeSet<u64>,
    /// Agents who may be called: penalty, when last rung, agent.
    pub(crate) idle: BTreeSet<(u16, u64, u32)>,
    /// The PBX's own figures, in its own whole seconds.
    pub(crate) own: Own,
}

/// What the PBX itself counts of a queue (`QueueParams`).
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Own {
    pub(crate) hold_s: i64,
    pub(crate) talk_s: i64,
    pub(crate) completed: u64,
    pub(crate) completed_in_level: u64,
    pub(crate) abandoned: u64,
}

impl Own {
    /// The PBX's moving average: integers, so it truncates and leans low, as the real one does.
    pub(crate) fn average(old: i64, new: i64) -> i64 {
        ((old << 2) - old + new) >> 2
    }
}

/// A caller who waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) queue: usize,
    pub(crate) place: u64,
    pub(crate) joined_ms: i64,
    pub(crate) first_position: u32,
    pub(crate) ringing: Option<Ringing>,
}

impl Centre {
    /// A caller joins a queue, or finds it full.
    pub(super) fn join(&mut self, no: u64, queue: usize) {
        let plan = self.plan.clone();
        let rules = &plan.queues[queue];
        let exten = self.words.queues[queue].clone();
        let chan = self.calls[&no].chan;
        if let Some(channel) = self.channels.get_mut(&chan) {
            channel.goto("route-queue", &exten, 3);
            channel.run("Queue", format!("{},tT,,,{}", rules.id, rules.wait_max_ms / 1000));
        }
        if rules.length_max > 0 && self.queues[queue].waiting.len() >= rules.length_max {
            self.truth.queued(no, queue, 0, self.now);
            return self.let_go(no, queue, Exit::Full);
        }
        self.counters.place += 1;
        let place = self.counters.place;
        self.queues[queue].waiting.insert(place, no);
        self.queues[queue].free.insert(place);
        let count = self.queues[queue].waiting.len() as u32;
        self.truth.queued(no, queue, count, self.now);
        let Some(call) = self.calls.get_mut(&no) else { return };
        call.visit += 1;
        let visit = call.visit;
        let patience = call.wish.patience_ms.unwrap_or_else(|| plan.arrivals.patience.draw(&mut call.rng));
        call.phase =
            Phase::Waiting(Waiting { queue, place, joined_ms: self.now, first_position: count, ringing: None });
        if let Some(channel) = self.channels.get(&chan) {
            self.voice
                .event("QueueCallerJoin", Class::Agent, self.now)
                .channel("", channel)
                .put("Queue", &rules.id)
                .put("Position", count)
                .put("Count", count)
                .end();
            self.voice.music_starts(self.now, channel);
        }
        self.later(patience.max(1), Due::Patience { call: no, visit });
        if rules.wait_max_ms > 0 {
            self.later(rules.wait_max_ms, Due::Timeout { call: no, visit });
        }
        self.offer(queue);
    }

    /// Offers waiting callers to idle agents until one kind runs out.
    pub(super) fn offer(&mut self, queue: usize) {
        while let Some(place) = self.queues[queue].free.first().copied()
            && let Some((_, _, agent)) = self.queues[queue].idle.first().copied()
        {
            let no = self.queues[queue].waiting[&place];
            self.ring(no, agent as usize);
        }
    }

    /// The queue that a free agent serves next: the heaviest with somebody to offer, and of those the longest wait.
    pub(super) fn most_pressing(&self, agent: usize) -> Option<usize> {
        let candidates = self.agents[agent].skills.iter().filter_map(|(queue, _)| {
            let place = self.queues[*queue].free.first()?;
            Some((-self.plan.queues[*queue].weight, *place, *queue))
        });
        candidates.min().map(|(_, _, queue)| queue)
    }

    /// The position of a place in its queue now, from 1.
    fn position(&self, queue: usize, place: u64) -> usize {
        self.queues[queue].waiting.range(..=place).count()
    }

    /// The waiting caller's own state, while the caller waits.
    pub(super) fn waiting(&self, no: u64) -> Option<&Waiting> {
        match &self.calls.get(&no)?.phase {
            Phase::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }

    pub(super) fn waiting_mut(&mut self, no: u64) -> Option<&mut Waiting> {
        match &mut self.calls.get_mut(&no)?.phase {
            Phase::Waiting(waiting) => Some(waiting),
            _ => None,
        }
    }

    /// Takes a caller out of a queue and says `QueueCallerLeave`.
    pub(super) fn leave(&mut self, no: u64) {
        let Some(waiting) = self.waiting(no) else { return };
        let (queue, place) = (waiting.queue, waiting.place);
        let position = self.position(queue, place);
        self.queues[queue].waiting.remove(&place);
        self.queues[queue].free.remove(&place);
        let count = self.queues[queue].waiting.len();
        if let Some(channel) = self.channels.get(&self.calls[&no].chan) {
            self.voice
                .event("QueueCallerLeave", Class::Agent, self.now)
                .channel("", channel)
                .put("Queue", &self.plan.queues[queue].id)
                .put("Position", position)
                .put("Count", count)
                .end();
        }
    }

    /// Says `QueueCallerAbandon`. The PBX says it on a timeout too: it is a trap, and it is kept.
    fn say_abandon(&mut self, no: u64) {
        let Some(waiting) = self.waiting(no) else { return };
        let (queue, place, first) = (waiting.queue, waiting.place, waiting.first_position);
        let waited_s = self.seconds() - waiting.joined_ms.div_euclid(1000);
        let position = self.position(queue, place);
        self.queues[queue].own.abandoned += 1;
        if let Some(channel) = self.channels.get(&self.calls[&no].chan) {
            self.voice
                .event("QueueCallerAbandon", Class::Agent, self.now)
                .channel("", channel)
                .put("Queue", &self.plan.queues[queue].id)
                .put("Position", position)
                .put("OriginalPosition", first)
                .put("HoldTime", waited_s)
                .end();
        }
    }

    /// The caller has waited long enough.
    pub(super) fn patience_due(&mut self, no: u64, visit: u32) {
        if self.calls.get(&no).is_none_or(|call| call.visit != visit) {
            return;
        }
        self.abandon(no);
    }

    /// A waiting caller hangs up.
    pub(super) fn abandon(&mut self, no: u64) {
        let Some(waiting) = self.waiting_mut(no) else { return };
        let queue = waiting.queue;
        let ringing = waiting.ringing.take();
        let chan = self.calls[&no].chan;
        if let Some(channel) = self.channels.get(&chan) {
            self.voice.hangup_request(self.now, channel, None);
            self.voice.plain(self.now, "MusicOnHoldStop", channel);
        }
        let exit = if ringing.is_some() { Exit::AbandonedRinging } else { Exit::Abandoned };
        if let Some(ringing) = &ringing {
            self.say_ring_cancelled(no, ringing);
            self.truth.ring_ends(no, queue, ringing.agent, RingEnd::CallerLeft, self.now);
        }
        self.say_abandon(no);
        self.leave(no);
        self.truth.left(no, queue, exit, self.now);
        let agent = ringing.map(|ringing| self.phone_down(no, ringing, 0, None));
        self.maybe_redial(no);
        self.end_call(no, EndedBy::Caller, 0);
        if let Some(agent) = agent {
            self.settle(agent);
        }
    }

    fn maybe_redial(&mut self, no: u64) {
        let plan = self.plan.clone();
        let Some(call) = self.calls.get_mut(&no) else { return };
        if let Some(line) = call.did
            && chance::happens(&mut call.rng, plan.arrivals.redial_share)
        {
            let after = plan.arrivals.redial_after.draw(&mut call.rng).max(1_000);
            let number = call.number;
            self.later(after, Due::Redial { number, line: line as u32 });
        }
    }

    /// The wait is over.
    pub(super) fn timeout_due(&mut self, no: u64, visit: u32) {
        if self.calls.get(&no).is_none_or(|call| call.visit != visit) {
            return;
        }
        let Some(waiting) = self.waiting_mut(no) else { return };
        let queue = waiting.queue;
        let ringing = waiting.ringing.take();
        if let Some(ringing) = &ringing {
            self.say_no_answer(no, queue, ringing, true);
            self.truth.ring_ends(no, queue, ringing.agent, RingEnd::RangOut, self.now);
        }
        self.say_abandon(no);
        if let Some(channel) = self.channels.get(&self.calls[&no].chan) {
            self.voice.plain(self.now, "MusicOnHoldStop", channel);
        }
        self.leave(no);
        let agent = ringing.map(|ringing| self.phone_down(no, ringing, 0, None));
        self.let_go(no, queue, Exit::Timeout);
        if let Some(agent) = agent {
            self.settle(agent);
        }
    }

    /// A queue lets go of a caller for its own reason; the dialplan sends the caller on, or ends the call.
    fn let_go(&mut self, no: u64, queue: usize, why: Exit) {
        let next = self.plan.queues[queue].overflow.filter(|next| {
            // Once round the queues is enough: a caller sent back to where the journey began would circle for ever.
            let been = self.truth.call(no).map(|call| call.visits.len()).unwrap_or(0);
            *next != queue && been < 3
        });
        let exit = match (why, next) {
            (Exit::Timeout, Some(_)) => Exit::Overflow,
            _ => why,
        };
        self.truth.left(no, queue, exit, self.now);
        let status = if why == Exit::Full { "FULL" } else { "TIMEOUT" };
        let Some(call) = self.calls.get_mut(&no) else { return };
        call.phase = Phase::Menu;
        let chan = call.chan;
        if let Some(channel) = self.channels.get(&chan) {
            let id = self.plan.queues[queue].id.as_str();
            self.voice.user(self.now, channel, "QueueLeft", &[("Queue", id), ("QueueStatus", status)]);
        }
        match next {
            Some(next) => self.join(no, next),
            None => self.end_call(no, EndedBy::System, 16),
        }
    }
}
