//! What can be configured, with a default that is a lively centre of forty agents and four queues.

mod check;
mod preset;
mod unfold;

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use service::http::{Auth, Listen};
use service::{ConfigFile, Millis, Problems, Secret, Size};

/// The simulated centre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The PBX's system name: the first part of its unique ids, ASCII letters and digits.
    pub system: String,
    /// The seed of everything that happens. 0 takes it from the process's own seed.
    pub seed: u64,
    /// IANA time zone of the hour profile and the shifts.
    pub time_zone: String,
    /// How long the centre is played, unheard, before it starts, so that it starts busy.
    pub warm_up: Millis,
    /// How long fresh callers come; 0 is for ever. After that the centre empties.
    pub arrivals_for: Millis,
    /// When simulated time starts to run.
    pub start: Start,
    /// Simulated seconds per second of the clock, 0.1 to 1000. 0 is as fast as the sessions take the events.
    pub speed: f64,
    /// The AMI side.
    pub ami: Ami,
    /// The control API.
    pub control: Control,
    /// Who calls.
    pub arrivals: Arrivals,
    /// The numbers that can be dialled.
    pub lines: Vec<Line>,
    /// The keypad menu.
    pub menu: Menu,
    /// The queues.
    pub queues: Vec<Queue>,
    /// Groups of agents alike.
    pub groups: Vec<Group>,
    /// How people behave in conversation.
    pub manners: Manners,
    /// Faults planned ahead.
    pub faults: Vec<PlannedFault>,
    /// The ledger of what really happened.
    pub truth: Truth,
}

/// When simulated time starts to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At once.
    Now,
    /// With the first session that logs in, so that it hears everything.
    FirstLogin,
}

/// The AMI side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ami {
    /// Where AMI listens. AMI has no encryption: keep it on loopback.
    pub address: SocketAddr,
    /// Listens beyond loopback all the same.
    pub i_know_this_is_open: bool,
    /// Who may log in.
    pub users: Vec<User>,
    /// Sessions at once.
    pub sessions_max: usize,
    /// A session that takes nothing for so long is cut, as the real PBX does (`writetimeout`).
    pub write_timeout: Millis,
    /// A session so far behind is cut.
    pub backlog_max: Size,
}

/// An AMI user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name.
    pub name: String,
    /// The secret.
    pub secret: Secret,
    /// Classes of events it may see: system, call, agent, user, dtmf, reporting, cdr, or all.
    pub read: Vec<String>,
    /// May send orders that change something.
    pub may_order: bool,
}

/// The control API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Serve it.
    pub enabled: bool,
    /// Where.
    pub listen: Listen,
    /// For whom.
    pub auth: Auth,
}

/// A law of duration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// The kind.
    pub kind: Kind,
    /// The mean.
    pub mean: Millis,
    /// For log-normal the sigma of the logarithm (0 to 3); for uniform the half width as a share of the mean (0 to 1).
    #[serde(default)]
    pub spread: f64,
}

/// Kinds of law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Always the mean.
    Fixed,
    /// Memoryless.
    Exponential,
    /// Skewed, with a long tail.
    LogNormal,
    /// Evenly around the mean.
    Uniform,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Arrivals {
    /// Fresh calls per hour where the profile is 1.
    pub calls_per_hour: f64,
    /// The share of that rate in each of the 24 local hours of the day; it repeats.
    pub profile: Vec<f64>,
    /// How long a caller waits in a queue before giving up.
    pub patience: Law,
    /// The share of callers who gave up and try again.
    pub redial_share: f64,
    /// After how long.
    pub redial_after: Law,
    /// The first caller number.
    pub number_first: u64,
    /// How many caller numbers there are.
    pub number_count: u64,
}

/// A number that can be dialled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The number, digits.
    pub did: String,
    /// Its share of the fresh calls, against the other lines.
    pub share: f64,
    /// The queue it leads to; empty leads to the menu.
    #[serde(default)]
    pub queue: String,
}

/// The keypad menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Menu {
    /// Its name.
    pub name: String,
    /// How long callers listen before they choose.
    pub think: Law,
    /// The share who hang up instead.
    pub hangs_up_share: f64,
    /// The share who press a wrong key and are asked again.
    pub wrong_key_share: f64,
    /// The share whose matter the menu settles.
    pub settled_share: f64,
    /// What the keys mean.
    pub choices: Vec<Choice>,
    /// The queue of those who press nothing.
    pub default_queue: String,
}

/// One key of the menu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The key: a digit, * or #.
    pub digit: String,
    /// Its share, against the other keys.
    pub share: f64,
    /// The queue it leads to.
    pub queue: String,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Its id: lower-case ASCII letters, digits, - and _.
    pub id: String,
    /// Its name for people, in any language.
    pub title: String,
    /// A heavier queue gets a free agent first.
    #[serde(default)]
    pub weight: i64,
    /// How long a phone rings.
    #[serde(default = "preset::ring")]
    pub ring: Millis,
    /// The pause before the next agent is tried.
    #[serde(default = "preset::retry")]
    pub retry: Millis,
    /// How long a caller may wait; 0 is for ever.
    #[serde(default = "preset::wait_max")]
    pub wait_max: Millis,
    /// The queue for callers who waited too long or found this one full; empty hangs up.
    #[serde(default)]
    pub overflow: String,
    /// How many may wait; 0 is without limit.
    #[serde(default)]
    pub length_max: usize,
    /// The threshold of the PBX's own service level.
    #[serde(default = "preset::service_level")]
    pub service_level: Millis,
    /// How long conversations last.
    pub talk: Law,
    /// Pause an agent who lets the phone ring out.
    #[serde(default)]
    pub auto_pause: bool,
}

/// Agents alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its id, ASCII.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// How many agents.
    pub agents: u32,
    /// The extension of the first; the others follow.
    pub first_extension: u32,
    /// Their queues.
    pub skills: Vec<Skill>,
    /// Start of the shift, local, "HH:MM". The same as the end means around the clock.
    #[serde(default = "preset::midnight")]
    pub shift_from: String,
    /// End of the shift.
    #[serde(default = "preset::midnight")]
    pub shift_to: String,
    /// Wrap-up after a queue call, whole seconds.
    #[serde(default)]
    pub wrap_up: Millis,
    /// Pauses they take.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// Calls out, per agent and hour.
    #[serde(default)]
    pub calls_out_per_hour: f64,
}

/// A skill: membership of a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Skill {
    /// The queue.
    pub queue: String,
    /// The penalty: who has less is called first.
    #[serde(default)]
    pub penalty: u16,
}

/// A kind of pause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// The reason, ASCII.
    pub reason: String,
    /// Mean time between two of them.
    pub every: Millis,
    /// How long it lasts.
    pub lasts: Law,
}

/// How people behave in conversation; shares are 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Manners {
    /// How long an agent lets the phone ring.
    pub answer_after: Law,
    /// The share of rings that ring out.
    pub rona_share: f64,
    /// The share of rings refused with 486.
    pub refuse_share: f64,
    /// The share of conversations with a hold.
    pub hold_share: f64,
    /// How long a hold lasts.
    pub hold: Law,
    /// The share of holds in which the caller hangs up.
    pub hold_abandon_share: f64,
    /// The share of conversations that end with a blind transfer to another queue.
    pub blind_to_queue_share: f64,
    /// The share that end with a blind transfer to an outside line.
    pub blind_outside_share: f64,
    /// The share that end with an attended transfer to another agent.
    pub attended_share: f64,
    /// Of those, the share made by the PBX (Atxfer) instead of the phone (REFER).
    pub atxfer_share: f64,
    /// Of the rest, the share that the agent ends.
    pub agent_hangs_up_share: f64,
    /// How long a call out rings.
    pub out_ring: Law,
    /// The share of calls out that are answered.
    pub out_answered_share: f64,
    /// How long conversations last that no queue made.
    pub out_talk: Law,
}

/// A fault planned ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedFault {
    /// When, from the start, in simulated time.
    pub at: Millis,
    /// What.
    pub kind: crate::faults::Kind,
    /// For how long, in simulated time.
    pub lasts: Millis,
}

/// The ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Truth {
    /// Ended calls it keeps.
    pub calls_max: usize,
    /// State changes it keeps for each agent.
    pub changes_max: usize,
}

impl ConfigFile for Config {
    fn check(&self, problems: &mut Problems) {
        check::config(self, problems);
    }
}
