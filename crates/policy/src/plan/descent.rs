//! The way out of the hard phones: one level at a time, as out of every other level.
//!
//! Level 4 is never asked for by load, so when its order ends nothing would stand between it and whatever the load asks for, which may
//! be nothing at all: everybody who was kept off would come at once. So the order leaves a floor behind that sinks by one level each
//! `calm_s` of its queue: 3, 2, 1, and then nothing. It needs no record of its own: whoever folds the orders knows it, also when no
//! console is there.

use std::collections::BTreeMap;

use model::control::{Level, Order, OverrideSet};
use model::{QueueId, Time};

use super::Override;

/// The most ends that are kept; beyond that the oldest goes.
const DESCENTS_MAX: usize = 1_000;

/// When hard phones were left, by queue; `None`: of all queues.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Descents {
    left: BTreeMap<Option<QueueId>, Time>,
}

/// Whether an order rings hard phones.
fn is_hard(order: &Order) -> bool {
    matches!(order, Order::LevelLocked { level: Level::HardPhone } | Order::LevelAtLeast { level: Level::HardPhone })
}

/// Whether an order locks the level of a queue, or of all, at a moment.
fn locks(held: &Override, queue: Option<&QueueId>, at: Time) -> bool {
    let same = held.set.queue.is_none() || held.set.queue.as_ref() == queue;
    same && held.set.until > at && matches!(held.set.order, Order::LevelLocked { .. })
}

impl Descents {
    /// An order ended at `at`; `others` are those that are still there.
    pub(super) fn left(&mut self, held: &Override, at: Time, others: &[Override]) {
        let queue = held.set.queue.as_ref();
        // where a person says which level holds, that is so, and nothing is left of the old order
        if !is_hard(&held.set.order) || others.iter().any(|other| locks(other, queue, at)) {
            return;
        }
        if self.left.len() >= DESCENTS_MAX
            && let Some(oldest) = self.left.iter().min_by_key(|(_, at)| **at).map(|(queue, _)| queue.clone())
        {
            self.left.remove(&oldest);
        }
        let known = self.left.entry(held.set.queue.clone()).or_insert(at);
        *known = (*known).max(at);
    }

    /// A person says which level holds from now on: what was left of an older order is gone.
    pub(super) fn ordered(&mut self, set: &OverrideSet) {
        if !matches!(set.order, Order::LevelLocked { .. }) {
            return;
        }
        match &set.queue {
            Some(queue) => {
                self.left.remove(&Some(queue.clone()));
            }
            None => self.left.clear(),
        }
    }

    /// The floor of a queue at a moment. An order whose time is over and which nobody cleared yet has ended all the same.
    pub(super) fn level(&self, queue: &QueueId, overrides: &[Override], now: Time, calm_s: f64) -> Level {
        let of = |only: &Option<QueueId>| only.as_ref().is_none_or(|only| only == queue);
        let kept = self.left.iter().filter(|(only, _)| of(only)).map(|(_, at)| *at);
        let over = overrides.iter().filter(|held| held.set.until <= now && is_hard(&held.set.order));
        let over = over.filter(|held| of(&held.set.queue)).map(|held| held.set.until);
        let Some(left) = kept.chain(over).filter(|at| *at <= now).max() else { return Level::Normal };
        let steps = now.since(left) as f64 / (calm_s.max(0.001) * 1_000.0);
        match steps {
            steps if steps < 1.0 => Level::DivertAll,
            steps if steps < 2.0 => Level::DivertShare,
            steps if steps < 3.0 => Level::Offer,
            _ => Level::Normal,
        }
    }
}
