//! Taking partitions and writing checkpoints.

use std::sync::Arc;

use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool};

use crate::codec;
use crate::reports::{Block, Change, Held, State, StoredCall, Taken};
use crate::{Error, Part, Result};

/// Rows in one statement. Few sizes of statements, so that the prepared ones are found again; far below SQLite's
/// 32,766 parameters.
const CHUNK: usize = 128;
/// Bodies encoded between two looks at other tasks.
const ENCODED: usize = 64;

/// The remark that names the journal.
const JOURNAL: &str = "journal";

pub(super) async fn put_meta(pool: &SqlitePool, name: &str, value: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn take(pool: &SqlitePool, owner: &str, journal: &str, parts: &[Part]) -> Result<Vec<Taken>> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(JOURNAL)
        .bind(journal)
        .execute(&mut *tx)
        .await?;
    let found: String =
        sqlx::query_scalar("SELECT value FROM meta WHERE name = $1").bind(JOURNAL).fetch_one(&mut *tx).await?;
    if found != journal {
        return Err(Error::Foreign { found, wanted: journal.to_owned() });
    }
    let mut taken = Vec::with_capacity(parts.len());
    for part in parts {
        taken.push(take_one(&mut tx, owner, part).await?);
    }
    tx.commit().await?;
    Ok(taken)
}

async fn take_one(tx: &mut SqliteConnection, owner: &str, part: &Part) -> Result<Taken> {
    let row = sqlx::query(
        "INSERT INTO parts (part, code, fence, owner, next_offset) \
         SELECT $1, COALESCE(MAX(code), 0) + 1, 1, $2, NULL FROM parts WHERE 1 = 1 \
         ON CONFLICT (part) DO UPDATE SET fence = parts.fence + 1, owner = excluded.owner \
         RETURNING fence, next_offset",
    )
    .bind(part.to_string())
    .bind(owner)
    .fetch_one(tx)
    .await?;
    let (fence, next): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Taken { held: Held { part: part.clone(), fence: fence.cast_unsigned() }, next: next.map(i64::cast_unsigned) })
}

pub(super) async fn checkpoint(pool: &SqlitePool, changes: &[Change]) -> Result<()> {
    // Nothing is computed while the file is locked.
    let mut bodies = Vec::new();
    for block in changes.iter().flat_map(|change| &change.blocks) {
        bodies.push(codec::encode_rows(block.key.hour, &block.rows));
        if bodies.len() % ENCODED == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let mut codes = Vec::with_capacity(changes.len());
    for change in changes {
        codes.push(advance(&mut tx, &change.held, change.next).await?);
    }
    let mut bodies = bodies.into_iter();
    for (change, code) in changes.iter().zip(codes) {
        calls(&mut tx, code, &change.calls).await?;
        blocks(&mut tx, code, &change.blocks, &mut bodies).await?;
        states(&mut tx, code, &change.states).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Moves the position, if the fence is still the current one. The row stays locked until the transaction ends.
async fn advance(tx: &mut SqliteConnection, held: &Held, next: u64) -> Result<i64> {
    let moved = sqlx::query("UPDATE parts SET next_offset = $1 WHERE part = $2 AND fence = $3 RETURNING code")
        .bind(next.cast_signed())
        .bind(held.part.to_string())
        .bind(held.fence.cast_signed())
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(row) = moved {
        return Ok(row.try_get(0)?);
    }
    let current: Option<i64> = sqlx::query_scalar("SELECT fence FROM parts WHERE part = $1")
        .bind(held.part.to_string())
        .fetch_optional(tx)
        .await?;
    Err(Error::Fenced { part: held.part.clone(), held: held.fence, current: current.unwrap_or(0).cast_unsigned() })
}

async fn calls(tx: &mut SqliteConnection, code: i64, calls: &[StoredCall]) -> Result<()> {
    for chunk in calls.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO calls (id, part, tenant, source, direction, offered_at, ended_at, closed, queues, agents, causes, \
             caller, body) ",
        );
        sql.push_values(chunk, |mut values, call| {
            values.push_bind(call.id.as_str().to_owned()).push_bind(code);
            values.push_bind(call.tenant.as_str().to_owned()).push_bind(call.source.as_str().to_owned());
            values.push_bind(call.direction).push_bind(call.offered_at).push_bind(call.ended_at).push_bind(call.closed);
            values.push_bind(call.queues.clone()).push_bind(call.agents.clone()).push_bind(call.causes.clone());
            values.push_bind(call.caller.clone()).push_bind(call.body.to_vec());
        });
        sql.push(
            " ON CONFLICT (id) DO UPDATE SET part = excluded.part, tenant = excluded.tenant, source = excluded.source, \
             direction = excluded.direction, offered_at = excluded.offered_at, ended_at = excluded.ended_at, \
             closed = excluded.closed, queues = excluded.queues, agents = excluded.agents, causes = excluded.causes, \
             caller = excluded.caller, body = excluded.body",
        );
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
}

async fn blocks(
    tx: &mut SqliteConnection,
    code: i64,
    blocks: &[Arc<Block>],
    bodies: &mut impl Iterator<Item = Vec<u8>>,
) -> Result<()> {
    for chunk in blocks.chunks(CHUNK) {
        let mut sql =
            QueryBuilder::<Sqlite>::new("INSERT INTO blocks (dim, hour, tenant, source, id, part, version, body) ");
        sql.push_values(chunk.iter().zip(&mut *bodies), |mut values, (block, body)| {
            let key = &block.key;
            values.push_bind(codec::dim_code(key.dim)).push_bind(key.hour.ms());
            values.push_bind(key.tenant.as_str().to_owned()).push_bind(key.source.as_str().to_owned());
            values.push_bind(key.id.to_string()).push_bind(code).push_bind(block.version.cast_signed()).push_bind(body);
        });
        sql.push(
            " ON CONFLICT (dim, hour, tenant, source, id, part) DO UPDATE SET version = excluded.version, \
             body = excluded.body",
        );
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
}

async fn states(tx: &mut SqliteConnection, code: i64, states: &[State]) -> Result<()> {
    for gone in states.iter().filter(|state| state.body.is_none()) {
        sqlx::query("DELETE FROM states WHERE kind = $1 AND id = $2 AND part = $3")
            .bind(gone.kind.code())
            .bind(&gone.id)
            .bind(code)
            .execute(&mut *tx)
            .await?;
    }
    let kept: Vec<(&State, &Vec<u8>)> = states.iter().filter_map(|state| Some((state, state.body.as_ref()?))).collect();
    for chunk in kept.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO states (kind, id, part, body) ");
        sql.push_values(chunk, |mut values, (state, body)| {
            values.push_bind(state.kind.code()).push_bind(state.id.clone()).push_bind(code).push_bind((*body).clone());
        });
        sql.push(" ON CONFLICT (kind, id, part) DO UPDATE SET body = excluded.body");
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
}
