//! Writing: transactions of a small pool of its own, so that long reports never keep a checkpoint waiting.

use sqlx::{PgPool, Postgres, Transaction};

use super::months::Months;
use crate::Result;
use crate::kept::Kept;
use crate::reports::Change;

/// The connections that write.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) pool: PgPool,
    pub(super) months: Months,
    pub(super) kept: Kept,
}

impl Writer {
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.pool.begin().await?)
    }

    pub(super) async fn commit(&self, tx: Transaction<'static, Postgres>) -> Result<()> {
        Ok(tx.commit().await?)
    }

    /// Makes the months of the blocks that will be written.
    pub(super) async fn make_room(&self, changes: &[Change]) -> Result<()> {
        let hours = changes.iter().flat_map(|change| &change.blocks).map(|block| block.key.hour.ms());
        self.months.make(&mut *self.pool.acquire().await?, hours).await
    }
}
