//! Live state: the latest partial view of each key and partition, for readers that merge them.
//!
//! Start at [`Live`], the contract. [`Memory`] is the implementation of one process, [`Redis`] the one of several; [`conformance`] is what
//! each must pass. [`shared`] names what pushers and gates keep there.

pub mod conformance;
mod memory;
pub mod redis;
pub mod shared;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use memory::{Limits, Memory};
pub use redis::Redis;

use crate::{Part, Result};

/// Which of two values of a partial view is newer: first by epoch (the fence of the partition's owner), then by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The fence of the owner that made it: grows with each takeover of the partition.
    pub epoch: u64,
    /// Grows with each value that one owner makes.
    pub number: u64,
}

/// What names a partial view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The view: `queue/bank/pbx1/sales`.
    pub key: Arc<str>,
    /// The partition that it is the part of.
    pub part: Part,
}

/// One partition's part of a view. The stores do not look into the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Which.
    pub slot: Slot,
    /// How new.
    pub version: Version,
    /// The content; `None`: the slot is empty from this version on.
    pub value: Option<Arc<[u8]>>,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Where to [watch](Live::changes) on.
    pub cursor: u64,
    /// The values, in order of slot.
    pub partials: Vec<Partial>,
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Where to watch on.
    pub cursor: u64,
    /// The latest value of each slot that changed, in the order of their last changes; an emptied slot has no value.
    pub partials: Vec<Partial>,
}

/// Put, look, watch.
///
/// # The contract
///
/// **Newer wins.** A slot holds the value with the highest [`Version`] that was put; an equal or older one changes
/// nothing and is no error. So writes may be repeated and may arrive in any order, and a partition's former owner
/// cannot undo its heir's work.
///
/// **Removal** is a value of `None` with a version; it is remembered (up to a bound of slots) so that an older put
/// does not bring the slot back.
///
/// **Takeover.** [`begin`](Live::begin) empties every slot of the partition with an epoch below the given one: the
/// heir puts all it has anyway.
///
/// **One writer at a time.** Each change answers the cursor after it. A change can ask that the cursor still be the one that the writer
/// knows (`after`): else it is [`Moved`](crate::Error::Moved) and nothing is done. So of two writers one goes on and the other notices,
/// and a store that has gone back is noticed, too.
///
/// **Watching.** Every change moves the cursor. [`changes`](Live::changes) gives each changed slot once, with its
/// latest value, however often it changed. A cursor that is too old answers [`Lapsed`](crate::Error::Lapsed), and the
/// reader takes a [`snapshot`](Live::snapshot). A snapshot and the changes since its cursor miss nothing and are of
/// one line: merging them gives the next snapshot.
///
/// **Bounds.** Slots, their size and the remembered changes are bounded; a put beyond is refused whole with
/// [`TooLarge`](crate::Error::TooLarge).
#[async_trait]
pub trait Live: Send + Sync + 'static {
    /// Puts values, all or none; answers the cursor.
    ///
    /// # Errors
    /// `TooLarge`, `Moved`, `Storage`.
    async fn put(&self, partials: Vec<Partial>, after: Option<u64>) -> Result<u64>;

    /// A partition has a new owner: empties what older epochs left of it; answers the cursor.
    ///
    /// # Errors
    /// `Moved`, `Storage`.
    async fn begin(&self, part: &Part, epoch: u64, after: Option<u64>) -> Result<u64>;

    /// Forgets all slots, versions and epochs; every cursor but the one it answers has lapsed.
    ///
    /// # Errors
    /// `Moved`, `Storage`.
    async fn clear(&self, after: Option<u64>) -> Result<u64>;

    /// The values of all slots whose key begins with `prefix`.
    ///
    /// # Errors
    /// `Storage`.
    async fn snapshot(&self, prefix: &str) -> Result<Snapshot>;

    /// What changed after `since`, at most `limit` slots; waits until there is something. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// `Lapsed`, `Storage`.
    async fn changes(&self, since: u64, limit: usize) -> Result<Changes>;
}
