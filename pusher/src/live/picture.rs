//! The picture: what the frames say, by kind of thing, and which items have to be painted again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{AgentId, Directory, QueueId, SourceId, TeamId, TenantId, Time};
use stats::Dim;
use stats::live::{Agent, Call, Device, Members, Queue, Source, Stage, View, queue_key};

use super::parts::Parts;
use super::sums::{SERIES_MAX, Series, Sums};

/// A queue of a tenant.
pub type QueueKey = (TenantId, QueueId);

/// A team of a tenant.
pub type TeamKey = (TenantId, TeamId);

/// What has to be painted again.
#[derive(Debug, Default)]
pub struct Dirty {
    /// Tenants.
    pub tenants: BTreeSet<TenantId>,
    /// Queues.
    pub queues: BTreeSet<QueueKey>,
    /// Teams.
    pub teams: BTreeSet<TeamKey>,
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
    teams: BTreeMap<TeamKey, BTreeSet<AgentId>>,
    /// Since when.
    lost: BTreeMap<SourceId, Time>,
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
        self.watch(now);
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
        let is_it = |(tenant, queue): &&QueueKey| view.ends_with(queue.as_str()) && queue_key(tenant, queue) == view;
        let keys: Vec<QueueKey> = self.queues.keys().filter(is_it).cloned().collect();
        for (tenant, queue) in keys {
            let known = self.members.contains_key(&queue) || self.sums.get(Dim::Queue, &tenant, &queue.0).is_some();
            if !known && self.queues.len() > SERIES_MAX {
                let key = (tenant, queue);
                self.queues.remove(&key);
                self.dirty.queues.insert(key);
                continue;
            }
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
        if let Some(before) = self.agents.remove(&id) {
            self.dirty.tenants.insert(before.tenant.clone());
            if let Some(team) = self.team_of(&before) {
                let team = (before.tenant, team);
                if let Some(agents) = self.teams.get_mut(&team) {
                    agents.remove(&id);
                    if agents.is_empty() {
                        self.teams.remove(&team);
                    }
                }
                self.dirty.teams.insert(team);
            }
        }
        if let Some(View::Agent(agent)) = view {
            self.dirty.tenants.insert(agent.tenant.clone());
            if let Some(team) = self.team_of(&agent) {
                let team = (agent.tenant.clone(), team);
                self.teams.entry(team.clone()).or_default().insert(id.clone());
                self.dirty.teams.insert(team);
            }
            self.agents.insert(id.clone(), agent);
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

    /// Looks which sources are lost by now, and since when: all that hangs on one is painted again when that changes. At the moment for which it
    /// is painted: what was shown as lost in between two looks would stay so when the source was there again at the second.
    fn watch(&mut self, now: Time) {
        let ids: Vec<SourceId> = self.sources.keys().cloned().collect();
        for id in ids {
            self.judge(&id, now);
        }
    }

    fn judge(&mut self, id: &SourceId, now: Time) {
        let lost = self.sources.get(id).and_then(|source| source.lost_since(now));
        let before = match lost {
            Some(since) => self.lost.insert(id.clone(), since),
            None => self.lost.remove(id),
        };
        if lost != before {
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

    /// The agents of a team.
    pub fn agents_of(&self, team: &TeamKey) -> impl Iterator<Item = &Agent> {
        self.teams.get(team).into_iter().flatten().filter_map(|id| self.agents.get(id))
    }

    /// The queues that an agent works for.
    pub fn queues_of(&self, agent: &AgentId) -> impl Iterator<Item = &QueueKey> {
        self.works_for.get(agent).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::paint::paint;
    use crate::ws::board::Board;
    use crate::ws::topic::Topic;
    use model::event::agent::State;
    use serde_json::Value;
    use stats::live::Member;
    use stats::{Field, Row, RowKey};
    use store::Part;
    use store::frame::{self, Body, Frame, PartialRow, Version};

    /// 2025-12-01T00:00:00Z.
    const START: Time = Time(1_764_547_200_000);

    struct Desk {
        picture: Picture,
        board: Board,
        number: u64,
    }

    impl Desk {
        fn new(directory: Directory) -> Desk {
            Desk { picture: Picture::new(Arc::new(directory)), board: Board::default(), number: 0 }
        }

        fn tell(&mut self, view: &str, body: Option<Body>) {
            self.number += 1;
            let version = Version { epoch: 1, number: self.number };
            let value = body.map(|body| Frame { version, as_of: START, at: START, body }.to_json()).unwrap_or_default();
            self.picture.take(frame::key(view, &Part::new("events.agent", 0)).as_bytes(), &value);
        }

        fn see(&mut self, topic: Topic, key: &str, now: Time) -> Option<Value> {
            self.picture.sort(now);
            paint(&mut self.picture, &mut self.board, now);
            self.board.get(topic, key).map(|item| serde_json::from_str(&item.json).unwrap())
        }
    }

    fn source(heartbeat_at: Time) -> Body {
        Body::View(View::Source(Source {
            source: "pbx".into(),
            tenant: "default".into(),
            vendor: "asterisk".into(),
            version: None,
            connected: Some(true),
            since: START,
            reason: None,
            heartbeat_at: Some(heartbeat_at),
            every_ms: Some(5_000),
            round_trip_ms: None,
            snapshot_at: None,
            gaps: Vec::new(),
            trunks: BTreeMap::new(),
            last_at: heartbeat_at,
        }))
    }

    fn agent(id: &str, state: State) -> Body {
        Body::View(View::Agent(Agent {
            agent: id.into(),
            tenant: "default".into(),
            source: "pbx".into(),
            team: None,
            logged_in_since: Some(START),
            state: Some(state),
            since: START,
            reason: None,
            call: None,
            queue: None,
            device: None,
            skills: BTreeMap::new(),
            last_at: START,
        }))
    }

    fn device() -> Body {
        Body::View(View::Device(Device {
            device: "SIP/101".into(),
            tenant: "default".into(),
            source: "pbx".into(),
            state: Some(model::event::device::State::InUse),
            registered: None,
            since: START,
            last_at: START,
        }))
    }

    fn members(paused: &[(&str, bool)]) -> Body {
        let member = |paused| Member { device: None, penalty: 0, paused, reason: None };
        Body::View(View::Members(Members {
            tenant: "default".into(),
            source: "pbx".into(),
            queue: "sales".into(),
            name: Some("Sales".into()),
            strategy: None,
            service_level_s: None,
            waiting_max: None,
            members: paused.iter().map(|(id, paused)| ((*id).into(), member(*paused))).collect(),
            last_at: START,
        }))
    }

    #[test]
    fn agents_of_a_silent_source_are_unknown_and_never_ready() {
        let mut desk = Desk::new(Directory::default());
        desk.tell("source/pbx", Some(source(START)));
        desk.tell("members/sales", Some(members(&[("101", false), ("102", true)])));
        desk.tell("agent/101", Some(agent("101", State::Ready)));
        desk.tell("agent/102", Some(agent("102", State::Ready)));
        let queue = desk.see(Topic::Queues, "sales", START + 1_000).unwrap();
        // 102 is paused in this queue only.
        assert_eq!((queue["agents"]["ready"].as_i64(), queue["agents"]["not_ready"].as_i64()), (Some(1), Some(1)));
        assert_eq!(queue["name"], "Sales");
        let queue = desk.see(Topic::Queues, "sales", START + 20_000).unwrap();
        assert_eq!((queue["agents"]["ready"].as_i64(), queue["agents"]["unknown"].as_i64()), (Some(0), Some(2)));
        assert_eq!(desk.see(Topic::Agents, "101", START + 20_000).unwrap()["state"], "unknown");
        assert_eq!(desk.see(Topic::Sources, "pbx", START + 20_000).unwrap()["state"], "silent");
        desk.tell("source/pbx", Some(source(START + 21_000)));
        assert_eq!(desk.see(Topic::Agents, "101", START + 21_500).unwrap()["state"], "ready");
    }

    #[test]
    fn an_agent_is_counted_in_the_team_that_was_told_last_and_in_no_other() {
        let mut desk = Desk::new(Directory::default());
        let of_team = |team: Option<&str>| {
            let Body::View(View::Agent(told)) = agent("101", State::Ready) else { unreachable!() };
            Body::View(View::Agent(Agent { team: team.map(TeamId::new), ..told }))
        };
        let ready = |desk: &mut Desk, team: &str| {
            desk.see(Topic::Teams, team, START + 1_000).map(|team| team["agents"]["ready"].as_i64().unwrap())
        };
        desk.tell("agent/101", Some(of_team(Some("gold"))));
        assert_eq!((ready(&mut desk, "gold"), ready(&mut desk, "blue")), (Some(1), None));
        desk.tell("agent/101", Some(of_team(Some("blue"))));
        assert_eq!((ready(&mut desk, "gold"), ready(&mut desk, "blue")), (Some(0), Some(1)));
        desk.tell("agent/101", None);
        assert_eq!((ready(&mut desk, "gold"), ready(&mut desk, "blue")), (Some(0), Some(0)));
    }

    #[test]
    fn a_device_is_unknown_since_what_is_known_of_its_source_now() {
        let mut desk = Desk::new(Directory::default());
        desk.tell("source/pbx", Some(source(START)));
        desk.tell("device/SIP/101", Some(device()));
        let since = |desk: &mut Desk, now| desk.see(Topic::Devices, "SIP/101", now).unwrap()["since"].clone();
        let silent = since(&mut desk, START + 20_000);
        desk.tell("source/pbx", Some(source(START + 8_000)));
        assert_ne!(since(&mut desk, START + 21_000), silent, "a heartbeat that came late moves the silence");
    }

    #[test]
    fn a_device_that_was_painted_while_its_source_was_silent_for_a_moment_is_painted_again() {
        let mut desk = Desk::new(Directory::default());
        desk.tell("source/pbx", Some(source(START)));
        desk.see(Topic::Sources, "pbx", START + 9_900);
        desk.tell("device/SIP/101", Some(device()));
        let state = |desk: &mut Desk, now| desk.see(Topic::Devices, "SIP/101", now).unwrap()["state"].clone();
        assert_eq!(state(&mut desk, START + 10_100), "unknown");
        desk.tell("source/pbx", Some(source(START + 10_200)));
        assert_eq!(state(&mut desk, START + 10_300), "in_use");
    }

    #[test]
    fn a_queue_where_nobody_is_stays_on_the_board() {
        let mut desk = Desk::new(Directory::default());
        let waiting =
            Queue { waiting: 2, oldest_waiting_since: Some(START), ..Queue::empty("default".into(), "sales".into()) };
        desk.tell("queue/default/sales", Some(Body::View(View::Queue(waiting))));
        let queue = desk.see(Topic::Queues, "sales", START).unwrap();
        assert_eq!(
            (queue["waiting"].as_i64(), queue["longest_wait_since"].as_str()),
            (Some(2), Some("2025-12-01T00:00:00.000Z"))
        );
        desk.tell("queue/default/sales", None);
        let queue = desk.see(Topic::Queues, "sales", START).unwrap();
        assert_eq!((queue["waiting"].as_i64(), queue["longest_wait_since"].is_null()), (Some(0), true));
    }

    #[test]
    fn today_begins_at_the_tenants_midnight() {
        let mut directory = Directory::default();
        let tenant = model::directory::Tenant { time_zone: "Asia/Shanghai".into(), ..Default::default() };
        directory.tenants.insert("default".into(), tenant);
        let mut desk = Desk::new(directory);
        let midnight = START + -8 * 3_600_000; // 16:00 UTC is 00:00 there
        for (start, offered) in [(midnight + -60_000, 7), (midnight, 2), (midnight + 3_600_000, 3)] {
            let mut row = Row::default();
            row.event.add(Field::Offered, offered);
            let key =
                RowKey { tenant: "default".into(), source: "pbx".into(), dim: Dim::Queue, id: "sales".into(), start };
            desk.tell(&frame::row_view(&key), Some(Body::Row(PartialRow { key, part: "events.call/0".into(), row })));
        }
        assert_eq!(desk.see(Topic::Queues, "sales", START).unwrap()["today"]["offered"], 5);
        assert!(desk.board.get(Topic::Intervals, "queue/sales@2025-11-30T15:30:00.000Z").is_some());
    }
}
