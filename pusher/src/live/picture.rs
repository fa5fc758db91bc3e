//! The picture: what the frames say, by kind of thing, and which items have to be painted again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{AgentId, Directory, QueueId, SourceId, TeamId, TenantId, Time};
use stats::Dim;
use stats::live::{Agent, Call, Device, Members, Queue, Source, Stage, View};

use super::parts::Parts;
use super::sums::{Series, Sums};

/// A queue of a tenant.
pub type QueueKey = (TenantId, QueueId);

/// What has to be painted again.
#[derive(Debug, Default)]
pub struct Dirty {
    /// Tenants.
    pub tenants: BTreeSet<TenantId>,
    /// Queues.
    pub queues: BTreeSet<QueueKey>,
    /// Teams.
    pub teams: BTreeSet<(TenantId, TeamId)>,
    /// Agents.
    pub agents: BTreeSet<AgentId>,
    /// Calls, by their view key; those that are gone, too.
    pub calls: BTreeSet<Arc<str>>,
    /// Devices, by their view key; those that are gone, too.
    pub devices: BTreeSet<Arc<str>>,
    /// Sources.
    pub sources: BTreeSet<SourceId>,
    /// Half hours.
    pub intervals: BTreeSet<(Series, Time)>,
}

/// Everything that is known now, by kind.
#[derive(Debug, Default)]
pub struct Picture {
    /// Names, thresholds, zones.
    pub directory: Arc<Directory>,
    /// The frames.
    pub parts: Parts,
    /// The sums of rows.
    pub sums: Sums,
    /// Open calls, by their view key.
    pub calls: BTreeMap<Arc<str>, Call>,
    /// Queues that have ever been heard of.
    pub queues: BTreeMap<QueueKey, Queue>,
    /// Who works for which queue.
    pub members: BTreeMap<QueueId, Members>,
    /// Agents.
    pub agents: BTreeMap<AgentId, Agent>,
    /// Devices, by their view key.
    pub devices: BTreeMap<Arc<str>, Device>,
    /// Sources.
    pub sources: BTreeMap<SourceId, Source>,
    /// Calls in the IVR and open calls, by tenant.
    pub open: BTreeMap<TenantId, (i64, i64)>,
    /// What has to be painted again.
    pub dirty: Dirty,
    works_for: BTreeMap<AgentId, BTreeSet<QueueKey>>,
    lost: BTreeSet<SourceId>,
}

impl Picture {
    /// Nothing is known yet.
    pub fn new(directory: Arc<Directory>) -> Picture {
        let sums = Sums::new(&directory);
        Picture { directory, sums, ..Picture::default() }
    }

    /// Takes in one record of `views`.
    pub fn take(&mut self, key: &[u8], value: &[u8]) {
        self.parts.take(key, value, &mut self.sums);
    }

    /// Sorts what changed by kind. `now`: the server's clock.
    pub fn sort(&mut self, now: Time) {
        for key in self.parts.take_changed() {
            let view = self.parts.view(&key);
            match (key.split_once('/').map_or("", |(kind, _)| kind), view) {
                ("call", Some(View::Call(call))) => self.call(key, Some(call)),
                ("call", _) => self.call(key, None),
                ("queue", Some(View::Queue(queue))) => self.queue(queue),
                ("queue", _) => self.queue_emptied(&key),
                ("members", view) => self.members(&key, view),
                ("agent", view) => self.agent(&key, view),
                ("device", view) => self.device(key, view),
                ("source", Some(View::Source(source))) => self.source(source, now),
                _ => {}
            }
        }
        for (series, slot) in self.sums.take_changed() {
            self.row(series, slot);
        }
    }

    fn call(&mut self, key: Arc<str>, call: Option<Call>) {
        let weight = |call: &Call| (i64::from(call.stage == Stage::Ivr), 1);
        if let Some(before) = self.calls.remove(&key) {
            let open = self.open.entry(before.tenant.clone()).or_default();
            let (ivr, one) = weight(&before);
            *open = (open.0 - ivr, open.1 - one);
            self.dirty.tenants.insert(before.tenant);
        }
        if let Some(call) = call {
            let open = self.open.entry(call.tenant.clone()).or_default();
            let (ivr, one) = weight(&call);
            *open = (open.0 + ivr, open.1 + one);
            self.dirty.tenants.insert(call.tenant.clone());
            self.calls.insert(Arc::clone(&key), call);
        }
        self.dirty.calls.insert(key);
    }

    fn queue(&mut self, queue: Queue) {
        let key = (queue.tenant.clone(), queue.queue.clone());
        self.dirty.tenants.insert(key.0.clone());
        self.dirty.queues.insert(key.clone());
        self.queues.insert(key, queue);
    }

    /// The view of a queue is gone when nobody is in it; the queue itself stays.
    fn queue_emptied(&mut self, view: &str) {
        let id = view.trim_start_matches("queue/");
        let keys: Vec<QueueKey> = self.queues.keys().filter(|(_, queue)| queue.as_str() == id).cloned().collect();
        for (tenant, queue) in keys {
            let last = self.queues.get(&(tenant.clone(), queue.clone())).and_then(|queue| queue.last_served);
            self.queue(Queue { last_served: last, ..Queue::empty(tenant, queue) });
        }
    }

    fn members(&mut self, key: &str, view: Option<View>) {
        let id = QueueId::new(key.trim_start_matches("members/"));
        if let Some(before) = self.members.remove(&id) {
            for agent in before.members.keys() {
                if let Some(queues) = self.works_for.get_mut(agent) {
                    queues.remove(&(before.tenant.clone(), id.clone()));
                }
                self.dirty.agents.insert(agent.clone());
            }
            self.dirty.queues.insert((before.tenant, id.clone()));
        }
        let Some(View::Members(members)) = view else { return };
        let key = (members.tenant.clone(), id.clone());
        for agent in members.members.keys() {
            self.works_for.entry(agent.clone()).or_default().insert(key.clone());
            self.dirty.agents.insert(agent.clone());
        }
        self.queues.entry(key.clone()).or_insert_with(|| Queue::empty(key.0.clone(), key.1.clone()));
        self.dirty.queues.insert(key);
        self.members.insert(id, members);
    }

    fn agent(&mut self, key: &str, view: Option<View>) {
        let id = AgentId::new(key.trim_start_matches("agent/"));
        let before = self.agents.remove(&id);
        if let Some(View::Agent(agent)) = view {
            self.agents.insert(id.clone(), agent);
        }
        for agent in [before.as_ref(), self.agents.get(&id)].into_iter().flatten() {
            self.dirty.tenants.insert(agent.tenant.clone());
            if let Some(team) = self.team_of(agent) {
                self.dirty.teams.insert((agent.tenant.clone(), team));
            }
        }
        let queues: Vec<QueueKey> = self.queues_of(&id).cloned().collect();
        self.dirty.queues.extend(queues);
        self.dirty.agents.insert(id);
    }

    fn device(&mut self, key: Arc<str>, view: Option<View>) {
        match view {
            Some(View::Device(device)) => self.devices.insert(Arc::clone(&key), device),
            _ => self.devices.remove(&key),
        };
        self.dirty.devices.insert(key);
    }

    fn source(&mut self, source: Source, now: Time) {
        self.dirty.sources.insert(source.source.clone());
        let id = source.source.clone();
        self.sources.insert(id.clone(), source);
        self.judge(&id, now);
    }

    fn row(&mut self, series: Series, slot: Time) {
        let (tenant, id) = (series.tenant.clone(), &series.id);
        match series.dim {
            Dim::Tenant => {
                self.dirty.tenants.insert(tenant);
            }
            Dim::Queue => {
                let key = (tenant, QueueId(Arc::clone(id)));
                self.queues.entry(key.clone()).or_insert_with(|| Queue::empty(key.0.clone(), key.1.clone()));
                self.dirty.queues.insert(key);
            }
            Dim::Team => {
                self.dirty.teams.insert((tenant, TeamId(Arc::clone(id))));
                return;
            }
            Dim::Agent => {
                self.dirty.agents.insert(AgentId(Arc::clone(id)));
                return;
            }
            _ => return,
        }
        self.dirty.intervals.insert((series, slot));
    }

    /// Looks which sources are lost by now: all that hangs on one is painted again when that changes.
    pub fn watch(&mut self, now: Time) {
        let ids: Vec<SourceId> = self.sources.keys().cloned().collect();
        for id in ids {
            self.judge(&id, now);
        }
    }

    fn judge(&mut self, id: &SourceId, now: Time) {
        let lost = self.sources.get(id).is_some_and(|source| source.lost_since(now).is_some());
        let changed = if lost { self.lost.insert(id.clone()) } else { self.lost.remove(id) };
        if changed {
            self.dirty.sources.insert(id.clone());
            self.everything_of_agents(|agent| agent.source == *id);
            let devices = self.devices.iter().filter(|(_, device)| device.source == *id);
            self.dirty.devices.extend(devices.map(|(key, _)| Arc::clone(key)));
        }
    }

    fn everything_of_agents(&mut self, wanted: impl Fn(&Agent) -> bool) {
        let agents: Vec<Agent> = self.agents.values().filter(|agent| wanted(agent)).cloned().collect();
        for agent in agents {
            let team = self.team_of(&agent);
            self.dirty.queues.extend(self.queues_of(&agent.agent).cloned().collect::<Vec<_>>());
            self.dirty.teams.extend(team.map(|team| (agent.tenant.clone(), team)));
            self.dirty.tenants.insert(agent.tenant);
            self.dirty.agents.insert(agent.agent);
        }
    }

    /// Everything is painted again: the windows moved on, or the day did.
    pub fn soil(&mut self) {
        self.everything_of_agents(|_| true);
        self.dirty.queues.extend(self.queues.keys().cloned());
        self.dirty.tenants.extend(self.queues.keys().map(|(tenant, _)| tenant.clone()));
        self.dirty.tenants.extend(self.open.keys().cloned());
        self.dirty.sources.extend(self.sources.keys().cloned());
        self.dirty.calls.extend(self.calls.keys().cloned());
        let all = self.sums.all().filter(|(series, _)| matches!(series.dim, Dim::Tenant | Dim::Queue));
        let slots = all.flat_map(|(series, sum)| sum.slots.keys().map(|slot| (series.clone(), *slot)));
        self.dirty.intervals.extend(slots);
    }

    /// The team of an agent: as the events say, else as the directory does.
    pub fn team_of(&self, agent: &Agent) -> Option<TeamId> {
        agent.team.clone().or_else(|| self.directory.team_of(&agent.agent))
    }

    /// The queues that an agent works for.
    pub fn queues_of(&self, agent: &AgentId) -> impl Iterator<Item = &QueueKey> {
        self.works_for.get(agent).into_iter().flatten()
    }
}
