//! Agents: shifts, log-in and log-out, pauses, wrap-up, and when one may be called.

use std::sync::Arc;

use jiff::Timestamp;
use rand::Rng as _;

use super::Centre;
use super::agenda::{Desk, Due};
use super::chance::Law;
use super::channel::Party;
use super::member::Device;
use super::truth::State;
use crate::plan;

const DAY_MS: i64 = 86_400_000;

/// An agent in progress.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) interface: Arc<str>,
    pub(crate) party: Party,
    /// Queue index and penalty of each membership; orders can change them.
    pub(crate) skills: Vec<(usize, u16)>,
    pub(crate) logged_in: bool,
    pub(crate) device: Device,
    pub(crate) paused: Option<Arc<str>>,
    /// The call that has this agent.
    pub(crate) call: Option<u64>,
    pub(crate) talking: bool,
    pub(crate) holding: bool,
    pub(crate) in_call: bool,
    pub(crate) taken: u64,
    pub(crate) last_call_s: i64,
    pub(crate) last_pause_s: i64,
    pub(crate) login_s: i64,
    pub(crate) wrap_until_ms: i64,
    pub(crate) last_rung: u64,
    /// Under which key this agent stands among the idle, if so.
    idle_since_rung: Option<u64>,
    /// Which of the timers of this log-in count.
    stamp: u32,
    due_pause: Option<u16>,
    due_log_out: bool,
}

impl Agent {
    pub(crate) fn new(plan: &plan::Agent) -> Agent {
        Agent {
            interface: format!("PJSIP/{}", plan.extension).into(),
            party: Party { number: plan.extension.as_str().into(), name: plan.name.as_str().into() },
            skills: plan.skills.clone(),
            logged_in: false,
            device: Device::Unavailable,
            paused: None,
            call: None,
            talking: false,
            holding: false,
            in_call: false,
            taken: 0,
            last_call_s: 0,
            last_pause_s: 0,
            login_s: 0,
            wrap_until_ms: 0,
            last_rung: 0,
            idle_since_rung: None,
            stamp: 0,
            due_pause: None,
            due_log_out: false,
        }
    }
}

impl Centre {
    /// Starts everybody's day.
    pub(super) fn open_desks(&mut self) {
        for agent in 0..self.agents.len() {
            let (from, to) = self.plan.agents[agent].shift;
            let time = self.time_of_day();
            let on_shift = from == to || if from < to { (from..to).contains(&time) } else { time >= from || time < to };
            let jitter = self.agents_rng.random_range(0..1_500);
            let stamp = self.agents[agent].stamp;
            if on_shift {
                self.later(jitter, Due::Desk { agent: agent as u32, stamp, what: Desk::LogIn });
            } else {
                self.mark(agent);
                self.next_shift(agent);
            }
        }
    }

    fn time_of_day(&self) -> i64 {
        let offset = Timestamp::from_millisecond(self.now).map(|now| self.plan.zone.to_offset(now).seconds());
        (self.now + i64::from(offset.unwrap_or(0)) * 1000).rem_euclid(DAY_MS)
    }

    /// Milliseconds until a local time of day comes next.
    fn until(&self, time_of_day: i64) -> i64 {
        let ahead = (time_of_day - self.time_of_day()).rem_euclid(DAY_MS);
        if ahead == 0 { DAY_MS } else { ahead }
    }

    /// Which timers of an agent's day count now.
    pub(super) fn desk_stamp(&self, agent: usize) -> u32 {
        self.agents[agent].stamp
    }

    fn next_shift(&mut self, agent: usize) {
        let late = self.agents_rng.random_range(0..90_000);
        let (from, _) = self.plan.agents[agent].shift;
        let stamp = self.agents[agent].stamp;
        self.later(self.until(from) + late, Due::Desk { agent: agent as u32, stamp, what: Desk::LogIn });
    }

    /// Something of an agent's day is due.
    pub(super) fn desk_due(&mut self, agent: usize, stamp: u32, what: Desk) {
        if self.agents[agent].stamp != stamp {
            return;
        }
        match what {
            Desk::LogIn => self.log_in(agent),
            Desk::LogOut => {
                self.agents[agent].due_log_out = true;
                self.settle(agent);
            }
            Desk::Pause { reason } if self.agents[agent].paused.is_some() => self.plan_pause(agent, reason),
            Desk::Pause { reason } => {
                self.agents[agent].due_pause = Some(reason);
                self.settle(agent);
            }
            Desk::Resume => {
                if self.agents[agent].paused.is_some() {
                    self.pause(agent, None);
                    self.settle(agent);
                }
            }
            Desk::WrapUpEnds => self.settle(agent),
        }
    }

    /// The agent logs in: the phone registers, and each queue gets a member.
    pub(super) fn log_in(&mut self, agent: usize) {
        let now_s = self.seconds();
        let a = &mut self.agents[agent];
        if a.logged_in {
            return;
        }
        a.stamp += 1;
        a.logged_in = true;
        if a.skills.is_empty() {
            a.skills = self.plan.agents[agent].skills.clone();
        }
        a.login_s = now_s;
        a.paused = None;
        (a.taken, a.last_call_s, a.last_pause_s) = (0, 0, 0);
        let (stamp, interface) = (a.stamp, a.interface.clone());
        if a.device == Device::Unavailable {
            a.device = Device::NotInUse;
            self.voice.device(self.now, &interface, Device::NotInUse.text());
        }
        for at in 0..self.agents[agent].skills.len() {
            self.say_member("QueueMemberAdded", agent, at);
        }
        let (from, to) = self.plan.agents[agent].shift;
        if from != to {
            let late = self.agents_rng.random_range(0..90_000);
            self.later(self.until(to) + late, Due::Desk { agent: agent as u32, stamp, what: Desk::LogOut });
        }
        for reason in 0..self.plan.agents[agent].pauses.len() {
            self.plan_pause(agent, reason as u16);
        }
        self.plan_call_out(agent);
        self.settle(agent);
    }

    /// The agent logs out, if no call is in the way.
    pub(super) fn log_out(&mut self, agent: usize) {
        if !self.agents[agent].logged_in {
            return;
        }
        self.take_off_idle(agent);
        for at in 0..self.agents[agent].skills.len() {
            self.say_member("QueueMemberRemoved", agent, at);
        }
        let a = &mut self.agents[agent];
        a.stamp += 1;
        a.logged_in = false;
        a.paused = None;
        a.due_log_out = false;
        a.due_pause = None;
        a.wrap_until_ms = 0;
        self.set_device(agent, Device::Unavailable);
        self.mark(agent);
        self.next_shift(agent);
    }

    fn plan_pause(&mut self, agent: usize, reason: u16) {
        let plan = self.plan.clone();
        let pause = &plan.agents[agent].pauses[reason as usize];
        let law = Law::Exponential { mean_ms: pause.every_ms };
        let after = law.draw(&mut self.agents_rng).max(1_000);
        let stamp = self.agents[agent].stamp;
        self.later(after, Due::Desk { agent: agent as u32, stamp, what: Desk::Pause { reason } });
    }

    /// Pauses an agent with a reason, or takes the pause away.
    pub(super) fn pause(&mut self, agent: usize, reason: Option<&str>) {
        let now_s = self.seconds();
        let a = &mut self.agents[agent];
        a.paused = reason.map(Arc::from);
        if reason.is_some() {
            a.last_pause_s = now_s;
        }
        let interface = a.interface.clone();
        for at in 0..self.agents[agent].skills.len() {
            let queue = self.agents[agent].skills[at].0;
            let device = format!("Queue:{}_pause_{interface}", self.plan.queues[queue].id);
            self.voice.device(self.now, &device, if reason.is_some() { "INUSE" } else { "NOT_INUSE" });
            self.say_member("QueueMemberPause", agent, at);
        }
        self.mark(agent);
    }

    /// A paused agent comes back after a while.
    pub(super) fn come_back_later(&mut self, agent: usize, after_ms: i64) {
        let stamp = self.agents[agent].stamp;
        self.later(after_ms, Due::Desk { agent: agent as u32, stamp, what: Desk::Resume });
    }

    /// May this agent be called now.
    pub(super) fn is_free(&self, agent: usize) -> bool {
        let a = &self.agents[agent];
        a.logged_in
            && a.call.is_none()
            && a.paused.is_none()
            && a.device == Device::NotInUse
            && a.wrap_until_ms <= self.now
    }

    /// Puts an agent where the present facts say: takes a pause or a log-out that had to wait, joins the idle, takes the most
    /// pressing call. To be called when all that happened has been said.
    pub(super) fn settle(&mut self, agent: usize) {
        let between_calls = self.agents[agent].call.is_none() && self.agents[agent].wrap_until_ms <= self.now;
        if between_calls && self.agents[agent].logged_in {
            if self.agents[agent].due_log_out {
                return self.log_out(agent);
            }
            if let Some(reason) = self.agents[agent].due_pause.take() {
                let plan = self.plan.clone();
                let pause = &plan.agents[agent].pauses[reason as usize];
                self.take_off_idle(agent);
                self.pause(agent, Some(&pause.reason));
                let lasts = pause.lasts.draw(&mut self.agents_rng).max(1_000);
                self.come_back_later(agent, lasts);
                self.plan_pause(agent, reason);
            }
        }
        if self.is_free(agent) {
            self.put_on_idle(agent);
            self.mark(agent);
            if let Some(queue) = self.most_pressing(agent) {
                self.offer(queue);
            }
        } else {
            self.take_off_idle(agent);
            self.mark(agent);
        }
    }

    fn put_on_idle(&mut self, agent: usize) {
        let a = &mut self.agents[agent];
        if a.idle_since_rung.is_none() {
            a.idle_since_rung = Some(a.last_rung);
            for (queue, penalty) in &a.skills {
                self.queues[*queue].idle.insert((*penalty, a.last_rung, agent as u32));
            }
        }
    }

    pub(super) fn take_off_idle(&mut self, agent: usize) {
        let a = &mut self.agents[agent];
        if let Some(rung) = a.idle_since_rung.take() {
            for (queue, penalty) in &a.skills {
                self.queues[*queue].idle.remove(&(*penalty, rung, agent as u32));
            }
        }
    }

    /// After a queue call: wrap-up. Answers how long it will last, ms.
    ///
    /// The real PBX compares whole seconds, so it may call the agent up to a second sooner; here wrap-up lasts exactly as
    /// long as `Wrapuptime` says, so that figures can be compared to the millisecond.
    pub(super) fn wrap_up(&mut self, agent: usize) -> i64 {
        let wrap_s = self.plan.agents[agent].wrap_up_s;
        let now_s = self.seconds();
        let a = &mut self.agents[agent];
        a.in_call = false;
        a.taken += 1;
        a.last_call_s = now_s;
        if wrap_s == 0 {
            return 0;
        }
        a.wrap_until_ms = self.now + wrap_s * 1000;
        let stamp = a.stamp;
        self.later(wrap_s * 1000, Due::Desk { agent: agent as u32, stamp, what: Desk::WrapUpEnds });
        wrap_s * 1000
    }

    /// What an agent is doing, and the reason of a pause.
    pub(super) fn state_of(&self, agent: usize) -> (State, Option<&str>) {
        let a = &self.agents[agent];
        let state = match () {
            () if a.holding => State::Holding,
            () if a.talking => State::Talking,
            () if a.device == Device::Ringing => State::Ringing,
            () if !a.logged_in => State::Offline,
            () if a.wrap_until_ms > self.now => State::WrapUp,
            () if a.paused.is_some() => return (State::NotReady, a.paused.as_deref()),
            () if a.call.is_some() => State::Talking,
            () => State::Ready,
        };
        (state, None)
    }

    /// Writes the state down in the ledger.
    pub(super) fn mark(&mut self, agent: usize) {
        let (state, reason) = self.state_of(agent);
        let reason = reason.map(str::to_owned);
        self.truth.state(agent, state, reason.as_deref(), self.now);
    }
}
