//! Holds a recording's facts back until they are due, so that it plays at a chosen speed.

use std::collections::VecDeque;
use std::time::Duration;

use model::{Fact, Time};
use service::Clock;

use crate::contract::{Batch, Verbatim};

enum Item {
    Fact(Fact),
    Verbatim(Verbatim),
}

impl Item {
    fn time(&self) -> Time {
        match self {
            Item::Fact(fact) => fact.occurred_at,
            Item::Verbatim(envelope) => envelope.time,
        }
    }
}

/// Plays facts at `speed` times real time: the first fact is due at once, the others relative to it.
pub(crate) struct Pace {
    speed: f64,
    clock: Clock,
    /// Recorded milliseconds and monotonic time of the first fact.
    origin: Option<(i64, Duration)>,
    waiting: VecDeque<Item>,
}

impl Pace {
    pub(crate) fn new(speed: f64, clock: Clock) -> Pace {
        Pace { speed, clock, origin: None, waiting: VecDeque::new() }
    }

    /// Takes a batch's facts; the rest of the batch goes on at once, with the last fact of the batch.
    pub(crate) fn hold(&mut self, batch: &mut Batch) {
        self.waiting.extend(batch.facts.drain(..).map(Item::Fact));
        self.waiting.extend(batch.verbatim.drain(..).map(Item::Verbatim));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Waits for the next due fact and takes all that are due with it. Cancel-safe.
    pub(crate) async fn due(&mut self) -> Batch {
        let mut batch = Batch::default();
        let Some(first) = self.waiting.front() else { return batch };
        let (origin_ms, origin_at) = *self.origin.get_or_insert((first.time().ms(), self.clock.monotonic()));
        let due = |ms: i64| {
            let recorded = (ms - origin_ms).max(0) as f64 / 1000.0;
            origin_at + Duration::from_secs_f64(recorded / self.speed)
        };
        let first_due = due(first.time().ms());
        let now = self.clock.monotonic();
        if first_due > now {
            self.clock.sleep(first_due - now).await;
        }
        let now = self.clock.monotonic();
        let ready = self.waiting.iter().take_while(|item| due(item.time().ms()) <= now).count().max(1);
        for item in self.waiting.drain(..ready) {
            match item {
                Item::Fact(fact) => batch.facts.push(fact),
                Item::Verbatim(envelope) => batch.verbatim.push(envelope),
            }
        }
        batch
    }
}
