//! What goes on beside the fold: heartbeats and retention.

use std::sync::Arc;
use std::time::Duration;

use journal::{Entry, Journal, Stream};
use model::Time;
use service::{Context, Millis};
use store::reports::{Reports, Retention};

/// How often retention is applied.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Writes our health to the journal.
pub(crate) async fn beat(journal: Arc<dyn Journal>, context: Context, every: Millis) {
    let key = format!("{}/{}", context.component, context.instance);
    let mut tick = context.clock.interval(every.duration());
    loop {
        let value = serde_json::to_vec(&context.health.heartbeat()).unwrap_or_default();
        if let Err(error) = journal.append(vec![Entry::new(Stream::Health, key.clone(), value)]).await {
            tracing::debug!(%error, "heartbeat not written");
        }
        tokio::select! {
            biased;
            () = tick.tick() => {}
            () = context.drain.started() => return,
        }
    }
}

/// Applies retention.
pub(crate) async fn sweep(store: Arc<dyn Reports>, context: Context, calls: Option<Millis>, rows: Option<Millis>) {
    let mut tick = context.clock.interval(SWEEP_EVERY);
    loop {
        let before = |keep: Option<Millis>| keep.map(|keep| Time(context.clock.now_ms() - keep.signed()));
        match store.sweep(Retention { calls_before: before(calls), rows_before: before(rows) }).await {
            Ok(swept) => tracing::debug!(calls = swept.calls, blocks = swept.blocks, "retention applied"),
            Err(error) => tracing::warn!(%error, "retention not applied"),
        }
        tokio::select! {
            biased;
            () = tick.tick() => {}
            () = context.drain.started() => return,
        }
    }
}
