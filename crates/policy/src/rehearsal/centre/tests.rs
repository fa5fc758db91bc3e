use super::*;
use crate::control::Rules;
use crate::erlang::ErlangA;
use crate::rehearsal::arrivals;
use crate::split::Target;
use model::Time;
use model::control::{By, Level, Order, Stale};
use proptest::prelude::*;

fn call(at_s: f64, queue: usize) -> Call {
    Call {
        at_s,
        follows: false,
        queue,
        caller: (at_s * 1e3) as u64,
        head_start_s: 0.0,
        patience: Patience::Above(0.0),
        service_s: None,
        protected: false,
        next: Next::Drawn,
    }
}

fn crowd(queues: usize) -> Crowd {
    Crowd {
        patience: vec![Law::exponential(120.0); queues],
        service: vec![Law::exponential(180.0); queues],
        redial_share: 0.0,
        redial_after: Law::exponential(60.0),
        contained: vec![1.0],
    }
}

fn team(agents: usize, queues: &[usize]) -> Vec<Agent> {
    vec![Agent { queues: queues.to_vec(), stays: vec![(0.0, 1e9)] }; agents]
}

fn play(centre: &Centre<'_>, door: &mut dyn Door) -> Played {
    centre.under(door, &mut |_| true).unwrap()
}

fn held() -> Held {
    Held {
        rules: Rules { goal_share: 0.0, ..Rules::default() },
        stale: Stale::default(),
        leads: vec![Lead {
            target: 0,
            takes: Target { capacity_per_s: 100.0, containment: 1.0, healthy: true },
            weight: 1.0,
        }],
        attempts_min: 0,
        in_vain: false,
        attempts_within_s: 3_600.0,
    }
}

fn gated(queues: usize) -> Gated {
    Gated::new(vec![Some(held()); queues], 0.0)
}

fn waits(played: &Played, queue: usize) -> Vec<f64> {
    let answered = |ended: &Ended| match ended.how {
        How::Answered(waited_s) if ended.queue == queue => Some(waited_s),
        _ => None,
    };
    played.ended.iter().filter_map(answered).collect()
}

#[test]
fn a_steady_queue_without_control_is_erlang_a() {
    let rate = 0.95 * 10.0 / 180.0;
    let until_s = 2_000_000.0;
    let calls: Vec<Call> = arrivals(7, until_s, rate, |_| rate).iter().map(|a| call(a.at_s, 0)).collect();
    let (agents, crowd) = (team(10, &[0]), crowd(1));
    let centre = Centre { calls: &calls, agents: &agents, crowd: &crowd, tick_s: 1.0, age_s: 0.0, until_s, seed: 7 };
    let played = play(&centre, &mut Open);
    let long_run =
        ErlangA { arrivals_per_s: rate, agents: 10.0, service_per_s: 1.0 / 180.0, patience_per_s: 1.0 / 120.0 };
    assert_eq!(played.ended.len(), calls.len());
    let answered = waits(&played, 0);
    let level = answered.iter().filter(|wait| **wait <= 20.0).count() as f64 / calls.len() as f64;
    assert!((level - long_run.served_within(20.0)).abs() < 0.02, "{level} instead of {}", long_run.served_within(20.0));
    let lost = 1.0 - answered.len() as f64 / calls.len() as f64;
    assert!((lost - long_run.p_abandon()).abs() < 0.01, "{lost} instead of {}", long_run.p_abandon());
}

#[test]
fn what_is_known_of_a_call_is_what_happens_and_what_follows_it_comes_only_when_it_failed() {
    let known = |at_s, service_s, patience| Call { service_s: Some(service_s), patience, ..call(at_s, 0) };
    let mut calls = vec![
        known(0.0, 100.0, Patience::Above(0.0)),
        known(10.0, 50.0, Patience::Exactly(30.0)),
        known(100.0, 5.0, Patience::Above(0.0)),
    ];
    calls[1].next = Next::Attempt(2, 60.0);
    calls[2].follows = true;
    let (agents, crowd) = (team(1, &[0]), crowd(1));
    let centre =
        Centre { calls: &calls, agents: &agents, crowd: &crowd, tick_s: 1.0, age_s: 0.0, until_s: 1e3, seed: 1 };
    let ends: Vec<_> = play(&centre, &mut Open).ended.iter().map(|e| (e.call, e.at_s, e.how)).collect();
    assert_eq!(
        ends,
        [
            (0, 0.0, How::Answered(0.0)),
            (1, 10.0, How::Abandoned(30.0)),
            // 40 s, when the first attempt was given up, and 60 s later
            (2, 100.0, How::Answered(0.0)),
        ]
    );
    let two = team(2, &[0]);
    let centre = Centre { agents: &two, ..centre };
    assert_eq!(play(&centre, &mut Open).ended.len(), 2, "who was served does not call again");
}

#[test]
fn agents_serve_the_queues_they_can_and_a_head_start_goes_first() {
    let mut calls = vec![call(0.0, 0), call(1.0, 0), call(2.0, 1), call(3.0, 0)];
    calls.iter_mut().for_each(|c| (c.service_s, c.patience) = (Some(10.0), Patience::Exactly(1e6)));
    calls[3].head_start_s = 90.0;
    let agents = team(1, &[0]);
    let crowd = crowd(2);
    let centre =
        Centre { calls: &calls, agents: &agents, crowd: &crowd, tick_s: 1.0, age_s: 0.0, until_s: 1e3, seed: 1 };
    let order: Vec<usize> = play(&centre, &mut Open).ended.iter().map(|e| e.call).collect();
    assert_eq!(order, [0, 3, 1, 2], "and queue 1, which nobody serves, is left to its patience");
}

#[test]
fn who_goes_ends_the_call_and_takes_no_other() {
    let mut calls = vec![call(0.0, 0), call(1.0, 0)];
    calls.iter_mut().for_each(|c| (c.service_s, c.patience) = (Some(100.0), Patience::Exactly(500.0)));
    let agents = [Agent { queues: vec![0], stays: vec![(0.0, 50.0), (400.0, 410.0)] }];
    let crowd = crowd(1);
    let centre =
        Centre { calls: &calls, agents: &agents, crowd: &crowd, tick_s: 1.0, age_s: 0.0, until_s: 1e3, seed: 1 };
    let played = play(&centre, &mut Open);
    assert_eq!(played.ended.iter().map(|e| e.how).collect::<Vec<_>>(), [How::Answered(0.0), How::Answered(399.0)]);
    assert_eq!(played.busy_s, 200.0);
}

#[test]
fn a_gate_keeps_the_wait_of_a_flooded_queue_short_and_diverts_nobody_from_a_free_agent() {
    let rate = 2.0 * 20.0 / 180.0;
    let calls: Vec<Call> = arrivals(3, 7_200.0, rate, |_| rate).iter().map(|a| call(a.at_s, 0)).collect();
    let (agents, crowd) = (team(20, &[0]), crowd(1));
    let centre =
        Centre { calls: &calls, agents: &agents, crowd: &crowd, tick_s: 1.0, age_s: 0.0, until_s: 7_200.0, seed: 3 };
    let in_time = |played: &Played| {
        let all = waits(played, 0);
        all.iter().filter(|wait| **wait <= 20.0).count() as f64 / all.len() as f64
    };
    let (open, held) = (play(&centre, &mut Open), play(&centre, &mut gated(1)));
    assert!(in_time(&open) < 0.3 && in_time(&held) > 0.9, "{} and {}", in_time(&open), in_time(&held));
    assert!((1..=4).contains(&held.changes[0]), "{:?}", held.changes);
    // an agent who became free since the last tick is not in the figures yet
    let diverted = |wrongly| held.ended.iter().filter(|e| matches!(e.how, How::Diverted(_, w) if w == wrongly)).count();
    assert!(diverted(true) * 8 <= diverted(false), "{} and {}", diverted(true), diverted(false));
    // turning callers away does not leave agents idle
    assert!(waits(&held, 0).len() as f64 > 0.95 * waits(&open, 0).len() as f64);
}

#[test]
fn an_order_of_a_person_holds_in_a_play_from_its_beginning_to_its_end() {
    let rate = 2.0 * 20.0 / 180.0;
    let calls: Vec<Call> = arrivals(5, 7_200.0, rate, |_| rate).iter().map(|a| call(a.at_s, 0)).collect();
    let (agents, crowd) = (team(20, &[0]), crowd(1));
    let centre =
        Centre { calls: &calls, agents: &agents, crowd: &crowd, tick_s: 1.0, age_s: 0.0, until_s: 7_200.0, seed: 5 };
    let order = |order, from_s, until_s| Ordered {
        queue: Some("sales".into()),
        order,
        from: Time::from_secs(from_s),
        until: Time::from_secs(until_s),
        by: By::Operator("ann".into()),
    };
    let under = |orders: &[Ordered]| play(&centre, &mut gated(1).ordered(vec!["sales".into()], orders));
    let open = order(Order::LevelLocked { level: Level::Normal }, 0, 1_000_000);
    assert_eq!(under(&[open]).ended, play(&centre, &mut Open).ended, "a gate that is locked open is none");
    assert_eq!(under(&[]), play(&centre, &mut gated(1)));
    let shut = order(Order::RateAtMost { per_s: 0.0 }, 3_000, 4_000);
    let held = under(&[shut]);
    let entered = |from_s: f64, until_s: f64| {
        let within = held.ended.iter().filter(|ended| (from_s..until_s).contains(&ended.at_s));
        within.filter(|ended| !matches!(ended.how, How::Diverted(..))).count()
    };
    // agents become free, and nobody is led away from one who is: as many enter as are served, and nobody waits
    let waited = held.ended.iter().filter(|ended| (3_000.0..4_000.0).contains(&ended.at_s));
    let waits = waited.filter(|ended| matches!(ended.how, How::Answered(wait) if wait > 2.0)).count();
    assert_eq!(waits, 0, "somebody entered to wait although nobody might");
    assert!(entered(3_000.0, 4_000.0) > 50 && entered(4_000.0, 5_000.0) > 50);
}

#[test]
fn figures_that_are_too_old_let_in_as_many_as_the_static_gap_of_the_hour() {
    let rate = 2.0 * 20.0 / 180.0;
    let calls: Vec<Call> = arrivals(6, 7_200.0, rate, |_| rate).iter().map(|a| call(a.at_s, 0)).collect();
    let (agents, crowd) = (team(20, &[0]), crowd(1));
    let centre =
        Centre { calls: &calls, agents: &agents, crowd: &crowd, tick_s: 1.0, age_s: 300.0, until_s: 7_200.0, seed: 6 };
    let entered = |static_per_s: Vec<f64>, zone_s: f64| {
        let stale = Stale { half_way_s: 1.0, static_per_s, ..Stale::default() };
        let held = Held { stale, ..held() };
        let played = play(&centre, &mut Gated::new(vec![Some(held)], 0.0).zone(zone_s));
        // before the first figures come, everybody enters
        let later = played.ended.iter().filter(|ended| ended.at_s > 310.0);
        later.filter(|ended| !matches!(ended.how, How::Diverted(..))).count() as f64
    };
    // at these rates nobody comes at once: one for each gap, and that is the next one who calls after it
    let expected = |per_s: f64, seconds: f64| seconds / (1.0 / per_s + 1.0 / rate);
    let found = entered(vec![0.05], 0.0);
    assert!((found - expected(0.05, 6_890.0)).abs() < 20.0, "{found}");
    // by the hour of the tenant's day: it is eight o'clock where the play begins
    let mut hours = vec![0.0; 24];
    (hours[8], hours[9]) = (0.02, 0.1);
    let found = entered(hours, 8.0 * 3_600.0);
    assert!((found - expected(0.02, 3_290.0) - expected(0.1, 3_600.0)).abs() < 30.0, "{found}");
    let served = entered(Vec::new(), 0.0) / 6_890.0;
    assert!((0.06..0.112).contains(&served), "{served} a second, and 0.111 can be served");
}

#[test]
fn a_play_that_is_called_off_has_no_outcome() {
    let calls: Vec<Call> = (0..20_000).map(|i| call(f64::from(i), 0)).collect();
    let (agents, crowd) = (team(1, &[0]), crowd(1));
    let centre =
        Centre { calls: &calls, agents: &agents, crowd: &crowd, tick_s: 1.0, age_s: 0.0, until_s: 2e4, seed: 3 };
    let mut asked = 0;
    let mut still = |_| {
        asked += 1;
        asked < 2
    };
    assert_eq!(centre.under(&mut Open, &mut still), None);
    assert_eq!(asked, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_same_seed_gives_the_same_play_and_every_attempt_ends_once(
        seed in any::<u64>(), load in 0.5..3.0f64, agents in 1..12usize, queues in 1..4usize, redial_share in 0.0..1.0f64,
    ) {
        let rate = load * agents as f64 / 180.0;
        let calls: Vec<Call> =
            arrivals(seed, 3_600.0, rate, |_| rate).iter().enumerate().map(|(i, a)| call(a.at_s, i % queues)).collect();
        let crew: Vec<Agent> =
            (0..agents).map(|a| Agent { queues: (a % queues..queues).collect(), stays: vec![(0.0, 1_800.0), (2_000.0, 3_600.0)] }).collect();
        let crowd = Crowd { redial_share, contained: vec![0.5], ..crowd(queues) };
        let centre =
            Centre { calls: &calls, agents: &crew, crowd: &crowd, tick_s: 1.0, age_s: 5.0, until_s: 3_600.0, seed };
        let (one, two) = (play(&centre, &mut gated(queues)), play(&centre, &mut gated(queues)));
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(one.ended.iter().filter(|e| e.repeat == 0).count(), calls.len());
        let mut attempts: Vec<_> = one.ended.iter().map(|e| (e.call, e.repeat)).collect();
        attempts.sort_unstable();
        attempts.dedup();
        prop_assert_eq!(attempts.len(), one.ended.len());
        prop_assert!(one.busy_s <= one.staffed_s + 1e-6);
    }
}
