//! The months of the table `blocks`: made before they are needed, dropped whole when they are too old.
//!
//! - Invariant: at most 1,200 months are made, 1990 to 2089; what is before or after lies in one table each.
//! - Invariant: months are made and dropped by one process at a time (an advisory lock), and nobody who reads waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::lock;
use super::writer::Writer;
use crate::Result;

/// The years that have months.
const YEARS: std::ops::Range<i32> = 1990..2090;

/// A month of UTC, counted from January of the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(i32);

impl Month {
    /// The month of a moment; `None` where it has no table of its own.
    fn of(ms: i64) -> Option<Self> {
        let date = Timestamp::from_millisecond(ms).ok()?.to_zoned(TimeZone::UTC).date();
        let month = Self(i32::from(date.year()) * 12 + i32::from(date.month()) - 1);
        month.has_table().then_some(month)
    }

    fn has_table(self) -> bool {
        YEARS.contains(&self.0.div_euclid(12))
    }

    fn next(self) -> Option<Self> {
        let next = Self(self.0 + 1);
        next.has_table().then_some(next)
    }

    fn begin(self) -> Date {
        let (year, month) = (self.0.div_euclid(12), self.0.rem_euclid(12) + 1);
        date(i16::try_from(year).unwrap_or(i16::MAX), i8::try_from(month).unwrap_or(1), 1)
    }

    fn begin_ms(self) -> i64 {
        self.begin().to_zoned(TimeZone::UTC).map_or(i64::MAX, |begin| begin.timestamp().as_millisecond())
    }

    /// The table's name: `blocks_y2026m11`.
    fn table(self) -> String {
        let begin = self.begin();
        format!("blocks_y{}m{:02}", begin.year(), begin.month())
    }

    fn named(table: &str) -> Option<Self> {
        let (year, month) = table.strip_prefix("blocks_y")?.split_once('m')?;
        let found = Self(year.parse::<i32>().ok()? * 12 + month.parse::<i32>().ok()? - 1);
        (found.has_table() && found.table() == table).then_some(found)
    }
}

/// The months that are known to be there. A cheap handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Months(Arc<Mutex<BTreeSet<Month>>>);

impl Months {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Month>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what is known: another process may have dropped some.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// The months of these hours, and the one after the latest, that are not known to be there.
    fn missing(&self, hours: impl Iterator<Item = i64>) -> Vec<Month> {
        let mut wanted: BTreeSet<Month> = hours.filter_map(Month::of).collect();
        wanted.extend(wanted.last().copied().and_then(Month::next));
        let known = self.lock();
        wanted.into_iter().filter(|month| !known.contains(month)).collect()
    }

    /// Makes the months of these hours, and the one after the latest.
    pub(super) async fn make(&self, db: &mut PgConnection, hours: impl Iterator<Item = i64>) -> Result<()> {
        let missing = self.missing(hours);
        if missing.is_empty() {
            return Ok(());
        }
        let mut tx = db.begin().await?;
        lock::months(&mut tx).await?;
        let tables = tables(&mut tx).await?;
        for month in &missing {
            let (table, from, to) = (month.table(), month.begin_ms(), Month(month.0 + 1).begin_ms());
            let sql = match tables.get(month) {
                Some(Standing::Attached) => continue,
                // A sweep was dropping it when its process died: it is needed again, and the next sweep drops it whole.
                Some(Standing::Leaving) => format!("ALTER TABLE blocks DETACH PARTITION {table} FINALIZE"),
                Some(Standing::Apart) => String::new(),
                None => format!(
                    "CREATE TABLE {table} (LIKE blocks INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 80)"
                ),
            };
            // Attaching lets readers go on, which making it as a part of the whole would not.
            let sql = format!("{sql}; ALTER TABLE blocks ATTACH PARTITION {table} FOR VALUES FROM ({from}) TO ({to})");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        self.lock().extend(missing);
        Ok(())
    }
}

/// How a month's table stands to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// A part of it.
    Attached,
    /// Detaching was begun and not ended.
    Leaving,
    /// No part of it any more.
    Apart,
}

/// The months that have a table.
async fn tables(db: &mut PgConnection) -> Result<BTreeMap<Month, Standing>> {
    let sql = "SELECT c.relname::text, i.inhdetachpending FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid \
               WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname LIKE 'blocks\\_y%'";
    let found: Vec<(String, Option<bool>)> = sqlx::query_as(sql).fetch_all(db).await?;
    let standing = |pending| match pending {
        Some(false) => Standing::Attached,
        Some(true) => Standing::Leaving,
        None => Standing::Apart,
    };
    Ok(found.into_iter().filter_map(|(table, pending)| Some((Month::named(&table)?, standing(pending)))).collect())
}

/// Drops the months that end before a time; answers how many blocks were in them.
pub(super) async fn drop_whole(writer: &Writer, before: i64) -> Result<u64> {
    // Not of the pool any more: closing it is what gives the lock back, whatever happens meanwhile.
    let mut db = writer.pool.acquire().await?.detach();
    let outcome = drop_from(&mut db, before).await;
    let _ = db.close().await; // it is gone either way
    writer.months.forget();
    outcome
}

async fn drop_from(db: &mut PgConnection, before: i64) -> Result<u64> {
    lock::months_of_connection(db).await?;
    let mut removed = 0;
    let old = |month: &Month| Month(month.0 + 1).begin_ms() <= before;
    for (month, standing) in tables(db).await?.into_iter().filter(|(month, _)| old(month)) {
        let table = month.table();
        let how = match standing {
            Standing::Attached => Some("CONCURRENTLY"),
            Standing::Leaving => Some("FINALIZE"),
            Standing::Apart => None,
        };
        if let Some(how) = how {
            let sql = format!("ALTER TABLE blocks DETACH PARTITION {table} {how}");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *db).await?;
        }
        let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let held: i64 = sqlx::query_scalar(sql).fetch_one(&mut *db).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {table}"))).execute(&mut *db).await?;
        removed += held.unsigned_abs();
        tracing::info!(table, blocks = held, "a month of rows is over its time and was dropped");
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_where_the_one_before_ends_and_has_a_name_that_is_read_back() {
        let november = Month::of(1_795_000_000_000).unwrap();
        assert_eq!(november.table(), "blocks_y2026m11");
        assert_eq!(Month::named("blocks_y2026m11"), Some(november));
        assert_eq!(Month::of(november.begin_ms()), Some(november));
        assert_eq!(Month::of(november.begin_ms() - 1).and_then(Month::next), Some(november));
        let december = november.next().unwrap();
        assert_eq!((december.next().unwrap().begin_ms() - december.begin_ms()) / 86_400_000, 31);
        for other in ["blocks", "blocks_before", "blocks_y2026m13", "blocks_y2026m1", "blocks_y1989m12"] {
            assert_eq!(Month::named(other), None, "{other}");
        }
    }

    #[test]
    fn clocks_that_are_far_off_make_no_months_and_the_bounds_are_those_of_the_schema() {
        for ms in [0, -1, i64::MIN, i64::MAX, 631_151_999_999, 3_786_912_000_000] {
            assert_eq!(Month::of(ms), None, "{ms}");
        }
        assert_eq!(Month::of(631_152_000_000).map(Month::begin_ms), Some(631_152_000_000));
        let last = Month::of(3_786_911_999_999).unwrap();
        assert_eq!((last.next(), Month(last.0 + 1).begin_ms()), (None, 3_786_912_000_000));
        let schema = include_str!("schema.sql");
        assert!(schema.contains("(631152000000)") && schema.contains("(3786912000000)"));
    }

    #[test]
    fn the_month_after_the_latest_is_made_ahead() {
        let months = Months::default();
        let tables = |months: &Months| -> Vec<String> {
            months.missing([1_795_000_000_000, 1_795_000_000_001].into_iter()).iter().map(|m| m.table()).collect()
        };
        assert_eq!(tables(&months), ["blocks_y2026m11", "blocks_y2026m12"]);
        months.lock().extend([Month::of(1_795_000_000_000).unwrap()]);
        assert_eq!(tables(&months), ["blocks_y2026m12"]);
        assert!(months.missing([0, i64::MAX].into_iter()).is_empty());
    }
}
