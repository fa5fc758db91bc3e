//! Asterisk's manager interface (AMI) over TCP: frames read, actions written, a link that asks and is answered.
//!
//! What it is: the protocol alone, for whoever watches a PBX (the adapter `asterisk`) and for whoever commands one (`cti`). What it is
//! not: it knows no event by name, keeps no state of calls, and speaks no TLS.
//!
//! - **Invariant:** no value can begin another line: what holds a line end or NUL is refused by [`action::Action::encode`].
//! - **Invariant:** memory is bounded whatever comes in: frames, what waits to be written, what came before an answer.
//!
//! Start at [`link::Link`].

pub mod action;
mod fault;
pub mod frame;
pub mod link;
mod login;

pub use fault::Fault;
pub use login::Login;
