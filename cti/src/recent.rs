//! Who called of late: attempts, and where callers were led. In memory of a fixed size, however many call.
//!
//! A caller is a hash of the token of their number; the table is a cache of sets of [`WAYS`], in which the one heard of longest ago gives
//! way. Nothing is allocated after the start, so that no caller pays for the growth of a table.

use xxhash_rust::xxh3::xxh3_64;

/// Callers that share a set.
const WAYS: usize = 8;

/// What is remembered of a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    hash: u64,
    /// When they were last heard of, milliseconds; 0: nobody.
    last_ms: i64,
    /// Attempts since they were first heard of within the window, this one left out.
    pub attempts: u32,
    /// When they were last led elsewhere, milliseconds; 0: not of late.
    pub diverted_ms: i64,
    /// Which target of the queue's plan that was: its hash.
    pub target: u64,
    /// For which queue that was: its hash.
    pub queue: u64,
}

/// The table.
#[derive(Debug)]
pub struct Recent {
    sets: Vec<[Caller; WAYS]>,
    window_ms: i64,
}

impl Recent {
    /// A table of at least `callers_max` callers, who are remembered for `window_ms` after they were last heard of.
    pub fn new(callers_max: usize, window_ms: i64) -> Recent {
        let sets = callers_max.div_ceil(WAYS).max(1).next_power_of_two();
        Recent { sets: vec![[Caller::default(); WAYS]; sets], window_ms }
    }

    /// Notes an attempt of `caller` (their token), and tells what was known before it.
    pub fn attempt(&mut self, caller: &[u8], now_ms: i64) -> Caller {
        let hash = xxh3_64(caller);
        let window_ms = self.window_ms;
        let place = self.place(hash, now_ms);
        let known = place.hash == hash && place.last_ms > 0 && now_ms - place.last_ms <= window_ms;
        if !known {
            *place = Caller { hash, ..Caller::default() };
        }
        let before = *place;
        place.last_ms = now_ms.max(1);
        place.attempts = place.attempts.saturating_add(1);
        before
    }

    /// Notes that `caller` was led to `target` of `queue` (hashes).
    pub fn diverted(&mut self, caller: &[u8], queue: u64, target: u64, now_ms: i64) {
        let hash = xxh3_64(caller);
        let place = self.place(hash, now_ms);
        if place.hash == hash {
            (place.diverted_ms, place.target, place.queue) = (now_ms.max(1), target, queue);
        }
    }

    /// The caller's own place, or the one that gives way to them.
    fn place(&mut self, hash: u64, _now_ms: i64) -> &mut Caller {
        let at = hash as usize & (self.sets.len() - 1);
        let set = &mut self.sets[at];
        let own = set.iter().position(|known| known.hash == hash && known.last_ms > 0);
        let oldest = || set.iter().enumerate().min_by_key(|(_, known)| known.last_ms).map_or(0, |(way, _)| way);
        let way = own.unwrap_or_else(oldest);
        &mut set[way]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn attempts_are_counted_within_the_window_and_forgotten_behind_it() {
        let mut recent = Recent::new(100, 10 * MINUTE);
        let at = 1_795_000_000_000;
        let told: Vec<u32> = (0..3).map(|n| recent.attempt(b"ann", at + n * MINUTE).attempts).collect();
        assert_eq!(told, [0, 1, 2]);
        assert_eq!(recent.attempt(b"bob", at).attempts, 0);
        recent.diverted(b"ann", 7, 9, at + 3 * MINUTE);
        let again = recent.attempt(b"ann", at + 4 * MINUTE);
        assert_eq!((again.attempts, again.queue, again.target, again.diverted_ms), (3, 7, 9, at + 3 * MINUTE));
        assert_eq!(recent.attempt(b"ann", at + 15 * MINUTE), Caller { hash: xxh3_64(b"ann"), ..Caller::default() });
    }

    #[test]
    fn of_too_many_callers_those_heard_of_longest_ago_are_forgotten() {
        let mut recent = Recent::new(1_024, 60 * MINUTE);
        for n in 0..100_000_i64 {
            recent.attempt(&n.to_le_bytes(), 1_000 + n);
        }
        assert_eq!(recent.sets.len() * WAYS, 1_024, "fixed");
        let kept = (99_900..100_000_i64).filter(|n| recent.attempt(&n.to_le_bytes(), 200_000).attempts == 1).count();
        assert!(kept > 95, "{kept} of the last hundred");
        let old = (0..100_i64).filter(|n| recent.attempt(&n.to_le_bytes(), 200_001).attempts == 1).count();
        assert_eq!(old, 0);
    }
}
