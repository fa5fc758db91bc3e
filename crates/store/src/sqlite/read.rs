//! Looking things up, and the questions of reports.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use model::{CallId, SourceId, TenantId, Time};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqlitePool};
use stats::call::Record as CallRecord;
use stats::{Row, RowKey};

use crate::codec;
use crate::reports::{
    BLOCK_MS, Block, BlockKey, CallFilter, Cursor, Kind, PAGE_MAX, Page, Progress, ROWS_MAX, Resumed, RowFilter, State,
};
use crate::{Error, Part, Result};

/// Keys in one look-up.
const CHUNK: usize = 250;
/// Open calls in one answer.
const OPEN_MAX: usize = 1_000_000;

pub(super) async fn meta(pool: &SqlitePool, name: &str) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT value FROM meta WHERE name = $1").bind(name).fetch_optional(pool).await?)
}

pub(super) async fn progress(pool: &SqlitePool) -> Result<Vec<Progress>> {
    let rows = sqlx::query("SELECT part, owner, fence, next_offset FROM parts").fetch_all(pool).await?;
    let mut all = rows
        .into_iter()
        .map(|row| {
            let next: Option<i64> = row.try_get(3)?;
            Ok(Progress {
                part: part_of(&row.try_get::<String, _>(0)?)?,
                owner: row.try_get(1)?,
                fence: row.try_get::<i64, _>(2)?.cast_unsigned(),
                next: next.map(i64::cast_unsigned),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.part.cmp(&b.part));
    Ok(all)
}

pub(super) async fn span(pool: &SqlitePool) -> Result<Option<(Time, Time)>> {
    let mut span: Option<(i64, i64)> = None;
    for (sql, length) in [
        ("SELECT MIN(offered_at), MAX(offered_at) FROM calls", 1),
        ("SELECT MIN(hour), MAX(hour) FROM blocks", BLOCK_MS),
    ] {
        let row = sqlx::query(sql).fetch_one(pool).await?;
        let (Some(from), Some(to)) = (row.try_get::<Option<i64>, _>(0)?, row.try_get::<Option<i64>, _>(1)?) else {
            continue;
        };
        let to = to.saturating_add(length);
        span = Some(span.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
    }
    Ok(span.map(|(from, to)| (Time(from), Time(to))))
}

fn part_of(text: &str) -> Result<Part> {
    text.parse()
        .map_err(|bad: crate::BadPart| Error::Corrupt { what: "a partition".to_owned(), reason: bad.to_string() })
}

pub(super) async fn resume(pool: &SqlitePool, part: &Part) -> Result<Resumed> {
    let mut tx = pool.begin().await?;
    let code: Option<i64> = sqlx::query_scalar("SELECT code FROM parts WHERE part = $1")
        .bind(part.to_string())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(code) = code else { return Ok(Resumed::default()) };
    let mut open_calls = Vec::new();
    let mut bodies = sqlx::query_scalar::<_, Vec<u8>>("SELECT body FROM calls WHERE part = $1 AND closed = 0")
        .bind(code)
        .fetch(&mut *tx);
    while let Some(body) = bodies.try_next().await? {
        open_calls.push(codec::decode_call(&body)?);
    }
    drop(bodies);
    let states =
        sqlx::query("SELECT kind, id, body FROM states WHERE part = $1").bind(code).fetch_all(&mut *tx).await?;
    let states = states.iter().map(state).collect::<Result<_>>()?;
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT MAX(hour) FROM blocks WHERE part = $1").bind(code).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(Resumed { open_calls, states, newest_hour: newest.map(Time) })
}

fn state(row: &SqliteRow) -> Result<State> {
    let code: i32 = row.try_get(0)?;
    let kind = Kind::from_code(code)
        .ok_or_else(|| Error::Corrupt { what: "a state".to_owned(), reason: format!("there is no kind {code}") })?;
    Ok(State { kind, id: row.try_get(1)?, body: Some(row.try_get(2)?) })
}

pub(super) async fn states(pool: &SqlitePool, kind: Kind) -> Result<Vec<State>> {
    let rows = sqlx::query("SELECT kind, id, body FROM states WHERE kind = $1 ORDER BY id")
        .bind(kind.code())
        .fetch_all(pool)
        .await?;
    rows.iter().map(state).collect()
}

pub(super) async fn calls_by_id(pool: &SqlitePool, ids: &[CallId]) -> Result<Vec<CallRecord>> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT body FROM calls WHERE id IN (");
        let mut list = sql.separated(", ");
        for id in chunk {
            list.push_bind(id.as_str().to_owned());
        }
        sql.push(")");
        for body in sql.build_query_scalar::<Vec<u8>>().fetch_all(pool).await? {
            found.push(codec::decode_call(&body)?);
        }
    }
    Ok(found)
}

pub(super) async fn open_calls(pool: &SqlitePool) -> Result<Vec<CallRecord>> {
    let mut found = Vec::new();
    let mut bodies =
        sqlx::query_scalar::<_, Vec<u8>>("SELECT body FROM calls WHERE closed = 0 ORDER BY offered_at, id").fetch(pool);
    while let Some(body) = bodies.try_next().await? {
        if found.len() == OPEN_MAX {
            return Err(Error::TooLarge { what: "open calls", size: found.len() + 1, limit: OPEN_MAX });
        }
        found.push(codec::decode_call(&body)?);
    }
    Ok(found)
}

pub(super) async fn blocks_by_key(pool: &SqlitePool, part: &Part, keys: &[BlockKey]) -> Result<Vec<Block>> {
    let mut found = Vec::new();
    for chunk in keys.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Sqlite>::new(
            "SELECT dim, hour, tenant, source, id, version, body FROM blocks \
             WHERE part = (SELECT code FROM parts WHERE part = ",
        );
        sql.push_bind(part.to_string()).push(") AND (dim, hour, tenant, source, id) IN (");
        sql.push_values(chunk, |mut values, key| {
            values.push_bind(codec::dim_code(key.dim)).push_bind(key.hour.ms());
            values.push_bind(key.tenant.as_str().to_owned()).push_bind(key.source.as_str().to_owned());
            values.push_bind(key.id.to_string());
        });
        sql.push(")");
        for row in sql.build().fetch_all(pool).await? {
            found.push(block(&row)?);
        }
    }
    Ok(found)
}

fn block(row: &SqliteRow) -> Result<Block> {
    let dim: i32 = row.try_get(0)?;
    let key = BlockKey {
        dim: codec::dim_of(dim)?,
        hour: Time(row.try_get(1)?),
        tenant: TenantId::new(row.try_get::<&str, _>(2)?),
        source: SourceId::new(row.try_get::<&str, _>(3)?),
        id: row.try_get::<&str, _>(4)?.into(),
    };
    let rows = codec::decode_rows(&key, row.try_get::<&[u8], _>(6)?)?;
    Ok(Block { key, version: row.try_get::<i64, _>(5)?.cast_unsigned(), rows })
}

/// The statement for the blocks whose hour touches the filter's range.
fn blocks_query(filter: &RowFilter) -> QueryBuilder<Sqlite> {
    let first = filter.from.ms().div_euclid(BLOCK_MS) * BLOCK_MS;
    let mut sql = QueryBuilder::new(
        "SELECT dim, hour, tenant, source, id, version, body, parts.part \
         FROM blocks JOIN parts ON parts.code = blocks.part WHERE dim = ",
    );
    sql.push_bind(codec::dim_code(filter.dim)).push(" AND hour >= ").push_bind(first);
    sql.push(" AND hour < ").push_bind(filter.to.ms());
    if let Some(tenant) = &filter.tenant {
        sql.push(" AND tenant = ").push_bind(tenant.as_str().to_owned());
    }
    if let Some(source) = &filter.source {
        sql.push(" AND source = ").push_bind(source.as_str().to_owned());
    }
    if !filter.ids.is_empty() {
        sql.push(" AND id IN (");
        let mut list = sql.separated(", ");
        for id in &filter.ids {
            list.push_bind(id.clone());
        }
        sql.push(")");
    }
    sql
}

fn bounded_ids(filter: &RowFilter) -> Result<()> {
    const IDS_MAX: usize = 10_000;
    if filter.ids.len() > IDS_MAX {
        return Err(Error::TooLarge { what: "ids in one question", size: filter.ids.len(), limit: IDS_MAX });
    }
    Ok(())
}

pub(super) async fn rows(pool: &SqlitePool, filter: &RowFilter) -> Result<BTreeMap<RowKey, Row>> {
    bounded_ids(filter)?;
    let mut sum: BTreeMap<RowKey, Row> = BTreeMap::new();
    let mut sql = blocks_query(filter);
    let mut found = sql.build().fetch(pool);
    while let Some(row) = found.try_next().await? {
        let Block { key, rows, .. } = block(&row)?;
        for (start, row) in rows.into_iter().filter(|(start, _)| *start >= filter.from && *start < filter.to) {
            sum.entry(key.row(start)).or_default().plus(&row);
        }
        if sum.len() > ROWS_MAX {
            return Err(Error::TooLarge { what: "rows", size: sum.len(), limit: ROWS_MAX });
        }
    }
    sum.retain(|_, row| !row.is_zero());
    Ok(sum)
}

pub(super) async fn blocks_in(pool: &SqlitePool, filter: &RowFilter) -> Result<Vec<(Part, Block)>> {
    bounded_ids(filter)?;
    let mut all = Vec::new();
    let mut size = 0;
    let mut sql = blocks_query(filter);
    let mut found = sql.build().fetch(pool);
    while let Some(row) = found.try_next().await? {
        let block = block(&row)?;
        size += block.rows.len();
        if size > ROWS_MAX {
            return Err(Error::TooLarge { what: "rows", size, limit: ROWS_MAX });
        }
        all.push((part_of(row.try_get(7)?)?, block));
    }
    Ok(all)
}

/// Adds the conditions of a filter. All columns are in the index `calls_by_time`.
fn calls_where(sql: &mut QueryBuilder<Sqlite>, filter: &CallFilter, after: Option<&Cursor>) {
    sql.push(" WHERE offered_at >= ").push_bind(filter.from.ms());
    sql.push(" AND offered_at < ").push_bind(filter.to.ms());
    let text = [
        (" AND tenant = ", filter.tenant.as_ref().map(TenantId::as_str)),
        (" AND source = ", filter.source.as_ref().map(SourceId::as_str)),
        (" AND direction = ", filter.direction.as_deref()),
        (" AND caller <> '' AND caller = ", filter.caller.as_deref()),
    ];
    for (condition, value) in text {
        if let Some(value) = value {
            sql.push(condition).push_bind(value.to_owned());
        }
    }
    let listed = [
        (" AND queues LIKE ", filter.queue.as_ref().map(|queue| queue.as_str())),
        (" AND agents LIKE ", filter.agent.as_ref().map(|agent| agent.as_str())),
        (" AND causes LIKE ", filter.cause.as_deref()),
    ];
    for (condition, value) in listed {
        if let Some(value) = value {
            sql.push(condition).push_bind(codec::list_pattern(value)).push(" ESCAPE '\\'");
        }
    }
    if let Some(closed) = filter.closed {
        sql.push(" AND closed = ").push_bind(i32::from(closed));
    }
    if let Some(cursor) = after {
        sql.push(if filter.newest_first { " AND (offered_at, id) < (" } else { " AND (offered_at, id) > (" });
        sql.push_bind(cursor.offered_at.ms()).push(", ").push_bind(cursor.id.as_str().to_owned()).push(")");
    }
}

pub(super) async fn calls(
    pool: &SqlitePool,
    filter: &CallFilter,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Page> {
    if limit == 0 || limit > PAGE_MAX {
        return Err(Error::TooLarge { what: "calls of a page", size: limit, limit: PAGE_MAX });
    }
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT offered_at, id FROM calls");
    calls_where(&mut sql, filter, after);
    sql.push(if filter.newest_first { " ORDER BY offered_at DESC, id DESC" } else { " ORDER BY offered_at, id" });
    sql.push(" LIMIT ").push_bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let mut keys = Vec::with_capacity(limit + 1);
    for row in sql.build().fetch_all(pool).await? {
        keys.push(Cursor { offered_at: Time(row.try_get(0)?), id: CallId::new(row.try_get::<&str, _>(1)?) });
    }
    let more = keys.len() > limit;
    keys.truncate(limit);
    let ids: Vec<CallId> = keys.iter().map(|key| key.id.clone()).collect();
    let mut by_id: BTreeMap<CallId, CallRecord> =
        calls_by_id(pool, &ids).await?.into_iter().map(|call| (call.call.clone(), call)).collect();
    // A call that a sweep removed in between is simply no longer there.
    let calls = ids.iter().filter_map(|id| by_id.remove(id)).collect();
    Ok(Page { calls, next: keys.pop().filter(|_| more) })
}
