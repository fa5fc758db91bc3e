//! The pusher: serves live figures and reports over HTTP and WebSocket, and the wallboard.

pub mod config;
mod figure;
pub mod live;
pub mod report;
pub mod ws;
