//! What has settled: agents come and go, phones register anew, and a PBX need not hear of every blink. Pure.
//!
//! A queue whose phones change is written when they have stayed so for a while; one that has none left, much later: a fault that makes
//! everybody seem gone must not empty the phones that are needed in just that fault.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What one PBX shall hold, as it settles.
#[derive(Clone, Debug, Default)]
pub struct Settling {
    settled: BTreeMap<String, String>,
    /// What would replace it, and since when it is so.
    pending: BTreeMap<String, (Option<String>, Duration)>,
}

impl Settling {
    /// Takes in what is so at `now` (a monotonic time), and gives what has settled.
    pub fn see(
        &mut self,
        seen: &BTreeMap<String, String>,
        now: Duration,
        after: Duration,
        emptied_after: Duration,
    ) -> &BTreeMap<String, String> {
        let keys: BTreeSet<String> =
            seen.keys().chain(self.settled.keys()).chain(self.pending.keys()).cloned().collect();
        for key in keys {
            let is = seen.get(&key);
            if is == self.settled.get(&key) {
                self.pending.remove(&key);
                continue;
            }
            let pending = self.pending.entry(key.clone()).or_insert_with(|| (is.cloned(), now));
            if pending.0.as_ref() != is {
                *pending = (is.cloned(), now);
            }
            let due = if is.is_some() { after } else { emptied_after };
            if now.saturating_sub(pending.1) < due {
                continue;
            }
            self.pending.remove(&key);
            match is {
                Some(value) => _ = self.settled.insert(key, value.clone()),
                None => _ = self.settled.remove(&key),
            }
        }
        &self.settled
    }

    /// What stood there before anything was seen here.
    pub fn seed(&mut self, held: impl IntoIterator<Item = (String, String)>) {
        for (key, value) in held {
            self.settled.entry(key).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn what_blinks_is_not_written_and_an_emptied_queue_keeps_its_phones_for_long() {
        let of = |value: &str| BTreeMap::from([("sales".to_owned(), value.to_owned())]);
        let mut it = Settling::default();
        let mut see =
            |seen: &BTreeMap<String, String>, at: u64| it.see(seen, s(at), s(5), s(300)).get("sales").cloned();
        assert_eq!(see(&of("a"), 0), None);
        assert_eq!(see(&of("a"), 5).as_deref(), Some("a"));
        assert_eq!(see(&of("b"), 6).as_deref(), Some("a"));
        assert_eq!(see(&of("a"), 9).as_deref(), Some("a"), "it blinked");
        assert_eq!(see(&of("b"), 12).as_deref(), Some("a"), "counted anew");
        assert_eq!(see(&of("c"), 16).as_deref(), Some("a"), "another again");
        assert_eq!(see(&of("c"), 21).as_deref(), Some("c"));
        let none = BTreeMap::new();
        assert_eq!(see(&none, 30).as_deref(), Some("c"));
        assert_eq!(see(&none, 329).as_deref(), Some("c"));
        assert_eq!(see(&none, 330), None);
    }
}
