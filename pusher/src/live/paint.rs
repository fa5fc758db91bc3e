//! Paints items onto the board from the picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::event::{agent, call::Direction, device};
use model::{AgentId, QueueId, SourceId, TeamId, TenantId, Time};
use serde::Serialize;
use stats::live::{Agent, expected_wait_ms, gap_ms};
use stats::{Dim, Tally};

use super::figures::{Figures, Goal, Quality, patience_rate};
use super::item::{
    AgentCounts, LiveAgent, LiveCall, LiveDevice, LiveInterval, LiveQueue, LiveSource, LiveTeam, LiveTotals, Traffic,
    TrunkUse, agent_state, stage,
};
use super::picture::{Dirty, Picture, QueueKey};
use super::sums::{SLOT_MS, Series, Sum};
use crate::report::range::Range;
use crate::ws::board::{Board, Item};
use crate::ws::topic::{Keys, Topic};

/// The sliding windows: names and lengths in minutes.
pub const WINDOWS: [(&str, i64); 5] = [("1m", 1), ("5m", 5), ("15m", 15), ("30m", 30), ("1h", 60)];

/// How long after its end an interval may still be filled without that being a correction, in milliseconds: what is on its way.
pub const SETTLE_MS: i64 = 5_000;

/// The policy that live figures are judged by.
pub const POLICY: &str = "of_offered";

/// Paints everything that is dirty.
pub fn paint(picture: &mut Picture, board: &mut Board, now: Time) {
    let dirty = std::mem::take(&mut picture.dirty);
    let brush = Brush { picture, now };
    brush.all(&dirty, board);
}

struct Brush<'a> {
    picture: &'a Picture,
    now: Time,
}

/// The key of an item: its id, and its tenant where that is not `default`.
pub fn key(tenant: &TenantId, id: &str) -> String {
    if tenant.as_str() == "default" { id.to_owned() } else { format!("{tenant}/{id}") }
}

fn item<T: Serialize>(key: &str, keys: Keys, settled: bool, body: &T) -> Item {
    let json = serde_json::to_string(body).unwrap_or_default(); // plain values with text keys: this cannot fail
    Item { key: Arc::from(key), keys, json, settled }
}

fn text(id: impl AsRef<str>) -> String {
    id.as_ref().to_owned()
}

impl Brush<'_> {
    fn all(&self, dirty: &Dirty, board: &mut Board) {
        for tenant in &dirty.tenants {
            self.totals(tenant, board);
        }
        for queue in &dirty.queues {
            self.queue(queue, board);
        }
        for (tenant, team) in &dirty.teams {
            self.team(tenant, team, board);
        }
        for agent in &dirty.agents {
            self.agent(agent, board);
        }
        for call in &dirty.calls {
            self.call(call, board);
        }
        for device in &dirty.devices {
            self.device(device, board);
        }
        for source in &dirty.sources {
            self.source(source, board);
        }
        for (series, slot) in &dirty.intervals {
            self.interval(series, *slot, board);
        }
    }

    fn today(&self, tenant: &TenantId) -> Range {
        Range::today(self.now, self.picture.sums.zone(tenant))
    }

    fn sum(&self, dim: Dim, tenant: &TenantId, id: &str) -> Option<&Sum> {
        self.picture.sums.get(dim, tenant, id)
    }

    fn today_of(&self, dim: Dim, tenant: &TenantId, id: &str) -> Tally {
        let day = self.today(tenant);
        self.sum(dim, tenant, id).map(|sum| sum.between(day.from, day.to)).unwrap_or_default()
    }

    fn goal(&self, tenant: &TenantId, queue: Option<&QueueId>) -> Goal {
        let directory = &self.picture.directory;
        let of_tenant = directory.tenant(tenant);
        let of_queue = queue.and_then(|queue| directory.queues.get(queue));
        let threshold_s = of_queue.and_then(|q| q.service_level_s).unwrap_or(of_tenant.service_level_s);
        let goal = of_queue.and_then(|q| q.service_level_goal).unwrap_or(of_tenant.service_level_goal);
        Goal { policy: POLICY, threshold_ms: i64::from(threshold_s) * 1000, target: goal / 100.0 }
    }

    fn state(&self, agent: &Agent) -> Option<(agent::State, Time)> {
        agent.state_at(self.picture.sources.get(&agent.source), self.now)
    }

    fn counts<'b>(&self, agents: impl Iterator<Item = &'b Agent>) -> AgentCounts {
        let mut counts = AgentCounts::default();
        agents.filter_map(|agent| self.state(agent)).for_each(|(state, _)| counts.count(state));
        counts
    }

    fn traffic(&self, dim: Dim, tenant: &TenantId, id: &str, goal: Goal, agents: AgentCounts) -> Traffic {
        let sum = self.sum(dim, tenant, id);
        let minute = self.now.ms() - self.now.ms().rem_euclid(60_000);
        let window = |minutes: i64| {
            // The running minute and those before it: a window of one minute is the last one to two minutes.
            let from = Time(minute - minutes * 60_000);
            Figures::of(&sum.map(|sum| sum.since(from)).unwrap_or_default(), &goal)
        };
        let today = self.today_of(dim, tenant, id);
        Traffic {
            waiting: 0,
            ringing: 0,
            in_service: 0,
            held: 0,
            longest_wait_since: None,
            agents,
            windows: WINDOWS.iter().map(|(name, minutes)| (*name, window(*minutes).into())).collect(),
            today: Figures::of(&today, &goal),
            quality: Quality::of(&today),
            goal,
        }
    }

    fn totals(&self, tenant: &TenantId, board: &mut Board) {
        let picture = self.picture;
        let agents = self.counts(picture.agents.values().filter(|agent| agent.tenant == *tenant));
        let mut traffic = self.traffic(Dim::Tenant, tenant, tenant.as_str(), self.goal(tenant, None), agents);
        for queue in picture.queues.iter().filter(|((of, _), _)| of == tenant).map(|(_, queue)| queue) {
            traffic.waiting += queue.waiting;
            traffic.ringing += queue.ringing;
            traffic.in_service += queue.talking + queue.held;
            traffic.held += queue.held;
            traffic.longest_wait_since = earliest(traffic.longest_wait_since, queue.oldest_waiting_since);
        }
        let (in_ivr, open_calls) = picture.open.get(tenant).copied().unwrap_or_default();
        let body = LiveTotals {
            key: text(tenant),
            id: text(tenant),
            tenant: text(tenant),
            name: text(tenant),
            time_zone: picture.directory.tenant(tenant).time_zone,
            day_start: self.today(tenant).from,
            in_ivr,
            open_calls,
            traffic,
        };
        let keys = Keys { tenant: Arc::clone(&tenant.0), ..Keys::default() };
        board.put(Topic::Totals, item(&body.key, keys, false, &body));
    }

    /// Agents of a queue by state; a member paused in this queue is not ready here. `None`: nobody said who works here.
    fn members(&self, queue: &QueueId) -> Option<AgentCounts> {
        let members = self.picture.members.get(queue)?;
        let mut counts = AgentCounts::default();
        for (id, member) in &members.members {
            let Some(agent) = self.picture.agents.get(id) else { continue };
            match self.state(agent) {
                Some((agent::State::Ready, _)) if member.paused => counts.count(agent::State::NotReady),
                Some((state, _)) => counts.count(state),
                None => {}
            }
        }
        Some(counts)
    }

    fn queue(&self, (tenant, id): &QueueKey, board: &mut Board) {
        let picture = self.picture;
        let Some(queue) = picture.queues.get(&(tenant.clone(), id.clone())) else {
            board.remove(Topic::Queues, &key(tenant, id.as_str()));
            return;
        };
        let members = self.members(id);
        let agents = members.clone().unwrap_or_default();
        let mut traffic = self.traffic(Dim::Queue, tenant, id.as_str(), self.goal(tenant, Some(id)), agents);
        traffic.waiting = queue.waiting;
        traffic.ringing = queue.ringing;
        traffic.in_service = queue.talking + queue.held;
        traffic.held = queue.held;
        traffic.longest_wait_since = queue.oldest_waiting_since;
        let named = picture.directory.queues.get(id);
        let told = picture.members.get(id).and_then(|members| members.name.clone());
        let chosen = named.map(|queue| queue.name.clone()).filter(|name| !name.is_empty());
        let body = LiveQueue {
            key: key(tenant, id.as_str()),
            id: text(id),
            tenant: text(tenant),
            name: chosen.or(told).unwrap_or_else(|| text(id)),
            name_zh: named.map(|queue| queue.name_zh.clone()).filter(|name| !name.is_empty()),
            ewt_ms: self.expected_wait(tenant, id, members.as_ref()),
            waiting_by_priority: queue.waiting_by_priority.clone(),
            traffic,
        };
        let keys = Keys { tenant: Arc::clone(&tenant.0), queues: vec![Arc::clone(&id.0)], ..Keys::default() };
        board.put(Topic::Queues, item(&body.key, keys, false, &body));
    }

    fn expected_wait(&self, tenant: &TenantId, id: &QueueId, members: Option<&AgentCounts>) -> Option<i64> {
        let queue = self.picture.queues.get(&(tenant.clone(), id.clone()))?;
        let hour = self.sum(Dim::Queue, tenant, id.as_str()).map(|sum| sum.since(self.now + -3_600_000));
        let hour = hour.unwrap_or_default();
        // A quiet hour says nothing of handling times; the day may.
        let told = |tally: &Tally| Figures::of(tally, &self.goal(tenant, Some(id))).aht_ms;
        let aht = told(&hour).or_else(|| told(&self.today_of(Dim::Queue, tenant, id.as_str())));
        let free = members.is_some_and(|members| members.ready > 0) && queue.waiting == 0;
        let agents = members.map(|members| members.effective() as f64);
        let theta = patience_rate(&hour);
        expected_wait_ms(queue.waiting, free, agents, aht.map(|aht| aht as f64), theta, queue.last_served)
            .map(|ms| ms.round() as i64)
    }

    fn team(&self, tenant: &TenantId, id: &TeamId, board: &mut Board) {
        let picture = self.picture;
        let of_team = |agent: &&Agent| agent.tenant == *tenant && picture.team_of(agent).as_ref() == Some(id);
        let named = picture.directory.teams.get(id).map(|team| team.name.clone()).filter(|name| !name.is_empty());
        let body = LiveTeam {
            key: key(tenant, id.as_str()),
            id: text(id),
            tenant: text(tenant),
            name: named.unwrap_or_else(|| text(id)),
            agents: self.counts(picture.agents.values().filter(of_team)),
            today: Figures::of(&self.today_of(Dim::Team, tenant, id.as_str()), &self.goal(tenant, None)),
        };
        let keys = Keys { tenant: Arc::clone(&tenant.0), teams: vec![Arc::clone(&id.0)], ..Keys::default() };
        board.put(Topic::Teams, item(&body.key, keys, false, &body));
    }

    fn agent(&self, id: &AgentId, board: &mut Board) {
        let picture = self.picture;
        let Some(agent) = picture.agents.get(id) else {
            // Its tenant is not known any more; the key of the default tenant and every other are tried.
            let gone: Vec<Arc<str>> = board
                .items(Topic::Agents)
                .filter(|i| i.keys.agents.contains(&id.0))
                .map(|i| Arc::clone(&i.key))
                .collect();
            gone.iter().for_each(|key| board.remove(Topic::Agents, key));
            return;
        };
        let (state, since) = self.state(agent).map_or((None, agent.since), |(state, since)| (Some(state), since));
        let today = self.today_of(Dim::Agent, &agent.tenant, id.as_str());
        let team = picture.team_of(agent);
        let queues: Vec<QueueId> = picture.queues_of(id).map(|(_, queue)| queue.clone()).collect();
        let named = picture.directory.agents.get(id).map(|agent| agent.name.clone()).filter(|name| !name.is_empty());
        let known = state != Some(agent::State::Unknown);
        let body = LiveAgent {
            key: key(&agent.tenant, id.as_str()),
            id: text(id),
            tenant: text(&agent.tenant),
            name: named.unwrap_or_else(|| text(id)),
            team: team.as_ref().map(text),
            source: text(&agent.source),
            state: agent_state(state),
            since,
            logged_in_since: agent.logged_in_since,
            reason: agent.reason.clone().filter(|_| known),
            call: agent.call.as_ref().filter(|_| known).map(text),
            queue: agent.queue.as_ref().filter(|_| known).map(text),
            device: agent.device.as_ref().map(text),
            queues: queues.iter().map(text).collect(),
            answered_today: today.get(stats::Field::Answered),
            talk_ms_today: today.get(stats::Field::TalkMs),
        };
        let keys = Keys {
            tenant: Arc::clone(&agent.tenant.0),
            queues: queues.into_iter().map(|queue| queue.0).collect(),
            teams: team.into_iter().map(|team| team.0).collect(),
            agents: vec![Arc::clone(&id.0)],
            sources: vec![Arc::clone(&agent.source.0)],
        };
        board.put(Topic::Agents, item(&body.key, keys, false, &body));
    }

    fn call(&self, view: &Arc<str>, board: &mut Board) {
        let Some(call) = self.picture.calls.get(view).filter(|call| !call.stale(self.now)) else {
            board.remove(Topic::Calls, view.trim_start_matches("call/"));
            return;
        };
        let direction = match call.direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
            Direction::Internal => "internal",
        };
        let body = LiveCall {
            // Call ids are unique over tenants: the journal keeps order by them.
            key: text(&call.call),
            id: text(&call.call),
            tenant: text(&call.tenant),
            source: text(&call.source),
            direction,
            stage: stage(call.stage),
            since: call.since,
            offered_at: call.offered_at,
            queue: call.queue.as_ref().map(text),
            queue_key: call.queue.as_ref().map(|queue| key(&call.tenant, queue.as_str())),
            waiting_since: call.queued_at,
            agent: call.agent.as_ref().map(text),
            caller: call.caller.clone(),
            priority: call.priority,
        };
        let keys = Keys {
            tenant: Arc::clone(&call.tenant.0),
            queues: call.queue.iter().map(|queue| Arc::clone(&queue.0)).collect(),
            teams: Vec::new(),
            agents: call.agent.iter().map(|agent| Arc::clone(&agent.0)).collect(),
            sources: vec![Arc::clone(&call.source.0)],
        };
        board.put(Topic::Calls, item(&body.key, keys, false, &body));
    }

    fn device(&self, view: &Arc<str>, board: &mut Board) {
        let Some(device) = self.picture.devices.get(view) else {
            let id = view.trim_start_matches("device/");
            board.retain(Topic::Devices, |key| key != id && !key.ends_with(&format!("/{id}")));
            return;
        };
        let lost = self.picture.sources.get(&device.source).and_then(|source| source.lost_since(self.now));
        let state = match device.state.filter(|_| lost.is_none()) {
            None => "unknown",
            Some(device::State::Idle) => "idle",
            Some(device::State::Ringing) => "ringing",
            Some(device::State::InUse) => "in_use",
            Some(device::State::Held) => "held",
            Some(device::State::Unavailable) => "unavailable",
        };
        let body = LiveDevice {
            key: key(&device.tenant, device.device.as_str()),
            id: text(&device.device),
            tenant: text(&device.tenant),
            source: text(&device.source),
            state,
            registered: device.registered.filter(|_| lost.is_none()),
            since: lost.map_or(device.since, |lost| lost.max(device.since)),
        };
        let sources = vec![Arc::clone(&device.source.0)];
        let keys = Keys { tenant: Arc::clone(&device.tenant.0), sources, ..Keys::default() };
        board.put(Topic::Devices, item(&body.key, keys, false, &body));
    }

    fn source(&self, id: &SourceId, board: &mut Board) {
        let Some(source) = self.picture.sources.get(id) else { return };
        let lost = source.lost_since(self.now);
        let (state, since) = match (source.connected, lost) {
            (Some(false), _) => ("disconnected", source.since),
            (_, Some(lost)) => ("silent", lost),
            (Some(true), None) => ("connected", source.since),
            (None, None) => ("unknown", source.since),
        };
        let day = self.today(&source.tenant);
        let named = self.picture.directory.sources.get(id).map(|source| source.name.clone());
        let trunk = |(id, trunk): (&model::TrunkId, &stats::live::Trunk)| {
            (text(id), TrunkUse { in_use: trunk.in_use, capacity: trunk.capacity })
        };
        let body = LiveSource {
            key: key(&source.tenant, id.as_str()),
            id: text(id),
            tenant: text(&source.tenant),
            name: named.filter(|name| !name.is_empty()).unwrap_or_else(|| text(id)),
            vendor: source.vendor.clone(),
            version: source.version.clone(),
            state,
            since,
            reason: source.reason.clone().filter(|_| state == "disconnected"),
            heartbeat_at: source.heartbeat_at,
            round_trip_ms: source.round_trip_ms,
            gap_ms_today: gap_ms(&source.gaps, day.from, self.now),
            trunks: source.trunks.iter().map(trunk).collect::<BTreeMap<_, _>>(),
        };
        let keys = Keys { tenant: Arc::clone(&source.tenant.0), sources: vec![Arc::clone(&id.0)], ..Keys::default() };
        board.put(Topic::Sources, item(&body.key, keys, false, &body));
    }

    fn interval(&self, series: &Series, slot: Time, board: &mut Board) {
        let Series { dim, tenant, id } = series;
        let key = format!("{}/{}@{slot}", dim.as_str(), key(tenant, id));
        let Some(tally) = self.picture.sums.get(*dim, tenant, id).and_then(|sum| sum.slots.get(&slot)) else {
            board.remove(Topic::Intervals, &key);
            return;
        };
        let queue = (*dim == Dim::Queue).then(|| QueueId(Arc::clone(id)));
        let settled = self.now > slot + (SLOT_MS + SETTLE_MS);
        let quality = Quality::of(tally);
        let body = LiveInterval {
            key,
            by: dim.as_str(),
            id: text(id),
            tenant: text(tenant),
            start: slot,
            end: slot + SLOT_MS,
            revision: quality.revision,
            figures: Figures::of(tally, &self.goal(tenant, queue.as_ref())),
            quality,
        };
        let queues = queue.into_iter().map(|queue| queue.0).collect();
        let keys = Keys { tenant: Arc::clone(&tenant.0), queues, ..Keys::default() };
        board.put(Topic::Intervals, item(&body.key, keys, settled, &body));
    }
}

fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
