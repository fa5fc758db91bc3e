//! The folds, seen from outside: one program, so that a change of the crate is linked and run once.
//!
//! Stories of single calls and people with what they must come to, and laws over made-up days.

#[path = "../support/story.rs"]
mod story;
#[path = "../support/traffic.rs"]
mod traffic;

mod calls;
mod counting;
mod half_told;
mod laws;
mod living;
mod memory;
mod people;
mod traps;
