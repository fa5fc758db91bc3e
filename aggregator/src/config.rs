//! The table `[aggregator]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Millis, Problems, Size};
use stats::fold::Settings;

use crate::rules::Rules;

/// The table `[aggregator]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The journal; unused when the process provides one to all its components.
    pub journal: journal::config::Config,
    /// The store; unused when the process provides one to all its components.
    pub store: store::config::Config,
    /// Live views are written once in each such span of the clock: at its beginning while events come fast, so that all who write them do it
    /// at the same moments. The first change after a quiet time is written at once.
    pub tick: Millis,
    /// When the figures are older than this because there is too much to do, single calls, agents and devices are put off, so
    /// that totals stay fresh.
    pub details_wait: Millis,
    /// How often they are told then.
    pub details_every: Millis,
    /// The longest time between two checkpoints while events come.
    pub checkpoint_every: Millis,
    /// Events after which a checkpoint is begun earlier. After twice as many that are not yet written, folding waits.
    pub checkpoint_events: u64,
    /// Records read at once from one partition.
    pub batch_records: usize,
    /// Bytes read at once from one partition; a single larger record is read alone.
    pub batch_bytes: Size,
    /// Closed calls of one partition that stay in memory for late events; others are looked up in the store.
    pub closed_calls_kept: usize,
    /// Open calls of one partition that stay in memory and are shown. Of more, those that were silent longest are looked up in the
    /// store when something is heard of them.
    pub open_calls_kept: usize,
    /// Agents of one partition that are followed, and as many devices, queues and sources. What is said of further ones is counted
    /// and changes nothing; calls count all the same.
    pub names_kept: usize,
    /// Hours of rows (of one queue, agent, …) of one partition that stay in memory; others are looked up in the
    /// store.
    pub row_hours_kept: usize,
    /// A base row that ended so long before the latest event is past: a change of it is told on the stream `records`,
    /// from which corrections are made.
    pub restated_after: Millis,
    /// How often the aggregator writes its health to the stream `health`.
    pub heartbeat: Millis,
    /// How long closed calls are kept after their end; absent: for ever.
    pub keep_calls: Option<Millis>,
    /// How long rows are kept; absent: for ever.
    pub keep_rows: Option<Millis>,
}

impl Default for Config {
    fn default() -> Self {
        let rules = Rules::default();
        Config {
            journal: journal::config::Config::default(),
            store: store::config::Config::default(),
            tick: Millis::new(10),
            details_wait: Millis::new(500),
            details_every: Millis::seconds(2),
            checkpoint_every: Millis::seconds(1),
            checkpoint_events: 20_000,
            batch_records: 1_000,
            batch_bytes: Size::mebibytes(4),
            closed_calls_kept: rules.settings.closed_kept,
            open_calls_kept: rules.settings.open_kept,
            names_kept: rules.settings.names_kept,
            row_hours_kept: rules.blocks_kept,
            restated_after: Millis::new(300_000),
            heartbeat: Millis::seconds(5),
            keep_calls: None,
            keep_rows: None,
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.within("journal", |problems| self.journal.check(problems));
        problems.within("store", |problems| self.store.check(problems));
        problems.range("tick", self.tick, Millis::new(1)..=Millis::seconds(10));
        problems.range("details_wait", self.details_wait, Millis::new(50)..=Millis::seconds(60));
        problems.range("details_every", self.details_every, Millis::new(100)..=Millis::seconds(60));
        problems.range("checkpoint_every", self.checkpoint_every, Millis::new(10)..=Millis::seconds(600));
        problems.range("checkpoint_events", self.checkpoint_events, 1..=10_000_000);
        problems.range("batch_records", self.batch_records, 1..=100_000);
        problems.range("batch_bytes", self.batch_bytes, Size::bytes(1024)..=Size::mebibytes(256));
        problems.range("closed_calls_kept", self.closed_calls_kept, 0..=10_000_000);
        problems.range("open_calls_kept", self.open_calls_kept, 100..=10_000_000);
        problems.range("names_kept", self.names_kept, 100..=10_000_000);
        problems.range("row_hours_kept", self.row_hours_kept, 0..=10_000_000);
        problems.range("restated_after", self.restated_after, Millis::new(0)..=Millis::seconds(86_400));
        problems.range("heartbeat", self.heartbeat, Millis::new(100)..=Millis::seconds(3_600));
        // A late event is accepted for 24 hours: what it changes must still be there.
        let day = Millis::seconds(86_400);
        for (key, keep) in [("keep_calls", self.keep_calls), ("keep_rows", self.keep_rows)] {
            if let Some(keep) = keep {
                problems.range(key, keep, Millis::new(2 * day.get())..=Millis::new(36_500 * day.get()));
            }
        }
    }
}

impl Config {
    /// How events are folded.
    pub fn rules(&self) -> Rules {
        Rules {
            settings: Settings {
                closed_kept: self.closed_calls_kept,
                open_kept: self.open_calls_kept,
                names_kept: self.names_kept,
                ..Settings::default()
            },
            restated_after_ms: self.restated_after.signed(),
            blocks_kept: self.row_hours_kept,
        }
    }
}
