//! `queue-log`: Asterisk's `queue_log` file, followed while it grows or imported as a recording.
//!
//! - **Invariant:** a line gives the same events whenever and how often it is read: ids are made of the line itself.
//! - **Invariant:** while following, the place in the file and what is known of open calls are stored with the events.
//!
//! Start at [`mod@line`]: the file's lines, typed (the asterisk adapter fills its gaps from them too); then [`translate`].

pub mod config;
mod desks;
pub mod line;
mod session;
pub mod translate;

pub use line::{QueueLogLine, Verb};
pub use session::{QueueLog, Reading as QueueLogSession};
