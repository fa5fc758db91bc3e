//! What PostgreSQL says differently from SQLite; the same names as in `sqlite/dialect.rs`.

use std::borrow::Cow;

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Transaction};
use xxhash_rust::xxh3::xxh3_128;

use crate::reports::BlockKey;
use crate::{Result, codec};

pub(super) use super::months::drop_whole;
pub(super) use super::writer::Writer;

pub(super) type Database = super::Postgres;
pub(super) type Db = sqlx::Postgres;
pub(super) type Pool = sqlx::PgPool;
pub(super) type Connection = sqlx::PgConnection;
pub(super) type SqlRow = sqlx::postgres::PgRow;

/// Rows in one statement: 14 parameters each, of the 65,535 that one may have.
pub(super) const CHUNK: usize = 512;
/// Holds the rows that are read.
pub(super) const HELD: &str = " FOR UPDATE";
/// A tree takes keys of 2,704 bytes, and names may be longer: the keys are hashes of 128 bits.
pub(super) const PLACED: &str = ", k";
pub(super) const BLOCKS_BY_KEY: &str = "dim, hour, part, k";
pub(super) const STATES_BY_KEY: &str = "kind, part, k";
/// The first and the last hour of all blocks, from the ends of each partition's tree.
pub(super) const HOURS: &str = "SELECT MIN(ends.first), MAX(ends.last) FROM parts CROSS JOIN LATERAL \
     (SELECT MIN(hour) AS first, MAX(hour) AS last FROM blocks WHERE blocks.part = parts.code) AS ends";
/// Removes some blocks of before a time.
pub(super) const DELETE_BLOCKS: &str = "DELETE FROM blocks WHERE (dim, hour, part, k) IN \
     (SELECT dim, hour, part, k FROM blocks WHERE hour < $1 LIMIT $2)";
/// Removes everything that was folded.
pub(super) const EMPTY: &str = "TRUNCATE calls, blocks, states";

/// Stands before what stands for a character that the database cannot hold.
const ESCAPE: char = '\u{1a}';

/// A text as the database takes it: all but the character zero, which stands there as an escape and a `0`.
pub(super) fn text(text: &str) -> String {
    if !text.contains(['\0', ESCAPE]) {
        return text.to_owned();
    }
    text.replace(ESCAPE, "\u{1a}1").replace('\0', "\u{1a}0")
}

/// The text again.
pub(super) fn name(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\u{1a}0", "\0").replace("\u{1a}1", "\u{1a}"))
}

/// Reading that sees one moment, however many statements it has.
pub(super) async fn one_moment(pool: &Pool) -> Result<Transaction<'static, Db>> {
    Ok(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
}

/// Nobody else takes or writes partitions until the transaction ends. Readers go on.
pub(super) async fn hold_parts(tx: &mut Connection) -> Result<()> {
    sqlx::query("LOCK TABLE parts IN EXCLUSIVE MODE").execute(tx).await?;
    Ok(())
}

/// The value of [`PLACED`].
pub(super) fn place(values: &mut Separated<'_, Db, &'static str>, names: &[&str]) {
    values.push_bind(hash(names));
}

/// A hash of names, each with its length, so that no byte can move from one to the next.
fn hash(names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in names {
        bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
    }
    xxh3_128(&bytes).to_be_bytes().to_vec()
}

/// The condition that a block is one of these. The hours are said once more: by them the months are chosen.
pub(super) fn these_blocks(sql: &mut QueryBuilder<Db>, keys: &[BlockKey]) {
    let hours = || keys.iter().map(|key| key.hour.ms());
    sql.push(" AND hour BETWEEN ").push_bind(hours().min().unwrap_or_default());
    sql.push(" AND ").push_bind(hours().max().unwrap_or_default());
    sql.push(" AND (dim, hour, k) IN (");
    sql.push_values(keys, |mut values, key| {
        values.push_bind(codec::dim_code(key.dim)).push_bind(key.hour.ms());
        values.push_bind(hash(&[key.tenant.as_str(), key.source.as_str(), &key.id]));
    });
    sql.push(")");
}

/// What is wrong with the trees: the server itself looks after them; every row is read and compared with its seal.
pub(super) async fn trees(_: &Pool) -> Result<Vec<String>> {
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_none_holds_what_the_database_refuses() {
        for (one, other) in
            [("plain", "plain"), ("a\0b", "a\u{1a}0b"), ("a\u{1a}0", "a\u{1a}10"), ("\u{1a}", "\u{1a}1")]
        {
            assert_eq!(text(one), other);
            assert_eq!(name(&text(one)), one);
        }
    }

    #[test]
    fn names_that_read_alike_when_joined_are_two_places() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_eq!(hash(&["ab", "c"]).len(), 16);
    }
}
