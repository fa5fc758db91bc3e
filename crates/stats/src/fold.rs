//! The fold of one journal partition: events in, changes out. Who owns it loads, stores and publishes.
//!
//! ```text
//! loop { each event: apply it if holds(subject), else it waits → needs(waiting) → load from the store → apply them
//!        now and then: take_changes() → add rows, publish views; what is taken seldom is counted seldom
//!        and less often: store call(id)… of the changed calls with rows and positions, then evict_closed() }
//! ```
//!
//! **Invariant:** [`Changes::rows`] are differences. Summed over all changes of a partition since its beginning they are the
//! partition's rows; they are a function of the partition's events.

use std::collections::VecDeque;

use model::{AgentId, CallId, DeviceId, Envelope, QueueId, SourceId, Subject, TenantId, Time};

use crate::agent::Change;
use crate::call::Record;
use crate::contribution::{Deeds, Mark};
use crate::key::{Grains, RowKey};
use crate::live::{self, OPEN_MS_MAX, View};
use crate::rows::{Map, Rows};
use crate::tally::Row;
use crate::track::Piece;
use crate::{agent, contribution, device, queue, source};

mod gauge;

/// The form of the fold. It grows when the same events come to other rows or records: then stored rows must be rebuilt.
pub const VERSION: u32 = 1;

/// How a partition is folded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The lengths of base rows.
    pub grains: Grains,
    /// So many closed calls stay in memory for their late events; others are asked for again.
    pub closed_kept: usize,
    /// So many open calls stay in memory; of more, [`PartitionFold::retire_surplus`] forgets those that were silent longest.
    pub open_kept: usize,
    /// So many agents are followed, so many devices, queues and sources. What is said of further ones is refused: somebody
    /// makes names up. Their calls count all the same.
    pub names_kept: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { grains: Grains::default(), closed_kept: 10_000, open_kept: 50_000, names_kept: 50_000 }
    }
}

/// What changed since the last [`PartitionFold::take_changes`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Calls to store; read them by [`PartitionFold::call`].
    pub calls: Vec<CallId>,
    /// Of those, the ones that are over: closed just now, or restated after.
    pub closed: Vec<CallId>,
    /// What to add to the rows, by key.
    pub rows: Vec<(RowKey, Row)>,
    /// Agents to store; read them by [`PartitionFold::agent`].
    pub agents: Vec<AgentId>,
    /// Devices to store; read them by [`PartitionFold::device`].
    pub devices: Vec<DeviceId>,
    /// Queues to store; read them by [`PartitionFold::queue`].
    pub queues: Vec<QueueId>,
    /// Sources to store; read them by [`PartitionFold::source`].
    pub sources: Vec<SourceId>,
    /// Live views by key; `None`: it is gone.
    pub views: Vec<(String, Option<View>)>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
            && self.rows.is_empty()
            && self.views.is_empty()
            && self.agents.is_empty()
            && self.devices.is_empty()
            && self.queues.is_empty()
            && self.sources.is_empty()
    }
}

/// The fold of one journal partition.
#[derive(Debug)]
pub struct PartitionFold {
    settings: Settings,
    rows: Rows,
    /// Boxed: a growing map would move every record.
    calls: Map<CallId, Box<Held>>,
    dirty_calls: Vec<CallId>,
    /// What each of them counted for before, up to the mark beside it.
    before: Deeds,
    marks: Vec<Mark>,
    /// What one call counts for now; kept for its memory.
    now: Deeds,
    closed: VecDeque<CallId>,
    gauges: gauge::Gauges,
    agents: Map<AgentId, Kept<agent::State>>,
    devices: Map<DeviceId, Kept<device::State>>,
    queues: Map<QueueId, Kept<queue::State>>,
    sources: Map<SourceId, Kept<source::State>>,
    /// Agents, devices, queues and sources that changed, each once.
    dirty: Vec<Subject>,
    /// Whether views are told with the changes.
    tells: bool,
}

/// An agent, a device, a queue or a source in memory.
#[derive(Debug)]
struct Kept<S> {
    state: S,
    /// Whether it stands among those that changed.
    dirty: bool,
}

impl<S> Kept<S> {
    fn new(state: S) -> Kept<S> {
        Kept { state, dirty: false }
    }

    /// Folds an event in; whether it is the first change since changes were taken.
    fn change(&mut self, fold: impl FnOnce(&mut S) -> Change) -> (Change, bool) {
        let change = fold(&mut self.state);
        let first = change != Change::Unchanged && !std::mem::replace(&mut self.dirty, true);
        (change, first)
    }
}

/// Folds an event into the state of one thing; whether it is its first change since changes were taken. `None`: it would be the
/// first word of a thing beyond the `most` that are followed.
fn change<K: Clone + Eq + std::hash::Hash, S>(
    all: &mut Map<K, Kept<S>>,
    id: &K,
    most: usize,
    new: impl FnOnce() -> S,
    fold: impl FnOnce(&mut S) -> Change,
) -> Option<(Change, bool)> {
    if let Some(kept) = all.get_mut(id) {
        return Some(kept.change(fold));
    }
    (all.len() < most).then(|| all.entry(id.clone()).or_insert_with(|| Kept::new(new())).change(fold))
}

/// Notes that the changes of one thing are taken.
fn clean<K: Eq + std::hash::Hash, S>(all: &mut Map<K, Kept<S>>, id: K) -> K {
    if let Some(kept) = all.get_mut(&id) {
        kept.dirty = false;
    }
    id
}

/// A call in memory.
#[derive(Debug)]
struct Held {
    record: Record,
    /// What it counted for is written down, to be held against what it counts for when changes are taken.
    dirty: bool,
    /// Whether a live view of it was given out.
    shown: bool,
    /// Whether it stands in the line of closed calls.
    lined: bool,
    gauged: Option<gauge::Reading>,
}

impl Held {
    fn new(record: Record) -> Held {
        Held { record, dirty: false, shown: false, lined: false, gauged: None }
    }
}

impl PartitionFold {
    /// Nothing folded yet.
    pub fn new(settings: Settings) -> PartitionFold {
        PartitionFold {
            settings,
            rows: Rows::new(settings.grains),
            calls: Map::default(),
            dirty_calls: Vec::new(),
            before: Deeds::default(),
            marks: Vec::new(),
            now: Deeds::default(),
            closed: VecDeque::new(),
            gauges: gauge::Gauges::default(),
            agents: Map::default(),
            devices: Map::default(),
            queues: Map::default(),
            sources: Map::default(),
            dirty: Vec::new(),
            tells: true,
        }
    }

    /// The same fold telling no views with its changes: nobody looks while it catches up, and an open call has a new view with
    /// every event. [`PartitionFold::views`] has them all at the end.
    #[must_use]
    pub fn untold(mut self) -> PartitionFold {
        self.tells = false;
        self
    }

    /// Whether events of this subject can be folded in without a look into the store: all but those of calls not in memory.
    pub fn holds(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Call(id) => self.calls.contains_key(id),
            _ => true,
        }
    }

    /// Calls that `batch` speaks of and that are not in memory, each once: load those that the store has before applying.
    pub fn needs<'a>(&self, batch: impl IntoIterator<Item = &'a Envelope>) -> Vec<CallId> {
        let mut ids: Vec<CallId> = Vec::new();
        let mut last: Option<&CallId> = None;
        for e in batch {
            let Subject::Call(id) = &e.subject else { continue };
            if last != Some(id) && !self.calls.contains_key(id) {
                ids.push(id.clone());
            }
            last = Some(id);
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Takes stored calls back: at start or takeover the open ones, later those that [`PartitionFold::needs`] named.
    /// A call that is in memory already stays as it is.
    pub fn load_calls(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            let id = record.call.clone();
            if self.calls.contains_key(&id) {
                continue;
            }
            let mut held = Box::new(Held::new(record));
            held.shown = !held.record.closed;
            held.gauged = self.gauges.replace(None, &held.record);
            if held.record.closed {
                held.lined = true;
                self.closed.push_back(id.clone());
            }
            self.calls.insert(id, held);
        }
        self.gauges.forget_touched(self.settings.names_kept); // what was loaded is not news
    }

    /// Takes stored agents back, at start or takeover.
    pub fn load_agents(&mut self, states: impl IntoIterator<Item = agent::State>) {
        self.agents.extend(states.into_iter().map(|s| (s.agent.clone(), Kept::new(s))));
    }

    /// Takes stored devices back, at start or takeover.
    pub fn load_devices(&mut self, states: impl IntoIterator<Item = device::State>) {
        self.devices.extend(states.into_iter().map(|s| (s.device.clone(), Kept::new(s))));
    }

    /// Takes stored queues back, at start or takeover.
    pub fn load_queues(&mut self, states: impl IntoIterator<Item = queue::State>) {
        self.queues.extend(states.into_iter().map(|s| (s.queue.clone(), Kept::new(s))));
    }

    /// Takes stored sources back, at start or takeover.
    pub fn load_sources(&mut self, states: impl IntoIterator<Item = source::State>) {
        self.sources.extend(states.into_iter().map(|s| (s.source.clone(), Kept::new(s))));
    }

    /// Folds one event in. What the store has of its call must have been loaded before. [`Change::Refused`]: it speaks of a
    /// thing beyond [`Settings::names_kept`], or is one event too many of its call.
    pub fn apply(&mut self, e: Envelope) -> Change {
        let most = self.settings.names_kept;
        let tenant = || e.tenant.clone().unwrap_or_else(|| TenantId::new("default"));
        let rows = &mut self.rows;
        let changed = match &e.subject {
            Subject::Call(_) => return self.apply_call(e),
            Subject::Agent(id) => {
                let new = || agent::State::new(id.clone(), e.source.clone(), tenant());
                change(&mut self.agents, id, most, new, |state| state.apply(&e, rows))
            }
            Subject::Device(id) => {
                let new = || device::State::new(id.clone(), e.source.clone(), tenant());
                change(&mut self.devices, id, most, new, |state| state.apply(&e, rows))
            }
            Subject::Queue(id) => {
                let new = || queue::State::new(id.clone(), e.source.clone(), tenant());
                change(&mut self.queues, id, most, new, |state| state.apply(&e))
            }
            Subject::Source(id) => {
                let new = || source::State::new(id.clone(), tenant());
                change(&mut self.sources, id, most, new, |state| state.apply(&e, rows))
            }
        };
        let Some((change, first)) = changed else { return Change::Refused };
        if first {
            self.dirty.push(e.subject);
        }
        change
    }

    #[inline(always)] // an event is large: each call on its way would copy it
    fn apply_call(&mut self, e: Envelope) -> Change {
        let Subject::Call(id) = &e.subject else { return Change::Unchanged };
        let held = match self.calls.get_mut(id) {
            Some(held) => held,
            None => {
                let tenant = e.tenant.clone().unwrap_or_else(|| TenantId::new("default"));
                let held = Box::new(Held::new(Record::new(id.clone(), e.source.clone(), tenant)));
                self.calls.entry(id.clone()).or_insert(held)
            }
        };
        if held.record.knows(&e.id) {
            return Change::Unchanged;
        }
        if !held.dirty {
            held.dirty = true;
            contribution::write_down(&held.record, &mut self.rows, &mut self.before);
            self.marks.push(self.before.mark());
            self.dirty_calls.push(id.clone());
        }
        held.record.apply_new(e)
    }

    /// What changed since the last time.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = Changes { calls: std::mem::take(&mut self.dirty_calls), ..Changes::default() };
        let mut from = Mark::default();
        for (id, to) in changes.calls.iter().zip(self.marks.drain(..)) {
            let from = std::mem::replace(&mut from, to);
            let Some(held) = self.calls.get_mut(id) else { continue };
            held.dirty = false;
            self.now.clear();
            contribution::write_down(&held.record, &mut self.rows, &mut self.now);
            self.before.replace(from, to, &self.now, &mut self.rows);
            held.gauged = self.gauges.replace(held.gauged.take(), &held.record);
            if held.record.closed {
                changes.closed.push(id.clone());
                if std::mem::take(&mut held.shown) && self.tells {
                    changes.views.push((live::key("call/", id.as_str()), None));
                }
                if !std::mem::replace(&mut held.lined, true) {
                    held.record.shrink();
                    self.closed.push_back(id.clone());
                }
            } else if let Some(view) = self.tells.then(|| held.record.live()).flatten() {
                held.shown = true;
                let view = View::Call(view);
                changes.views.push((view.key(), Some(view)));
            }
        }
        if self.tells {
            changes.views.extend(self.gauges.take_touched(self.settings.names_kept));
        } else {
            self.gauges.forget_touched(self.settings.names_kept);
        }
        self.take_others(&mut changes);
        self.before.clear();
        changes.rows = self.rows.take();
        changes
    }

    fn take_others(&mut self, changes: &mut Changes) {
        for subject in std::mem::take(&mut self.dirty) {
            if let Some(view) = self.tells.then(|| self.view_of(&subject)).flatten() {
                changes.views.push((view.key(), Some(view)));
            }
            match subject {
                Subject::Agent(id) => changes.agents.push(clean(&mut self.agents, id)),
                Subject::Device(id) => changes.devices.push(clean(&mut self.devices, id)),
                Subject::Queue(id) => changes.queues.push(clean(&mut self.queues, id)),
                Subject::Source(id) => changes.sources.push(clean(&mut self.sources, id)),
                Subject::Call(_) => {}
            }
        }
    }

    fn view_of(&self, subject: &Subject) -> Option<View> {
        match subject {
            Subject::Call(id) => self.calls.get(id)?.record.live().map(View::Call),
            Subject::Agent(id) => self.agents.get(id).map(|kept| &kept.state).map(|s| View::Agent(s.live())),
            Subject::Device(id) => self.devices.get(id).map(|kept| &kept.state).map(|s| View::Device(s.live())),
            Subject::Queue(id) => self.queues.get(id).map(|kept| &kept.state).map(|s| View::Members(s.live())),
            Subject::Source(id) => self.sources.get(id).map(|kept| &kept.state).map(|s| View::Source(s.live())),
        }
    }

    /// Every live view of this partition: at start or takeover, because a compacted stream may have been lost.
    pub fn views(&self) -> Vec<View> {
        let calls = self.calls.values().filter_map(|h| h.record.live()).map(View::Call);
        let others = (self.agents.values().map(|kept| &kept.state).map(|s| View::Agent(s.live())))
            .chain(self.devices.values().map(|kept| &kept.state).map(|s| View::Device(s.live())))
            .chain(self.queues.values().map(|kept| &kept.state).map(|s| View::Members(s.live())))
            .chain(self.sources.values().map(|kept| &kept.state).map(|s| View::Source(s.live())));
        calls.chain(self.gauges.all()).chain(others).collect()
    }

    /// Drops closed calls beyond [`Settings::closed_kept`], oldest first: call it after they were stored. How many.
    pub fn evict_closed(&mut self) -> usize {
        let mut gone = 0;
        for _ in 0..self.closed.len().saturating_sub(self.settings.closed_kept) {
            let Some(id) = self.closed.pop_front() else { break };
            match self.calls.get_mut(&id) {
                Some(held) if held.dirty => self.closed.push_back(id),
                Some(held) if !held.record.closed => held.lined = false, // it came back to life
                Some(_) => {
                    self.calls.remove(&id);
                    gone += 1;
                }
                None => {}
            }
        }
        gone
    }

    /// Forgets open calls of which nothing was heard for [`crate::live::OPEN_MS_MAX`] before `as_of`: a lost hang-up must not hold
    /// a place in a queue for ever. Gives the views to publish. Call it now and then, after changes were taken and stored;
    /// an event that comes after all finds the call by [`PartitionFold::needs`]. Stored rows do not change.
    pub fn retire_stale(&mut self, as_of: Time) -> Vec<(String, Option<View>)> {
        let stale = |h: &Held| !h.dirty && !h.record.closed && as_of.since(h.record.last_at()) > OPEN_MS_MAX;
        let ids: Vec<CallId> = self.calls.iter().filter(|(_, h)| stale(h)).map(|(id, _)| id.clone()).collect();
        self.retire(&ids)
    }

    /// Forgets the open calls that were silent longest, when there are more than [`Settings::open_kept`]: somebody opens calls and
    /// never ends them. As [`PartitionFold::retire_stale`]; also says which, a tenth more than must be, so that it is seldom.
    pub fn retire_surplus(&mut self) -> (Vec<CallId>, Vec<(String, Option<View>)>) {
        let open = self.calls.len().saturating_sub(self.closed.len());
        if open <= self.settings.open_kept {
            return (Vec::new(), Vec::new());
        }
        let open = self.calls.iter().filter(|(_, h)| !h.dirty && !h.record.closed);
        let mut open: Vec<(Time, CallId)> = open.map(|(id, h)| (h.record.last_at(), id.clone())).collect();
        open.sort_unstable();
        let surplus = open.len().saturating_sub(self.settings.open_kept - self.settings.open_kept / 10);
        let ids: Vec<CallId> = open.into_iter().take(surplus).map(|(_, id)| id).collect();
        let views = self.retire(&ids);
        (ids, views)
    }

    fn retire(&mut self, ids: &[CallId]) -> Vec<(String, Option<View>)> {
        let mut views = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(held) = self.calls.remove(id) else { continue };
            if let Some(reading) = &held.gauged {
                self.gauges.retract(&held.record, reading);
            }
            views.push((live::key("call/", id.as_str()), None));
        }
        views.extend(self.gauges.take_touched(self.settings.names_kept));
        views
    }

    /// A call in memory.
    pub fn call(&self, id: &CallId) -> Option<&Record> {
        self.calls.get(id).map(|h| &h.record)
    }

    /// The calls in memory, the closed ones that linger included.
    pub fn calls(&self) -> impl Iterator<Item = &Record> {
        self.calls.values().map(|h| &h.record)
    }

    /// An agent.
    pub fn agent(&self, id: &AgentId) -> Option<&agent::State> {
        self.agents.get(id).map(|kept| &kept.state)
    }

    /// A device.
    pub fn device(&self, id: &DeviceId) -> Option<&device::State> {
        self.devices.get(id).map(|kept| &kept.state)
    }

    /// What the store is to keep of the past of an agent or a device beside its state, and does not yet.
    pub fn take_past(&mut self, subject: &Subject) -> Vec<Piece> {
        match subject {
            Subject::Agent(id) => self.agents.get_mut(id).map(|kept| kept.state.take_past()).unwrap_or_default(),
            Subject::Device(id) => self.devices.get_mut(id).map(|kept| kept.state.take_past()).unwrap_or_default(),
            Subject::Call(_) | Subject::Queue(_) | Subject::Source(_) => Vec::new(),
        }
    }

    /// A queue.
    pub fn queue(&self, id: &QueueId) -> Option<&queue::State> {
        self.queues.get(id).map(|kept| &kept.state)
    }

    /// A source.
    pub fn source(&self, id: &SourceId) -> Option<&source::State> {
        self.sources.get(id).map(|kept| &kept.state)
    }
}
