//! One call: its events in order, and what they come to.
//!
//! **Invariant:** a [`Record`] is a pure function of the set of its events: order of arrival and repetition change nothing.
//! Start at [`Record::apply`]; the transitions are in `queueing` and `talking`.

mod facts;
mod order;
mod queueing;
mod stored;
mod talking;

use model::event::call::{Direction, Party};
use model::{CallId, EventId, Number, Quality, SourceId, TenantId, Time, TrunkId};
use serde::Serialize;
use std::collections::BTreeMap;

pub use facts::{Alert, AlertEnd, Csat, Diversion, Handover, Hold, Segment, Visit, VisitEnd};
pub use order::Entry;
pub use stored::Error;

/// Events of one call beyond this are dropped and counted in [`Record::dropped`].
pub const EVENTS_MAX: usize = 1_000;

/// The longest length that is believed when it is told, in milliseconds: a year. The receiver sets longer ones aside; what was
/// stored all the same must not make a sum overflow.
const TOLD_MS_MAX: u64 = 366 * 86_400_000;

/// A length that was told.
fn told_ms(ms: u64) -> i64 {
    ms.min(TOLD_MS_MAX).cast_signed()
}

/// One call, whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Which call.
    pub call: CallId,
    /// The source that first told of it (in the order of events).
    pub source: SourceId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which way it goes.
    pub direction: Direction,
    /// The calling number, sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ani: Option<Number>,
    /// The called number, sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnis: Option<Number>,
    /// The trunk or call service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<TrunkId>,
    /// The agent who started it (outbound, internal).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<model::AgentId>,
    /// When it began: its `offered`, else its first event.
    pub offered_at: Time,
    /// Whether its `offered` was seen.
    pub offer_seen: bool,
    /// When it ended; absent while it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Who ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<Party>,
    /// The vendor's cause in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Q.850 cause code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q850: Option<u16>,
    /// The call it went on as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<CallId>,
    /// Whether it is over.
    pub closed: bool,
    /// Its visits of IVR nodes, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ivr: Vec<Visit>,
    /// Its stays in queues and with agents, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Segment>,
    /// Decisions of the flood controller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub diversions: Vec<Diversion>,
    /// Where its recordings are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<String>,
    /// What the customer said of it; the last survey counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csat: Option<Csat>,
    /// Business data; the last value of a key counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attached: BTreeMap<String, String>,
    /// Events that were concluded, not seen.
    pub inferred: u32,
    /// Events read from a snapshot.
    pub snapshot: u32,
    /// Events that came late.
    pub late: u32,
    /// Events that fitted no state and changed nothing.
    pub ignored: u32,
    /// Events beyond [`EVENTS_MAX`].
    pub dropped: u32,
    /// Its events, in order. Served apart, as envelopes: [`Record::envelopes`].
    #[serde(skip)]
    timeline: Vec<Entry>,
    /// The marks of their ids, in the same order: all that is looked at of a call's events when one more comes.
    #[serde(skip)]
    marks: Vec<u64>,
    /// What the fold has in hand between two events.
    #[serde(skip)]
    work: Work,
}

/// What the fold has in hand between two events; a function of the events like everything else.
#[derive(Clone, Debug, Default, PartialEq)]
struct Work {
    /// Alerts that no segment has taken yet.
    alerts: Vec<Alert>,
    /// Handed on, and not yet arrived.
    handover: Option<(model::event::call::TransferKind, Time)>,
    /// A third party is spoken to: two agents may talk at once.
    consulting: bool,
    /// Which event ended the call, and whether that was only concluded.
    end: Option<(EventId, bool)>,
}

impl Record {
    /// A call of which nothing is known yet.
    pub fn new(call: CallId, source: SourceId, tenant: TenantId) -> Record {
        Record {
            call,
            source,
            tenant,
            direction: Direction::Inbound,
            ani: None,
            dnis: None,
            trunk: None,
            agent: None,
            offered_at: Time(0),
            offer_seen: false,
            ended_at: None,
            ended_by: None,
            cause: None,
            q850: None,
            merged_into: None,
            closed: false,
            ivr: Vec::new(),
            segments: Vec::new(),
            diversions: Vec::new(),
            recordings: Vec::new(),
            csat: None,
            attached: BTreeMap::new(),
            inferred: 0,
            snapshot: 0,
            late: 0,
            ignored: 0,
            dropped: 0,
            timeline: Vec::new(),
            marks: Vec::new(),
            work: Work::default(),
        }
    }

    /// The events, in order.
    pub fn timeline(&self) -> &[Entry] {
        &self.timeline
    }

    /// Whether the vendor called it a phantom: then it is counted as one, and nothing else of it counts.
    pub fn phantom(&self) -> bool {
        self.cause.as_deref() == Some("phantom")
    }

    /// The segments that wait or ring now.
    pub fn waiting(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.waiting())
    }

    /// The segments in conversation or on hold now.
    pub fn talking(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|s| s.talking())
    }

    /// When something last happened to it.
    pub fn last_at(&self) -> Time {
        self.timeline.last().map_or(self.offered_at, |e| e.time)
    }

    /// Most calls have one segment, which is large: a vector that grows by itself begins with room for four.
    fn put_segment(&mut self, segment: Segment) {
        if self.segments.is_empty() {
            self.segments.reserve_exact(1);
        }
        self.segments.push(segment);
    }

    /// Gives room back that was for events to come: the call is over, and kept for late ones only.
    pub(crate) fn shrink(&mut self) {
        self.timeline.shrink_to_fit();
        self.marks.shrink_to_fit();
    }

    fn mark(&mut self, quality: Option<Quality>, n: i32) {
        let counter = match quality {
            None => return,
            Some(Quality::Inferred) => &mut self.inferred,
            Some(Quality::Snapshot) => &mut self.snapshot,
            Some(Quality::Late) => &mut self.late,
        };
        *counter = counter.saturating_add_signed(n);
    }
}
