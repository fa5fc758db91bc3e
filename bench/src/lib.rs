//! What was claimed, how it was measured, and what came out: the benches' common language, and the page `docs/proof.md`.
//!
//! It is the programs of `src/bin` (one per figure, each with its peer in the same run) and the [`Finding`]s that they and the heavy
//! tests leave in `docs/proof`. It is not a measuring framework: each program measures in the way its figure asks for.
//!
//! Invariant: `docs/proof.md` is a pure function of the files in `docs/proof` (a test compares them).
//! Invariant: a finding names the command that repeats it, the day, the commit and the machine.
//!
//! Start at [`Finding`], then [`page`].

pub mod broker;
pub mod centre;
pub mod crowd;
pub mod finding;
pub mod machine;
pub mod page;
pub mod population;
pub mod product;
pub mod spread;

pub use finding::{Aim, Figure, Finding};
pub use machine::Machine;
pub use spread::Spread;
