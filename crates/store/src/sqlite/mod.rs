//! Reports in SQLite: one file, one writer at a time, any number of readers.
//!
//! - Invariant: every row is sealed with a checksum that is checked when it is read (`seal.rs`); the trees that lead to the rows are
//!   checked when the file is opened. Damage is [`Corrupt`](crate::Error::Corrupt), and `tidegate rebuild` mends it.
//! - Invariant: a file that ends before its mark ([`service::mark`]) is refused.
//!
//! The statements are those of PostgreSQL, too (`sql/`, compiled for each); SQLite's own are the schema, the opening of the file, the
//! way of committing, and what `dialect.rs` says.

#[path = "../sql/check.rs"]
mod check;
mod dialect;
#[path = "../sql/parts.rs"]
mod parts;
#[path = "../sql/read.rs"]
mod read;
#[path = "../sql/reports.rs"]
mod reports;
mod schema;
#[path = "../sql/sweep.rs"]
mod sweep;
#[path = "../sql/write.rs"]
mod write;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use service::mark::{Mark, Seen};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqlitePool};

use crate::kept::Kept;
use crate::lock::Lock;
use crate::{Error, Result};

/// How long a writer waits for the writers of other processes.
const BUSY: Duration = Duration::from_secs(10);
/// Connections that read.
const READERS: u32 = 4;
/// What the one that writes keeps of the file, negative for KiB.
const WRITER_CACHE: &str = "-65536";
/// What each that reads keeps of it. The machine keeps the file, too.
const READER_CACHE: &str = "-16384";
/// Pages of the write-ahead log until it is copied into the file: larger than SQLite's 1,000, so that a bulk import
/// copies a hot page once, not for each transaction.
const WAL_PAGES: &str = "4000";

/// Reports in a SQLite file. A cheap handle.
#[derive(Clone, Debug)]
pub struct Sqlite {
    writer: writer::Writer,
    readers: SqlitePool,
    _lock: Arc<Lock>,
}

impl Sqlite {
    /// Opens the file, or makes it, and brings its schema up to date.
    ///
    /// # Errors
    /// `NotAStore`, `Schema`, `SqliteTooOld`, `Corrupt`, `Behind`, `InUse` (somebody has it alone), `Busy`, `Storage`.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_locked(path.as_ref(), false).await
    }

    /// The same, and nobody else has it open from now on until the handle is dropped.
    ///
    /// # Errors
    /// `InUse`; as [`Sqlite::open`].
    pub async fn open_alone(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_locked(path.as_ref(), true).await
    }

    async fn open_locked(path: &Path, alone: bool) -> Result<Self> {
        let lock = Arc::new(Lock::take(path, alone)?);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Enough, because the positions are in the same transactions: see the contract.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY)
            .page_size(8192)
            .pragma("cache_size", WRITER_CACHE)
            .pragma("wal_autocheckpoint", WAL_PAGES)
            .pragma("journal_size_limit", "67108864")
            // As in PostgreSQL: queue "Sales" is not queue "sales".
            .pragma("case_sensitive_like", "1");
        let refused = |error: sqlx::Error| match Error::from(error) {
            Error::Storage(reason) | Error::Corrupt { reason, .. } => {
                Error::NotAStore { path: path.to_owned(), reason }
            }
            other => other,
        };
        // One connection: writers of this process queue here, in turn, and not in SQLite's busy handler, which is
        // unfair.
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY * 6)
            // A disk that is full or fails makes SQLite roll back by itself; the client then believes for ever that it is within a
            // transaction, and begins no other. Such a connection is given up, and the next one is new.
            .after_release(|connection, _| {
                Box::pin(async move {
                    // Behind the roll-back of a transaction that was dropped.
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options.clone());
        let failed = |error: std::io::Error| Error::Storage(format!("the mark of {}: {error}", path.display()));
        let seen = Seen::beside(path).map_err(failed)?;
        let pool = writer.await.map_err(refused)?;
        let identity = match admitted(&pool, path, seen).await {
            Ok(identity) => identity,
            Err(error) => {
                // Waited for: a connection that closes behind our back would still write into the file.
                pool.close().await;
                return Err(error);
            }
        };
        let mark = Arc::new(Mark::open(path, &identity).map_err(failed)?);
        let writer = writer::Writer { pool, mark, last: Arc::default(), kept: Kept::default() };
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(0)
            .connect_with(options.pragma("query_only", "1").pragma("cache_size", READER_CACHE))
            .await
            .map_err(refused)?;
        Ok(Self { writer, readers, _lock: lock })
    }
}

/// Checks the file and brings its schema up to date. Answers its identity.
async fn admitted(pool: &SqlitePool, path: &Path, seen: Seen) -> Result<String> {
    schema::check_version(pool).await?;
    schema::check_trees(pool).await?;
    schema::migrate(pool).await.map_err(|error| match error {
        Error::Storage(reason) => Error::NotAStore { path: path.to_owned(), reason },
        other => other,
    })?;
    let identity = parts::meta(pool, writer::IDENTITY).await?.unwrap_or_default();
    let last = writer::commits(pool).await?;
    match seen.ahead_of(&identity, last) {
        Some(written) => Err(Error::Behind { written, last }),
        None => Ok(identity),
    }
}

impl Sqlite {
    /// A checkpoint failed: nothing remembered here depends on what came of it.
    fn doubt(&self) {}

    /// The lock goes with the last handle.
    async fn release(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::{Reports as _, conformance};

    #[tokio::test]
    async fn sqlite_keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let next = std::cell::Cell::new(0);
        conformance::run(async || {
            next.set(next.get() + 1);
            Sqlite::open(dir.path().join(format!("{}.db", next.get()))).await.unwrap()
        })
        .await;
    }

    #[tokio::test]
    async fn what_was_written_is_there_when_the_file_is_opened_again_by_two() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let first = Sqlite::open(&path).await.unwrap();
        first.put_meta("a", "1").await.unwrap();
        let second = Sqlite::open(&path).await.unwrap();
        second.put_meta("b", "2").await.unwrap();
        assert_eq!(first.meta("b").await.unwrap().as_deref(), Some("2"));
        first.close().await.unwrap();
        assert!(matches!(first.meta("a").await, Err(Error::Closed)));
        assert_eq!(second.meta("a").await.unwrap().as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn what_found_no_room_is_written_when_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(dir.path().join("store.db")).await.unwrap();
        store.put_meta("a", "1").await.unwrap();
        // No larger than it is now.
        sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&store.writer.pool).await.unwrap();
        let large = "x".repeat(1 << 20);
        let full = store.put_meta("b", &large).await.unwrap_err();
        assert!(full.to_string().contains("full"), "{full}");
        assert_eq!(full.class(), crate::Class::Transient, "it is tried again");
        assert_eq!(store.meta("a").await.unwrap().as_deref(), Some("1"));
        sqlx::raw_sql("PRAGMA max_page_count = 1000000").execute(&store.writer.pool).await.unwrap();
        store.put_meta("b", &large).await.unwrap();
        assert_eq!(store.meta("b").await.unwrap(), Some(large));
    }

    #[tokio::test]
    async fn a_file_that_is_no_store_or_of_tomorrow_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("letter.txt");
        std::fs::write(&path, "Dear store, ".repeat(1000)).unwrap();
        let refused = Sqlite::open(&path).await.unwrap_err().to_string();
        assert!(refused.contains("letter.txt"), "{refused}");
        let path = dir.path().join("store.db");
        let store = Sqlite::open(&path).await.unwrap();
        sqlx::raw_sql("PRAGMA user_version = 99").execute(&store.writer.pool).await.unwrap();
        store.close().await.unwrap();
        assert!(matches!(Sqlite::open(&path).await, Err(Error::Schema { found: 99, .. })));
    }
}
