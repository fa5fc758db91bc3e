//! The one connection that writes, and the count of its transactions beside the mark.

use std::sync::{Arc, Mutex, PoisonError};

use service::mark::Mark;
use sqlx::{Row as _, Sqlite, SqliteConnection, SqliteExecutor, SqlitePool, Transaction};

use super::parts::{self, PartRow};
use crate::kept::Kept;
use crate::reports::Change;
use crate::{Error, Result};

/// The remark that names this file, so that its mark is not taken for another's.
pub(super) const IDENTITY: &str = "identity";
/// The remark that counts transactions.
pub(super) const COMMITS: &str = "commits";

/// The one connection that writes, and the mark beside the file.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) pool: SqlitePool,
    pub(super) mark: Arc<Mark>,
    pub(super) last: Arc<Mutex<Last>>,
    pub(super) kept: Kept,
}

/// The last transaction of this process, and how long the log was after it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    number: u64,
    frames: i64,
}

impl Writer {
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Counts the transaction and commits it.
    pub(super) async fn commit(&self, mut tx: Transaction<'static, Sqlite>) -> Result<()> {
        let number = commits(&mut *tx).await? + 1;
        parts::put_meta(&mut *tx, COMMITS, &number.to_string()).await?;
        tx.commit().await?;
        let told = sqlx::query("PRAGMA wal_checkpoint(NOOP)").fetch_one(&self.pool).await;
        // Nobody may know: then the mark stays where it is, and is only weaker.
        if let Ok((frames, copied)) = told.and_then(|row| Ok((row.try_get(1)?, row.try_get(2)?))) {
            self.note(number, frames, copied);
        }
        Ok(())
    }

    /// Moves the mark to a transaction that has been copied from the log into the file, which synced the log first: a log that lost it
    /// would mix old pages with new ones, and is refused at the next opening.
    fn note(&self, number: u64, frames: i64, copied: i64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if copied == frames {
            self.mark.move_to(number);
        } else if last.number > 0 && (last.frames..frames).contains(&copied) {
            self.mark.move_to(last.number);
        }
        *last = Last { number, frames };
    }

    /// Whatever the rows that will be written need first. Nothing here.
    pub(super) async fn make_room(&self, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

/// The number of the last transaction.
pub(super) async fn commits(db: impl SqliteExecutor<'_>) -> Result<u64> {
    let Some(text) = parts::meta(db, COMMITS).await? else { return Ok(0) };
    text.parse().map_err(|_| Error::Corrupt { what: "the count of transactions".to_owned(), reason: text })
}

/// Seals what an older version wrote.
pub(super) async fn seal_all(tx: &mut SqliteConnection) -> Result<()> {
    for row in sqlx::query("SELECT name, value FROM meta").fetch_all(&mut *tx).await? {
        parts::put_meta(&mut *tx, &row.try_get::<String, _>(0)?, &row.try_get::<String, _>(1)?).await?;
    }
    for row in sqlx::query(PartRow::COLUMNS).fetch_all(&mut *tx).await? {
        PartRow::unchecked(&row)?.0.save(&mut *tx).await?;
    }
    Ok(())
}
