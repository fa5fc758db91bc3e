//! What the gate answers, by what it was told: each rule, on a clock of the test's own.

mod support;

use cti::ask::{Ask, Why};
use cti::{Config, Unplanned};
use model::control::{By, Kind, Level, Order, OverrideSet, PlanAffirmed, TargetObserved, Thresholds};
use support::{START_S, World, ask, automatic, thresholds, world};

async fn flooded() -> World {
    let world =
        world(Config { vip: vec!["49307777".into()], emergency: vec!["110".into()], ..Config::default() }).await;
    world.set_up(thresholds(), 1_000.0);
    world.plan(1, automatic(Level::DivertAll, 1.0, 0.9), 5.0, 0.0);
    world
}

#[tokio::test]
async fn a_flood_is_led_to_the_targets_by_their_shares_and_each_caller_to_one_of_them() {
    let world = flooded().await;
    let mut smart = 0;
    for n in 0..4_000 {
        let answer = world.ask(&format!("4930{n:06}"));
        assert_eq!((answer.reason, answer.level, answer.plan), (Why::AllDiverted, 3, 1));
        match answer.target {
            Kind::SmartIvr => smart += 1,
            Kind::Chat => assert_eq!(answer.address.as_deref(), Some("tidegate-targets,web,1")),
            other => panic!("{other:?}"),
        }
    }
    assert!((2_680..=2_920).contains(&smart), "{smart} of 4,000 instead of 70 of 100");
}

#[tokio::test]
async fn those_who_are_led_away_by_their_place_are_split_like_all_others() {
    // Callers with the lowest places go first; were the target chosen by the same number, all of them would go to the first.
    let world = flooded().await;
    world.plan(2, automatic(Level::DivertShare, 1_000.0, 0.3), 2.0, 0.0);
    let answers: Vec<_> = (0..4_000).map(|n| world.ask(&format!("4930{n:06}"))).collect();
    let placed: Vec<_> = answers.iter().filter(|answer| answer.reason == Why::Place).collect();
    assert!((1_100..=1_300).contains(&placed.len()), "{} of 4,000 by their place", placed.len());
    let smart = placed.iter().filter(|answer| answer.target == Kind::SmartIvr).count() as f64 / placed.len() as f64;
    assert!((0.65..0.75).contains(&smart), "{smart}");
}

#[tokio::test]
async fn the_protected_get_through() {
    let world = flooded().await;
    assert_eq!(world.ask("+49307777").reason, Why::AllDiverted, "another number");
    assert_eq!(world.ask("49 30 7777").reason, Why::Vip);
    let emergency = Ask { dialled: Some("110".into()), caller: None, ..ask("1") };
    assert_eq!(world.decide(&emergency).reason, Why::Emergency);
    let back = Ask { returned: true, ..ask("493088") };
    assert_eq!(world.decide(&back).reason, Why::DivertedInVain);
}

#[tokio::test]
async fn a_redial_gets_the_same_answer_and_who_calls_again_and_again_gets_through() {
    let world = flooded().await;
    let first = world.ask("4930555");
    world.pass(20.0).await;
    // Now only half are led away, and to the other target: this caller stays where they were.
    world.plan(2, automatic(Level::DivertShare, 1_000.0, 0.0), 2.0, 0.0);
    let again = world.ask("4930555");
    assert_eq!((again.target, again.name, again.reason), (first.target, first.name, Why::Again));
    assert_eq!(world.ask("4930556").reason, Why::Room, "who comes now enters");
    assert_eq!(world.ask("4930555").reason, Why::Again);
    assert_eq!(world.ask("4930555").reason, Why::Attempts, "three attempts of late protect");
}

#[tokio::test]
async fn who_comes_back_later_was_led_away_in_vain() {
    let world = flooded().await;
    world.ask("4930555");
    world.pass(150.0).await;
    world.plan(2, automatic(Level::DivertAll, 1.0, 0.9), 2.0, 0.0);
    assert_eq!(world.ask("4930555").reason, Why::DivertedInVain);
    assert_eq!(world.ask("4930999").reason, Why::AllDiverted);
}

#[tokio::test]
async fn callers_who_hide_their_number_are_nobody_in_particular() {
    let world = flooded().await;
    for caller in [None, Some("anonymous".to_owned())] {
        for _ in 0..6 {
            let hidden = Ask { caller: caller.clone(), ..ask("1") };
            assert_eq!(world.decide(&hidden).reason, Why::AllDiverted, "attempts of many are not those of one");
        }
    }
}

#[tokio::test]
async fn without_a_console_the_last_rate_is_held_and_then_that_of_the_hour_and_it_never_opens() {
    let world = flooded().await;
    world.pass(80.0).await;
    let mut entered = 0;
    for second in 0..140 {
        entered += usize::from(world.ask(&format!("4931{second:04}")).enters());
        entered += usize::from(world.ask(&format!("4932{second:04}")).enters());
        world.pass(1.0).await;
    }
    assert!((60..=80).contains(&entered), "{entered} in 140 s at 0.5 a second");
    world.pass(1_000.0).await;
    let mut entered = 0;
    for second in 0..500 {
        entered += usize::from(world.ask(&format!("4933{second:04}")).enters());
        world.pass(1.0).await;
    }
    assert!((95..=110).contains(&entered), "{entered} in 500 s at the static 0.2");
}

#[tokio::test]
async fn without_a_console_nobody_is_led_away_from_an_agent_whom_the_views_show_free() {
    let world = flooded().await;
    world.pass(5_000.0).await;
    world.see(0.0, 2.0);
    assert_eq!(world.ask("49301").reason, Why::AgentFree);
    world.see(3.0, 0.0);
    let reasons: Vec<Why> = (0..20).map(|n| world.ask(&format!("4939{n:02}")).reason).collect();
    assert!(reasons.contains(&Why::Rate) && !reasons.contains(&Why::Open), "{reasons:?}");
}

#[tokio::test]
async fn a_plan_that_is_affirmed_stays_fresh() {
    let world = flooded().await;
    for _ in 0..30 {
        world.pass(10.0).await;
        let figures = model::control::Figures { at: world.now(), waiting: 5.0, agents: 10.0, ..Default::default() };
        let plans = vec![model::control::Affirmed { queue: "sales".into(), version: 1, figures }];
        world.hear(By::Automatic, PlanAffirmed { plans });
    }
    assert_eq!(world.ask("4930555").reason, Why::AllDiverted);
}

#[tokio::test]
async fn an_order_of_a_person_holds_and_ends_by_itself_and_outlives_the_console() {
    let world = flooded().await;
    world.plan(2, automatic(Level::Normal, 9.0, 0.0), 1.0, 0.0);
    assert_eq!(world.ask("49301").reason, Why::Open);
    let until = model::Time::from_secs(START_S + 200);
    let order = Order::RateAtMost { per_s: 0.1 };
    world.hear(By::Operator("ann".into()), OverrideSet { id: "o1".into(), queue: None, order, until });
    let entered = (0..50).filter(|n| world.ask(&format!("4930{n:02}")).enters()).count();
    assert!(entered <= 1, "{entered} entered at once at 0.1 a second");
    world.pass(150.0).await;
    let entered = (0..50).filter(|n| world.ask(&format!("4931{n:02}")).enters()).count();
    assert!((1..=2).contains(&entered), "{entered}: the console is silent, the order is not");
    world.pass(60.0).await;
    assert_eq!(world.ask("49302").reason, Why::Open, "the order is over, and open is held");
}

#[tokio::test]
async fn an_order_without_any_plan_is_enforced_as_far_as_it_goes() {
    let world = world(Config { vip: vec!["49307777".into()], ..Config::default() }).await;
    world.set_up(Thresholds::default(), 1_000.0);
    assert_eq!(world.ask("49301").reason, Why::NoPlan);
    let until = model::Time::from_secs(START_S + 200);
    let set = |id: &str, order| OverrideSet { id: id.into(), queue: Some("sales".into()), order, until };
    world.hear(By::Carrier("tel".into()), set("rate", Order::RateAtMost { per_s: 0.5 }));
    let entered = (0..50).filter(|n| world.ask(&format!("4930{n:02}")).enters()).count();
    assert!((1..=5).contains(&entered), "{entered}");
    world.hear(By::Operator("ann".into()), set("all", Order::LevelAtLeast { level: Level::DivertAll }));
    assert_eq!(world.ask("49307").reason, Why::AllDiverted);
    assert_eq!(world.ask("49307777").reason, Why::Vip);
    world.hear(By::Operator("ann".into()), set("hard", Order::LevelLocked { level: Level::HardPhone }));
    let answer = world.ask("49308");
    assert_eq!((answer.reason, answer.level, answer.target), (Why::HardPhone, 4, Kind::HumanQueue));
}

#[tokio::test]
async fn a_queue_without_a_plan_is_open_or_held_to_the_gap_of_the_configuration() {
    let gap = Unplanned { per_s: 0.2, target: Kind::KeypadIvr, address: "menu,s,1".into() };
    let config =
        Config { unplanned: [("sales".into(), gap)].into(), emergency: vec!["110".into()], ..Config::default() };
    let world = world(config).await;
    let answers: Vec<_> = (0..10).map(|n| world.ask(&format!("4930{n}"))).collect();
    let entered = answers.iter().filter(|answer| answer.enters()).count();
    assert_eq!((entered, answers[9].target, answers[9].address.as_deref()), (2, Kind::KeypadIvr, Some("menu,s,1")));
    assert!(answers.iter().all(|answer| answer.reason == Why::Static));
    assert_eq!(world.decide(&Ask { dialled: Some("110".into()), ..ask("1") }).reason, Why::Emergency);
    let other = Ask { queue: "support".into(), ..ask("1") };
    assert_eq!(world.decide(&other).reason, Why::NoPlan);
}

#[tokio::test]
async fn who_can_be_led_nowhere_enters() {
    let world = flooded().await;
    for target in ["smart", "web"] {
        let dead = TargetObserved { target: target.into(), healthy: false, capacity_per_s: None, containment: None };
        world.hear(By::Automatic, dead);
    }
    let answer = world.ask("4930555");
    assert_eq!((answer.reason, answer.enters(), answer.level), (Why::NoTarget, true, 3));
}

#[tokio::test]
async fn a_target_that_is_full_gives_way_to_the_other_and_its_capacity_is_one_for_all_queues() {
    let world = world(Config::default()).await;
    world.set_up(thresholds(), 1.0);
    world.plan(1, automatic(Level::DivertAll, 1.0, 0.9), 5.0, 0.0);
    let answers: Vec<_> = (0..40).map(|n| world.ask(&format!("4930{n:02}"))).collect();
    let led = |kind| answers.iter().filter(|answer| answer.target == kind).count();
    assert_eq!((led(Kind::SmartIvr), led(Kind::Chat)), (6, 6), "six at once, at one a second");
    assert_eq!(answers.iter().filter(|answer| answer.reason == Why::NoTarget).count(), 28);
}

#[tokio::test]
async fn a_late_answer_is_the_fallback_instead() {
    let world = flooded().await;
    let began = world.clock.monotonic();
    world.pass(0.2).await;
    let decided = world.gate.decide(&ask("4930555"), began);
    assert_eq!((decided.answer.reason, decided.answer.enters()), (Why::Late, true));
}

#[tokio::test]
async fn what_is_offered_at_level_one_comes_with_the_answer() {
    let world = world(Config::default()).await;
    let offers = vec!["web".into()];
    world.set_up(Thresholds { offers, ..thresholds() }, 10.0);
    world.plan(1, automatic(Level::Offer, 1.0, 0.0), 5.0, 0.0);
    let answer = world.ask("4930555");
    assert_eq!((answer.enters(), answer.offers), (true, vec!["web".to_owned()]));
}
