//! The stores: reports, records and checkpoints that outlive the process, and live state that does not.
//!
//! **What it is.** Two contracts, each with a conformance suite. [`Reports`]: the folded state of each partition
//! beside the position it was folded up to, and the questions that reports ask of it ([`sqlite`] and [`postgres`] implement it, with
//! one source of statements, `sql/`; [`memory`] does for tests and simulations).
//! [`Live`]: the latest partial view of each key and partition ([`live::Memory`], [`live::Redis`]). And the form in which partial views
//! travel on the journal's `views` stream ([`frame`]).
//!
//! **What it is not.** It folds nothing and decides nothing; it knows no journal (partitions are names, [`Part`]); it
//! is not the truth: all of it can be deleted and folded again from the events.
//!
//! - Invariant: state and position change in one transaction, so what is stored is always the fold of exactly the
//!   events before the position.
//! - Invariant: of two owners of a partition only the later one can write.
//! - Invariant: a reader sees a checkpoint entirely or not at all.
//!
//! Start at [`reports`], the contract; then `sql/write.rs`.

// The statements of `sql/` are compiled once for each database, whose types differ (docs/adr/0016).
#![allow(clippy::duplicate_mod)]

mod codec;
pub mod config;
pub mod directory;
mod error;
pub mod frame;
mod kept;
pub mod live;
pub mod lock;
pub mod memory;
mod part;
pub mod postgres;
pub mod reports;
mod seal;
pub mod sqlite;

pub use codec::{StoredCall, decode_rows, encode_rows};
pub use error::{Class, Error, Result};
pub use live::Live;
pub use part::{BadPart, Part};
pub use postgres::Postgres;
pub use reports::Reports;
pub use sqlite::Sqlite;
