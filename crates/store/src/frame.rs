//! The form in which the aggregator's figures travel on the journal: stream `views` (compacted) and stream `records`.
//!
//! A record of `views` has the key `VIEW@PART` (`queue/sales@events.call/2`) and a [`Frame`] as its value, in JSON; an
//! empty value says that the view is gone. A record of `records` has the call's id or the row's key, and a [`Frame`]
//! too.
//!
//! **Reading `views`.** Keep the latest frame of each key, by [`Version`] (not by arrival). Merge the frames of one
//! view over the partitions. When a [`Body::Fold`] of a partition arrives with a new epoch, and after it a frame with
//! [`Fold::complete`], drop that partition's frames of older epochs: the new owner has put all that still is. A row's
//! frame holds the *whole* partial row of its partition and replaces what the store has of that row and partition if
//! its number is not below the store's [`version`](crate::reports::Block::version).
//!
//! **Row keys are a ring** of [`RING_MS`]: the row of the day after next overwrites the one of today, so that the
//! compacted stream stays bounded. The body says which row it really is.

use std::borrow::Cow;

use model::Time;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stats::live::View;
use stats::{Row, RowKey};

use crate::Part;
pub use crate::live::Version;

/// How far apart two rows are that share a key on `views`: 48 hours, in milliseconds.
pub const RING_MS: i64 = 48 * 3_600_000;

/// A value of `views` or `records`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// Which of two frames of a key is newer. The epoch is the generation of the group in which the partition came to its owner (the
    /// journal's own count: what lies in a journal stays in order when a store is lost or set back); the number is the offset
    /// up to which the partition was folded, so several frames of one tick share it.
    pub version: Version,
    /// The time of the latest event that the partition has folded, vendor clock.
    pub as_of: Time,
    /// When the frame was made, by the aggregator's clock; of a [`Body::Fold`]: see [`FOLD_VIEW`].
    pub at: Time,
    /// The content.
    pub body: Body,
}

/// What a frame holds: an object with exactly one of these keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A partial view of what is so now.
    View(View),
    /// A partial base row of the last two days.
    Row(PartialRow),
    /// How far the partition is folded: sent with every tick that changed something, and about once a second otherwise.
    Fold(Fold),
    /// On `records`: a call that is over, as [`stats::call::Record`] writes itself.
    Call(Box<RawValue>),
}

/// One partition's part of a base row, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialRow {
    /// Which row.
    pub key: RowKey,
    /// Which partition: `events.call/2`.
    pub part: String,
    /// Its content.
    pub row: Row,
}

/// How far a partition is folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// The partition: `events.call/2`.
    pub part: String,
    /// Who folds it.
    pub owner: String,
    /// The next offset to fold.
    pub next: u64,
    /// The end of the partition, as far as known: `end - next` events are behind.
    pub end: u64,
    /// Whether every view of this epoch has been put: what is of older epochs is gone.
    pub complete: bool,
}

impl Frame {
    /// The JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // plain values with text keys: this cannot fail
    }

    /// Reads what [`Frame::to_json`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_json(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

/// The longest view part of a key, in bytes: with the partition it stays within what a journal takes.
pub const VIEW_BYTES_MAX: usize = 900;

/// The key on `views` of a partition's part of a view. A view longer than [`VIEW_BYTES_MAX`] is cut, and a hash of the
/// whole takes the place of the rest: the bodies say what they are about.
pub fn key(view: &str, part: &Part) -> String {
    format!("{}@{part}", short(view))
}

fn short(view: &str) -> Cow<'_, str> {
    if view.len() <= VIEW_BYTES_MAX {
        return view.into();
    }
    // Two differently seeded halves, so that two long names do not share a key by chance.
    let half = |seed: u8| {
        // FNV-1a: written here because it must never change, and because short of hostile names nothing comes this way.
        let start = 0xcbf2_9ce4_8422_2325_u64 ^ u64::from(seed);
        view.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    let end = (0..=VIEW_BYTES_MAX - 40).rev().find(|at| view.is_char_boundary(*at)).unwrap_or(0);
    format!("{}~{:016x}{:016x}", &view[..end], half(0), half(1)).into()
}

/// The view and the partition of a key on `views`.
pub fn split(key: &str) -> Option<(&str, Part)> {
    let (view, part) = key.rsplit_once('@')?;
    Some((view, part.parse().ok()?))
}

/// The view part of a row's key: the same for rows that are [`RING_MS`] apart.
pub fn row_view(row: &RowKey) -> String {
    let slot = row.start.ms().rem_euclid(RING_MS) / 1000;
    let view = format!("row/{}/{}/{}/{}/{slot}", row.dim, row.tenant, row.source, row.id);
    short(&view).into_owned()
}

/// The view part of the key of a partition's own frame. Its [`Frame::at`] is a moment such that all that the journal took
/// before it is folded and told: from it a reader tells how old its figures are.
pub const FOLD_VIEW: &str = "fold";

/// The view part of the key of a second such frame, there only while details (calls, agents, devices) are put off because there
/// is too much to do: its [`Frame::at`] is the same for them.
pub const DETAILS_VIEW: &str = "details";

#[cfg(test)]
mod tests {
    use super::*;
    use stats::{Dim, Field};

    fn row_key(start: i64) -> RowKey {
        RowKey { tenant: "t".into(), source: "s".into(), dim: Dim::Queue, id: "a@b/c".into(), start: Time(start) }
    }

    #[test]
    fn a_key_is_split_at_its_partition_whatever_the_id_holds() {
        let part = Part::new("events.call", 2);
        let view = row_view(&row_key(60_000));
        assert_eq!(split(&key(&view, &part)), Some((view.as_str(), part)));
        assert_eq!(split("queue/sales"), None);
    }

    #[test]
    fn rows_share_a_key_after_two_days_and_not_before() {
        assert_eq!(row_view(&row_key(60_000)), row_view(&row_key(60_000 + RING_MS)));
        assert_ne!(row_view(&row_key(60_000)), row_view(&row_key(60_000 + RING_MS / 2)));
    }

    #[test]
    fn a_name_of_any_length_gives_a_key_that_fits_and_is_its_own() {
        let part = Part::new("events.call", 2);
        let long = |end: &str| RowKey { id: format!("{}{end}", "é".repeat(600)).into(), ..row_key(60_000) };
        let (a, b) = (row_view(&long("a")), row_view(&long("b")));
        assert_ne!(a, b);
        assert!(a.len() <= VIEW_BYTES_MAX && key(&a, &part).len() < 1024);
        assert_eq!(split(&key(&a, &part)), Some((a.as_str(), part)));
    }

    #[test]
    fn a_frame_is_read_back() {
        let mut row = Row::default();
        row.event.add(Field::Offered, 1);
        let body = Body::Row(PartialRow { key: row_key(60_000), part: "events.call/2".to_owned(), row: row.clone() });
        let version = Version { epoch: 2, number: 9 };
        let text = Frame { version, as_of: Time(1), at: Time(2), body }.to_json();
        let back = Frame::from_json(&text).unwrap();
        assert_eq!((back.version, back.as_of, back.at), (version, Time(1), Time(2)));
        let Body::Row(found) = back.body else { panic!("no row: {}", String::from_utf8_lossy(&text)) };
        assert_eq!((found.key, found.row), (row_key(60_000), row));
        let mut queue = stats::live::Queue::empty("t".into(), "sales".into());
        queue.waiting_by_priority.insert(-5, 2);
        let view = Body::View(View::Queue(queue));
        let text = Frame { version, as_of: Time(1), at: Time(2), body: view }.to_json();
        let Body::View(View::Queue(found)) = Frame::from_json(&text).unwrap().body else { panic!("no queue") };
        assert_eq!(found.waiting_by_priority[&-5], 2);
        let call = br#"{"version":{"epoch":1,"number":1},"as_of":"1970-01-01T00:00:00.000Z","at":"1970-01-01T00:00:00.000Z","body":{"call":{"call":"c1"}}}"#;
        let Body::Call(raw) = Frame::from_json(call).unwrap().body else { panic!("no call") };
        assert_eq!(raw.get(), r#"{"call":"c1"}"#);
    }
}
