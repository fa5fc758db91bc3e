//! The centre itself: a discrete-event simulation of callers, a menu, queues and agents on a PBX. Pure: no clock, no
//! socket, no task. Time moves only by [`Centre::advance`]; what the PBX says comes out as [`Frame`]s, what really
//! happened stands in the [`truth`] ledger.
//!
//! Invariant: the same plan and seed give the same frames, byte for byte, however the steps of `advance` are cut.
//!
//! Invariant: no queue has at once a caller who may be offered and an agent who may be called.

pub(crate) mod agenda;
mod arrivals;
mod cdr;
pub(crate) mod chance;
pub(crate) mod channel;
mod consult;
mod desk;
mod member;
mod menu;
pub mod orders;
mod outbound;
mod queueing;
mod ringing;
mod snapshot;
mod talk;
mod transfer;
pub mod truth;
pub(crate) mod voice;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use self::agenda::{Agenda, Due};
use self::arrivals::Arrivals;
use self::channel::{Channel, Party, State};
use self::desk::Agent;
use self::queueing::{Queue, Waiting};
pub use self::snapshot::{AgentNow, List};
use self::talk::Talking;
use self::voice::Voice;
pub(crate) use self::voice::field as voice_field;
pub use self::voice::{Class, Frame};
use crate::plan::Plan;

/// A call centre in progress.
#[derive(Debug)]
pub struct Centre {
    plan: Arc<Plan>,
    seed: u64,
    now: i64,
    started_ms: i64,
    agenda: Agenda,
    voice: Voice,
    truth: truth::Ledger,
    calls: BTreeMap<u64, Call>,
    channels: BTreeMap<u64, Channel>,
    agents: Vec<Agent>,
    queues: Vec<Queue>,
    arrivals: Arrivals,
    agents_rng: ChaCha8Rng,
    words: Words,
    counters: Counters,
}

/// Texts that many channels share.
#[derive(Debug)]
struct Words {
    s: Arc<str>,
    h: Arc<str>,
    empty: Arc<str>,
    nobody: Party,
    dids: Vec<Arc<str>>,
    queues: Vec<Arc<str>>,
}

/// The PBX's running numbers.
#[derive(Debug, Default)]
struct Counters {
    call: u64,
    unique: u64,
    serial: u32,
    local: u32,
    bridge: u64,
    place: u64,
    rung: u64,
    trunk_channels: u32,
}

/// One call.
#[derive(Debug)]
struct Call {
    /// The first channel: the customer's, or the agent's of a call out.
    chan: u64,
    number: u64,
    did: Option<usize>,
    rng: ChaCha8Rng,
    phase: Phase,
    /// Stamps of the timers of the menu, of the stay in a queue, of the ring, of the conversation.
    menu: u32,
    visit: u32,
    ring: u32,
    leg: u32,
    /// What the one who placed the call by hand wants of it.
    wish: orders::Wish,
    cdrs: Vec<cdr::Cdr>,
}

/// Where a call is.
#[derive(Debug)]
enum Phase {
    Menu,
    Waiting(Waiting),
    Talking(Talking),
    /// Talking to an outside line after a blind transfer.
    Outside,
    /// A call out whose far end rings, or whose agent is being rung on order.
    CallingOut(outbound::CallingOut),
}

/// A summary for the control API.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Gauge {
    /// Simulated time, ms.
    pub now_ms: i64,
    /// Calls in progress.
    pub calls: usize,
    /// Channels in progress.
    pub channels: usize,
    /// Callers waiting, by queue.
    pub waiting: BTreeMap<String, usize>,
    /// Agents by state.
    pub agents: BTreeMap<truth::State, usize>,
    /// Events said since the start, warm-up included.
    pub events: u64,
    /// Calls begun since the start, warm-up included.
    pub calls_begun: u64,
}

impl Centre {
    /// A centre that starts at `start_ms`, busy already: the plan's warm-up is played, unheard, before that moment.
    pub fn new(plan: Arc<Plan>, seed: u64, start_ms: i64) -> Centre {
        let queues: Vec<String> = plan.queues.iter().map(|queue| queue.id.clone()).collect();
        let agents: Vec<String> = plan.agents.iter().map(|agent| agent.name.clone()).collect();
        let words = Words {
            s: Arc::from("s"),
            h: Arc::from("h"),
            empty: Arc::from(""),
            nobody: Party { number: Arc::from("<unknown>"), name: Arc::from("<unknown>") },
            dids: plan.lines.iter().map(|line| Arc::from(line.did.as_str())).collect(),
            queues: plan.queues.iter().map(|queue| Arc::from(queue.id.as_str())).collect(),
        };
        let begin = start_ms - plan.warm_up_ms;
        let mut centre = Centre {
            seed,
            now: begin,
            started_ms: start_ms,
            agenda: Agenda::default(),
            voice: Voice::new(&plan.system),
            truth: truth::Ledger::new(queues, agents, plan.truth_calls_max, plan.truth_changes_max),
            calls: BTreeMap::new(),
            channels: BTreeMap::new(),
            agents: plan.agents.iter().map(Agent::new).collect(),
            queues: plan.queues.iter().map(|_| Queue::default()).collect(),
            arrivals: Arrivals::new(seed, begin),
            agents_rng: chance::stream(seed, chance::Stream::Agents),
            words,
            counters: Counters::default(),
            plan,
        };
        centre.open_desks();
        centre.schedule_arrival();
        if centre.plan.warm_up_ms > 0 {
            centre.voice.muted = true;
            centre.advance(start_ms - 1);
            centre.voice.muted = false;
        }
        centre
    }

    /// Plays everything that is due by `until_ms`, and moves to that time.
    pub fn advance(&mut self, until_ms: i64) {
        while let Some((when, due)) = self.agenda.take(until_ms) {
            self.now = self.now.max(when);
            self.play(due);
        }
        self.now = self.now.max(until_ms);
    }

    /// When something will happen next, if anything will.
    pub fn next_ms(&self) -> Option<i64> {
        self.agenda.next_ms()
    }

    /// The simulated time, ms since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.now
    }

    /// When the centre started, the warm-up not counted.
    pub fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// Takes what the PBX has said since the last time.
    pub fn take_frames(&mut self) -> Vec<Frame> {
        self.voice.take()
    }

    /// What really happened.
    pub fn truth(&self) -> &truth::Ledger {
        &self.truth
    }

    /// The plan it plays.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// True when no more callers will come and none is left.
    pub fn is_finished(&self) -> bool {
        self.calls.is_empty() && self.arrivals_are_over()
    }

    /// How it goes.
    pub fn gauge(&self) -> Gauge {
        let mut agents: BTreeMap<truth::State, usize> = BTreeMap::new();
        for agent in 0..self.agents.len() {
            *agents.entry(self.state_of(agent).0).or_default() += 1;
        }
        let ids = self.plan.queues.iter().map(|queue| queue.id.clone());
        Gauge {
            now_ms: self.now,
            calls: self.calls.len(),
            channels: self.channels.len(),
            waiting: ids.zip(self.queues.iter().map(|queue| queue.waiting.len())).collect(),
            agents,
            events: self.voice.said,
            calls_begun: self.counters.call,
        }
    }

    fn play(&mut self, due: Due) {
        match due {
            Due::Arrive { stamp } => self.arrival_due(stamp),
            Due::Hour { stamp } => self.hour_due(stamp),
            Due::FloodEnds { stamp } => self.flood_ends(stamp),
            Due::Redial { number, line } => self.redial_due(number, line as usize),
            Due::Menu { call, stamp } => self.menu_due(call, stamp),
            Due::Patience { call, visit } => self.patience_due(call, visit),
            Due::Timeout { call, visit } => self.timeout_due(call, visit),
            Due::Retry { call, visit, ring } => self.retry_due(call, visit, ring),
            Due::Ring { call, ring } => self.ring_due(call, ring),
            Due::Talk { call, leg, turn } => self.talk_due(call, leg, turn),
            Due::Desk { agent, stamp, what } => self.desk_due(agent as usize, stamp, what),
            Due::CallOut { agent } => self.call_out_due(agent as usize),
        }
    }

    /// Makes a channel and says so. `linked` is the call's first channel; without it, this is the first.
    fn open_channel(
        &mut self,
        call: u64,
        name: &str,
        state: State,
        caller: Party,
        place: (impl Into<Cow<'static, str>>, Arc<str>),
        linked: Option<Arc<str>>,
    ) -> u64 {
        let id = self.counters.unique;
        self.counters.unique += 1;
        let unique: Arc<str> = format!("{}-{}.{id}", self.voice.system(), self.now.div_euclid(1000)).into();
        let channel = Channel {
            id,
            call,
            name: name.into(),
            linked: linked.unwrap_or_else(|| unique.clone()),
            unique,
            state,
            caller,
            connected: self.words.nobody.clone(),
            context: place.0.into(),
            exten: place.1,
            priority: 1,
            application: "",
            application_data: self.words.empty.clone(),
            since_ms: self.now,
            bridge: None,
        };
        self.voice.plain(self.now, "Newchannel", &channel);
        self.channels.insert(id, channel);
        id
    }

    /// Makes a channel of an agent's phone.
    fn open_phone(&mut self, call: u64, agent: usize, state: State, exten: Arc<str>, linked: Option<Arc<str>>) -> u64 {
        let serial = self.serial();
        let name = format!("PJSIP/{}-{serial:08x}", self.plan.agents[agent].extension);
        let party = self.agents[agent].party.clone();
        self.open_channel(call, &name, state, party, ("agents", exten), linked)
    }

    /// Makes a channel of the trunk.
    fn open_trunk(&mut self, call: u64, state: State, caller: Party, exten: Arc<str>, linked: Option<Arc<str>>) -> u64 {
        let name = format!("PJSIP/trunk-{:08x}", self.serial());
        let id = self.open_channel(call, &name, state, caller, ("inbound", exten), linked);
        self.counters.trunk_channels += 1;
        if self.counters.trunk_channels == 1 {
            self.voice.device(self.now, "PJSIP/trunk", "INUSE");
        }
        id
    }

    /// Hangs a channel up and forgets it.
    fn close_channel(&mut self, id: u64, cause: u8, tech: Option<u16>) {
        let Some(channel) = self.channels.remove(&id) else { return };
        self.voice.hangup(self.now, &channel, cause, tech);
        if channel.name.starts_with("PJSIP/trunk-") {
            self.counters.trunk_channels -= 1;
            if self.counters.trunk_channels == 0 {
                self.voice.device(self.now, "PJSIP/trunk", "NOT_INUSE");
            }
        }
    }

    /// Sets the state of a channel and says so.
    fn set_state(&mut self, id: u64, state: State) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.state = state;
            self.voice.plain(self.now, "Newstate", channel);
        }
    }

    /// Sets whom a channel is connected to and says so.
    fn connect_line(&mut self, id: u64, party: Party) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.connected = party;
            self.voice.plain(self.now, "NewConnectedLine", channel);
        }
    }

    /// A bridge with these channels in it, in this order.
    fn open_bridge(&mut self, channels: &[u64]) -> Arc<str> {
        let id = self.bridge_id();
        self.voice.bridge_life(self.now, "BridgeCreate", &id);
        for (n, channel) in channels.iter().enumerate() {
            self.enter_bridge(&id, *channel, n as u32 + 1);
        }
        id
    }

    fn enter_bridge(&mut self, bridge: &Arc<str>, channel: u64, then: u32) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.bridge = Some(bridge.clone());
            self.voice.bridge_move(self.now, "BridgeEnter", bridge, then, channel);
        }
    }

    fn leave_bridge(&mut self, bridge: &Arc<str>, channel: u64, then: u32) {
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.bridge = None;
            self.voice.bridge_move(self.now, "BridgeLeave", bridge, then, channel);
        }
    }

    fn serial(&mut self) -> u32 {
        let serial = self.counters.serial;
        self.counters.serial = serial.wrapping_add(1);
        serial
    }

    /// A bridge id in the form of a random UUID, but of the seed: two runs of one seed name their bridges alike.
    fn bridge_id(&mut self) -> Arc<str> {
        self.counters.bridge += 1;
        let mix = |mut x: u64| {
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        let a = mix(self.seed.wrapping_add(self.counters.bridge.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let b = mix(a ^ self.counters.bridge);
        let (p, q, r) = (a >> 32, (a >> 16) & 0xffff, a & 0xfff);
        format!("{p:08x}-{q:04x}-4{r:03x}-8{:03x}-{:012x}", b >> 52, b & 0xffff_ffff_ffff).into()
    }

    /// Whole seconds since the epoch, as the PBX counts in its queues.
    fn seconds(&self) -> i64 {
        self.now.div_euclid(1000)
    }

    fn later(&mut self, after_ms: i64, due: Due) {
        self.agenda.at(self.now + after_ms.max(0), due);
    }
}
