//! A centre that is made up, so that everything about it is known, and what a record of it shows.

use std::sync::Arc;

use model::Time;
use policy::rehearsal::arrivals;
use policy::rehearsal::centre::{Agent, Call, Centre, Crowd, Door, How, Next, Open, Patience, Played};
use policy::rehearsal::law::Law;
use preview::recorded::{Left, Recorded, Service, Stay};

/// When the made-up day begins.
pub const START: Time = Time(1_700_000_000_000);
/// How long it is, seconds.
pub const DAY_S: f64 = 30_000.0;

pub struct World {
    pub calls: Vec<Call>,
    pub agents: Vec<Agent>,
    pub crowd: Crowd,
}

/// Two queues, twelve agents of whom four serve both, shifts that begin and end, an hour of three times as many calls.
pub fn world(seed: u64, redial_share: f64) -> World {
    let base = 0.045;
    let flood = |at_s: f64| if (9_000.0..12_600.0).contains(&at_s) { 3.0 * base } else { base };
    let callers = arrivals(seed, DAY_S, 3.0 * base, flood);
    let call = |(n, caller): (usize, &policy::rehearsal::Arrival)| Call {
        at_s: caller.at_s,
        follows: false,
        queue: usize::from(n % 3 == 0),
        caller: n as u64,
        head_start_s: if n % 4 == 0 { 90.0 } else { 0.0 },
        patience: Patience::Above(0.0),
        service_s: None,
        protected: false,
        next: Next::Drawn,
    };
    let agent = |n: usize| Agent {
        queues: match n % 3 {
            0 => vec![0],
            1 => vec![0, 1],
            _ => vec![1],
        },
        stays: vec![(f64::from(n as u32 % 4) * 300.0, 13_000.0), (14_500.0 + 200.0 * n as f64, 29_000.0)],
    };
    World {
        calls: callers.iter().enumerate().map(call).collect(),
        agents: (0..12).map(agent).collect(),
        crowd: Crowd {
            patience: vec![Law::exponential(150.0); 2],
            service: vec![Law::exponential(170.0); 2],
            redial_share,
            redial_after: Law::exponential(240.0),
            contained: vec![0.7],
        },
    }
}

impl World {
    pub fn play(&self, seed: u64, door: &mut dyn Door) -> Played {
        let centre = Centre {
            calls: &self.calls,
            agents: &self.agents,
            crowd: &self.crowd,
            tick_s: 1.0,
            age_s: 0.0,
            until_s: DAY_S,
            seed,
        };
        centre.under(door, &mut |_| true).expect("nobody calls it off")
    }

    /// What the record of a day without control shows: calls, and which agent had which, no more.
    pub fn recorded(&self, seed: u64) -> Recorded {
        let played = self.play(seed, &mut Open);
        let stays = played.ended.iter().map(|ended| {
            let (left, waited_s) = match ended.how {
                How::Answered(waited_s) => (None, waited_s),
                How::Abandoned(waited_s) => (Some(Left::Abandoned), waited_s),
                How::Diverted(..) => (Some(Left::Diverted), 0.0),
            };
            let served = |agent: usize, kept_s: f64| {
                let from = at(ended.at_s + waited_s);
                Left::Served(Some(Service {
                    agent: Some(format!("agent {agent}").as_str().into()),
                    from,
                    to: from + (kept_s * 1_000.0) as i64,
                }))
            };
            let left = left.unwrap_or_else(|| ended.agent.map_or(Left::Served(None), |(n, kept_s)| served(n, kept_s)));
            Stay {
                entered_at: at(ended.at_s),
                queue: ["sales", "service"][ended.queue].into(),
                caller: Some(Arc::from(format!("t{}", self.calls[ended.call].caller))),
                priority: i32::from(self.calls[ended.call].head_start_s > 0.0),
                waited_ms: (waited_s * 1_000.0) as i64,
                left,
            }
        });
        Recorded::of(stays.collect(), START, at(DAY_S))
    }
}

fn at(seconds: f64) -> Time {
    START + (seconds * 1_000.0) as i64
}
