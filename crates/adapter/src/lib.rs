//! What a vendor adapter is: the trait its author writes, the registry it stands in, and the runtime that owns its loop.
//!
//! An adapter knows one vendor: how to connect, read, resume, and translate into [`model::Fact`]s. It does not retry,
//! batch, count, sleep between attempts, write to the journal, or know any other part of Tidegate.
//!
//! - **Invariant:** a fact is acknowledged to the session only after the journal has it on disk.
//! - **Invariant:** the state that a session gives with a batch is stored in the same transaction as the batch's facts; of a
//!   batch too large for one transaction, after its facts, so that a crash between repeats facts and loses none.
//! - **Invariant:** however much, and whatever, a vendor says at once: it is written in pieces, or set aside and counted.
//! - **Invariant:** of all collectors of a source one writes, and the journal refuses whoever only believes that it does.
//! - **Invariant:** two sessions that watch the same vendor give the same id to the same occurrence.
//!
//! Start at [`contract::Adapter`]; `docs/spec/adapter.md` walks through a new one.

mod aside;
mod chunks;
pub mod conformance;
pub mod contract;
pub mod fault;
pub mod intake;
mod outbox;
mod pace;
mod patient;
mod reading;
pub mod recording;
pub mod registry;
mod runner;
pub mod runtime;
mod turn;

pub use contract::{Adapter, Batch, Context, Known, Session, Verbatim};
pub use fault::Fault;
pub use intake::{Ingest, Intake};
pub use registry::Registry;
