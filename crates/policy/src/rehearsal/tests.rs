use super::rivals::Open;
use super::*;
use crate::erlang::ErlangA;

fn manners() -> Manners {
    Manners { patience_s: 120.0, service_s: 180.0, redial_share: 0.0, redial_after_s: 60.0, contained_share: 1.0 }
}

#[test]
fn a_steady_queue_without_control_is_erlang_a() {
    let day = 400_000.0;
    let rate = 0.95 * 10.0 / 180.0;
    let arrivals = arrivals(7, day, rate, |_| rate);
    let staff = [Staff { from_s: 0.0, agents: 10 }];
    let play = Play {
        arrivals: &arrivals,
        staff: &staff,
        manners: manners(),
        threshold_s: 20.0,
        age_s: 0.0,
        until_s: day,
        seed: 7,
    };
    let score = play.under(&mut Open);
    let long_run =
        ErlangA { arrivals_per_s: rate, agents: 10.0, service_per_s: 1.0 / 180.0, patience_per_s: 1.0 / 120.0 };
    let level = score.answered_in_time as f64 / score.attempts as f64;
    assert!((level - long_run.served_within(20.0)).abs() < 0.02, "{level} instead of {}", long_run.served_within(20.0));
    let lost = score.abandoned as f64 / score.attempts as f64;
    assert!((lost - long_run.p_abandon()).abs() < 0.01, "{lost} instead of {}", long_run.p_abandon());
    assert_eq!(score.attempts, score.answered + score.abandoned);
}

#[test]
fn the_same_seed_plays_the_same() {
    let arrivals = arrivals(1, 3_600.0, 1.0, |_| 0.8);
    let staff = [Staff { from_s: 0.0, agents: 100 }];
    let play = |seed| Play {
        arrivals: &arrivals,
        staff: &staff,
        manners: manners(),
        threshold_s: 20.0,
        age_s: 0.0,
        until_s: 3_600.0,
        seed,
    };
    assert_eq!(play(3).under(&mut Open), play(3).under(&mut Open));
    assert_ne!(play(3).under(&mut Open), play(4).under(&mut Open));
}
