//! The table `[pusher]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Millis, Problems, Size};
use service::http::auth::Auth;
use service::http::{Listen, Origins};

use crate::live::follow::Pace;
use crate::ws::feed::Ring;
use crate::ws::hub::Bounds;
use crate::ws::session;
use crate::ws::socket::Rules;

/// The table `[pusher]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen for HTTP and WebSocket.
    pub listen: Listen,
    /// Who may ask.
    pub auth: Auth,
    /// Web pages that may connect, by origin (`https://board.example.com`), beside our own.
    pub origins: Origins,
    /// The journal; unused when the process provides one to all its components.
    pub journal: journal::config::Config,
    /// The store; unused when the process provides one to all its components.
    pub store: store::config::Config,
    /// What pushers share of the live views; unused when the process provides it to all its components.
    pub live: store::config::Sharing,
    /// Names, thresholds and time zones; unused when the process provides a directory to all its components.
    pub directory: model::Directory,
    /// The time of one frame of a feed: in the long run there are no more. Less than the aggregators' `tick`, so that what they tell never has to wait. It is longer by itself where painting or thousands of followers take their time.
    pub tick: Millis,
    /// How often clients are told how old the figures are.
    pub beat: Millis,
    /// From which age on figures are called stale.
    pub stale_after: Millis,
    /// Bounds.
    pub limits: Limits,
}

/// The table `[pusher.limits]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// WebSocket connections.
    pub connections: u32,
    /// The largest message of a WebSocket client.
    pub message: Size,
    /// Bytes that may wait in the kernel for a client that does not read; beyond, it is given what it missed melted together.
    pub unsent: Size,
    /// Messages of a client in a second.
    pub messages_per_second: u32,
    /// Messages of a client at once.
    pub messages_burst: u32,
    /// Subscriptions of a client.
    pub subscriptions: u32,
    /// Values in the filter of a subscription.
    pub filter_values: u32,
    /// Messages of a client that are not understood, before it is sent away.
    pub errors: u32,
    /// Different selections that are followed at the same time.
    pub feeds: u32,
    /// Frames kept for each feed.
    pub ring_frames: u32,
    /// Bytes of frames kept for each feed.
    pub ring: Size,
    /// How long a feed that nobody follows is kept for those who come back.
    pub linger: Millis,
    /// How long a client may take to accept what is sent.
    pub write_timeout: Millis,
    /// How long a client may stay without a token where one is needed.
    pub auth_timeout: Millis,
    /// How long a client may be silent before it is pinged; after three times that it is given up.
    pub ping_every: Millis,
    /// The longest range of a report, in days.
    pub report_days: u32,
    /// The most rows of a report.
    pub report_rows: u32,
    /// Reports computed at the same time; more are asked to come again.
    pub reports_at_once: u32,
    /// How long a request may take.
    pub request_timeout: Millis,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 10_000,
            message: Size::bytes(16 << 10),
            unsent: Size::bytes(128 << 10),
            messages_per_second: 20,
            messages_burst: 100,
            subscriptions: 16,
            filter_values: 500,
            errors: 10,
            feeds: 1_000,
            ring_frames: 512,
            ring: Size::mebibytes(1),
            linger: Millis::seconds(60),
            write_timeout: Millis::seconds(10),
            auth_timeout: Millis::seconds(10),
            ping_every: Millis::seconds(20),
            report_days: 400,
            report_rows: 200_000,
            reports_at_once: 4,
            request_timeout: Millis::seconds(30),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: Listen { connections_max: 12_000, ..Listen::loopback(7400) },
            auth: Auth::default(),
            origins: Origins::default(),
            journal: journal::config::Config::default(),
            store: store::config::Config::default(),
            live: store::config::Sharing::default(),
            directory: model::Directory::default(),
            tick: Millis::new(7),
            beat: Millis::seconds(2),
            stale_after: Millis::seconds(5),
            limits: Limits::default(),
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.within("listen", |problems| self.listen.check(problems));
        problems.within("auth", |problems| self.auth.check_for(&self.listen, problems));
        problems.within("journal", |problems| self.journal.check(problems));
        problems.within("store", |problems| self.store.check(problems));
        problems.within("live", |problems| self.live.check(problems));
        for found in self.directory.problems() {
            problems.add_hidden(&format!("directory.{}", found.path), found.what, found.fix);
        }
        problems.range("tick", self.tick, Millis::new(5)..=Millis::seconds(5));
        problems.range("beat", self.beat, Millis::seconds(1)..=Millis::seconds(30));
        problems.range("stale_after", self.stale_after, Millis::seconds(1)..=Millis::seconds(600));
        problems.within("limits", |problems| self.limits.check(problems));
    }
}

impl ConfigFile for Limits {
    fn check(&self, problems: &mut Problems) {
        problems.range("connections", self.connections, 1..=1_000_000);
        problems.range("message", self.message, Size::bytes(1 << 10)..=Size::mebibytes(1));
        problems.range("unsent", self.unsent, Size::bytes(8 << 10)..=Size::mebibytes(16));
        problems.range("messages_per_second", self.messages_per_second, 1..=10_000);
        problems.range("messages_burst", self.messages_burst, 1..=100_000);
        problems.range("subscriptions", self.subscriptions, 1..=1_000);
        problems.range("filter_values", self.filter_values, 1..=100_000);
        problems.range("errors", self.errors, 1..=1_000);
        problems.range("feeds", self.feeds, 8..=100_000);
        problems.range("ring_frames", self.ring_frames, 1..=100_000);
        problems.range("ring", self.ring, Size::bytes(16 << 10)..=Size::mebibytes(256));
        problems.range("linger", self.linger, Millis::seconds(1)..=Millis::seconds(3_600));
        problems.range("write_timeout", self.write_timeout, Millis::new(100)..=Millis::seconds(120));
        problems.range("auth_timeout", self.auth_timeout, Millis::new(100)..=Millis::seconds(120));
        problems.range("ping_every", self.ping_every, Millis::seconds(1)..=Millis::seconds(600));
        problems.range("report_days", self.report_days, 1..=4_000);
        problems.range("report_rows", self.report_rows, 100..=2_000_000);
        problems.range("reports_at_once", self.reports_at_once, 1..=64);
        problems.range("request_timeout", self.request_timeout, Millis::seconds(1)..=Millis::seconds(600));
    }
}

impl Config {
    /// How the live loop paces itself.
    pub fn pace(&self) -> Pace {
        Pace { tick: self.tick.duration(), beat: self.beat.duration() }
    }

    /// Of the hub.
    pub fn bounds(&self) -> Bounds {
        let limits = &self.limits;
        Bounds {
            feeds: limits.feeds as usize,
            ring: Ring { frames: limits.ring_frames as usize, bytes: limits.ring.to_usize() },
            linger: limits.linger.duration(),
            stale_after: self.stale_after.duration(),
        }
    }
}

impl Limits {
    /// Of connections.
    pub fn rules(&self) -> Rules {
        let session = session::Limits {
            subscriptions: self.subscriptions as usize,
            filter_values: self.filter_values as usize,
            errors: self.errors,
            id_bytes: 64,
        };
        Rules {
            session,
            message_bytes: self.message.to_usize(),
            unsent_bytes: self.unsent.to_usize(),
            messages_per_second: f64::from(self.messages_per_second),
            messages_burst: f64::from(self.messages_burst),
            write_timeout: self.write_timeout.duration(),
            auth_timeout: self.auth_timeout.duration(),
            ping_every: self.ping_every.duration(),
        }
    }

    /// How long a request may take.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout.duration()
    }
}
