//! Two readers of the live figures: one of totals, one of details. Each frame is held against what was acknowledged by then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use service::Clock;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::load::Sender;

/// One frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// When it came.
    pub at: Duration,
    /// How old it says its figures are.
    pub told: Option<Duration>,
    /// Calls offered today, as it says; of frames with the tenant's totals.
    pub calls: Option<u64>,
    /// How old its figures were, by the ledger.
    pub age: Option<Duration>,
}

/// What a reader saw.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Frame>>>);

impl Seen {
    /// Frames that came from `from` to `to`.
    pub fn within(&self, from: Duration, to: Duration) -> Vec<Frame> {
        let frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().filter(|frame| frame.at >= from && frame.at < to).copied().collect()
    }

    /// The last totals.
    pub fn calls(&self) -> u64 {
        let frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().rev().find_map(|frame| frame.calls).unwrap_or(0)
    }

    /// When the totals first showed so many calls.
    pub fn reached(&self, calls: u64) -> Option<Duration> {
        let frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().find(|frame| frame.calls.is_some_and(|seen| seen >= calls)).map(|frame| frame.at)
    }
}

/// Follows these topics until it is dropped.
pub struct Reader {
    /// What it saw so far.
    pub seen: Seen,
    task: JoinHandle<Result<()>>,
}

impl Reader {
    /// Connects and subscribes.
    #[expect(clippy::disallowed_methods, reason = "a reader is no part of the product: it lives as long as this value")]
    pub async fn follow(face: &str, topics: &str, clock: Clock, sender: Sender) -> Result<Reader> {
        let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{face}/v1/ws")).await?;
        socket.send(Message::text(format!(r#"{{"op":"subscribe","id":"w","topics":[{topics}]}}"#))).await?;
        let seen = Seen::default();
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            while let Some(message) = socket.next().await {
                if let Message::Text(text) = message? {
                    kept.0.lock().unwrap_or_else(PoisonError::into_inner).extend(read(&text, &clock, &sender));
                }
            }
            Ok(())
        });
        Ok(Reader { seen, task })
    }

    /// Whether it still follows; an error when the server sent it away.
    pub async fn end(self) -> Result<()> {
        if self.task.is_finished() {
            self.task.await?.context("the reader was sent away")?;
            anyhow::bail!("the reader's connection ended");
        }
        self.task.abort();
        Ok(())
    }
}

fn read(text: &str, clock: &Clock, sender: &Sender) -> Option<Frame> {
    let at = clock.monotonic();
    let told = text.split_once("\"age_ms\":").and_then(|(_, rest)| rest.split([',', '}']).next()?.parse().ok());
    let told = told.map(Duration::from_millis);
    // Only the small frame is read whole: this program shares the processors with what it measures.
    if !text.contains("\"topic\":\"totals\"") {
        return text.contains("\"feed\":").then_some(Frame { at, told, calls: None, age: None });
    }
    let frame: Value = serde_json::from_str(text).ok()?;
    let items = frame.get("items").or_else(|| frame.get("changed"))?.as_array()?;
    let calls = items.iter().find(|item| item["key"] == "default")?["today"]["offered"].as_u64()?;
    Some(Frame { at, told, calls: Some(calls), age: Some(sender.age_of(calls, at)) })
}
