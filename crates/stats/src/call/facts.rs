//! What a call record is made of.

use model::event::call::{Destination, Party, QueueExit, RonaReason, TransferKind};
use model::{AgentId, DeviceId, NodeId, QueueId, TeamId, Time};
use serde::Serialize;

/// One stay in one queue with at most one answering agent; or, with no queue, one direct call of one agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Segment {
    /// From 1, in the order of offers.
    pub segment_no: u32,
    /// The queue; absent for a direct call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// Higher goes first; vendor scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// When it began, and whose cohort it is of: when the caller asked for the queue, else `queued`, else the first sign of it.
    pub offered_at: Time,
    /// When it entered the queue; absent when that was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Time>,
    /// Who was rung, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// When it left the queue (or the direct ringing ended).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_at: Option<Time>,
    /// Why it left: exactly one cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<QueueExit>,
    /// Whether the exit was concluded from something else than `dequeued`.
    pub exit_implied: bool,
    /// How long it waited, in milliseconds: the vendor's word, else by the times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<i64>,
    /// When an agent answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Time>,
    /// Who answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// On which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// The agent's team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// Times on hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Hold>,
    /// When the agent's talk ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
    /// Whether the end of the talk was concluded from what the call did next.
    pub release_implied: bool,
    /// Who ended the talk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<Party>,
    /// Whether the call ended while on hold.
    pub ended_on_hold: bool,
    /// Talk in milliseconds, hold not included: the vendor's word, else by the times. Absent until it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub talk_ms: Option<i64>,
    /// Whether `talk_ms` is the vendor's word.
    #[serde(skip)]
    pub(super) talk_told: bool,
    /// Whether `wait_ms` is the vendor's word.
    #[serde(skip)]
    pub(super) wait_told: bool,
    /// Hold in milliseconds, of holds that are over.
    pub hold_ms: i64,
    /// After-call work in milliseconds.
    pub wrap_up_ms: i64,
    /// When the after-call work ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapped_up_at: Option<Time>,
    /// How it was handed to this segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_in: Option<TransferKind>,
    /// How and where it was handed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_out: Option<Handover>,
    /// When third parties were consulted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consulted_at: Vec<Time>,
    /// When conferences began.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conferenced_at: Vec<Time>,
}

impl Segment {
    /// In the queue, or ringing directly.
    pub fn waiting(&self) -> bool {
        self.exit.is_none()
    }

    /// Answered and not yet released.
    pub fn talking(&self) -> bool {
        self.answered_at.is_some() && self.released_at.is_none()
    }

    /// When it counts as answered: the answer, else the exit that says so.
    pub fn counted_answer(&self) -> Option<Time> {
        self.answered_at.or(self.exit_at.filter(|_| self.exit == Some(QueueExit::Answered)))
    }

    /// Where the wait of the segment began.
    pub fn entered_at(&self) -> Time {
        self.queued_at.unwrap_or(self.offered_at)
    }

    /// The hold that lasts, if any.
    pub fn on_hold(&self) -> Option<Time> {
        self.held.last().filter(|h| h.until.is_none() && self.talking()).map(|h| h.from)
    }
}

/// An agent was rung.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// Who.
    pub agent: AgentId,
    /// On which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// The agent's team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// From when.
    pub at: Time,
    /// Until when; absent while it rings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<AlertEnd>,
    /// How long it rang, in milliseconds: the vendor's word, else by the times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rang_ms: Option<i64>,
}

/// How an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertEnd {
    /// This agent answered.
    Answered,
    /// This agent did not answer while the caller still waited.
    Rona(RonaReason),
    /// The caller left while it rang.
    CallerLeft,
    /// Somebody else answered, or the queue gave up.
    Cancelled,
}

/// A time on hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// From when.
    pub from: Time,
    /// Until when; absent while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// The call was handed on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Handover {
    /// When.
    pub at: Time,
    /// How.
    pub kind: TransferKind,
    /// Where to.
    pub to: Destination,
}

/// A visit of an IVR node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Visit {
    /// The node.
    pub node: NodeId,
    /// From when.
    pub entered_at: Time,
    /// Until when; absent while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Time>,
    /// What the caller chose, in order, and when.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<(Time, String)>,
    /// How the visit ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<VisitEnd>,
}

/// How a visit of an IVR node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VisitEnd {
    /// The caller went on.
    Left,
    /// The caller hung up.
    Abandoned,
    /// The IVR ended the call.
    Contained,
}

/// A decision of the flood controller.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diversion {
    /// When.
    pub at: Time,
    /// Where to.
    pub target: String,
    /// The rule that decided.
    pub rule: String,
    /// The load level then.
    pub level: u8,
    /// The version of the plan.
    pub plan: u64,
    /// The queue it was meant for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// Whether the call was not in a queue then: turned away at the gate.
    pub at_gate: bool,
}

/// A survey answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Csat {
    /// When.
    pub at: Time,
    /// The score.
    pub score: f64,
    /// The best possible score.
    pub score_max: f64,
}

impl Csat {
    /// The score in millionths of the best, 0 to 1,000,000; nonsense counts as 0.
    pub fn micro(&self) -> i64 {
        let share = self.score / self.score_max;
        if share.is_finite() { (share.clamp(0.0, 1.0) * 1e6).round() as i64 } else { 0 }
    }
}
