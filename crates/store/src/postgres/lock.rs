//! Advisory locks: who has the store open, who changes its schema, who makes and drops months. All are of the database *and* the schema
//! in it, so that two deployments may share a database.

use sqlx::{PgConnection, PgExecutor};

use crate::Result;

/// The first key of each lock; the second is the schema's.
const OPEN: i32 = 0x5447_0001;
const SCHEMA: i32 = 0x5447_0002;
const MONTHS: i32 = 0x5447_0003;

/// Has the store open beside others, as long as the connection lives. Whether that may be.
pub(super) async fn open_beside(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    let sql = "SELECT pg_try_advisory_lock_shared($1, hashtext(current_schema()))";
    sqlx::query_scalar(sql).bind(OPEN).fetch_one(db).await
}

/// Has the store open alone, as long as the connection lives. Whether that may be.
pub(super) async fn open_alone(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    let sql = "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))";
    sqlx::query_scalar(sql).bind(OPEN).fetch_one(db).await
}

/// Waits to be the only one who changes the schema, until the transaction ends.
pub(super) async fn migrations(tx: &mut PgConnection) -> Result<()> {
    until_the_end(tx, SCHEMA).await
}

/// Waits to be the only one who makes or drops months, until the transaction ends.
pub(super) async fn months(tx: &mut PgConnection) -> Result<()> {
    until_the_end(tx, MONTHS).await
}

/// The same, until the connection is closed.
pub(super) async fn months_of_connection(db: &mut PgConnection) -> Result<()> {
    let sql = "SELECT pg_advisory_lock($1, hashtext(current_schema()))";
    sqlx::query(sql).bind(MONTHS).execute(db).await?;
    Ok(())
}

async fn until_the_end(tx: &mut PgConnection, key: i32) -> Result<()> {
    let sql = "SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))";
    sqlx::query(sql).bind(key).execute(tx).await?;
    Ok(())
}
