//! Pure control: how long callers will wait, who may enter a queue, and where the others go.
//!
//! What it is: estimates, the controller of a queue, the gate that enforces its orders, the split over targets, the health of call
//! services, and a rehearsal that plays a queue through under any rule. What it is not: it reads no clock, draws no chance that is not
//! seeded, does no I/O, and knows nothing of streams and vendors; who feeds it figures and carries out its answers lives elsewhere.
//!
//! - **Invariant:** the same inputs in the same order give the same answers, bit for bit.
//! - **Invariant:** nobody is diverted while the figures show a free agent and an empty queue.
//! - **Invariant:** levels step down one at a time; load alone never reaches the hard phone.
//! - **Invariant:** the last call service is never taken out, and one that is in never gets nothing.
//!
//! Rates are per second, times are seconds on one clock of the caller's choice.
//!
//! Start at [`control::Controller`] (figures to orders, each tick), then [`plan::Table`] (the fold of what was decided), then
//! [`gate::Gate`] (orders to one call's answer).

pub mod bucket;
pub mod callback;
pub mod containment;
pub mod control;
pub mod erlang;
pub mod fair;
pub mod foresee;
pub mod gate;
pub mod health;
pub mod level;
pub mod plan;
pub mod rate;
pub mod rehearsal;
pub mod seen;
pub mod service;
pub mod split;
pub mod sticky;
pub mod vitals;
pub mod wait;
