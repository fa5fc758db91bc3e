//! Calls that happen: each event is posted when it happens, in batches of ten milliseconds.

use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bench::Spread;
use bench::crowd::now_us;
use model::event::call::{Alerting, Answered, Dequeued, Direction, Ended, Offered, Party, QueueExit, Queued, Released};
use model::{Envelope, Event, EventId, Subject, Time};
use service::{Clock, Drain, Tasks};

use super::wallboard::{Seen, Stage};

/// How often what has happened is posted.
pub const POST_EVERY: Duration = Duration::from_millis(10);
/// Batches on their way at most.
const ON_THE_WAY: usize = 64;
/// Until a batch is sent again that there was no room for.
const AGAIN: Duration = Duration::from_millis(100);
const QUEUES: u64 = 20;
const AGENTS: u64 = 400;

/// What was sent.
pub struct Load {
    pub events: u64,
    pub calls: u64,
    pub took: Duration,
    pub acknowledged_ms: Spread,
    /// Delays of events before this moment are of the warm-up.
    pub counted_from_us: u64,
}

/// When which step of which call is due; the earliest is the greatest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due(std::cmp::Reverse<(u64, u64)>, usize);

/// The steps of a call: after so many milliseconds, these events, which lead to this stage.
const STEPS: [(u64, Stage); 5] =
    [(0, Stage::Offered), (120, Stage::Waiting), (330, Stage::Ringing), (570, Stage::Talking), (1_240, Stage::Over)];
/// Events of one post, about: fewer than a door takes.
const BATCH_MAX: u64 = 4_000;
/// Events of a call in all.
const EVENTS: u64 = 7;

/// How long calls come.
#[derive(Clone, Copy)]
pub struct Length {
    /// Until everything is warm.
    pub warm: Duration,
    /// Then the delays count.
    pub counted: Duration,
}

/// Posts for so long.
pub async fn run(door: &str, rate: u64, length: Length, clock: &Clock, seen: &Arc<Seen>) -> anyhow::Result<Load> {
    let client = reqwest::Client::new();
    let url = format!("http://{door}/v1/ingest");
    let tasks = Tasks::new("posts", ON_THE_WAY, clock.clone(), Drain::new());
    let acknowledged: Arc<Mutex<Vec<f64>>> = Arc::default();
    let (begun, mut due, mut calls, mut events) = (clock.monotonic(), BinaryHeap::new(), 0, 0);
    let begun_us = now_us();
    let counted_from_us = begun_us + length.warm.as_micros() as u64;
    let length = length.warm + length.counted;
    loop {
        while tasks.len() >= ON_THE_WAY {
            clock.sleep(Duration::from_millis(1)).await;
        }
        let elapsed = clock.monotonic() - begun;
        let elapsed_ms = elapsed.as_millis() as u64;
        // New calls until the time is over; those that are open then end as all do.
        while elapsed < length && calls * EVENTS * 1_000 < elapsed_ms * rate {
            due.push(Due(std::cmp::Reverse((elapsed_ms, calls)), 0));
            calls += 1;
        }
        let (mut body, mut count) = (Vec::new(), 0);
        let now = Time(clock.now_ms());
        // What had to wait for room comes in several, the rest with the next: a door takes no batch of any size.
        while count < BATCH_MAX && due.peek().is_some_and(|Due(std::cmp::Reverse((at, _)), _)| *at <= elapsed_ms) {
            let Some(Due(std::cmp::Reverse((at, call)), step)) = due.pop() else { break };
            for envelope in step_of(&name(call), call, step, now) {
                body.extend(envelope.to_json());
                body.push(b'\n');
                count += 1;
            }
            // When it happened, not when there was room to send it: who measures must not wait with those who are measured.
            seen.sent(call, STEPS[step].1, begun_us + at * 1_000);
            if let Some((after, _)) = STEPS.get(step + 1) {
                due.push(Due(std::cmp::Reverse((at + after - STEPS[step].0, call)), step + 1));
            }
        }
        if count > 0 {
            events += count;
            let post = client.post(&url).header("content-type", "application/x-ndjson").body(body);
            let (acknowledged, clock) = (Arc::clone(&acknowledged), clock.clone());
            // There is room: it was waited for.
            tasks.spawn("post", async move {
                let begun = clock.monotonic();
                until_accepted(&post, &clock).await?;
                lock(&acknowledged).push((clock.monotonic() - begun).as_secs_f64() * 1e3);
                anyhow::Ok(())
            })?;
        } else if elapsed > length && due.is_empty() {
            break;
        }
        let spent = clock.monotonic() - begun - elapsed;
        clock.sleep(POST_EVERY.saturating_sub(spent)).await;
    }
    tasks.idle().await;
    tasks.shutdown(Duration::ZERO).await.map_err(|unclean| anyhow::anyhow!("{unclean}"))?;
    let acknowledged_ms = std::mem::take(&mut *lock(&acknowledged)).into_iter().collect();
    // The last calls only end what was begun.
    let took = clock.monotonic() - begun - Duration::from_millis(STEPS[STEPS.len() - 1].0);
    Ok(Load { events, calls, took, acknowledged_ms, counted_from_us })
}

/// Sends a batch until it is on disk. Where too much waits to be counted the door asks for patience: that delay is the events', too.
pub async fn until_accepted(post: &reqwest::RequestBuilder, clock: &Clock) -> anyhow::Result<()> {
    loop {
        let answer = post.try_clone().context("a batch that cannot be sent again")?.send().await?;
        match answer.status().as_u16() {
            202 => return Ok(()),
            429 | 503 => clock.sleep(AGAIN).await,
            _ => anyhow::bail!("a batch was refused: {}", answer.text().await.unwrap_or_default()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of a call.
pub fn name(call: u64) -> String {
    format!("c{call:07}")
}

/// Which call has this name.
pub fn number(name: &str) -> Option<u64> {
    name.strip_prefix('c')?.parse().ok()
}

/// What happens at a step of a call.
pub fn step_of(id: &str, call: u64, step: usize, now: Time) -> Vec<Envelope> {
    let queue = model::QueueId::new(format!("q{:02}", call % QUEUES));
    let agent = model::AgentId::new(format!("a{:03}", call % AGENTS));
    let queued = || serde_json::from_value::<Queued>(serde_json::json!({ "queue": queue.as_str() }));
    let alerting = || Alerting { agent: agent.clone(), device: None, queue: Some(queue.clone()), team: None };
    let events: Vec<Event> = match step {
        0 => vec![Offered { direction: Direction::Inbound, ..Offered::default() }.into()],
        1 => queued().map(Event::from).into_iter().collect(),
        2 => vec![alerting().into()],
        3 => vec![
            Dequeued { queue: queue.clone(), cause: QueueExit::Answered, waited_ms: None }.into(),
            Answered { agent: Some(agent), queue: Some(queue), ..Answered::default() }.into(),
        ],
        _ => vec![
            Released { agent: Some(agent), by: Party::Caller, talked_ms: None }.into(),
            Ended { by: Party::Caller, ..Ended::default() }.into(),
        ],
    };
    let envelope = |event: Event| Envelope {
        id: EventId::from_reference(&"bench".into(), &format!("{id}/{}", event.ty())),
        source: "bench".into(),
        subject: Subject::Call(id.into()),
        time: now,
        tenant: None,
        observed_time: None,
        cause_id: None,
        seq: None,
        quality: None,
        event,
    };
    events.into_iter().map(envelope).collect()
}
