//! What a call counts for, as a list of deeds: written down before they are added, so that of a call that went on only what
//! changed is taken back and added. Of a call that rings, the offer and the wait in the menu stay as they were.
//!
//! **Invariant:** [`Deeds::replace`] changes rows as taking back all that was and adding all that is would; how much of it two lists
//! have in common decides the work, never the sums.

use std::sync::Arc;

use model::Time;

use crate::field::Field;
use crate::hist;
use crate::rows::{Rows, Scope};

/// How far ahead the same deed is looked for. Lists grow in few places; what is not found so near is taken back and added.
const AHEAD: usize = 48;

/// Where a deed counts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// In the event-time row of one moment, and in the cohort row of another.
    Both { at: Time, offer: Time },
    /// In the event-time row.
    Event { at: Time },
    /// Each row has its milliseconds.
    Span { from: Time, to: Time },
    /// One more from a moment on.
    Level { from: Time, to: Option<Time> },
}

/// One number for one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Deed {
    scope: Scope,
    field: Field,
    sub: u32,
    how: How,
    n: i64,
}

/// One for a label, at one moment and of the cohort of another.
#[derive(Clone, Debug, PartialEq)]
struct Named {
    scope: Scope,
    field: Field,
    at: Time,
    offer: Time,
    label: Arc<str>,
}

/// Deeds in a fixed order. They mean something only to the [`Rows`] that gave out their scopes, until those are taken.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    plain: Vec<Deed>,
    named: Vec<Named>,
}

/// A place in a list of deeds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    plain: usize,
    named: usize,
}

/// Notes deeds of one scope and moment.
pub(super) struct Noting<'a> {
    deeds: &'a mut Deeds,
    scope: Scope,
    at: Time,
    offer: Time,
}

impl Noting<'_> {
    /// Adds `n` to a field.
    pub(super) fn add(&mut self, field: Field, n: i64) {
        self.add_cell(field, 0, n);
    }

    /// Adds `n` to one cell of a field.
    pub(super) fn add_cell(&mut self, field: Field, sub: u32, n: i64) {
        if n != 0 {
            let how = How::Both { at: self.at, offer: self.offer };
            self.deeds.plain.push(Deed { scope: self.scope, field, sub, how, n });
        }
    }

    /// Counts a duration in a histogram.
    pub(super) fn observe(&mut self, field: Field, ms: i64) {
        self.add_cell(field, hist::bucket(ms), 1);
    }

    /// Counts one for a label.
    pub(super) fn add_label(&mut self, field: Field, label: Arc<str>) {
        self.deeds.named.push(Named { scope: self.scope, field, at: self.at, offer: self.offer, label });
    }
}

impl Deeds {
    /// Deeds at `at`, of the cohort of `offer`.
    pub(super) fn both(&mut self, scope: &Scope, at: Time, offer: Time) -> Noting<'_> {
        Noting { deeds: self, scope: *scope, at, offer }
    }

    /// One at `at`, in no cohort.
    pub(super) fn event(&mut self, scope: &Scope, at: Time, field: Field) {
        self.plain.push(Deed { scope: *scope, field, sub: 0, how: How::Event { at }, n: 1 });
    }

    /// The milliseconds of [`from`, `to`).
    pub(super) fn span(&mut self, scope: &Scope, field: Field, from: Time, to: Time) {
        if from < to {
            self.plain.push(Deed { scope: *scope, field, sub: 0, how: How::Span { from, to }, n: 1 });
        }
    }

    /// One more of a level.
    pub(super) fn level(&mut self, scope: &Scope, field: Field, from: Time, to: Option<Time>) {
        self.plain.push(Deed { scope: *scope, field, sub: 0, how: How::Level { from, to }, n: 1 });
    }

    /// The end of the list so far.
    pub(crate) fn mark(&self) -> Mark {
        Mark { plain: self.plain.len(), named: self.named.len() }
    }

    /// Forgets all, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.plain.clear();
        self.named.clear();
    }

    /// Adds all (`sign` 1), or takes all back (−1).
    pub(crate) fn add(&self, sign: i64, rows: &mut Rows) {
        let mut adding = Adding { rows, places: None };
        self.plain.iter().for_each(|deed| adding.plain(deed, sign));
        self.named.iter().for_each(|deed| adding.named(deed, sign));
    }

    /// Takes back what of the deeds between two marks is not in `now`, and adds what is new there.
    pub(crate) fn replace(&self, from: Mark, to: Mark, now: &Deeds, rows: &mut Rows) {
        let mut adding = Adding { rows, places: None };
        differ(&self.plain[from.plain..to.plain], &now.plain, |deed, sign| adding.plain(deed, sign));
        differ(&self.named[from.named..to.named], &now.named, |deed, sign| adding.named(deed, sign));
    }
}

/// Says of each that is only in `before` −1, and of each that is only in `now` 1. Any answer sums up alike.
fn differ<'a, D: PartialEq>(before: &'a [D], now: &'a [D], mut say: impl FnMut(&'a D, i64)) {
    let mut next = 0;
    for old in before {
        match now[next..].iter().take(AHEAD).position(|new| new == old) {
            Some(new) => {
                now[next..next + new].iter().for_each(|deed| say(deed, 1));
                next += new + 1;
            }
            None => say(old, -1),
        }
    }
    now[next..].iter().for_each(|deed| say(deed, 1));
}

/// Adds deeds to rows; neighbours mostly count in the same ones.
struct Adding<'a> {
    rows: &'a mut Rows,
    places: Option<(Scope, Time, Time, [u32; 2])>,
}

impl Adding<'_> {
    fn places(&mut self, scope: Scope, at: Time, offer: Time) -> [u32; 2] {
        if let Some((known, known_at, known_offer, places)) = self.places
            && (known, known_at, known_offer) == (scope, at, offer)
        {
            return places;
        }
        let places = self.rows.places(&scope, at, offer);
        self.places = Some((scope, at, offer, places));
        places
    }

    fn plain(&mut self, deed: &Deed, sign: i64) {
        let Deed { scope, field, sub, how, n } = *deed;
        match how {
            How::Both { at, offer } => {
                let [event, cohort] = self.places(scope, at, offer);
                self.rows.event_of(event).add_cell(field, sub, sign * n);
                self.rows.cohort_of(cohort).add_cell(field, sub, sign * n);
            }
            How::Event { at } => self.rows.event(&scope, at).add_cell(field, sub, sign * n),
            How::Span { from, to } => self.rows.span(&scope, from, to, sign, |t, ms| t.add(field, ms)),
            How::Level { from, to } => self.rows.level(&scope, field, from, to, sign),
        }
    }

    fn named(&mut self, deed: &Named, sign: i64) {
        let [event, cohort] = self.places(deed.scope, deed.at, deed.offer);
        self.rows.event_of(event).add_word(deed.field, Arc::clone(&deed.label), sign);
        self.rows.cohort_of(cohort).add_word(deed.field, Arc::clone(&deed.label), sign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_said_of_two_lists_makes_one_of_the_other(
            before in prop::collection::vec(0u8..6, 0..80),
            now in prop::collection::vec(0u8..6, 0..80),
        ) {
            let mut counts = [0i64; 6];
            before.iter().for_each(|deed| counts[*deed as usize] += 1);
            differ(&before, &now, |deed, sign| counts[*deed as usize] += sign);
            now.iter().for_each(|deed| counts[*deed as usize] -= 1);
            prop_assert_eq!(counts, [0; 6]);
        }
    }

    #[test]
    fn of_a_list_that_grew_only_the_new_is_said() {
        let mut said = Vec::new();
        differ(&[1, 2, 3], &[1, 9, 2, 3, 8], |deed, sign| said.push((*deed, sign)));
        assert_eq!(said, [(9, 1), (8, 1)]);
    }
}
