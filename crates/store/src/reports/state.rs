//! What agents, devices, queues and sources are doing, as their folds keep it.

/// Whose state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An agent's.
    Agent,
    /// A device's.
    Device,
    /// A queue's: its configuration and members.
    Queue,
    /// A source's: its link, heartbeats and gaps.
    Source,
    /// A piece of an agent's past, by a number of its own.
    AgentPast,
    /// A piece of a device's past.
    DevicePast,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Agent, Self::Device, Self::Queue, Self::Source, Self::AgentPast, Self::DevicePast];

    /// The number in the store; never changed.
    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::Agent => 1,
            Self::Device => 2,
            Self::Queue => 3,
            Self::Source => 4,
            Self::AgentPast => 5,
            Self::DevicePast => 6,
        }
    }

    pub(crate) fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whose.
    pub kind: Kind,
    /// Of which: unique within the kind and the partition.
    pub id: String,
    /// What its fold wrote, in a form of the fold's own; `None`: it is gone.
    pub body: Option<Vec<u8>>,
}
