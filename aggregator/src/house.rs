//! What goes on beside the fold: retention.

use std::sync::Arc;
use std::time::Duration;

use model::Time;
use service::{Context, Millis};
use store::reports::{Reports, Retention};

/// How often retention is applied.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

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
