//! Events put back into the order of their timestamps, for links that shuffle them.
//!
//! A PBX keeps its own order, so this is off unless the operator asks for it: every event then waits until nothing earlier can
//! come any more.

use std::collections::BTreeMap;

use crate::frame::Frame;

/// The most events that wait; beyond that the oldest go on.
pub const HELD_MAX: usize = 65_536;
/// The most bytes of them.
pub const HELD_BYTES_MAX: usize = 64 << 20;

/// Events that wait for earlier ones.
#[derive(Debug, Default)]
pub struct Order {
    within_us: i64,
    held: BTreeMap<(i64, u64), Frame>,
    taken: u64,
    bytes: usize,
    newest_us: i64,
}

impl Order {
    /// Waits so long, by the PBX's clock; 0: not at all.
    pub fn within(us: i64) -> Order {
        Order { within_us: us, ..Order::default() }
    }

    /// Takes an event in; gives it back when there is nothing to wait for.
    pub fn push(&mut self, frame: Frame) -> Option<Frame> {
        let Some(us) = frame.timestamp_us().filter(|_| self.within_us > 0) else { return Some(frame) };
        self.newest_us = self.newest_us.max(us);
        self.bytes += frame.size();
        self.held.insert((us, self.taken), frame);
        self.taken += 1;
        None
    }

    /// The PBX's clock says so much.
    pub fn hear(&mut self, now_us: i64) {
        self.newest_us = self.newest_us.max(now_us);
    }

    /// The next event that has waited long enough.
    pub fn ready(&mut self) -> Option<Frame> {
        let (us, _) = *self.held.first_key_value()?.0;
        let over = us + self.within_us <= self.newest_us || self.held.len() > HELD_MAX || self.bytes > HELD_BYTES_MAX;
        if over { self.any() } else { None }
    }

    /// The next event, waited or not.
    pub fn any(&mut self) -> Option<Frame> {
        let (_, frame) = self.held.pop_first()?;
        self.bytes -= frame.size();
        Some(frame)
    }

    /// How long every event waits.
    pub fn within_us(&self) -> i64 {
        self.within_us
    }

    /// When the first that waits has waited long enough, by the PBX's clock.
    pub fn due_us(&self) -> Option<i64> {
        self.held.first_key_value().map(|((us, _), _)| us + self.within_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: i64) -> Frame {
        Frame::of([("Event".to_owned(), "X".to_owned()), ("Timestamp".to_owned(), format!("1.{us:06}"))])
    }

    #[test]
    fn shuffled_events_come_out_in_the_order_of_their_times() {
        let mut order = Order::within(100);
        let mut out = Vec::new();
        for us in [300, 250, 310, 290, 500, 420, 900] {
            assert_eq!(order.push(at(us)), None);
            out.extend(std::iter::from_fn(|| order.ready()));
        }
        assert_eq!(order.due_us(), Some(1_000_000 + 900 + 100));
        out.extend(std::iter::from_fn(|| order.any()));
        assert_eq!(out, [250, 290, 300, 310, 420, 500, 900].map(at));
    }

    #[test]
    fn a_flood_that_waits_is_held_in_bounded_memory() {
        let mut order = Order::within(1_000_000);
        let large = |us: i64| {
            let headers = [("Event", "X".to_owned()), ("Timestamp", format!("1.{us:06}")), ("A", "x".repeat(100_000))];
            Frame::of(headers)
        };
        for us in 0..2_000 {
            assert_eq!(order.push(large(us)), None);
            while order.ready().is_some() {}
            assert!(order.bytes <= HELD_BYTES_MAX);
        }
        while order.any().is_some() {}
        assert_eq!(order.bytes, 0);
    }

    #[test]
    fn without_a_wait_or_a_timestamp_nothing_is_held() {
        assert_eq!(Order::within(0).push(at(5)), Some(at(5)));
        let bare = Frame::of([("Event", "X")]);
        assert_eq!(Order::within(100).push(bare.clone()), Some(bare));
    }
}
