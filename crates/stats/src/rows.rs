//! Rows under construction: where contributions are added and taken back.
//!
//! Adding only notes the number down; equal cells are summed when the rows are taken. What counts for several things alike (a queue, its
//! tenant and its source) is noted once, for a scope that stands for all of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use model::{SourceId, TenantId, Time};

use crate::field::Field;
use crate::key::{Dim, Grains, RowKey};
use crate::tally::{Row, cut};

mod draft;
mod scope;

pub use draft::Draft;
pub use scope::Scope;

use draft::Drafts;
use scope::{SEVERAL_MAX, Scopes};

/// A span contributes to at most so many rows, from its beginning: two days of minutes, a month of quarter hours. A clock gone
/// wild cannot write a million rows. Durations that are kept whole are not clipped.
pub const SPREAD_ROWS_MAX: i64 = 3_200;

/// Beyond so many notes they are summed at once, so that memory follows the rows and not what was added to them.
const NOTES_MAX: usize = 1 << 20;

/// So many places are found again without the map.
const RECENT: usize = 32;

pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// Sums of contributions by row. Contributions carry a sign: what was added with 1 is taken back with −1.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    grains: Grains,
    scopes: Scopes,
    /// Which row a slot has at a time, and the place of its draft.
    places: Map<(u32, i64), u32>,
    keys: Vec<(u32, i64)>,
    /// The places asked for last: one event asks for few, again and again.
    recent: [Option<((u32, i64), u32)>; RECENT],
    drafts: Drafts,
}

impl Rows {
    /// No rows yet.
    pub fn new(grains: Grains) -> Rows {
        Rows { grains, ..Rows::default() }
    }

    /// The scope of one thing.
    pub fn scope(&mut self, tenant: &TenantId, source: &SourceId, dim: Dim, id: &Arc<str>) -> Scope {
        self.scopes.of(tenant, source, dim, id)
    }

    /// One scope for several things whose rows are equally long: what is added to it is added to each of them.
    pub fn together(&mut self, scopes: &[Scope]) -> Option<Scope> {
        debug_assert!(scopes.iter().all(|s| self.grains.of(s.dim) == self.grains.of(scopes[0].dim)));
        self.scopes.together(scopes)
    }

    fn place(&mut self, scope: &Scope, start: Time) -> u32 {
        let key = (scope.slot, start.0);
        let at = (scope.slot as usize ^ (start.0 / 60_000) as usize) % RECENT;
        if let Some((known, place)) = self.recent[at]
            && known == key
        {
            return place;
        }
        let next = self.keys.len() as u32;
        let place = *self.places.entry(key).or_insert(next);
        self.recent[at] = Some((key, place));
        if place == next {
            self.keys.push(key);
        }
        place
    }

    fn keep_small(&mut self) {
        if self.drafts.notes() > NOTES_MAX {
            self.drafts.sum_up(self.keys.len());
        }
    }

    /// A label as long as it may be, which is in memory once.
    pub(crate) fn word(&mut self, label: &str) -> Arc<str> {
        self.drafts.word(cut(label))
    }

    /// Where the row of `scope` that holds `at` is, and the one that holds `offer`: until the rows are taken.
    pub(crate) fn places(&mut self, scope: &Scope, at: Time, offer: Time) -> [u32; 2] {
        let (start, cohort) = (self.grains.start(scope.dim, at), self.grains.start(scope.dim, offer));
        let place = self.place(scope, start);
        [place, if cohort == start { place } else { self.place(scope, cohort) }]
    }

    /// The event-time tally of the row at a place.
    pub(crate) fn event_of(&mut self, place: u32) -> Draft<'_> {
        self.keep_small();
        self.drafts.event(place)
    }

    /// The cohort tally of the row at a place.
    pub(crate) fn cohort_of(&mut self, place: u32) -> Draft<'_> {
        self.keep_small();
        self.drafts.cohort(place)
    }

    /// The event-time tally of the row of `scope` that holds `at`.
    pub fn event(&mut self, scope: &Scope, at: Time) -> Draft<'_> {
        let place = self.place(scope, self.grains.start(scope.dim, at));
        self.keep_small();
        self.drafts.event(place)
    }

    /// Adds to the event-time tally of the row that holds `at` and to the cohort tally of the row that holds `offer`.
    pub fn both(&mut self, scope: &Scope, at: Time, offer: Time, mut add: impl FnMut(&mut Draft<'_>)) {
        let [event, cohort] = self.places(scope, at, offer);
        add(&mut self.event_of(event));
        add(&mut self.cohort_of(cohort));
    }

    /// Adds the milliseconds of [`from`, `to`) to the rows that it covers, each clipped to its borders.
    pub fn span(&mut self, scope: &Scope, from: Time, to: Time, sign: i64, add: impl Fn(&mut Draft<'_>, i64)) {
        let grain = self.grains.of(scope.dim);
        let to = to.min(from + grain * SPREAD_ROWS_MAX);
        let mut at = from;
        while at < to {
            let next = (self.grains.start(scope.dim, at) + grain).min(to);
            add(&mut self.event(scope, at), sign * (next - at));
            at = next;
        }
    }

    /// Adds one to a level from the second of `from` up to the second of `to`, half-open: who comes and goes in one second was
    /// never there, and one who comes in the second in which another goes does not overlap with them. With `to` absent only
    /// the coming is counted, because nothing more has happened.
    pub fn level(&mut self, scope: &Scope, field: Field, from: Time, to: Option<Time>, sign: i64) {
        let second = |t: Time| Time(t.0 - t.0.rem_euclid(1000));
        let (from, to) = (second(from), to.map(second));
        if to.is_some_and(|to| to <= from) {
            return;
        }
        self.step(scope, field, from, sign);
        let Some(to) = to else { return };
        self.carry(scope, field, from, to, sign);
        // a leave on a border is in no row: the row after the border does not begin with this one
        let reach = self.grains.of(scope.dim) * SPREAD_ROWS_MAX;
        if to > self.grains.start(scope.dim, to) && to - from <= reach {
            self.step(scope, field, to, -sign);
        }
    }

    /// Adds one to the first second of each row that begins after `from` and before `to`.
    pub fn carry(&mut self, scope: &Scope, field: Field, from: Time, to: Time, sign: i64) {
        let grain = self.grains.of(scope.dim);
        let to = to.min(from + grain * SPREAD_ROWS_MAX);
        let mut start = self.grains.start(scope.dim, from) + grain;
        while start < to {
            self.event(scope, start).add_cell(field, 0, sign);
            start = start + grain;
        }
    }

    fn step(&mut self, scope: &Scope, field: Field, at: Time, sign: i64) {
        let offset = (at - self.grains.start(scope.dim, at)) / 1000;
        self.event(scope, at).add_cell(field, offset as u32, sign);
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many rows; those of things that count together are one.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Takes out the rows that are not zero, in no order that means anything. What scopes stand for is kept for the next rows.
    pub fn take(&mut self) -> Vec<(RowKey, Row)> {
        let shared = self.share();
        self.drafts.sum_up(self.keys.len());
        let sums = self.drafts.sums();
        for (from, last, others) in shared {
            let row = std::mem::take(&mut sums[from as usize]);
            others.into_iter().flatten().for_each(|to| sums[to as usize].plus(&row));
            sums[last as usize].absorb(row);
        }
        let scopes = &self.scopes;
        let key = |(slot, start): (u32, i64)| scopes.key(slot, Time(start));
        let mut rows = Vec::with_capacity(self.keys.len()); // nearly all are not zero
        let all = self.keys.drain(..).zip(sums.drain(..));
        rows.extend(all.filter(|(_, row)| !row.is_zero()).map(|(k, row)| (key(k), row)));
        self.places.clear();
        self.recent = Default::default();
        self.scopes.forget_many();
        rows
    }

    /// The rows that count for several things: the place of each, and the places of the rows of those things, the last first.
    fn share(&mut self) -> Vec<(u32, u32, [Option<u32>; SEVERAL_MAX - 1])> {
        let mut shared = Vec::new();
        for from in 0..self.keys.len() {
            let (slot, start) = self.keys[from];
            let Some(parts) = self.scopes.parts(slot) else { continue };
            let Some((last, others)) = parts.split_last() else { continue };
            let mut places = [None; SEVERAL_MAX - 1];
            for (place, part) in places.iter_mut().zip(others) {
                *place = Some(self.place(part, Time(start)));
            }
            shared.push((from as u32, self.place(last, Time(start)), places));
        }
        shared
    }

    /// The rows that are not zero, in no order.
    pub fn into_rows(mut self) -> impl Iterator<Item = (RowKey, Row)> {
        self.take().into_iter()
    }

    /// The rows that are not zero, by key.
    pub fn sorted(self) -> Vec<(RowKey, Row)> {
        let mut rows: Vec<_> = self.into_rows().collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        rows
    }
}

/// A quick hasher for keys that come from configured systems; multiply and rotate (Fibonacci hashing).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            self.mix(rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    fn write_i64(&mut self, n: i64) {
        self.mix(n as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queue(rows: &mut Rows) -> Scope {
        rows.scope(&"t".into(), &"s".into(), Dim::Queue, &Arc::from("q"))
    }

    proptest! {
        #[test]
        fn clipped_parts_sum_to_the_whole_span(from in 0i64..10_000_000, len in 0i64..5_000_000) {
            let mut rows = Rows::new(Grains::default());
            let q = queue(&mut rows);
            rows.span(&q, Time(from), Time(from + len), 1, |t, ms| t.add(Field::WaitOverlapMs, ms));
            let all = rows.sorted();
            prop_assert_eq!(all.iter().map(|r| r.1.event.get(Field::WaitOverlapMs)).sum::<i64>(), len);
            prop_assert!(all.iter().all(|r| r.1.event.get(Field::WaitOverlapMs) <= 60_000));
        }

        #[test]
        fn a_level_is_one_within_its_seconds_and_none_elsewhere(from in 0i64..300_000, len in 0i64..200_000) {
            let mut rows = Rows::new(Grains::default());
            let q = queue(&mut rows);
            rows.level(&q, Field::Waiting, Time(from), Some(Time(from + len)), 1);
            let (a, b) = (from / 1000, (from + len) / 1000);
            let rows: std::collections::BTreeMap<i64, Row> = rows.sorted().into_iter().map(|(k, r)| (k.start.0, r)).collect();
            for s in 0..600 {
                let row = rows.get(&(s / 60 * 60_000));
                let level: i64 = row.map_or(0, |r| r.event.cells(Field::Waiting).filter(|c| i64::from(c.0) <= s % 60).map(|c| c.1).sum());
                prop_assert_eq!(level, i64::from(a <= s && s < b), "second {}", s);
            }
        }
    }

    #[test]
    fn notes_wait_while_they_are_few_and_are_summed_before_memory_follows_them() {
        let mut rows = Rows::new(Grains::default());
        let q = queue(&mut rows);
        for n in [1, NOTES_MAX as i64 - 1] {
            let mut draft = rows.event(&q, Time(0));
            (0..n).for_each(|_| draft.add(Field::Offered, 1));
            assert_eq!(rows.drafts.notes(), if n == 1 { 1 } else { NOTES_MAX }, "few enough");
        }
        rows.event(&q, Time(0)).add(Field::Offered, 1);
        assert_eq!(rows.drafts.notes(), NOTES_MAX + 1, "as many as may be");
        rows.event(&q, Time(0)).add(Field::Offered, 1);
        assert_eq!(rows.drafts.notes(), 1);
        assert_eq!(rows.sorted()[0].1.event.get(Field::Offered), NOTES_MAX as i64 + 2);
    }

    #[test]
    fn keys_that_are_nearly_alike_are_spread_over_a_table() {
        fn filled(keys: impl Iterator<Item = impl std::hash::Hash>) -> usize {
            let place = |key| BuildHasherDefault::<Mixer>::default().hash_one(key) as usize % 8_192;
            keys.map(place).collect::<std::collections::HashSet<_>>().len()
        }
        use std::hash::BuildHasher;
        // 8,192 keys thrown at random fill 5,178 of so many places
        for (what, places) in [
            ("rows of things by the minute", filled((0..8_192u32).map(|i| (i % 64, i64::from(i / 64) * 60_000)))),
            ("several slots", filled((0..8_192u32).map(|i| [i % 16, i / 16 % 64, i / 1_024, u32::MAX]))),
            ("calls by their number", filled((0..8_192).map(|i| format!("pbx1-1795227084.{i}")))),
            ("extensions", filled((0..8_192).map(|i| format!("PJSIP/{i:05}")))),
            ("numbers", filled((0..8_192u64).map(|i| i << 20))),
        ] {
            assert!(places > 4_500, "{what}: {places}");
        }
        let one = |n: u8| BuildHasherDefault::<Mixer>::default().hash_one(n);
        assert_eq!((0..=255).map(one).collect::<std::collections::HashSet<_>>().len(), 256);
    }

    #[test]
    fn a_clock_gone_wild_writes_a_bounded_number_of_rows() {
        let mut rows = Rows::new(Grains::default());
        let q = queue(&mut rows);
        rows.span(&q, Time(0), Time(i64::MAX / 4), 1, |t, ms| t.add(Field::WaitOverlapMs, ms));
        rows.level(&q, Field::Waiting, Time(0), Some(Time(i64::MAX / 4)), 1);
        assert!(rows.len() <= SPREAD_ROWS_MAX as usize + 1);
    }
}
