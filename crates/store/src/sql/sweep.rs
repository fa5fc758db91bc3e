//! Retention and wiping.

use super::dialect::{self, Writer};
use super::parts::{self, PartRow};
use crate::Result;
use crate::reports::{Retention, Swept};

/// Rows removed in one transaction: short enough that a checkpoint never waits long.
const STEP: i64 = 2_000;

pub(super) async fn sweep(writer: &Writer, retention: Retention) -> Result<Swept> {
    let mut swept = Swept::default();
    if let Some(before) = retention.calls_before {
        swept.calls = repeat(
            writer,
            "DELETE FROM calls WHERE id IN \
             (SELECT id FROM calls WHERE closed = 1 AND ended_at < $1 AND offered_at < $1 LIMIT $2)",
            before.ms(),
        )
        .await?;
    }
    if let Some(before) = retention.rows_before {
        swept.blocks = dialect::drop_whole(writer, before.ms()).await?;
        swept.blocks += repeat(writer, dialect::DELETE_BLOCKS, before.ms()).await?;
    }
    Ok(swept)
}

async fn repeat(writer: &Writer, sql: &'static str, before: i64) -> Result<u64> {
    let mut removed = 0;
    loop {
        let mut tx = writer.begin().await?;
        let step = sqlx::query(sql).bind(before).bind(STEP).execute(&mut *tx).await?.rows_affected();
        if step > 0 {
            writer.commit(tx).await?;
        }
        removed += step;
        if step == 0 {
            return Ok(removed);
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn wipe(writer: &Writer) -> Result<()> {
    let mut tx = writer.begin().await?;
    dialect::hold_parts(&mut tx).await?;
    sqlx::raw_sql(dialect::EMPTY).execute(&mut *tx).await?;
    sqlx::query("DELETE FROM meta WHERE name = $1").bind(parts::JOURNAL).execute(&mut *tx).await?;
    for mut row in PartRow::all(&mut *tx).await? {
        (row.fence, row.next) = (row.fence + 1, None);
        row.save(&mut *tx).await?;
    }
    writer.commit(tx).await
}
