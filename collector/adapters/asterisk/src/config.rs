//! What an operator says about one Asterisk.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use ami::Login;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::config::{ConfigFile, Millis, Problems, Secret};

use crate::pattern::Pattern;

/// How to reach one Asterisk by AMI, and what its dialplan's words mean.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Host name or address of the manager interface.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Manager user. Needs read = system,call,agent,user,dtmf,originate (without `agent` no queue figures) and
    /// write = system,reporting. Set `timestampevents = yes` in manager.conf: times and order are then the PBX's own.
    pub username: String,
    /// The user's secret.
    pub secret: Secret,
    /// `md5` never sends the secret; `plain` sends it as it is.
    pub login: Login,
    /// How often the link is probed.
    pub ping_every: Millis,
    /// A link that does not answer a probe for so long is broken.
    pub ping_timeout: Millis,
    /// Events that the way here may shuffle within so long are put back in order, at the price of as much delay. A PBX
    /// itself keeps its order: `0s`.
    pub reorder_within: Millis,
    /// Which channels lead outside.
    pub trunks: Trunks,
    /// Who an agent is.
    pub agents: Agents,
    /// What the queues do that AMI does not tell.
    pub queues: Queues,
    /// What the dialplan says by `UserEvent()`.
    pub words: Words,
    /// Where missed calls can be read from.
    pub backfill: Backfill,
    /// At most so many channels are followed at once; more are set aside.
    pub channels_max: usize,
    /// At most so many queues, agents, devices and trunks, each, are followed at once, and four times as many memberships;
    /// more are set aside.
    pub names_max: usize,
}

/// Which channels lead outside. `*` stands for any text.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trunks {
    /// Endpoints that are trunks: `PJSIP/trunk`, `PJSIP/carrier-*`.
    pub endpoints: Vec<String>,
    /// Contexts in which calls from outside begin: a channel that starts there belongs to a trunk.
    pub inbound_contexts: Vec<String>,
}

/// What names an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentName {
    /// The extension of the interface: `101` of `PJSIP/101` and of `Local/101@from-queue/n`.
    #[default]
    Extension,
    /// The interface as it stands: `PJSIP/101`.
    Interface,
    /// The member's name: `Agent 101`. Interfaces that are no queue member go by their extension.
    MemberName,
}

/// Who an agent is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Agents {
    /// What names an agent.
    pub id: AgentName,
}

/// What the queues do that AMI does not tell.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queues {
    /// After-call work of every queue: `wrapuptime` of queues.conf. A member's own, where AMI names it, goes first.
    pub wrap_up: Millis,
    /// After-call work of single queues.
    pub wrap_up_of: BTreeMap<String, Millis>,
    /// Extensions that lead to a queue, for transfers: `602 = "support"`.
    pub extensions: BTreeMap<String, String>,
    /// A caller who leaves a queue without an answer and enters another within this was sent on (`overflow`); later or
    /// never: `timeout`, or whatever the dialplan said. Measured by the PBX's clock.
    pub overflow_within: Millis,
    /// The longest extension that is a phone of ours; longer ones are numbers outside.
    pub internal_digits_max: usize,
}

/// What the dialplan says by `UserEvent()`: event names and their headers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Words {
    /// A choice in an IVR menu, with headers `Menu` and `Digit`.
    pub ivr_choice: String,
    /// Digits typed in an IVR, with headers `Menu`, `Name`, `Value`.
    pub ivr_input: String,
    /// Keep what was typed as business data of the call. Off: a PIN or a card number is nobody's business.
    pub ivr_input_values: bool,
    /// The end of `Queue()`, with headers `Queue` and `QueueStatus` (${QUEUESTATUS}).
    pub queue_left: String,
    /// Desk phones ring for a queue without its application, with headers `Queue` and `Why` (`deploy/asterisk`).
    pub hard_phone: String,
    /// A survey's result, with headers `Score` and `ScoreMax`.
    pub survey: String,
    /// Events whose own headers are business data of the call.
    pub data: Vec<String>,
}

/// Where missed calls can be read from after the link was down.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Backfill {
    /// The PBX's `queue_log`, readable on this host. Empty: what happened in a gap is only known by its end.
    pub queue_log: PathBuf,
    /// At most so much of the file's end is read.
    pub bytes_max: service::Size,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            host: "127.0.0.1".into(),
            port: 5038,
            username: "tidegate".into(),
            secret: Secret::plain(""),
            login: Login::Md5,
            ping_every: Millis::seconds(5),
            ping_timeout: Millis::seconds(10),
            reorder_within: Millis::new(0),
            trunks: Trunks::default(),
            agents: Agents::default(),
            queues: Queues::default(),
            words: Words::default(),
            backfill: Backfill::default(),
            channels_max: 200_000,
            names_max: 100_000,
        }
    }
}

impl Default for Trunks {
    fn default() -> Self {
        let contexts = ["inbound*", "from-trunk*", "from-pstn*", "from-external*", "incoming*", "public"];
        Trunks {
            endpoints: ["*/trunk*", "DAHDI/*"].map(str::to_owned).to_vec(),
            inbound_contexts: contexts.map(str::to_owned).to_vec(),
        }
    }
}

impl Default for Queues {
    fn default() -> Self {
        Queues {
            wrap_up: Millis::new(0),
            wrap_up_of: BTreeMap::new(),
            extensions: BTreeMap::new(),
            overflow_within: Millis::seconds(2),
            internal_digits_max: 6,
        }
    }
}

impl Default for Words {
    fn default() -> Self {
        Words {
            ivr_choice: "IvrChoice".into(),
            ivr_input: "IvrInput".into(),
            ivr_input_values: false,
            queue_left: "QueueLeft".into(),
            hard_phone: "TidegateHardphone".into(),
            survey: "Survey".into(),
            data: Vec::new(),
        }
    }
}

impl Default for Backfill {
    fn default() -> Self {
        Backfill { queue_log: PathBuf::new(), bytes_max: service::Size::mebibytes(64) }
    }
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        problems.not_empty("host", &self.host);
        problems.not_empty("username", &self.username);
        if self.port == 0 {
            problems.add("port", 0, "is no port", "use 1 to 65535; AMI's own is 5038");
        }
        if self.username.contains(['\r', '\n', '\0']) {
            problems.add_hidden("username", "holds a line end", "write one line");
        }
        problems.range("ping_every", self.ping_every, Millis::new(100)..=Millis::seconds(300));
        problems.range("ping_timeout", self.ping_timeout, Millis::new(100)..=Millis::seconds(300));
        problems.range("reorder_within", self.reorder_within, Millis::new(0)..=Millis::seconds(30));
        problems.range("channels_max", self.channels_max, 10..=10_000_000);
        problems.range("names_max", self.names_max, 10..=1_000_000);
        problems.range("queues.overflow_within", self.queues.overflow_within, Millis::new(0)..=Millis::seconds(60));
        problems.range("queues.wrap_up", self.queues.wrap_up, Millis::new(0)..=Millis::seconds(3600));
        for (queue, wrap_up) in &self.queues.wrap_up_of {
            problems.range(&format!("queues.wrap_up_of.{queue}"), *wrap_up, Millis::new(0)..=Millis::seconds(3600));
        }
    }
}

/// The checked config, with its patterns ready.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As the operator wrote it.
    pub config: Config,
    trunks: Vec<Pattern>,
    inbound: Vec<Pattern>,
}

impl Plan {
    /// Of a config that was checked.
    pub fn of(config: Config) -> Plan {
        let all = |texts: &[String]| texts.iter().map(|t| Pattern::new(t)).collect();
        Plan { trunks: all(&config.trunks.endpoints), inbound: all(&config.trunks.inbound_contexts), config }
    }

    /// Whether calls from outside begin in this context.
    pub fn is_inbound_context(&self, context: &str) -> bool {
        self.inbound.iter().any(|p| p.matches(context))
    }

    /// Whether an endpoint (`PJSIP/trunk`) leads outside.
    pub fn is_trunk(&self, endpoint: &str) -> bool {
        self.trunks.iter().any(|p| p.matches(endpoint))
    }

    /// After-call work of a queue in milliseconds; a member's own (seconds) goes first.
    pub fn wrap_up_ms(&self, queue: &str, member_s: Option<i64>) -> i64 {
        match member_s {
            Some(s) if s > 0 => s.min(3600) * 1000,
            _ => self.config.queues.wrap_up_of.get(queue).unwrap_or(&self.config.queues.wrap_up).signed(),
        }
    }

    /// Whether a number can be an extension of ours.
    pub fn is_internal(&self, number: &str) -> bool {
        number.chars().count() <= self.config.queues.internal_digits_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once() {
        let config = Config {
            host: " ".into(),
            port: 0,
            ping_every: Millis::new(1),
            username: "a\r\nSecret: b".into(),
            ..Config::default()
        };
        let mut problems = Problems::new();
        config.check(&mut problems);
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["host", "port", "username", "ping_every"]);
    }

    #[test]
    fn the_defaults_know_a_trunk_by_endpoint_and_by_context() {
        let plan = Plan::of(Config::default());
        assert!(plan.is_trunk("PJSIP/trunk") && !plan.is_trunk("PJSIP/101"));
        assert!(plan.is_inbound_context("from-pstn-reghours") && !plan.is_inbound_context("agents"));
    }

    #[test]
    fn a_members_own_wrap_up_goes_before_the_queues() {
        let mut config = Config::default();
        config.queues.wrap_up = Millis::seconds(2);
        config.queues.wrap_up_of.insert("vip".into(), Millis::seconds(9));
        let plan = Plan::of(config);
        assert_eq!(plan.wrap_up_ms("sales", Some(0)), 2000);
        assert_eq!(plan.wrap_up_ms("vip", None), 9000);
        assert_eq!(plan.wrap_up_ms("vip", Some(4)), 4000);
    }
}
