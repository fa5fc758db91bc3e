//! The table `[console]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Millis, Problems};
use service::http::Listen;
use service::http::auth::Auth;

/// The table `[console]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen for HTTP.
    pub listen: Listen,
    /// Who may ask, and who may change: `operator` and above change thresholds, targets and orders.
    pub auth: Auth,
    /// The journal; unused when the process provides one to all its components.
    pub journal: journal::config::Config,
    /// The store, for the timeline of a call; unused when the process provides one to all its components.
    pub store: store::config::Config,
    /// Names, thresholds and time zones; unused when the process provides a directory to all its components.
    pub directory: model::Directory,
    /// How often every queue is evaluated.
    pub tick: Millis,
    /// How often plans that still hold are affirmed: by that a gate knows that they are watched over.
    pub affirm: Millis,
    /// How often the audit is sealed, if there is something new in it.
    pub seal: Millis,
    /// How long after a change of level its effect is measured.
    pub effect: Millis,
    /// The longest time for which an override may be ordered.
    pub override_max: Millis,
    /// How long a request may take.
    pub request_timeout: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: Listen::loopback(7413),
            auth: Auth::default(),
            journal: journal::config::Config::default(),
            store: store::config::Config::default(),
            directory: model::Directory::default(),
            tick: Millis::seconds(1),
            affirm: Millis::seconds(5),
            seal: Millis::seconds(60),
            effect: Millis::seconds(120),
            override_max: Millis::seconds(24 * 3_600),
            request_timeout: Millis::seconds(30),
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.within("listen", |problems| self.listen.check(problems));
        problems.within("auth", |problems| self.auth.check_for(&self.listen, problems));
        problems.within("journal", |problems| self.journal.check(problems));
        problems.within("store", |problems| self.store.check(problems));
        for found in self.directory.problems() {
            problems.add_hidden(&format!("directory.{}", found.path), found.what, found.fix);
        }
        let seconds = Millis::seconds;
        problems.range("tick", self.tick, Millis::new(100)..=seconds(5));
        problems.range("affirm", self.affirm, seconds(1)..=seconds(30));
        problems.range("seal", self.seal, seconds(1)..=seconds(3_600));
        problems.range("effect", self.effect, seconds(10)..=seconds(600));
        problems.range("override_max", self.override_max, seconds(60)..=seconds(31 * 24 * 3_600));
        problems.range("request_timeout", self.request_timeout, seconds(1)..=seconds(600));
        if self.journal.partitions.get("control").is_some_and(|partitions| *partitions != 1) {
            problems.add_hidden(
                "journal.partitions",
                "gives control more than one partition: decisions would have no order",
                "leave control out",
            );
        }
    }
}
