//! Callbacks: callers who were promised that we call them, and the calls that keep the promise.
//!
//! What it is: a promise is a record on `control` ([`policy::callback::List`] is the fold), written when a caller is led to a callback, or
//! fetched from the phone system that kept it (`fetch.rs`). One gate of all makes the calls (`maker.rs`): when the flood is over, the oldest
//! first, within their hours, as fast as the queue has room for them; each attempt is a record before it is dialled. A caller who calls
//! again and is answered is taken off the list (`heard.rs`). What it is not: a dialler of lists. Nobody is called who did not ask.
//!
//! - **Invariant:** an attempt is on record before anybody's phone rings: whatever is killed then, nobody is called more often than promised.
//! - **Invariant:** numbers on record are sealed; they are opened for the moment of dialling, and told to nobody.
//! - **Invariant:** only plain names and digits reach the phone system.
//!
//! Why it is as it is: `docs/adr/0018`.

mod config;
mod dial;
mod fetch;
mod heard;
mod maker;
pub(crate) mod promise;
pub(crate) mod seal;

pub use config::Config;
pub use dial::Way;
pub(crate) use heard::Follow;
pub(crate) use maker::Maker;
