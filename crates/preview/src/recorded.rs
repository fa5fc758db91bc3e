//! What a period's call records say, in the few words that a rehearsal needs.

use std::sync::Arc;

use model::event::call::{Direction, QueueExit};
use model::{AgentId, QueueId, TenantId, Time};
use stats::call::{Record, Segment};
use store::Reports;
use store::reports::{CallFilter, PAGE_MAX};

use crate::Error;

/// One wish to be served by a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Stay {
    /// When it entered the queue, or was turned away at its door.
    pub entered_at: Time,
    /// The queue.
    pub queue: QueueId,
    /// Who called, where that is known: a token.
    pub caller: Option<Arc<str>>,
    /// Higher goes first; the vendor's scale.
    pub priority: i32,
    /// How long it waited, milliseconds.
    pub waited_ms: i64,
    /// How that ended.
    pub left: Left,
}

/// How a stay ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Left {
    /// An agent answered; absent: nothing is known of the conversation.
    Served(Option<Service>),
    /// The caller gave up.
    Abandoned,
    /// Something else took the call out of the queue.
    Otherwise,
    /// It never entered: the flood controller led it elsewhere.
    Diverted,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// With whom, where that is known.
    pub agent: Option<AgentId>,
    /// From when.
    pub from: Time,
    /// Until when, with the work after it as far as that was recorded.
    pub to: Time,
}

/// A period's stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// In the order of entry.
    pub stays: Vec<Stay>,
    /// From here on they count; those before it fill the queues.
    pub from: Time,
    /// Up to here, exclusive.
    pub to: Time,
}

/// Calls that one preview may hold.
pub const STAYS_MAX: usize = 2_000_000;
/// What was going on when the period began comes from this long before it, milliseconds.
const LEAD_IN_MS: i64 = 2 * 3_600_000;
/// Calls are found by when they were offered, and may queue this much later, milliseconds.
const BEFORE_QUEUE_MS: i64 = 3_600_000;

impl Recorded {
    /// From single stays, in any order.
    pub fn of(mut stays: Vec<Stay>, from: Time, to: Time) -> Recorded {
        stays.sort_by(|a, b| {
            (a.entered_at, &a.queue, &a.caller, a.waited_ms).cmp(&(b.entered_at, &b.queue, &b.caller, b.waited_ms))
        });
        Recorded { stays, from, to }
    }

    /// Reads a tenant's stays between two moments. `told` hears how far it came, 0 to 1, and says whether to go on.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Refused`] for more than [`STAYS_MAX`]; [`Error::CalledOff`].
    pub async fn read(
        store: &dyn Reports,
        tenant: &TenantId,
        from: Time,
        to: Time,
        told: &(dyn Fn(f64) -> bool + Send + Sync),
    ) -> Result<Recorded, Error> {
        let first = from + -(LEAD_IN_MS);
        let filter = CallFilter { tenant: Some(tenant.clone()), ..CallFilter::new(first + -BEFORE_QUEUE_MS, to) };
        let (mut stays, mut after) = (Vec::new(), None);
        loop {
            let page = store.calls(&filter, after.as_ref(), PAGE_MAX).await?;
            for record in &page.calls {
                stays.extend(of_record(record).filter(|stay| stay.entered_at >= first && stay.entered_at < to));
            }
            if stays.len() > STAYS_MAX {
                return Err(Error::refused("to", format!("more than {STAYS_MAX} calls: ask for a shorter period")));
            }
            let Some(next) = page.next else { break };
            let done = next.offered_at.since(first) as f64 / to.since(first).max(1) as f64;
            if !told(done.clamp(0.0, 1.0)) {
                return Err(Error::CalledOff);
            }
            after = Some(next);
        }
        Ok(Recorded::of(stays, from, to))
    }
}

/// The stays of one call.
fn of_record(record: &Record) -> impl Iterator<Item = Stay> + '_ {
    let counts = record.direction == Direction::Inbound && !record.phantom();
    let caller: Option<Arc<str>> =
        record.ani.as_ref().and_then(|number| number.token.as_deref().or(number.digits.as_deref())).map(Arc::from);
    let of_caller = caller.clone();
    let queued = record.segments.iter().filter_map(move |segment| of_segment(segment, of_caller.clone()));
    let turned_away = record.diversions.iter().filter(|d| d.at_gate).filter_map(move |diversion| {
        Some(Stay {
            entered_at: diversion.at,
            queue: diversion.queue.clone()?,
            caller: caller.clone(),
            priority: 0,
            waited_ms: 0,
            left: Left::Diverted,
        })
    });
    queued.chain(turned_away).filter(move |_| counts)
}

fn of_segment(segment: &Segment, caller: Option<Arc<str>>) -> Option<Stay> {
    let entered_at = segment.entered_at();
    let left = match segment.exit? {
        QueueExit::Answered => Left::Served(service(segment)),
        QueueExit::Abandoned | QueueExit::ShortAbandoned => Left::Abandoned,
        _ => Left::Otherwise,
    };
    let by_clock = || segment.exit_at.map_or(0, |exit| exit.since(entered_at));
    Some(Stay {
        entered_at,
        queue: segment.queue.clone()?,
        caller,
        priority: segment.priority.unwrap_or(0),
        waited_ms: segment.wait_ms.unwrap_or_else(by_clock).max(0),
        left,
    })
}

fn service(segment: &Segment) -> Option<Service> {
    let from = segment.answered_at?;
    let talked_ms = segment.talk_ms.map(|talk| talk + segment.hold_ms);
    let ms = talked_ms.or_else(|| Some(segment.released_at?.since(from)))?.max(0);
    let to = segment.wrapped_up_at.unwrap_or(from + ms + segment.wrap_up_ms).max(from + ms);
    // an answer of which neither an end nor a length is known tells nothing of the agent's time
    (ms > 0 || segment.agent.is_some()).then(|| Service { agent: segment.agent.clone(), from, to })
}
