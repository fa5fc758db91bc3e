//! What pushers and gates keep in live state that several processes share: the names of the slots, and how far the journal is in them.
//!
//! Two separate states, each with a cursor of its own: `views` (written by one pusher at a time) and `control` (written by the gates).

use serde::{Deserialize, Serialize};

use super::{Partial, Slot, Version};
use crate::Part;

/// What the slots of views begin with; after it stands the view as on the stream `views`.
pub const VIEWS: &str = "views/";
/// The slot that says how far the stream is in the others.
pub const POSITION: &str = "position";
/// What the slots of decisions begin with.
pub const DECISIONS: &str = "decisions/";
/// The slot that names the journal.
pub const JOURNAL: &str = "journal";

/// The partition of what belongs to no partition of events.
pub fn nobody() -> Part {
    Part::new("shared", 0)
}

/// How far the stream `views` is in the shared state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Of which journal.
    pub journal: String,
    /// From where to read on, by partition of the stream: everything before is in the slots, or (rows) in the reports.
    pub next: Vec<u64>,
    /// Grows while somebody writes.
    pub beat: u64,
    /// Whether the stream was read to its end once: before that, the slots are of the past.
    pub whole: bool,
}

impl Position {
    /// The slot's value; `number` grows with each.
    pub fn partial(&self, number: u64) -> Partial {
        let value = serde_json::to_vec(self).unwrap_or_default(); // plain values: this cannot fail
        let slot = Slot { key: POSITION.into(), part: nobody() };
        Partial { slot, version: Version { epoch: 1, number }, value: Some(value.into()) }
    }

    /// What [`Position::partial`] wrote.
    pub fn read(partial: &Partial) -> Option<Self> {
        (&*partial.slot.key == POSITION).then_some(())?;
        serde_json::from_slice(partial.value.as_deref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back() {
        let position = Position { journal: "j".to_owned(), next: vec![3, 9], beat: 7, whole: true };
        let partial = position.partial(4);
        assert_eq!((Position::read(&partial), partial.version.number), (Some(position), 4));
        assert_eq!(Position::read(&Partial { value: None, ..partial }), None);
    }
}
