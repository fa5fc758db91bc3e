//! Tallies under construction: what is added is noted down, and summed later, when equal cells lie side by side.

use std::sync::Arc;

use crate::field::Field;
use crate::tally::{Row, Tally, cell_key, cut};

/// So many labels are remembered.
const WORDS_MAX: usize = 10_000;

/// One number added to one cell.
#[derive(Clone, Copy, Debug)]
struct Note {
    /// Twice the place of the row; plus one: its cohort tally.
    tally: u32,
    key: u32,
    n: i64,
}

/// The drafts of rows, by the places of the rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Drafts {
    notes: Vec<Note>,
    labels: Vec<(u32, Field, Arc<str>, i64)>,
    /// Labels that were added before, so that each is in memory once.
    words: std::collections::HashSet<Arc<str>, std::hash::BuildHasherDefault<super::Mixer>>,
    /// What was summed so far.
    sums: Vec<Row>,
    /// Kept for its memory.
    sorted: Vec<(u32, i64)>,
    ends: Vec<u32>,
}

/// A tally under construction.
#[derive(Debug)]
pub struct Draft<'a> {
    drafts: &'a mut Drafts,
    tally: u32,
}

impl Draft<'_> {
    /// Adds `n` to a field of one cell.
    pub fn add(&mut self, field: Field, n: i64) {
        self.add_cell(field, 0, n);
    }

    /// Adds `n` to one cell of a field.
    pub fn add_cell(&mut self, field: Field, sub: u32, n: i64) {
        if n != 0 {
            self.drafts.notes.push(Note { tally: self.tally, key: cell_key(field, sub), n });
        }
    }

    /// Adds `n` to a label of a field.
    pub fn add_label(&mut self, field: Field, label: &str, n: i64) {
        let label = self.drafts.word(cut(label));
        self.add_word(field, label, n);
    }

    /// Adds `n` to a label that [`super::Rows::word`] gave.
    pub(crate) fn add_word(&mut self, field: Field, label: Arc<str>, n: i64) {
        if n != 0 {
            self.drafts.labels.push((self.tally, field, label, n));
        }
    }
}

impl Drafts {
    pub(super) fn event(&mut self, place: u32) -> Draft<'_> {
        Draft { drafts: self, tally: place * 2 }
    }

    pub(super) fn cohort(&mut self, place: u32) -> Draft<'_> {
        Draft { drafts: self, tally: place * 2 + 1 }
    }

    pub(super) fn word(&mut self, label: &str) -> Arc<str> {
        if let Some(known) = self.words.get(label) {
            return Arc::clone(known);
        }
        if self.words.len() >= WORDS_MAX {
            self.words.clear();
        }
        let new = Arc::<str>::from(label);
        self.words.insert(Arc::clone(&new));
        new
    }

    /// How many notes wait to be summed.
    pub(super) fn notes(&self) -> usize {
        self.notes.len()
    }

    /// Sums what was noted, for so many rows: sorted by tally by counting, within each by cell.
    pub(super) fn sum_up(&mut self, rows: usize) {
        self.sums.resize_with(rows, Row::default);
        self.ends.clear();
        self.ends.resize(rows * 2 + 1, 0);
        for note in &self.notes {
            self.ends[note.tally as usize + 1] += 1;
        }
        for i in 1..self.ends.len() {
            self.ends[i] += self.ends[i - 1];
        }
        self.sorted.clear();
        self.sorted.resize(self.notes.len(), (0, 0));
        for note in self.notes.drain(..) {
            let place = &mut self.ends[note.tally as usize];
            self.sorted[*place as usize] = (note.key, note.n);
            *place += 1;
        }
        let mut from = 0;
        for (tally, end) in self.ends.iter().take(rows * 2).enumerate() {
            let cells = &mut self.sorted[from..*end as usize];
            from = *end as usize;
            if !cells.is_empty() {
                tally_of(&mut self.sums, tally).absorb(summed(cells));
            }
        }
        for (tally, field, label, n) in self.labels.drain(..) {
            tally_of(&mut self.sums, tally as usize).add_shared_label(field as u8, label, n);
        }
    }

    /// The sums, by place, to be taken.
    pub(super) fn sums(&mut self) -> &mut Vec<Row> {
        &mut self.sums
    }
}

fn tally_of(sums: &mut [Row], tally: usize) -> &mut Tally {
    let row = &mut sums[tally / 2];
    if tally.is_multiple_of(2) { &mut row.event } else { &mut row.cohort }
}

/// Cells of one tally, in any order, summed.
fn summed(cells: &mut [(u32, i64)]) -> Tally {
    cells.sort_unstable_by_key(|cell| cell.0);
    let mut kept = 0;
    let mut at = 0;
    while at < cells.len() {
        let (key, mut n) = cells[at];
        at += 1;
        while at < cells.len() && cells[at].0 == key {
            n += cells[at].1;
            at += 1;
        }
        if n != 0 {
            cells[kept] = (key, n);
            kept += 1;
        }
    }
    Tally::of_cells(cells[..kept].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_kept_once_and_labels_without_end_are_not_kept() {
        let mut drafts = Drafts::default();
        let (lunch, _, again) = (drafts.word("lunch"), drafts.word("training"), drafts.word("lunch"));
        assert!(Arc::ptr_eq(&lunch, &again));
        for i in 0..WORDS_MAX - 2 {
            drafts.word(&i.to_string());
        }
        assert_eq!(drafts.words.len(), WORDS_MAX);
        drafts.word("one more");
        assert_eq!(drafts.words.len(), 1);
    }
}
