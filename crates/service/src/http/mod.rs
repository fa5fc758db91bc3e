//! What every HTTP face shares: where it may listen, who may ask, how it says no, how it stops.

pub mod auth;
mod extract;
mod listen;
mod origin;
mod problem;
mod seats;
mod serve;

pub use auth::{Auth, Guard, Principal, Role};
pub use extract::{Json, Path, Query, with_fallbacks};
pub use listen::Listen;
pub use origin::Origins;
pub use problem::Problem;
pub use serve::{Connection, Upgraded, serve};
