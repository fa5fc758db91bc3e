//! Looking things up, and the questions of reports.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use model::{CallId, SourceId, TenantId, Time};
use sqlx::{QueryBuilder, Row as _};
use stats::call::Record as CallRecord;
use stats::{Row, RowKey};

use super::dialect::{self, Connection, Db, Pool, SqlRow};
use super::parts::PartRow;
use crate::reports::{
    BLOCK_MS, Block, BlockKey, CallFilter, Cursor, Kind, PAGE_MAX, Page, Progress, ROWS_MAX, Resumed, RowFilter, State,
};
use crate::{Error, Part, Result, codec, seal};

/// Keys in one look-up.
const CHUNK: usize = 250;
/// Open calls in one answer.
const OPEN_MAX: usize = 1_000_000;

pub(super) async fn progress(pool: &Pool) -> Result<Vec<Progress>> {
    let rows = PartRow::all(pool).await?;
    let mut all = rows
        .into_iter()
        .map(|row| {
            let (part, next) = (row.part()?, row.next.map(i64::cast_unsigned));
            Ok(Progress { part, owner: row.owner, fence: row.fence.cast_unsigned(), next })
        })
        .collect::<Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.part.cmp(&b.part));
    Ok(all)
}

pub(super) async fn span(pool: &Pool) -> Result<Option<(Time, Time)>> {
    let mut span: Option<(i64, i64)> = None;
    for (sql, length) in [("SELECT MIN(offered_at), MAX(offered_at) FROM calls", 1), (dialect::HOURS, BLOCK_MS)] {
        let row = sqlx::query(sql).fetch_one(pool).await?;
        let (Some(from), Some(to)) = (row.try_get::<Option<i64>, _>(0)?, row.try_get::<Option<i64>, _>(1)?) else {
            continue;
        };
        let to = to.saturating_add(length);
        span = Some(span.map_or((from, to), |(a, b)| (a.min(from), b.max(to))));
    }
    Ok(span.map(|(from, to)| (Time(from), Time(to))))
}

/// The columns of a call that are read: `id, part, body, x`.
pub(super) fn call(row: &SqlRow) -> Result<CallRecord> {
    let (id, body): (_, &[u8]) = (dialect::name(row.try_get(0)?), row.try_get(2)?);
    seal::check(|| format!("call {id}"), row.try_get(3)?, seal::call(&id, row.try_get(1)?, body))?;
    codec::decode_call(body)
}

pub(super) async fn resume(pool: &Pool, part: &Part) -> Result<Resumed> {
    let mut tx = dialect::one_moment(pool).await?;
    let Some(PartRow { code, .. }) = PartRow::load(&mut *tx, part).await? else { return Ok(Resumed::default()) };
    let mut open_calls = Vec::new();
    let sql = "SELECT id, part, body, x FROM calls WHERE part = $1 AND closed = 0";
    let mut found = sqlx::query(sql).bind(code).fetch(&mut *tx);
    while let Some(row) = found.try_next().await? {
        open_calls.push(call(&row)?);
    }
    drop(found);
    let states = sqlx::query("SELECT kind, id, part, body, x FROM states WHERE part = $1").bind(code);
    let states = states.fetch_all(&mut *tx).await?.iter().map(state).collect::<Result<_>>()?;
    let newest: Option<i64> =
        sqlx::query_scalar("SELECT MAX(hour) FROM blocks WHERE part = $1").bind(code).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(Resumed { open_calls, states, newest_hour: newest.map(Time) })
}

pub(super) fn state(row: &SqlRow) -> Result<State> {
    let (code, body): (i32, Vec<u8>) = (row.try_get(0)?, row.try_get(3)?);
    let id = dialect::name(row.try_get(1)?).into_owned();
    let sealed = seal::state(code, &id, row.try_get(2)?, &body);
    seal::check(|| format!("the state of {id}"), row.try_get(4)?, sealed)?;
    let kind = Kind::from_code(code)
        .ok_or_else(|| Error::Corrupt { what: "a state".to_owned(), reason: format!("there is no kind {code}") })?;
    Ok(State { kind, id, body: Some(body) })
}

pub(super) async fn states(pool: &Pool, kind: Kind) -> Result<Vec<State>> {
    let rows = sqlx::query("SELECT kind, id, part, body, x FROM states WHERE kind = $1 ORDER BY id")
        .bind(kind.code())
        .fetch_all(pool)
        .await?;
    rows.iter().map(state).collect()
}

pub(super) async fn calls_by_id(db: &mut Connection, ids: &[CallId]) -> Result<Vec<CallRecord>> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Db>::new("SELECT id, part, body, x FROM calls WHERE id IN (");
        let mut list = sql.separated(", ");
        for id in chunk {
            list.push_bind(dialect::text(id.as_str()));
        }
        sql.push(")");
        for row in sql.build().fetch_all(&mut *db).await? {
            found.push(call(&row)?);
        }
    }
    Ok(found)
}

pub(super) async fn open_calls(pool: &Pool) -> Result<Vec<CallRecord>> {
    let mut found = Vec::new();
    let mut rows =
        sqlx::query("SELECT id, part, body, x FROM calls WHERE closed = 0 ORDER BY offered_at, id").fetch(pool);
    while let Some(row) = rows.try_next().await? {
        if found.len() == OPEN_MAX {
            return Err(Error::TooLarge { what: "open calls", size: found.len() + 1, limit: OPEN_MAX });
        }
        found.push(call(&row)?);
    }
    Ok(found)
}

pub(super) async fn blocks_by_key(pool: &Pool, part: &Part, keys: &[BlockKey]) -> Result<Vec<Block>> {
    let mut found = Vec::new();
    let Some(PartRow { code, .. }) = PartRow::load(pool, part).await? else { return Ok(found) };
    for chunk in keys.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Db>::new(
            "SELECT dim, hour, tenant, source, id, part, version, body, x FROM blocks WHERE part = ",
        );
        sql.push_bind(code);
        dialect::these_blocks(&mut sql, chunk);
        for row in sql.build().fetch_all(pool).await? {
            found.push(block(&row)?.1);
        }
    }
    Ok(found)
}

/// The columns of a block: `dim, hour, tenant, source, id, part, version, body, x`. Answers the partition's code too.
pub(super) fn block(row: &SqlRow) -> Result<(i64, Block)> {
    let named = |at: usize| Ok::<_, sqlx::Error>(dialect::name(row.try_get(at)?));
    let (tenant, source, id) = (named(2)?, named(3)?, named(4)?);
    let of = seal::Of {
        dim: row.try_get(0)?,
        hour: row.try_get(1)?,
        tenant: &tenant,
        source: &source,
        id: &id,
        part: row.try_get(5)?,
    };
    let (version, body): (i64, &[u8]) = (row.try_get(6)?, row.try_get(7)?);
    seal::check(
        || format!("the block of {} at {}", of.id, Time(of.hour)),
        row.try_get(8)?,
        seal::block(of, version, body),
    )?;
    let key = BlockKey {
        dim: codec::dim_of(of.dim)?,
        hour: Time(of.hour),
        tenant: TenantId::new(of.tenant),
        source: SourceId::new(of.source),
        id: of.id.into(),
    };
    let rows = codec::decode_rows(&key, body)?;
    Ok((of.part, Block { key, version: version.cast_unsigned(), rows }))
}

/// The statement for the blocks whose hour touches the filter's range.
fn blocks_query(filter: &RowFilter) -> QueryBuilder<Db> {
    let first = filter.from.ms().div_euclid(BLOCK_MS) * BLOCK_MS;
    let mut sql =
        QueryBuilder::new("SELECT dim, hour, tenant, source, id, part, version, body, x FROM blocks WHERE dim = ");
    sql.push_bind(codec::dim_code(filter.dim)).push(" AND hour >= ").push_bind(first);
    sql.push(" AND hour < ").push_bind(filter.to.ms());
    if let Some(tenant) = &filter.tenant {
        sql.push(" AND tenant = ").push_bind(dialect::text(tenant.as_str()));
    }
    if let Some(source) = &filter.source {
        sql.push(" AND source = ").push_bind(dialect::text(source.as_str()));
    }
    if !filter.ids.is_empty() {
        sql.push(" AND id IN (");
        let mut list = sql.separated(", ");
        for id in &filter.ids {
            list.push_bind(dialect::text(id));
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

pub(super) async fn rows(pool: &Pool, filter: &RowFilter) -> Result<BTreeMap<RowKey, Row>> {
    bounded_ids(filter)?;
    let mut sum: BTreeMap<RowKey, Row> = BTreeMap::new();
    let mut sql = blocks_query(filter);
    let mut found = sql.build().fetch(pool);
    while let Some(row) = found.try_next().await? {
        let (_, Block { key, rows, .. }) = block(&row)?;
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

pub(super) async fn blocks_in(pool: &Pool, filter: &RowFilter) -> Result<Vec<(Part, Block)>> {
    bounded_ids(filter)?;
    let mut all = Vec::new();
    let mut size = 0;
    let mut sql = blocks_query(filter);
    let mut found = sql.build().fetch(pool);
    while let Some(row) = found.try_next().await? {
        let (code, block) = block(&row)?;
        size += block.rows.len();
        if size > ROWS_MAX {
            return Err(Error::TooLarge { what: "rows", size, limit: ROWS_MAX });
        }
        all.push((code, block));
    }
    // After the blocks: the partition of a block was there before it.
    let parts =
        PartRow::all(pool).await?.iter().map(|row| Ok((row.code, row.part()?))).collect::<Result<BTreeMap<_, _>>>()?;
    let named = all.into_iter().map(|(code, block)| {
        let part = parts.get(&code).cloned();
        let gone = || Error::Corrupt { what: format!("partition {code}"), reason: "it is missing".to_owned() };
        Ok((part.ok_or_else(gone)?, block))
    });
    named.collect()
}

/// Adds the conditions of a filter. All columns are in the index `calls_by_time`.
fn calls_where(sql: &mut QueryBuilder<Db>, filter: &CallFilter, after: Option<&Cursor>) {
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
            sql.push(condition).push_bind(dialect::text(value));
        }
    }
    let listed = [
        (" AND queues LIKE ", filter.queue.as_ref().map(|queue| queue.as_str())),
        (" AND agents LIKE ", filter.agent.as_ref().map(|agent| agent.as_str())),
        (" AND causes LIKE ", filter.cause.as_deref()),
    ];
    for (condition, value) in listed {
        if let Some(value) = value {
            sql.push(condition).push_bind(dialect::text(&codec::list_pattern(value))).push(" ESCAPE '\\'");
        }
    }
    if let Some(closed) = filter.closed {
        sql.push(" AND closed = ").push_bind(i32::from(closed));
    }
    if let Some(cursor) = after {
        sql.push(if filter.newest_first { " AND (offered_at, id) < (" } else { " AND (offered_at, id) > (" });
        sql.push_bind(cursor.offered_at.ms()).push(", ").push_bind(dialect::text(cursor.id.as_str())).push(")");
    }
}

pub(super) async fn calls(pool: &Pool, filter: &CallFilter, after: Option<&Cursor>, limit: usize) -> Result<Page> {
    if limit == 0 || limit > PAGE_MAX {
        return Err(Error::TooLarge { what: "calls of a page", size: limit, limit: PAGE_MAX });
    }
    let mut sql = QueryBuilder::<Db>::new("SELECT offered_at, id FROM calls");
    calls_where(&mut sql, filter, after);
    sql.push(if filter.newest_first { " ORDER BY offered_at DESC, id DESC" } else { " ORDER BY offered_at, id" });
    sql.push(" LIMIT ").push_bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let mut keys = Vec::with_capacity(limit + 1);
    // One moment for both questions: a call of the index that is not in the table is damage.
    let mut tx = dialect::one_moment(pool).await?;
    for row in sql.build().fetch_all(&mut *tx).await? {
        keys.push(Cursor { offered_at: Time(row.try_get(0)?), id: CallId::new(&*dialect::name(row.try_get(1)?)) });
    }
    let more = keys.len() > limit;
    keys.truncate(limit);
    let ids: Vec<CallId> = keys.iter().map(|key| key.id.clone()).collect();
    let mut by_id: BTreeMap<CallId, CallRecord> =
        calls_by_id(&mut tx, &ids).await?.into_iter().map(|call| (call.call.clone(), call)).collect();
    tx.commit().await?;
    let missing = |id: &CallId| Error::Corrupt { what: format!("call {id}"), reason: "it is missing".to_owned() };
    let calls = ids.iter().map(|id| by_id.remove(id).ok_or_else(|| missing(id))).collect::<Result<_>>()?;
    Ok(Page { calls, next: keys.pop().filter(|_| more) })
}
