//! The journal's own figures. The only place of this crate that touches the metric macros, so that names are found in one look.
#![allow(clippy::disallowed_macros, reason = "the journal is below service, and names its own metrics here only")]

use std::time::Duration;

use crate::Stream;

/// Records of a stream were appended and acknowledged.
pub(crate) fn appended(stream: Stream, records: u64) {
    metrics::counter!("journal_append_records_total", "stream" => stream.name()).increment(records);
}

/// Records of a stream were read.
pub(crate) fn read(stream: Stream, records: usize) {
    metrics::counter!("journal_read_records_total", "stream" => stream.name()).increment(records as u64);
}

/// One transaction was committed: how long it took and how many records and calls shared it.
pub(crate) fn committed(took: Duration, records: u64, calls: usize, synced: bool) {
    let synced = if synced { "yes" } else { "no" };
    metrics::histogram!("journal_commit_seconds", "synced" => synced).record(took.as_secs_f64());
    metrics::histogram!("journal_batch_records").record(records as f64);
    metrics::histogram!("journal_batch_calls").record(calls as f64);
}

/// How many calls wait for the writer.
pub(crate) fn queue_depth(calls: usize) {
    metrics::gauge!("journal_queue_depth").set(calls as f64);
}

/// A record or a book was found damaged.
pub(crate) fn damaged() {
    metrics::counter!("journal_damage_found_total").increment(1);
}

/// Maintenance removed records.
pub(crate) fn swept(records: u64) {
    metrics::counter!("journal_swept_records_total").increment(records);
}

/// How far this process is behind in the books of the journal over Kafka, when somebody asked.
pub(crate) fn books_behind(records: u64) {
    metrics::gauge!("journal_books_behind_records").set(records as f64);
}
