//! Metrics with a bound on their labels.
//!
//! Names are `COMPONENT_thing_unit[_total]`, labels are few and closed (a queue yes, a caller never). Take a handle once
//! and keep it: looking it up costs a lock.
//!
//! Invariant: one metric has at most [`SERIES_MAX`] label sets; further ones are counted in the set whose values are all
//! `other`, and `service_metric_series_folded_total{metric}` tells that it happened.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};

pub use metrics::{Counter, Gauge, Histogram};
use metrics::{Key, Label, Level, Metadata};

/// Label sets of one metric.
pub const SERIES_MAX: usize = 2_000;

static METADATA: Metadata<'static> = Metadata::new("tidegate", Level::INFO, Some("tidegate"));

/// A counter: only grows. Named `…_total`.
pub fn counter(name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
    let key = bounded(name, labels);
    metrics::with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
}

/// A gauge: a level now.
pub fn gauge(name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
    let key = bounded(name, labels);
    metrics::with_recorder(|recorder| recorder.register_gauge(&key, &METADATA))
}

/// A histogram. Names ending in `_seconds`, `_bytes` and `_records` have fitting buckets (see [`crate::telemetry`]).
pub fn histogram(name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
    let key = bounded(name, labels);
    metrics::with_recorder(|recorder| recorder.register_histogram(&key, &METADATA))
}

/// Says what a metric means; shown as `# HELP`. Once per metric, at start.
pub fn describe_counter(name: &'static str, meaning: &'static str) {
    metrics::with_recorder(|recorder| recorder.describe_counter(name.into(), None, meaning.into()));
}

/// Says what a gauge means.
pub fn describe_gauge(name: &'static str, meaning: &'static str) {
    metrics::with_recorder(|recorder| recorder.describe_gauge(name.into(), None, meaning.into()));
}

/// Says what a histogram means.
pub fn describe_histogram(name: &'static str, meaning: &'static str) {
    metrics::with_recorder(|recorder| recorder.describe_histogram(name.into(), None, meaning.into()));
}

type Series = HashMap<&'static str, HashSet<Vec<String>>>;

fn bounded(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    static SERIES: OnceLock<Mutex<Series>> = OnceLock::new();
    let folded = !labels.is_empty() && {
        let mut series = SERIES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        !admit(series.entry(name).or_default(), labels)
    };
    if folded {
        let key = Key::from_parts("service_metric_series_folded_total", vec![Label::new("metric", name)]);
        metrics::with_recorder(|recorder| recorder.register_counter(&key, &METADATA)).increment(1);
    }
    let value = |value: &str| {
        if folded { "other".to_owned() } else { value.to_owned() }
    };
    Key::from_parts(name, labels.iter().map(|(label, text)| Label::new(*label, value(text))).collect::<Vec<_>>())
}

/// True when this label set is known, or there is room for it.
fn admit(known: &mut HashSet<Vec<String>>, labels: &[(&'static str, &str)]) -> bool {
    let set: Vec<String> = labels.iter().map(|(_, value)| (*value).to_owned()).collect();
    known.contains(&set) || (known.len() < SERIES_MAX && known.insert(set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_sets_beyond_the_bound_fold_into_other() {
        for n in 0..SERIES_MAX {
            assert!(
                bounded("test_fold_total", &[("queue", &n.to_string())]).labels().all(|label| label.value() != "other")
            );
        }
        let over = bounded("test_fold_total", &[("queue", "one too many")]);
        assert_eq!(over.labels().next().map(Label::value), Some("other"));
        let known = bounded("test_fold_total", &[("queue", "7")]);
        assert_eq!(known.labels().next().map(Label::value), Some("7"), "known ones go on");
    }
}
