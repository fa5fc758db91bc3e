//! The plan: a validated centre, its groups expanded to agents and its names to indexes. Pure; nothing here connects.

use jiff::tz::TimeZone;

pub use crate::centre::chance::Law;

/// A call centre to be played. Built from [`crate::Config`] by [`crate::Config::plan`]; the core trusts it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The PBX's system name: the first part of its unique ids.
    pub system: String,
    /// The seed of everything that happens; `None` takes one from the process's own seeds.
    pub seed: Option<u64>,
    /// The zone of the hour profile and of the shifts.
    pub zone: TimeZone,
    /// How long the centre runs unheard before it starts, so that it starts busy. Milliseconds.
    pub warm_up_ms: i64,
    /// How long fresh callers come, in milliseconds; `None` is for ever.
    pub arrivals_for_ms: Option<i64>,
    /// Waits with its first event until a session has logged in.
    pub starts_on_login: bool,
    /// How fast simulated time runs.
    pub pace: Pace,
    /// Who calls, and how often.
    pub arrivals: Arrivals,
    /// The numbers that can be dialled.
    pub lines: Vec<Line>,
    /// The keypad menu.
    pub menu: Menu,
    /// The queues.
    pub queues: Vec<Queue>,
    /// Every agent.
    pub agents: Vec<Agent>,
    /// How agents and callers behave in conversation.
    pub manners: Manners,
    /// Faults planned ahead, by milliseconds from the start.
    pub faults: Vec<(i64, crate::faults::Fault)>,
    /// How many ended calls the ledger keeps.
    pub truth_calls_max: usize,
    /// How many state changes the ledger keeps for each agent.
    pub truth_changes_max: usize,
    /// The AMI side.
    pub ami: Ami,
}

/// How simulated time relates to the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many simulated seconds to a second of the clock.
    Real(f64),
    /// As fast as the sessions take the events; no event is lost to a slow one.
    Fast,
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct Arrivals {
    /// Fresh calls per hour at a profile of 1.
    pub calls_per_hour: f64,
    /// The share of that rate in each local hour of the day.
    pub profile: [f64; 24],
    /// How long a caller waits in a queue before giving up.
    pub patience: Law,
    /// The share of callers who gave up and try again.
    pub redial_share: f64,
    /// After how long they do.
    pub redial_after: Law,
    /// First caller number and how many there are.
    pub numbers: (u64, u64),
}

/// A number that can be dialled.
#[derive(Clone, Debug)]
pub struct Line {
    /// The number as dialled.
    pub did: String,
    /// Its share of the fresh calls.
    pub share: f64,
    /// Where it leads.
    pub route: Route,
}

/// Where a line leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the keypad menu.
    Menu,
    /// Straight to a queue, by index.
    Queue(usize),
}

/// The keypad menu.
#[derive(Clone, Debug)]
pub struct Menu {
    /// Its name, as in `UserEvent: IvrChoice`.
    pub name: String,
    /// How long callers listen before they choose.
    pub think: Law,
    /// The share who hang up instead of choosing.
    pub hangs_up_share: f64,
    /// The share who press a key that means nothing, and are asked again.
    pub wrong_key_share: f64,
    /// The share whose matter the menu itself settles.
    pub settled_share: f64,
    /// What the keys mean.
    pub choices: Vec<Choice>,
    /// The queue of those who press nothing.
    pub default_queue: usize,
}

/// One key of the menu.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The key.
    pub digit: char,
    /// The share of choosing callers who press it.
    pub share: f64,
    /// The queue it leads to.
    pub queue: usize,
}

/// A queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Its id, ASCII.
    pub id: String,
    /// Its name for people, in any language.
    pub title: String,
    /// A heavier queue gets a free agent first.
    pub weight: i64,
    /// How long a phone rings, ms.
    pub ring_ms: i64,
    /// The pause before the next agent is tried, ms.
    pub retry_ms: i64,
    /// How long a caller may wait, ms; 0 is for ever.
    pub wait_max_ms: i64,
    /// Where a caller goes who waited too long or found the queue full.
    pub overflow: Option<usize>,
    /// How many may wait; 0 is without limit.
    pub length_max: usize,
    /// The service-level threshold of the PBX's own figures, seconds.
    pub service_level_s: i64,
    /// How long conversations last, without holds.
    pub talk: Law,
    /// Pause an agent who lets the phone ring out.
    pub auto_pause: bool,
}

/// One agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The extension, such as `1001`.
    pub extension: String,
    /// The name as in `MemberName`.
    pub name: String,
    /// The id of the group.
    pub group: String,
    /// Queue index and penalty of each membership.
    pub skills: Vec<(usize, u16)>,
    /// Local start and end of the shift in ms of the day; equal means around the clock.
    pub shift: (i64, i64),
    /// Wrap-up after each queue call, whole seconds.
    pub wrap_up_s: i64,
    /// The pauses this agent takes.
    pub pauses: Vec<Pause>,
    /// Outbound calls per hour.
    pub calls_out_per_hour: f64,
}

/// A kind of pause.
#[derive(Clone, Debug)]
pub struct Pause {
    /// The reason, ASCII.
    pub reason: String,
    /// Mean time between two of them, ms.
    pub every_ms: f64,
    /// How long it lasts.
    pub lasts: Law,
}

/// How people behave.
#[derive(Clone, Debug)]
pub struct Manners {
    /// How long an agent lets the phone ring.
    pub answer_after: Law,
    /// The share of rings that ring out.
    pub rona_share: f64,
    /// The share of rings that are refused (486).
    pub refuse_share: f64,
    /// The share of conversations in which the caller is put on hold.
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
    /// Of the attended transfers, the share made by the PBX's own feature (Atxfer) instead of the phone (REFER).
    pub atxfer_share: f64,
    /// Of the rest, the share that the agent ends.
    pub agent_hangs_up_share: f64,
    /// How long an outbound call rings.
    pub out_ring: Law,
    /// The share of outbound calls that are answered; of the rest, half are busy.
    pub out_answered_share: f64,
    /// How long outbound conversations last.
    pub out_talk: Law,
}

/// The AMI side.
#[derive(Clone, Debug)]
pub struct Ami {
    /// Who may log in.
    pub users: Vec<User>,
    /// How many sessions at once.
    pub sessions_max: usize,
    /// A session that takes nothing for so long is cut, ms.
    pub write_timeout_ms: u64,
    /// A session that is so many bytes behind is cut.
    pub backlog_bytes_max: usize,
}

/// An AMI user.
#[derive(Clone, Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// The secret.
    pub secret: String,
    /// Bits of the classes it may see.
    pub read: u16,
    /// May it send orders that change something.
    pub may_order: bool,
}
