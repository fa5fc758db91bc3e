//! What happened in a run, line by line: the evidence that a run was repeated, and what to read when it failed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Mutex, PoisonError};

use service::simulation::Place;

/// What happened in a run.
#[derive(Default)]
pub struct Trace(Mutex<Told>);

#[derive(Default)]
struct Told {
    lines: Vec<String>,
    counts: BTreeMap<&'static str, u64>,
}

impl Trace {
    /// Something happened at a place: with the moment in simulated time and the number of the step.
    pub fn tell(&self, place: &Place, what: impl Display) {
        let micros = place.clock().monotonic().as_micros();
        let line = format!("{micros:>11} {:>8} {:<12} {what}", place.steps(), place.name());
        self.lock().lines.push(line);
    }

    /// Something was done to the system, or by it, that is counted.
    pub fn count(&self, what: &'static str) {
        *self.lock().counts.entry(what).or_default() += 1;
    }

    /// Everything that was told, and how often what was counted.
    pub fn take(&self) -> (Vec<String>, BTreeMap<&'static str, u64>) {
        let told = std::mem::take(&mut *self.lock());
        (told.lines, told.counts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that stands for bytes, the same in every run.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}
