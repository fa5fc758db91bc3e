//! Points of a state in time, in order whatever their arrival.

use std::collections::VecDeque;

use model::{Envelope, EventId, Quality, Time};
use serde::{Deserialize, Serialize};

/// A point is accepted up to so long before the newest, in milliseconds: 24 hours.
pub const WINDOW_MS: i64 = 24 * 3_600_000;

/// What a state became at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point<P> {
    /// When.
    #[serde(with = "ms")]
    pub time: Time,
    /// The vendor's order.
    pub seq: Option<u64>,
    /// The place of its type among events of one instant.
    pub rank: u8,
    /// Which event said so.
    pub id: EventId,
    /// How it is known.
    pub quality: Option<Quality>,
    /// What it became.
    pub what: P,
}

/// Times inside stored state are plain milliseconds: shorter, and quicker to read.
pub(crate) mod ms {
    use model::Time;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(t: &Time, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(t.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
        i64::deserialize(d).map(Time)
    }
}

impl<P> Point<P> {
    /// A point from an event.
    pub fn new(e: &Envelope, what: P) -> Point<P> {
        Point { time: e.time, seq: e.seq, rank: e.event.rank(), id: e.id.clone(), quality: e.quality, what }
    }

    /// What orders points.
    pub fn order(&self) -> (Time, Option<u64>, u8, &EventId) {
        (self.time, self.seq, self.rank, &self.id)
    }
}

/// Where a point went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// After all others.
    Last,
    /// Before the one that was at this place.
    At(usize),
    /// Already known.
    Duplicate,
    /// Too long before the newest: refused.
    TooLate,
}

/// The points of the last 24 hours. What is older is settled: folded into a base that no late point changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track<P> {
    points: VecDeque<Point<P>>,
}

impl<P> Default for Track<P> {
    fn default() -> Self {
        Track { points: VecDeque::new() }
    }
}

impl<P> Track<P> {
    /// The points, in order.
    pub fn points(&self) -> &VecDeque<Point<P>> {
        &self.points
    }

    /// The last of them.
    pub fn newest(&self) -> Option<&Point<P>> {
        self.points.back()
    }

    /// Where `point` belongs.
    pub fn place(&self, point: &Point<P>) -> Placed {
        let Some(newest) = self.newest() else { return Placed::Last };
        if newest.order() < point.order() {
            return Placed::Last;
        }
        if newest.time - point.time > WINDOW_MS {
            return Placed::TooLate;
        }
        match self.points.binary_search_by(|p| p.order().cmp(&point.order())) {
            Ok(_) => Placed::Duplicate,
            Err(i) => Placed::At(i),
        }
    }

    /// Puts `point` where [`Track::place`] said.
    pub fn put(&mut self, placed: Placed, point: Point<P>) {
        match placed {
            Placed::Last => self.points.push_back(point),
            Placed::At(i) => self.points.insert(i, point),
            Placed::Duplicate | Placed::TooLate => {}
        }
    }

    /// Takes out the oldest points that no admissible late point can come before: all but the last of those that are
    /// older than the window.
    pub fn settle(&mut self) -> Vec<Point<P>> {
        let Some(newest) = self.newest() else { return Vec::new() };
        let horizon = newest.time + -WINDOW_MS;
        if self.points.get(1).is_none_or(|second| second.time >= horizon) {
            return Vec::new(); // nearly always: nothing is old but the one that must stay
        }
        let old = self.points.partition_point(|p| p.time < horizon);
        self.points.drain(..old.saturating_sub(1)).collect()
    }
}
