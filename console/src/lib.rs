//! The console: decides, from what is so now, how many callers may still enter each queue and where the others go.
//!
//! **Is**: the control plane. It folds views into figures ([`figures`]), figures into orders ([`evaluate`]), and writes what it decides,
//! with who, why and of what, to the stream `control`. Operators set thresholds, targets and orders for a time through its API ([`http`]),
//! and see every decision in an audit that shows when a record was changed, removed or moved ([`audit`]).
//!
//! **Is not**: in the way of a call. Who enforces plans (the route gate) folds `control` by itself, and goes on when no console is there.
//!
//! - Invariant: of all instances one evaluates: the member of the group `console` that holds the only partition of `control`. What another
//!   one would write meanwhile is refused by its fence.
//! - Invariant: whoever takes over goes on from what was written: versions grow, and no level jumps.
//! - Invariant: whatever is changed names the version that it replaces, and the answer is given when it was read back.
//! - Invariant: everything that is wrong with a request is named, not the first thing only.
//!
//! Start at [`evaluate::Evaluator`] (pure), then `active.rs` (who evaluates), `book.rs` (what was decided), then [`http`].

mod active;
pub mod audit;
mod beats;
mod book;
mod component;
pub mod config;
pub mod evaluate;
pub mod explain;
pub mod figures;
mod health;
pub mod http;
mod tail;
pub mod wanted;
mod writer;

pub use book::{Book, Books, Change};
pub use component::Console;
pub use writer::Writer;
