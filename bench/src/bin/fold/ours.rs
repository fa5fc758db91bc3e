//! Our side: the lines decoded and folded in the way of the aggregator, in memory, on the calling thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use model::envelope::{Parsed, Reader};
use stats::fold::{Changes, PartitionFold, Settings};
use stats::{Dim, Field, Row, RowKey};

/// Events folded between two takings of changes: as the aggregator does when it catches up.
pub const CHUNK: usize = 2_048;
const READ_BYTES: usize = 1 << 20;
const HALF_HOUR_MS: i64 = 1_800_000;

/// Offered and answered by queue and half hour, in milliseconds since the epoch.
pub type Counts = BTreeMap<(String, i64), [i64; 2]>;

/// One pass over a file.
#[derive(Default)]
pub struct Pass {
    /// Lines.
    pub events: u64,
    /// Reading the file and decoding its lines.
    pub decoding: Duration,
    /// Folding, rows and views included.
    pub folding: Duration,
    /// Changes of rows.
    pub rows: usize,
    /// Views told on the way.
    pub views: usize,
    /// What DuckDB counts too.
    pub counts: Counts,
}

/// Decodes and folds the file, `chunk` events at a time. `now` is a clock that only grows.
pub fn pass(path: &Path, chunk: usize, now: impl Fn() -> Duration) -> anyhow::Result<Pass> {
    let mut pass = Pass::default();
    let mut lines = BufReader::with_capacity(READ_BYTES, File::open(path)?);
    let mut fold = PartitionFold::new(Settings { closed_kept: 1_000, ..Settings::default() });
    let mut line = Vec::with_capacity(4_096);
    let mut reader = Reader::default();
    let mut events = Vec::with_capacity(chunk);
    let mut at = now();
    loop {
        while events.len() < chunk {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            line.pop();
            match reader.read(&line).with_context(|| String::from_utf8_lossy(&line).into_owned())? {
                Parsed::Known(event) => events.push(event),
                Parsed::Unknown(head) => anyhow::bail!("{} is of no known type", head.ty),
            }
        }
        let decoded = now();
        pass.decoding += decoded - at;
        if events.is_empty() {
            break;
        }
        pass.events += events.len() as u64;
        std::hint::black_box(fold.needs(&events));
        for event in events.drain(..) {
            fold.apply(event);
        }
        let changes: Changes = fold.take_changes();
        pass.views += changes.views.len();
        pass.rows += changes.rows.len();
        count(&changes.rows, &mut pass.counts);
        drop(changes);
        fold.evict_closed();
        at = now();
        pass.folding += at - decoded;
    }
    pass.counts.retain(|_, count| *count != [0, 0]);
    Ok(pass)
}

/// Adds what DuckDB counts too.
fn count(rows: &[(RowKey, Row)], counts: &mut Counts) {
    for (key, row) in rows.iter().filter(|(key, _)| key.dim == Dim::Queue) {
        let (offered, answered) = (row.event.get(Field::Offered), row.event.get(Field::Answered));
        if offered != 0 || answered != 0 {
            let start = key.start.ms() - key.start.ms().rem_euclid(HALF_HOUR_MS);
            let count = counts.entry((key.id.to_string(), start)).or_default();
            *count = [count[0] + offered, count[1] + answered];
        }
    }
}
