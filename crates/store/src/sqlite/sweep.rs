//! Retention and wiping.

use sqlx::SqlitePool;

use crate::Result;
use crate::reports::{Retention, Swept};

/// Rows removed in one transaction: short enough that a checkpoint never waits long.
const STEP: i64 = 2_000;

pub(super) async fn sweep(pool: &SqlitePool, retention: Retention) -> Result<Swept> {
    let mut swept = Swept::default();
    if let Some(before) = retention.calls_before {
        swept.calls = repeat(
            pool,
            "DELETE FROM calls WHERE id IN \
             (SELECT id FROM calls WHERE closed = 1 AND ended_at < $1 AND offered_at < $1 LIMIT $2)",
            before.ms(),
        )
        .await?;
    }
    if let Some(before) = retention.rows_before {
        swept.blocks = repeat(
            pool,
            "DELETE FROM blocks WHERE (dim, hour, tenant, source, id, part) IN \
             (SELECT dim, hour, tenant, source, id, part FROM blocks WHERE hour < $1 LIMIT $2)",
            before.ms(),
        )
        .await?;
    }
    Ok(swept)
}

async fn repeat(pool: &SqlitePool, sql: &'static str, before: i64) -> Result<u64> {
    let mut removed = 0;
    loop {
        let step = sqlx::query(sql).bind(before).bind(STEP).execute(pool).await?.rows_affected();
        removed += step;
        if step == 0 {
            return Ok(removed);
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn wipe(pool: &SqlitePool) -> Result<()> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    for sql in [
        "DELETE FROM calls",
        "DELETE FROM blocks",
        "DELETE FROM states",
        "UPDATE parts SET next_offset = NULL, fence = fence + 1",
        "DELETE FROM meta WHERE name = 'journal'",
    ] {
        sqlx::query(sql).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}
