//! Callbacks: callers who were promised that we call them, and what became of each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{CallId, CallbackId, QueueId, ServiceId, SourceId};
use crate::time::Time;

/// The hours of a day in which somebody may be called, minutes since midnight of the tenant's zone. `from` above `to` reaches over midnight;
/// equal: the whole day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hours {
    /// From this minute on.
    pub from: u16,
    /// Before this one.
    pub to: u16,
}

impl Hours {
    /// Whether a minute of the day is within them.
    pub fn hold(self, minute: u16) -> bool {
        match self.from.cmp(&self.to) {
            std::cmp::Ordering::Less => (self.from..self.to).contains(&minute),
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Greater => minute >= self.from || minute < self.to,
        }
    }
}

/// A caller was promised a callback. One who waits for one of the same queue already is the same entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallbackAsked {
    /// Which: the same call asks once, however often it is told.
    pub callback: CallbackId,
    /// The queue that the caller wanted.
    pub queue: QueueId,
    /// The token of their number: who they are.
    pub caller: String,
    /// What people may see of the number.
    pub mask: String,
    /// The number, sealed: only who holds the key can dial it.
    pub sealed: String,
    /// The phone system that the caller came by, and that calls back.
    pub source: SourceId,
    /// The call in which they asked.
    pub call: CallId,
    /// When they asked; absent: at the time of this event. One that a phone system kept for us says when that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Time>,
    /// After this it is no use any more.
    pub until: Time,
    /// When they may be called.
    #[serde(default)]
    pub hours: Hours,
    /// How often it is tried at most.
    pub attempts_max: u32,
}

/// A callback is tried from now on. What comes of it is [`CallbackTried`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallbackBegun {
    /// Which.
    pub callback: CallbackId,
    /// Its attempt, from 1; exactly the one after the last.
    pub attempt: u32,
    /// The call service that carries it; absent: the phone system's own way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// They answered, and are led to their queue.
    Answered,
    /// They did not answer.
    NoAnswer,
    /// They were busy.
    Busy,
    /// It failed by the doing of the technology, not by theirs.
    Failed,
    /// Nobody knows: whoever dialled was gone before it ended.
    Unknown,
}

/// An attempt is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallbackTried {
    /// Which.
    pub callback: CallbackId,
    /// Its attempt.
    pub attempt: u32,
    /// What came of it.
    pub outcome: Outcome,
    /// Not again before this.
    pub again_at: Time,
}

/// A person takes a callback upon themselves: the platform does not dial it any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallbackClaimed {
    /// Which.
    pub callback: CallbackId,
}

/// Why a callback is no longer due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// The caller was reached.
    Reached,
    /// A person who claimed it has done it.
    Handled,
    /// A person took it off the list.
    Cancelled,
    /// The caller called again and was served.
    CalledAgain,
    /// It was tried as often as it may be.
    AttemptsUsed,
    /// It is too late.
    Expired,
    /// The number cannot be read or dialled.
    Undiallable,
}

/// A callback is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallbackClosed {
    /// Which.
    pub callback: CallbackId,
    /// Why.
    pub close: Close,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_reach_over_midnight_and_equal_ones_are_the_whole_day() {
        let day = Hours { from: 9 * 60, to: 20 * 60 };
        assert!(day.hold(9 * 60) && !day.hold(20 * 60) && !day.hold(3 * 60));
        let night = Hours { from: 22 * 60, to: 6 * 60 };
        assert!(night.hold(23 * 60) && night.hold(0) && !night.hold(12 * 60));
        assert!(Hours::default().hold(0) && Hours::default().hold(1_439));
    }
}
