//! Writes the finding of `script/fuzz`, which counts what the fuzzer did.

use bench::{Aim, Figure, Finding};
use clap::Parser;

/// What the fuzzer did.
#[derive(Parser)]
struct Counted {
    /// How many targets ran.
    #[arg(long)]
    targets: u32,
    /// How often a target was called.
    #[arg(long)]
    executions: u64,
    /// How many targets ended by a crash.
    #[arg(long)]
    crashes: u32,
    /// How long all of them ran.
    #[arg(long)]
    seconds: u64,
    /// The sanitizer.
    #[arg(long)]
    sanitizer: String,
}

fn main() -> anyhow::Result<()> {
    let counted = Counted::parse();
    Finding::new(
        "fuzz",
        "No input found by coverage-guided fuzzing breaks what a parser promises: round trips, bounds, agreement of two ways, no panic.",
        "script/fuzz",
    )
    .figure(Figure::new("targets, one for each parser", f64::from(counted.targets), "targets").aim(Aim::AtLeast(20.0)))
    .figure(Figure::new("executions", counted.executions as f64, "runs"))
    .figure(Figure::new("targets with a crash", f64::from(counted.crashes), "targets").aim(Aim::AtMost(0.0)))
    .figure(Figure::new("time of all targets together", counted.seconds as f64, "s"))
    .note(format!(
        "libFuzzer by cargo-fuzz, one job, arithmetic checked, sanitizer: {}; the committed corpora also run in script/test core",
        counted.sanitizer
    ))
    .save()
}
