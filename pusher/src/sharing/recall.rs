//! What a pusher that starts takes from the shared views.

use std::time::Duration;

use journal::{Journal, Stream};
use service::Clock;
use store::Live;
use store::live::Partial;
use store::live::shared::{POSITION, Position, VIEWS};

/// How long it may take: reading the stream is always another way.
const MOST: Duration = Duration::from_secs(20);

/// Views, and from where to read on.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// From where the stream is to be read, by partition.
    pub next: Vec<u64>,
    /// The key and the value of each view, as on the stream.
    pub views: Vec<(String, Partial)>,
}

/// Takes what is shared; `None`, with a word in the log, when there is nothing that fits this journal.
pub async fn recall(live: &dyn Live, journal: &dyn Journal, clock: &Clock) -> Option<Recalled> {
    match clock.timeout(MOST, attempt(live, journal)).await {
        Ok(Ok(recalled)) => {
            tracing::info!(views = recalled.views.len(), "the shared views are taken");
            Some(recalled)
        }
        Ok(Err(why)) => {
            tracing::warn!(why, "no shared views; the whole stream is read");
            None
        }
        Err(_) => {
            tracing::warn!("the shared views do not come; the whole stream is read");
            None
        }
    }
}

async fn attempt(live: &dyn Live, journal: &dyn Journal) -> Result<Recalled, String> {
    // The position first: what the views are later than that is read twice, and never not at all.
    let (position, number) = position(live).await?;
    if let Some(why) = misfit(&position, journal).await.map_err(|error| error.to_string())? {
        return Err(why);
    }
    let snapshot = live.snapshot(VIEWS).await.map_err(|error| error.to_string())?;
    // Whoever writes may have begun anew meanwhile.
    let (_, later) = self::position(live).await?;
    if later < number {
        return Err("they were cleared while they were read".to_owned());
    }
    let named = |partial: Partial| {
        let view = partial.slot.key.strip_prefix(VIEWS)?;
        Some((format!("{view}@{}", partial.slot.part), partial))
    };
    Ok(Recalled { next: position.next, views: snapshot.partials.into_iter().filter_map(named).collect() })
}

async fn position(live: &dyn Live) -> Result<(Position, u64), String> {
    let snapshot = live.snapshot(POSITION).await.map_err(|error| error.to_string())?;
    let found = snapshot.partials.iter().find_map(|partial| Some((Position::read(partial)?, partial.version.number)));
    found.filter(|(position, _)| position.whole).ok_or_else(|| "nobody has shared all of them yet".to_owned())
}

/// Why the position is none of this journal, as it is now.
pub(super) async fn misfit(position: &Position, journal: &dyn Journal) -> journal::Result<Option<String>> {
    if position.journal != journal.identity() {
        return Ok(Some("they are of another journal".to_owned()));
    }
    if position.next.len() != journal.partitions(Stream::Views) as usize {
        return Ok(Some("the stream has another number of partitions".to_owned()));
    }
    for (partition, next) in (0_u32..).zip(&position.next) {
        let earliest = journal.earliest(Stream::Views, partition).await?;
        let end = journal.end(Stream::Views, partition).await?;
        if !(earliest..=end).contains(next) {
            return Ok(Some(format!("they end at {next}, and the journal has {earliest} to {end}")));
        }
    }
    Ok(None)
}
