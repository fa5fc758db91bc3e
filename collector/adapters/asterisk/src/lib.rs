//! `asterisk`: Asterisk 16 to 22 by its manager interface (AMI) over TCP.
//!
//! It logs in, filters the events, fills the gap since the last session from `queue_log` where that can be read, takes a
//! snapshot, and then turns events into facts. It does not command the PBX, speaks no TLS yet, and reads no database.
//!
//! - **Invariant:** a call is everything with one Linkedid; Local channels, surrogates and consultation legs make no calls of
//!   their own that anybody would count.
//! - **Invariant:** facts, their times and their ids depend on the PBX's words alone ([`translate`]).
//! - **Invariant:** memory is bounded: frames, lists, channels and what is remembered of a call.
//!
//! Start at [`session`] for the life of a link (the protocol itself is the crate `ami`), at [`translate`] for what the events mean.

pub mod action;
pub mod backfill;
pub mod config;
pub mod order;
pub mod pattern;
pub mod reconcile;
pub mod session;
pub mod snapshot;
pub mod state;
pub mod translate;

pub use ami::frame;
pub use config::{Config, Plan};
pub use session::Asterisk;
