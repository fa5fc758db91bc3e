//! The hours before: calls that are over, so that the board's windows and its today are as full as on any afternoon.

use model::Time;
use service::Clock;
use std::time::Duration;

use super::load::{step_of, until_accepted};

/// How far back.
pub const HOURS: i64 = 6;
/// How many.
pub const CALLS: u64 = 24_000;
/// Calls of one post.
const POST: u64 = 500;
/// Until what was acknowledged last is folded and painted.
const REST: Duration = Duration::from_secs(3);

/// Posts them, and waits until they are on the board.
pub async fn tell(door: &str, clock: &Clock) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let (url, now) = (format!("http://{door}/v1/ingest"), Time(clock.now_ms()));
    for first in (0..CALLS).step_by(POST as usize) {
        let mut body = Vec::new();
        for envelope in (first..(first + POST).min(CALLS)).flat_map(|call| events_of(call, now)) {
            body.extend(envelope.to_json());
            body.push(b'\n');
        }
        let post = client.post(&url).header("content-type", "application/x-ndjson").body(body);
        until_accepted(&post, clock).await?;
    }
    clock.sleep(REST).await;
    Ok(())
}

/// All events of a call. They are spread over the hours; waits and talks are of many lengths, and the last of them is over before now.
fn events_of(call: u64, now: Time) -> Vec<model::Envelope> {
    let span = HOURS * 3_600_000;
    let spread = |salt: u64, most: u64| (call.wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ salt) >> 40) % most;
    let begun = now + (-span + (span - 900_000) * call as i64 / CALLS as i64);
    let (wait, ring, talk) = (spread(1, 120_000), 2_000 + spread(2, 10_000), 10_000 + spread(3, 600_000));
    let steps = [0, 500, 500 + wait, 500 + wait + ring, 500 + wait + ring + talk];
    let id = format!("h{call:07}");
    steps.iter().enumerate().flat_map(|(step, after)| step_of(&id, call, step, begun + *after as i64)).collect()
}
