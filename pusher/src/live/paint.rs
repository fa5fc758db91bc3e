//! Paints items onto the board from the picture.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::event::{agent, call::Direction, device};
use model::{AgentId, QueueId, SourceId, TenantId, Time};
use serde::Serialize;
use stats::live::{Agent, Queue, expected_wait_ms, gap_ms};
use stats::{Dim, Field, Tally};

use super::figures::{Figures, Goal, Quality, patience_rate};
use super::item::{
    AgentCounts, LiveAgent, LiveCall, LiveDevice, LiveInterval, LiveQueue, LiveSource, LiveTeam, LiveTotals, Traffic,
    TrunkUse, agent_state, stage,
};
use super::moving::{Span, WINDOWS};
use super::picture::{Dirty, Picture, QueueKey, TeamKey};
use super::sums::{SLOT_MS, Series, Sum, Sums};
use crate::report::range::Range;
use crate::ws::board::{Board, Item};
use crate::ws::topic::{Keys, Topic};

/// How long after its end an interval may still be filled without that being a correction, in milliseconds: what is on its way.
pub const SETTLE_MS: i64 = 5_000;

/// The policy that live figures are judged by.
pub const POLICY: &str = "of_offered";

/// Paints everything that is dirty.
pub fn paint(picture: &mut Picture, board: &mut Board, now: Time) {
    let dirty = std::mem::take(&mut picture.dirty);
    let days = turn(picture, &dirty, now);
    let brush = Brush { picture, now, days };
    brush.all(&dirty, board);
}

/// What day it is for each tenant.
type Days = BTreeMap<TenantId, Span>;

/// Moves the sums that go with the clock, of all that is to be painted.
fn turn(picture: &mut Picture, dirty: &Dirty, now: Time) -> Days {
    let of_tenants = dirty.tenants.iter().map(|tenant| (Dim::Tenant, tenant, &tenant.0));
    let of_queues = dirty.queues.iter().map(|(tenant, queue)| (Dim::Queue, tenant, &queue.0));
    let of_teams = dirty.teams.iter().map(|(tenant, team)| (Dim::Team, tenant, &team.0));
    let agents = dirty.agents.iter().filter_map(|id| picture.agents.get(id)).map(|agent| &agent.tenant);
    let sources = dirty.sources.iter().filter_map(|id| picture.sources.get(id)).map(|source| &source.tenant);
    let mut days = Days::new();
    let sums = &mut picture.sums;
    let mut day = |sums: &Sums, tenant: &TenantId| match days.get(tenant) {
        Some(day) => *day,
        None => {
            let day = Range::today(now, sums.zone(tenant));
            *days.entry(tenant.clone()).or_insert((day.from, day.to))
        }
    };
    agents.chain(sources).for_each(|tenant| _ = day(sums, tenant));
    for (dim, tenant, id) in of_tenants.chain(of_queues).chain(of_teams) {
        let today = day(sums, tenant);
        sums.turn(&Series { dim, tenant: tenant.clone(), id: Arc::clone(id) }, now, today);
    }
    days
}

struct Brush<'a> {
    picture: &'a Picture,
    now: Time,
    days: Days,
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
        for team in &dirty.teams {
            self.team(team, board);
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

    /// Today of a tenant of which something is painted.
    fn today(&self, tenant: &TenantId) -> Span {
        self.days.get(tenant).copied().unwrap_or((self.now, self.now))
    }

    fn sum(&self, dim: Dim, tenant: &TenantId, id: &Arc<str>) -> Option<&Sum> {
        self.picture.sums.get(dim, tenant, id)
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

    fn traffic(&self, sum: Option<&Sum>, goal: Goal, agents: AgentCounts) -> Traffic {
        let nothing = Tally::new();
        let mut windows = sum.into_iter().flat_map(|sum| sum.moving.windows());
        let mut window = |name| (name, Figures::of(windows.next().unwrap_or(&nothing), &goal).into());
        let windows = WINDOWS.iter().map(|(name, _)| window(*name)).collect();
        let today = sum.map_or(&nothing, |sum| sum.moving.today());
        Traffic {
            waiting: 0,
            ringing: 0,
            in_service: 0,
            held: 0,
            longest_wait_since: None,
            agents,
            windows,
            today: Figures::of(today, &goal),
            quality: Quality::of(today),
            goal,
        }
    }

    fn totals(&self, tenant: &TenantId, board: &mut Board) {
        let picture = self.picture;
        let agents = self.counts(picture.agents.values().filter(|agent| agent.tenant == *tenant));
        let sum = self.sum(Dim::Tenant, tenant, &tenant.0);
        let mut traffic = self.traffic(sum, self.goal(tenant, None), agents);
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
            day_start: self.today(tenant).0,
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
        let (sum, goal) = (self.sum(Dim::Queue, tenant, &id.0), self.goal(tenant, Some(id)));
        let ewt_ms = expected_wait(queue, sum, &goal, members.as_ref());
        let mut traffic = self.traffic(sum, goal, agents);
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
            ewt_ms,
            waiting_by_priority: queue.waiting_by_priority.clone(),
            traffic,
        };
        let keys = Keys { tenant: Arc::clone(&tenant.0), queues: vec![Arc::clone(&id.0)], ..Keys::default() };
        board.put(Topic::Queues, item(&body.key, keys, false, &body));
    }

    fn team(&self, team: &TeamKey, board: &mut Board) {
        let (picture, (tenant, id)) = (self.picture, team);
        let sum = self.sum(Dim::Team, tenant, &id.0);
        let named = picture.directory.teams.get(id).map(|team| team.name.clone()).filter(|name| !name.is_empty());
        let body = LiveTeam {
            key: key(tenant, id.as_str()),
            id: text(id),
            tenant: text(tenant),
            name: named.unwrap_or_else(|| text(id)),
            agents: self.counts(picture.agents_of(team)),
            today: Figures::of(sum.map_or(&Tally::new(), |sum| sum.moving.today()), &self.goal(tenant, None)),
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
        let (sum, day) = (self.sum(Dim::Agent, &agent.tenant, &id.0), self.today(&agent.tenant));
        let today = |field| sum.map_or(0, |sum| sum.of(field, day));
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
            answered_today: today(Field::Answered),
            talk_ms_today: today(Field::TalkMs),
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
            gap_ms_today: gap_ms(&source.gaps, day.0, self.now),
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

/// How long somebody who came now would wait.
fn expected_wait(queue: &Queue, sum: Option<&Sum>, goal: &Goal, members: Option<&AgentCounts>) -> Option<i64> {
    let nothing = Tally::new();
    let (hour, today) = sum.map_or((&nothing, &nothing), |sum| {
        let hour = sum.moving.windows().last();
        (hour.unwrap_or(&nothing), sum.moving.today())
    });
    // A quiet hour says nothing of handling times; the day may.
    let aht = [hour, today].into_iter().find_map(|tally| Figures::of(tally, goal).aht_ms);
    let free = members.is_some_and(|members| members.ready > 0) && queue.waiting == 0;
    let agents = members.map(|members| members.effective() as f64);
    let theta = patience_rate(hour);
    expected_wait_ms(queue.waiting, free, agents, aht.map(|aht| aht as f64), theta, queue.last_served)
        .map(|ms| ms.round() as i64)
}

fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
