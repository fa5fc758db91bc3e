//! The small tables: remarks and partitions, each row read with its seal and written with it.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, SqliteExecutor};

use super::seal;
use crate::{Error, Part, Result};

/// The remark that names the journal.
pub(super) const JOURNAL: &str = "journal";
/// The remark that names this file, so that its mark is not taken for another's.
pub(super) const IDENTITY: &str = "identity";
/// The remark that counts transactions.
pub(super) const COMMITS: &str = "commits";

pub(super) async fn meta(db: impl SqliteExecutor<'_>, name: &str) -> Result<Option<String>> {
    let found = sqlx::query("SELECT value, x FROM meta WHERE name = $1").bind(name).fetch_optional(db).await?;
    let Some(row) = found else { return Ok(None) };
    let value: String = row.try_get(0)?;
    seal::check(|| format!("the remark {name:?}"), row.try_get(1)?, seal::meta(name, &value))?;
    Ok(Some(value))
}

pub(super) async fn put_meta(db: impl SqliteExecutor<'_>, name: &str, value: &str) -> Result<()> {
    let sql = "INSERT INTO meta (name, value, x) VALUES ($1, $2, $3) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value, x = excluded.x";
    sqlx::query(sql).bind(name).bind(value).bind(seal::meta(name, value)).execute(db).await?;
    Ok(())
}

/// The number of the last transaction.
pub(super) async fn commits(db: impl SqliteExecutor<'_>) -> Result<u64> {
    let Some(text) = meta(db, COMMITS).await? else { return Ok(0) };
    text.parse().map_err(|_| Error::Corrupt { what: "the count of transactions".to_owned(), reason: text })
}

/// A row of `parts`.
#[derive(Clone, Debug)]
pub(super) struct PartRow {
    pub(super) name: String,
    pub(super) code: i64,
    pub(super) fence: i64,
    pub(super) owner: String,
    pub(super) next: Option<i64>,
}

impl PartRow {
    const COLUMNS: &'static str = "SELECT part, code, fence, owner, next_offset, x FROM parts";

    fn unchecked(row: &SqliteRow) -> Result<(Self, i64)> {
        let (name, code) = (row.try_get(0)?, row.try_get(1)?);
        let this = Self { name, code, fence: row.try_get(2)?, owner: row.try_get(3)?, next: row.try_get(4)? };
        Ok((this, row.try_get(5)?))
    }

    fn of(row: &SqliteRow) -> Result<Self> {
        let (this, x) = Self::unchecked(row)?;
        seal::check(|| format!("the position of {}", this.name), x, this.seal())?;
        Ok(this)
    }

    fn seal(&self) -> i64 {
        seal::part(&self.name, self.code, self.fence, &self.owner, self.next)
    }

    pub(super) fn part(&self) -> Result<Part> {
        let bad = |bad: crate::BadPart| Error::Corrupt { what: "a partition".to_owned(), reason: bad.to_string() };
        self.name.parse().map_err(bad)
    }

    pub(super) async fn load(db: impl SqliteExecutor<'_>, part: &Part) -> Result<Option<Self>> {
        let sql = sqlx::AssertSqlSafe(format!("{} WHERE part = $1", Self::COLUMNS));
        sqlx::query(sql).bind(part.to_string()).fetch_optional(db).await?.as_ref().map(Self::of).transpose()
    }

    pub(super) async fn all(db: impl SqliteExecutor<'_>) -> Result<Vec<Self>> {
        sqlx::query(Self::COLUMNS).fetch_all(db).await?.iter().map(Self::of).collect()
    }

    pub(super) async fn save(&self, db: impl SqliteExecutor<'_>) -> Result<()> {
        let sql = "INSERT INTO parts (part, code, fence, owner, next_offset, x) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (part) DO UPDATE SET fence = excluded.fence, owner = excluded.owner, \
                   next_offset = excluded.next_offset, x = excluded.x";
        let query = sqlx::query(sql).bind(&self.name).bind(self.code).bind(self.fence).bind(&self.owner);
        query.bind(self.next).bind(self.seal()).execute(db).await?;
        Ok(())
    }
}

/// Seals what an older version wrote.
pub(super) async fn seal_all(tx: &mut SqliteConnection) -> Result<()> {
    for row in sqlx::query("SELECT name, value FROM meta").fetch_all(&mut *tx).await? {
        put_meta(&mut *tx, &row.try_get::<String, _>(0)?, &row.try_get::<String, _>(1)?).await?;
    }
    for row in sqlx::query(PartRow::COLUMNS).fetch_all(&mut *tx).await? {
        PartRow::unchecked(&row)?.0.save(&mut *tx).await?;
    }
    Ok(())
}
