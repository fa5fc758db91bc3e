//! The controller of one queue: from figures to orders, once a tick.
//!
//! It decides the level, how fast calls may enter and which share of the callers is led elsewhere for the hour; it does not see single
//! calls. The orders carry the figures they are made of, so that whoever enforces them can carry the queue forward ([`crate::foresee`]).

use serde::{Deserialize, Serialize};

use crate::erlang::ErlangA;
use crate::level::{Borders, Evidence, Ladder, Level};
use crate::rate::{Counted, Follows, surplus};
use crate::seen::{Emptying, Seen};
use crate::wait::Drain;

/// What a queue shall be held to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// T: a caller shall not wait longer, seconds.
    pub threshold_s: f64,
    /// The share of the offered who shall be answered within it, for λ*; 0: λ* is not worked out.
    pub goal_share: f64,
    /// W*/T: the wait that starts the control, as a share of the threshold.
    pub target_share: f64,
    /// With so many standard deviations is a wait held below the threshold: 2.6 is 995 of 1,000.
    pub certainty: f64,
    /// So many may always wait while calls are diverted, however uncertain the figures: agents must not be starved by doubt.
    pub room_min: f64,
    /// Calls per second that always enter, however bad it is.
    pub floor_per_s: f64,
    /// How long it must be calm before a level is left, seconds.
    pub calm_s: f64,
    /// How long the wait may stay above twice its target although a share is diverted, before all are, seconds.
    pub helpless_s: f64,
    /// Mean handling time where the figures know none, seconds.
    pub service_default_s: f64,
    /// How many seconds of its own flow may come at once.
    pub burst_s: f64,
    /// The protected reach so many times deeper.
    pub burst_protected: f64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            threshold_s: 20.0,
            goal_share: 0.8,
            target_share: 0.6,
            certainty: 2.6,
            room_min: 3.0,
            floor_per_s: 0.0,
            calm_s: 90.0,
            helpless_s: 30.0,
            service_default_s: 180.0,
            burst_s: 10.0,
            burst_protected: 2.0,
        }
    }
}

impl Rules {
    /// W*, seconds.
    pub fn wait_target_s(&self) -> f64 {
        self.target_share * self.threshold_s
    }

    fn borders(&self) -> Borders {
        Borders { wait_target_s: self.wait_target_s(), calm_s: self.calm_s, helpless_s: self.helpless_s }
    }
}

/// Who came to the gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// All attempts.
    pub attempts: Counted,
    /// The first ones of their callers.
    pub first: Counted,
    /// Those who were let in, where that is known sooner than the figures show it.
    pub admitted: Counted,
}

/// What is to be done at one queue until the next orders.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    /// How far the flood has come.
    pub level: Level,
    /// The figures behind it.
    pub seen: Seen,
    /// How the queue empties.
    pub drain: Drain,
    /// r: calls per second that may enter; the ceiling behind the finer rule of the room.
    pub rate_per_s: f64,
    /// The share of the callers, lowest places first, who are led elsewhere all the hour.
    pub divert_share: f64,
    /// EWT of the next caller, seconds; absent when nobody serves.
    pub wait_s: Option<f64>,
    /// λ*: calls per second with which the goal would still be met.
    pub sustainable_per_s: f64,
}

/// Windows of the measured rates, seconds.
const WINDOW_S: i64 = 10;
const LONG_WINDOW_S: i64 = 60;
/// λ* is worked out anew at most as often, seconds.
const SUSTAINABLE_S: f64 = 30.0;
/// … and sooner when so many agents came or went: shares of people who serve several queues change a little at every tick.
const SUSTAINABLE_AGENTS: f64 = 0.5;

/// The state between two ticks. Whoever takes over from another evaluator goes on with it, or at least [`Controller::at`] its level.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Controller {
    ladder: Ladder,
    emptying: Emptying,
    arrivals: Follows,
    first: Follows,
    /// I: the lasting correction of the rate.
    integral: f64,
    /// The lasting correction of the share.
    share: f64,
    sustainable: Option<(f64, f64, f64)>,
}

impl Controller {
    /// One that knows the level alone: it is left as slowly as any other.
    pub fn at(level: Level) -> Controller {
        Controller { ladder: Ladder::at(level), ..Controller::default() }
    }

    /// The level now.
    pub fn level(&self) -> Level {
        self.ladder.level()
    }

    /// One tick: times ascend. The figures may be older than `now_s`.
    pub fn tick(&mut self, now_s: f64, seen: &Seen, flow: &Flow, rules: &Rules) -> Orders {
        let drain = self.emptying.learn(seen, rules.service_default_s);
        let foreseen = seen.known().after(now_s - seen.at_s, flow.admitted.each_second(seen.at_s, now_s), drain);
        let waiting = foreseen.waiting.max(0.0);
        let wait = if foreseen.waiting < 0.0 { Some(0.0) } else { drain.wait(waiting).map(|wait| wait.mean_s) };
        let arrivals = self.arrivals.with(flow.attempts.per_s(now_s, WINDOW_S));
        let evidence = Evidence {
            wait_s: wait.unwrap_or(if waiting > 0.0 { f64::INFINITY } else { 0.0 }),
            surplus: surplus(arrivals, drain.capacity_per_s, WINDOW_S as f64),
            waiting,
            receding: flow.attempts.per_s(now_s, LONG_WINDOW_S) < drain.capacity_per_s,
        };
        let level = self.ladder.tick(now_s, evidence, &rules.borders());
        let rate_per_s = self.rate(waiting, drain, level, rules);
        let first = self.first.with(flow.first.per_s(now_s, LONG_WINDOW_S));
        let divert_share = self.share(waiting, first, drain, level, rules);
        let sustainable_per_s = self.sustainable(now_s, seen, drain, rules);
        Orders { level, seen: *seen, drain, rate_per_s, divert_share, wait_s: wait, sustainable_per_s }
    }

    /// r = max(floor, (nμ + 0.5θk)(1 + 0.4·err + I)), err = (k* − k)/k*.
    fn rate(&mut self, waiting: f64, drain: Drain, level: Level, rules: &Rules) -> f64 {
        let room = drain.room(rules.wait_target_s()).max(1.0);
        let error = ((room - waiting) / room).clamp(-2.0, 1.0);
        if level >= Level::DivertShare {
            self.integral = (self.integral + 0.05 * error).clamp(-0.5, 0.5);
        } else {
            self.integral = 0.0;
        }
        let leaves = drain.capacity_per_s + 0.5 * drain.patience_per_s * waiting;
        (leaves * (1.0 + 0.4 * error + self.integral)).max(rules.floor_per_s)
    }

    /// How many are led elsewhere by their place alone: nine tenths of what must be, so that the rest is left to the room at the moment.
    fn share(&mut self, waiting: f64, first_per_s: f64, drain: Drain, level: Level, rules: &Rules) -> f64 {
        if level < Level::DivertShare {
            self.share = 0.0;
            return 0.0;
        }
        let room = drain.room(rules.wait_target_s()).max(1.0);
        let error = ((room - waiting) / room).clamp(-1.0, 1.0);
        // a queue that runs empty while callers are turned away by their place is the worse mistake
        let gain = if error > 0.5 { 0.02 } else { 0.002 };
        self.share = (self.share - gain * error).clamp(-0.9, 0.05);
        let needed = if first_per_s > 0.0 { 1.0 - drain.capacity_per_s / first_per_s } else { 0.0 };
        (0.9 * needed + self.share).clamp(0.0, 0.95)
    }

    fn sustainable(&mut self, now_s: f64, seen: &Seen, drain: Drain, rules: &Rules) -> f64 {
        if let Some((at_s, agents, rate)) = self.sustainable
            && now_s - at_s < SUSTAINABLE_S
            && (agents - seen.agents).abs() < SUSTAINABLE_AGENTS
        {
            return rate;
        }
        if rules.goal_share <= 0.0 {
            return 0.0;
        }
        let queue = ErlangA {
            arrivals_per_s: 0.0,
            agents: seen.agents,
            service_per_s: if seen.agents > 0.0 { drain.capacity_per_s / seen.agents } else { 0.0 },
            patience_per_s: drain.patience_per_s,
        };
        let rate = queue.arrivals_for(rules.goal_share, rules.threshold_s);
        self.sustainable = Some((now_s, seen.agents, rate));
        rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at_s: f64, waiting: f64) -> Seen {
        let free = if waiting > 0.0 { 0.0 } else { 5.0 };
        // served as fast as believed
        let answered = (at_s / 1.8) as u64;
        Seen { at_s, waiting, free, agents: 100.0, service_s: Some(180.0), answered, ..Seen::default() }
    }

    fn flow(per_s: f64, until_s: u32) -> Flow {
        let mut flow = Flow::default();
        for second in 0..until_s {
            flow.attempts.count(f64::from(second), per_s);
            flow.first.count(f64::from(second), per_s);
        }
        flow
    }

    #[test]
    fn a_flood_is_answered_with_a_share_that_leaves_what_can_be_served() {
        let mut controller = Controller::default();
        let (rules, flow) = (Rules::default(), flow(1.7, 120));
        let orders =
            (60..120).map(|s| controller.tick(f64::from(s), &seen(f64::from(s), 6.0), &flow, &rules)).last().unwrap();
        assert_eq!(orders.level, Level::DivertShare);
        // 1.7 come, 0.56 can be served: two of three must go, and nine tenths of those by their place
        assert!((0.5..0.7).contains(&orders.divert_share), "{}", orders.divert_share);
        assert!((0.3..0.9).contains(&orders.rate_per_s), "{}", orders.rate_per_s);
    }

    #[test]
    fn a_quiet_queue_has_no_orders_but_its_figures() {
        let mut controller = Controller::default();
        let orders = controller.tick(60.0, &seen(60.0, 0.0), &flow(0.3, 60), &Rules::default());
        assert_eq!((orders.level, orders.divert_share, orders.wait_s), (Level::Normal, 0.0, Some(0.0)));
        assert!((0.4..0.6).contains(&orders.sustainable_per_s), "{}", orders.sustainable_per_s);
    }

    #[test]
    fn a_queue_that_nobody_serves_diverts_at_once_and_then_everybody() {
        let mut controller = Controller::default();
        let (rules, flow) = (Rules::default(), flow(0.3, 200));
        let nobody = |at_s| Seen { agents: 0.0, ..seen(at_s, 4.0) };
        let first = controller.tick(100.0, &nobody(100.0), &flow, &rules);
        assert_eq!((first.level, first.wait_s, first.sustainable_per_s), (Level::DivertShare, None, 0.0));
        let later =
            (101..140).map(|s| controller.tick(f64::from(s), &nobody(f64::from(s)), &flow, &rules)).last().unwrap();
        assert_eq!(later.level, Level::DivertAll);
    }

    #[test]
    fn the_floor_always_enters() {
        let rules = Rules { floor_per_s: 0.2, ..Rules::default() };
        let orders =
            Controller::default().tick(10.0, &Seen { agents: 0.0, ..seen(10.0, 40.0) }, &flow(1.0, 10), &rules);
        assert_eq!(orders.rate_per_s, 0.2);
    }

    #[test]
    fn the_same_figures_give_the_same_orders() {
        let run = || {
            let mut controller = Controller::default();
            let flow = flow(1.1, 300);
            (0..300)
                .map(|s| {
                    controller.tick(f64::from(s), &seen(f64::from(s), f64::from(s % 17)), &flow, &Rules::default())
                })
                .map(|orders| serde_json::to_string(&orders).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }
}
