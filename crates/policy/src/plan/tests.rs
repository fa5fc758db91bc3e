use super::*;
use model::control::{
    Automatic, Kind, Level, Order, OverrideCleared, PlanAffirmed, Share, TargetRemoved, ThresholdsSet, Toward,
};
use proptest::prelude::*;

fn at(seconds: i64, by: By, event: impl Into<Event>) -> Envelope {
    let event = event.into();
    Envelope {
        id: EventId::new(format!("{seconds}-{}", event.subject())),
        source: "console/1".into(),
        time: Time::from_secs(seconds),
        tenant: "bank".into(),
        by,
        why: "a test".into(),
        cause_id: None,
        event,
    }
}

fn set(version: u64, within_s: f64) -> ThresholdsSet {
    let mut thresholds = Thresholds::default();
    thresholds.goal.within_s = within_s;
    let toward = |target: &str| Toward { target: target.into(), weight: 1.0, capacity_per_s: None };
    thresholds.targets = vec![toward("chat"), toward("smart")];
    ThresholdsSet { queue: "sales".into(), version, thresholds }
}

fn target(name: &str, version: u64, containment: f64) -> TargetConfigured {
    let (kind, address) = (Kind::Chat, format!("chat,{name},1"));
    TargetConfigured { target: name.into(), version, kind, address, capacity_per_s: 9.0, containment, enabled: true }
}

fn plan(version: u64, level: Level, at_s: i64) -> PlanIssued {
    PlanIssued {
        queue: "sales".into(),
        version,
        thresholds: 1,
        automatic: Automatic { level, rate_per_s: 0.7, divert_share: 0.3 },
        level,
        rate_per_s: 0.7,
        capacity_per_s: 0.5,
        patience_per_s: 0.01,
        sustainable_per_s: 0.4,
        wait_s: Some(14.0),
        wait_error_s: None,
        split: Vec::new(),
        valid_s: 75.0,
        figures: Figures { at: Time::from_secs(at_s), waiting: 6.0, agents: 90.0, ..Figures::default() },
        flow: model::control::Flow::default(),
    }
}

fn order(id: &str, order: Order, until_s: i64) -> OverrideSet {
    OverrideSet { id: id.into(), queue: None, order, until: Time::from_secs(until_s) }
}

fn folded(events: &[Envelope]) -> Table {
    let mut table = Table::default();
    events.iter().for_each(|event| _ = table.apply(event));
    table
}

fn force(table: &Table, now_s: i64) -> Force<'_> {
    table.force(&"bank".into(), &"sales".into(), Time::from_secs(now_s), 9).unwrap()
}

#[test]
fn of_two_that_replace_the_same_version_the_first_holds() {
    let mut table = Table::default();
    assert_eq!(table.apply(&at(1, By::Operator("ann".into()), set(1, 20.0))), Applied::Changed);
    assert_eq!(table.apply(&at(2, By::Operator("ann".into()), set(2, 30.0))), Applied::Changed);
    assert_eq!(table.apply(&at(3, By::Operator("bob".into()), set(2, 99.0))), Applied::Same);
    assert_eq!(table.apply(&at(4, By::Operator("bob".into()), set(4, 99.0))), Applied::Refused);
    let force = force(&table, 5);
    assert_eq!((force.rules.threshold_s, force.queue.thresholds_version()), (30.0, 2));
    assert_eq!(force.queue.thresholds_set().unwrap().by, By::Operator("ann".into()));
}

#[test]
fn a_plan_never_gives_way_to_an_older_one_and_is_kept_alive_by_being_affirmed() {
    let mut table = folded(&[at(10, By::Automatic, plan(7, Level::DivertShare, 9))]);
    assert_eq!(table.apply(&at(11, By::Automatic, plan(6, Level::Normal, 10))), Applied::Refused);
    let figures = Figures { at: Time::from_secs(19), waiting: 2.0, ..Figures::default() };
    let affirm = |version| PlanAffirmed { plans: vec![Affirmed { queue: "sales".into(), version, figures }] };
    table.apply(&at(20, By::Automatic, affirm(6)));
    assert_eq!(force(&table, 20).orders.seen.at_s, 9.0, "another plan was affirmed");
    table.apply(&at(20, By::Automatic, affirm(7)));
    let force = force(&table, 20);
    assert_eq!((force.orders.level, force.orders.seen.waiting, force.plan), (Level::DivertShare, 2.0, 7));
    assert_eq!(force.affirmed_at, Some(Time::from_secs(20)));
}

#[test]
fn the_lowest_rate_holds_and_an_order_ends_by_itself() {
    let (ann, tel) = (By::Operator("ann".into()), By::Carrier("tel".into()));
    let table = folded(&[
        at(1, By::Automatic, plan(1, Level::DivertShare, 1)),
        at(2, ann, order("a", Order::RateAtMost { per_s: 0.5 }, 100)),
        at(3, tel, order("b", Order::RateAtMost { per_s: 0.2 }, 50)),
    ]);
    let rate = |now_s| force(&table, now_s).orders.rate_per_s;
    assert_eq!([rate(10), rate(49), rate(50), rate(99), rate(100)], [0.2, 0.2, 0.5, 0.5, 0.7]);
}

#[test]
fn an_ordered_rate_holds_although_no_load_asks_for_any() {
    let ann = || By::Operator("ann".into());
    let table = folded(&[
        at(1, By::Automatic, plan(1, Level::Normal, 1)),
        at(2, ann(), order("a", Order::RateAtMost { per_s: 3.0 }, 100)),
    ]);
    let orders = force(&table, 10).orders;
    assert_eq!((orders.level, orders.rate_per_s, orders.divert_share), (Level::DivertShare, 3.0, 0.0));
    assert_eq!(force(&table, 100).orders.level, Level::Normal);
}

#[test]
fn a_lock_holds_whatever_the_load_says_and_the_youngest_wins() {
    let ann = || By::Operator("ann".into());
    let mut table = folded(&[
        at(1, By::Automatic, plan(1, Level::DivertAll, 1)),
        at(2, ann(), order("a", Order::LevelLocked { level: Level::HardPhone }, 100)),
        at(3, ann(), order("b", Order::LevelLocked { level: Level::Normal }, 80)),
    ]);
    let level = |table: &Table, now_s| force(table, now_s).orders.level;
    assert_eq!((level(&table, 10), level(&table, 90)), (Level::Normal, Level::HardPhone));
    table.apply(&at(4, ann(), order("c", Order::LevelAtLeast { level: Level::Offer }, 100)));
    assert_eq!(level(&table, 10), Level::Offer);
    for id in ["a", "b", "c"] {
        assert_eq!(table.apply(&at(5, ann(), OverrideCleared { id: id.into() })), Applied::Changed);
    }
    assert_eq!(level(&table, 10), Level::DivertAll);
}

#[test]
fn hard_phones_are_left_one_level_at_a_time_whether_their_order_was_cleared_or_its_time_was_over() {
    let ann = || By::Operator("ann".into());
    let calm = Thresholds { calm_s: 10.0, ..Thresholds::default() };
    let base = [
        at(1, ann(), ThresholdsSet { queue: "sales".into(), version: 1, thresholds: calm }),
        at(1, By::Automatic, plan(1, Level::Normal, 1)),
        at(2, ann(), order("hard", Order::LevelLocked { level: Level::HardPhone }, 100)),
    ];
    let levels = |table: &Table, from: i64| -> Vec<u8> {
        (from - 10..from + 50).step_by(10).map(|now_s| force(table, now_s).orders.level.number()).collect()
    };
    let mut table = folded(&base);
    assert_eq!(levels(&table, 100), [4, 3, 2, 1, 0, 0], "its time is over, and nobody has said so yet");
    table.apply(&at(103, By::Automatic, OverrideCleared { id: "hard".into() }));
    assert_eq!(levels(&table, 100)[1..], [3, 2, 1, 0, 0], "the console says so");
    let mut table = folded(&base);
    table.apply(&at(40, ann(), OverrideCleared { id: "hard".into() }));
    assert_eq!(levels(&table, 40)[1..], [3, 2, 1, 0, 0], "a person ended it before its time");
    let later = OverrideSet { queue: Some("sales".into()), ..order("c", Order::RateAtMost { per_s: 9.0 }, 300) };
    table.apply(&at(41, ann(), later));
    assert_eq!(force(&table, 45).orders.level, Level::DivertAll, "another order does not end the way out");
}

#[test]
fn who_says_which_level_holds_after_the_hard_phones_is_obeyed_at_once() {
    let ann = || By::Operator("ann".into());
    let mut table = folded(&[
        at(1, By::Automatic, plan(1, Level::Normal, 1)),
        at(2, ann(), order("hard", Order::LevelLocked { level: Level::HardPhone }, 100)),
        at(3, ann(), OverrideCleared { id: "hard".into() }),
    ]);
    assert_eq!(force(&table, 4).orders.level, Level::DivertAll);
    table.apply(&at(5, ann(), order("open", Order::LevelLocked { level: Level::Normal }, 100)));
    assert_eq!(force(&table, 6).orders.level, Level::Normal);
    table.apply(&at(7, ann(), OverrideCleared { id: "open".into() }));
    assert_eq!(force(&table, 8).orders.level, Level::Normal, "nothing is left of the older order");
}

#[test]
fn an_order_for_one_queue_is_none_for_another() {
    let only = OverrideSet { queue: Some("loans".into()), ..order("a", Order::RateAtMost { per_s: 0.0 }, 100) };
    let table = folded(&[at(1, By::Automatic, plan(1, Level::Normal, 1)), at(2, By::Operator("ann".into()), only)]);
    assert_eq!(force(&table, 10).orders.level, Level::Normal);
}

#[test]
fn callers_are_led_by_what_is_seen_of_the_targets() {
    let ann = || By::Operator("ann".into());
    let mut table = folded(&[
        at(1, ann(), target("chat", 1, 0.8)),
        at(2, ann(), target("smart", 1, 0.2)),
        at(3, ann(), set(1, 20.0)),
        at(4, By::Automatic, plan(1, Level::DivertShare, 4)),
    ]);
    assert_eq!(force(&table, 5).shares, [0.8, 0.2]);
    let dead =
        TargetObserved { target: "chat".into(), healthy: false, capacity_per_s: Some(2.0), containment: Some(0.5) };
    table.apply(&at(6, By::Automatic, dead));
    let lead = &force(&table, 7).leads[0];
    assert_eq!((lead.state.capacity_per_s, lead.state.containment, lead.state.healthy), (2.0, 0.5, false));
    assert_eq!(force(&table, 7).shares, [0.0, 1.0], "at once, without a new plan");
    table.apply(&at(8, ann(), TargetRemoved { target: "smart".into(), version: 2 }));
    assert_eq!(force(&table, 9).shares, [0.0]);
    table.apply(&at(10, ann(), target("chat", 2, 0.8)));
    assert_eq!(force(&table, 11).shares, [1.0], "set up anew: what was seen before counts no longer");
}

#[test]
fn the_plan_says_the_split_until_one_of_its_targets_fails() {
    let ann = || By::Operator("ann".into());
    let share = |target: &str, share| Share { target: target.into(), share, capacity_per_s: 9.0 };
    let split = vec![share("chat", 0.1), share("smart", 0.9)];
    let mut table = folded(&[
        at(1, ann(), target("chat", 1, 0.8)),
        at(2, ann(), target("smart", 1, 0.2)),
        at(3, ann(), set(1, 20.0)),
        at(4, By::Automatic, PlanIssued { split, ..plan(1, Level::DivertShare, 4) }),
    ]);
    assert_eq!(force(&table, 5).shares, [0.1, 0.9]);
    let dead = TargetObserved { target: "smart".into(), healthy: false, capacity_per_s: None, containment: None };
    table.apply(&at(6, By::Automatic, dead));
    assert_eq!(force(&table, 7).shares, [1.0, 0.0]);
}

#[test]
fn a_queue_without_a_plan_is_open_and_never_stale() {
    let table = folded(&[at(1, By::Operator("ann".into()), set(1, 20.0))]);
    let force = force(&table, 1_000_000);
    assert_eq!((force.orders.level, force.plan, force.orders.seen.at_s), (Level::Normal, 0, 1_000_000.0));
    assert!(table.force(&"bank".into(), &"loans".into(), Time(0), 0).is_none());
}

#[test]
fn fresher_figures_are_seen_and_older_ones_are_not() {
    let table = folded(&[at(10, By::Automatic, plan(1, Level::DivertShare, 9))]);
    assert_eq!(force(&table, 12).seeing(Time::from_secs(11), 1.0, 0.0).orders.seen.waiting, 1.0);
    assert_eq!(force(&table, 12).seeing(Time::from_secs(8), 1.0, 0.0).orders.seen.waiting, 6.0);
}

/// Any event that can stand in the stream, from a number.
fn any_event(draw: (u8, u64, i64)) -> Envelope {
    let (kind, version, time) = draw;
    let ann = || By::Operator("ann".into());
    let rate = version as f64;
    match kind % 7 {
        0 => at(time, ann(), set(version, 10.0 + rate)),
        1 => at(time, By::Automatic, plan(version, Level::DivertShare, time)),
        2 => at(time, ann(), target("chat", version, 0.5)),
        3 => at(time, ann(), order(&version.to_string(), Order::RateAtMost { per_s: rate }, time + 50)),
        4 => at(time, ann(), OverrideCleared { id: version.to_string().as_str().into() }),
        5 => at(time, ann(), TargetRemoved { target: "chat".into(), version }),
        _ => at(
            time,
            By::Carrier("tel".into()),
            order("carrier", Order::LevelAtLeast { level: Level::DivertAll }, time + 9),
        ),
    }
}

proptest! {
    #[test]
    fn a_record_that_is_written_twice_in_a_row_changes_nothing_the_second_time(
        draws in prop::collection::vec((any::<u8>(), 0..6u64, 0..100i64), 1..60),
    ) {
        let events: Vec<Envelope> = draws.into_iter().map(any_event).collect();
        let (mut once, mut twice) = (Table::default(), Table::default());
        for event in &events {
            let applied = once.apply(event);
            prop_assert_eq!(twice.apply(event), applied);
            prop_assert_ne!(twice.apply(event), Applied::Changed);
            prop_assert_eq!(&once, &twice);
        }
        prop_assert_eq!(once, folded(&events));
    }

    #[test]
    fn versions_only_grow(draws in prop::collection::vec((any::<u8>(), 0..6u64, 0..100i64), 1..60)) {
        let mut table = Table::default();
        let mut last = (0, 0, 0);
        for draw in draws {
            table.apply(&any_event(draw));
            let Some(tenant) = table.tenant(&"bank".into()) else { continue };
            let queue = tenant.queue(&"sales".into());
            let now = (
                queue.map_or(0, Queue::thresholds_version),
                queue.map_or(0, Queue::plan_version),
                tenant.target_version(&"chat".into()),
            );
            prop_assert!(now.0 >= last.0 && now.1 >= last.1 && now.2 >= last.2);
            last = now;
        }
    }
}

#[test]
fn the_last_record_of_each_subject_recalls_what_all_of_them_made() {
    let by = || By::Automatic;
    let all = [
        at(1, by(), set(1, 20.0)),
        at(2, by(), target("chat", 1, 0.5)),
        at(3, by(), target("smart", 1, 0.5)),
        at(4, by(), set(2, 30.0)),
        at(5, by(), target("chat", 2, 0.7)),
        at(6, by(), TargetRemoved { target: "smart".into(), version: 2 }),
        at(7, by(), plan(1, Level::DivertShare, 7)),
        at(8, by(), plan(2, Level::DivertShare, 8)),
        at(9, by(), order("o", Order::LevelLocked { level: Level::DivertShare }, 90)),
    ];
    let whole = folded(&all);
    let mut recalled = Table::default();
    for last in [2, 3, 4, 5, 7, 8] {
        assert_eq!(recalled.recall(&all[last]), Applied::Changed, "{:?}", all[last]);
    }
    let (a, b) = (recalled.tenant(&"bank".into()).unwrap(), whole.tenant(&"bank".into()).unwrap());
    assert_eq!(a, b);
    // Hearing all of them afterwards, from the first on, changes nothing back.
    let mut again = recalled.clone();
    all.iter().filter(|event| !matches!(event.event, Event::OverrideSet(_))).for_each(|event| _ = again.apply(event));
    assert_eq!(again.tenant(&"bank".into()), whole.tenant(&"bank".into()));
}
