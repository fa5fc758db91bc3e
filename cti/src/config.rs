//! The table `[cti]`.

use std::collections::BTreeMap;

use model::control::Kind;
use model::{QueueId, SourceId, TargetId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Millis, Problems, Secret};
use service::http::{Auth, Listen};

use crate::pbx::Pbx;
use crate::webhook::Webhook;
use crate::{agi, callbacks, hardphone};

/// The table `[cti]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The journal; unused when the process provides one to all its components. When it cannot be opened, the gate answers all the same.
    pub journal: journal::config::Config,
    /// What gates share of the decisions in force; unused when the process provides it to all its components.
    pub live: store::config::Sharing,
    /// Names, limits and tenants; unused when the process provides a directory to all its components.
    pub directory: model::Directory,
    /// The HTTP door, `POST /v1/route`.
    pub listen: Listen,
    /// Who may ask over HTTP: role `operator`.
    pub auth: Auth,
    /// FastAGI, for Asterisk.
    pub agi: agi::Config,
    /// Phone systems that are commanded, by the name of their source: an Asterisk's manager interface each.
    pub ami: BTreeMap<SourceId, Pbx>,
    /// Desk phones of the queues, kept in those phone systems ahead of need (docs/operate/hard-phones.md).
    pub hard_phones: hardphone::Config,
    /// An answer that would come later than this is the fallback instead: the call enters its queue.
    pub deadline: Millis,
    /// The key that phone numbers are sealed with, if the receiver has one configured. Not set: the one that the receiver keeps in the
    /// journal.
    pub number_key: Option<Secret>,
    /// Numbers of persons whom the business protects, as they call, or their tokens.
    pub vip: Vec<String>,
    /// Dialled numbers of emergencies: their callers are always let in.
    pub emergency: Vec<String>,
    /// Callers who are remembered at the same time; the memory for them is taken at the start (56 bytes each).
    pub callers_max: usize,
    /// How long a caller is remembered after they were last heard of: attempts within it are attempts of late.
    pub callers_window: Millis,
    /// A caller who dials again so soon after they were led elsewhere gets the same answer; later, they were led there in vain.
    pub again_within: Millis,
    /// Who was led elsewhere and asks for a person again within this was not helped there: the target's containment.
    pub contained_within: Millis,
    /// Callers who were promised a callback, and the calls that keep it.
    pub callbacks: callbacks::Config,
    /// Chat platforms, by the target that they are behind: each is told of the callers who are led there, and says what it takes.
    pub webhooks: BTreeMap<TargetId, Webhook>,
    /// Decisions that wait to be written; beyond that they are lost to the record, counted and marked.
    pub events_max: usize,
    /// Queues that are counted apart; calls for others are let in.
    pub queues_max: usize,
    /// What holds for a queue as long as no plan of it was ever heard. A queue that is not named is open then.
    pub unplanned: BTreeMap<QueueId, Unplanned>,
}

/// A static gap that needs nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unplanned {
    /// Calls per second that are let in.
    pub per_s: f64,
    /// What kind of place the others are led to.
    pub target: Kind,
    /// Where that is, in the words of whoever leads there.
    pub address: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            journal: journal::config::Config::default(),
            live: store::config::Sharing::default(),
            directory: model::Directory::default(),
            listen: Listen::loopback(7412),
            auth: Auth { anonymous: None, ..Auth::default() },
            agi: agi::Config::default(),
            ami: BTreeMap::new(),
            hard_phones: hardphone::Config::default(),
            deadline: Millis::new(50),
            number_key: None,
            vip: Vec::new(),
            emergency: Vec::new(),
            callers_max: 100_000,
            callers_window: Millis::seconds(1_800),
            again_within: Millis::seconds(120),
            contained_within: Millis::seconds(900),
            callbacks: callbacks::Config::default(),
            webhooks: BTreeMap::new(),
            events_max: 20_000,
            queues_max: 5_000,
            unplanned: BTreeMap::new(),
        }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.within("journal", |problems| self.journal.check(problems));
        problems.within("live", |problems| self.live.check(problems));
        for found in self.directory.problems() {
            problems.add_hidden(&format!("directory.{}", found.path), found.what, found.fix);
        }
        problems.within("listen", |problems| self.listen.check(problems));
        problems.within("auth", |problems| self.auth.check_for(&self.listen, problems));
        problems.within("agi", |problems| self.agi.check(problems));
        problems.range("deadline", self.deadline, Millis::new(1)..=Millis::seconds(10));
        problems.range("callers_max", self.callers_max, 1..=10_000_000);
        problems.range("callers_window", self.callers_window, Millis::seconds(1)..=Millis::seconds(86_400));
        problems.range("again_within", self.again_within, Millis::new(0)..=self.callers_window);
        problems.range("contained_within", self.contained_within, Millis::seconds(1)..=Millis::seconds(86_400));
        problems.within("callbacks", |problems| self.callbacks.check(problems));
        problems.range("webhooks", self.webhooks.len(), 0..=100);
        for (target, webhook) in &self.webhooks {
            problems.within(&format!("webhooks.{target}"), |problems| webhook.check(problems));
        }
        problems.range("events_max", self.events_max, 1..=1_000_000);
        problems.range("queues_max", self.queues_max, 1..=100_000);
        for (list, entries) in [("vip", &self.vip), ("emergency", &self.emergency)] {
            problems.range(list, entries.len(), 0..=100_000);
            if let Some(at) = entries.iter().position(|number| number.trim().is_empty()) {
                problems.add_hidden(&format!("{list}[{at}]"), "is empty", "write a number, or remove it");
            }
        }
        problems.range("ami", self.ami.len(), 0..=100);
        for (source, pbx) in &self.ami {
            problems.within(&format!("ami.{source}"), |problems| pbx.check(problems));
        }
        problems.within("hard_phones", |problems| self.hard_phones.check(problems));
        problems.range("unplanned", self.unplanned.len(), 0..=self.queues_max);
        for (queue, unplanned) in &self.unplanned {
            problems.within(&format!("unplanned.{queue}"), |problems| {
                problems.range("per_s", unplanned.per_s, 0.0..=10_000.0);
                if unplanned.target == Kind::HumanQueue && unplanned.address.is_empty() {
                    problems.add(
                        "target",
                        "human_queue",
                        "leads back to the queue",
                        "name another target, or an address",
                    );
                }
            });
        }
    }
}
