//! A tally: everything that is counted, as one sparse vector of whole numbers. An abelian group: tallies add in any order
//! and any grouping, and what was added can be taken back. A row is two of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::few::Few;
use crate::field::Field;
use crate::hist::{self, Hist};

/// Labels are cut to so many bytes.
pub const LABEL_BYTES_MAX: usize = 64;

const SUB_BITS: u32 = 24;
const SUB_MAX: u32 = (1 << SUB_BITS) - 1;

/// A sparse vector: (field, sub) → whole number, and (field, text) → whole number.
///
/// **Invariant:** cells are sorted, and no cell is 0; so equal tallies are equal in memory and on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub(crate) cells: Vec<(u32, i64)>,
    pub(crate) labels: Few<(u8, Arc<str>), i64>,
}

/// What a cell is sorted by.
pub(crate) fn cell_key(field: Field, sub: u32) -> u32 {
    ((field as u32) << SUB_BITS) | sub.min(SUB_MAX)
}

impl Tally {
    /// The neutral element.
    pub fn new() -> Tally {
        Tally::default()
    }

    /// Of cells in order, each once and none 0.
    pub(crate) fn of_cells(cells: Vec<(u32, i64)>) -> Tally {
        debug_assert!(cells.is_sorted_by(|a, b| a.0 < b.0) && cells.iter().all(|c| c.1 != 0));
        Tally { cells, labels: Few::new() }
    }

    /// Whether nothing is counted.
    pub fn is_zero(&self) -> bool {
        self.cells.is_empty() && self.labels.is_empty()
    }

    /// Adds `n` to a field of one cell.
    pub fn add(&mut self, field: Field, n: i64) {
        self.add_cell(field, 0, n);
    }

    /// Adds `n` to one cell of a field.
    pub fn add_cell(&mut self, field: Field, sub: u32, n: i64) {
        self.add_key(cell_key(field, sub), n);
    }

    fn add_key(&mut self, key: u32, n: i64) {
        if n == 0 {
            return;
        }
        match self.cells.binary_search_by_key(&key, |c| c.0) {
            Ok(i) => {
                self.cells[i].1 += n;
                if self.cells[i].1 == 0 {
                    self.cells.remove(i);
                }
            }
            Err(i) => {
                if self.cells.capacity() == 0 {
                    self.cells.reserve(12); // a row of a queue has about so many
                }
                self.cells.insert(i, (key, n));
            }
        }
    }

    /// Counts a duration `n` times in a histogram.
    pub fn observe(&mut self, field: Field, ms: i64, n: i64) {
        self.add_cell(field, hist::bucket(ms), n);
    }

    /// Adds `n` to a label of a field.
    pub fn add_label(&mut self, field: Field, label: &str, n: i64) {
        if n != 0 {
            self.add_shared_label(field as u8, Arc::from(cut(label)), n);
        }
    }

    /// Adds `n`, which is not 0, to a label that is short enough.
    pub(crate) fn add_shared_label(&mut self, field: u8, label: Arc<str>, n: i64) {
        let key = (field, label);
        if let Some(sum) = self.labels.get_mut(&key) {
            *sum += n;
            if *sum == 0 {
                self.labels.remove(&key);
            }
        } else {
            self.labels.insert(key, n);
        }
    }

    /// The value of a field of one cell.
    pub fn get(&self, field: Field) -> i64 {
        self.cell(field, 0)
    }

    /// The value of one cell.
    pub fn cell(&self, field: Field, sub: u32) -> i64 {
        let key = cell_key(field, sub);
        self.cells.binary_search_by_key(&key, |c| c.0).map_or(0, |i| self.cells[i].1)
    }

    /// The cells of a field that are not 0, as (sub, value), ascending.
    pub fn cells(&self, field: Field) -> impl Iterator<Item = (u32, i64)> + '_ {
        let from = self.cells.partition_point(|c| c.0 < cell_key(field, 0));
        self.cells[from..].iter().take_while(move |c| c.0 >> SUB_BITS == field as u32).map(|c| (c.0 & SUB_MAX, c.1))
    }

    /// The sum over all cells of a field.
    pub fn total(&self, field: Field) -> i64 {
        self.cells(field).map(|c| c.1).sum()
    }

    /// The labels of a field with their values, ascending.
    pub fn labels(&self, field: Field) -> impl Iterator<Item = (&str, i64)> + '_ {
        self.labels.iter().filter(move |l| l.0.0 == field as u8).map(|((_, text), n)| (&**text, *n))
    }

    /// Several histograms as one.
    pub fn hist(&self, fields: &[Field]) -> Hist {
        Hist::new(fields.iter().flat_map(|f| self.cells(*f)).collect())
    }

    /// Adds another tally.
    pub fn plus(&mut self, other: &Tally) {
        self.combine(other, 1);
    }

    /// Adds another tally that nobody needs any more.
    pub(crate) fn absorb(&mut self, other: Tally) {
        if self.is_zero() { *self = other } else { self.plus(&other) }
    }

    /// Takes another tally back.
    pub fn minus(&mut self, other: &Tally) {
        self.combine(other, -1);
    }

    fn combine(&mut self, other: &Tally, sign: i64) {
        if self.cells.is_empty() && sign == 1 {
            self.cells.clone_from(&other.cells);
        } else if other.cells.len() * 4 < self.cells.len() {
            for &(key, n) in &other.cells {
                self.add_key(key, sign * n);
            }
        } else if !other.cells.is_empty() {
            self.cells = merged(&self.cells, &other.cells, sign);
        }
        for ((field, label), n) in &other.labels {
            self.add_shared_label(*field, Arc::clone(label), sign * n);
        }
    }

    /// The sum of many tallies, in n log n.
    pub fn sum<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Tally {
        let mut out = Tally::new();
        for t in tallies {
            out.cells.extend_from_slice(&t.cells);
            for ((field, label), n) in &t.labels {
                out.add_shared_label(*field, Arc::clone(label), *n);
            }
        }
        out.cells.sort_unstable_by_key(|c| c.0);
        out.cells.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        out.cells.retain(|c| c.1 != 0);
        out
    }

    /// Drops the cells of a field: what is not additive over time is summed apart ([`crate::interval`]).
    pub(crate) fn clear(&mut self, field: Field) {
        self.cells.retain(|c| c.0 >> SUB_BITS != field as u32);
    }
}

fn merged(a: &[(u32, i64)], b: &[(u32, i64)], sign: i64) -> Vec<(u32, i64)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let (ka, kb) = (a.get(i).map_or(u32::MAX, |c| c.0), b.get(j).map_or(u32::MAX, |c| c.0));
        let key = ka.min(kb);
        let mut n = 0;
        if ka == key {
            n += a[i].1;
            i += 1;
        }
        if kb == key {
            n += sign * b[j].1;
            j += 1;
        }
        if n != 0 {
            out.push((key, n));
        }
    }
    out
}

/// A label as long as it may be.
pub(crate) fn cut(label: &str) -> &str {
    let mut end = label.len().min(LABEL_BYTES_MAX);
    while !label.is_char_boundary(end) {
        end -= 1;
    }
    &label[..end]
}

/// One base row: the same facts attributed twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Each fact in the row in which it happened.
    #[serde(default, skip_serializing_if = "Tally::is_zero")]
    pub event: Tally,
    /// All outcomes of a segment in the row in which it was offered.
    #[serde(default, skip_serializing_if = "Tally::is_zero")]
    pub cohort: Tally,
}

impl Row {
    /// Whether nothing is counted.
    pub fn is_zero(&self) -> bool {
        self.event.is_zero() && self.cohort.is_zero()
    }

    /// Adds another row of the same key.
    pub fn plus(&mut self, other: &Row) {
        self.event.plus(&other.event);
        self.cohort.plus(&other.cohort);
    }

    /// Adds another row of the same key that nobody needs any more.
    pub(crate) fn absorb(&mut self, other: Row) {
        self.event.absorb(other.event);
        self.cohort.absorb(other.cohort);
    }

    /// Takes another row of the same key back.
    pub fn minus(&mut self, other: &Row) {
        self.event.minus(&other.event);
        self.cohort.minus(&other.cohort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tally() -> impl Strategy<Value = Tally> {
        let cell = (prop::sample::select(Field::ALL), 0u32..4, -3i64..4);
        let label = (prop::sample::select(vec!["lunch", "training"]), -2i64..3);
        (prop::collection::vec(cell, 0..12), prop::collection::vec(label, 0..4)).prop_map(|(cells, labels)| {
            let mut t = Tally::new();
            cells.into_iter().for_each(|(f, sub, n)| t.add_cell(f, sub, n));
            labels.into_iter().for_each(|(l, n)| t.add_label(Field::NotReadyReasonMs, l, n));
            t
        })
    }

    fn added(a: &Tally, b: &Tally) -> Tally {
        let mut out = a.clone();
        out.plus(b);
        out
    }

    proptest! {
        #[test]
        fn tallies_are_an_abelian_group(a in tally(), b in tally(), c in tally()) {
            prop_assert_eq!(added(&a, &b), added(&b, &a));
            prop_assert_eq!(added(&added(&a, &b), &c), added(&a, &added(&b, &c)));
            prop_assert_eq!(added(&a, &Tally::new()), a.clone());
            let mut back = added(&a, &b);
            back.minus(&b);
            prop_assert_eq!(&back, &a);
            back.minus(&a);
            prop_assert!(back.is_zero());
            prop_assert_eq!(Tally::sum([&a, &b, &c]), added(&added(&a, &b), &c));
        }
    }

    #[test]
    fn a_long_label_is_cut_between_characters() {
        let mut t = Tally::new();
        t.add_label(Field::NotReadyReasonMs, &"午".repeat(30), 1);
        assert_eq!(t.labels(Field::NotReadyReasonMs).next().unwrap().0.chars().count(), 21);
    }
}
