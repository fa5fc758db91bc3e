//! The schema and its versions.

use sqlx::{Row as _, SqlitePool};

use crate::{Error, Result};

/// The steps of the schema, oldest first. A step that was released is never changed.
const STEPS: &[&str] = &[include_str!("schema.sql")];

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
    if found < known {
        let set = format!("PRAGMA user_version = {known}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
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
