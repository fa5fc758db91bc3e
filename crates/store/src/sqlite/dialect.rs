//! What SQLite says differently from PostgreSQL; the same names as in `postgres/dialect.rs`.

use std::borrow::Cow;

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Transaction};

use crate::reports::BlockKey;
use crate::{Result, codec};

pub(super) use super::writer::Writer;

pub(super) type Database = super::Sqlite;
pub(super) type Db = sqlx::Sqlite;
pub(super) type Pool = sqlx::SqlitePool;
pub(super) type Connection = sqlx::SqliteConnection;
pub(super) type SqlRow = sqlx::sqlite::SqliteRow;

/// Rows in one statement. Few sizes of statements, so that the prepared ones are found again; far below the 32,766 parameters.
pub(super) const CHUNK: usize = 128;
/// Whoever writes has the whole file.
pub(super) const HELD: &str = "";
/// A column more where names are too long for an index.
pub(super) const PLACED: &str = "";
pub(super) const BLOCKS_BY_KEY: &str = "dim, hour, tenant, source, id, part";
pub(super) const STATES_BY_KEY: &str = "kind, id, part";
/// The first and the last hour of all blocks.
pub(super) const HOURS: &str = "SELECT MIN(hour), MAX(hour) FROM blocks";
/// Removes some blocks of before a time.
pub(super) const DELETE_BLOCKS: &str = "DELETE FROM blocks WHERE (dim, hour, tenant, source, id, part) IN \
     (SELECT dim, hour, tenant, source, id, part FROM blocks WHERE hour < $1 LIMIT $2)";
/// Removes everything that was folded.
pub(super) const EMPTY: &str = "DELETE FROM calls; DELETE FROM blocks; DELETE FROM states";

/// A text as the database takes it: SQLite takes any.
pub(super) fn text(text: &str) -> String {
    text.to_owned()
}

/// The text again.
pub(super) fn name(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// Reading that sees one moment, however many statements it has.
pub(super) async fn one_moment(pool: &Pool) -> Result<Transaction<'static, Db>> {
    Ok(pool.begin().await?)
}

/// Nobody else takes or writes partitions until the transaction ends.
pub(super) async fn hold_parts(_: &mut Connection) -> Result<()> {
    Ok(())
}

/// The value of [`PLACED`].
pub(super) fn place(_: &mut Separated<'_, Db, &'static str>, _: &[&str]) {}

/// The condition that a block is one of these.
pub(super) fn these_blocks(sql: &mut QueryBuilder<Db>, keys: &[BlockKey]) {
    sql.push(" AND (dim, hour, tenant, source, id) IN (");
    sql.push_values(keys, |mut values, key| {
        values.push_bind(codec::dim_code(key.dim)).push_bind(key.hour.ms());
        values.push_bind(text(key.tenant.as_str())).push_bind(text(key.source.as_str())).push_bind(text(&key.id));
    });
    sql.push(")");
}

/// Drops what can be dropped whole before a time; answers how many blocks that was. Nothing here: a file has no such pieces.
pub(super) async fn drop_whole(_: &Writer, _: i64) -> Result<u64> {
    Ok(0)
}

/// What is wrong with the trees of the file.
pub(super) async fn trees(pool: &Pool) -> Result<Vec<String>> {
    let lines: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(100)").fetch_all(pool).await?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}
