//! End-to-end tests: the product's own binary watches a real Asterisk with real SIP calls, and is compared with what that
//! Asterisk wrote down. The parts that drive and judge are a library, so that the calls can also be played by hand
//! (`tests/pbx/up`, then `cargo run -p tidegate-tests --bin drive`).
//!
//! It is not a place for tests of one crate: those stand beside their code.
//!
//! - Invariant: nothing here links the product (of the tests, only `one_truth` and `one_suite` do). It is seen only through its command line, HTTP and WebSocket, and the oracle
//!   shares no code with what it judges.
//! - Invariant: the truth is the PBX's own: [`oracle`] reads its `queue_log`, CEL and CDR, never what the driver intended.
//! - Invariant: everything listens on loopback.
//!
//! Start at [`drive`] for what happens, at [`oracle`] for what is true of it, at `tests/real_asterisk.rs` for what is claimed.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

pub mod ami;
pub mod broker;
pub mod callers;
pub mod centre;
pub mod compare;
pub mod desk;
pub mod drive;
pub mod face;
pub mod feed;
pub mod figures;
pub mod fleet;
pub mod flood;
pub mod gated;
pub mod ledger;
pub mod life;
pub mod oracle;
pub mod pair;
pub mod parts;
pub mod pbx;
pub mod phone;
pub mod product;
pub mod proxy;
pub mod recorded;
pub mod records;
pub mod reported;
pub mod screen;
pub mod servers;
pub mod sip;
pub mod small_disk;
pub mod stores;
pub mod table;
pub mod victim;
pub mod watched;
