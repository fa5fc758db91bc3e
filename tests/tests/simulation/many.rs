//! Many seeds at once, their sums, and what is said of those that failed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bench::finding::{Aim, Figure, Finding};
use service::Clock;

use crate::play::{Outcome, play};
use crate::sabotage::Sabotage;

/// Played at the same time: the machine is taken to have two processors.
const THREADS: usize = 2;
/// Characters of a fault that are shown; all of it is in the trace's file.
const SHOWN: usize = 600;

/// What many seeds came to.
#[derive(Default)]
pub struct Many {
    pub seeds: u64,
    pub events: usize,
    pub lines: usize,
    /// Simulated, summed.
    pub lasted: Duration,
    /// The longest time that anything took to come to rest.
    pub settled_max: Duration,
    /// Real.
    pub took: Duration,
    pub counts: BTreeMap<&'static str, u64>,
    /// Seed, faults, and where its trace is.
    pub failed: BTreeMap<u64, (Vec<String>, PathBuf)>,
}

/// Plays seeds from `first` on.
pub fn many(first: u64, seeds: u64) -> Many {
    let (next, all) = (AtomicU64::new(first), Mutex::new(Many::default()));
    let clock = Clock::system();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            let outcome = play(seed, Sabotage::None, true);
            all.lock().unwrap_or_else(PoisonError::into_inner).add(outcome);
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(work))));
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.took = clock.monotonic();
    all
}

impl Many {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.events += outcome.events;
        self.lines += outcome.trace.len();
        self.lasted += outcome.lasted;
        self.settled_max = self.settled_max.max(outcome.settled);
        for (what, count) in &outcome.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if outcome.is_wrong() {
            let trace = keep(&outcome);
            let faults = outcome.faults.iter().map(|fault| fault.chars().take(SHOWN).collect()).collect();
            self.failed.insert(outcome.seed, (faults, trace));
        }
    }

    /// Faults that the nemesis made, and what came of them.
    pub fn report(&self) -> String {
        let mut text = format!(
            "{} seeds in {:.0} s: {} events, {} lines of trace, {:.0} min simulated, at rest within {:.1} s\n",
            self.seeds,
            self.took.as_secs_f64(),
            self.events,
            self.lines,
            self.lasted.as_secs_f64() / 60.0,
            self.settled_max.as_secs_f64()
        );
        for (what, count) in &self.counts {
            let _ = writeln!(text, "  {count:>7} {what}");
        }
        for (seed, (faults, trace)) in &self.failed {
            let _ = writeln!(
                text,
                "seed {seed} FAILED; repeat it with script/simulate 1 {seed}; trace {}",
                trace.display()
            );
            for fault in faults {
                let _ = writeln!(text, "    {fault}");
            }
        }
        text
    }

    /// What `script/simulate` leaves on record.
    pub fn finding(&self, first: u64) -> Finding {
        let claim = "whatever goes wrong, everything acknowledged is counted once, nothing else is, and the board is right again";
        let per_seed = |what: &str| self.counts.get(what).copied().unwrap_or(0) as f64 / self.seeds.max(1) as f64;
        let made = ["crashes", "stops", "drains", "power cuts", "clock jumps"];
        let faults: f64 = self.counts.values().sum::<u64>() as f64 / self.seeds.max(1) as f64;
        let finding = Finding::new("simulation", claim, "script/simulate")
            .figure(Figure::new("seeds played", self.seeds as f64, "seeds"))
            .figure(Figure::new("seeds that failed", self.failed.len() as f64, "seeds").aim(Aim::AtMost(0.0)))
            .figure(Figure::new("events sent", self.events as f64, "events"))
            .figure(Figure::new("things that went wrong, a seed", faults, ""))
            .figure(Figure::new(
                "longest time to rest after the trouble",
                self.settled_max.as_secs_f64(),
                "s simulated",
            ));
        let finding = made
            .into_iter()
            .fold(finding, |finding, what| finding.figure(Figure::new(format!("{what}, a seed"), per_seed(what), "")));
        let counts: Vec<String> = self.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        finding.note(format!("seeds {first} to {}; {}", first + self.seeds - 1, counts.join(", "))).note(
            "the disks and networks are simulated: what real ones do is tried by the kills and cuts of other findings",
        )
    }
}

/// Writes the trace of a run beside the build.
fn keep(outcome: &Outcome) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulation-{}.trace", outcome.seed));
    let text = format!("{}\n\n{}\n", outcome.trace.join("\n"), outcome.faults.join("\n"));
    let _ = std::fs::write(&path, text); // what matters is on the screen
    path
}
