//! The collector: runs vendor adapters and writes what they see to the journal's `ingest` stream.
//!
//! It is the only part that links vendor crates ([`registry`]). What an adapter is, and the loop it runs in, is the crate
//! `adapter`; here is only: which sources there are, and keeping each of them running by itself.
//!
//! - **Invariant:** one source's trouble never stops another source.
//!
//! Start at `component.rs`.

mod component;
mod config;
pub mod registry;

pub use component::Collector;
pub use config::{Config, Source};
