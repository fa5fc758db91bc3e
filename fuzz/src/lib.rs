//! What the fuzz targets assert: one function for each parser of the project, from any bytes to a panic or nothing.
//!
//! The files of `fuzz_targets` hand these functions to the fuzzer; `tests/tests/fuzz_corpus.rs` takes the same files by path and
//! runs the committed corpora through them in the core suite. A target asserts what its parser promises (round trips, bounds,
//! agreement of two ways), not only that nothing panics. Start at [`TARGETS`].

pub mod ami;
pub mod control;
pub mod faces;
pub mod files;
pub mod language;
pub mod pipeline;
pub mod stored;

/// A target: it panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by its name, which is its corpus's folder, too.
pub const TARGETS: &[(&str, Target)] = &[
    ("ami_session", ami::session),
    ("ami_action", ami::action),
    ("ami_state", ami::state),
    ("queue_log", files::queue_log),
    ("calls_csv", files::calls_csv),
    ("replay", files::replay),
    ("lines", files::lines),
    ("envelope", language::envelope),
    ("payload", language::payload),
    ("time", language::time),
    ("number", language::number),
    ("directory", language::directory),
    ("row", stored::row),
    ("block", stored::block),
    ("call", stored::call),
    ("states", stored::states),
    ("frame", stored::frame),
    ("pipeline", pipeline::pipeline),
    ("subscribe", faces::subscribe),
    ("query", faces::query),
    ("config", faces::config),
    ("units", faces::units),
    ("control", control::control),
    ("plan", control::plan),
    ("thresholds", control::thresholds),
    ("agi", control::agi),
    ("door", control::door),
];
