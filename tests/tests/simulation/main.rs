//! Deterministic simulation: the product's own collectors, receivers, aggregators and pusher, many processes in one thread, on simulated
//! time, in an order drawn from a seed, while whatever can go wrong does. `script/simulate` plays as many seeds as one likes.
//!
//! Real: the adapter runtime, the receiver with its HTTP door, the aggregator, the pusher's live part, and all that they fold.
//! Simulated: phone systems, the network to the doors, the disks below the memory journal and the memory store, time, chance.
//!
//! - Invariant: the same seed gives the same trace, line by line.
//! - Invariant: an oracle that cannot be shown to fail proves nothing: each fault of [`sabotage`] must be found.
//!
//! Start at `play.rs`; then `nemesis.rs` (what goes wrong) and `oracle.rs` (what must be true).
#![allow(clippy::disallowed_methods, reason = "the harness of a test")]

mod caller;
mod disk;
mod load;
mod many;
mod nemesis;
mod node;
mod oracle;
mod play;
mod sabotage;
mod shelf;
#[path = "../../../crates/stats/tests/support/story.rs"]
mod story;
mod town;
mod trace;
#[path = "../../../crates/stats/tests/support/traffic.rs"]
mod traffic;
mod vendor;
mod weather;

use many::many;
use play::play;
use sabotage::Sabotage;

/// Seeds that are played by default.
const SEEDS: u64 = 20;
/// Seeds within which each sabotage must be found.
const CHANCES: u64 = 12;

#[test]
fn without_trouble_everything_is_counted_once() {
    let outcome = play(1, Sabotage::None, false);
    assert_eq!(outcome.faults, Vec::<String>::new());
    assert!(!outcome.is_wrong(), "something panicked");
}

#[test]
fn whatever_goes_wrong_everything_acknowledged_is_counted_once() {
    let (first, seeds) = (number("TIDEGATE_SIMULATE_FIRST", 1), number("TIDEGATE_SIMULATE_SEEDS", SEEDS));
    let all = many(first, seeds);
    println!("{}", all.report());
    if number("TIDEGATE_SIMULATE_FINDING", 0) == 1 {
        all.finding(first).save().expect("the finding can be written");
    }
    assert!(all.failed.is_empty(), "{} of {seeds} seeds failed", all.failed.len());
    let count = |what| all.counts.get(what).copied().unwrap_or(0);
    assert!(seeds < SEEDS || (count("crashes") > seeds && count("stops") > seeds), "too little went wrong");
}

/// Seeds that failed once, and why.
const FAILED_ONCE: [u64; 13] = [
    // An aggregator that was stopped woke up and told views over those of its heir.
    27, 31, 76, // A source fell silent between the looks of two pushers: the oracle's fault.
    36,
    // After a power cut the store's fences were those of a former time, and the heir's views passed for older ones.
    62, 69, // A half hour that was counted and taken back stayed on the board, empty.
    70,
    // Rows that only a dead owner saw touched stayed told; the last: a device of a source that was silent for a moment stayed unknown.
    35, 189, 603, 837, 985, 492,
];

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    for seed in FAILED_ONCE {
        let outcome = play(seed, Sabotage::None, true);
        assert_eq!((seed, outcome.faults), (seed, Vec::<String>::new()));
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    for seed in [3, 5] {
        let (one, two) = (play(seed, Sabotage::None, true), play(seed, Sabotage::None, true));
        if let Some(at) = one.trace.iter().zip(&two.trace).position(|(a, b)| a != b) {
            panic!("seed {seed}, line {at}: once {}, and again {}", one.trace[at], two.trace[at]);
        }
        assert_eq!((one.trace.len(), one.digest()), (two.trace.len(), two.digest()));
        assert!(one.trace.len() > 1_000, "{} lines", one.trace.len());
        assert_ne!(one.digest(), play(seed + 1, Sabotage::None, true).digest());
    }
}

#[test]
fn every_sabotage_is_found() {
    let found = |sabotage| {
        (1..=CHANCES).find_map(|seed| {
            let outcome = play(seed, sabotage, true);
            outcome.faults.first().map(|fault| (seed, fault.chars().take(200).collect::<String>()))
        })
    };
    let missed: Vec<Sabotage> = Sabotage::ALL
        .into_iter()
        .filter(|sabotage| match found(*sabotage) {
            Some((seed, fault)) => {
                println!("{sabotage:?} is found with seed {seed}: {fault}");
                false
            }
            None => true,
        })
        .collect();
    assert!(missed.is_empty(), "not found within {CHANCES} seeds: {missed:?}");
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
