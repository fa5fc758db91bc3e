//! Phones that are dialled without a queue: direct calls, calls out, targets of transfers.

use model::event::call::{self, Direction, RonaReason};

use super::Translator;
use crate::frame::Frame;
use crate::pattern::endpoint;
use crate::state::{Alert, Call, Consult, Kind, Leg, Talk};

impl Translator {
    pub(super) fn dial_begun(&mut self, frame: &Frame, at: i64) {
        let (Some(dest), Some(channel)) = (frame.get("DestUniqueid"), frame.get("DestChannel")) else { return };
        let Some(mut call) = self.call_of(dest).and_then(|id| self.take(&id)) else { return };
        let kind = call.legs.get(dest).map_or(Kind::Phone, |leg| leg.kind);
        let source = frame.get("Uniqueid").map(str::to_owned);
        match kind {
            Kind::Trunk => self.dialled_out(&mut call, source.as_deref(), frame),
            Kind::Phone => self.dialled_phone(&mut call, source.as_deref(), dest, channel, at),
            Kind::Local => {}
        }
        self.put(call);
    }

    fn dialled_out(&mut self, call: &mut Call, source: Option<&str>, frame: &Frame) {
        if call.offered || source.is_none() {
            return;
        }
        call.direction = Some(Direction::Outbound);
        let dialled =
            || frame.get("DialString").map(|s| s.rsplit('/').next().unwrap_or(s).split('@').next().unwrap_or(s));
        let number = frame.get("Exten").filter(|e| *e != "s").or_else(dialled);
        call.dnis = number.map(str::to_owned).or(call.dnis.take());
        call.trunk = frame.get("DestChannel").map(|c| endpoint(c).to_owned());
        self.ensure_offered(call, Direction::Outbound);
    }

    fn dialled_phone(&mut self, call: &mut Call, source: Option<&str>, dest: &str, channel: &str, at: i64) {
        // Nobody dials: an originate rings its own first leg, which is no alert but the beginning of a call.
        let Some(source) = source.filter(|_| !call.drill) else { return };
        if self.is_queue_ring(call, source, dest) {
            return;
        }
        let device = endpoint(channel).to_owned();
        let agent = self.agent_of(&device);
        if let Some(local) = call.other_half(source).map(str::to_owned) {
            if call.alerts.contains_key(&local) || call.talks.contains_key(&local) {
                call.stands_for.insert(dest.to_owned(), local);
                return;
            }
            // A Local half that nobody's queue rings, while an agent speaks: that agent asks a third party.
            if let Some(asking) = call.talks.values().next().map(|talk| talk.agent.clone()) {
                let to = self.person(&agent);
                let consulted = call::Consulted { agent: Some(asking.as_str().into()), to };
                self.say_call(call, at, consulted, format!("consulted|{dest}"));
                let consult =
                    Consult { agent: asking, target: agent, device, uid: dest.to_owned(), local: Some(local) };
                call.consult = Some(consult);
                return;
            }
        }
        if !call.pass("rung", dest) {
            return;
        }
        let queue = Translator::desk_queue(call, source);
        let alerting = call::Alerting {
            agent: agent.as_str().into(),
            device: Some(device.as_str().into()),
            queue: queue.as_deref().map(Into::into),
            team: None,
        };
        self.say_call(call, at, alerting, format!("alerting|{dest}"));
        call.hung_by = None;
        self.alert_begun(&agent, dest, &call.id, queue.as_deref(), at);
        let desk = queue.is_some();
        call.alerts.insert(dest.to_owned(), Alert { agent, device, queue, since_us: at, cancelled_us: None, desk });
    }

    /// Whether a dial is a queue's own: the queue says `AgentCalled`, before or after.
    fn is_queue_ring(&self, call: &Call, source: &str, dest: &str) -> bool {
        let waits = call.stay.as_ref().is_some_and(|stay| stay.uid == source && stay.left.is_none() && !stay.desk);
        waits || call.alerts.get(dest).is_some_and(|alert| alert.queue.is_some())
    }

    pub(super) fn dial_ended(&mut self, frame: &Frame, at: i64) {
        let (Some(dest), Some(status)) = (frame.get("DestUniqueid"), frame.get("DialStatus")) else { return };
        let Some(mut call) = self.call_of(dest).and_then(|id| self.take(&id)) else { return };
        let source = frame.get("Uniqueid").map(str::to_owned);
        if let Some(alert) = call.alerts.get_mut(dest).filter(|alert| alert.queue.is_some() && !alert.desk) {
            // Which of rung out, refused and taken back it was, the queue's own events say.
            if status == "CANCEL" {
                alert.cancelled_us.get_or_insert(at);
            }
        } else if status == "ANSWER" {
            match call.legs.get(dest).map(|leg| leg.kind) {
                Some(Kind::Phone) if source.is_some() => self.answered_direct(&mut call, dest, at),
                Some(Kind::Trunk) => self.answered_outside(&mut call, source.as_deref(), at),
                _ => {}
            }
        } else if let Some(alert) = call.alerts.remove(dest) {
            let reason = match status {
                "CANCEL" | "ABORT" => None,
                "BUSY" => Some(RonaReason::Busy),
                "NOANSWER" => call.legs.get(dest).map(refusal),
                _ => Some(RonaReason::Rejected),
            };
            self.alert_ended(&mut call, dest, &alert, reason, None, at);
        }
        self.put(call);
    }

    fn answered_direct(&mut self, call: &mut Call, dest: &str, at: i64) {
        let Some(alert) = call.alerts.remove(dest) else { return };
        if alert.desk && call.stay.as_ref().is_some_and(|stay| stay.left.is_none()) {
            return self.answered_at_desk(call, dest, &alert.agent, &alert.device, at);
        }
        self.speak(call, dest, &alert.agent, &alert.device, at);
    }

    /// The customer of a call out answered: the agent who began it speaks.
    fn answered_outside(&mut self, call: &mut Call, source: Option<&str>, at: i64) {
        let Some((agent, uid)) = call.starter.clone().zip(source) else { return };
        if call.direction != Some(Direction::Outbound) {
            return;
        }
        let Some(device) =
            call.legs.get(uid).filter(|leg| leg.kind == Kind::Phone).map(|leg| endpoint(&leg.name).to_owned())
        else {
            return;
        };
        self.speak(call, uid, &agent, &device, at);
    }

    /// An agent speaks in a call outside any queue, once for each channel.
    pub(crate) fn speak(&mut self, call: &mut Call, uid: &str, agent: &str, device: &str, at: i64) {
        if call.over_us.is_some() || call.drill || !call.answered.insert(uid.to_owned()) {
            return;
        }
        let answered = call::Answered {
            agent: Some(agent.into()),
            device: Some(device.into()),
            queue: None,
            waited_ms: None,
            team: None,
        };
        self.say_call(call, at, answered, format!("answered|{}|{uid}", call.id));
        call.hung_by = None;
        let (who, device) = (agent.to_owned(), device.to_owned());
        let talk = Talk { agent: who, device, queue: None, since_us: at, held: false, desk: false };
        call.talks.insert(uid.to_owned(), talk);
        self.talk_begun(agent, uid, &call.id, None, at);
    }

    /// Says how ringing ended that no answer ended: by the agent (`Some` reason) or for another cause.
    pub(crate) fn alert_ended(
        &mut self,
        call: &mut Call,
        uid: &str,
        alert: &Alert,
        reason: Option<RonaReason>,
        rang_ms: Option<u64>,
        at: i64,
    ) {
        let (agent, device) = (alert.agent.as_str().into(), Some(alert.device.as_str().into()));
        let queue = alert.queue.as_deref().map(Into::into);
        match reason {
            Some(reason) => {
                call.mark(at, &alert.agent);
                let rona = call::Rona { agent, device, queue, rang_ms, reason, team: None };
                self.say_call(call, at, rona, format!("rona|{uid}"));
            }
            None => {
                let cancelled = call::AlertCancelled { agent, device, queue, rang_ms };
                self.say_call(call, at, cancelled, format!("alert_cancelled|{uid}"));
            }
        }
        self.alert_over(&alert.agent, uid, at);
    }

    /// A ringing channel is gone. A queue's ringing may still be explained by `AgentRingNoAnswer`.
    pub(super) fn alert_gone(&mut self, call: &mut Call, uid: &str, leg: &Leg, at: i64) {
        let Some(mut alert) = call.alerts.remove(uid) else { return };
        let waits = call.stay.as_ref().is_some_and(|stay| stay.left.is_none());
        if alert.queue.is_some() && !alert.desk && waits {
            alert.cancelled_us.get_or_insert(at);
            self.alert_over(&alert.agent, uid, at);
            call.alerts.insert(uid.to_owned(), alert);
            return;
        }
        let refused = (alert.queue.is_none() || alert.desk) && alert.cancelled_us.is_none() && call.hung_by.is_none();
        let since = alert.cancelled_us.unwrap_or(at);
        self.alert_ended(call, uid, &alert, refused.then(|| refusal(leg)), None, since);
    }

    /// Every phone that still rings stops, for another cause than its agent.
    pub(crate) fn cancel_alerts(&mut self, call: &mut Call, at: i64) {
        for (uid, alert) in std::mem::take(&mut call.alerts) {
            let since = alert.cancelled_us.unwrap_or(at);
            self.alert_ended(call, &uid, &alert, None, None, since);
        }
    }

    /// An originate that failed names no channel of its own, only the endpoint: its number tells the direction.
    pub(super) fn originated(&mut self, frame: &Frame, _at: i64) {
        let (Some(channel), Some(exten)) = (frame.get("Channel"), frame.get("Exten")) else { return };
        let id = match frame.get("Uniqueid") {
            Some(uid) => self.call_of(uid),
            None => self
                .calls
                .values()
                .filter(|call| call.seen && !call.offered && call.over_us.is_none())
                .find(|call| call.legs.values().any(|leg| endpoint(&leg.name) == endpoint(channel)))
                .map(|call| call.id.clone()),
        };
        let Some(mut call) = id.and_then(|id| self.take(&id)) else { return };
        if !call.offered {
            call.dnis = Some(exten.to_owned());
        }
        self.put(call);
    }
}

/// Why a phone refused, by the causes heard from it.
pub(crate) fn refusal(leg: &Leg) -> RonaReason {
    match (leg.cause, leg.sip) {
        (17, _) | (_, 486 | 600) => RonaReason::Busy,
        (21, _) | (_, 403 | 603) => RonaReason::Rejected,
        (1 | 3 | 20 | 27 | 34 | 38 | 41 | 42, _) | (_, 404 | 408 | 480 | 503) => RonaReason::Rejected,
        _ => RonaReason::NoAnswer,
    }
}
