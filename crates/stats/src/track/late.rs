//! A point among those that came before it.
//!
//! What it changes is counted from its place on, and only until what holds is again what held: mostly that is the next point. What holds
//! before its place is remembered here and there once somebody came late, so that the day is not gone through for each who does.

use std::ops::ControlFlow;

use model::Time;

use super::chunk::Chunk;
use super::{CHUNK, Count, Order, Packed, Point, Standing, Track};

/// Of so many chunks in a row it is remembered once what holds before them.
const REMEMBERED: usize = 4;

/// Where a point belongs: in which part, and there before which point.
enum Place<W> {
    Oldest(usize),
    /// In which chunk; what is in it.
    Packed(usize, usize, Vec<Point<W>>),
    Recent(usize),
}

impl<S: Standing> Track<S> {
    /// Puts a point in that is not the newest, and counts what that changes. Whether it was new.
    pub(super) fn insert(&mut self, base: &S, point: Point<S::What>, count: &mut impl Count<S>) -> bool {
        match self.find(point.order()) {
            None => return false,
            Some(Place::Oldest(at)) => {
                let mut recount = Recount::begin(base.clone(), self.oldest.range(..at), &point, count);
                let flow = recount.through(self.oldest.range(at..));
                self.oldest.insert(at, point);
                self.go_on(recount, flow, 0);
            }
            Some(Place::Packed(n, at, mut points)) => {
                let mut recount = Recount::begin(self.before(base, n), points[..at].iter(), &point, count);
                let flow = recount.through(points[at..].iter());
                points.insert(at, point);
                let next = self.pack_again(n, &points);
                self.go_on(recount, flow, next);
            }
            Some(Place::Recent(at)) => {
                let before = self.before(base, self.packed.len());
                let mut recount = Recount::begin(before, self.recent.range(..at), &point, count);
                let flow = recount.through(self.recent.range(at..));
                self.recent.insert(at, point);
                if flow.is_continue() {
                    self.now = Some(recount.new);
                }
            }
        }
        true
    }

    /// Where a point belongs that is not the newest; `None`: it is there already.
    fn find(&self, order: Order<'_>) -> Option<Place<S::What>> {
        let by = |p: &Point<S::What>| p.order().cmp(&order);
        let begins_by = |packed: &Packed<S>| match packed.chunk.first.cmp(&order.0) {
            std::cmp::Ordering::Equal => packed.chunk.head::<S::What>().order() <= order,
            apart => apart.is_lt(),
        };
        if !self.is_long() || self.recent.front().is_some_and(|first| first.order() <= order) {
            return self.recent.binary_search_by(by).err().map(Place::Recent);
        }
        let begun = self.packed.partition_point(begins_by);
        if begun == 0 && !self.oldest.is_empty() {
            return self.oldest.binary_search_by(by).err().map(Place::Oldest);
        }
        let n = begun.saturating_sub(1);
        let points = self.packed[n].chunk.points();
        points.binary_search_by(by).err().map(|at| Place::Packed(n, at, points))
    }

    /// Packs a chunk's points again, into two when they have become many; which chunk comes after them.
    fn pack_again(&mut self, n: usize, points: &[Point<S::What>]) -> usize {
        let (one, other) = points.split_at(if points.len() > 2 * CHUNK { points.len() / 2 } else { points.len() });
        let packed = &mut self.packed[n];
        (packed.chunk, packed.changed) = (Chunk::of(one.iter()), true);
        if other.is_empty() {
            return n + 1;
        }
        self.put_chunk(n + 1, Chunk::of(other.iter()));
        n + 2
    }

    /// What holds before a chunk, or before the recent points when there are no more chunks.
    fn before(&mut self, base: &S, n: usize) -> S {
        let is_recent = n == self.packed.len();
        if is_recent && let Some(before) = &self.before_recent {
            return S::clone(before);
        }
        let known = (0..self.packed.len().min(n + 1)).rev().find_map(|i| Some((i, self.packed[i].before.as_deref()?)));
        let (from, mut s) = known.map_or_else(
            || (0, self.oldest.iter().fold(base.clone(), Standing::after)),
            |(i, before)| (i, before.clone()),
        );
        for i in from..n {
            self.remember(i, &s);
            s = self.packed[i].chunk.points().iter().fold(s, Standing::after);
        }
        if is_recent {
            self.before_recent = Some(Box::new(s.clone()));
        } else {
            self.remember(n, &s);
        }
        s
    }

    /// Notes what holds before a chunk, if that is not noted of one shortly before.
    pub(super) fn remember(&mut self, n: usize, before: &S) {
        let mut near = self.packed.range(n.saturating_sub(REMEMBERED - 1)..=n);
        if near.all(|packed| packed.before.is_none()) {
            self.packed[n].before = Some(Box::new(before.clone()));
        }
    }

    /// Goes on counting from chunk `n` on, unless it is over.
    fn go_on<C: Count<S>>(&mut self, mut recount: Recount<'_, S, C>, mut flow: ControlFlow<()>, n: usize) {
        for packed in self.packed.iter_mut().skip(n) {
            if flow.is_break() {
                return;
            }
            packed.before.iter_mut().for_each(|before| before.as_mut().clone_from(&recount.new));
            flow = recount.through(packed.chunk.points().iter());
        }
        if flow.is_break() {
            return;
        }
        self.before_recent.iter_mut().for_each(|before| before.as_mut().clone_from(&recount.new));
        if recount.through(self.recent.iter()).is_continue() {
            self.now = Some(recount.new);
        }
    }
}

/// Goes through the points after a new one, with what held without it and what holds with it.
struct Recount<'a, S, C> {
    old: S,
    new: S,
    /// When the point before was, without the new one and with it.
    last: (Option<Time>, Time),
    count: &'a mut C,
}

impl<'a, S: Standing, C: Count<S>> Recount<'a, S, C> {
    /// Counts the point itself. `s`: what holds before the points that are before it.
    fn begin<'p>(
        mut s: S,
        before: impl Iterator<Item = &'p Point<S::What>>,
        point: &Point<S::What>,
        count: &'a mut C,
    ) -> Self
    where
        S::What: 'p,
    {
        let mut last = None;
        for p in before {
            s = s.after(p);
            last = Some(p.time);
        }
        if let Some(last) = last {
            count.span(&s, last, point.time, 1);
        }
        let new = s.clone().after(point);
        count.point(&new, point, 1);
        Recount { old: s, new, last: (last, point.time), count }
    }

    /// The points that come next; breaks when what holds after one of them is what held.
    fn through<'p>(&mut self, mut points: impl Iterator<Item = &'p Point<S::What>>) -> ControlFlow<()>
    where
        S::What: 'p,
    {
        points.try_for_each(|p| self.step(p))
    }

    fn step(&mut self, p: &Point<S::What>) -> ControlFlow<()> {
        let (old, new) = self.last;
        if let Some(old) = old {
            self.count.span(&self.old, old, p.time, -1);
        }
        self.count.span(&self.new, new, p.time, 1);
        self.old.become_what(p.time, &p.what);
        self.new.become_what(p.time, &p.what);
        if self.old == self.new {
            return ControlFlow::Break(());
        }
        self.count.point(&self.old, p, -1);
        self.count.point(&self.new, p, 1);
        self.last = (Some(p.time), p.time);
        ControlFlow::Continue(())
    }
}
