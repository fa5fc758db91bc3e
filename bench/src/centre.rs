//! A made-up day of a large call centre, as its events lie in `events.*`: the same to the byte in every run.
//!
//! Callers arrive at random, hear a menu, wait in one of eight queues for the agent who has been free longest, give up when their
//! patience ends, are put on hold, handed on, wrapped up. Agents change state with every call. Events stand in order of time,
//! hundreds of calls interleaved, as a collector appends them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::event::agent::{self, State};
use model::event::call::{
    Alerting, Answered, Dequeued, Destination, Direction, Ended, Held, IvrEntered, IvrLeft, IvrSelected, Offered,
    Party, QueueExit, Queued, Released, Retrieved, Rona, RonaReason, TransferKind, Transferred, WrappedUp,
};
use model::event::device;
use model::{Event, Fact, Number, NumberKey, SourceId, Subject, TenantId, Time};

/// 2026-11-18 07:00 UTC.
const OPENS: i64 = 1_794_985_200_000;
/// How long callers arrive: twelve hours.
const OPEN_MS: u64 = 12 * 3_600_000;
const QUEUES: [&str; 8] = ["sales", "support", "billing", "cards", "loans", "claims", "travel", "complaints"];
const AGENTS_OF_QUEUE: usize = 55;

/// A small seeded generator (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Exponential, of this mean.
    fn about(&mut self, mean_ms: f64) -> i64 {
        let share = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (-(1.0 - share).ln() * mean_ms) as i64
    }
}

/// One day.
struct Centre {
    dice: Dice,
    source: SourceId,
    tenant: TenantId,
    /// Per queue: when each agent is free again, the longest free first.
    free: Vec<BinaryHeap<Reverse<(i64, usize)>>>,
    /// The events so far: when, and the bytes.
    events: Vec<(i64, Vec<u8>)>,
}

/// An agent of a queue.
struct Agent {
    name: String,
    device: String,
    team: String,
}

impl Agent {
    fn of(queue: usize, number: usize) -> Agent {
        Agent {
            name: format!("agent-{queue}{number:02}"),
            device: format!("PJSIP/{queue}{number:02}"),
            team: format!("team-{queue}-{}", number % 3),
        }
    }
}

/// The events of a day with so many calls, as lines of JSON, in order of time.
pub fn day(calls: usize, seed: u64) -> Vec<Vec<u8>> {
    let agents = || (0..AGENTS_OF_QUEUE).map(|n| Reverse((OPENS, n))).collect();
    let mut centre = Centre {
        dice: Dice(seed),
        source: SourceId::new("pbx1"),
        tenant: TenantId::new("acme"),
        free: QUEUES.iter().map(|_| agents()).collect(),
        events: Vec::with_capacity(calls * 18),
    };
    centre.come_to_work();
    let mut arrivals: Vec<i64> = (0..calls).map(|_| OPENS + centre.dice.below(OPEN_MS) as i64).collect();
    arrivals.sort_unstable();
    for (n, at) in arrivals.into_iter().enumerate() {
        centre.call(n, at);
    }
    centre.events.sort_by_key(|event| event.0); // stable: what one call says at one instant stays in its order
    centre.events.into_iter().map(|event| event.1).collect()
}

impl Centre {
    fn say(&mut self, subject: &Subject, at: i64, event: impl Into<Event>) {
        let mut fact = Fact::new(Time(at), subject.clone(), event);
        fact.leg = self.events.len().to_string();
        let seen = at + 3 + self.dice.below(5) as i64;
        let mut envelope = fact.into_envelope(&self.source, Time(seen));
        envelope.tenant = Some(self.tenant.clone());
        self.events.push((at, envelope.to_json()));
    }

    fn come_to_work(&mut self) {
        for queue in 0..QUEUES.len() {
            for number in 0..AGENTS_OF_QUEUE {
                let who = Agent::of(queue, number);
                let at = OPENS - 600_000 + self.dice.below(500_000) as i64;
                let subject = Subject::Agent(who.name.as_str().into());
                let (device, team) = (Some(who.device.as_str().into()), Some(who.team.as_str().into()));
                self.say(&subject, at, agent::LoggedIn { device, team });
                self.state(&who, at + 1_000, State::Ready, None);
            }
        }
    }

    fn state(&mut self, who: &Agent, at: i64, state: State, call: Option<&Subject>) {
        let changed = agent::StateChanged {
            state,
            reason: None,
            call: call.map(|c| c.id().into()),
            queue: None,
            team: Some(who.team.as_str().into()),
        };
        self.say(&Subject::Agent(who.name.as_str().into()), at, changed);
    }

    fn device(&mut self, who: &Agent, at: i64, state: device::State) {
        self.say(&Subject::Device(who.device.as_str().into()), at, device::StateChanged { state });
    }

    fn call(&mut self, n: usize, at: i64) {
        let call = Subject::Call(format!("pbx1-{}.{n}", at / 1000).into());
        let ani = Number::plain(format!("+4930{:08}", self.dice.below(40_000_000))).sealed(&NumberKey::new("bench"));
        let dnis = Number::plain("+498001234567").sealed(&NumberKey::new("bench"));
        let trunk = Some(format!("trunk-{}", self.dice.below(6)).as_str().into());
        self.say(
            &call,
            at,
            Offered { direction: Direction::Inbound, ani: Some(ani), dnis: Some(dnis), trunk, agent: None },
        );
        self.say(&call, at + 40, IvrEntered { node: "main".into() });
        let at = at + 2_000 + self.dice.about(9_000.0);
        if self.dice.once_in(15) {
            return self.end(&call, at, Party::Caller);
        }
        let queue = self.dice.below(QUEUES.len() as u64) as usize;
        self.say(&call, at, IvrSelected { node: "main".into(), choice: (queue + 1).to_string() });
        self.say(&call, at + 5, IvrLeft { node: "main".into() });
        let over = self.stay(&call, queue, at + 20, 0);
        self.end(&call, over, Party::Caller);
    }

    fn end(&mut self, call: &Subject, at: i64, by: Party) {
        let cause = Some("normal".to_owned());
        self.say(call, at, Ended { by, cause, q850: Some(16), ..Ended::default() });
    }

    /// One stay in a queue and what follows; when it is over.
    fn stay(&mut self, call: &Subject, queue: usize, at: i64, stays: u32) -> i64 {
        let name = QUEUES[queue];
        let position = Some(1 + self.dice.below(9) as u32);
        self.say(call, at, Queued { queue: name.into(), priority: Some(0), position, offered_at: None });
        let Reverse((free_at, number)) = self.free[queue].pop().expect("a queue has agents");
        let rings_at = free_at.max(at + 150);
        let patience = 4_000 + self.dice.about(150_000.0);
        if at + patience < rings_at {
            self.free[queue].push(Reverse((free_at, number)));
            let (left, waited_ms) = (at + patience, Some(patience as u64));
            let cause = if patience < 5_000 { QueueExit::ShortAbandoned } else { QueueExit::Abandoned };
            self.say(call, left, Dequeued { queue: name.into(), cause, waited_ms });
            return left;
        }
        let who = Agent::of(queue, number);
        let rang = 1_200 + self.dice.about(3_500.0).min(18_000);
        self.rings(call, name, &who, rings_at);
        if self.dice.once_in(30) {
            let reason = RonaReason::NoAnswer;
            let rona = Rona {
                agent: who.name.as_str().into(),
                device: Some(who.device.as_str().into()),
                queue: Some(name.into()),
                rang_ms: Some(20_000),
                reason,
                team: Some(who.team.as_str().into()),
            };
            self.say(call, rings_at + 20_000, rona);
            self.device(&who, rings_at + 20_000, device::State::Idle);
            self.state(&who, rings_at + 20_001, State::Ready, None);
            self.rings(call, name, &who, rings_at + 21_000);
            return self.talk(call, queue, &who, (at, rings_at + 21_000 + rang), number, stays);
        }
        self.talk(call, queue, &who, (at, rings_at + rang), number, stays)
    }

    fn rings(&mut self, call: &Subject, queue: &str, who: &Agent, at: i64) {
        let alerting = Alerting {
            agent: who.name.as_str().into(),
            device: Some(who.device.as_str().into()),
            queue: Some(queue.into()),
            team: Some(who.team.as_str().into()),
        };
        self.say(call, at, alerting);
        self.device(who, at + 2, device::State::Ringing);
        self.state(who, at + 3, State::Reserved, Some(call));
    }

    /// From the answer to the release; `queued` and `answered` are when.
    fn talk(
        &mut self,
        call: &Subject,
        queue: usize,
        who: &Agent,
        (queued, answered): (i64, i64),
        number: usize,
        stays: u32,
    ) -> i64 {
        let name = QUEUES[queue];
        let waited_ms = Some((answered - queued) as u64);
        self.say(call, answered, Dequeued { queue: name.into(), cause: QueueExit::Answered, waited_ms });
        let answer = Answered {
            agent: Some(who.name.as_str().into()),
            device: Some(who.device.as_str().into()),
            queue: Some(name.into()),
            waited_ms,
            team: Some(who.team.as_str().into()),
        };
        self.say(call, answered + 1, answer);
        self.device(who, answered + 2, device::State::InUse);
        self.state(who, answered + 3, State::Talking, Some(call));
        let agent = || Some(who.name.as_str().into());
        let mut at = answered + 15_000 + self.dice.about(140_000.0);
        if self.dice.once_in(4) {
            self.say(call, at, Held { agent: agent() });
            at += 2_000 + self.dice.about(25_000.0);
            self.say(call, at, Retrieved { agent: agent() });
            at += 5_000 + self.dice.about(40_000.0);
        }
        let handed_on = stays == 0 && self.dice.once_in(12);
        let wrap_up = 3_000 + self.dice.about(20_000.0);
        self.device(who, at + 3, device::State::Idle);
        self.state(who, at + 4, State::WrapUp, Some(call));
        self.state(who, at + wrap_up, State::Ready, None);
        self.free[queue].push(Reverse((at + wrap_up + 1, number)));
        let over = if handed_on {
            let next = self.dice.below(QUEUES.len() as u64) as usize;
            let to = Destination::Queue(QUEUES[next].into());
            self.say(call, at, Transferred { kind: TransferKind::Blind, agent: agent(), to });
            self.stay(call, next, at + 200, stays + 1)
        } else {
            let by = if self.dice.once_in(3) { Party::Agent } else { Party::Caller };
            self.say(call, at, Released { agent: agent(), by, talked_ms: None });
            at + 60
        };
        self.say(call, at + wrap_up, WrappedUp { agent: agent(), wrap_up_ms: wrap_up as u64 });
        over
    }
}
