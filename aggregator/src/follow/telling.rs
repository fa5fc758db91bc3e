//! When what is told: views with each tick, rows a little less often, details as the load allows; and always beside the fold.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use journal::{Entry, Position};
use model::Time;

use super::Membership;
use crate::config::Config;
use crate::shard::{Scope, Shard};
use crate::{Result, tell};

/// Rows are told with each so many-th tick.
const ROWS_TICKS: u32 = 8;

/// The moments at which all who tell of a house tell: the multiples of the tick on the clock of the day. So what is new of all partitions
/// comes in one burst, whoever holds them, and who reads it makes one frame of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    tick_ms: i64,
}

impl Grid {
    pub(super) fn of(config: &Config) -> Self {
        Grid { tick_ms: config.tick.signed().max(1) }
    }

    /// Within which tick a moment is. A clock that is set may name one again, or leave some out.
    pub(super) fn tick(self, at: Time) -> i64 {
        at.ms().div_euclid(self.tick_ms)
    }

    /// How long until the next tick begins.
    pub(super) fn until_next(self, at: Time) -> Duration {
        Duration::from_millis((self.tick_ms - at.ms().rem_euclid(self.tick_ms)).cast_unsigned())
    }
}

/// What was to be told, and what became of it.
pub(super) type Told = (Vec<Entry>, journal::Result<Vec<Position>>);

/// How often rows are told while events come fast. The first change after a quiet time is told at once.
pub(super) fn rows_every(config: &Config) -> Duration {
    config.tick.duration() * ROWS_TICKS
}

impl Membership<'_> {
    pub(super) fn has_news(&self, scope: Scope) -> bool {
        !self.outbox.is_empty() || self.shards.values().any(|shard| shard.has_news(scope))
    }

    /// Whether something is to be told at this tick.
    pub(super) fn is_tellable(&self, now: Duration) -> bool {
        self.telling.is_none() && self.has_news(self.scope(now))
    }

    /// How long until the tick begins in which views may be told again; nothing when none were told in this one.
    pub(super) fn until_tick(&self) -> Duration {
        let at = self.wall();
        if self.grid.tick(at) == self.told_in { self.grid.until_next(at) } else { Duration::ZERO }
    }

    /// What is told now. Rows are changed by many events and are large: they wait a little longer, and one frame speaks for all.
    pub(super) fn scope(&self, now: Duration) -> Scope {
        Scope { rows: now >= self.rows_told_at + rows_every(&self.of.config), details: self.tells_details(now) }
    }

    /// Totals before details: while the figures are older than they may be, single calls, agents and devices are told only
    /// now and then. What they would have said in between is never written, read or painted.
    pub(super) fn tells_details(&self, now: Duration) -> bool {
        !self.holds_details || now >= self.details_told_at + self.of.config.details_every.duration()
    }

    /// Puts what is new into the outbox.
    pub(super) fn gather(&mut self, now: Duration, scope: Scope) {
        let at = self.wall();
        if scope.details {
            self.details_told_at = now;
        }
        if scope.rows {
            self.rows_told_at = now;
        }
        for shard in self.shards.values_mut() {
            if scope.details || shard.has_news(Scope { details: true, ..scope }) {
                let current_at = shard.current_at();
                match (scope.details, self.holds_details) {
                    (true, true) => shard.details_held_since = Some(current_at),
                    (true, false) => shard.details_held_since = None,
                    // Put off for the first time: they are as old as the figures were when they were last told.
                    (false, _) => _ = shard.details_held_since.get_or_insert(current_at),
                }
            }
            if shard.has_news(scope) {
                self.outbox.add(shard, at, scope);
                self.outbox.add_fold(shard, at, &self.of.context.instance);
            }
        }
        self.told_in = self.grid.tick(at);
    }

    /// Begins to write what is in the outbox, unless it is being written. Folding goes on meanwhile.
    pub(super) fn begin_to_tell(&mut self) {
        if self.telling.is_some() || self.outbox.is_empty() {
            return;
        }
        let entries = self.outbox.take_portion();
        let mut commit = tell::ours(entries.clone(), self.generation);
        if std::mem::take(&mut self.tells_position) {
            // So that senders can be slowed and tools see the lag. Nobody resumes from it: the position that counts is in the store.
            commit.positions = self.shards.values().map(Shard::position).collect();
        }
        let journal = Arc::clone(&self.of.journal);
        let telling = async move { (entries, journal.append_and_commit(commit).await) };
        self.telling = Some(telling.boxed());
    }

    pub(super) fn told(&mut self, (entries, outcome): Told) -> Result<()> {
        self.telling = None;
        match outcome {
            Ok(_) => {
                self.of.telemetry.told(entries.len());
                self.begin_to_tell();
                Ok(())
            }
            // Somebody else has the partitions: nothing that we know may be told any more.
            Err(error @ journal::Error::Fenced { .. }) => Err(error.into()),
            // They wait in the outbox, the latest of each key, for the next tick.
            Err(error) if error.class() == journal::Class::Transient => {
                tracing::warn!(%error, frames = entries.len(), "live views not written, trying again");
                self.outbox.put_back(entries);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until everything in the outbox is told, or the journal takes nothing just now: then it stays there.
    pub(super) async fn tell_all(&mut self) -> Result<()> {
        self.begin_to_tell();
        while let Some(telling) = &mut self.telling {
            let told = telling.await;
            self.told(told)?;
        }
        Ok(())
    }

    /// Tells everything that is new.
    pub(super) async fn tell(&mut self, now: Duration, details: bool) -> Result<()> {
        self.gather(now, Scope { rows: true, details });
        self.tell_all().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_begin_at_the_same_moments_for_all() {
        let grid = Grid { tick_ms: 20 };
        for at in [-21, -20, -1, 0, 1, 19, 20, 1_700_000_000_013_i64] {
            let next = Time(at) + i64::try_from(grid.until_next(Time(at)).as_millis()).unwrap();
            assert_eq!((next.ms() % 20, grid.tick(next)), (0, grid.tick(Time(at)) + 1), "{at}");
            assert_eq!(grid.tick(next + -1), grid.tick(Time(at)), "{at}");
        }
    }
}
