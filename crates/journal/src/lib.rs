//! The journal: ordered, durable streams of records, the platform's only source of truth.
//!
//! **What it is.** Append, read, resume. Streams are split into partitions by key; each partition is an ordered sequence of
//! records with ever growing offsets. Consumer groups share the partitions of a stream and remember how far they came, either
//! here or beside their own state. The contract, in prose, is on [`Journal`] and [`Consumer`].
//!
//! **What it is not.** It knows nothing of calls or events: keys and values are bytes. It is no queue (reading removes nothing)
//! and no table (the only look-up is by offset).
//!
//! Three implementations live here: [`memory`] for tests, [`embedded`] for one host (SQLite on local disk, shared by several
//! processes), and [`kafka`] for many hosts. All pass the same [`mod@conformance`] suite.
//!
//! - Invariant: an append that was acknowledged survives the kill of every process; on a stream that is
//!   [durable](Stream::is_durable) it survives a power cut too.
//! - Invariant: records with the same key are read in the order in which they were appended.
//! - Invariant: what is read is what was written, byte for byte, or an error that names the record ([`Error::Damaged`]).
//! - Invariant: of two members of a group, only the one that holds a partition can commit a position for it.
//!
//! Start reading at `contract.rs`; then `group.rs` (who holds what, pure), `consumer.rs`, and `embedded/writer.rs` (group commit).

pub mod beat;
mod board;
pub mod config;
pub mod conformance;
mod consumer;
mod contract;
pub mod embedded;
mod error;
mod group;
pub mod kafka;
mod limit;
pub mod memory;
mod metering;
mod stream;
pub mod upkeep;

pub use contract::{
    Batch, Commit, Consumer, Damage, Delivery, Entry, Generation, Journal, Partition, Position, Promises, Record,
    Report, Retention, Start, Subscription, Swept,
};
pub use error::{Class, Error, Result};
pub use stream::{Stream, Topology, UnknownStream};
