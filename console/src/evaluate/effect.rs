//! What a change of level did: a queue over the time before it, and over the time after.

use std::collections::VecDeque;

use model::control::{EffectMeasured, Effects, Level};
use model::{EventId, QueueId, Time};
use serde::{Deserialize, Serialize};

use crate::figures::Counts;

/// What a queue had counted at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    at: Time,
    counts: Counts,
    /// Callers who waited, times the seconds that they did so, since the first mark.
    waiting_s: f64,
}

/// A change whose effect is not measured yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pending {
    change: EventId,
    was: Level,
    level: Level,
    before: Mark,
    at: Mark,
}

/// Marks of the last minutes, and changes that wait for their effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    marks: VecDeque<Mark>,
    now: Mark,
    pending: VecDeque<Pending>,
}

/// Between two marks, milliseconds.
const STEP_MS: i64 = 10_000;
/// So many are kept: two minutes.
const MARKS: usize = 13;
/// So many changes may wait for their effect; more in so short a time are not measured.
const PENDING: usize = 8;

impl History {
    /// What the queue has counted at `now`, and who waits.
    pub(crate) fn mark(&mut self, now: Time, counts: Counts, waiting: f64) {
        let first = self.now.at == Time::default();
        // a pause in which nobody looked says nothing of who waited
        let seconds = if first { 0.0 } else { (now.since(self.now.at) as f64 / 1_000.0).min(10.0) };
        self.now = Mark { at: now, counts, waiting_s: self.now.waiting_s + seconds * waiting };
        if self.marks.back().is_none_or(|last| now.since(last.at) >= STEP_MS) {
            self.marks.push_back(self.now);
            if self.marks.len() > MARKS {
                self.marks.pop_front();
            }
        }
    }

    /// The level changed now.
    pub(crate) fn changed(&mut self, change: EventId, was: Level, level: Level) {
        if self.pending.len() < PENDING {
            let before = self.marks.front().copied().unwrap_or(self.now);
            self.pending.push_back(Pending { change, was, level, before, at: self.now });
        }
    }

    /// The effect of a change that is old enough.
    pub(crate) fn effect(&mut self, queue: &QueueId, now: Time, after_ms: i64) -> Option<EffectMeasured> {
        let ripe = self.pending.front().is_some_and(|pending| now.since(pending.at.at) >= after_ms);
        let pending = if ripe { self.pending.pop_front()? } else { return None };
        Some(EffectMeasured {
            queue: queue.clone(),
            change: pending.change,
            was: pending.was,
            level: pending.level,
            before: between(&pending.before, &pending.at),
            after: between(&pending.at, &self.now),
        })
    }
}

fn between(from: &Mark, to: &Mark) -> Effects {
    let (grown, seconds) = (to.counts.since(&from.counts), to.at.since(from.at) as f64 / 1_000.0);
    let left = grown.answered + grown.abandoned;
    let number = |count: i64| count.max(0) as u64;
    Effects {
        seconds,
        attempts: number(grown.offered + grown.diverted),
        answered: number(grown.answered),
        abandoned: number(grown.abandoned),
        diverted: number(grown.diverted),
        wait_mean_s: (left > 0).then(|| grown.waited_ms as f64 / 1_000.0 / left as f64),
        waiting_mean: if seconds > 0.0 { (to.waiting_s - from.waiting_s) / seconds } else { 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effect_is_what_was_counted_before_and_after() {
        let mut history = History::default();
        let counts = |offered, diverted| Counts {
            offered,
            diverted,
            answered: offered,
            waited_ms: offered * 9_000,
            ..Counts::default()
        };
        for second in 1..=200 {
            let (offered, diverted) = if second <= 100 { (second * 2, 0) } else { (100 + second, second - 100) };
            history.mark(Time(second * 1_000), counts(offered, diverted), if second <= 100 { 8.0 } else { 2.0 });
            if second == 100 {
                history.changed("c".into(), Level::Normal, Level::DivertShare);
            }
        }
        assert_eq!(history.effect(&"sales".into(), Time(200_000), 120_000), None);
        let effect = history.effect(&"sales".into(), Time(200_000), 100_000).unwrap();
        assert_eq!((effect.after.seconds, effect.after.diverted, effect.after.attempts), (100.0, 100, 200));
        assert_eq!((effect.before.diverted, effect.before.wait_mean_s), (0, Some(9.0)));
        assert!((effect.before.waiting_mean - 8.0).abs() < 1e-9 && (effect.after.waiting_mean - 2.0).abs() < 1e-9);
        assert_eq!(history.effect(&"sales".into(), Time(900_000), 100_000), None, "once");
    }
}
