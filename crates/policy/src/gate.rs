//! The gate: one call, yes or no, from orders and from what the gate itself has let in since.

use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::control::{Flow, Orders, Rules};
use crate::level::Level;

/// Who stands at the gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caller {
    /// Their place in this hour, 0 to 1 ([`crate::sticky::place`]).
    pub place: f64,
    /// Whether it is their first attempt of late.
    pub first: bool,
    /// Why they are protected, if they are.
    pub protected: Option<Protected>,
}

/// Why a caller is let in before others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protected {
    /// An emergency: always let in.
    Emergency,
    /// A person whom the business protects.
    Vip,
    /// Called again and again.
    Attempts,
    /// Was led elsewhere and not helped.
    DivertedInVain,
}

/// What is known of a caller that may protect them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The number that was dialled is an emergency's.
    pub emergency: bool,
    /// The business protects this person.
    pub vip: bool,
    /// Attempts of late, this one left out.
    pub attempts: u32,
    /// They were led elsewhere of late, and it did not help.
    pub diverted_in_vain: bool,
}

impl Known {
    /// Why this caller is protected, the strongest reason first; `attempts_min` is m, the attempts that protect (0: attempts never do).
    pub fn protected(self, attempts_min: u32) -> Option<Protected> {
        let by_attempts = attempts_min > 0 && self.attempts >= attempts_min;
        let reasons = [
            (self.emergency, Protected::Emergency),
            (self.vip, Protected::Vip),
            (by_attempts, Protected::Attempts),
            (self.diverted_in_vain, Protected::DivertedInVain),
        ];
        reasons.into_iter().find(|(applies, _)| *applies).map(|(_, reason)| reason)
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// In: nothing is diverted at this level.
    Open,
    /// In: an agent is ready and nobody waits.
    AgentFree,
    /// In: there is room in the queue.
    Room,
    /// In: protected.
    Protected,
    /// Away: the caller's place is among those that are led elsewhere this hour.
    Place,
    /// Away: who waits already fills the time that a caller may wait.
    NoRoom,
    /// Away: faster than the rate allows.
    Rate,
    /// Away: at this level everybody is who is not protected.
    AllDiverted,
}

impl Reason {
    /// Whether the call enters the queue.
    pub fn enters(self) -> bool {
        matches!(self, Reason::Open | Reason::AgentFree | Reason::Room | Reason::Protected)
    }
}

/// How old figures may be, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staleness {
    /// V: up to this age the queue is carried forward; behind it the last rate is held, seconds.
    pub valid_s: f64,
    /// Calls per second of this hour that are let in when nothing has been heard for 3V.
    pub static_per_s: f64,
    /// In so many seconds the rate steps half of its way to that.
    pub half_way_s: f64,
}

impl Default for Staleness {
    fn default() -> Staleness {
        Staleness { valid_s: 75.0, static_per_s: 0.0, half_way_s: 60.0 }
    }
}

/// The gate of one queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    flow: Flow,
    bucket: Bucket,
    /// Of those who always enter: everybody who enters counts for it.
    floor: Bucket,
}

/// How well whoever enforces the orders still hears of the world. The default: as well as the figures say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// For how long nobody has confirmed the orders, seconds. The figures may be fresher than that: from another way.
    pub silent_s: f64,
    /// What a person or a carrier allows at most, calls per second: it holds whatever else is held.
    pub most_per_s: f64,
}

impl Default for Heard {
    fn default() -> Heard {
        Heard { silent_s: 0.0, most_per_s: f64::INFINITY }
    }
}

impl Gate {
    /// Who came, for the controller's next tick.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Decides, and remembers that it did. `now_s` ascends and is on the clock of the figures in the orders.
    pub fn decide(&mut self, now_s: f64, caller: &Caller, orders: &Orders, rules: &Rules, stale: &Staleness) -> Reason {
        self.decide_heard(now_s, caller, orders, rules, stale, Heard::default())
    }

    /// The same, for one who may have fresh figures of the queue and old orders: nobody is diverted from a free agent then either, and
    /// otherwise orders that nobody confirms are as good as figures that nobody sends.
    pub fn decide_heard(
        &mut self,
        now_s: f64,
        caller: &Caller,
        orders: &Orders,
        rules: &Rules,
        stale: &Staleness,
        heard: Heard,
    ) -> Reason {
        self.flow.attempts.count(now_s, 1.0);
        self.flow.first.count(now_s, if caller.first { 1.0 } else { 0.0 });
        let reason = self.judge(now_s, caller, orders, rules, stale, heard);
        if reason.enters() {
            self.flow.admitted.count(now_s, 1.0);
            self.floor.charge(now_s, rules.floor_per_s, 1.0);
        }
        reason
    }

    /// Notes that a caller entered although they were not let in: they could be led nowhere.
    pub fn entered_anyway(&mut self, now_s: f64, orders: &Orders, rules: &Rules, stale: &Staleness, heard: Heard) {
        self.flow.admitted.count(now_s, 1.0);
        let rate = InForce::at(now_s, orders, stale, heard).rate_per_s;
        self.bucket.charge(now_s, rate, burst(rate, rules));
    }

    fn judge(
        &mut self,
        now_s: f64,
        caller: &Caller,
        orders: &Orders,
        rules: &Rules,
        stale: &Staleness,
        heard: Heard,
    ) -> Reason {
        let InForce { age_s, held, rate_per_s: rate } = InForce::at(now_s, orders, stale, heard);
        let burst = burst(rate, rules);
        if caller.protected == Some(Protected::Emergency) {
            self.bucket.charge(now_s, rate, rules.burst_protected * burst);
            return Reason::Protected;
        }
        if let Some(held) = held
            && age_s > stale.valid_s
        {
            return self.by_rate(now_s, caller, rules, held);
        }
        let admitted = self.flow.admitted.each_second(orders.seen.at_s, now_s);
        let foreseen = orders.seen.known().after(age_s, admitted, orders.drain);
        if foreseen.waiting < 0.0 && foreseen.waiting.abs() > foreseen.deviation.min(0.5) {
            self.bucket.charge(now_s, rate, burst);
            return Reason::AgentFree;
        }
        if let Some(held) = held {
            return self.by_rate(now_s, caller, rules, held);
        }
        if orders.level < Level::DivertShare {
            return Reason::Open;
        }
        if caller.protected.is_some() {
            return self.protected(now_s, foreseen.waiting, orders, rules);
        }
        if orders.level >= Level::DivertAll {
            return Reason::AllDiverted;
        }
        let refused = match caller.place < orders.divert_share {
            true => Some(Reason::Place),
            false if foreseen.waiting >= room(foreseen.deviation, orders, rules) => Some(Reason::NoRoom),
            false => None,
        };
        // however bad it is, so many always enter; but who only dials again has had an answer
        if let Some(refused) = refused
            && (caller.place < 0.0 || !self.floor.admit(now_s, rules.floor_per_s, 1.0))
        {
            return refused;
        }
        if self.bucket.admit(now_s, rate, burst) { Reason::Room } else { Reason::Rate }
    }

    /// The protected have room for twice the wait, and a deeper bucket; beyond that even they are better served elsewhere.
    fn protected(&mut self, now_s: f64, waiting: f64, orders: &Orders, rules: &Rules) -> Reason {
        let room = orders.drain.room(2.0 * rules.threshold_s).max(rules.room_min);
        let rate = orders.rate_per_s.max(orders.drain.capacity_per_s);
        match waiting < room && self.bucket.admit(now_s, rate, rules.burst_protected * burst(rate, rules)) {
            true => Reason::Protected,
            false => Reason::NoRoom,
        }
    }

    fn by_rate(&mut self, now_s: f64, caller: &Caller, rules: &Rules, rate: Option<f64>) -> Reason {
        let Some(rate) = rate else { return Reason::Open };
        let deeper = if caller.protected.is_some() { rules.burst_protected } else { 1.0 };
        match (self.bucket.admit(now_s, rate, deeper * burst(rate, rules)), caller.protected) {
            (false, _) => Reason::Rate,
            (true, Some(_)) => Reason::Protected,
            (true, None) => Reason::Room,
        }
    }
}

/// Which rate holds at a moment.
struct InForce {
    /// How old the figures are, seconds.
    age_s: f64,
    /// What is held of the last rate, when figures or orders are too old; `None` within: nothing was diverted, and nothing is.
    held: Option<Option<f64>>,
    /// Calls per second that have their place in the bucket, of whoever enters for another reason, too.
    rate_per_s: f64,
}

impl InForce {
    fn at(now_s: f64, orders: &Orders, stale: &Staleness, heard: Heard) -> InForce {
        let age_s = (now_s - orders.seen.at_s).max(0.0);
        let silent_s = age_s.max(heard.silent_s);
        let held = (silent_s > stale.valid_s).then(|| held(silent_s, orders, stale, heard));
        InForce { age_s, held, rate_per_s: held.flatten().unwrap_or(orders.rate_per_s) }
    }
}

/// A burst of the rate, seconds of its own flow: who is let in evenly may still come in pairs.
fn burst(rate_per_s: f64, rules: &Rules) -> f64 {
    (rate_per_s * rules.burst_s).max(1.0)
}

/// The rate while figures are too old: the last one, and behind 3V step by step that of the hour; never above what somebody allows.
/// `None`: nothing was diverted, and nothing is.
fn held(age_s: f64, orders: &Orders, stale: &Staleness, heard: Heard) -> Option<f64> {
    let rate = stepped(age_s, orders, stale);
    if heard.most_per_s.is_finite() {
        Some(rate.map_or(heard.most_per_s, |rate| rate.min(heard.most_per_s)))
    } else {
        rate
    }
}

fn stepped(age_s: f64, orders: &Orders, stale: &Staleness) -> Option<f64> {
    let last = (orders.level >= Level::DivertShare).then_some(orders.drain.capacity_per_s);
    let late_s = age_s - 3.0 * stale.valid_s;
    if late_s <= 0.0 {
        return last;
    }
    // from an open gate the way begins at twice the static rate: never open on silence, never shut at once
    let from = last.unwrap_or(2.0 * stale.static_per_s);
    let left = 0.5f64.powf(late_s / stale.half_way_s.max(1.0));
    Some(stale.static_per_s + (from - stale.static_per_s) * left)
}

/// How many may wait so that the next caller waits no longer than the threshold, with the certainty that is asked for.
fn room(deviation: f64, orders: &Orders, rules: &Rules) -> f64 {
    let drain = orders.drain;
    if drain.capacity_per_s <= 0.0 {
        return 0.0;
    }
    let unsure_s = deviation / drain.capacity_per_s;
    let fits = |ahead: f64| {
        drain
            .wait(ahead)
            .is_some_and(|wait| wait.mean_s + rules.certainty * wait.deviation_s.hypot(unsure_s) <= rules.threshold_s)
    };
    let (mut low, mut high) = (0.0, drain.room(rules.threshold_s).min(5_000.0));
    while high - low > 0.25 {
        let middle = (low + high) / 2.0;
        if fits(middle) { low = middle } else { high = middle }
    }
    low.max(rules.room_min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::Seen;
    use crate::wait::Drain;
    use proptest::prelude::*;

    const SOMEBODY: Caller = Caller { place: 0.99, first: true, protected: None };

    fn orders(level: Level, waiting: f64, free: f64) -> Orders {
        Orders {
            level,
            seen: Seen { at_s: 0.0, waiting, free, agents: 100.0, ..Seen::default() },
            drain: Drain { capacity_per_s: 0.5, patience_per_s: 0.01 },
            rate_per_s: 1.0,
            divert_share: 0.3,
            wait_s: None,
            sustainable_per_s: 0.4,
        }
    }

    fn ask(gate: &mut Gate, now_s: f64, caller: &Caller, orders: &Orders) -> Reason {
        gate.decide(now_s, caller, orders, &Rules::default(), &Staleness { static_per_s: 0.2, ..Staleness::default() })
    }

    #[test]
    fn each_level_has_its_answer() {
        let answer =
            |level, place| ask(&mut Gate::default(), 0.0, &Caller { place, ..SOMEBODY }, &orders(level, 2.0, 0.0));
        assert_eq!(answer(Level::Normal, 0.0), Reason::Open);
        assert_eq!(answer(Level::Offer, 0.0), Reason::Open);
        assert_eq!(answer(Level::DivertShare, 0.9), Reason::Room);
        assert_eq!(answer(Level::DivertShare, 0.1), Reason::Place);
        assert_eq!(answer(Level::DivertAll, 0.9), Reason::AllDiverted);
        assert_eq!(ask(&mut Gate::default(), 0.0, &SOMEBODY, &orders(Level::DivertShare, 30.0, 0.0)), Reason::NoRoom);
    }

    #[test]
    fn the_protected_pass_where_others_do_not_and_an_emergency_always() {
        let protected = |why| Caller { place: 0.0, protected: Some(why), ..SOMEBODY };
        for level in [Level::DivertShare, Level::DivertAll, Level::HardPhone] {
            assert_eq!(
                ask(&mut Gate::default(), 0.0, &protected(Protected::Vip), &orders(level, 9.0, 0.0)),
                Reason::Protected
            );
            assert_eq!(
                ask(&mut Gate::default(), 0.0, &protected(Protected::Emergency), &orders(level, 900.0, 0.0)),
                Reason::Protected
            );
        }
        assert_eq!(
            ask(&mut Gate::default(), 0.0, &protected(Protected::Vip), &orders(Level::DivertAll, 900.0, 0.0)),
            Reason::NoRoom
        );
    }

    #[test]
    fn what_protects_is_named_by_its_strongest_reason() {
        let known = Known { attempts: 3, diverted_in_vain: true, ..Known::default() };
        assert_eq!(known.protected(3), Some(Protected::Attempts));
        assert_eq!(known.protected(4), Some(Protected::DivertedInVain));
        assert_eq!(Known { vip: true, ..known }.protected(0), Some(Protected::Vip));
        assert_eq!(Known::default().protected(0), None);
    }

    #[test]
    fn the_room_is_filled_once_however_long_the_figures_stay_the_same() {
        let mut gate = Gate::default();
        let orders = Orders { rate_per_s: 100.0, ..orders(Level::DivertShare, 3.0, 0.0) };
        let entered = (0..100).filter(|_| ask(&mut gate, 0.5, &SOMEBODY, &orders).enters()).count();
        assert!((1..8).contains(&entered), "{entered} came in on the same figures");
        assert!(ask(&mut gate, 9.0, &SOMEBODY, &orders).enters(), "nine seconds later some have been served");
    }

    #[test]
    fn so_many_always_enter_however_bad_it_is_and_nobody_by_dialling_again() {
        let rules = Rules { floor_per_s: 0.5, ..Rules::default() };
        // nobody serves: there is no room at all
        let nobody = Drain { capacity_per_s: 0.0, patience_per_s: 0.01 };
        let orders = Orders { drain: nobody, rate_per_s: 0.5, ..orders(Level::DivertShare, 40.0, 0.0) };
        let entered = |place: f64| {
            let mut gate = Gate::default();
            let caller = Caller { place, ..SOMEBODY };
            let mut ask = |at: f64| gate.decide(at, &caller, &orders, &rules, &Staleness::default()).enters();
            (0..600).filter(|tenth| ask(f64::from(*tenth) / 10.0)).count()
        };
        assert!((29..=31).contains(&entered(0.99)), "{} in a minute at 0.5 a second", entered(0.99));
        assert_eq!(entered(0.1), entered(0.99), "by their place or by the room");
        assert_eq!(entered(-1.0), 0, "a redial is not a new lottery ticket");
        // who enters because there is room counts for it: the floor is no second door
        let mut gate = Gate::default();
        let roomy = Orders { rate_per_s: 0.5, ..self::orders(Level::DivertShare, 0.5, 0.0) };
        let (mut both, mut placed) = (0, 0);
        for second in 0..60 {
            let at = f64::from(second);
            both += usize::from(gate.decide(at, &SOMEBODY, &roomy, &rules, &Staleness::default()).enters());
            let low = Caller { place: 0.0, ..SOMEBODY };
            placed += usize::from(gate.decide(at, &low, &roomy, &rules, &Staleness::default()).enters());
        }
        assert!(both + placed <= 35, "{both} and {placed} entered at 0.5 a second, and 5 at once");
    }

    #[test]
    fn old_figures_hold_the_rate_and_older_ones_step_to_that_of_the_hour() {
        let passed = |orders: &Orders, from: f64| {
            let mut gate = Gate::default();
            let times = (0..4_000).map(|tenth| from + f64::from(tenth) / 10.0);
            times.filter(|at| ask(&mut gate, *at, &SOMEBODY, orders).enters()).count() as f64 / 400.0
        };
        let flood = orders(Level::DivertShare, 5.0, 0.0);
        assert!((passed(&flood, 80.0) - 0.5).abs() < 0.2, "held: {}", passed(&flood, 80.0));
        assert!((passed(&flood, 5_000.0) - 0.2).abs() < 0.02, "static: {}", passed(&flood, 5_000.0));
        let open = orders(Level::Normal, 0.0, 5.0);
        assert_eq!(ask(&mut Gate::default(), 100.0, &SOMEBODY, &open), Reason::Open, "held open");
        assert!((passed(&open, 5_000.0) - 0.2).abs() < 0.02, "never open on silence for long");
    }

    #[test]
    fn who_enters_because_an_agent_is_free_takes_a_place_of_the_rate_that_is_held() {
        let (rules, stale) = (Rules::default(), Staleness { static_per_s: 0.2, ..Staleness::default() });
        let silent = Heard { silent_s: 10_000.0, ..Heard::default() };
        let mut gate = Gate::default();
        let mut ask = |at, free| {
            let orders = orders(Level::DivertShare, if free { 0.0 } else { 5.0 }, if free { 3.0 } else { 0.0 });
            gate.decide_heard(at, &SOMEBODY, &orders, &rules, &stale, silent)
        };
        assert_eq!([ask(0.0, false), ask(0.5, true)], [Reason::Room, Reason::AgentFree]);
        assert_eq!([1.0, 3.0, 4.9].map(|at| ask(at, false)), [Reason::Rate; 3], "one in five seconds");
        assert_eq!(ask(5.1, false), Reason::Room);
    }

    #[test]
    fn orders_that_nobody_confirms_are_held_and_a_free_agent_is_still_seen() {
        let rules = Rules::default();
        let stale = Staleness { static_per_s: 0.2, ..Staleness::default() };
        let silent = Heard { silent_s: 100.0, ..Heard::default() };
        let ask = |orders: &Orders, heard| Gate::default().decide_heard(0.0, &SOMEBODY, orders, &rules, &stale, heard);
        assert_eq!(ask(&orders(Level::DivertAll, 0.0, 3.0), silent), Reason::AgentFree);
        assert_eq!(
            ask(&orders(Level::DivertAll, 5.0, 0.0), silent),
            Reason::Room,
            "by the rate, no longer by the level"
        );
        assert_eq!(ask(&orders(Level::DivertAll, 5.0, 0.0), Heard::default()), Reason::AllDiverted);
        assert_eq!(ask(&orders(Level::Normal, 5.0, 0.0), silent), Reason::Open, "open is held, too");
        let mut gate = Gate::default();
        let limited = Heard { most_per_s: 0.1, ..silent };
        let all = (0..1_000).map(|second| (f64::from(second), orders(Level::DivertShare, 5.0, 0.0)));
        let passed = all.filter(|(at, orders)| {
            gate.decide_heard(
                *at,
                &SOMEBODY,
                &Orders { seen: Seen { at_s: *at, ..orders.seen }, ..*orders },
                &rules,
                &stale,
                limited,
            )
            .enters()
        });
        assert!((100..=103).contains(&passed.count()), "an order of a person holds on silence");
    }

    proptest! {
        #[test]
        fn nobody_is_diverted_while_an_agent_is_free_and_nobody_waits(
            level in 0..4usize, place in 0.0..1.0f64, share in 0.0..1.0f64, free in 1..50u32, rate in 0.0..2.0f64,
        ) {
            let level = [Level::Normal, Level::Offer, Level::DivertShare, Level::DivertAll][level];
            let orders = Orders { divert_share: share, rate_per_s: rate, ..orders(level, 0.0, f64::from(free)) };
            let caller = Caller { place, ..SOMEBODY };
            let reason = ask(&mut Gate::default(), 0.0, &caller, &orders);
            prop_assert!(reason.enters());
        }

        #[test]
        fn the_unprotected_never_enter_faster_than_the_rate(
            gaps in prop::collection::vec(0.0..1.0f64, 1..300), rate in 0.05..3.0f64,
        ) {
            let mut gate = Gate::default();
            let orders = Orders { rate_per_s: rate, divert_share: 0.0, ..orders(Level::DivertShare, 1.0, 0.0) };
            let (mut now, mut entered) = (0.0, 0);
            for gap in gaps {
                now += gap;
                let fresh = Orders { seen: Seen { at_s: now, ..orders.seen }, ..orders };
                entered += u32::from(ask(&mut gate, now, &SOMEBODY, &fresh).enters());
            }
            prop_assert!(f64::from(entered) <= burst(rate, &Rules::default()) + rate * now + 1e-6);
        }
    }
}
