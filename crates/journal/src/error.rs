//! What can go wrong, and who must act.

use std::path::PathBuf;

use crate::Stream;

/// A result of the journal.
pub type Result<T> = std::result::Result<T, Error>;

/// Who must act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again, with jitter.
    Transient,
    /// An operator must act; trying again changes nothing.
    Refused,
    /// The input is at fault: set it aside, count it, go on.
    Malformed,
    /// We are at fault: stop.
    Bug,
}

/// What the journal can answer instead of a result.
///
/// Errors are `Clone`, because one failed commit answers every append that shared it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The partition belongs to another member of the group by now, or the member is no longer in the group. What was not
    /// committed is the other member's to do again: drop it, and call `next`.
    #[error("member {member} of group {group:?} no longer holds {what}")]
    Fenced {
        /// The consumer group.
        group: String,
        /// The member's number within the group.
        member: u64,
        /// The partition, or the membership itself.
        what: String,
    },
    /// Retention has removed what was asked for.
    #[error("{stream}/{partition} starts at {earliest}: offset {from} is no longer kept")]
    Truncated {
        /// The stream.
        stream: Stream,
        /// The partition.
        partition: u32,
        /// The offset asked for.
        from: u64,
        /// The first offset that is still kept.
        earliest: u64,
    },
    /// An offset that was never written: the position belongs to another journal, or this one was restored from an older copy.
    #[error("{stream}/{partition} ends at {end}: there is no offset {from}")]
    Beyond {
        /// The stream.
        stream: Stream,
        /// The partition.
        partition: u32,
        /// The offset asked for.
        from: u64,
        /// The offset that the next record will get.
        end: u64,
    },
    /// A record cannot be read back as it was written. Nothing at or after `offset` was returned by the same call.
    #[error("{stream}/{partition}@{offset} is damaged: {reason}")]
    Damaged {
        /// The stream.
        stream: Stream,
        /// The partition.
        partition: u32,
        /// The first offset that is damaged.
        offset: u64,
        /// What does not fit.
        reason: String,
    },
    /// The journal's own books (heads, positions, state, groups) cannot be read back as they were written.
    #[error("the journal's {what} is damaged: {reason}")]
    Corrupt {
        /// Which row or page.
        what: String,
        /// What does not fit.
        reason: String,
    },
    /// The journal has lost what it acknowledged: its log was cut or damaged, or an older copy stands in its place.
    #[error(
        "the journal ends with transaction {last}, and had acknowledged up to {acknowledged}: what came between is lost"
    )]
    Behind {
        /// The last transaction that was acknowledged.
        acknowledged: u64,
        /// The last one that is there.
        last: u64,
    },
    /// The stream has fewer partitions.
    #[error("{stream} has {partitions} partitions: there is no partition {partition}")]
    NoSuchPartition {
        /// The stream.
        stream: Stream,
        /// The partition asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// The journal was created with another number of partitions.
    #[error(
        "{stream} was created with {found} partitions, and the configuration asks for {wanted}: set it to {found}, or start a new journal"
    )]
    Topology {
        /// The stream.
        stream: Stream,
        /// What the journal has.
        found: u32,
        /// What the configuration asks for.
        wanted: u32,
    },
    /// A key, a value or a call is larger than the journal takes.
    #[error("{what} of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, in bytes (or entries).
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The file is not a journal, or one of another version.
    #[error("{} is not a journal that this version can open: {reason}", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The SQLite library is older than the first one without the WAL-reset fault.
    #[error("sqlite {found} is too old: {needed} or later is needed")]
    SqliteTooOld {
        /// The version that is linked.
        found: String,
        /// The oldest that is safe.
        needed: &'static str,
    },
    /// The disk is full. Nothing of the call was written.
    #[error("the disk of the journal is full")]
    Full,
    /// Other processes kept the file locked beyond the busy timeout. Nothing of the call was written.
    #[error("the journal was locked by others for too long")]
    Busy,
    /// The storage failed while reading, or before anything was committed.
    #[error("the journal's storage failed: {0}")]
    Storage(String),
    /// The disk failed during a commit, so that nobody can say what it holds: this handle takes no more appends. Open again.
    #[error("the journal's disk failed during a commit ({0}): no more appends until it is opened again")]
    Poisoned(String),
    /// The brokers did not answer in time: nobody knows whether it was written. Do it again.
    #[error("the brokers did not answer in time ({0}): nobody knows what they hold of it")]
    Unanswered(String),
    /// The brokers cannot be reached, or do not let us in.
    #[error("the brokers {brokers} take no connection: {reason}")]
    Unreachable {
        /// Where they were looked for.
        brokers: String,
        /// What the client said of it.
        reason: String,
    },
    /// Topics are missing, or are not as the journal needs them.
    #[error("{} of the topics are wrong: {}", .0.len(), .0.join("; "))]
    Topics(Vec<String>),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl Error {
    /// Who must act.
    pub const fn class(&self) -> Class {
        match self {
            Self::Fenced { .. } | Self::Full | Self::Busy | Self::Storage(_) | Self::Unanswered(_) => Class::Transient,
            Self::Truncated { .. }
            | Self::Beyond { .. }
            | Self::Damaged { .. }
            | Self::Corrupt { .. }
            | Self::Behind { .. }
            | Self::Topology { .. }
            | Self::NotAJournal { .. }
            | Self::SqliteTooOld { .. }
            | Self::Unreachable { .. }
            | Self::Topics(_) => Class::Refused,
            Self::TooLarge { .. } => Class::Malformed,
            Self::NoSuchPartition { .. } | Self::Poisoned(_) | Self::Closed => Class::Bug,
        }
    }

    /// The code of the page in `docs/errors`, for what an operator must know of.
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Behind { .. } => Some("TG0100"),
            Self::Topology { .. } => Some("TG0110"),
            Self::NotAJournal { .. } => Some("TG0102"),
            Self::SqliteTooOld { .. } => Some("TG0103"),
            Self::Damaged { .. } | Self::Corrupt { .. } => Some("TG0104"),
            Self::Truncated { .. } => Some("TG0105"),
            Self::Beyond { .. } => Some("TG0106"),
            Self::Full => Some("TG0107"),
            Self::Busy => Some("TG0108"),
            Self::Poisoned(_) | Self::Storage(_) => Some("TG0109"),
            Self::Unanswered(_) => Some("TG0120"),
            Self::Topics(_) => Some("TG0121"),
            Self::Unreachable { .. } => Some("TG0122"),
            Self::Fenced { .. } | Self::NoSuchPartition { .. } | Self::TooLarge { .. } | Self::Closed => None,
        }
    }
}

impl From<Error> for service::Error {
    /// What ends a component: its exit code tells the supervisor whether starting again may help.
    fn from(error: Error) -> Self {
        let class = match &error {
            Error::Topology { .. } | Error::NotAJournal { .. } | Error::Topics(_) => service::error::Class::Config,
            Error::Poisoned(_) => service::error::Class::Dependency,
            other => match other.class() {
                Class::Transient | Class::Refused => service::error::Class::Dependency,
                Class::Malformed | Class::Bug => service::error::Class::Bug,
            },
        };
        Self::new(class, error.code().unwrap_or("TG0070"), error.to_string())
    }
}
