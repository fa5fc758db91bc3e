//! Taking partitions and writing checkpoints.

use std::sync::Arc;

use sqlx::QueryBuilder;

use super::dialect::{self, CHUNK, Connection, Db, Writer};
use super::parts::{self, PartRow};
use crate::reports::{Block, Change, Held, State, StoredCall, Taken};
use crate::{Error, Part, Result, codec, seal};

/// Bodies encoded between two looks at other tasks.
const ENCODED: usize = 64;

pub(super) async fn put_meta(writer: &Writer, name: &str, value: &str) -> Result<()> {
    let mut tx = writer.begin().await?;
    parts::put_meta(&mut *tx, name, value).await?;
    writer.commit(tx).await
}

pub(super) async fn take(writer: &Writer, owner: &str, journal: &str, wanted: &[Part]) -> Result<Vec<Taken>> {
    let mut tx = writer.begin().await?;
    dialect::hold_parts(&mut tx).await?;
    match parts::meta(&mut *tx, parts::JOURNAL).await? {
        None => parts::put_meta(&mut *tx, parts::JOURNAL, journal).await?,
        Some(found) if found == journal => {}
        Some(found) => return Err(Error::Foreign { found, wanted: journal.to_owned() }),
    }
    let known = PartRow::all(&mut *tx).await?;
    let mut newest = known.iter().map(|row| row.code).max().unwrap_or(0);
    let mut taken = Vec::with_capacity(wanted.len());
    for part in wanted {
        let name = part.to_string();
        let mut row = known.iter().find(|row| row.name == name).cloned().unwrap_or_else(|| {
            newest += 1;
            PartRow { name, code: newest, fence: 0, owner: String::new(), next: None }
        });
        row.fence += 1;
        owner.clone_into(&mut row.owner);
        row.save(&mut *tx).await?;
        let held = Held { part: part.clone(), fence: row.fence.cast_unsigned() };
        taken.push(Taken { held, next: row.next.map(i64::cast_unsigned) });
    }
    writer.commit(tx).await?;
    taken.iter().for_each(|taken| writer.kept.note(&taken.held, taken.next));
    Ok(taken)
}

pub(super) async fn checkpoint(writer: &Writer, changes: &[Change]) -> Result<()> {
    writer.make_room(changes).await?;
    // Nothing is computed while the rows are held.
    let mut bodies = Vec::new();
    for block in changes.iter().flat_map(|change| &change.blocks) {
        bodies.push(codec::encode_rows(block.key.hour, &block.rows));
        if bodies.len() % ENCODED == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut tx = writer.begin().await?;
    let mut codes = vec![0; changes.len()];
    // Rows are held in one order by everybody, so that nobody waits for somebody who waits for them.
    let mut order: Vec<usize> = (0..changes.len()).collect();
    order.sort_by_key(|at| changes[*at].held.part.clone());
    for at in order {
        codes[at] = advance(writer, &mut tx, &changes[at].held, changes[at].next).await?;
    }
    let mut bodies = bodies.into_iter();
    for (change, code) in changes.iter().zip(codes) {
        calls(&mut tx, code, &change.calls).await?;
        blocks(&mut tx, code, &change.blocks, &mut bodies).await?;
        states(&mut tx, code, &change.states).await?;
    }
    writer.commit(tx).await?;
    changes.iter().for_each(|change| writer.kept.note(&change.held, Some(change.next)));
    Ok(())
}

/// Moves the position, if the fence is still the current one. The row stays held until the transaction ends.
async fn advance(writer: &Writer, tx: &mut Connection, held: &Held, next: u64) -> Result<i64> {
    let row = PartRow::hold(&mut *tx, &held.part).await?;
    let current = row.as_ref().map_or(0, |row| row.fence.cast_unsigned());
    match row {
        Some(mut row) if current == held.fence => {
            writer.kept.check(held, row.next.map(i64::cast_unsigned))?;
            row.next = Some(next.cast_signed());
            row.save(tx).await?;
            Ok(row.code)
        }
        _ => Err(Error::Fenced { part: held.part.clone(), held: held.fence, current }),
    }
}

async fn calls(tx: &mut Connection, code: i64, calls: &[StoredCall]) -> Result<()> {
    for chunk in calls.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Db>::new(
            "INSERT INTO calls (id, part, tenant, source, direction, offered_at, ended_at, closed, queues, agents, causes, \
             caller, body, x) ",
        );
        sql.push_values(chunk, |mut values, call| {
            values.push_bind(dialect::text(call.id.as_str())).push_bind(code);
            values.push_bind(dialect::text(call.tenant.as_str())).push_bind(dialect::text(call.source.as_str()));
            values.push_bind(call.direction).push_bind(call.offered_at).push_bind(call.ended_at).push_bind(call.closed);
            values
                .push_bind(dialect::text(&call.queues))
                .push_bind(dialect::text(&call.agents))
                .push_bind(dialect::text(&call.causes));
            values.push_bind(dialect::text(&call.caller)).push_bind(call.body.to_vec());
            values.push_bind(seal::call(call.id.as_str(), code, &call.body));
        });
        sql.push(
            " ON CONFLICT (id) DO UPDATE SET part = excluded.part, tenant = excluded.tenant, source = excluded.source, \
             direction = excluded.direction, offered_at = excluded.offered_at, ended_at = excluded.ended_at, \
             closed = excluded.closed, queues = excluded.queues, agents = excluded.agents, causes = excluded.causes, \
             caller = excluded.caller, body = excluded.body, x = excluded.x",
        );
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
}

async fn blocks(
    tx: &mut Connection,
    code: i64,
    blocks: &[Arc<Block>],
    bodies: &mut impl Iterator<Item = Vec<u8>>,
) -> Result<()> {
    for chunk in blocks.chunks(CHUNK) {
        let mut sql =
            QueryBuilder::<Db>::new("INSERT INTO blocks (dim, hour, tenant, source, id, part, version, body, x");
        sql.push(dialect::PLACED).push(") ");
        sql.push_values(chunk.iter().zip(&mut *bodies), |mut values, (block, body)| {
            let (key, version) = (&block.key, block.version.cast_signed());
            let of = seal::Of {
                dim: codec::dim_code(key.dim),
                hour: key.hour.ms(),
                tenant: key.tenant.as_str(),
                source: key.source.as_str(),
                id: &key.id,
                part: code,
            };
            let x = seal::block(of, version, &body);
            values
                .push_bind(of.dim)
                .push_bind(of.hour)
                .push_bind(dialect::text(of.tenant))
                .push_bind(dialect::text(of.source));
            values.push_bind(dialect::text(of.id)).push_bind(code).push_bind(version).push_bind(body).push_bind(x);
            dialect::place(&mut values, &[of.tenant, of.source, of.id]);
        });
        sql.push(" ON CONFLICT (").push(dialect::BLOCKS_BY_KEY);
        sql.push(") DO UPDATE SET version = excluded.version, body = excluded.body, x = excluded.x");
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
}

async fn states(tx: &mut Connection, code: i64, states: &[State]) -> Result<()> {
    for gone in states.iter().filter(|state| state.body.is_none()) {
        sqlx::query("DELETE FROM states WHERE kind = $1 AND id = $2 AND part = $3")
            .bind(gone.kind.code())
            .bind(dialect::text(&gone.id))
            .bind(code)
            .execute(&mut *tx)
            .await?;
    }
    let kept: Vec<(&State, &Vec<u8>)> = states.iter().filter_map(|state| Some((state, state.body.as_ref()?))).collect();
    for chunk in kept.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Db>::new("INSERT INTO states (kind, id, part, body, x");
        sql.push(dialect::PLACED).push(") ");
        sql.push_values(chunk, |mut values, (state, body)| {
            values
                .push_bind(state.kind.code())
                .push_bind(dialect::text(&state.id))
                .push_bind(code)
                .push_bind((*body).clone());
            values.push_bind(seal::state(state.kind.code(), &state.id, code, body));
            dialect::place(&mut values, &[&state.id]);
        });
        sql.push(" ON CONFLICT (")
            .push(dialect::STATES_BY_KEY)
            .push(") DO UPDATE SET body = excluded.body, x = excluded.x");
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
}
