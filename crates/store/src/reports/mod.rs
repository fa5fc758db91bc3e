//! Reports, records and checkpoints: the folded state of every partition, and the questions that can be asked of it.
//!
//! Start at [`Reports`], the contract. [`crate::sqlite`] and [`crate::postgres`] implement it; [`conformance`] is what each implementation
//! must pass.

pub mod conformance;
mod query;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use model::{CallId, SourceId, TenantId, Time};
use stats::call::Record as CallRecord;
use stats::{Dim, Few, Row, RowKey};

pub use query::{CallFilter, Cursor, PAGE_MAX, Page, ROWS_MAX, Retention, RowFilter, Swept, Verified};
pub use state::{Kind, State};

pub use crate::codec::StoredCall;
use crate::{Part, Result};

/// The length of a block, in milliseconds: one hour.
pub const BLOCK_MS: i64 = 3_600_000;

/// Proof of having taken a partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// The partition.
    pub part: Part,
    /// Grows with each takeover.
    pub fence: u64,
}

/// A partition that was taken, and where to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The proof.
    pub held: Held,
    /// The next offset to fold; `None`: nothing was folded yet.
    pub next: Option<u64>,
}

/// How far a partition is folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The partition.
    pub part: Part,
    /// Who took it last.
    pub owner: String,
    /// The current fence.
    pub fence: u64,
    /// The next offset to fold; `None`: nothing was folded yet.
    pub next: Option<u64>,
}

/// Which hour of which rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKey {
    /// Of what.
    pub dim: Dim,
    /// The start of the hour, UTC.
    pub hour: Time,
    /// Whose.
    pub tenant: TenantId,
    /// From where.
    pub source: SourceId,
    /// Which queue, agent, …
    pub id: Arc<str>,
}

impl BlockKey {
    /// The block that a row belongs to.
    pub fn of(row: &RowKey) -> Self {
        Self {
            dim: row.dim,
            hour: Time(row.start.ms().div_euclid(BLOCK_MS) * BLOCK_MS),
            tenant: row.tenant.clone(),
            source: row.source.clone(),
            id: Arc::clone(&row.id),
        }
    }

    /// The key of the block's row that begins at `start`.
    pub fn row(&self, start: Time) -> RowKey {
        RowKey {
            tenant: self.tenant.clone(),
            source: self.source.clone(),
            dim: self.dim,
            id: Arc::clone(&self.id),
            start,
        }
    }
}

/// An hour of one partition's rows of one dimension and id: what is written and read at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Which.
    pub key: BlockKey,
    /// The offset up to which the partition is folded into it.
    pub version: u64,
    /// The whole partial rows, by their start.
    pub rows: Few<Time, Row>,
}

/// What folding a partition further has changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The partition, and the proof of holding it.
    pub held: Held,
    /// The next offset to fold.
    pub next: u64,
    /// Calls as they are now, each once.
    pub calls: Vec<StoredCall>,
    /// Blocks as they are now, whole.
    pub blocks: Vec<Arc<Block>>,
    /// States as they are now; a state without a body is gone.
    pub states: Vec<State>,
}

/// What a new owner of a partition needs in memory. Everything else is looked up when it is needed.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// Calls that are not over.
    pub open_calls: Vec<CallRecord>,
    /// What agents, devices, queues and sources are doing.
    pub states: Vec<State>,
    /// The latest hour that the partition has rows of: later ones need not be looked up.
    pub newest_hour: Option<Time>,
}

/// Fold state, kept beside the positions it was folded up to; and reports over it.
///
/// # The contract
///
/// **One transaction.** A [`checkpoint`](Reports::checkpoint) writes the changes of its partitions and their positions
/// together, or nothing. So after a crash, what is stored is exactly the fold of every event before the stored
/// position: folding on from there gives what would have been without the crash. It need not be safe from a power cut
/// when it is answered: a checkpoint that a power cut undoes is undone *whole*, positions included, and the journal,
/// which is safe, is folded again from the older position. (So SQLite runs with `synchronous=NORMAL`.)
/// A store that can go back while its writers live on (a server) notices it at the next checkpoint and answers
/// [`Undone`](crate::Error::Undone): the partition is to be taken again, and what is missing is folded again.
///
/// **Taking and fencing.** [`take`](Reports::take) raises the partition's fence. Only a checkpoint with the current
/// fence of *every* partition it names is written; any other is [`Fenced`](crate::Error::Fenced), whole. So of two
/// owners, the later wins, and nothing of the earlier one's work is written from then on. Everything it had written
/// before is seen by [`resume`](Reports::resume).
///
/// **One journal.** The positions are of one journal, named at the first `take`; another one is refused as
/// [`Foreign`](crate::Error::Foreign).
///
/// **Partial rows.** A row is stored per partition, in [`Block`]s of an hour. Readers get the sum over partitions
/// ([`rows`](Reports::rows)), or the parts ([`blocks_in`](Reports::blocks_in)). Both see a checkpoint entirely or not
/// at all.
///
/// **Several processes** may write and read. Readers never wait for writers.
///
/// **Damage.** What cannot be read back as it was written is [`Corrupt`](crate::Error::Corrupt); nothing wrong is answered. It can always be
/// folded again from the journal.
///
/// **Bounds.** Answers are bounded ([`ROWS_MAX`], [`PAGE_MAX`]); more is refused as
/// [`TooLarge`](crate::Error::TooLarge), never cut silently.
///
/// **Cancellation.** Dropping a future is safe; a dropped checkpoint may have happened.
///
/// Every method may answer with `Busy`, `Storage`, `Closed`, and `Corrupt` for what cannot be read back.
#[async_trait]
pub trait Reports: Send + Sync + 'static {
    /// Takes partitions for `owner` (a name for people), reading journal `journal`.
    ///
    /// # Errors
    /// `Foreign`.
    async fn take(&self, owner: &str, journal: &str, parts: &[Part]) -> Result<Vec<Taken>>;

    /// The state to fold a partition on from.
    async fn resume(&self, part: &Part) -> Result<Resumed>;

    /// Writes changes and positions, all or nothing. A partition must not be named twice.
    ///
    /// # Errors
    /// `Fenced`, `Undone`, `Full`.
    async fn checkpoint(&self, changes: &[Change]) -> Result<()>;

    /// Those of these calls that exist, in any order.
    async fn calls_by_id(&self, ids: &[CallId]) -> Result<Vec<CallRecord>>;

    /// Those of these blocks of a partition that exist, in any order.
    async fn blocks_by_key(&self, part: &Part, keys: &[BlockKey]) -> Result<Vec<Block>>;

    /// From the first to past the last moment that a call was offered or a row begins; `None`: there is nothing.
    async fn span(&self) -> Result<Option<(Time, Time)>>;

    /// How far every partition is folded, in order.
    async fn progress(&self) -> Result<Vec<Progress>>;

    /// Base rows, summed over partitions; in order of key.
    ///
    /// # Errors
    /// `TooLarge`.
    async fn rows(&self, filter: &RowFilter) -> Result<BTreeMap<RowKey, Row>>;

    /// The blocks whose hour touches the range, each with its partition, for readers that merge later parts into them.
    /// Rows outside of the range are in them too.
    ///
    /// # Errors
    /// `TooLarge`.
    async fn blocks_in(&self, filter: &RowFilter) -> Result<Vec<(Part, Block)>>;

    /// A page of at most `limit` calls after the cursor.
    ///
    /// # Errors
    /// `TooLarge` for a limit over [`PAGE_MAX`].
    async fn calls(&self, filter: &CallFilter, after: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// One call with its timeline.
    async fn call(&self, id: &CallId) -> Result<Option<CallRecord>>;

    /// Calls that are not over, of all partitions.
    ///
    /// # Errors
    /// `TooLarge`.
    async fn open_calls(&self) -> Result<Vec<CallRecord>>;

    /// What all agents, devices, queues or sources are doing, of all partitions.
    async fn states(&self, kind: Kind) -> Result<Vec<State>>;

    /// A remark of the owner's: the directory, a version. `None`: never written.
    async fn meta(&self, name: &str) -> Result<Option<String>>;

    /// Writes a remark.
    async fn put_meta(&self, name: &str, value: &str) -> Result<()>;

    /// Removes what is older than the retention, in small steps between the checkpoints.
    async fn sweep(&self, retention: Retention) -> Result<Swept>;

    /// Removes every call, block, state and position, and raises every fence, so that whoever was folding is refused.
    /// Remarks stay.
    async fn wipe(&self) -> Result<()>;

    /// Reads everything, and names what is damaged. A store that keeps nothing on a disk has nothing to name.
    ///
    /// # Errors
    /// `Closed`: damage is in the answer.
    async fn verify(&self) -> Result<Verified> {
        Ok(Verified::default())
    }

    /// Lets go of the storage. Everything afterwards is `Closed`; a second close does nothing.
    async fn close(&self) -> Result<()>;
}
