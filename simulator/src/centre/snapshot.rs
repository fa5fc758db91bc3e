//! The state of the PBX as its lists tell it: what a collector asks for when it connects.

use jiff::Timestamp;

use super::Centre;
use super::channel::State;
use super::voice::{Event, item};

/// A list: the items between `EventList: start` and `EventList: Complete`, and their count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The items, each a whole frame.
    pub text: String,
    /// How many there are.
    pub items: usize,
}

impl List {
    fn of(items: impl Iterator<Item = String>) -> List {
        let mut list = List { text: String::new(), items: 0 };
        for item in items {
            list.text.push_str(&item);
            list.items += 1;
        }
        list
    }
}

fn with_id<'a>(event: Event<'a>, id: Option<&str>) -> Event<'a> {
    match id {
        Some(id) => event.put("ActionID", id),
        None => event,
    }
}

impl Centre {
    /// `CoreShowChannels`.
    pub fn list_channels(&self, id: Option<&str>) -> List {
        List::of(self.channels.values().map(|channel| {
            let s = (self.now - channel.since_ms) / 1000;
            with_id(item("CoreShowChannel"), id)
                .channel("", channel)
                .put("Application", channel.application)
                .put("ApplicationData", &channel.application_data)
                .put("Duration", format_args!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60))
                .put("BridgeId", channel.bridge.as_deref().unwrap_or(""))
                .finish()
        }))
    }

    /// `BridgeList`.
    pub fn list_bridges(&self, id: Option<&str>) -> List {
        let mut bridges = std::collections::BTreeMap::<&str, u32>::new();
        for bridge in self.channels.values().filter_map(|channel| channel.bridge.as_deref()) {
            *bridges.entry(bridge).or_default() += 1;
        }
        let items = bridges.into_iter();
        List::of(items.map(|(bridge, n)| with_id(item("BridgeListItem"), id).bridge("", bridge, n).finish()))
    }

    /// `DeviceStateList`.
    pub fn list_devices(&self, id: Option<&str>) -> List {
        let trunk = if self.counters.trunk_channels > 0 { "INUSE" } else { "NOT_INUSE" };
        let phones = self.agents.iter().map(|agent| (agent.interface.to_string(), agent.device.text()));
        let pauses = self.agents.iter().filter(|agent| agent.logged_in).flat_map(|agent| {
            let state = if agent.paused.is_some() { "INUSE" } else { "NOT_INUSE" };
            let ids = agent.skills.iter().map(|(queue, _)| &self.plan.queues[*queue].id);
            ids.map(move |queue| (format!("Queue:{queue}_pause_{}", agent.interface), state))
        });
        let all = phones.chain(std::iter::once(("PJSIP/trunk".to_owned(), trunk))).chain(pauses);
        List::of(all.map(|(device, state)| {
            with_id(item("DeviceStateChange"), id).put("Device", device).put("State", state).finish()
        }))
    }

    /// `QueueStatus`, of one queue or of all: parameters, members, entries.
    pub fn list_queues(&self, only: Option<&str>, id: Option<&str>) -> List {
        let mut members: Vec<Vec<(usize, u16)>> = vec![Vec::new(); self.queues.len()];
        for (at, agent) in self.agents.iter().enumerate().filter(|(_, agent)| agent.logged_in) {
            for (queue, penalty) in &agent.skills {
                members[*queue].push((at, *penalty));
            }
        }
        let chosen = (0..self.queues.len()).filter(|queue| only.is_none_or(|id| self.plan.queues[*queue].id == id));
        let mut list = List { text: String::new(), items: 0 };
        for queue in chosen {
            let name = &self.plan.queues[queue].id;
            list.text.push_str(&with_id(self.queue_params(queue), id).finish());
            for (agent, penalty) in &members[queue] {
                let a = &self.agents[*agent];
                let event = item("QueueMember")
                    .put("Queue", name)
                    .put("Name", &a.party.name)
                    .put("Location", &a.interface)
                    .put("StateInterface", &a.interface);
                let wrap_s = self.plan.agents[*agent].wrap_up_s;
                list.text.push_str(&with_id(a.put_membership(event, *penalty, wrap_s, false), id).finish());
            }
            list.items += 1 + members[queue].len();
            for (position, no) in self.queues[queue].waiting.values().enumerate() {
                let Some(channel) = self.calls.get(no).and_then(|call| self.channels.get(&call.chan)) else { continue };
                let joined = self.waiting(*no).map_or(self.now, |waiting| waiting.joined_ms);
                let event = item("QueueEntry")
                    .put("Queue", name)
                    .put("Position", position + 1)
                    .put("Channel", &channel.name)
                    .put("Uniqueid", &channel.unique)
                    .put("CallerIDNum", &channel.caller.number)
                    .put("CallerIDName", &channel.caller.name)
                    .put("ConnectedLineNum", &channel.connected.number)
                    .put("ConnectedLineName", &channel.connected.name)
                    .put("Wait", self.seconds() - joined.div_euclid(1000))
                    .put("Priority", 0);
                list.text.push_str(&with_id(event, id).finish());
                list.items += 1;
            }
        }
        list
    }

    fn queue_params(&self, queue: usize) -> Event<'static> {
        let (rules, own) = (&self.plan.queues[queue], &self.queues[queue].own);
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 * 100.0 / of as f64 };
        item("QueueParams")
            .put("Queue", &rules.id)
            .put("Max", rules.length_max)
            .put("Strategy", "rrmemory")
            .put("Calls", self.queues[queue].waiting.len())
            .put("Holdtime", own.hold_s)
            .put("TalkTime", own.talk_s)
            .put("Completed", own.completed)
            .put("Abandoned", own.abandoned)
            .put("ServiceLevel", rules.service_level_s)
            .put("ServicelevelPerf", format_args!("{:.1}", share(own.completed_in_level, own.completed)))
            .put(
                "ServicelevelPerf2",
                format_args!("{:.1}", share(own.completed_in_level, own.completed + own.abandoned)),
            )
            .put("Weight", rules.weight)
    }

    /// `QueueSummary`.
    pub fn list_summaries(&self, only: Option<&str>, id: Option<&str>) -> List {
        let chosen = (0..self.queues.len()).filter(|queue| only.is_none_or(|id| self.plan.queues[*queue].id == id));
        List::of(chosen.map(|queue| {
            let state = &self.queues[queue];
            let members = self.agents.iter().filter(|a| a.logged_in && a.skills.iter().any(|(q, _)| *q == queue));
            let longest = state
                .waiting
                .values()
                .next()
                .and_then(|no| self.waiting(*no))
                .map_or(0, |waiting| self.seconds() - waiting.joined_ms.div_euclid(1000));
            let event = item("QueueSummary")
                .put("Queue", &self.plan.queues[queue].id)
                .put("LoggedIn", members.count())
                .put("Available", state.idle.len())
                .put("Callers", state.waiting.len())
                .put("HoldTime", state.own.hold_s)
                .put("TalkTime", state.own.talk_s)
                .put("LongestHoldTime", longest);
            with_id(event, id).finish()
        }))
    }

    /// Headers of `CoreStatus`.
    pub fn core_status(&self) -> [(&'static str, String); 6] {
        let start = Timestamp::from_millisecond(self.started_ms).unwrap_or_default();
        let (date, time) = (start.strftime("%Y-%m-%d").to_string(), start.strftime("%H:%M:%S").to_string());
        let up = self.channels.values().filter(|channel| channel.state != State::Down).count();
        [
            ("CoreStartupDate", date.clone()),
            ("CoreStartupTime", time.clone()),
            ("CoreReloadDate", date),
            ("CoreReloadTime", time),
            ("CoreCurrentCalls", up.to_string()),
            ("CoreProcessedCalls", self.counters.call.to_string()),
        ]
    }
}

/// An agent as the control API shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AgentNow {
    /// The place in the list, for paging.
    pub place: usize,
    /// The extension.
    pub extension: String,
    /// The name.
    pub agent: String,
    /// The group.
    pub group: String,
    /// What the agent does.
    pub state: super::truth::State,
    /// The reason of a pause.
    pub reason: Option<String>,
}

impl Centre {
    /// Agents and what they do, from a place on.
    pub fn agents_now(&self, from: usize, limit: usize) -> Vec<AgentNow> {
        let places = (from..self.agents.len()).take(limit);
        let agents = places.map(|place| {
            let plan = &self.plan.agents[place];
            let (state, reason) = self.state_of(place);
            AgentNow {
                place,
                extension: plan.extension.clone(),
                agent: plan.name.clone(),
                group: plan.group.clone(),
                state,
                reason: reason.map(str::to_owned),
            }
        });
        agents.collect()
    }
}
