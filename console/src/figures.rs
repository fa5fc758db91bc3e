//! What is so now, folded from `views`: who waits, who serves, what each queue has counted so far.
//!
//! The same frames as the pusher reads, for another end: few numbers of each queue, every second. The rules of reading are those of
//! `store::frame`: the newest version of a key stays, whatever the order of arrival, and a new owner of a partition that has told
//! everything clears what an older one left.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::event::agent::State;
use model::{AgentId, QueueId, SourceId, TenantId, Time};
use policy::fair::Group;
use stats::live::{Agent, LastServed, Members, Source, View};
use stats::{Dim, Few, Field, Row, RowKey};
use store::Part;
use store::frame::{self, Body, Frame, Version};

/// A queue of a tenant.
pub type Key = (TenantId, QueueId);

/// What a queue has counted. Only differences mean anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Calls that entered the queue.
    pub offered: i64,
    /// Calls that were answered.
    pub answered: i64,
    /// Callers who gave up, the quick ones too.
    pub abandoned: i64,
    /// Calls that were led elsewhere before they entered.
    pub diverted: i64,
    /// Waits of all who left, milliseconds.
    pub waited_ms: i64,
    /// Calls whose talk is over.
    pub completed: i64,
    /// Their talk, hold and after-call work, milliseconds.
    pub handled_ms: i64,
}

impl Counts {
    fn of(row: &Row) -> Counts {
        let get = |field| row.event.get(field);
        Counts {
            offered: get(Field::Offered),
            answered: get(Field::Answered),
            abandoned: get(Field::Abandoned) + get(Field::ShortAbandoned),
            diverted: get(Field::DivertedAtGate),
            waited_ms: get(Field::WaitAnsweredMs) + get(Field::WaitAbandonedMs) + get(Field::WaitOtherMs),
            completed: get(Field::Completed),
            handled_ms: get(Field::TalkMs) + get(Field::HoldMs) + get(Field::WrapUpMs),
        }
    }

    /// Adds others.
    pub fn plus(&mut self, other: &Counts) {
        self.times(other, 1);
    }

    /// What grew since an earlier moment; nothing shrinks.
    #[must_use]
    pub fn since(&self, earlier: &Counts) -> Counts {
        let mut grown = *self;
        grown.times(earlier, -1);
        for number in [
            &mut grown.offered,
            &mut grown.answered,
            &mut grown.abandoned,
            &mut grown.diverted,
            &mut grown.waited_ms,
            &mut grown.completed,
            &mut grown.handled_ms,
        ] {
            *number = (*number).max(0);
        }
        grown
    }

    fn times(&mut self, other: &Counts, sign: i64) {
        self.offered += sign * other.offered;
        self.answered += sign * other.answered;
        self.abandoned += sign * other.abandoned;
        self.diverted += sign * other.diverted;
        self.waited_ms += sign * other.waited_ms;
        self.completed += sign * other.completed;
        self.handled_ms += sign * other.handled_ms;
    }
}

/// A queue now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queued {
    /// Callers who wait.
    pub waiting: i64,
    /// Callers who are served, holds included.
    pub in_service: i64,
    /// Agents who are ready for it.
    pub free: usize,
    /// Whether it is known who works here at all.
    pub staffed: bool,
    /// Mean handling time of the last hour, seconds.
    pub service_s: Option<f64>,
    /// The last caller who entered service.
    pub last_served: Option<LastServed>,
    /// What it has counted.
    pub counts: Counts,
}

/// Everything now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// All that the journal took before this is in the figures; `None`: nothing came yet.
    pub fresh_at: Option<Time>,
    /// The links to phone systems, and since when nothing can be believed of one that is down.
    pub links: BTreeMap<(TenantId, SourceId), Option<Time>>,
    /// The queues, in order.
    pub queues: BTreeMap<Key, Queued>,
    /// Agents who can serve, by the queues that are open to them: places in the order of `queues`.
    pub groups: Vec<Group>,
}

/// How far back rows are kept, in milliseconds: handling times of the last hour, and what comes late.
const KEPT_MS: i64 = 7_200_000;
/// The handling time is of so long, milliseconds.
const RECENT_MS: i64 = 3_600_000;
/// Of fewer calls no handling time is told.
const COMPLETED_MIN: i64 = 10;
/// The most queues that are evaluated, those heard of first: whoever makes names up must not take all time and memory.
pub const QUEUES_MAX: usize = 1_000;

#[derive(Debug, Default)]
struct Sum {
    total: Counts,
    recent: Few<Time, Counts>,
}

/// The fold of `views`.
#[derive(Debug, Default)]
pub struct Figures {
    views: HashMap<Arc<str>, Few<Part, (Version, View)>>,
    rows: HashMap<RowKey, Few<Part, (Version, Counts)>>,
    sums: BTreeMap<Key, Sum>,
    /// Epoch, the moment up to which all is folded, and whether the owner has told everything.
    folds: BTreeMap<Part, (u64, Time, bool)>,
    horizon: Time,
    malformed: u64,
}

impl Figures {
    /// Takes in one record of `views`.
    pub fn take(&mut self, key: &[u8], value: &[u8]) {
        let Some((view, part)) = std::str::from_utf8(key).ok().and_then(frame::split) else {
            self.malformed += 1;
            return;
        };
        // calls and devices are most of the stream, and nothing is decided by a single one
        if view.starts_with("call/") || view.starts_with("device/") || view.starts_with(frame::DETAILS_VIEW) {
            return;
        }
        if value.is_empty() {
            self.remove(view, &part);
            return;
        }
        let Ok(frame) = Frame::from_json(value) else {
            self.malformed += 1;
            return;
        };
        match frame.body {
            Body::View(body) => self.put(view, part, frame.version, body),
            Body::Row(row) if row.key.dim == Dim::Queue => self.row(row.key, part, frame.version, &row.row),
            Body::Fold(fold) if view == frame::FOLD_VIEW => {
                self.folded(part, frame.version.epoch, frame.at, fold.complete);
            }
            Body::Row(_) | Body::Fold(_) | Body::Call(_) => {}
        }
    }

    fn put(&mut self, view: &str, part: Part, version: Version, body: View) {
        let parts = match self.views.get_mut(view) {
            Some(parts) => parts,
            None => self.views.entry(Arc::from(view)).or_default(),
        };
        if parts.get(&part).is_none_or(|(held, _)| *held <= version) {
            parts.insert(part, (version, body));
        }
    }

    fn remove(&mut self, view: &str, part: &Part) {
        if let Some(parts) = self.views.get_mut(view) {
            parts.remove(part);
            if parts.is_empty() {
                self.views.remove(view);
            }
        }
    }

    fn row(&mut self, key: RowKey, part: Part, version: Version, row: &Row) {
        if key.start < self.horizon {
            return;
        }
        let queue = (key.tenant.clone(), QueueId(Arc::clone(&key.id)));
        if !self.sums.contains_key(&queue) && self.sums.len() >= QUEUES_MAX {
            return;
        }
        let start = key.start;
        let parts = self.rows.entry(key).or_default();
        let held = parts.get(&part).copied();
        if held.is_some_and(|(held, _)| held > version) {
            return;
        }
        let counts = Counts::of(row);
        parts.insert(part, (version, counts));
        let sum = self.sums.entry(queue).or_default();
        for sum in [&mut sum.total, sum.recent.or_default(start)] {
            sum.plus(&counts);
            sum.times(&held.map(|(_, counts)| counts).unwrap_or_default(), -1);
        }
    }

    fn folded(&mut self, part: Part, epoch: u64, at: Time, complete: bool) {
        let held = self.folds.get(&part).copied();
        if held.is_some_and(|(held, held_at, _)| (held, held_at) > (epoch, at)) {
            return;
        }
        let fresh = held.is_none_or(|(held, _, was_complete)| held < epoch || !was_complete);
        self.folds.insert(part.clone(), (epoch, at, complete));
        if complete && fresh {
            for parts in self.views.values_mut() {
                if parts.get(&part).is_some_and(|(version, _)| version.epoch < epoch) {
                    parts.remove(&part);
                }
            }
            self.views.retain(|_, parts| !parts.is_empty());
        }
    }

    /// How many records could not be read.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Queues that are known, by name or by their calls.
    pub fn queues(&self, tenant: &TenantId) -> BTreeSet<QueueId> {
        let look = |view: &View| match view {
            View::Queue(queue) if queue.tenant == *tenant => Some(queue.queue.clone()),
            View::Members(members) if members.tenant == *tenant => Some(members.queue.clone()),
            _ => None,
        };
        let viewed = self.views.values().flat_map(Few::values).filter_map(|(_, view)| look(view));
        let counted = self.sums.keys().filter(|(whose, _)| whose == tenant).map(|(_, queue)| queue.clone());
        viewed.chain(counted).collect()
    }

    /// Everything as it is at `now`; forgets rows that are too old to matter.
    pub fn look(&mut self, now: Time) -> Look {
        self.forget(now);
        let mut look = Look { fresh_at: self.folds.values().map(|(_, at, _)| *at).min(), ..Look::default() };
        for (key, sum) in &self.sums {
            let queue = look.queues.entry(key.clone()).or_default();
            queue.counts = sum.total;
            queue.service_s = service_s(sum, now);
        }
        let (mut members, mut agents, mut sources) = (Vec::new(), HashMap::new(), HashMap::new());
        for parts in self.views.values() {
            let Some(view) = merged(parts) else { continue };
            match view {
                View::Queue(now) => {
                    let key = (now.tenant.clone(), now.queue.clone());
                    if look.queues.len() < QUEUES_MAX || look.queues.contains_key(&key) {
                        let queue = look.queues.entry(key).or_default();
                        (queue.waiting, queue.in_service) = (now.waiting.max(0), (now.talking + now.held).max(0));
                        queue.last_served = now.last_served;
                    }
                }
                View::Members(view) => members.push(view),
                View::Agent(agent) => _ = agents.insert(agent.agent.clone(), agent),
                View::Source(source) => {
                    look.links.insert((source.tenant.clone(), source.source.clone()), source.lost_since(now));
                    sources.insert(source.source.clone(), source);
                }
                View::Call(_) | View::Device(_) => {}
            }
        }
        staff(&mut look, &members, &agents, &sources, now);
        look
    }

    fn forget(&mut self, now: Time) {
        let horizon = now + -KEPT_MS;
        if horizon - self.horizon < 60_000 {
            return;
        }
        self.horizon = horizon;
        self.rows.retain(|key, _| key.start >= horizon);
        for sum in self.sums.values_mut() {
            sum.recent.forget_before(&horizon);
        }
    }
}

fn merged(parts: &Few<Part, (Version, View)>) -> Option<View> {
    let mut views = parts.values().map(|(_, view)| view);
    let mut merged = views.next()?.clone();
    views.for_each(|view| merged.merge(view));
    Some(merged)
}

fn service_s(sum: &Sum, now: Time) -> Option<f64> {
    let mut hour = Counts::default();
    sum.recent.since(&(now + -RECENT_MS)).for_each(|(_, counts)| hour.plus(counts));
    // the first that are over are the short ones; and who still talks is no handled call
    let told = hour.completed >= COMPLETED_MIN && hour.handled_ms > 0;
    told.then(|| hour.handled_ms as f64 / 1_000.0 / hour.completed as f64)
}

/// Who can serve which queues. Never who is not ready or unknown, and nobody who is paused there.
fn staff(
    look: &mut Look,
    members: &[Members],
    agents: &HashMap<AgentId, Agent>,
    sources: &HashMap<SourceId, Source>,
    now: Time,
) {
    for view in members {
        let key = (view.tenant.clone(), view.queue.clone());
        if look.queues.len() < QUEUES_MAX || look.queues.contains_key(&key) {
            look.queues.entry(key).or_default().staffed = true;
        }
    }
    let places: HashMap<Key, usize> = look.queues.keys().cloned().enumerate().map(|(at, key)| (key, at)).collect();
    let mut open: HashMap<&AgentId, BTreeSet<usize>> = HashMap::new();
    for view in members {
        let key = (view.tenant.clone(), view.queue.clone());
        let Some(place) = places.get(&key) else { continue };
        for (id, _) in view.members.iter().filter(|(_, member)| !member.paused) {
            let Some(agent) = agents.get(id) else { continue };
            let state = agent.state_at(sources.get(&agent.source), now).map(|(state, _)| state);
            if let Some(State::Ready | State::Reserved | State::Talking | State::WrapUp) = state {
                open.entry(id).or_default().insert(*place);
                if state == Some(State::Ready)
                    && let Some(queue) = look.queues.get_mut(&key)
                {
                    queue.free += 1;
                }
            }
        }
    }
    let mut groups: BTreeMap<BTreeSet<usize>, f64> = BTreeMap::new();
    open.into_values().for_each(|queues| *groups.entry(queues).or_default() += 1.0);
    look.groups =
        groups.into_iter().map(|(queues, agents)| Group { agents, queues: queues.into_iter().collect() }).collect();
}

#[cfg(test)]
#[path = "figures/tests.rs"]
mod tests;
