//! Verification: every tree and every row is read, and what does not fit is named.

use super::dialect::{self, Pool, SqlRow};
use super::parts::{self, PartRow};
use super::read;
use crate::reports::Verified;
use crate::{Error, Result};
use futures::TryStreamExt;

/// What reads a table, what checks a row of it, and where the rows are counted.
type Table = (&'static str, fn(&SqlRow) -> Result<()>, fn(&mut Verified) -> &mut u64);

/// Faults that are named.
const NAMED_MAX: usize = 100;

pub(super) async fn verify(pool: &Pool) -> Result<Verified> {
    let mut verified = Verified::default();
    match dialect::trees(pool).await {
        Ok(faults) => verified.faults.extend(faults),
        Err(error) => note(&mut verified, Err(error)),
    }
    let names: Result<Vec<String>> =
        sqlx::query_scalar("SELECT name FROM meta").fetch_all(pool).await.map_err(Error::from);
    match names {
        Ok(names) => {
            for name in names {
                note(&mut verified, parts::meta(pool, &name).await.map(|_| ()));
            }
        }
        Err(error) => note(&mut verified, Err(error)),
    }
    note(&mut verified, PartRow::all(pool).await.map(|_| ()));
    let tables: [Table; 3] = [
        ("SELECT id, part, body, x FROM calls", |row| read::call(row).map(|_| ()), |v| &mut v.calls),
        (
            "SELECT dim, hour, tenant, source, id, part, version, body, x FROM blocks",
            |row| read::block(row).map(|_| ()),
            |v| &mut v.blocks,
        ),
        ("SELECT kind, id, part, body, x FROM states", |row| read::state(row).map(|_| ()), |v| &mut v.states),
    ];
    for (sql, check, count) in tables {
        let mut rows = sqlx::query(sql).fetch(pool);
        loop {
            match rows.try_next().await {
                Ok(Some(row)) => {
                    note(&mut verified, check(&row));
                    *count(&mut verified) += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    note(&mut verified, Err(error.into()));
                    break;
                }
            }
        }
    }
    Ok(verified)
}

fn note(verified: &mut Verified, checked: Result<()>) {
    if let Some(error) = checked.err().filter(|_| verified.faults.len() < NAMED_MAX) {
        verified.faults.push(error.to_string());
    }
}
