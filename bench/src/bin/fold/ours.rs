//! Our side: the lines decoded and folded in the way of the aggregator, in memory, on the calling thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use model::Envelope;
use model::envelope::{Parsed, Reader};
use stats::fold::{Changes, PartitionFold, Settings};
use stats::{Dim, Field, Row, RowKey};

/// Events folded between two takings of changes when the aggregator catches up: its checkpoints are so far apart.
const CHUNK: u64 = 8_000;
/// The same when it follows live and there is much to do: its batches have so many.
pub const LIVE_CHUNK: u64 = 1_000;
const READ_BYTES: usize = 1 << 20;
const HALF_HOUR_MS: i64 = 1_800_000;

/// Offered and answered by queue and half hour, in milliseconds since the epoch.
pub type Counts = BTreeMap<(String, i64), [i64; 2]>;

/// One pass over a file.
#[derive(Default)]
pub struct Pass {
    /// Lines.
    pub events: u64,
    /// Reading, decoding and folding.
    pub took: Duration,
    /// Changes of rows.
    pub rows: usize,
    /// Views told.
    pub views: usize,
    /// What DuckDB counts too.
    pub counts: Counts,
}

/// How the aggregator folds.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    /// Catching up, as in an import or a rebuild: nobody looks on the way, and every view is told at the end.
    CatchUp,
    /// Following live: the views of what changed are told with each portion.
    Live,
}

/// Decodes and folds the file. `now` is a clock that only grows.
pub fn pass(path: &Path, way: Way, now: impl Fn() -> Duration) -> anyhow::Result<Pass> {
    let mut pass = Pass::default();
    let begin = now();
    let fold = PartitionFold::new(Settings { closed_kept: 1_000, ..Settings::default() });
    let (mut fold, chunk) = match way {
        Way::CatchUp => (fold.untold(), CHUNK),
        Way::Live => (fold, LIVE_CHUNK),
    };
    each(path, |event| {
        std::hint::black_box(fold.holds(&event.subject)); // what is not held would be looked for in the store
        fold.apply(event);
        pass.events += 1;
        if pass.events.is_multiple_of(chunk) {
            take(&mut fold, &mut pass);
        }
    })?;
    take(&mut fold, &mut pass);
    if way == Way::CatchUp {
        pass.views = fold.views().len();
    }
    pass.took = now() - begin;
    pass.counts.retain(|_, count| *count != [0, 0]);
    Ok(pass)
}

/// Decodes the file, and forgets what it reads; how long that took.
pub fn decode(path: &Path, now: impl Fn() -> Duration) -> anyhow::Result<Duration> {
    let begin = now();
    each(path, |event| drop(std::hint::black_box(event)))?;
    Ok(now() - begin)
}

fn each(path: &Path, mut what: impl FnMut(Envelope)) -> anyhow::Result<()> {
    let mut lines = BufReader::with_capacity(READ_BYTES, File::open(path)?);
    let mut reader = Reader::default();
    let mut read = |line: &[u8]| match reader.read(line).with_context(|| String::from_utf8_lossy(line).into_owned())? {
        Parsed::Known(event) => {
            what(event);
            Ok(())
        }
        Parsed::Unknown(head) => anyhow::bail!("{} is of no known type", head.ty),
    };
    let mut begun = Vec::new(); // of a line that goes on in the next portion
    loop {
        let portion = lines.fill_buf()?;
        if portion.is_empty() {
            return Ok(());
        }
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', portion) {
            if begun.is_empty() {
                read(&portion[from..end])?;
            } else {
                begun.extend_from_slice(&portion[..end]);
                read(&begun)?;
                begun.clear();
            }
            from = end + 1;
        }
        begun.extend_from_slice(&portion[from..]);
        let len = portion.len();
        lines.consume(len);
    }
}

fn take(fold: &mut PartitionFold, pass: &mut Pass) {
    let changes: Changes = fold.take_changes();
    pass.views += changes.views.len();
    pass.rows += changes.rows.len();
    count(&changes.rows, &mut pass.counts);
    drop(changes);
    fold.evict_closed();
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
