//! How every process of the platform starts, runs and stops.
//!
//! **Is**: the life of a component ([`Component`]: plan → build → run → drain), typed configuration ([`config`]), the time
//! ([`Clock`]), randomness ([`Seeds`]), owned tasks ([`Tasks`]), health ([`Health`]) with its HTTP door ([`ops`]), logs and
//! metrics ([`telemetry`], [`metric`]), retries ([`retry`]), the marks that stand beside databases ([`mark`]), and what every HTTP face shares ([`http`]: listening, tokens,
//! problems).
//!
//! **Is not**: anything about calls, events or journals. It imports none of our crates.
//!
//! Invariant: nothing outside this crate reads a raw clock or the environment, starts a task, or draws unseeded numbers
//! (`clippy.toml` bans them); that is what makes a run repeatable.
//! Invariant: nothing here is global to the process except the log, the metrics recorder and the allocator: several components live in
//! one process, each with its own [`Context`].
//! Invariant: a configuration is checked without touching the world; a failed start leaves nothing behind.
//!
//! Start at [`Component`] (implement it), then [`main`] (a thin binary) or [`Host`] (several in one process). What a
//! component must do is written in `docs/spec/component.md` and executed by [`conformance`].

// Of every process of the platform. Events are many small allocations that one thread makes and another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod clock;
mod component;
pub mod config;
pub mod conformance;
mod context;
mod drain;
mod entry;
pub mod error;
pub mod health;
mod host;
pub mod http;
pub mod mark;
pub mod metric;
pub mod ops;
pub mod process;
mod resources;
pub mod retry;
mod rng;
pub mod simulation;
pub mod tasks;
pub mod telemetry;

pub use clock::Clock;
pub use component::Component;
pub use config::{ConfigFile, Millis, Problems, Secret, Size};
pub use context::Context;
pub use drain::Drain;
pub use entry::{exit, main};
pub use error::{Class, Error, Result};
pub use health::Health;
pub use host::Host;
pub use process::Process;
pub use rng::{Rng, Seeds};
pub use tasks::Tasks;
