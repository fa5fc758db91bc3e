//! What the benches of the WebSocket face share: servers in processes of their own, and many lean clients.
//!
//! The server under test is always a child process, so that its processor time and memory are its own and not the clients'. Its
//! peer is a bare broadcast (`bench/peers/broadcast`) in a child of its own, too.
//!
//! Start at [`Child`]; what ours does is in [`stage`].

pub mod client;
pub mod process;
pub mod readers;
pub mod stage;

pub use client::{Client, Heard};
pub use process::Child;
pub use readers::{Readers, Tally};

/// The machine's clock in microseconds: the only one that two processes share.
#[expect(
    clippy::disallowed_methods,
    reason = "stamps cross from one process to another, and milliseconds are too coarse"
)]
pub fn now_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The stamp that a frame's last item carries (see [`stage`]): when its update was made, by [`now_us`].
pub fn stamp(frame: &[u8]) -> Option<u64> {
    const MARK: &[u8] = br#""agent":""#;
    let at = frame.windows(MARK.len()).rposition(|part| part == MARK)? + MARK.len();
    let digits = frame[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&frame[at..at + digits]).ok()?.parse().ok()
}
