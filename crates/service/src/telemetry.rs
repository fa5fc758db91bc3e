//! Logs and metrics of the process: set up once, whatever asks first.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::{ConfigFile, Problems};

/// How lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// The text log, written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How lines are written.
    pub format: Format,
    /// What is written: a level, or levels by module (`info,collector=debug`).
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Log { format: Format::Text, filter: "info".to_owned() }
    }
}

impl ConfigFile for Log {
    fn check(&self, problems: &mut Problems) {
        if let Err(error) = self.filter.parse::<EnvFilter>() {
            problems.add(
                "filter",
                &self.filter,
                error.to_string(),
                "write a level (info) or levels by module (info,collector=debug)",
            );
        }
    }
}

/// Starts the log. The first call of the process wins: a second component does not change it.
pub fn init(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error says that a log is there already.
    let _ = match log.format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// Sends panics to the log, with their place, so that a JSON log stays JSON. For a process's `main`, not for tests.
pub fn panics_to_log() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(code = "TG0070", place, payload, "panic");
    }));
}

/// The process's metrics, to be rendered.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// In Prometheus's text format.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what histograms have gathered; to be called every few seconds, or they grow.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
const BYTES: [f64; 8] = [64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 1_048_576.0, 16_777_216.0];
const RECORDS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 10_000.0];

/// The process's recorder, installed on the first call.
pub fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    let install = || {
        let mut builder = PrometheusBuilder::new();
        let buckets: [(&str, &[f64]); 3] = [("_seconds", &SECONDS), ("_bytes", &BYTES), ("_records", &RECORDS)];
        for (suffix, values) in buckets {
            builder = match builder.set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), values) {
                Ok(builder) => builder,
                Err(error) => unreachable!("buckets of {suffix} are not empty: {error}"),
            };
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Somebody else's recorder (a test's) stays; ours then renders empty.
        let _ = metrics::set_global_recorder(recorder);
        Metrics(handle)
    };
    METRICS.get_or_init(install).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered() {
        let metrics = metrics();
        crate::metric::counter("test_rendered_total", &[("queue", "sales")]).increment(3);
        crate::metric::histogram("test_wait_seconds", &[]).record(0.02);
        let text = metrics.render();
        assert!(text.contains("test_rendered_total{queue=\"sales\"} 3"), "{text}");
        assert!(text.contains("test_wait_seconds_bucket{le=\"0.025\"} 1"), "{text}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_a_problem() {
        let mut problems = Problems::new();
        Log { filter: "info,collector=loud".into(), ..Log::default() }.check(&mut problems);
        assert_eq!(problems.len(), 1);
    }
}
