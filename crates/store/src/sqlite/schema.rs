//! The schema and its versions.

use sqlx::{Row as _, SqlitePool};

use super::writer;
use crate::{Error, Result};

/// The steps of the schema, oldest first. A step that was released is never changed.
const STEPS: &[&str] = &[include_str!("schema.sql"), include_str!("schema2.sql")];

/// The first SQLite without the WAL-reset fault.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);

/// Refuses a SQLite library that is too old.
pub(super) async fn check_version(pool: &SqlitePool) -> Result<()> {
    let found: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(pool).await?;
    if version(&found) < SQLITE_MIN {
        return Err(Error::SqliteTooOld { found, needed: "3.51.3" });
    }
    Ok(())
}

fn version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

/// The version from which on every row has its seal.
const SEALED: i64 = 2;

/// Checks the trees of the file: that every row is found in every index, in order, and that no page hides one. What is *in* the rows is
/// checked by their seals when they are read.
pub(super) async fn check_trees(pool: &SqlitePool) -> Result<()> {
    let lines: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(5)").fetch_all(pool).await?;
    if lines == ["ok"] {
        return Ok(());
    }
    let reason = format!("{}; run `tidegate rebuild`", lines.join("; ").replace('\n', " "));
    Err(Error::Corrupt { what: "a tree".to_owned(), reason })
}

/// Climbs from the version that the file has to the newest. Several processes may try at once: the first does it, the
/// others wait.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<()> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let found: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut *tx).await?.try_get(0)?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Schema { found, known });
    }
    for step in &STEPS[usize::try_from(found).unwrap_or(0)..] {
        sqlx::raw_sql(*step).execute(&mut *tx).await?;
    }
    if found < SEALED {
        writer::seal_all(&mut tx).await?;
    }
    if found < known {
        let set = format!("PRAGMA user_version = {known}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    if found < known {
        // What makes it a store is in the file itself from the beginning.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(pool).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version("3.51.3") >= SQLITE_MIN);
        assert!(version("3.100.0") >= SQLITE_MIN);
        assert!(version("3.51.2") < SQLITE_MIN);
    }
}
