//! Live views shared by pushers: one that starts takes them from there, and reads of the stream `views` only what came since.
//!
//! [`recall`] takes them at the start. [`mirror`] keeps them: every pusher runs it, one at a time writes, and another goes on when that one
//! has fallen silent. Nothing here is needed: without it, or while it is away, a pusher reads the whole stream, as ever.
//!
//! Rows are not in it. What the reports have of them is read from there; the position only moves past a row when it is there
//! ([`settling`]).

pub mod mirror;
pub mod recall;
pub mod settling;
#[cfg(test)]
mod tests;
