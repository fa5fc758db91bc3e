//! The table `[receiver]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Millis, Problems, Secret, Size};
use service::http::{Auth, Listen};

/// The table `[receiver]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The journal; unused when the process provides one to all its components.
    pub journal: journal::config::Config,
    /// Names, limits and tenants; unused when the process provides a directory to all its components.
    pub directory: model::Directory,
    /// The HTTP door, `POST /v1/ingest`.
    pub listen: Listen,
    /// Who may bring events through the door: role `operator`.
    pub auth: Auth,
    /// The key that phone numbers are sealed with (HMAC-SHA256). Changing it makes every caller a new one. Not set: a key is
    /// made and kept in the journal.
    pub number_key: Option<Secret>,
    /// The secret that webhooks sign their batches with (HMAC-SHA256 over "timestamp.body"). Not set: signatures are refused.
    pub webhook_key: Option<Secret>,
    /// How old a signed batch may be.
    pub webhook_age_max: Millis,
    /// The largest batch.
    pub body_max: Size,
    /// The most events of one batch.
    pub batch_max: usize,
    /// Bytes of batches that are being read at the same time. Beyond, senders are told to come back (429).
    pub in_hand_max: Size,
    /// How long an accepted event may wait to be counted, here or in an aggregator that is at work. When more wait than are counted
    /// within half of this time, as fast as it went lately, senders are told to come back (429).
    pub backlog_wait: Millis,
    /// The most events that may wait, however fast they are counted.
    pub backlog_max: u64,
    /// An event of a live source that is observed so long after it happened is marked late.
    pub late_after: Millis,
    /// Records taken from the journal at once.
    pub records_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            journal: journal::config::Config::default(),
            directory: model::Directory::default(),
            listen: Listen::loopback(7401),
            auth: Auth { anonymous: None, ..Auth::default() },
            number_key: None,
            webhook_key: None,
            webhook_age_max: Millis::seconds(300),
            body_max: Size::mebibytes(4),
            batch_max: 5_000,
            in_hand_max: Size::mebibytes(64),
            backlog_wait: Millis::seconds(2),
            backlog_max: 200_000,
            late_after: Millis::seconds(60),
            records_max: 4_000,
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.within("journal", |problems| self.journal.check(problems));
        for found in self.directory.problems() {
            problems.add_hidden(&format!("directory.{}", found.path), found.what, found.fix);
        }
        problems.within("listen", |problems| self.listen.check(problems));
        problems.within("auth", |problems| self.auth.check(problems));
        problems.range("body_max", self.body_max, Size::bytes(1_024)..=Size::mebibytes(32));
        problems.range("batch_max", self.batch_max, 1..=20_000);
        // Each batch is held twice while it is read; the largest must find room.
        let twice = Size::bytes(2 * self.body_max.get());
        problems.range("in_hand_max", self.in_hand_max, twice..=Size::mebibytes(4_096));
        problems.range("backlog_wait", self.backlog_wait, Millis::new(100)..=Millis::seconds(600));
        problems.range("backlog_max", self.backlog_max, 1_000..=100_000_000);
        problems.range("records_max", self.records_max, 1..=10_000);
        problems.range("late_after", self.late_after, Millis::seconds(1)..=Millis::seconds(86_400));
        problems.range("webhook_age_max", self.webhook_age_max, Millis::seconds(1)..=Millis::seconds(3_600));
    }
}
