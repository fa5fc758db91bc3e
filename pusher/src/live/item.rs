//! The items of the board, as they are served over HTTP and WebSocket.

use std::collections::BTreeMap;

use model::Time;
use model::event::agent;
use serde::Serialize;
use stats::live::Stage;
use utoipa::ToSchema;

use super::figures::{Figures, Goal, Quality, Window};

/// How many agents are in each state now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct AgentCounts {
    /// Logged in: the sum of the rest.
    pub logged_in: i64,
    /// Free for a call.
    pub ready: i64,
    /// Being rung.
    pub reserved: i64,
    /// In conversation.
    pub talking: i64,
    /// After-call work.
    pub wrap_up: i64,
    /// Not free, for a reason.
    pub not_ready: i64,
    /// Not heard of: never counted as ready.
    pub unknown: i64,
}

impl AgentCounts {
    /// Counts one agent who is logged in.
    pub fn count(&mut self, state: agent::State) {
        self.logged_in += 1;
        *match state {
            agent::State::Ready => &mut self.ready,
            agent::State::Reserved => &mut self.reserved,
            agent::State::Talking => &mut self.talking,
            agent::State::WrapUp => &mut self.wrap_up,
            agent::State::NotReady => &mut self.not_ready,
            agent::State::Unknown => &mut self.unknown,
        } += 1;
    }

    /// Those who serve or will: breaks and unknowns left out.
    pub fn effective(&self) -> i64 {
        self.ready + self.reserved + self.talking + self.wrap_up
    }
}

/// What every group of calls shows: now, today, and the sliding windows.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Traffic {
    /// Callers in the queue, the ringing included.
    pub waiting: i64,
    /// Of those: ringing at an agent.
    pub ringing: i64,
    /// Callers in conversation or on hold.
    pub in_service: i64,
    /// Of those: on hold.
    pub held: i64,
    /// Since when the one waits who waits longest; screens tick by themselves.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub longest_wait_since: Option<Time>,
    /// Agents now.
    pub agents: AgentCounts,
    /// By what the service level is judged.
    pub goal: Goal,
    /// Since midnight in the tenant's zone.
    pub today: Figures,
    /// Sliding windows, by length: `1m`, `5m`, `15m`, `30m`, `1h`. They move by the minute.
    pub windows: BTreeMap<&'static str, Window>,
    /// How sure today's figures are.
    pub quality: Quality,
}

/// A tenant: the headline figures.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LiveTotals {
    /// Unique within the topic.
    pub key: String,
    /// The tenant.
    pub id: String,
    /// The tenant.
    pub tenant: String,
    /// The name for people.
    pub name: String,
    /// IANA name of the zone whose midnight begins the day.
    pub time_zone: String,
    /// When today began there.
    #[schema(value_type = String, format = DateTime)]
    pub day_start: Time,
    /// Callers in the IVR.
    pub in_ivr: i64,
    /// Open calls of every kind.
    pub open_calls: i64,
    #[serde(flatten)]
    #[schema(inline)]
    /// Now, today, windows.
    pub traffic: Traffic,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LiveQueue {
    /// Unique within the topic.
    pub key: String,
    /// The queue.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// The name for people.
    pub name: String,
    /// The Chinese name; `null`: none is known.
    pub name_zh: Option<String>,
    /// The expected wait of the next caller, milliseconds; `null`: not known.
    pub ewt_ms: Option<i64>,
    /// How many wait at each priority.
    pub waiting_by_priority: BTreeMap<i32, i64>,
    #[serde(flatten)]
    #[schema(inline)]
    /// Now, today, windows.
    pub traffic: Traffic,
}

/// A team.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LiveTeam {
    /// Unique within the topic.
    pub key: String,
    /// The team.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// The name for people.
    pub name: String,
    /// Agents now.
    pub agents: AgentCounts,
    /// Since midnight in the tenant's zone.
    pub today: Figures,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LiveAgent {
    /// Unique within the topic.
    pub key: String,
    /// The agent.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// The name for people.
    pub name: String,
    /// The team.
    pub team: Option<String>,
    /// From which source.
    pub source: String,
    /// `ready`, `not_ready`, `reserved`, `talking`, `wrap_up`, `unknown` or `logged_out`.
    pub state: &'static str,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// Since when logged in.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub logged_in_since: Option<Time>,
    /// The not-ready reason.
    pub reason: Option<String>,
    /// The call that the state belongs to.
    pub call: Option<String>,
    /// The queue that the state belongs to.
    pub queue: Option<String>,
    /// The device.
    pub device: Option<String>,
    /// The queues that the agent works for.
    pub queues: Vec<String>,
    /// Calls answered today.
    pub answered_today: i64,
    /// Conversation today, milliseconds, of calls that are over.
    pub talk_ms_today: i64,
}

/// An open call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LiveCall {
    /// Unique within the topic.
    pub key: String,
    /// The call.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// From which source.
    pub source: String,
    /// `inbound`, `outbound` or `internal`.
    pub direction: &'static str,
    /// `offered`, `ivr`, `waiting`, `ringing`, `talking` or `held`.
    pub stage: &'static str,
    /// Since when it is there.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub offered_at: Time,
    /// The queue it is in, or was answered from.
    pub queue: Option<String>,
    /// The key of that queue's item.
    pub queue_key: Option<String>,
    /// When it entered the queue.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub waiting_since: Option<Time>,
    /// The agent who talks or is rung.
    pub agent: Option<String>,
    /// The caller, masked.
    pub caller: Option<String>,
    /// Higher goes first; vendor scale.
    pub priority: Option<i32>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LiveDevice {
    /// Unique within the topic.
    pub key: String,
    /// The device.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// From which source.
    pub source: String,
    /// `idle`, `ringing`, `in_use`, `held`, `unavailable`, or `unknown` when nobody said, or the source is lost.
    pub state: &'static str,
    /// Whether it can be reached; `null`: nobody said.
    pub registered: Option<bool>,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
}

/// A source: the link to one vendor.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LiveSource {
    /// Unique within the topic.
    pub key: String,
    /// The source.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// The name for people.
    pub name: String,
    /// The adapter kind.
    pub vendor: String,
    /// The vendor's version, in its own words.
    pub version: Option<String>,
    /// `connected`, `silent` (two heartbeats missed), `disconnected`, or `unknown` (a recording says nothing of its link).
    pub state: &'static str,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// Why it is down.
    pub reason: Option<String>,
    /// The last heartbeat.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heartbeat_at: Option<Time>,
    /// Round trip to the vendor, milliseconds.
    pub round_trip_ms: Option<u64>,
    /// For how long we were blind today, milliseconds.
    pub gap_ms_today: i64,
    /// Lines in use and lines there are, by trunk.
    pub trunks: BTreeMap<String, TrunkUse>,
}

/// How busy a trunk is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrunkUse {
    /// Lines in use.
    pub in_use: u32,
    /// Lines there are; `null`: not known.
    pub capacity: Option<u32>,
}

/// Half an hour of a tenant or a queue.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LiveInterval {
    /// Unique within the topic: `queue/sales@2026-11-21T08:00:00.000Z`.
    pub key: String,
    /// `tenant` or `queue`.
    pub by: &'static str,
    /// Which one.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub start: Time,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub end: Time,
    /// How often late or inferred events restated it.
    pub revision: i64,
    #[serde(flatten)]
    #[schema(inline)]
    /// Its figures.
    pub figures: Figures,
    /// How sure they are.
    pub quality: Quality,
}

/// The wire name of a stage.
pub const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Offered => "offered",
        Stage::Ivr => "ivr",
        Stage::Waiting => "waiting",
        Stage::Ringing => "ringing",
        Stage::Talking => "talking",
        Stage::Held => "held",
    }
}

/// The wire name of an agent's state.
pub const fn agent_state(state: Option<agent::State>) -> &'static str {
    match state {
        None => "logged_out",
        Some(agent::State::Ready) => "ready",
        Some(agent::State::NotReady) => "not_ready",
        Some(agent::State::Reserved) => "reserved",
        Some(agent::State::Talking) => "talking",
        Some(agent::State::WrapUp) => "wrap_up",
        Some(agent::State::Unknown) => "unknown",
    }
}
