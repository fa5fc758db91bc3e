//! Made-up days of a call centre: legal histories from a seed, with transfers, holds, RONA, overflow, IVR, outbound calls, agent
//! states, devices, memberships and gaps; and ways to spoil them.
#![allow(dead_code, reason = "each test file uses its part")]

use model::event::agent::{self, State};
use model::event::call::*;
use model::event::{device, queue, source};
use model::{Envelope, Event, Quality, Time};

use super::story::*;

/// A small seeded generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to `n`, exclusive.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

const QUEUES: [&str; 3] = ["sales", "support", "billing"];
const AGENTS: [&str; 4] = ["ann", "bob", "cy", "dee"];

struct Call<'a> {
    dice: &'a mut Dice,
    now: i64,
    events: Vec<(i64, Event)>,
}

impl Call<'_> {
    fn pass(&mut self, up_to_ms: u64) {
        self.now += 1 + self.dice.below(up_to_ms) as i64;
    }

    fn say(&mut self, e: impl Into<Event>) {
        self.events.push((self.now, e.into()));
    }

    fn run(&mut self) {
        if self.dice.once_in(8) {
            return self.direct();
        }
        self.say(offered());
        if self.dice.once_in(2) && self.ivr() {
            return;
        }
        let mut stays = 0;
        while self.stay(stays) {
            stays += 1;
        }
    }

    fn direct(&mut self) {
        let agent = self.dice.pick(&AGENTS);
        let first = if self.dice.once_in(2) { outbound(agent) } else { offered() };
        self.say(first);
        self.say(alerting(agent, None));
        self.pass(20_000);
        if self.dice.once_in(3) {
            return self.end(Party::Caller);
        }
        self.say(answered(agent, None));
        self.pass(200_000);
        self.say(released(agent, Party::Agent));
        self.end(Party::Agent);
    }

    /// Whether the call ended here.
    fn ivr(&mut self) -> bool {
        self.say(ivr("main"));
        self.pass(15_000);
        if self.dice.once_in(6) {
            self.end(Party::Caller);
            return true;
        }
        let choice = self.dice.below(10).to_string();
        self.say(IvrSelected { node: "main".into(), choice });
        self.pass(3_000);
        self.say(IvrLeft { node: "main".into() });
        false
    }

    /// One stay in a queue; whether another follows.
    fn stay(&mut self, stays: u32) -> bool {
        let q = self.dice.pick(&QUEUES);
        self.say(queued(q));
        self.pass(40_000);
        while self.dice.once_in(4) {
            let agent = self.dice.pick(&AGENTS);
            self.say(alerting(agent, Some(q)));
            self.pass(15_000);
            self.say(rona(agent, q));
            self.pass(5_000);
        }
        let exit = match self.dice.below(12) {
            0 => QueueExit::Abandoned,
            1 => QueueExit::ShortAbandoned,
            2 => QueueExit::Timeout,
            3 => QueueExit::Overflow,
            4 => QueueExit::DivertedCallback,
            _ => QueueExit::Answered,
        };
        if exit == QueueExit::Answered {
            return self.conversation(q, stays);
        }
        self.say(dequeued(q, exit));
        if exit == QueueExit::DivertedCallback {
            self.say(Diverted {
                target: "callback".into(),
                name: None,
                rule: "ewt".into(),
                level: 2,
                plan: 1,
                queue: Some(q.into()),
            });
        }
        if exit == QueueExit::Overflow && stays < 3 {
            self.pass(100);
            return true;
        }
        let by_caller = matches!(exit, QueueExit::Abandoned | QueueExit::ShortAbandoned);
        self.end(if by_caller { Party::Caller } else { Party::System });
        false
    }

    fn conversation(&mut self, q: &str, stays: u32) -> bool {
        let agent = self.dice.pick(&AGENTS);
        self.say(alerting(agent, Some(q)));
        self.pass(9_000);
        self.say(dequeued(q, QueueExit::Answered));
        self.now += self.dice.below(3) as i64;
        self.say(answered(agent, Some(q)));
        self.pass(90_000);
        while self.dice.once_in(3) {
            self.say(held(agent));
            self.pass(30_000);
            if self.dice.once_in(5) {
                break; // ends on hold
            }
            self.say(retrieved(agent));
            self.pass(60_000);
        }
        match self.dice.below(6) {
            0 if stays < 3 => {
                let to = Destination::Queue(QUEUES[0].into());
                self.say(transferred(agent, TransferKind::Blind, to));
                self.pass(50);
                return true;
            }
            1 => self.attended(agent),
            _ => self.say(released(agent, Party::Caller)),
        }
        let end = self.now;
        self.end(Party::Caller);
        if self.dice.once_in(2) {
            self.now = end + 7_000;
            self.say(wrapped_up(agent, 7_000));
        }
        if self.dice.once_in(5) {
            self.now = end + 60_000;
            let score = self.dice.below(6) as f64;
            self.say(Surveyed { score, score_max: 5.0 });
        }
        false
    }

    fn attended(&mut self, agent: &str) {
        let other = AGENTS.iter().find(|a| **a != agent).copied().unwrap_or("zoe");
        self.say(consulted(agent, other));
        self.pass(10_000);
        self.say(answered(other, None));
        self.pass(10_000);
        self.say(transferred(agent, TransferKind::Attended, Destination::Agent(other.into())));
        self.pass(90_000);
        self.say(released(other, Party::Caller));
    }

    fn end(&mut self, by: Party) {
        self.say(ended(by));
    }
}

/// The events of `calls` calls that begin within `span_ms`, whole, in time order.
pub fn calls(dice: &mut Dice, calls: usize, span_ms: u64) -> Vec<Envelope> {
    let mut all = Vec::new();
    for i in 0..calls {
        let now = dice.below(span_ms) as i64;
        let mut call = Call { dice, now, events: Vec::new() };
        call.run();
        let subject = format!("call/c{i}");
        all.extend(call.events.into_iter().map(|(ms, e)| event(&subject, ms, e)));
    }
    all.sort_by_key(|e| e.time);
    all
}

/// A day of agents, devices, members and sources, in time order.
pub fn people(dice: &mut Dice, steps: usize, span_ms: u64) -> Vec<Envelope> {
    let mut all = Vec::new();
    for _ in 0..steps {
        let ms = dice.below(span_ms) as i64;
        let who = dice.pick(&AGENTS);
        let (subject, e): (String, Event) = match dice.below(12) {
            0 => (format!("agent/{who}"), agent::LoggedIn { device: None, team: Some("red".into()) }.into()),
            1 => (format!("agent/{who}"), agent::LoggedOut { reason: None, team: None }.into()),
            2..6 => {
                let states =
                    [State::Ready, State::NotReady, State::Reserved, State::Talking, State::WrapUp, State::Unknown];
                let state = states[dice.below(6) as usize];
                (format!("agent/{who}"), agent_state(state, dice.once_in(2).then_some("lunch")))
            }
            6 => (format!("device/{who}"), device::Registered { address: None }.into()),
            7 => (format!("device/{who}"), device::StateChanged { state: device::State::InUse }.into()),
            8 => {
                let paused = dice.once_in(2);
                ("queue/sales".into(), queue::MemberPaused { agent: who.into(), paused, reason: None }.into())
            }
            9 => {
                let member = queue::MemberAdded {
                    agent: who.into(),
                    device: None,
                    penalty: dice.below(3) as i32,
                    paused: false,
                };
                ("queue/sales".into(), member.into())
            }
            10 => ("queue/sales".into(), queue::MemberRemoved { agent: who.into() }.into()),
            _ => {
                let gap =
                    source::Gap { from: Time(ms - dice.below(200_000) as i64), to: Time(ms), reason: String::new() };
                ("source/pbx1".into(), gap.into())
            }
        };
        all.push(event(&subject, ms, e));
    }
    all.sort_by_key(|e| e.time);
    all
}

/// One busy agent and the device of theirs, of whom so much is known that most of it is packed, in time order.
pub fn long_day(dice: &mut Dice, steps: usize, span_ms: u64) -> Vec<Envelope> {
    let agent_states = [State::Ready, State::NotReady, State::Reserved, State::Talking, State::WrapUp, State::Unknown];
    let device_states = [
        device::State::Idle,
        device::State::Ringing,
        device::State::InUse,
        device::State::Held,
        device::State::Unavailable,
    ];
    let mut all = Vec::new();
    for step in 0..steps {
        let ms = dice.below(span_ms) as i64;
        let team = dice.once_in(3).then(|| dice.pick(&["red", "blue"]).into());
        let said: Event = match dice.below(8) {
            0 => agent::LoggedIn { device: dice.once_in(2).then(|| "d1".into()), team }.into(),
            1 => agent::LoggedOut { reason: None, team }.into(),
            2 => {
                let skills = (0..dice.below(3)).map(|q| (QUEUES[q as usize].into(), step as i32 - 9)).collect();
                agent::SkillsChanged { skills, team }.into()
            }
            _ => agent::StateChanged {
                state: agent_states[dice.below(6) as usize],
                reason: dice.once_in(2).then(|| dice.pick(&["lunch", "coffee"]).to_owned()),
                call: dice.once_in(2).then(|| format!("c{}", step / 4).as_str().into()),
                queue: dice.once_in(2).then(|| dice.pick(&QUEUES).into()),
                team,
            }
            .into(),
        };
        all.push(event("agent/eve", ms, said));
        let said: Event = match dice.below(8) {
            0 => device::Registered { address: None }.into(),
            1 => device::Unregistered { reason: None }.into(),
            _ => device::StateChanged { state: device_states[dice.below(5) as usize] }.into(),
        };
        all.push(event("device/eve", ms, said));
    }
    all.sort_by_key(|e| e.time);
    all
}

/// Loses events, marks some, and moves some in time: what real feeds do.
pub fn spoil(dice: &mut Dice, events: &mut Vec<Envelope>) {
    events.retain(|_| !dice.once_in(12));
    for e in events.iter_mut() {
        match dice.below(30) {
            0 => e.quality = Some(Quality::Inferred),
            1 => e.quality = Some(Quality::Snapshot),
            2 => e.quality = Some(Quality::Late),
            3 => e.time = Time(e.time.0 + dice.below(5_000) as i64 - 2_500),
            4 => e.seq = Some(dice.below(4)),
            _ => {}
        }
    }
    let gone: Vec<Envelope> =
        events.iter().filter(|e| e.subject.family() == "call" && dice.once_in(25)).cloned().collect();
    for e in gone {
        let lost = Ended { by: Party::Unknown, cause: Some("lost".into()), ..Ended::default() };
        events.push(marked(event(&e.subject.to_string(), e.time.0 + 1, lost), Quality::Inferred));
    }
    events.sort_by_key(|e| e.time);
}
