//! What holds whatever comes: from seeds and drawn cases.

mod support;

use cti::Config;
use cti::ask::{Answer, Ask};
use model::control::{By, Figures, Level, Order, OverrideSet, TargetObserved};
use proptest::prelude::*;
use rand::Rng;
use service::Seeds;
use support::{ask, automatic, plan, said, thresholds, world};

const LEVELS: [Level; 4] = [Level::Normal, Level::Offer, Level::DivertShare, Level::DivertAll];

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nobody_is_led_away_while_an_agent_is_free_and_nobody_waits(
        level in 0..4usize, share in 0.0..1.0f64, rate in 0.0..2.0f64, free in 1..30u32, silent_s in 0.0..20_000.0f64,
        calls in 1..5u32, by_views: bool,
    ) {
        run(async {
            let world = world(Config::default()).await;
            world.set_up(thresholds(), 10.0);
            if !by_views {
                world.plan(1, automatic(LEVELS[level], rate, share), 0.0, f64::from(free));
            } else {
                world.plan(1, automatic(LEVELS[level], rate, share), 9.0, 0.0);
                world.pass(silent_s).await;
                world.see(0.0, f64::from(free));
            }
            for call in 0..calls.min(free) {
                let answer = world.ask(&format!("4930{call:03}"));
                prop_assert!(answer.enters(), "{answer:?}");
            }
            Ok(())
        })?;
    }

    #[test]
    // in less time than a plan stays valid: behind that the rate of the centre is held, and not that of the plan
    fn the_unprotected_never_enter_faster_than_the_bucket_lets_them(
        gaps in prop::collection::vec(0.0..1.0f64, 1..70), rate in 0.05..3.0f64, ordered: bool,
    ) {
        run(async {
            let world = world(Config::default()).await;
            world.set_up(thresholds(), 1_000.0);
            let until = model::Time(i64::MAX / 2);
            if ordered {
                let order = Order::RateAtMost { per_s: rate };
                world.hear(By::Operator("ann".into()), OverrideSet { id: "o".into(), queue: None, order, until });
            }
            let asked = if ordered { 100.0 } else { rate };
            world.plan(1, automatic(Level::DivertShare, asked, 0.0), 1.0, 0.0);
            let (mut at, mut entered) = (0.0, Vec::new());
            for (n, gap) in gaps.iter().enumerate() {
                world.pass(*gap).await;
                world.see(1.0, 0.0);
                at = world.clock.monotonic().as_secs_f64();
                if world.ask(&format!("4930{n:05}")).enters() {
                    entered.push(at);
                }
            }
            let burst = (rate * 10.0).max(1.0);
            for (from, start) in entered.iter().enumerate() {
                for (to, end) in entered.iter().enumerate().skip(from) {
                    // the gate reads whole milliseconds
                    let most = burst + (end - start + 0.002) * rate;
                    prop_assert!((to - from + 1) as f64 <= most + 1e-6, "{} in {} s at {rate}", to - from + 1, end - start);
                }
            }
            prop_assert!(at >= 0.0);
            Ok(())
        })?;
    }
}

/// A day in short: plans, failures of targets, orders, figures and callers, drawn from a seed.
async fn play(seed: u64) -> Vec<u8> {
    let mut draws = Seeds::fixed(seed).stream("calls");
    let config = Config { vip: vec!["4930000007".into()], emergency: vec!["110".into()], ..Config::default() };
    let world = world(config).await;
    world.set_up(thresholds(), 0.5);
    let mut told = Vec::new();
    for version in 1..=400_u64 {
        world.pass(draws.random_range(0.0..8.0)).await;
        match draws.random_range(0..10) {
            0..=2 => {
                let level = LEVELS[draws.random_range(0..4)];
                let orders = automatic(level, draws.random_range(0.0..2.0), draws.random_range(0.0..0.9));
                let (waiting, free) = (draws.random_range(0..9), draws.random_range(0..3));
                world.plan(version, orders, f64::from(waiting), if waiting > 0 { 0.0 } else { f64::from(free) });
            }
            3 => {
                let (target, healthy) = (["smart", "web"][draws.random_range(0..2)].into(), draws.random_bool(0.7));
                world.hear(By::Automatic, TargetObserved { target, healthy, capacity_per_s: None, containment: None });
            }
            4 => {
                let until = model::Time(world.now().ms() + 30_000);
                let order = Order::RateAtMost { per_s: draws.random_range(0.0..1.0) };
                world.hear(By::Operator("ann".into()), OverrideSet { id: "o".into(), queue: None, order, until });
            }
            5 => world.see(f64::from(draws.random_range(0..9)), f64::from(draws.random_range(0..2))),
            6 => world.pass(draws.random_range(0.0..200.0)).await,
            _ => {}
        }
        for _ in 0..draws.random_range(0..12) {
            let caller = format!("4930{:06}", draws.random_range(0..40));
            let dialled = if draws.random_bool(0.01) { "110" } else { "5001" };
            let returned = draws.random_bool(0.02);
            let answer: Answer = world.decide(&Ask { dialled: Some(dialled.into()), returned, ..ask(&caller) });
            told.extend(serde_json::to_vec(&answer).unwrap());
            told.push(b'\n');
        }
    }
    told
}

#[test]
fn the_same_seed_gives_the_same_decisions_byte_for_byte() {
    for seed in 0..8 {
        let (one, two) = (run(play(seed)), run(play(seed)));
        assert!(one == two, "seed {seed}");
        let text = String::from_utf8(one).unwrap();
        let lines = text.lines().count();
        let led = text.lines().filter(|line| !line.contains("human_queue")).count();
        assert!(lines > 1_000 && led > 100, "seed {seed}: {lines} decisions, {led} led away: it means nothing");
    }
    assert_ne!(run(play(1)), run(play(2)));
}

#[test]
fn another_gate_gives_a_caller_the_same_place_and_the_same_target() {
    run(async {
        let (one, two) = (world(Config::default()).await, world(Config::default()).await);
        for world in [&one, &two] {
            world.set_up(thresholds(), 1_000.0);
        }
        let figures = Figures { at: one.now(), waiting: 2.0, agents: 10.0, ..Figures::default() };
        let issued = said(one.now(), By::Automatic, plan(1, automatic(Level::DivertShare, 1_000.0, 0.5), figures));
        for world in [&one, &two] {
            world.gate.hear(&issued);
        }
        let mut led = 0;
        for n in 0..500 {
            let caller = format!("4930{n:05}");
            let (a, b) = (one.ask(&caller), two.ask(&caller));
            if !a.enters() {
                led += 1;
                assert_eq!(a, b);
            }
        }
        assert!(led > 200, "{led}");
    });
}
