//! What came to the gate, told once a second on the stream `health`: the console cannot see attempts that never reached a queue.

use std::sync::Arc;
use std::time::Duration;

use journal::{Entry, Journal, Stream};
use model::control::{By, Envelope, GateCounted};
use model::{EventId, SourceId, Time};
use service::{Clock, Drain};

use crate::gate::Gate;

const EVERY: Duration = Duration::from_secs(1);

/// Tells until the drain.
pub(crate) async fn run(journal: Arc<dyn Journal>, gate: Arc<Gate>, instance: String, clock: Clock, drain: Drain) {
    let source = SourceId::new(&instance);
    let mut ticks = clock.interval(EVERY);
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = ticks.tick() => {}
        }
        let counted = gate.counted();
        if counted.is_empty() {
            continue;
        }
        let at = Time(clock.now_ms());
        let entry = |(tenant, queues): (model::TenantId, Vec<model::control::QueueCounted>)| {
            let targets = gate.targets_counted(&tenant);
            let envelope = Envelope {
                id: EventId::from_reference(&source, &format!("counted|{tenant}|{}", at.ms())),
                source: source.clone(),
                time: at,
                tenant,
                by: By::Automatic,
                why: String::new(),
                cause_id: None,
                event: GateCounted { gate: instance.clone(), queues, targets }.into(),
            };
            Entry::new(Stream::Health, instance.clone(), envelope.to_json())
        };
        // Told every second also when nothing came: silence would be taken for a gate that is gone.
        if let Err(error) = journal.append(counted.into_iter().map(entry).collect()).await {
            tracing::debug!(%error, "the counts of the gate are not told");
        }
    }
}
