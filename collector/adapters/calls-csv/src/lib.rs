//! `calls-csv`: a table of calls, one row a call, imported as the events that must have happened.
//!
//! It knows tables, not vendors: which column means what is in the config ([`config::Config`]), so that another table is
//! another file under `deploy/config`. It reads the whole table first, because rows come in any order and events must come
//! in the order of their times. What stays of it in memory are rows, not facts.
//!
//! - **Invariant:** the same row gives the same event ids, so that importing a file twice records it once.
//! - **Invariant:** every event of a call carries `seq`: the clocks of recorded tables contradict causality (an answer a
//!   second before its queue entry), and the order of the steps is known.
//! - **Invariant:** a row that cannot be read is set aside with its line and reason; it never stops the import, nor does it
//!   take the next rows with it ([`rows`]).
//!
//! Start at [`translate`].

mod clock;
pub mod config;
mod files;
pub mod rows;
mod session;
pub mod translate;

pub use files::Files;
pub use session::{CallsCsv, Given};
