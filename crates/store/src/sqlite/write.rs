//! Taking partitions and writing checkpoints.

use std::sync::{Arc, Mutex, PoisonError};

use service::mark::Mark;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::parts::{self, PartRow};
use super::seal;
use crate::codec;
use crate::reports::{Block, Change, Held, State, StoredCall, Taken};
use crate::{Error, Part, Result};

/// Rows in one statement. Few sizes of statements, so that the prepared ones are found again; far below SQLite's
/// 32,766 parameters.
const CHUNK: usize = 128;
/// Bodies encoded between two looks at other tasks.
const ENCODED: usize = 64;

/// The one connection that writes, and the mark beside the file.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) pool: SqlitePool,
    pub(super) mark: Arc<Mark>,
    pub(super) last: Arc<Mutex<Last>>,
}

/// The last transaction of this process, and how long the log was after it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    number: u64,
    frames: i64,
}

impl Writer {
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Counts the transaction and commits it.
    pub(super) async fn commit(&self, mut tx: Transaction<'static, Sqlite>) -> Result<()> {
        let number = parts::commits(&mut *tx).await? + 1;
        parts::put_meta(&mut *tx, parts::COMMITS, &number.to_string()).await?;
        tx.commit().await?;
        let told = sqlx::query("PRAGMA wal_checkpoint(NOOP)").fetch_one(&self.pool).await;
        // Nobody may know: then the mark stays where it is, and is only weaker.
        if let Ok((frames, copied)) = told.and_then(|row| Ok((row.try_get(1)?, row.try_get(2)?))) {
            self.note(number, frames, copied);
        }
        Ok(())
    }

    /// Moves the mark to a transaction that has been copied from the log into the file, which synced the log first: a log that lost it
    /// would mix old pages with new ones, and is refused at the next opening.
    fn note(&self, number: u64, frames: i64, copied: i64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if copied == frames {
            self.mark.move_to(number);
        } else if last.number > 0 && (last.frames..frames).contains(&copied) {
            self.mark.move_to(last.number);
        }
        *last = Last { number, frames };
    }
}

pub(super) async fn put_meta(writer: &Writer, name: &str, value: &str) -> Result<()> {
    let mut tx = writer.begin().await?;
    parts::put_meta(&mut *tx, name, value).await?;
    writer.commit(tx).await
}

pub(super) async fn take(writer: &Writer, owner: &str, journal: &str, wanted: &[Part]) -> Result<Vec<Taken>> {
    let mut tx = writer.begin().await?;
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
    Ok(taken)
}

pub(super) async fn checkpoint(writer: &Writer, changes: &[Change]) -> Result<()> {
    // Nothing is computed while the file is locked.
    let mut bodies = Vec::new();
    for block in changes.iter().flat_map(|change| &change.blocks) {
        bodies.push(codec::encode_rows(block.key.hour, &block.rows));
        if bodies.len() % ENCODED == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut tx = writer.begin().await?;
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
    writer.commit(tx).await
}

/// Moves the position, if the fence is still the current one. The row stays locked until the transaction ends.
async fn advance(tx: &mut SqliteConnection, held: &Held, next: u64) -> Result<i64> {
    let row = PartRow::load(&mut *tx, &held.part).await?;
    let current = row.as_ref().map_or(0, |row| row.fence.cast_unsigned());
    match row {
        Some(mut row) if current == held.fence => {
            row.next = Some(next.cast_signed());
            row.save(tx).await?;
            Ok(row.code)
        }
        _ => Err(Error::Fenced { part: held.part.clone(), held: held.fence, current }),
    }
}

async fn calls(tx: &mut SqliteConnection, code: i64, calls: &[StoredCall]) -> Result<()> {
    for chunk in calls.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Sqlite>::new(
            "INSERT INTO calls (id, part, tenant, source, direction, offered_at, ended_at, closed, queues, agents, causes, \
             caller, body, x) ",
        );
        sql.push_values(chunk, |mut values, call| {
            values.push_bind(call.id.as_str().to_owned()).push_bind(code);
            values.push_bind(call.tenant.as_str().to_owned()).push_bind(call.source.as_str().to_owned());
            values.push_bind(call.direction).push_bind(call.offered_at).push_bind(call.ended_at).push_bind(call.closed);
            values.push_bind(call.queues.clone()).push_bind(call.agents.clone()).push_bind(call.causes.clone());
            values.push_bind(call.caller.clone()).push_bind(call.body.to_vec());
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
    tx: &mut SqliteConnection,
    code: i64,
    blocks: &[Arc<Block>],
    bodies: &mut impl Iterator<Item = Vec<u8>>,
) -> Result<()> {
    for chunk in blocks.chunks(CHUNK) {
        let mut sql =
            QueryBuilder::<Sqlite>::new("INSERT INTO blocks (dim, hour, tenant, source, id, part, version, body, x) ");
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
            values.push_bind(of.dim).push_bind(of.hour).push_bind(of.tenant.to_owned()).push_bind(of.source.to_owned());
            values.push_bind(of.id.to_owned()).push_bind(code).push_bind(version).push_bind(body).push_bind(x);
        });
        sql.push(
            " ON CONFLICT (dim, hour, tenant, source, id, part) DO UPDATE SET version = excluded.version, \
             body = excluded.body, x = excluded.x",
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
        let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO states (kind, id, part, body, x) ");
        sql.push_values(chunk, |mut values, (state, body)| {
            values.push_bind(state.kind.code()).push_bind(state.id.clone()).push_bind(code).push_bind((*body).clone());
            values.push_bind(seal::state(state.kind.code(), &state.id, code, body));
        });
        sql.push(" ON CONFLICT (kind, id, part) DO UPDATE SET body = excluded.body, x = excluded.x");
        sql.build().execute(&mut *tx).await?;
    }
    Ok(())
}
