//! What a component says of itself on `health`: that it is there, how it is, and goodbye.
//!
//! Best effort: a beat that the journal does not take is left out, the next one says the same.

use std::sync::Arc;
use std::time::Duration;

use service::Context;
use service::tasks::Full;

use crate::{Entry, Journal, Stream};

/// Between two beats, where nothing else is configured.
pub const EVERY: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Says it every so often, in a task of the component, until the drain; then once more, so that nobody misses who was told to end.
///
/// # Errors
/// When the component may start no more tasks.
pub fn start(journal: &Arc<dyn Journal>, context: &Context, every: Duration) -> Result<(), Full> {
    let (journal, inner) = (Arc::clone(journal), context.clone());
    let beating = context.tasks.spawn("heartbeat", async move {
        let mut tick = inner.clock.interval(every);
        while !inner.drain.is_started() {
            say(&*journal, &inner).await;
            tokio::select! {
                biased;
                () = inner.drain.started() => {}
                () = tick.tick() => {}
            }
        }
        inner.health.draining(); // whoever serves the health may hear of the drain after us
        let _ = inner.clock.timeout(GOODBYE, say(&*journal, &inner)).await;
    });
    beating.map(drop)
}

async fn say(journal: &dyn Journal, context: &Context) {
    let key = format!("{}/{}", context.component, context.instance);
    let value = serde_json::to_vec(&context.health.heartbeat()).unwrap_or_default();
    if let Err(error) = journal.append(vec![Entry::new(Stream::Health, key, value)]).await {
        tracing::debug!(%error, "heartbeat not written");
    }
}

#[cfg(test)]
mod tests {
    use service::health::Heartbeat;
    use service::{Clock, Seeds};

    use super::*;
    use crate::Topology;
    use crate::memory::Memory;

    #[tokio::test]
    async fn it_says_that_it_is_there_and_goodbye_at_the_end() {
        let context = Context::new("pusher", "p1", Clock::system(), &Seeds::fixed(1));
        let journal: Arc<dyn Journal> = Memory::new(Topology::uniform(1), context.clock.clone());
        start(&journal, &context, Duration::from_millis(5)).unwrap();
        journal.wait_past(Stream::Health, 0, 1).await.unwrap();
        context.drain.start("over");
        context.tasks.idle().await;
        let batch = journal.read(Stream::Health, 0, 0, 1_000, usize::MAX).await.unwrap();
        let read = |value: &[u8]| serde_json::from_slice::<Heartbeat>(value).unwrap();
        let beats: Vec<Heartbeat> = batch.records.iter().map(|record| read(&record.value)).collect();
        assert!(beats.iter().all(|beat| (beat.component.as_str(), beat.instance.as_str()) == ("pusher", "p1")));
        assert!(beats.len() > 2 && !beats[0].draining && beats[beats.len() - 1].draining, "{beats:?}");
    }
}
