//! Channels and bridges: what the PBX is made of, as AMI shows it.

use std::borrow::Cow;
use std::sync::Arc;

use super::voice::{Class, Event, Voice};

/// The state of a channel (`ast_channel_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Down = 0,
    Ring = 4,
    Ringing = 5,
    Up = 6,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            State::Down => "Down",
            State::Ring => "Ring",
            State::Ringing => "Ringing",
            State::Up => "Up",
        }
    }
}

/// A number and a name, as caller id; `<unknown>` where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Party {
    pub(crate) number: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// One channel: one leg of a call.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// The running number in its unique id.
    pub(crate) id: u64,
    /// The call it belongs to.
    pub(crate) call: u64,
    pub(crate) name: Box<str>,
    pub(crate) unique: Arc<str>,
    pub(crate) linked: Arc<str>,
    pub(crate) state: State,
    pub(crate) caller: Party,
    pub(crate) connected: Party,
    pub(crate) context: Cow<'static, str>,
    pub(crate) exten: Arc<str>,
    pub(crate) priority: u8,
    pub(crate) application: &'static str,
    pub(crate) application_data: Arc<str>,
    pub(crate) since_ms: i64,
    /// The bridge it is in.
    pub(crate) bridge: Option<Arc<str>>,
}

impl Channel {
    /// Goes to a place in the dialplan.
    pub(crate) fn goto(&mut self, context: impl Into<Cow<'static, str>>, exten: &Arc<str>, priority: u8) {
        self.context = context.into();
        self.exten = exten.clone();
        self.priority = priority;
    }

    /// Runs an application of the dialplan.
    pub(crate) fn run(&mut self, application: &'static str, data: impl AsRef<str>) {
        self.application = application;
        self.application_data = Arc::from(data.as_ref());
    }
}

impl<'a> Event<'a> {
    /// Adds the snapshot of a channel, each header with this prefix.
    pub(crate) fn channel(self, prefix: &str, c: &Channel) -> Event<'a> {
        if !self.heard() {
            return self;
        }
        self.put2(prefix, "Channel", &c.name)
            .put2(prefix, "ChannelState", c.state as u8)
            .put2(prefix, "ChannelStateDesc", c.state.text())
            .put2(prefix, "CallerIDNum", &c.caller.number)
            .put2(prefix, "CallerIDName", &c.caller.name)
            .put2(prefix, "ConnectedLineNum", &c.connected.number)
            .put2(prefix, "ConnectedLineName", &c.connected.name)
            .put2(prefix, "Language", "en")
            .put2(prefix, "AccountCode", "")
            .put2(prefix, "Context", &c.context)
            .put2(prefix, "Exten", &c.exten)
            .put2(prefix, "Priority", c.priority)
            .put2(prefix, "Uniqueid", &c.unique)
            .put2(prefix, "Linkedid", &c.linked)
    }

    /// Adds the snapshot of a bridge.
    pub(crate) fn bridge(self, prefix: &str, id: &str, channels: u32) -> Event<'a> {
        self.put2(prefix, "BridgeUniqueid", id)
            .put2(prefix, "BridgeType", "basic")
            .put2(prefix, "BridgeTechnology", "simple_bridge")
            .put2(prefix, "BridgeCreator", "<unknown>")
            .put2(prefix, "BridgeName", "<unknown>")
            .put2(prefix, "BridgeNumChannels", channels)
            .put2(prefix, "BridgeVideoSourceMode", "none")
    }
}

/// The events of one channel, or of one channel and the one it dials.
impl Voice {
    /// An event that is a channel's snapshot and nothing more: `Newchannel`, `Newstate`, `NewConnectedLine`, `Hold`, …
    pub(crate) fn plain(&mut self, now: i64, name: &'static str, c: &Channel) {
        self.event(name, Class::Call, now).channel("", c).end();
    }

    /// `NewCallerid`.
    pub(crate) fn new_caller_id(&mut self, now: i64, c: &Channel) {
        self.event("NewCallerid", Class::Call, now)
            .channel("", c)
            .put("CID-CallingPres", "0 (Presentation Allowed, Not Screened)")
            .end();
    }

    /// `Hold`, with the music that the phone asked for.
    pub(crate) fn hold(&mut self, now: i64, c: &Channel, music: Option<&str>) {
        let event = self.event("Hold", Class::Call, now).channel("", c);
        match music {
            Some(music) => event.put("MusicClass", music),
            None => event,
        }
        .end();
    }

    /// `BridgeEnter` of a channel that takes another's place.
    pub(crate) fn bridge_swap(&mut self, now: i64, id: &str, channels: u32, c: &Channel, out: &str) {
        let event = self.event("BridgeEnter", Class::Call, now).bridge("", id, channels);
        event.channel("", c).put("SwapUniqueid", out).end();
    }

    /// `MusicOnHoldStart`.
    pub(crate) fn music_starts(&mut self, now: i64, c: &Channel) {
        self.event("MusicOnHoldStart", Class::Call, now).channel("", c).put("Class", "default").end();
    }

    /// `DTMFEnd`: a key the other side pressed.
    pub(crate) fn key(&mut self, now: i64, c: &Channel, digit: char) {
        self.event("DTMFEnd", Class::Dtmf, now)
            .channel("", c)
            .put("Digit", digit)
            .put("DurationMs", 160)
            .put("Direction", "Received")
            .end();
    }

    /// `UserEvent` with its own headers.
    pub(crate) fn user(&mut self, now: i64, c: &Channel, name: &str, headers: &[(&str, &str)]) {
        let mut event = self.event("UserEvent", Class::User, now).channel("", c).put("UserEvent", name);
        for (key, value) in headers {
            event = event.put(key, value);
        }
        event.end();
    }

    /// `DialBegin`; no caller channel when the PBX itself dials (Originate).
    pub(crate) fn dial_begin(&mut self, now: i64, from: Option<&Channel>, to: &Channel, dialled: &str) {
        let event = self.event("DialBegin", Class::Call, now);
        let event = match from {
            Some(c) => event.channel("", c),
            None => event,
        };
        event.channel("Dest", to).put("DialString", dialled).end();
    }

    /// `DialState` or `DialEnd` with its status.
    pub(crate) fn dial(&mut self, now: i64, name: &'static str, from: Option<&Channel>, to: &Channel, status: &str) {
        let event = self.event(name, Class::Call, now);
        let event = match from {
            Some(c) => event.channel("", c),
            None => event,
        };
        event.channel("Dest", to).put("DialStatus", status).end();
    }

    /// `HangupRequest`: the other side of the channel hung up, with its cause where the protocol gave one.
    pub(crate) fn hangup_request(&mut self, now: i64, c: &Channel, cause: Option<(u8, u16)>) {
        let event = self.event("HangupRequest", Class::Call, now).channel("", c);
        match cause {
            Some((cause, tech)) => event.put("Cause", cause).put("TechCause", tech),
            None => event,
        }
        .end();
    }

    /// `SoftHangupRequest`: the PBX itself ends the channel.
    pub(crate) fn soft_hangup(&mut self, now: i64, c: &Channel) {
        self.event("SoftHangupRequest", Class::Call, now).channel("", c).put("Cause", 16).end();
    }

    /// `Hangup` with its cause (Q.850) and, for a refusal, the SIP code.
    pub(crate) fn hangup(&mut self, now: i64, c: &Channel, cause: u8, tech: Option<u16>) {
        let text = match cause {
            0 => "Unknown",
            16 => "Normal Clearing",
            17 => "User busy",
            19 => "User alerting, no answer",
            _ => "Interworking, unspecified",
        };
        let event = self.event("Hangup", Class::Call, now).channel("", c).put("Cause", cause).put("Cause-txt", text);
        match tech {
            Some(tech) => event.put("TechCause", tech),
            None => event,
        }
        .end();
    }

    /// `BridgeCreate` or `BridgeDestroy`.
    pub(crate) fn bridge_life(&mut self, now: i64, name: &'static str, id: &str) {
        self.event(name, Class::Call, now).bridge("", id, 0).end();
    }

    /// `BridgeEnter` or `BridgeLeave`, with how many are in the bridge afterwards.
    pub(crate) fn bridge_move(&mut self, now: i64, name: &'static str, id: &str, channels: u32, c: &Channel) {
        self.event(name, Class::Call, now).bridge("", id, channels).channel("", c).end();
    }

    /// `DeviceStateChange`.
    pub(crate) fn device(&mut self, now: i64, device: &str, state: &str) {
        self.event("DeviceStateChange", Class::Call, now).put("Device", device).put("State", state).end();
    }
}
