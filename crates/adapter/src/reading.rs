//! What a session told in passing, between what is written: signs of life, and how far it has seen.

use model::Time;

use crate::contract::Batch;

/// What one session remembers in the loop.
#[derive(Default)]
pub(crate) struct Reading {
    /// Other sessions hear the same at the same time.
    pub(crate) paired: bool,
    /// The vendor showed life since the last heartbeat.
    pub(crate) alive: bool,
    /// How far it was seen then.
    pub(crate) seen: Option<Time>,
    pub(crate) round_trip_ms: Option<u64>,
    /// How far it says that it has seen; `None`: it never says.
    pub(crate) says_seen: Option<Time>,
    /// Something was given that was not acknowledged.
    pub(crate) given: bool,
    pub(crate) over: bool,
    /// It has nothing more to learn from what another session stored.
    pub(crate) learned: bool,
}

impl Reading {
    /// Takes in what a batch says in passing, and says in it how far was seen where the session does not.
    pub(crate) fn heard(&mut self, batch: &mut Batch, now: Time) {
        self.says_seen = batch.seen_until.or(self.says_seen);
        // Who tells it by the vendor's clock tells it when it is true; of all others it is what we have seen by now.
        let seen = self.says_seen.or((!self.paired).then_some(now));
        if self.says_seen.is_none() && !batch.facts.is_empty() {
            batch.seen_until = seen;
        }
        (self.alive, self.seen) = (true, seen);
        self.round_trip_ms = batch.round_trip_ms.or(self.round_trip_ms);
    }
}
