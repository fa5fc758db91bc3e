use super::*;
use crate::figures::Counts;
use model::control::{By, Envelope, Level, Order, OverrideSet, Tier};
use policy::fair::Group;

const START: i64 = 1_795_227_000;
const PACE: Pace = Pace { affirm_ms: 5_000, effect_ms: 60_000 };

/// A queue of ten agents who take 100 s for a call, under a given load, and the evaluator over it.
struct Desk {
    evaluator: Evaluator,
    table: Table,
    log: Vec<Envelope>,
    now_s: i64,
    waiting: f64,
    offered: f64,
    answered: f64,
}

impl Desk {
    fn new() -> Desk {
        Desk {
            evaluator: Evaluator::default(),
            table: Table::default(),
            log: Vec::new(),
            now_s: START,
            waiting: 0.0,
            offered: 0.0,
            answered: 0.0,
        }
    }

    fn key() -> Key {
        ("bank".into(), "sales".into())
    }

    fn look(&self) -> Look {
        let free = if self.waiting >= 1.0 { 0 } else { 3 };
        let counts = Counts {
            offered: self.offered as i64,
            answered: self.answered as i64,
            waited_ms: (self.answered * 5_000.0) as i64,
            ..Counts::default()
        };
        let queue = Queued {
            waiting: self.waiting as i64,
            in_service: 10 - free as i64,
            free,
            staffed: true,
            service_s: Some(100.0),
            last_served: None,
            counts,
        };
        Look {
            links: Default::default(),
            fresh_at: Some(Time::from_secs(self.now_s)),
            queues: [(Desk::key(), queue)].into(),
            groups: vec![Group { agents: 10.0, queues: vec![0] }],
        }
    }

    /// A second at `come_per_s`, of which as many enter as the plan allows.
    fn second(&mut self, come_per_s: f64) {
        self.now_s += 1;
        let force = self.table.force(&Desk::key().0, &Desk::key().1, Time::from_secs(self.now_s), 0);
        let limited = force.filter(|force| force.orders.level >= Level::DivertShare);
        let enter = limited.map_or(come_per_s, |force| come_per_s.min(force.orders.rate_per_s));
        self.offered += come_per_s;
        self.waiting += enter;
        let served = self.waiting.min(0.1);
        self.waiting -= served;
        self.answered += served;
        let look = self.look();
        let decided = self.evaluator.tick(Time::from_secs(self.now_s), &self.table, &look, PACE);
        self.write(decided);
    }

    fn write(&mut self, decided: Vec<Decided>) {
        for decided in decided {
            let envelope = Envelope {
                id: decided.id,
                source: "console/1".into(),
                time: Time::from_secs(self.now_s),
                tenant: decided.tenant,
                by: By::Automatic,
                why: decided.why,
                cause_id: decided.cause_id,
                event: decided.event,
            };
            self.table.apply(&envelope);
            self.log.push(envelope);
        }
    }

    fn run(&mut self, seconds: i64, come_per_s: f64) {
        (0..seconds).for_each(|_| self.second(come_per_s));
    }

    fn levels(&self) -> Vec<(Level, Level)> {
        let change = |envelope: &Envelope| match &envelope.event {
            Event::LevelChanged(changed) => Some((changed.was, changed.level)),
            _ => None,
        };
        self.log.iter().filter_map(change).collect()
    }

    fn plans(&self) -> Vec<&PlanIssued> {
        let plan = |envelope| match envelope {
            &Envelope { event: Event::PlanIssued(ref plan), .. } => Some(&**plan),
            _ => None,
        };
        self.log.iter().filter_map(plan).collect()
    }
}

#[test]
fn a_flood_goes_up_and_comes_down_one_level_at_a_time_and_its_effect_is_measured() {
    let mut desk = Desk::new();
    desk.run(120, 0.05);
    assert_eq!((desk.plans().len(), desk.levels()), (1, vec![]), "a quiet queue has one plan");
    desk.run(300, 0.3);
    assert_eq!(desk.levels()[0], (Level::Normal, Level::DivertShare));
    desk.run(600, 0.02);
    let levels = desk.levels();
    assert!(levels.len() <= 4, "{levels:?}");
    assert_eq!(levels.last(), Some(&(Level::Offer, Level::Normal)));
    for pair in levels.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "{levels:?}");
    }
    let tiers: Vec<Tier> = desk
        .log
        .iter()
        .filter_map(|envelope| match &envelope.event {
            Event::TierChanged(changed) => Some(changed.tier),
            _ => None,
        })
        .collect();
    assert_eq!(tiers, [Tier::Threshold, Tier::Normal]);
    let effects = desk.log.iter().filter(|envelope| matches!(envelope.event, Event::EffectMeasured(_))).count();
    assert!(effects >= 2, "{effects} effects of {} changes", levels.len());
    let plan = desk.plans()[1];
    assert!(plan.figures.agents == 10.0 && plan.flow.attempts_per_s > 0.0 && plan.wait_s.is_some(), "{plan:?}");
}

#[test]
fn versions_grow_by_one_and_plans_are_affirmed_between() {
    let mut desk = Desk::new();
    desk.run(60, 0.05);
    desk.run(120, 0.3);
    let versions: Vec<u64> = desk.plans().iter().map(|plan| plan.version).collect();
    assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
    let affirmed = desk.log.iter().filter(|envelope| matches!(envelope.event, Event::PlanAffirmed(_))).count();
    assert!((35..=36).contains(&affirmed), "{affirmed}");
}

#[test]
fn whoever_takes_over_goes_on_with_the_level_and_the_version() {
    let run = |memory: bool| {
        let mut desk = Desk::new();
        desk.run(60, 0.05);
        desk.run(100, 0.3);
        let before = desk.plans().last().map(|plan| (plan.version, plan.level)).unwrap();
        let watches: Vec<(Key, String)> =
            desk.evaluator.watches().map(|(key, watch)| (key.clone(), serde_json::to_string(watch).unwrap())).collect();
        desk.evaluator = Evaluator::default();
        for (key, watch) in watches.into_iter().filter(|_| memory) {
            desk.evaluator.resume(key, serde_json::from_str(&watch).unwrap());
        }
        let changes = desk.levels().len();
        desk.run(30, 0.3);
        let versions: Vec<u64> = desk.plans().iter().map(|plan| plan.version).collect();
        assert_eq!(before.1, Level::DivertShare);
        assert_eq!(desk.levels().len(), changes, "no level jumps, memory: {memory}");
        assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
        assert_eq!(desk.plans().last().map(|plan| plan.level), Some(Level::DivertShare));
    };
    run(true);
    run(false);
}

#[test]
fn an_order_of_a_person_makes_a_plan_and_its_end_another() {
    let mut desk = Desk::new();
    desk.run(60, 0.05);
    let set = OverrideSet {
        id: "o1".into(),
        queue: None,
        order: Order::LevelLocked { level: Level::DivertAll },
        until: Time::from_secs(desk.now_s + 30),
    };
    let order = Envelope {
        id: "e1".into(),
        source: "console/1".into(),
        time: Time::from_secs(desk.now_s),
        tenant: "bank".into(),
        by: By::Operator("ann".into()),
        why: "a drill".into(),
        cause_id: None,
        event: set.into(),
    };
    desk.table.apply(&order);
    desk.run(40, 0.05);
    assert_eq!(desk.levels(), [(Level::Normal, Level::DivertAll), (Level::DivertAll, Level::Normal)]);
    let cleared: Vec<&Envelope> =
        desk.log.iter().filter(|envelope| matches!(envelope.event, Event::OverrideCleared(_))).collect();
    assert_eq!(cleared.len(), 1, "its end is written once");
    assert_eq!(cleared[0].cause_id, Some("e1".into()));
}

#[test]
fn figures_that_are_too_old_decide_nothing() {
    let mut desk = Desk::new();
    desk.run(60, 0.05);
    let (plans, look) = (desk.plans().len(), desk.look());
    desk.waiting = 500.0;
    let stale = Look { fresh_at: Some(Time::from_secs(desk.now_s - 76)), ..desk.look() };
    let decided = desk.evaluator.tick(Time::from_secs(desk.now_s + 1), &desk.table, &stale, PACE);
    assert!(decided.iter().all(|decided| !matches!(decided.event, Event::PlanIssued(_))), "{plans} {look:?}");
}

#[test]
fn the_same_figures_give_the_same_decisions_byte_for_byte() {
    let run = || {
        let mut desk = Desk::new();
        desk.run(60, 0.05);
        desk.run(100, 0.4);
        desk.run(200, 0.02);
        desk.log.iter().map(Envelope::to_json).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
