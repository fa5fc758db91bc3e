//! What can go wrong between the PBX and its listeners.
//!
//! Faults touch the wire only: the centre goes on undisturbed and its ledger stays true. Which frame is hit is drawn from the
//! fault's own seeded stream.

use axum::body::Bytes;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::centre::chance::{self, Stream};
use crate::centre::{Class, Frame};

/// Kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Every session is cut, and nobody gets in until it is over.
    LinkDrop,
    /// The sessions of now keep their sockets and hear nothing more, not even answers, until it is over; then they are closed.
    /// New sessions are served.
    HalfOpen,
    /// Some events come twice, the second time a little later.
    Duplicate,
    /// Some events come a little later than others that followed them.
    Reorder,
    /// Events are held back and come all at once at the end.
    Delay,
    /// Frames that no PBX would send come between the events.
    Garbage,
}

/// A fault and how long it lasts, in simulated milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// For how long, ms.
    pub lasts_ms: i64,
}

/// A late frame is let go after so long at the latest, simulated ms.
const LATE_MS_MAX: i64 = 3_000;

/// The share of frames that a fault touches.
const SHARE: f64 = 0.15;

/// Faults in progress, and the frames they hold back.
#[derive(Debug)]
pub(crate) struct Mischief {
    rng: ChaCha8Rng,
    active: Vec<(Kind, i64)>,
    held: Vec<Frame>,
    late: Vec<Late>,
}

#[derive(Debug)]
struct Late {
    after: u32,
    since_ms: i64,
    frame: Frame,
}

impl Mischief {
    pub(crate) fn new(seed: u64) -> Mischief {
        Mischief { rng: chance::stream(seed, Stream::Faults), active: Vec::new(), held: Vec::new(), late: Vec::new() }
    }

    /// Starts a fault; the same kind again moves its end.
    pub(crate) fn start(&mut self, fault: Fault, now_ms: i64) {
        self.active.retain(|(kind, _)| *kind != fault.kind);
        self.active.push((fault.kind, now_ms + fault.lasts_ms));
    }

    /// Whether a fault is in progress.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.active.iter().any(|(active, _)| *active == kind)
    }

    /// The faults in progress and when each ends.
    pub(crate) fn active(&self) -> &[(Kind, i64)] {
        &self.active
    }

    /// Ends what is over; answers the kinds that ended.
    pub(crate) fn tick(&mut self, now_ms: i64) -> Vec<Kind> {
        let over = self.active.iter().filter(|(_, until)| *until <= now_ms).map(|(kind, _)| *kind).collect();
        self.active.retain(|(_, until)| *until > now_ms);
        over
    }

    /// When something must be done even if nobody speaks.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        let late = self.late.iter().map(|late| late.since_ms + LATE_MS_MAX).min();
        self.active.iter().map(|(_, until)| *until).chain(late).min()
    }

    /// Passes frames on, with what the faults do to them.
    pub(crate) fn pass(&mut self, frames: Vec<Frame>, now_ms: i64) -> Vec<Frame> {
        if self.active.is_empty() && self.held.is_empty() && self.late.is_empty() {
            return frames;
        }
        if self.is(Kind::Delay) {
            self.held.extend(frames);
            return Vec::new();
        }
        let mut out = Vec::with_capacity(frames.len() + self.held.len());
        let held = std::mem::take(&mut self.held);
        for frame in held.into_iter().chain(frames) {
            self.one(frame, now_ms, &mut out);
        }
        let overdue = |late: &Late| late.since_ms + LATE_MS_MAX <= now_ms;
        let quiet = !self.is(Kind::Duplicate) && !self.is(Kind::Reorder);
        for i in (0..self.late.len()).rev() {
            if quiet || overdue(&self.late[i]) {
                out.push(self.late.remove(i).frame);
            }
        }
        out
    }

    fn one(&mut self, frame: Frame, now_ms: i64, out: &mut Vec<Frame>) {
        if self.is(Kind::Garbage) && chance::happens(&mut self.rng, SHARE) {
            let garbage = self.garbage(&frame);
            out.push(garbage);
        }
        let after = self.rng.random_range(1..12);
        let late = |frame: &Frame| Late { after, since_ms: now_ms, frame: frame.clone() };
        if self.is(Kind::Duplicate) && chance::happens(&mut self.rng, SHARE) {
            self.late.push(late(&frame));
            out.push(frame);
        } else if self.is(Kind::Reorder) && chance::happens(&mut self.rng, SHARE) {
            self.late.push(late(&frame));
        } else {
            out.push(frame);
        }
        for i in (0..self.late.len()).rev() {
            self.late[i].after -= 1;
            if self.late[i].after == 0 {
                out.push(self.late.remove(i).frame);
            }
        }
    }

    /// Something that no PBX would send, closed by an empty line so that the next event stays whole.
    fn garbage(&mut self, near: &Frame) -> Frame {
        let text: Vec<u8> = match self.rng.random_range(0..6) {
            0 => b"\xff\xfe\x00\x01\x80binary\r\n\r\n".to_vec(),
            1 => b"this line has no colon\r\nnor has this\r\n\r\n".to_vec(),
            2 => [near.text.get(..near.text.len() / 3).unwrap_or(b"Event"), b"\r\n\r\n"].concat(),
            3 => [b"Event: ".as_slice(), &vec![b'x'; 20_000], b"\r\n\r\n"].concat(),
            4 => b"Event:\r\nUniqueid:\r\n: empty key\r\n\r\n".to_vec(),
            _ => b"Event: QueueCallerJoin\r\nQueue: \r\nPosition: -99999999999999999999\r\n\r\n".to_vec(),
        };
        Frame { class: Class::System, name: "garbage", at_us: near.at_us, text: Bytes::from(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(range: std::ops::Range<i64>) -> Vec<Frame> {
        range
            .map(|n| Frame {
                class: Class::Call,
                name: "Hold",
                at_us: n,
                text: Bytes::from(format!("Event: Hold\r\nN: {n}\r\n\r\n")),
            })
            .collect()
    }

    fn stamps(frames: &[Frame]) -> Vec<i64> {
        frames.iter().map(|frame| frame.at_us).collect()
    }

    #[test]
    fn reordering_loses_and_adds_nothing() {
        let mut mischief = Mischief::new(3);
        mischief.start(Fault { kind: Kind::Reorder, lasts_ms: 1_000 }, 0);
        let mut seen = stamps(&mischief.pass(frames(0..500), 10));
        assert!(seen.windows(2).any(|pair| pair[0] > pair[1]), "nothing moved");
        mischief.tick(2_000);
        seen.extend(stamps(&mischief.pass(Vec::new(), 2_000)));
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn duplication_keeps_every_event_and_repeats_some() {
        let mut mischief = Mischief::new(3);
        mischief.start(Fault { kind: Kind::Duplicate, lasts_ms: 1_000 }, 0);
        let seen = stamps(&mischief.pass(frames(0..500), 10));
        let mut distinct = seen.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 500);
        assert!(seen.len() > 530, "{}", seen.len());
    }

    #[test]
    fn a_delay_comes_out_whole_and_in_order() {
        let mut mischief = Mischief::new(3);
        mischief.start(Fault { kind: Kind::Delay, lasts_ms: 1_000 }, 0);
        assert!(mischief.pass(frames(0..10), 10).is_empty());
        assert_eq!(mischief.tick(1_000), [Kind::Delay]);
        assert_eq!(stamps(&mischief.pass(frames(10..12), 1_000)), (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn garbage_leaves_the_events_whole() {
        let mut mischief = Mischief::new(3);
        mischief.start(Fault { kind: Kind::Garbage, lasts_ms: 1_000 }, 0);
        let seen = mischief.pass(frames(0..200), 10);
        assert_eq!(seen.iter().filter(|frame| frame.name == "Hold").count(), 200);
        assert!(seen.iter().any(|frame| frame.name == "garbage"));
        assert!(seen.iter().all(|frame| frame.text.ends_with(b"\r\n\r\n")));
    }
}
