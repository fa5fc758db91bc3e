//! The contract, kept by the statements beside it: the same for both databases.

use std::collections::BTreeMap;

use async_trait::async_trait;
use model::{CallId, Time};
use stats::call::Record as CallRecord;
use stats::{Row, RowKey};

use super::dialect::Database;
use super::{check, parts, read, sweep, write};
use crate::reports::{
    Block, BlockKey, CallFilter, Change, Cursor, Kind, Page, Progress, Reports, Resumed, Retention, RowFilter, State,
    Swept, Taken, Verified,
};
use crate::{Part, Result};

#[async_trait]
impl Reports for Database {
    async fn take(&self, owner: &str, journal: &str, parts: &[Part]) -> Result<Vec<Taken>> {
        write::take(&self.writer, owner, journal, parts).await
    }

    async fn resume(&self, part: &Part) -> Result<Resumed> {
        read::resume(&self.readers, part).await
    }

    async fn checkpoint(&self, changes: &[Change]) -> Result<()> {
        let outcome = write::checkpoint(&self.writer, changes).await;
        if outcome.is_err() {
            self.doubt();
        }
        outcome
    }

    async fn calls_by_id(&self, ids: &[CallId]) -> Result<Vec<CallRecord>> {
        read::calls_by_id(&mut *self.readers.acquire().await?, ids).await
    }

    async fn blocks_by_key(&self, part: &Part, keys: &[BlockKey]) -> Result<Vec<Block>> {
        read::blocks_by_key(&self.readers, part, keys).await
    }

    async fn span(&self) -> Result<Option<(Time, Time)>> {
        read::span(&self.readers).await
    }

    async fn progress(&self) -> Result<Vec<Progress>> {
        read::progress(&self.readers).await
    }

    async fn rows(&self, filter: &RowFilter) -> Result<BTreeMap<RowKey, Row>> {
        read::rows(&self.readers, filter).await
    }

    async fn blocks_in(&self, filter: &RowFilter) -> Result<Vec<(Part, Block)>> {
        read::blocks_in(&self.readers, filter).await
    }

    async fn calls(&self, filter: &CallFilter, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        read::calls(&self.readers, filter, after, limit).await
    }

    async fn call(&self, id: &CallId) -> Result<Option<CallRecord>> {
        Ok(self.calls_by_id(std::slice::from_ref(id)).await?.pop())
    }

    async fn open_calls(&self) -> Result<Vec<CallRecord>> {
        read::open_calls(&self.readers).await
    }

    async fn states(&self, kind: Kind) -> Result<Vec<State>> {
        read::states(&self.readers, kind).await
    }

    async fn meta(&self, name: &str) -> Result<Option<String>> {
        parts::meta(&self.readers, name).await
    }

    async fn put_meta(&self, name: &str, value: &str) -> Result<()> {
        write::put_meta(&self.writer, name, value).await
    }

    async fn sweep(&self, retention: Retention) -> Result<Swept> {
        sweep::sweep(&self.writer, retention).await
    }

    async fn wipe(&self) -> Result<()> {
        sweep::wipe(&self.writer).await
    }

    async fn verify(&self) -> Result<Verified> {
        check::verify(&self.readers).await
    }

    async fn close(&self) -> Result<()> {
        self.readers.close().await;
        self.writer.pool.close().await;
        self.release().await;
        Ok(())
    }
}
