//! The latest frame of every view and row, per partition, as the stream `views` tells them; and what they merge to.
//!
//! Invariant: of two frames of one key the newer version stays, whatever the order of their arrival.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::Time;
use stats::live::View;
use stats::{Dim, Few, Row, RowKey};
use store::Part;
use store::frame::{self, Body, Fold, Frame, Version};

use super::sums::{SERIES_MAX, Sums};

/// How far a partition is folded, and when we heard so.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// Which owner says so.
    pub epoch: u64,
    /// What it says.
    pub fold: Fold,
    /// The latest event that is folded, vendor clock.
    pub as_of: Time,
    /// When the frame was made, the aggregator's clock.
    pub at: Time,
}

/// Where a held row came from decides what replaces it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    /// From the store, folded up to this offset.
    Store(u64),
    /// From the stream.
    Stream(Version),
}

impl Origin {
    fn yields_to(self, newer: Version) -> bool {
        match self {
            Origin::Store(number) => newer.number >= number,
            Origin::Stream(version) => newer >= version,
        }
    }
}

/// The latest frames, and what changed since it was last asked.
#[derive(Debug, Default)]
pub struct Parts {
    views: HashMap<Arc<str>, Few<Part, (Version, View)>>,
    rows: HashMap<RowKey, Few<Part, (Origin, Row)>>,
    folds: BTreeMap<Part, Folded>,
    /// How old details are, of partitions where they are put off.
    details: BTreeMap<Part, Time>,
    changed: BTreeSet<Arc<str>>,
    horizon: Option<Time>,
    malformed: u64,
    surplus: u64,
}

/// The rows that the board shows.
pub const SHOWN: [Dim; 4] = [Dim::Tenant, Dim::Queue, Dim::Team, Dim::Agent];

impl Parts {
    /// Takes in one record of `views`. Rows change `sums`.
    pub fn take(&mut self, key: &[u8], value: &[u8], sums: &mut Sums) {
        let Some((view, part)) = std::str::from_utf8(key).ok().and_then(frame::split) else {
            self.malformed += 1;
            return;
        };
        if value.is_empty() {
            if view == frame::DETAILS_VIEW {
                self.details.remove(&part);
            }
            self.remove(view, &part);
            return;
        }
        let Ok(frame) = Frame::from_json(value) else {
            self.malformed += 1;
            return;
        };
        match frame.body {
            // left there by a version that named a queue without its tenant; nobody will ever take it back
            Body::View(body @ View::Queue(_)) if body.key() != view => {}
            Body::View(body) => self.put_view(view, part, frame.version, body),
            Body::Row(row) => self.put_row(row.key, part, Origin::Stream(frame.version), row.row, sums),
            Body::Fold(_) if view == frame::DETAILS_VIEW => _ = self.details.insert(part, frame.at),
            Body::Fold(fold) => {
                self.folded(part, Folded { epoch: frame.version.epoch, fold, as_of: frame.as_of, at: frame.at });
            }
            Body::Call(_) => self.malformed += 1,
        }
    }

    /// Takes in a row as the store has it, folded up to offset `number`.
    pub fn take_stored(&mut self, key: RowKey, part: Part, number: u64, row: Row, sums: &mut Sums) {
        self.put_row(key, part, Origin::Store(number), row, sums);
    }

    fn put_view(&mut self, key: &str, part: Part, version: Version, view: View) {
        // The stream's own partitions are read one after the other: the owner who took all of it over is known before the last
        // word of the one before him, which nobody will ever take back.
        if self.folds.get(&part).is_some_and(|held| held.fold.complete && version.epoch < held.epoch) {
            return;
        }
        let known = self.views.get_key_value(key).map(|(known, _)| Arc::clone(known));
        let key = known.unwrap_or_else(|| Arc::from(key));
        let parts = self.views.entry(Arc::clone(&key)).or_default();
        if parts.get(&part).is_some_and(|(held, _)| *held > version) {
            return;
        }
        parts.insert(part, (version, view));
        self.changed.insert(key);
    }

    fn put_row(&mut self, key: RowKey, part: Part, origin: Origin, row: Row, sums: &mut Sums) {
        // What was forgotten cannot be restated by its difference; the reports do that.
        if !SHOWN.contains(&key.dim) || self.horizon.is_some_and(|horizon| key.start < horizon) {
            return;
        }
        if !sums.has_room(&key) {
            self.surplus += 1;
            if self.surplus == 1 {
                let (dim, id) = (key.dim, key.id.chars().take(80).collect::<String>());
                tracing::warn!(%dim, id, most = SERIES_MAX, "more names than are shown live; the totals and the reports have all");
            }
            return;
        }
        let parts = self.rows.entry(key.clone()).or_default();
        let before = match (parts.get(&part), origin) {
            (None, _) => None,
            (Some((held, row)), Origin::Stream(newer)) if held.yields_to(newer) => Some(row),
            _ => return,
        };
        let mut delta = row.event.clone();
        if let Some(before) = before {
            delta.minus(&before.event);
        }
        sums.add(&key, &delta);
        parts.insert(part, (origin, row));
    }

    fn remove(&mut self, view: &str, part: &Part) {
        let Some((key, _)) = self.views.get_key_value(view) else { return };
        let key = Arc::clone(key);
        if let Some(parts) = self.views.get_mut(&key) {
            parts.remove(part);
            if parts.is_empty() {
                self.views.remove(&key);
            }
        }
        self.changed.insert(key);
    }

    fn folded(&mut self, part: Part, news: Folded) {
        if self.folds.get(&part).is_some_and(|held| held.epoch < news.epoch) {
            self.details.remove(&part); // the former owner's word
        }
        // Of one owner the later word counts, whatever became of its clock: all are of one key, and come in order.
        if self.folds.get(&part).is_some_and(|held| held.epoch > news.epoch) {
            return;
        }
        let (epoch, complete) = (news.epoch, news.fold.complete);
        let fresh = self.folds.get(&part).is_none_or(|held| held.epoch < epoch || !held.fold.complete);
        self.folds.insert(part.clone(), news);
        if complete && fresh {
            // The new owner has put all that still is: what an older one left behind is gone.
            let old: Vec<Arc<str>> = self
                .views
                .iter()
                .filter(|(_, parts)| parts.get(&part).is_some_and(|(version, _)| version.epoch < epoch))
                .map(|(key, _)| Arc::clone(key))
                .collect();
            for key in old {
                self.remove(&key, &part);
            }
        }
    }

    /// Forgets rows that begin before `time`; they are in the store.
    pub fn forget_rows_before(&mut self, time: Time) {
        let time = self.horizon.map_or(time, |old| old.max(time));
        self.horizon = Some(time);
        self.rows.retain(|key, _| key.start >= time);
    }

    /// Forgets the oldest rows when there are more than `most`: a quarter more than must be, so that it is seldom. Whether it did.
    pub fn forget_rows_beyond(&mut self, most: usize) -> bool {
        if self.rows.len() <= most {
            return false;
        }
        let mut starts: Vec<Time> = self.rows.keys().map(|key| key.start).collect();
        let surplus = starts.len() - most + most / 4;
        let (_, first_kept, _) = starts.select_nth_unstable(surplus.min(self.rows.len() - 1));
        let horizon = *first_kept;
        self.forget_rows_before(horizon);
        true
    }

    /// How many frames of rows were left out because there are too many names.
    pub fn surplus(&self) -> u64 {
        self.surplus
    }

    /// The keys of views that changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.changed)
    }

    /// A view, merged over the partitions.
    pub fn view(&self, key: &str) -> Option<View> {
        let mut parts = self.views.get(key)?.values().map(|(_, view)| view);
        let mut merged = parts.next()?.clone();
        for view in parts {
            merged.merge(view);
        }
        Some(merged)
    }

    /// How far every partition is folded.
    pub fn folds(&self) -> &BTreeMap<Part, Folded> {
        &self.folds
    }

    /// When the oldest partition was last known to be folded to its end; `None`: nothing was heard yet.
    pub fn fresh_at(&self) -> Option<Time> {
        self.folds.values().map(|held| held.at).min()
    }

    /// The same of details (calls, agents, devices), which are put off where there is too much to do.
    pub fn details_fresh_at(&self) -> Option<Time> {
        let details =
            self.folds.iter().map(|(part, held)| self.details.get(part).map_or(held.at, |at| held.at.min(*at)));
        details.min()
    }

    /// How many records could not be read.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::Field;
    use stats::live::Queue;
    use store::frame::PartialRow;

    fn part(number: u32) -> Part {
        Part::new("events.call", number)
    }

    fn queue(waiting: i64) -> Body {
        Body::View(View::Queue(Queue { waiting, ..Queue::empty("default".into(), "sales".into()) }))
    }

    fn feed(parts: &mut Parts, sums: &mut Sums, view: &str, number: u32, version: (u64, u64), body: Body) {
        let version = Version { epoch: version.0, number: version.1 };
        let frame = Frame { version, as_of: Time(0), at: Time(version.number as i64), body };
        parts.take(frame::key(view, &part(number)).as_bytes(), &frame.to_json(), sums);
    }

    fn waiting(parts: &Parts) -> Option<i64> {
        parts.view("queue/default/sales").map(|view| match view {
            View::Queue(queue) => queue.waiting,
            _ => -1,
        })
    }

    fn row(n: i64) -> (RowKey, Body) {
        let key = RowKey {
            tenant: "default".into(),
            source: "pbx".into(),
            dim: Dim::Queue,
            id: "sales".into(),
            start: Time(3_600_000),
        };
        let mut row = Row::default();
        row.event.add(Field::Offered, n);
        (key.clone(), Body::Row(PartialRow { key, part: "events.call/0".into(), row }))
    }

    #[test]
    fn partials_add_up_and_older_frames_change_nothing() {
        let (mut parts, mut sums) = (Parts::default(), Sums::default());
        feed(&mut parts, &mut sums, "queue/default/sales", 0, (1, 5), queue(2));
        feed(&mut parts, &mut sums, "queue/default/sales", 1, (1, 9), queue(1));
        assert_eq!(waiting(&parts), Some(3));
        feed(&mut parts, &mut sums, "queue/default/sales", 0, (1, 4), queue(7));
        assert_eq!(waiting(&parts), Some(3));
        parts.take(frame::key("queue/default/sales", &part(1)).as_bytes(), b"", &mut sums);
        assert_eq!(waiting(&parts), Some(2));
    }

    #[test]
    fn a_new_owner_that_is_complete_clears_what_the_old_one_left() {
        let (mut parts, mut sums) = (Parts::default(), Sums::default());
        feed(&mut parts, &mut sums, "queue/default/sales", 0, (1, 5), queue(2));
        let fold = |complete| Fold { part: "events.call/0".into(), owner: "a".into(), next: 9, end: 9, complete };
        feed(&mut parts, &mut sums, "fold", 0, (2, 6), Body::Fold(fold(false)));
        assert_eq!(waiting(&parts), Some(2));
        feed(&mut parts, &mut sums, "fold", 0, (2, 7), Body::Fold(fold(true)));
        assert_eq!(waiting(&parts), None);
    }

    #[test]
    fn what_a_former_owner_said_is_not_believed_after_the_word_of_the_new_one() {
        let (mut parts, mut sums) = (Parts::default(), Sums::default());
        let fold = || Body::Fold(Fold { part: "x".into(), owner: "a".into(), next: 9, end: 9, complete: true });
        feed(&mut parts, &mut sums, frame::FOLD_VIEW, 0, (2, 7), fold());
        feed(&mut parts, &mut sums, "queue/default/sales", 0, (1, 5), queue(2));
        assert_eq!(waiting(&parts), None);
        feed(&mut parts, &mut sums, "queue/default/sales", 0, (2, 7), queue(3));
        assert_eq!(waiting(&parts), Some(3));
    }

    #[test]
    fn of_one_owner_the_later_word_counts_when_its_clock_was_set_back() {
        let (mut parts, mut sums) = (Parts::default(), Sums::default());
        for at in [900, 500] {
            let fold = Fold { part: "x".into(), owner: "a".into(), next: 9, end: 9, complete: true };
            let version = Version { epoch: 1, number: 9 };
            let frame = Frame { version, as_of: Time(0), at: Time(at), body: Body::Fold(fold) };
            parts.take(frame::key(frame::FOLD_VIEW, &part(0)).as_bytes(), &frame.to_json(), &mut sums);
        }
        assert_eq!(parts.fresh_at(), Some(Time(500)));
    }

    #[test]
    fn a_row_of_the_stream_replaces_what_the_store_has_unless_that_is_newer() {
        let (mut parts, mut sums) = (Parts::default(), Sums::default());
        let stored = |n: i64| {
            let mut row = Row::default();
            row.event.add(Field::Offered, n);
            row
        };
        let (key, _) = row(0);
        parts.take_stored(key, part(0), 10, stored(4), &mut sums);
        feed(&mut parts, &mut sums, "row/x", 0, (1, 9), row(3).1);
        assert_eq!(sums.total(Dim::Queue, "default", "sales").get(Field::Offered), 4);
        feed(&mut parts, &mut sums, "row/x", 0, (1, 12), row(6).1);
        assert_eq!(sums.total(Dim::Queue, "default", "sales").get(Field::Offered), 6);
    }

    #[test]
    fn made_up_names_are_left_out_and_counted_and_a_tenant_never_is() {
        let (mut parts, mut sums) = (Parts::default(), Sums::default());
        let offered = |dim: Dim, id: String| {
            let (mut key, _) = row(0);
            (key.dim, key.id) = (dim, id.into());
            let mut row = Row::default();
            row.event.add(Field::Offered, 1);
            (key, row)
        };
        for n in 0..SERIES_MAX + 7 {
            for (key, row) in [offered(Dim::Queue, n.to_string()), offered(Dim::Tenant, format!("t{n}"))] {
                parts.take_stored(key, part(0), 1, row, &mut sums);
            }
        }
        assert_eq!((parts.surplus(), sums.all().count()), (7, 2 * SERIES_MAX + 7));
        let (key, row) = offered(Dim::Queue, "3".to_owned());
        parts.take_stored(key, part(1), 1, row, &mut sums);
        assert_eq!(sums.total(Dim::Queue, "default", "3").get(Field::Offered), 2, "known ones go on");
    }

    #[test]
    fn of_too_many_rows_the_oldest_are_forgotten_and_stay_counted() {
        let (mut parts, mut sums) = (Parts::default(), Sums::default());
        for minute in 0..100 {
            let (mut key, _) = row(0);
            key.start = Time(minute * 60_000);
            let mut row = Row::default();
            row.event.add(Field::Offered, 1);
            parts.take_stored(key, part(0), 1, row, &mut sums);
        }
        assert!(!parts.forget_rows_beyond(100));
        assert!(parts.forget_rows_beyond(80));
        assert_eq!((parts.rows.len(), parts.horizon), (60, Some(Time(40 * 60_000))));
        assert_eq!(sums.total(Dim::Queue, "default", "sales").get(Field::Offered), 100);
    }

    #[test]
    fn details_that_were_put_off_are_older_than_the_rest_until_they_are_told() {
        let (mut parts, mut sums) = (Parts::default(), Sums::default());
        let fold = || Body::Fold(Fold { part: "x".into(), owner: "a".into(), next: 9, end: 9, complete: true });
        feed(&mut parts, &mut sums, frame::FOLD_VIEW, 0, (1, 900), fold());
        feed(&mut parts, &mut sums, frame::DETAILS_VIEW, 0, (1, 500), fold());
        assert_eq!((parts.fresh_at(), parts.details_fresh_at()), (Some(Time(900)), Some(Time(500))));
        parts.take(frame::key(frame::DETAILS_VIEW, &part(0)).as_bytes(), b"", &mut sums);
        assert_eq!(parts.details_fresh_at(), Some(Time(900)));
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_skipped() {
        let (mut parts, mut sums) = (Parts::default(), Sums::default());
        parts.take(b"queue/default/sales", b"{}", &mut sums);
        parts.take(b"queue/default/sales@events.call/0", b"{", &mut sums);
        parts.take(&[0xff], b"", &mut sums);
        assert_eq!((parts.malformed(), waiting(&parts)), (3, None));
    }
}
