//! Orders from outside: what AMI actions and the control API can make the centre do. The messages are those of the real PBX.

use super::agenda::Due;
use super::truth::{EndedBy, Exit, RingEnd};
use super::{Centre, Phase};

/// What the one who places a call by hand wants of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// How long the caller waits in a queue, ms.
    pub patience_ms: Option<i64>,
    /// How long the conversation lasts, ms.
    pub talk_ms: Option<i64>,
    /// No holds and no transfers.
    pub plain: Option<bool>,
}

/// Where a caller is sent.
enum Target {
    Queue(usize),
    Outside(String),
}

impl Centre {
    /// The agent of an interface such as `PJSIP/1001`.
    pub fn agent_of(&self, interface: &str) -> Option<usize> {
        self.agents.iter().position(|agent| &*agent.interface == interface)
    }

    /// The queue of an id.
    pub fn queue_of(&self, id: &str) -> Option<usize> {
        self.plan.queues.iter().position(|queue| queue.id == id)
    }

    /// `QueueAdd`.
    pub fn order_add(&mut self, queue: &str, interface: &str, penalty: u16) -> Result<&'static str, String> {
        let queue = self.queue_of(queue).ok_or("Unable to add interface to queue: No such queue")?;
        // The real PBX takes any text here; this one has only its own phones.
        let agent = self.agent_of(interface).ok_or("Unable to add interface: No such phone in this centre")?;
        if self.agents[agent].logged_in && self.agents[agent].skills.iter().any(|(q, _)| *q == queue) {
            return Err("Unable to add interface: Already there".into());
        }
        self.take_off_idle(agent);
        let now_s = self.seconds();
        let a = &mut self.agents[agent];
        if !a.logged_in {
            a.skills.clear();
            a.logged_in = true;
            a.login_s = now_s;
            if a.device == super::member::Device::Unavailable {
                self.set_device(agent, super::member::Device::NotInUse);
            }
        }
        self.agents[agent].skills.push((queue, penalty));
        let at = self.agents[agent].skills.len() - 1;
        self.say_member("QueueMemberAdded", agent, at);
        self.settle(agent);
        Ok("Added interface to queue")
    }

    /// `QueueRemove`.
    pub fn order_remove(&mut self, queue: &str, interface: &str) -> Result<&'static str, String> {
        let queue = self.queue_of(queue).ok_or("Unable to remove interface from queue: No such queue")?;
        let found = self.agent_of(interface).filter(|agent| self.agents[*agent].logged_in);
        let found = found.and_then(|agent| {
            let at = self.agents[agent].skills.iter().position(|(q, _)| *q == queue)?;
            Some((agent, at))
        });
        let (agent, at) = found.ok_or("Unable to remove interface: Not there")?;
        self.take_off_idle(agent);
        self.say_member("QueueMemberRemoved", agent, at);
        self.agents[agent].skills.remove(at);
        if self.agents[agent].skills.is_empty() {
            self.agents[agent].logged_in = false;
            self.agents[agent].paused = None;
        }
        self.settle(agent);
        Ok("Removed interface from queue")
    }

    /// `QueuePause`, of all memberships of an agent.
    pub fn order_pause(&mut self, interface: &str, paused: bool, reason: &str) -> Result<&'static str, String> {
        let agent =
            self.agent_of(interface).filter(|agent| self.agents[*agent].logged_in).ok_or("Interface not found")?;
        self.take_off_idle(agent);
        self.pause(agent, paused.then_some(reason));
        self.settle(agent);
        Ok(if paused { "Interface paused successfully" } else { "Interface unpaused successfully" })
    }

    /// `QueuePenalty`, in one queue or in all.
    pub fn order_penalty(
        &mut self,
        interface: &str,
        queue: Option<&str>,
        penalty: u16,
    ) -> Result<&'static str, String> {
        let refused = "Invalid interface, queuename or penalty";
        let agent = self.agent_of(interface).filter(|agent| self.agents[*agent].logged_in).ok_or(refused)?;
        let queue = queue.map(|id| self.queue_of(id).ok_or(refused)).transpose()?;
        self.take_off_idle(agent);
        let mut changed = false;
        for at in 0..self.agents[agent].skills.len() {
            if queue.is_none_or(|queue| self.agents[agent].skills[at].0 == queue) {
                self.agents[agent].skills[at].1 = penalty;
                self.say_member("QueueMemberPenalty", agent, at);
                changed = true;
            }
        }
        self.settle(agent);
        changed.then_some("Interface penalty set successfully").ok_or_else(|| refused.into())
    }

    /// The call and the channel of a name.
    fn find_channel(&self, name: &str) -> Option<(u64, u64)> {
        self.channels.values().find(|channel| &*channel.name == name).map(|channel| (channel.call, channel.id))
    }

    /// `Hangup`.
    pub fn order_hangup(&mut self, name: &str) -> Result<&'static str, String> {
        let (no, chan) = self.find_channel(name).ok_or("No such channel")?;
        let Some(call) = self.calls.get(&no) else { return Err("No such channel".into()) };
        match &call.phase {
            Phase::Menu => self.end_call(no, EndedBy::System, 16),
            Phase::Waiting(_) if call.chan == chan => self.abandon(no),
            Phase::Waiting(_) => {
                // Somebody else's order takes the phone away: to the queue that is a refusal.
                if let Some(ringing) = self.waiting_mut(no).and_then(|waiting| waiting.ringing.as_mut()) {
                    ringing.outcome = RingEnd::Refused;
                }
                let ring = self.calls[&no].ring;
                self.ring_due(no, ring);
            }
            Phase::Talking(talking) => {
                let by = if talking.phone == chan { EndedBy::Agent } else { EndedBy::Caller };
                self.hang_up(no, by);
            }
            Phase::Outside => self.outside_ends(no),
            Phase::CallingOut(_) => self.drop_out(no),
        }
        Ok("Channel Hungup")
    }

    /// `BlindTransfer` and `Redirect`: sends the caller of a channel to a queue (by its id as extension) or an outside number.
    pub fn order_blind(&mut self, name: &str, exten: &str) -> Result<&'static str, String> {
        let (no, _) = self.find_channel(name).ok_or("Channel specified does not exist")?;
        let target = match self.queue_of(exten) {
            Some(queue) => Target::Queue(queue),
            None => Target::Outside(exten.to_owned()),
        };
        if self.waiting(no).is_some() {
            return self.move_waiting(no, target);
        }
        if self.talking(no).is_none() {
            return Err("Channel is not part of a conversation".into());
        }
        match target {
            Target::Queue(queue) => self.blind_to_queue(no, queue),
            Target::Outside(number) => self.blind_outside(no, Some(&number)),
        }
        Ok("Transfer succeeded")
    }

    /// A waiting caller is moved by order.
    fn move_waiting(&mut self, no: u64, target: Target) -> Result<&'static str, String> {
        let Target::Queue(next) = target else { return Err("A waiting caller can only go to a queue".into()) };
        let Some(waiting) = self.waiting_mut(no) else { return Err("Channel specified does not exist".into()) };
        let queue = waiting.queue;
        let ringing = waiting.ringing.take();
        if let Some(ringing) = &ringing {
            self.say_ring_cancelled(no, ringing);
            self.truth.ring_ends(no, queue, ringing.agent, RingEnd::CallerLeft, self.now);
        }
        self.leave(no);
        self.truth.left(no, queue, Exit::Moved, self.now);
        let agent = ringing.map(|ringing| self.phone_down(no, ringing, 0, None));
        self.join(no, next);
        if let Some(agent) = agent {
            self.settle(agent);
        }
        Ok("Redirect successful")
    }

    /// `Atxfer`: the agent of a channel asks the agent of an extension by the PBX's own feature.
    pub fn order_atxfer(&mut self, name: &str, exten: &str) -> Result<&'static str, String> {
        let (no, chan) = self.find_channel(name).ok_or("Channel specified does not exist")?;
        if self.talking(no).is_none_or(|talking| talking.phone != chan || talking.consult.is_some()) {
            return Err("Channel is not an agent in conversation".into());
        }
        let target = self.agents.iter().position(|agent| &*agent.party.number == exten);
        match target.filter(|target| self.is_free(*target)) {
            Some(target) => self.consult(no, true, Some(target)),
            None => return Err("Nobody free at that extension".into()),
        }
        Ok("Atxfer successfully queued")
    }

    /// `Originate` of an agent's phone to an outside number. What becomes of it comes as `OriginateResponse`.
    pub fn order_originate(&mut self, channel: &str, exten: &str, id: Option<&str>) -> Result<&'static str, String> {
        let number: u64 = exten.parse().map_err(|_| "Extension does not exist.")?;
        match self.agent_of(channel) {
            Some(agent) => {
                if !self.originate(agent, number, id.map(str::to_owned)) {
                    self.say_originated(id.map(str::to_owned), false, agent, number, None);
                }
                Ok("Originate successfully queued")
            }
            None => Err("Extension does not exist.".into()),
        }
    }

    /// A customer calls a line, by hand. Answers the call's id.
    pub fn place_call(&mut self, did: &str, number: u64, wish: Wish) -> Option<String> {
        let line = self.plan.lines.iter().position(|line| line.did == did)?;
        let no = self.incoming(number, line, wish);
        let chan = self.calls[&no].chan;
        Some(self.channels[&chan].unique.to_string())
    }

    /// An agent logs in now, whatever the shift.
    pub fn order_log_in(&mut self, agent: usize) {
        self.log_in(agent);
    }

    /// An agent logs out as soon as no call is in the way.
    pub fn order_log_out(&mut self, agent: usize) {
        let stamp = self.desk_stamp(agent);
        self.later(0, Due::Desk { agent: agent as u32, stamp, what: super::agenda::Desk::LogOut });
    }
}
