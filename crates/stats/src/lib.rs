//! The folds: from events to call records, interval rows and live views, and from rows to figures.
//!
//! What it is: pure functions over [`model`]. What it is not: it does no I/O, is not async, and reads no clock; every moment
//! comes in as an argument.
//!
//! - **Invariant:** records, rows and views are functions of the *set* of events: order of arrival, repetition, the number of
//!   partitions, live or rebuilt, change nothing.
//! - **Invariant:** a [`Tally`] is an abelian group, so a late event is: the new contribution, less the old one.
//! - **Invariant:** stored rows hold what has happened; what lasts is overlaid by the reader ([`overlay`]).
//!
//! Start at [`fold::PartitionFold`], then [`call::Record`], then [`contribution`].

pub mod agent;
pub mod call;
pub mod caller;
pub mod codec;
pub mod contribution;
pub mod device;
mod few;
pub mod field;
pub mod fold;
pub mod hist;
pub mod interval;
pub mod key;
pub mod live;
pub mod metric;
pub mod overlay;
pub mod policy;
pub mod queue;
mod register;
pub mod rows;
pub mod source;
pub mod tally;
mod track;
mod wire;

pub use call::Record as CallRecord;
pub use few::Few;
pub use field::Field;
pub use fold::{Changes, PartitionFold};
pub use hist::Hist;
pub use interval::{Attribution, Interval, Merged};
pub use key::{Dim, Grains, RowKey};
pub use policy::Policy;
pub use rows::Rows;
pub use tally::{Row, Tally};
pub use track::{Missing, Piece};
