//! A value of which the latest word counts, whatever the order of arrival.

use model::{Envelope, EventId, Time};
use serde::{Deserialize, Serialize};

/// When something was said, and by which event: what orders words about one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// When, by the vendor's clock.
    #[serde(with = "crate::track::ms")]
    pub time: Time,
    seq: Option<u64>,
    rank: u8,
    id: EventId,
}

impl Stamp {
    /// The stamp of an event.
    pub fn of(e: &Envelope) -> Stamp {
        Stamp { time: e.time, seq: e.seq, rank: e.event.rank(), id: e.id.clone() }
    }
}

/// The latest word about one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latest<T>(pub Option<(Stamp, T)>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Latest(None)
    }
}

impl<T> Latest<T> {
    /// Takes `value` if it was said later than what stands; whether it was.
    pub fn set(&mut self, stamp: &Stamp, value: T) -> bool {
        let newer = self.0.as_ref().is_none_or(|(old, _)| old < stamp);
        if newer {
            self.0 = Some((stamp.clone(), value));
        }
        newer
    }

    /// What stands.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|v| &v.1)
    }

    /// When that was said.
    pub fn at(&self) -> Option<Time> {
        self.0.as_ref().map(|v| v.0.time)
    }
}
