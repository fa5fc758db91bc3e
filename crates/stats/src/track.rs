//! Points of a state in time, in order whatever their arrival, and what they come to.
//!
//! A point may come a day late, so a day of points is kept: of an agent who takes calls, a thousand. All but the newest are packed
//! ([`chunk`]), in memory as in the store, where each chunk stands apart ([`stored`]): a new point writes no day. One that comes late is
//! put among them and counted anew from there on, until what holds is again what held ([`late`]): that costs what it changes, however
//! long the day was.

use std::collections::VecDeque;

use model::{Envelope, EventId, Quality, Time};
use serde::{Deserialize, Serialize};

mod chunk;
mod late;
mod stored;

pub use chunk::{In, Out, Pack};
pub use stored::{Missing, Piece};

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

/// What holds after a point, and with the next becomes something else. What holds before the first is the default.
pub trait Standing: Clone + Default + PartialEq {
    /// What a point says.
    type What: Pack;

    /// The next point.
    fn become_what(&mut self, at: Time, what: &Self::What);

    /// What holds after the next point.
    #[must_use]
    fn after(mut self, point: &Point<Self::What>) -> Self {
        self.become_what(point.time, &point.what);
        self
    }
}

/// Where it is counted what points come to; `sign` is -1 for what is taken back.
pub trait Count<S: Standing> {
    /// A point; `standing` is what holds after it.
    fn point(&mut self, standing: &S, point: &Point<S::What>, sign: i64);

    /// What held from one point to the next.
    fn span(&mut self, standing: &S, from: Time, to: Time, sign: i64);
}

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It was put in its place and counted.
    New,
    /// It was known already.
    Known,
    /// It was too long before the newest: refused.
    TooLate,
}

/// The points of the last 24 hours. What is older is settled: folded into a base that no late point changes.
///
/// **Invariant:** oldest, packed and recent, one after the other, are the points in order; of recent there is one if there is any.
/// **Invariant:** what is kept of standings is what going through the points from the base on would come to.
#[derive(Clone, Debug)]
pub struct Track<S: Standing> {
    /// What was unpacked to be settled.
    oldest: VecDeque<Point<S::What>>,
    packed: VecDeque<Packed<S>>,
    recent: VecDeque<Point<S::What>>,
    /// What holds before the recent points, since a late one asked for it.
    before_recent: Option<Box<S>>,
    /// What holds after the newest, since a point came.
    now: Option<S>,
    /// Of chunks: the number of the next.
    next: u32,
    /// Of chunks that are no more: what they stand by in the store.
    gone: Vec<u32>,
}

/// Some points that are not recent.
#[derive(Clone, Debug)]
struct Packed<S> {
    chunk: Chunk,
    /// What holds before them: of one in a few, since a late point asked for it.
    before: Option<Box<S>>,
    /// What it stands by in the store.
    number: u32,
    /// Whether the store has something by this number.
    stored: bool,
    /// Whether it is not what the store has.
    changed: bool,
}

impl<S: Standing> Default for Track<S> {
    fn default() -> Self {
        Track::of(VecDeque::new(), VecDeque::new())
    }
}

impl<S: Standing> Track<S> {
    /// Of points in order, none of them packed, with nothing known of standings.
    fn of(oldest: VecDeque<Point<S::What>>, recent: VecDeque<Point<S::What>>) -> Self {
        let (packed, gone) = (VecDeque::new(), Vec::new());
        Track { oldest, packed, recent, before_recent: None, now: None, next: 0, gone }
    }

    /// Puts a new chunk at a place among the others.
    fn put_chunk(&mut self, at: usize, chunk: Chunk) {
        self.packed.insert(at, Packed { chunk, before: None, number: self.next, stored: false, changed: true });
        self.next = self.next.wrapping_add(1);
    }

    /// The last of all.
    pub fn newest(&self) -> Option<&Point<S::What>> {
        self.recent.back()
    }

    /// Whether there are points before the recent ones.
    fn is_long(&self) -> bool {
        !self.packed.is_empty() || !self.oldest.is_empty()
    }

    /// Goes through all points, in order.
    fn each(&self, mut what: impl FnMut(&Point<S::What>)) {
        self.oldest.iter().for_each(&mut what);
        self.packed.iter().for_each(|packed| packed.chunk.points().iter().for_each(&mut what));
        self.recent.iter().for_each(what);
    }

    /// What holds after the newest. `base`: what holds before the first.
    pub fn standing(&self, base: &S) -> S {
        match (&self.now, &self.before_recent) {
            (Some(now), _) => now.clone(),
            (None, Some(before)) => self.recent.iter().fold(S::clone(before), S::after),
            (None, None) => {
                let mut s = base.clone();
                self.each(|p| s.become_what(p.time, &p.what));
                s
            }
        }
    }

    /// Puts a point in its place, and counts what that changes. `base`: what holds before the first, which points go into when no late one
    /// can come before them any more.
    pub fn add(&mut self, base: &mut S, point: Point<S::What>, count: &mut impl Count<S>) -> Added {
        // Whatever becomes of the point: who stores this is to store what holds, too.
        if self.now.is_none() {
            self.now = Some(self.standing(base));
        }
        match self.newest() {
            Some(newest) if newest.order() >= point.order() => {
                if newest.time - point.time > WINDOW_MS {
                    return Added::TooLate;
                }
                if !self.insert(base, point, count) {
                    return Added::Known;
                }
            }
            newest => {
                let before = newest.map(|newest| newest.time);
                let mut now = self.now.take().unwrap_or_else(|| self.standing(base));
                if let Some(before) = before {
                    count.span(&now, before, point.time, 1);
                }
                now.become_what(point.time, &point.what);
                count.point(&now, &point, 1);
                self.now = Some(now);
                self.recent.push_back(point);
            }
        }
        self.pack();
        self.settle(base);
        Added::New
    }

    fn pack(&mut self) {
        while self.recent.len() > 2 * CHUNK {
            let chunk = Chunk::of(self.recent.iter().take(CHUNK));
            let before = self.before_recent.take();
            let drained = self.recent.drain(..CHUNK);
            self.before_recent = before.clone().map(|before| Box::new(drained.fold(*before, |s, p| s.after(&p))));
            self.put_chunk(self.packed.len(), chunk);
            if let Some(before) = before {
                self.remember(self.packed.len() - 1, &before);
            }
        }
    }

    /// When the second point was.
    fn second(&self) -> Option<Time> {
        let recent = |at: usize| self.recent.get(at).map(|p| p.time);
        match (self.oldest.get(1), self.oldest.is_empty(), self.packed.front()) {
            (Some(second), ..) => Some(second.time),
            (None, true, Some(packed)) => Some(packed.chunk.second),
            (None, false, Some(packed)) => Some(packed.chunk.first),
            (None, is_empty, None) => recent(usize::from(is_empty)),
        }
    }

    /// Puts the oldest points into the base that no admissible late point can come before: all but the last of those that are older than
    /// the window.
    fn settle(&mut self, base: &mut S) {
        let Some(newest) = self.newest() else { return };
        let horizon = newest.time + -WINDOW_MS;
        while self.second().is_some_and(|second| second < horizon) {
            if self.oldest.is_empty()
                && let Some(packed) = self.packed.pop_front()
            {
                self.gone.extend(packed.stored.then_some(packed.number));
                self.oldest.extend(packed.chunk.points());
            }
            let settled = self.oldest.pop_front().or_else(|| {
                self.before_recent = None;
                self.recent.pop_front()
            });
            if let Some(p) = settled {
                base.become_what(p.time, &p.what);
            }
        }
    }
}

impl<S: Standing<What: PartialEq + Clone>> PartialEq for Track<S> {
    /// Whether the points are the same, however they are packed, and whatever is known of standings: that depends on their arrival.
    fn eq(&self, other: &Self) -> bool {
        let all = |track: &Self| {
            let mut points = Vec::new();
            track.each(|p| points.push(p.clone()));
            points
        };
        all(self) == all(other)
    }
}

#[cfg(test)]
mod tests;
