//! tests
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive real processes and a real PBX in real time"
)]
pub mod ami;
pub mod callers;
pub mod drive;
pub mod pbx;
pub mod phone;
pub mod sip;
