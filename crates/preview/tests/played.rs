//! Previews of a centre that is made up: what is estimated from its record alone is held against what it is.

mod made_up;

use made_up::{World, world};
use model::Directory;
use model::control::{Kind, Level, Order, Stale, Thresholds, Toward};
use policy::control::Rules;
use policy::plan::rules_of;
use policy::rehearsal::centre::{Gated, Held, How, Lead, Played};
use policy::split::Target;
use preview::Error;
use preview::rebuilt::Rebuilt;
use preview::run::{Asked, Preview};
use preview::scenario::{Ordered, Place, Scenario};

fn gate(within_s: f64) -> Scenario {
    let mut scenario = Scenario::default();
    scenario.targets.insert("chat".into(), Place { kind: Kind::Chat, capacity_per_s: 1.0, containment: 0.7 });
    let targets = vec![Toward { target: "chat".into(), weight: 1.0, capacity_per_s: None }];
    let mut thresholds = Thresholds { targets, ..Thresholds::default() };
    thresholds.goal.within_s = within_s;
    scenario.queues.insert("sales".into(), thresholds.clone());
    scenario.queues.insert("service".into(), thresholds);
    scenario
}

fn asked(current: Scenario, proposed: Scenario, seeds: u32) -> Asked {
    Asked { current, proposed, queues: Vec::new(), seed: 0, seeds, age_s: 0.0, threads: 2 }
}

fn ready(world: &World, seed: u64) -> Preview {
    Preview::of(world.recorded(seed), &"shop".into(), &Directory::default()).unwrap()
}

/// The same gate at the doors of the centre itself.
fn truth(world: &World, seed: u64, within_s: f64) -> Played {
    let mut thresholds = Thresholds::default();
    thresholds.goal.within_s = within_s;
    let held = Held {
        rules: Rules { goal_share: 0.0, ..rules_of(&thresholds) },
        stale: Stale::default(),
        leads: vec![Lead {
            target: 0,
            takes: Target { capacity_per_s: 1.0, containment: 0.7, healthy: true },
            weight: 1.0,
        }],
        attempts_min: thresholds.protection.attempts_min,
        attempts_within_s: 1_800.0,
        in_vain: true,
    };
    world.play(seed, &mut Gated::new(vec![Some(held); 2], 1_700_000_000.0))
}

fn share(played: &[Played], of: impl Fn(&How) -> bool) -> f64 {
    let all = played.iter().flat_map(|played| &played.ended);
    all.clone().filter(|ended| of(&ended.how)).count() as f64 / all.count() as f64
}

#[test]
fn without_control_the_record_comes_out_again() {
    for seed in 0..4 {
        let answer = ready(&world(seed, 0.3), seed).play(&asked(gate(20.0), gate(20.0), 4), &|_| true).unwrap();
        let level = answer.fidelity.all.iter().find(|repeated| repeated.figure == "service_level").unwrap();
        let off = level.simulated.mean - level.recorded;
        assert!(off.abs() < 0.06, "seed {seed}: {} instead of {}", level.simulated.mean, level.recorded);
        assert!(answer.fidelity.comparable);
    }
}

#[test]
fn what_the_record_foretells_of_a_gate_is_what_the_gate_does() {
    let (mut foretold, mut real) = (Vec::new(), Vec::new());
    for seed in 0..6 {
        let world = world(seed, 0.3);
        let answer = ready(&world, seed).play(&asked(Scenario::default(), gate(20.0), 4), &|_| true).unwrap();
        let figure = |name: &str| answer.all.figures[name].proposed.mean;
        foretold.push([figure("diverted_share"), figure("service_level"), figure("answered")]);
        let played = [truth(&world, seed, 20.0)];
        let diverted = share(&played, |how| matches!(how, How::Diverted(..)));
        let in_time = share(&played, |how| matches!(how, How::Answered(waited_s) if *waited_s <= 20.0));
        let answered = played[0].ended.iter().filter(|ended| matches!(ended.how, How::Answered(_))).count();
        real.push([diverted, in_time / (1.0 - diverted), answered as f64]);
    }
    let mean = |of: &[[f64; 3]], at: usize| of.iter().map(|one| one[at]).sum::<f64>() / of.len() as f64;
    let pairs = [0, 1, 2].map(|at| (mean(&foretold, at), mean(&real, at)));
    assert!((pairs[0].0 - pairs[0].1).abs() < 0.05, "diverted: {:?}", pairs[0]);
    assert!((pairs[1].0 - pairs[1].1).abs() < 0.05, "service level: {:?}", pairs[1]);
    assert!((pairs[2].0 / pairs[2].1 - 1.0).abs() < 0.06, "answered: {:?}", pairs[2]);
}

#[test]
fn the_same_thresholds_make_no_difference_and_the_same_seeds_the_same_bytes() {
    let ready = ready(&world(1, 0.3), 1);
    let answer = ready.play(&asked(gate(20.0), gate(20.0), 3), &|_| true).unwrap();
    for compared in answer.queues.iter().chain([&answer.all]) {
        for (name, both) in compared.figures.iter().chain(&compared.diverted_to) {
            assert_eq!((both.difference.low, both.difference.high), (0.0, 0.0), "{name}");
        }
    }
    // twice, and with another number of threads
    let again = ready.play(&Asked { threads: 1, ..asked(gate(20.0), gate(20.0), 3) }, &|_| true).unwrap();
    assert_eq!(answer.json(), again.json());
    assert_eq!(answer.table(), again.table());
    let other = ready.play(&Asked { seed: 50, ..asked(gate(20.0), gate(20.0), 3) }, &|_| true).unwrap();
    assert_ne!(answer.all, other.all);
}

#[test]
fn a_gate_raises_the_service_level_by_leading_callers_elsewhere_and_from_no_free_agent() {
    let answer = ready(&world(2, 0.3), 2).play(&asked(Scenario::default(), gate(20.0), 4), &|_| true).unwrap();
    let figure = |name: &str| answer.all.figures[name];
    assert!(figure("service_level").difference.low > 0.02, "{:?}", figure("service_level"));
    assert!(figure("diverted").proposed.low > 0.0 && figure("diverted").current.high == 0.0);
    assert_eq!(answer.all.diverted_to["chat"].proposed, figure("diverted").proposed);
    // an agent who became free since the last tick is not in the figures yet
    let (wrongly, diverted) = (figure("diverted_from_free_agents").proposed.mean, figure("diverted").proposed.mean);
    assert!(wrongly < 0.05 * diverted, "{wrongly} of {diverted}");
    assert!(figure("level_changes").proposed.mean >= 2.0);
    assert!(answer.notes.iter().any(|note| note.starts_with("current: no queue")), "{:?}", answer.notes);
    assert!(answer.table().contains("diverted to chat"), "{}", answer.table());
}

#[test]
fn an_order_holds_for_its_time_and_protected_callers_enter_more_often() {
    let ready = ready(&world(2, 0.3), 2);
    let hour = |from_s: i64, until_s: i64, order| Ordered {
        queue: None,
        order,
        from: made_up::START + from_s * 1_000,
        until: made_up::START + until_s * 1_000,
    };
    // the flood lasts from 9,000 to 12,600 s
    let mut open = gate(20.0);
    open.orders = vec![hour(0, 40_000, Order::LevelLocked { level: Level::Normal })];
    let answer = ready.play(&asked(open, gate(20.0), 3), &|_| true).unwrap();
    assert_eq!(answer.all.figures["diverted"].current.high, 0.0, "it is locked open");
    assert!(answer.all.figures["diverted"].proposed.low > 0.0);
    let mut half = gate(20.0);
    half.orders = vec![hour(9_000, 10_800, Order::LevelLocked { level: Level::Normal })];
    let answer = ready.play(&asked(half, gate(20.0), 3), &|_| true).unwrap();
    assert!(answer.all.figures["diverted"].difference.low > 0.0, "{:?}", answer.all.figures["diverted"]);
    assert!(answer.all.figures["diverted"].current.low > 0.0, "the other half of the flood is diverted");
    let mut protected = gate(20.0);
    protected.protected_share = 0.5;
    let answer = ready.play(&asked(gate(20.0), protected, 3), &|_| true).unwrap();
    assert!(answer.all.figures["diverted"].difference.high < 0.0, "{:?}", answer.all.figures["diverted"]);
}

#[test]
fn the_head_start_of_a_priority_is_found_in_the_order_of_service() {
    let rebuilt = Rebuilt::of(&world(3, 0.0).recorded(3)).unwrap();
    let found = rebuilt.head_starts[&1];
    assert!((75.0..=105.0).contains(&found), "{found}, and it is 90");
    assert_eq!(rebuilt.head_starts[&0], 0.0);
}

#[test]
fn who_called_again_is_found_and_so_is_their_share() {
    let rebuilt = Rebuilt::of(&world(4, 0.5).recorded(4)).unwrap();
    assert!((0.35..0.6).contains(&rebuilt.crowd.redial_share), "{}", rebuilt.crowd.redial_share);
    assert!((150.0..350.0).contains(&rebuilt.crowd.redial_after.mean_s()), "{}", rebuilt.crowd.redial_after.mean_s());
    assert!(rebuilt.calls.iter().any(|call| call.follows));
}

#[test]
fn everything_that_is_wrong_is_named() {
    let ready = ready(&world(1, 0.0), 1);
    let mut bad = gate(0.0);
    bad.queues.insert("sails".into(), Thresholds::default());
    bad.targets.clear();
    bad.protected_share = 2.0;
    let (order, from) = (Order::RateAtMost { per_s: -1.0 }, made_up::START);
    bad.orders.push(Ordered { queue: Some("moon".into()), order, from, until: from });
    let wrong = Asked { seeds: 0, age_s: -1.0, queues: vec!["nobody".into()], ..asked(Scenario::default(), bad, 0) };
    let Err(Error::Refused(faults)) = ready.play(&wrong, &|_| true) else { panic!("it was played") };
    let places: Vec<&str> = faults.iter().map(|fault| fault.at.as_str()).collect();
    for place in [
        "thresholds.queues.sails",
        "thresholds.queues.sales.goal.within_s",
        "thresholds.queues.service.targets.0.target",
        "thresholds.protected_share",
        "thresholds.orders.0.queue",
        "thresholds.orders.0.until",
        "thresholds.orders.0.order.rate_at_most.per_s",
        "seeds",
        "age_s",
        "queue",
    ] {
        assert!(places.contains(&place), "{place} is not in {places:?}");
    }
}

#[test]
fn a_preview_that_nobody_waits_for_ends() {
    let ready = ready(&world(1, 0.0), 1);
    let outcome = ready.play(&asked(Scenario::default(), gate(20.0), 20), &|part| part < 0.05);
    assert!(matches!(outcome, Err(Error::CalledOff)), "{outcome:?}");
}

#[test]
fn a_file_is_toml_or_json_and_a_mistyped_field_is_named() {
    let toml = "[queues.sales]\ncalm_s = 60.0\n[queues.sales.goal]\nwithin_s = 30.0\nshare = 0.9\n[targets.chat]\nkind = \"chat\"\ncapacity_per_s = 1.0\ncontainment = 0.5\n";
    let read = Scenario::parse("--thresholds x", toml).unwrap();
    assert_eq!(Scenario::parse("--thresholds x", &serde_json::to_string(&read).unwrap()).unwrap(), read);
    let Err(Error::Refused(faults)) = Scenario::parse("--thresholds x", "[queues.sales]\ncalms = 60.0") else {
        panic!("it was read")
    };
    assert!(faults[0].what.contains("calms"), "{faults:?}");
}
