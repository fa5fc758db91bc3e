//! Two collectors of one PBX, as processes: one writes, the other is connected and holds.

use crate::parts::Part;
use anyhow::{Result, bail, ensure};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long anything may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(120);
/// Three leases: by then the other one writes, or cannot.
const LOCKED: Duration = Duration::from_secs(10);
/// What a collector says when it is its turn.
const WRITES: &str = "writes from now on";
/// What it says when it knows all that the other one has stored.
const READY: &str = "ready to take over";

/// Both of them.
#[derive(Debug)]
pub struct Pair {
    /// Writes at the beginning.
    pub first: Part,
    /// Stands by at the beginning.
    pub second: Part,
}

impl Pair {
    /// Starts both with one configuration, one after the other. Back when the first one writes and the second one can take over.
    pub async fn start(place: &Path, config: &str) -> Result<Pair> {
        let first = Part::start(place, "collector", "collector-1", config).await?;
        writes(&first, 1).await?;
        let second = Part::start(place, "collector", "collector-2", config).await?;
        ready(&second, 1).await?;
        ensure!(turns(&second)? == 0, "the second one writes beside the first");
        Ok(Pair { first, second })
    }

    /// The last lines of both.
    pub fn said(&self) -> String {
        self.first.said() + &self.second.said()
    }
}

/// How often it was this collector's turn.
pub fn turns(collector: &Part) -> Result<usize> {
    times(collector, WRITES)
}

/// Waits until it is this collector's turn for so many times in all. How long that took.
pub async fn writes(collector: &Part, times: usize) -> Result<Duration> {
    until(collector, WRITES, times).await
}

/// Stops the one that writes (SIGSTOP) until the other one does, for so many times in all. How long that took. Stopped in the middle of a
/// commit it would keep the embedded journal locked for everybody for as long as it sleeps: then it is woken, and stopped again.
pub async fn stand_still(writer: &Part, other: &Part, often: usize) -> Result<Duration> {
    for _ in 0..10 {
        writer.signal("STOP").await?;
        let begun = Instant::now();
        while begun.elapsed() < LOCKED {
            if times(other, WRITES)? == often {
                return Ok(begun.elapsed());
            }
            sleep(Duration::from_millis(50)).await;
        }
        writer.signal("CONT").await?;
        sleep(Duration::from_millis(130)).await;
    }
    bail!("{} never took the turn of {}:\n{}", other.name(), writer.name(), other.said())
}

/// Waits until it knows all that the other one has stored, for so many times in all.
pub async fn ready(collector: &Part, times: usize) -> Result<Duration> {
    until(collector, READY, times).await
}

fn times(collector: &Part, words: &str) -> Result<usize> {
    Ok(collector.log()?.matches(words).count())
}

async fn until(collector: &Part, words: &str, often: usize) -> Result<Duration> {
    let began = Instant::now();
    while times(collector, words)? != often {
        let in_vain = || format!("{} never said {words:?} for {often} times:\n{}", collector.name(), collector.said());
        ensure!(began.elapsed() < PATIENCE, in_vain());
        sleep(Duration::from_millis(50)).await;
    }
    Ok(began.elapsed())
}
