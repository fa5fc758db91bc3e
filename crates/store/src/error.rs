//! What the stores can answer instead of a result.

use std::path::PathBuf;

use sqlx::postgres::PgDatabaseError;

use crate::Part;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Who must act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody: try again, with a pause.
    Transient,
    /// The operator.
    Refused,
    /// Nobody: set the input aside.
    Malformed,
    /// We are at fault.
    Bug,
}

/// What the stores can answer instead of a result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another owner has taken the partition since: drop the work, it is the other's to do again.
    #[error("{part} was taken over: fence {held} is held, {current} is current")]
    Fenced {
        /// The partition.
        part: Part,
        /// The fence of the caller.
        held: u64,
        /// The fence that counts.
        current: u64,
    },
    /// The database has lost what it had acknowledged: take the partition again, and fold on from what is there.
    #[error("the store has lost what was written of {part}: {written} was acknowledged, {found} is there")]
    Undone {
        /// The partition.
        part: Part,
        /// The position that was acknowledged.
        written: u64,
        /// The position that was found.
        found: u64,
    },
    /// The positions in this store are of another journal: nothing can be resumed here.
    #[error(
        "the store holds positions of journal {found:?}, and this is journal {wanted:?}: give each its store, or rebuild"
    )]
    Foreign {
        /// What the store was filled from.
        found: String,
        /// What the caller reads.
        wanted: String,
    },
    /// The store was made by a newer version of this program.
    #[error("the store has schema {found}, and this version knows up to {known}: use the version that wrote it")]
    Schema {
        /// What was found.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// The SQLite library is older than the first one without the WAL-reset fault.
    #[error("sqlite {found} is too old: {needed} or later is needed")]
    SqliteTooOld {
        /// The version that is linked.
        found: String,
        /// The oldest that is safe.
        needed: &'static str,
    },
    /// The file cannot be opened as a store.
    #[error("cannot open {} as a store: {reason}", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The server, or what it keeps, is not for us: its address, rights, version or encoding.
    #[error("{place} cannot be used as a store: {reason}")]
    Refused {
        /// Which; without user and password.
        place: String,
        /// Why not.
        reason: String,
    },
    /// Another process has the store open.
    #[error("{store} is in use: another process has it open{}", if *alone { " alone, for a rebuild or an import" } else { "" })]
    InUse {
        /// The file, or the database.
        store: String,
        /// Whether that process wants to be alone, or the caller did.
        alone: bool,
    },
    /// Something in the store cannot be read back.
    #[error("{what} in the store cannot be read: {reason}")]
    Corrupt {
        /// Which row.
        what: String,
        /// What does not fit.
        reason: String,
    },
    /// The store has lost transactions that its file was said to hold: its log was cut or damaged, or an older copy stands in its place.
    #[error("the store ends with transaction {last}, and {written} was in its file: run `tidegate rebuild`")]
    Behind {
        /// The last transaction that was known to be in the file.
        written: u64,
        /// The last one that is there.
        last: u64,
    },
    /// More was asked for, or given, than one call may hold.
    #[error("{what}: {size} is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The changes asked for are no longer kept: take a snapshot.
    #[error("changes since {since} are no longer kept, the oldest is {oldest}: take a snapshot")]
    Lapsed {
        /// The cursor of the caller.
        since: u64,
        /// The oldest cursor that can be resumed.
        oldest: u64,
    },
    /// The cursor is another one than the put was for: somebody else has put, or something was lost. Nothing was put.
    #[error("the live state has moved on: its cursor is {cursor}, and {wanted} was expected")]
    Moved {
        /// The cursor that the caller expected.
        wanted: u64,
        /// The cursor that is.
        cursor: u64,
    },
    /// Others kept the store locked beyond the busy timeout, or no connection was to be had. Nothing was written.
    #[error("the store was away, or locked by others, for too long")]
    Busy,
    /// The disk is full. Nothing was written.
    #[error("the disk of the store is full")]
    Full,
    /// The storage failed. Nothing was written.
    #[error("the store failed: {0}")]
    Storage(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Who must act.
    pub const fn class(&self) -> Class {
        match self {
            Self::Fenced { .. }
            | Self::Undone { .. }
            | Self::Lapsed { .. }
            | Self::Moved { .. }
            | Self::Busy
            | Self::Full
            | Self::Storage(_) => Class::Transient,
            Self::Foreign { .. }
            | Self::Refused { .. }
            | Self::Schema { .. }
            | Self::SqliteTooOld { .. }
            | Self::NotAStore { .. }
            | Self::InUse { .. }
            | Self::Corrupt { .. }
            | Self::Behind { .. } => Class::Refused,
            Self::TooLarge { .. } => Class::Malformed,
            Self::Closed => Class::Bug,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(db) if db.try_downcast_ref::<PgDatabaseError>().is_some() => {
                db.try_downcast_ref().map_or(Self::Closed, crate::postgres::fault::of)
            }
            // SQLite's primary codes, in the low byte of the extended ones: 5 BUSY, 6 LOCKED, 11 CORRUPT, 13 FULL, 26 NOTADB.
            sqlx::Error::Database(db) => {
                match db.code().and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff) {
                    Some(5 | 6) => Self::Busy,
                    Some(13) => Self::Full,
                    // 1: a statement of ours that no longer fits the tables.
                    Some(1 | 11 | 26) => Self::Corrupt { what: "a page".to_owned(), reason: error.to_string() },
                    _ => Self::Storage(error.to_string()),
                }
            }
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::PoolTimedOut => Self::Busy,
            // The driver gives up on names in the file that are no text; nothing but damage brings it there.
            sqlx::Error::WorkerCrashed => Self::Corrupt {
                what: "something".to_owned(),
                reason: "its reader gave up: the names in it are no text".to_owned(),
            },
            // Something else stands where we wrote: another kind of value, a text that is none, nothing at all.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                Self::Corrupt { what: "a row".to_owned(), reason: error.to_string() }
            }
            _ => Self::Storage(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_gave_up_is_damage_and_nothing_that_passes() {
        let error = Error::from(sqlx::Error::WorkerCrashed);
        assert!(matches!(error, Error::Corrupt { .. }) && error.class() == Class::Refused, "{error}");
    }
}
