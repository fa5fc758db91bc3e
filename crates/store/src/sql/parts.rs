//! The small tables: remarks and partitions, each row read with its seal and written with it.

use sqlx::{Executor, Row as _};

use super::dialect::{self, Db, SqlRow};
use crate::{Error, Part, Result, seal};

/// The remark that names the journal.
pub(super) const JOURNAL: &str = "journal";
pub(super) async fn meta(db: impl Executor<'_, Database = Db>, name: &str) -> Result<Option<String>> {
    let found = sqlx::query("SELECT value, x FROM meta WHERE name = $1").bind(name).fetch_optional(db).await?;
    let Some(row) = found else { return Ok(None) };
    let value = dialect::name(row.try_get(0)?).into_owned();
    seal::check(|| format!("the remark {name:?}"), row.try_get(1)?, seal::meta(name, &value))?;
    Ok(Some(value))
}

pub(super) async fn put_meta(db: impl Executor<'_, Database = Db>, name: &str, value: &str) -> Result<()> {
    let sql = "INSERT INTO meta (name, value, x) VALUES ($1, $2, $3) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value, x = excluded.x";
    sqlx::query(sql).bind(name).bind(dialect::text(value)).bind(seal::meta(name, value)).execute(db).await?;
    Ok(())
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
    pub(super) const COLUMNS: &'static str = "SELECT part, code, fence, owner, next_offset, x FROM parts";

    pub(super) fn unchecked(row: &SqlRow) -> Result<(Self, i64)> {
        let (name, code) = (dialect::name(row.try_get(0)?).into_owned(), row.try_get(1)?);
        let owner = dialect::name(row.try_get(3)?).into_owned();
        let this = Self { name, code, fence: row.try_get(2)?, owner, next: row.try_get(4)? };
        Ok((this, row.try_get(5)?))
    }

    fn of(row: &SqlRow) -> Result<Self> {
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

    pub(super) async fn load(db: impl Executor<'_, Database = Db>, part: &Part) -> Result<Option<Self>> {
        Self::one(db, part, "").await
    }

    /// The same, and nobody else changes the row until the transaction ends.
    pub(super) async fn hold(db: impl Executor<'_, Database = Db>, part: &Part) -> Result<Option<Self>> {
        Self::one(db, part, dialect::HELD).await
    }

    async fn one(db: impl Executor<'_, Database = Db>, part: &Part, held: &str) -> Result<Option<Self>> {
        let sql = sqlx::AssertSqlSafe(format!("{} WHERE part = $1{held}", Self::COLUMNS));
        let found = sqlx::query(sql).bind(dialect::text(&part.to_string())).fetch_optional(db).await?;
        found.as_ref().map(Self::of).transpose()
    }

    pub(super) async fn all(db: impl Executor<'_, Database = Db>) -> Result<Vec<Self>> {
        sqlx::query(Self::COLUMNS).fetch_all(db).await?.iter().map(Self::of).collect()
    }

    pub(super) async fn save(&self, db: impl Executor<'_, Database = Db>) -> Result<()> {
        let sql = "INSERT INTO parts (part, code, fence, owner, next_offset, x) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (part) DO UPDATE SET fence = excluded.fence, owner = excluded.owner, \
                   next_offset = excluded.next_offset, x = excluded.x";
        let query = sqlx::query(sql)
            .bind(dialect::text(&self.name))
            .bind(self.code)
            .bind(self.fence)
            .bind(dialect::text(&self.owner));
        query.bind(self.next).bind(self.seal()).execute(db).await?;
        Ok(())
    }
}
