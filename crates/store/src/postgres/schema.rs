//! The schema and its versions, kept in the table `tidegate_schema`.

use sqlx::{Connection as _, PgConnection, Row as _};

use super::Place;
use crate::{Error, Result};

/// The steps of the schema, oldest first. A step that was released is never changed.
const STEPS: &[&str] = &[include_str!("schema.sql")];

/// The first server that detaches a month without making readers wait.
const SERVER_MIN: i32 = 14;

/// Refuses a server that is too old, or a database that cannot hold every text.
pub(super) async fn check_server(db: &mut PgConnection, place: &Place) -> Result<()> {
    let sql = "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding')";
    let row = sqlx::query(sql).fetch_one(db).await?;
    let (version, encoding): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    if version < SERVER_MIN {
        return Err(place.refused(format!("it is version {version}, and {SERVER_MIN} or later is needed")));
    }
    if encoding != "UTF8" {
        return Err(place.refused(format!("the database is encoded in {encoding}, and UTF8 is needed")));
    }
    Ok(())
}

/// Climbs from the version that the database has to the newest. Of several processes the first does it, the others wait.
pub(super) async fn migrate(db: &mut PgConnection) -> Result<()> {
    let mut tx = db.begin().await?;
    super::lock::migrations(&mut tx).await?;
    let there: bool =
        sqlx::query_scalar("SELECT to_regclass('tidegate_schema') IS NOT NULL").fetch_one(&mut *tx).await?;
    let found: i64 = match there {
        true => sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM tidegate_schema").fetch_one(&mut *tx).await?,
        false => 0,
    };
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Schema { found, known });
    }
    if !there {
        let sql =
            "CREATE TABLE tidegate_schema (version BIGINT PRIMARY KEY, taken_at TIMESTAMPTZ NOT NULL DEFAULT now())";
        sqlx::raw_sql(sql).execute(&mut *tx).await?;
    }
    for (step, version) in STEPS.iter().zip(1_i64..).skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*step).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO tidegate_schema (version) VALUES ($1)").bind(version).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}
