//! The receiver: admits facts, decides what they are, and writes the canonical record.
//!
//! It reads `ingest` (and takes batches at its HTTP door, which writes them to `ingest`), and for each fact: validates,
//! classifies, drops what it has seen, enriches from the directory, seals numbers, and appends to `events.*`. Events,
//! position and the window of seen ids go to the journal in one transaction.
//!
//! - **Invariant:** behind the receiver no record holds a phone number in the clear.
//! - **Invariant:** malformed input is set aside with its reason, can be listed and replayed, and never stops the stream.
//! - **Invariant:** the same input gives the same output: classification asks the fact and the directory, nothing else.
//!
//! Start at [`admit`] (pure: one record in, one decision out), then `component.rs`.

pub mod admit;
pub mod aside;
mod component;
mod config;
mod direct;
mod door;
mod gate;
mod plausible;
mod window;
mod work;

pub use component::Receiver;
pub use config::Config;
pub use direct::{Direct, Handed, Unwritten};
pub use door::events_of;
pub use work::{Outcome, catch_up};
