//! What the outside sees of the fold.

use service::metric::{self, Counter, Gauge, Histogram};
use store::Part;

/// Malformed records that are named in the log; more are only counted.
const NAMED_MAX: u64 = 100;

/// Counters of one aggregator. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Telemetry {
    events: Counter,
    unknown: Counter,
    malformed: Counter,
    refused: Counter,
    damaged: Counter,
    frames: Counter,
    pub(crate) checkpoints: Histogram,
    pub(crate) lag: Gauge,
    named: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        metric::describe_counter("aggregator_events_total", "records of the event streams that were folded");
        metric::describe_counter(
            "aggregator_unknown_total",
            "events of types that this version does not know, skipped",
        );
        metric::describe_counter(
            "aggregator_malformed_total",
            "records of the event streams that are no events, skipped",
        );
        metric::describe_counter(
            "aggregator_damaged_total",
            "records of the event streams that the journal cannot read back, skipped",
        );
        metric::describe_counter(
            "aggregator_refused_total",
            "events of an agent, device, queue or source beyond those that are followed, or too many or too late of one",
        );
        metric::describe_counter("aggregator_frames_total", "frames written to the streams views and records");
        metric::describe_histogram("aggregator_checkpoint_seconds", "how long writing a checkpoint took");
        metric::describe_gauge("aggregator_lag_records", "records of the event streams not folded yet");
        Self {
            events: metric::counter("aggregator_events_total", &[]),
            unknown: metric::counter("aggregator_unknown_total", &[]),
            malformed: metric::counter("aggregator_malformed_total", &[]),
            refused: metric::counter("aggregator_refused_total", &[]),
            damaged: metric::counter("aggregator_damaged_total", &[]),
            frames: metric::counter("aggregator_frames_total", &[]),
            checkpoints: metric::histogram("aggregator_checkpoint_seconds", &[]),
            lag: metric::gauge("aggregator_lag_records", &[]),
            named: std::sync::Arc::default(),
        }
    }

    pub(crate) fn folded(&self, records: u64) {
        self.events.increment(records);
    }

    pub(crate) fn told(&self, frames: usize) {
        self.frames.increment(frames as u64);
    }

    pub(crate) fn unknown(&self, ty: &str) {
        self.unknown.increment(1);
        tracing::debug!(ty, "event of an unknown type skipped");
    }

    pub(crate) fn malformed(&self, part: &Part, offset: u64, error: &model::envelope::Error) {
        self.malformed.increment(1);
        if self.named.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < NAMED_MAX {
            tracing::warn!(%part, offset, %error, "malformed record skipped");
        }
    }

    pub(crate) fn refused(&self, part: &Part, subject: &model::Subject) {
        self.refused.increment(1);
        if self.named.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < NAMED_MAX {
            tracing::warn!(%part, %subject, "an event changes nothing: its subject is one too many, or it is too late");
        }
    }

    pub(crate) fn damaged(&self, part: &Part, offset: u64, error: &journal::Error) {
        self.damaged.increment(1);
        tracing::error!(%part, offset, %error, "damaged record skipped: what it said is not in the figures");
    }
}
