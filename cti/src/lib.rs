//! The route gate: the data plane of control. A phone system asks for each call before a queue; the answer comes from memory.
//!
//! What it is: it folds the stream `control` (plans, thresholds, targets, orders of persons: `policy::plan`) and the live views of queues,
//! judges each call by them (`policy::gate`), and answers over FastAGI ([`agi`], Asterisk) and HTTP (`POST /v1/route`, FreeSWITCH). What it
//! told a phone system goes on record as `call.diverted` or `call.admitted`. It keeps the desk phones of each queue in the phone systems,
//! for the time when it cannot answer ([`hardphone`]). What it is not: it makes no plans (the console does), and it
//! moves no calls (the phone system does).
//!
//! - **Invariant:** an answer waits for no journal, no console and no network. When they are gone the last plan holds, and then the static
//!   gap of the hour; an answer that would come late is the fallback instead.
//! - **Invariant:** nobody is led away from a free agent and an empty queue, and nobody is dropped: who can be led nowhere enters.
//! - **Invariant:** a number in the clear goes no further than `callers.rs`; a value goes to a phone system only through a typed encoder.
//! - **Invariant:** memory has a bound whatever is asked: callers, queues, targets, decisions on their way.
//!
//! Start at [`ask`] (question and answer), then [`gate`] (one decision). What phone systems may rely on: `docs/spec/route.md`.

mod affirmed;
pub mod agi;
pub mod ask;
pub mod callbacks;
mod callers;
mod component;
mod config;
mod control;
mod count;
mod emit;
mod errands;
mod follow;
pub mod gate;
pub mod hardphone;
mod http;
mod live;
pub mod pbx;
mod recent;
mod sharing;
pub mod webhook;

pub use component::Cti;
pub use config::{Config, Unplanned};
