//! Points of a state in time, in order whatever their arrival.
//!
//! A point may come a day late, so a day of points is kept: of an agent who takes calls, a thousand. All but the newest are packed
//! ([`chunk`]), in memory as in the store.

use std::collections::VecDeque;

use model::{Envelope, EventId, Quality, Time};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod chunk;

pub use chunk::{In, Out, Pack};

use chunk::Chunk;

/// A point is accepted up to so long before the newest, in milliseconds: 24 hours.
pub const WINDOW_MS: i64 = 24 * 3_600_000;

/// So many points are packed together, and as many stay as they are.
const CHUNK: usize = 16;

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

/// What orders points.
type Order<'a> = (Time, Option<u64>, u8, &'a EventId);

impl<P> Point<P> {
    /// A point from an event.
    pub fn new(e: &Envelope, what: P) -> Point<P> {
        Point { time: e.time, seq: e.seq, rank: e.event.rank(), id: e.id.clone(), quality: e.quality, what }
    }

    /// What orders points.
    pub fn order(&self) -> Order<'_> {
        (self.time, self.seq, self.rank, &self.id)
    }
}

/// Where a point went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// After all others.
    Last,
    /// Before the one that was at this place of [`Track::recent`].
    At(usize),
    /// Already known.
    Duplicate,
    /// Too long before the newest: refused.
    TooLate,
}

/// The points of the last 24 hours. What is older is settled: folded into a base that no late point changes.
///
/// **Invariant:** oldest, packed and recent, one after the other, are the points in order; of recent there is one if there is any.
#[derive(Clone, Debug)]
pub struct Track<P> {
    /// What was unpacked to be settled.
    oldest: VecDeque<Point<P>>,
    packed: VecDeque<Chunk>,
    recent: VecDeque<Point<P>>,
}

impl<P> Default for Track<P> {
    fn default() -> Self {
        Track { oldest: VecDeque::new(), packed: VecDeque::new(), recent: VecDeque::new() }
    }
}

impl<P> Track<P> {
    /// The newest points, in order. [`Track::each_before`] has those before them.
    pub fn recent(&self) -> &VecDeque<Point<P>> {
        &self.recent
    }

    /// The last of all.
    pub fn newest(&self) -> Option<&Point<P>> {
        self.recent.back()
    }

    /// Whether there are points before the recent ones.
    fn is_long(&self) -> bool {
        !self.packed.is_empty() || !self.oldest.is_empty()
    }

    /// When the second point was.
    fn second(&self) -> Option<Time> {
        let recent = |at: usize| self.recent.get(at).map(|p| p.time);
        match (self.oldest.get(1), self.oldest.is_empty(), self.packed.front()) {
            (Some(second), ..) => Some(second.time),
            (None, true, Some(chunk)) => Some(chunk.second),
            (None, false, Some(chunk)) => Some(chunk.first),
            (None, is_empty, None) => recent(usize::from(is_empty)),
        }
    }
}

impl<P: Pack> Track<P> {
    /// Goes through the points before the recent ones, in order.
    pub fn each_before(&self, mut what: impl FnMut(&Point<P>)) {
        self.oldest.iter().for_each(&mut what);
        for chunk in &self.packed {
            chunk.points().iter().for_each(&mut what);
        }
    }

    /// Goes through all points, in order.
    pub fn each(&self, mut what: impl FnMut(&Point<P>)) {
        self.each_before(&mut what);
        self.recent.iter().for_each(what);
    }

    /// Where `point` belongs. What comes before the recent points makes all recent.
    pub fn place(&mut self, point: &Point<P>) -> Placed {
        let Some(newest) = self.newest() else { return Placed::Last };
        if newest.order() < point.order() {
            return Placed::Last;
        }
        if newest.time - point.time > WINDOW_MS {
            return Placed::TooLate;
        }
        let before_recent = self.recent.front().is_some_and(|first| point.order() < first.order());
        if before_recent && self.is_long() {
            if self.holds_before(point.order()) {
                return Placed::Duplicate;
            }
            self.unpack();
        }
        match self.recent.binary_search_by(|p| p.order().cmp(&point.order())) {
            Ok(_) => Placed::Duplicate,
            Err(i) => Placed::At(i),
        }
    }

    fn holds_before(&self, order: Order<'_>) -> bool {
        let is_it = |p: &Point<P>| p.order() == order;
        let mut chunks = self.packed.iter().peekable();
        while let Some(chunk) = chunks.next() {
            let over = chunks.peek().is_some_and(|next| next.first < order.0);
            if chunk.first <= order.0 && !over && chunk.points().iter().any(is_it) {
                return true;
            }
        }
        self.oldest.iter().any(is_it)
    }

    fn unpack(&mut self) {
        let mut all = std::mem::take(&mut self.oldest);
        for chunk in self.packed.drain(..) {
            all.extend(chunk.points());
        }
        all.append(&mut self.recent);
        self.recent = all;
    }

    fn pack(&mut self) {
        while self.recent.len() >= 2 * CHUNK {
            self.packed.push_back(Chunk::of(self.recent.iter().take(CHUNK)));
            self.recent.drain(..CHUNK);
        }
    }

    /// Puts `point` where [`Track::place`] said.
    pub fn put(&mut self, placed: Placed, point: Point<P>) {
        match placed {
            Placed::Last => {
                self.pack();
                self.recent.push_back(point);
            }
            Placed::At(i) => self.recent.insert(i, point),
            Placed::Duplicate | Placed::TooLate => {}
        }
    }

    /// Takes out the oldest points that no admissible late point can come before: all but the last of those that are
    /// older than the window.
    pub fn settle(&mut self) -> Vec<Point<P>> {
        let Some(newest) = self.newest() else { return Vec::new() };
        let horizon = newest.time + -WINDOW_MS;
        let mut settled = Vec::new(); // nearly always it stays so: nothing is old but the one that must stay
        while self.second().is_some_and(|second| second < horizon) {
            if self.oldest.is_empty()
                && let Some(chunk) = self.packed.pop_front()
            {
                self.oldest.extend(chunk.points());
            }
            settled.extend(self.oldest.pop_front().or_else(|| self.recent.pop_front()));
        }
        settled
    }
}

impl<P: Pack + Clone + PartialEq> PartialEq for Track<P> {
    /// Whether the points are the same, however they are packed: that depends on their arrival.
    fn eq(&self, other: &Self) -> bool {
        let all = |track: &Self| {
            let mut points = Vec::new();
            track.each(|p| points.push(p.clone()));
            points
        };
        all(self) == all(other)
    }
}

/// A short track as it has always been stored, and a long one by other names: a version that does not know those must not take it
/// for an empty one.
#[derive(Serialize)]
#[serde(untagged)]
enum Stored<'a, P> {
    Short { points: &'a VecDeque<Point<P>> },
    Long { oldest: &'a VecDeque<Point<P>>, chunks: Vec<String>, recent: &'a VecDeque<Point<P>> },
}

impl<P: Serialize> Serialize for Track<P> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let stored = if self.is_long() {
            let chunks = self.packed.iter().map(Chunk::to_text).collect();
            Stored::Long { oldest: &self.oldest, chunks, recent: &self.recent }
        } else {
            Stored::Short { points: &self.recent }
        };
        stored.serialize(s)
    }
}

#[derive(Deserialize)]
struct Read<P> {
    points: Option<VecDeque<Point<P>>>,
    #[serde(default = "VecDeque::new")]
    oldest: VecDeque<Point<P>>,
    #[serde(default)]
    chunks: Vec<String>,
    #[serde(default = "VecDeque::new")]
    recent: VecDeque<Point<P>>,
}

impl<'de, P: Deserialize<'de> + Pack> Deserialize<'de> for Track<P> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(d)?;
        if let Some(points) = read.points {
            let mut track = Track { recent: points, ..Track::default() };
            track.pack();
            return Ok(track);
        }
        if read.recent.is_empty() {
            return Err(D::Error::custom("neither points nor recent ones"));
        }
        let packed = read.chunks.iter().map(|text| Chunk::from_text::<P>(text)).collect::<Option<_>>();
        let packed = packed.ok_or_else(|| D::Error::custom("a chunk of points is damaged"))?;
        Ok(Track { oldest: read.oldest, packed, recent: read.recent })
    }
}

#[cfg(test)]
mod tests;
