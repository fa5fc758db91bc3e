//! The pusher: serves live figures and reports over HTTP and WebSocket, and the wallboard.
//!
//! **Is**: a reader. It merges the partial views of the stream `views` into what is so now ([`live`]), hands it out in numbered
//! frames ([`ws`]), answers questions about what was ([`report`], a library that the command line uses, too), and serves a page
//! that shows it all (`wallboard/`).
//!
//! **Is not**: a fold. It computes no figure that `stats` does not define, writes nothing of its own (where views are shared, one of all
//! pushers copies the stream there: [`sharing`]), and can be started any number of times.
//!
//! - Invariant: a figure that is old is said to be old, in every frame and every answer.
//! - Invariant: a slow client costs no memory: it holds one number per feed, and catches up in one frame.
//! - Invariant: a token of one tenant sees nothing of another.
//!
//! Start at [`live::follow`], then [`ws::feed`], then [`report::ask`].

mod component;
pub mod config;
pub mod http;
pub mod live;
pub mod report;
pub mod sharing;
pub mod ws;

pub use component::Pusher;
