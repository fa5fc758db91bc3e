//! Every vendor there is: adding one is its folder and one line here.

use adapter::Registry;

/// The adapters that this program is built with.
pub fn registry() -> Registry {
    Registry::default()
        .with::<adapter_asterisk::Asterisk>()
        .with::<adapter_calls_csv::CallsCsv>()
        .with::<adapter_queue_log::QueueLog>()
        .with::<adapter_replay::Replay>()
}
