//! Reading a stream for oneself: from its beginning, without a group, stepping over nothing that is there.

use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;
use journal::{Class, Journal, Stream};
use service::{Clock, Drain};

/// How long to wait before a read is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Where each partition begins.
pub(crate) async fn next_of(journal: &dyn Journal, stream: Stream) -> journal::Result<Vec<u64>> {
    let mut next = Vec::new();
    for partition in 0..journal.partitions(stream) {
        next.push(journal.earliest(stream, partition).await?);
    }
    Ok(next)
}

/// Waits until any partition has something, `most` has passed, or the drain starts.
pub(crate) async fn wait_for_any(
    journal: &dyn Journal,
    stream: Stream,
    next: &[u64],
    most: Duration,
    clock: &Clock,
    drain: &Drain,
) -> journal::Result<()> {
    let wait = |(partition, next): (usize, &u64)| journal.wait_past(stream, partition as u32, *next).boxed();
    let any = select_all(next.iter().enumerate().map(wait));
    tokio::select! {
        biased;
        () = drain.started() => Ok(()),
        (ready, _, _) = any => match ready {
            Err(error) => put_off(error, clock, drain).await,
            Ok(()) => Ok(()),
        },
        () = clock.sleep(most) => Ok(()),
    }
}

/// Waits a while for what may pass.
///
/// # Errors
/// What will not pass.
pub(crate) async fn put_off(error: journal::Error, clock: &Clock, drain: &Drain) -> journal::Result<()> {
    if error.class() == Class::Bug {
        return Err(error);
    }
    tracing::warn!(%error, "the journal cannot be read; what is known goes on");
    tokio::select! {
        biased;
        () = drain.started() => {}
        () = clock.sleep(PAUSE) => {}
    }
    Ok(())
}
