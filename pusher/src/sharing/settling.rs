//! Which rows of the stream `views` are in the reports by now: past those a pusher that starts need not read.

use std::collections::{BTreeMap, VecDeque};

use store::Part;

/// Batches that are remembered; of more, the last take in what comes.
const BATCHES_MAX: usize = 4_096;

/// One partition of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settling {
    /// Where a batch began, and up to where each partition of events must be stored so that its rows are.
    waiting: VecDeque<(u64, BTreeMap<Part, u64>)>,
}

impl Settling {
    /// A batch that began at `from` has told rows: each folded up to so many events of its partition.
    pub fn told(&mut self, from: u64, rows: BTreeMap<Part, u64>) {
        if rows.is_empty() {
            return;
        }
        let full = self.waiting.len() >= BATCHES_MAX;
        match self.waiting.back_mut() {
            // Too many: the last waits for these, too. The position only stays behind a little more.
            Some((_, held)) if full => {
                for (part, number) in rows {
                    let held = held.entry(part).or_default();
                    *held = number.max(*held);
                }
            }
            _ => self.waiting.push_back((from, rows)),
        }
    }

    /// The reports are folded so far.
    pub fn stored(&mut self, progress: &BTreeMap<Part, u64>) {
        let is_there = |rows: &BTreeMap<Part, u64>| {
            rows.iter().all(|(part, number)| progress.get(part).is_some_and(|stored| stored >= number))
        };
        while self.waiting.front().is_some_and(|(_, rows)| is_there(rows)) {
            self.waiting.pop_front();
        }
    }

    /// From where a pusher that starts must read, when all before `next` is read here.
    pub fn from(&self, next: u64) -> u64 {
        self.waiting.front().map_or(next, |(from, _)| *from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(list: &[(u32, u64)]) -> BTreeMap<Part, u64> {
        list.iter().map(|(part, number)| (Part::new("events.call", *part), *number)).collect()
    }

    #[test]
    fn the_position_stays_before_rows_that_are_not_stored() {
        let mut settling = Settling::default();
        assert_eq!(settling.from(10), 10);
        settling.told(10, rows(&[(0, 5), (1, 7)]));
        settling.told(20, rows(&[(0, 6)]));
        settling.told(30, rows(&[]));
        settling.stored(&rows(&[(0, 9)]));
        assert_eq!(settling.from(40), 10, "partition 1 is not stored at all");
        settling.stored(&rows(&[(0, 5), (1, 7)]));
        assert_eq!(settling.from(40), 20);
        settling.stored(&rows(&[(0, 6), (1, 7)]));
        assert_eq!(settling.from(40), 40);
    }

    #[test]
    fn of_too_many_batches_the_last_waits_for_the_rest() {
        let mut settling = Settling::default();
        for n in 0..BATCHES_MAX as u64 + 10 {
            settling.told(n, rows(&[(0, n)]));
        }
        let last = BATCHES_MAX as u64 - 1;
        settling.stored(&rows(&[(0, last + 9)]));
        assert_eq!(settling.from(99_999), last);
        settling.stored(&rows(&[(0, last + 10)]));
        assert_eq!(settling.from(99_999), 99_999);
    }
}
