//! Where the time went: by the times that the journal gave to the records of a call's first event.

use std::collections::HashMap;

use bench::Spread;
use journal::config::Config;
use journal::{Journal, Stream};
use service::Clock;

use super::load;
use super::wallboard::Seen;

/// Each so many-th call is looked at.
const EVERY: usize = 8;

/// The parts, milliseconds.
pub struct Parts {
    received: Spread,
    told: Spread,
    written: Spread,
    came: Spread,
}

impl Parts {
    /// With their names, in the order of the way.
    pub fn named(&self) -> [(&'static str, &Spread); 4] {
        [
            ("event to its admission (on disk once)", &self.received),
            ("admission to the view that is told (on disk twice, folded)", &self.told),
            ("view to the frame that is written", &self.written),
            ("frame to its arrival", &self.came),
        ]
    }
}

/// Reads what the stopped server left of the calls that began after a moment.
/// `None`: no call was seen on its whole way.
pub async fn of_journal(config: &Config, clock: &Clock, seen: &Seen, from_us: u64) -> anyhow::Result<Option<Parts>> {
    let journal = config.open(clock).await?;
    let (admitted, told) = (firsts(&*journal, Stream::EventsCall).await?, firsts(&*journal, Stream::Views).await?);
    journal.close().await?;
    let (mut parts, mut all) = ([const { Vec::new() }; 4], 0);
    for (call, first) in seen.firsts(EVERY, from_us) {
        let (Some(admitted), Some(told)) = (admitted.get(&call), told.get(&call)) else { continue };
        let times = [first.sent_ms, *admitted, *told, first.written_ms, first.came_ms];
        for (part, pair) in parts.iter_mut().zip(times.windows(2)) {
            part.push((pair[1] - pair[0]).max(0.0));
        }
        all += 1;
    }
    let [received, told, written, came] = parts.map(|part| part.into_iter().collect());
    Ok((all > 0).then_some(Parts { received, told, written, came }))
}

/// When each call was first spoken of in a stream.
async fn firsts(journal: &dyn Journal, stream: Stream) -> anyhow::Result<HashMap<u64, f64>> {
    let mut firsts = HashMap::new();
    for partition in 0..journal.partitions(stream) {
        let mut next = journal.earliest(stream, partition).await?;
        let end = journal.end(stream, partition).await?;
        while next < end {
            let batch = journal.read(stream, partition, next, 5_000, 16 << 20).await?;
            for record in &batch.records {
                let key = String::from_utf8_lossy(&record.key);
                let name = key.trim_start_matches("call/").split('@').next().unwrap_or_default();
                if let Some(call) = load::number(name) {
                    firsts.entry(call).or_insert(record.recorded_at_ms as f64);
                }
            }
            next = batch.next;
        }
    }
    Ok(firsts)
}
