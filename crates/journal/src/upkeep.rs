//! Upkeep: removes old and superseded records, now and then, in small steps. One task per host is enough; several do no harm.

use std::sync::Arc;

use service::{Clock, Drain};

use crate::config::Config;
use crate::{Class, Journal, Result, Retention};

/// How long a tombstone stays, so that a reader that was away for less sees it.
pub const TOMBSTONE_MS: i64 = 3_600_000;

/// The policies that the configuration asks for.
pub fn policies(config: &Config) -> Vec<Retention> {
    let named = config.keep.iter().filter_map(|(name, keep)| Some((name.parse().ok()?, keep.signed())));
    named.map(|(stream, keep)| Retention { max_age_ms: Some(keep), ..Retention::of(stream) }).collect()
}

/// Sweeps every [`sweep`](Config::sweep) until the drain. A sweep that fails for a while is repeated at the next turn.
///
/// # Errors
/// Those of [`Journal::retain`] and [`Journal::compact`] that repeating does not help.
pub async fn run(journal: Arc<dyn Journal>, config: Config, clock: Clock, drain: Drain) -> Result<()> {
    let policies = policies(&config);
    let mut turns = clock.interval(config.sweep.duration());
    loop {
        tokio::select! {
            () = drain.started() => return Ok(()),
            () = turns.tick() => {}
        }
        match sweep(&*journal, &policies).await {
            Err(error) if error.class() != Class::Transient => return Err(error),
            Err(error) => tracing::warn!(%error, "the sweep failed; the next turn repeats it"),
            Ok(records) => tracing::debug!(records, "swept"),
        }
    }
}

/// One sweep. Answers how many records it removed.
async fn sweep(journal: &dyn Journal, policies: &[Retention]) -> Result<u64> {
    Ok(journal.retain(policies).await?.records + journal.compact(TOMBSTONE_MS).await?.records)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Entry, Stream, Topology};

    #[tokio::test]
    async fn what_is_old_and_what_is_superseded_goes() {
        let clock = Clock::manual(0);
        let journal: Arc<dyn Journal> = crate::memory::Memory::new(Topology::uniform(1), clock.clone());
        let streams = [Stream::Raw, Stream::Views, Stream::Views, Stream::EventsCall];
        journal.append(streams.map(|stream| Entry::new(stream, "k", "v")).to_vec()).await.unwrap();
        let drain = Drain::new();
        let sweeping = run(Arc::clone(&journal), Config::default(), clock.clone(), drain.clone());
        let day_and_a_bit = Duration::from_secs(24 * 3_600 + 61);
        let ended = async {
            clock.advance(day_and_a_bit).await;
            drain.start("the test is over");
        };
        let (swept, ()) = tokio::join!(sweeping, ended);
        swept.unwrap();
        assert_eq!(journal.earliest(Stream::Raw, 0).await.unwrap(), 1);
        assert_eq!(journal.read(Stream::Views, 0, 0, 9, 99).await.unwrap().records.len(), 1);
        assert_eq!(
            journal.read(Stream::EventsCall, 0, 0, 9, 99).await.unwrap().records.len(),
            1,
            "events stay for ever"
        );
    }
}
