//! Many machines, broken in every way that a seed thinks of: processes that are killed, stand still or come and go, brokers, PostgreSQL
//! and Redis that go away and come back, under load. What was acknowledged is counted once, screens never show old figures as new, and in
//! the end everything is what a ledger kept outside of the product says. Beside it: everything restarted in turn under load, and
//! `script/cluster`.
//!
//! `TIDEGATE_CHAOS=10` plays ten seeds and writes the finding `chaos`; `TIDEGATE_SEED=n` begins with another seed.
#![allow(clippy::disallowed_methods, reason = "these tests run real processes and servers in real time")]

mod act;
mod finding;
mod judge;
mod owners;
mod probe;
mod rolling;
mod script;
mod storm;
mod world;

use anyhow::{Context as _, Result};
use std::time::Duration;

/// How long a figure may take to be what it must be.
const PATIENCE: Duration = Duration::from_secs(240);

fn number(name: &str, otherwise: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(otherwise), |text| text.parse().with_context(|| format!("{name}={text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_nothing_acknowledged_is_lost_nothing_is_counted_twice_and_no_screen_shows_old_figures_as_new()
-> Result<()> {
    let (seeds, first) = (number("TIDEGATE_CHAOS", 0)?, number("TIDEGATE_SEED", 1)?);
    if seeds == 0 {
        let told = storm::play(first).await.with_context(|| format!("seed {first}"))?;
        println!("{told}");
        return Ok(());
    }
    let mut all = Vec::new();
    for seed in first..first + seeds {
        let told = storm::play(seed).await.with_context(|| format!("seed {seed}"))?;
        println!("{told}");
        all.push(told);
        // After each: what was shown stays, whatever comes of the next.
        finding::record(first, &all)?;
    }
    Ok(())
}
