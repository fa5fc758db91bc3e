//! The disk alone.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bench::Spread;
use service::Clock;

use crate::VALUE_BYTES;
use crate::load::{Pace, Turn};

/// A file that grows.
pub(crate) struct Disk {
    file: File,
    clock: Clock,
}

impl Disk {
    pub(crate) fn create(folder: &Path, clock: Clock) -> std::io::Result<Self> {
        Ok(Self { file: File::create(folder.join("bare"))?, clock })
    }

    /// Appends the bytes of a call and syncs, one call after the other.
    pub(crate) async fn turn(&mut self, batch: usize, pace: Pace, time: Duration) -> anyhow::Result<Turn> {
        let bytes = vec![b'e'; batch * VALUE_BYTES];
        let (began, mut calls) = (self.clock.monotonic(), Vec::new());
        while self.clock.monotonic() - began < time {
            pace.wait(&self.clock, began, calls.len()).await;
            let at = self.clock.monotonic();
            self.file.write_all(&bytes)?;
            self.file.sync_data()?;
            calls.push((self.clock.monotonic() - at).as_secs_f64() * 1_000.0);
        }
        let took = self.clock.monotonic() - began;
        Ok(Turn { events: calls.len() * batch, took, ms: calls.into_iter().collect::<Spread>() })
    }
}
