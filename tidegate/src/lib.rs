//! The `tidegate` command: every component in one process (`up`), and what an operator types.
//!
//! It composes and it asks; it decides nothing about calls. Each command is a module of its own.
//!
//! - **Invariant:** a command that reads or imports works on the data directory alone, without a server running.
//!
//! Start at `cli.rs` (what can be typed), then `up.rs`.

mod cli;
mod control;
mod data;
mod drill;
mod front;
mod hardphone;
mod import;
mod preview;
mod progress;
mod quarantine;
mod rebuild;
mod report;
mod simulated;
mod token;
mod topics;
mod tree;
mod up;

pub use cli::main;
