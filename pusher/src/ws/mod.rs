//! The WebSocket face (`docs/spec/websocket.md`): a pure protocol ([`session`], [`feed`], [`board`]) and a thin [`socket`].
//!
//! Start at [`feed`]: how a frame is written once for all, and how a slow client catches up without a queue.

pub mod bell;
pub mod board;
pub mod close;
pub mod feed;
pub mod handshake;
pub mod hub;
pub mod message;
pub mod session;
pub mod socket;
pub mod topic;
pub mod wire;
