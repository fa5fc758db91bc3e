//! What happens to a call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, CallId, DeviceId, NodeId, QueueId, TargetId, TeamId, TrunkId};
use crate::number::Number;
use crate::time::Time;

/// Which way a call goes, seen from the company.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From outside.
    #[default]
    Inbound,
    /// To the outside.
    Outbound,
    /// Between our own devices.
    Internal,
}

/// The call exists: it reached us, or one of us started it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Offered {
    /// Which way it goes.
    #[serde(default)]
    pub direction: Direction,
    /// The calling number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ani: Option<Number>,
    /// The called number: the business number inbound, the customer's outbound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dnis: Option<Number>,
    /// The trunk or call service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<TrunkId>,
    /// The agent who started it (outbound, internal).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
}

/// The caller came to an IVR node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IvrEntered {
    /// The node.
    pub node: NodeId,
}

/// The caller chose in an IVR node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IvrSelected {
    /// The node.
    pub node: NodeId,
    /// The digit or intent; `timeout` and `invalid` when nothing usable came.
    pub choice: String,
}

/// The caller left an IVR node for something else than hanging up (that is [`Ended`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IvrLeft {
    /// The node.
    pub node: NodeId,
}

/// The call entered a queue: a new segment begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queued {
    /// The queue.
    pub queue: QueueId,
    /// Higher goes first; vendor scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Place in the queue at entry, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// When the caller asked for the queue, where that is not the moment of entering it: the cohort's interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_at: Option<Time>,
}

/// An agent's device rings for the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alerting {
    /// Who is rung.
    pub agent: AgentId,
    /// On which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// For which queue; absent for a direct call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// The agent's team, from the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
}

/// Why an alerted agent did not take the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RonaReason {
    /// Rang out.
    #[default]
    NoAnswer,
    /// Busy (486).
    Busy,
    /// Refused, or the device could not be reached.
    Rejected,
}

/// Redirection on no answer: the agent was alerted and did not answer while the caller still waited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rona {
    /// Who did not answer.
    pub agent: AgentId,
    /// On which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// For which queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// How long it rang.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rang_ms: Option<u64>,
    /// Why.
    #[serde(default)]
    pub reason: RonaReason,
    /// The agent's team, from the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
}

/// The device stopped ringing for another cause than the agent: the caller left, or somebody else answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertCancelled {
    /// Who was rung.
    pub agent: AgentId,
    /// On which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// For which queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// How long it rang.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rang_ms: Option<u64>,
}

/// An agent answered. Begins the talk of the segment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Who; absent when the vendor does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// On which device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// From which queue; absent for a direct call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// The vendor's own wait, where it is a fact and not a rounding of ours. Else the times of the events count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
    /// The agent's team, from the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
}

/// Who did something to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The customer.
    Caller,
    /// Our agent.
    Agent,
    /// The platform, the PBX or the network.
    System,
    /// Nobody could say.
    #[default]
    Unknown,
}

/// The call was put on hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
}

/// The call came back from hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retrieved {
    /// Who held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
}

/// Where a call is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// Another queue.
    Queue(QueueId),
    /// A person.
    Agent(AgentId),
    /// An extension.
    Device(DeviceId),
    /// A number outside.
    Number(Number),
}

/// The agent speaks with a third party while the caller waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consulted {
    /// Who consults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Whom.
    pub to: Destination,
}

/// How a call was transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// Without speaking to the target first (CSTA Single Step Transfer).
    Blind,
    /// After a consultation (CSTA Transfer).
    Attended,
}

/// The call was handed on: the segment of the transferring agent ends here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transferred {
    /// How.
    pub kind: TransferKind,
    /// Who handed it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Where to.
    pub to: Destination,
}

/// More than two parties speak.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conferenced {
    /// Who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// How many parties there are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parties: Option<u32>,
}

/// The agent left the conversation and the call lived on or ended (CSTA Connection Cleared): ends the talk of the
/// agent's segment when neither a transfer nor the end of the call did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Released {
    /// Who left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Who ended it.
    #[serde(default)]
    pub by: Party,
    /// The vendor's own talk time, where it is a fact that the times of the events do not give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talked_ms: Option<u64>,
}

/// The agent finished the after-call work of this call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WrappedUp {
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// How long it took.
    pub wrap_up_ms: u64,
}

/// Why a call left a queue: exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueExit {
    /// An agent answered.
    Answered,
    /// The caller left, having waited longer than the queue's short limit.
    Abandoned,
    /// The caller left within the queue's short limit.
    ShortAbandoned,
    /// Sent on to another queue by rule.
    Overflow,
    /// Led to a smart IVR.
    DivertedSmartIvr,
    /// Led to online chat.
    DivertedChat,
    /// Led to a keypad IVR.
    DivertedKeypadIvr,
    /// Promised a callback.
    DivertedCallback,
    /// Sent to an external number or partner.
    DivertedExternal,
    /// Waited as long as the queue allows.
    Timeout,
    /// Nobody works here now.
    NoAgent,
    /// No room.
    QueueFull,
    /// Outside opening hours.
    Closed,
    /// The caller pressed a key to leave.
    ExitKey,
    /// The phone system failed.
    Error,
    /// We lost sight of the call.
    SourceLost,
}

impl QueueExit {
    /// Every cause, in the order of the wire names.
    pub const ALL: [QueueExit; 16] = [
        QueueExit::Answered,
        QueueExit::Abandoned,
        QueueExit::ShortAbandoned,
        QueueExit::Overflow,
        QueueExit::DivertedSmartIvr,
        QueueExit::DivertedChat,
        QueueExit::DivertedKeypadIvr,
        QueueExit::DivertedCallback,
        QueueExit::DivertedExternal,
        QueueExit::Timeout,
        QueueExit::NoAgent,
        QueueExit::QueueFull,
        QueueExit::Closed,
        QueueExit::ExitKey,
        QueueExit::Error,
        QueueExit::SourceLost,
    ];

    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            QueueExit::Answered => "answered",
            QueueExit::Abandoned => "abandoned",
            QueueExit::ShortAbandoned => "short_abandoned",
            QueueExit::Overflow => "overflow",
            QueueExit::DivertedSmartIvr => "diverted_smart_ivr",
            QueueExit::DivertedChat => "diverted_chat",
            QueueExit::DivertedKeypadIvr => "diverted_keypad_ivr",
            QueueExit::DivertedCallback => "diverted_callback",
            QueueExit::DivertedExternal => "diverted_external",
            QueueExit::Timeout => "timeout",
            QueueExit::NoAgent => "no_agent",
            QueueExit::QueueFull => "queue_full",
            QueueExit::Closed => "closed",
            QueueExit::ExitKey => "exit_key",
            QueueExit::Error => "error",
            QueueExit::SourceLost => "source_lost",
        }
    }
}

/// The call left a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dequeued {
    /// The queue.
    pub queue: QueueId,
    /// Why. Adapters say `abandoned`; the receiver makes it `short_abandoned` by the queue's limit.
    pub cause: QueueExit,
    /// The vendor's own wait, where it is a fact. Else the times of the events count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
}

/// The flood controller led the call elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diverted {
    /// Where to: `smart_ivr`, `chat`, `keypad_ivr`, `callback`, `external`.
    pub target: String,
    /// Which target of the plan, where it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<TargetId>,
    /// The rule that decided.
    pub rule: String,
    /// The load level then.
    pub level: u8,
    /// The version of the diversion plan.
    pub plan: u64,
    /// The queue it was meant for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
}

/// The route gate let the call go on to its queue: the counterpart of [`Diverted`], so that each decision is on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admitted {
    /// The queue it was let into.
    pub queue: QueueId,
    /// The rule that decided.
    pub rule: String,
    /// The load level then.
    pub level: u8,
    /// The version of the diversion plan; 0: none was known.
    pub plan: u64,
}

/// A recording can be fetched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordingReady {
    /// Where: a path or URL of the vendor's.
    pub location: String,
}

/// The customer answered a survey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surveyed {
    /// The score.
    pub score: f64,
    /// The best possible score.
    pub score_max: f64,
}

/// Business data was attached to the call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataAttached {
    /// Keys and values.
    pub values: BTreeMap<String, String>,
}

/// The call is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Who ended it.
    #[serde(default)]
    pub by: Party,
    /// The vendor's cause in words: `normal`, `busy`, `no_answer`, `rejected`, `lost`, `phantom`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Q.850 cause code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q850: Option<u16>,
    /// The call that it was merged into, when a vendor ends one reference and goes on under another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<CallId>,
    /// When the call itself is only known to have ended before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Time>,
}
