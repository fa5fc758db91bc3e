//! Producers that append to a journal.

use std::time::Duration;

use bench::Spread;
use bytes::Bytes;
use futures::future::try_join_all;
use journal::{Entry, Journal, Stream};
use service::Clock;

use crate::VALUE_BYTES;

/// How often a producer calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as it was answered.
    Full,
    /// So often, as far as it is answered in time.
    PerSecond(u32),
}

impl Pace {
    /// Waits until the call number `call` is due.
    pub(crate) async fn wait(self, clock: &Clock, began: Duration, call: usize) {
        let Self::PerSecond(rate) = self else { return };
        let due = began + Duration::from_secs(1) / rate * u32::try_from(call).unwrap_or(u32::MAX);
        // A timer is good for a millisecond: the rest is waited for awake.
        let left = due.saturating_sub(clock.monotonic());
        if left > Duration::from_millis(2) {
            clock.sleep(left - Duration::from_millis(2)).await;
        }
        while clock.monotonic() < due {
            tokio::task::yield_now().await;
        }
    }
}

/// What one side did in one turn.
pub(crate) struct Turn {
    pub(crate) events: usize,
    pub(crate) took: Duration,
    /// How long each call took.
    pub(crate) ms: Spread,
}

impl Turn {
    pub(crate) fn events_per_s(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }
}

/// So many producers, each calling again when it was answered.
pub(crate) async fn turn(
    journal: &dyn Journal,
    clock: &Clock,
    stream: Stream,
    producers: usize,
    batch: usize,
    pace: Pace,
    time: Duration,
) -> anyhow::Result<Turn> {
    let value = Bytes::from(vec![b'e'; VALUE_BYTES]);
    let began = clock.monotonic();
    let one = |producer: usize| {
        let value = value.clone();
        async move {
            let mut calls = Vec::new();
            while clock.monotonic() - began < time {
                pace.wait(clock, began, calls.len()).await;
                let entry = |n: usize| {
                    Entry::new(stream, format!("call/{}", producer * 31 + (calls.len() + n) % 97), value.clone())
                };
                let entries = (0..batch).map(entry).collect();
                let at = clock.monotonic();
                journal.append(entries).await?;
                calls.push((clock.monotonic() - at).as_secs_f64() * 1_000.0);
            }
            Ok::<_, journal::Error>(calls)
        }
    };
    let calls: Vec<f64> = try_join_all((0..producers).map(one)).await?.into_iter().flatten().collect();
    Ok(Turn { events: calls.len() * batch, took: clock.monotonic() - began, ms: calls.into_iter().collect() })
}
