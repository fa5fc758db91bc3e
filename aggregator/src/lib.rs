//! The aggregator: folds the event streams into call records, interval rows and live views.
//!
//! **What it is.** One loop that follows the partitions of `events.*` that its group deals to it. Each partition is a
//! [`stats::fold::PartitionFold`] with its rows. At each tick what changed is told on the stream `views`
//! ([`store::frame`]); at each checkpoint the changed records, rows and states go into the [`store::Reports`] together
//! with the position, and closed calls and restated rows are told on the stream `records`. Besides:
//! [`catch_up_until`] folds as fast as it can what an import writes, [`rebuild`] folds everything anew, and [`diff`] compares.
//!
//! **What it is not.** It decides nothing and serves nothing; what a figure means is in `stats`. The journal's
//! committed positions are not used: the store's are, because they are written together with the state.
//!
//! - Invariant: what is stored is the fold of exactly the events before the stored position.
//! - Invariant: whatever is in memory can be lost at any moment: it is folded again.
//! - Invariant: a record that cannot be understood is counted and named, and never stops the stream.
//!
//! Start at `shard.rs` (one partition), then `follow.rs` (the loop).

mod catch_up;
mod component;
mod config;
mod error;
mod follow;
mod house;
mod ledger;
mod rebuild;
mod rules;
mod saving;
mod shard;
mod sounding;
mod states;
mod telemetry;
mod tell;

pub use catch_up::{CatchUp, Caught, Progress, catch_up_to, catch_up_to_end, catch_up_until};
pub use component::Aggregator;
pub use config::Config;
pub use error::{Error, Result};
pub use rebuild::{Difference, Verdict, diff, rebuild};
pub use rules::Rules;

/// The consumer group of all aggregators of a journal.
pub const GROUP: &str = "aggregator";
