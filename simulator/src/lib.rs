//! A seeded call centre behind a real vendor protocol (AMI over TCP, as Asterisk 22 speaks it).
mod centre;
mod config;
pub mod faults;
pub mod plan;

pub use centre::{Centre, Class, Frame, Gauge, orders, truth};
pub use config::Config;
pub use plan::Plan;
