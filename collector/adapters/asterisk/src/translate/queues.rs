//! Waiting in a queue, being rung from it, being answered, and why a caller left it.
//!
//! `QueueCallerAbandon` also comes on timeouts. Whether the caller gave up is known when a hang-up was requested before it.
//! Else what follows decides, within `overflow_within` by the PBX's clock: another queue (`overflow`), the dialplan's own
//! word (`QUEUESTATUS`), or nothing of that kind (`timeout`). The time and the id of `call.dequeued` are those of leaving.

use model::event::call::{self, QueueExit};
use model::{Quality, Subject};

use super::Translator;
use super::dials::refusal;
use crate::frame::Frame;
use crate::pattern::endpoint;
use crate::state::{Alert, Call, Kind, Left, Leg, Stay, Talk};

impl Translator {
    /// The call of a queue event; one that we never heard of begins here.
    fn call_of_queue_event(&mut self, frame: &Frame, at: i64) -> Option<(Call, String)> {
        let (Some(uid), Some(channel)) = (frame.get("Uniqueid"), frame.get("Channel")) else {
            self.refuse(frame, "a queue's event without channel");
            return None;
        };
        let id = self.call_of(uid).unwrap_or_else(|| frame.get("Linkedid").unwrap_or(uid).to_owned());
        if !self.legs.contains_key(uid) && self.legs.len() >= self.plan.config.channels_max {
            self.leave_out(frame, "more channels than channels_max");
            return None;
        }
        let known = self.take(&id);
        let begins = known.is_none();
        let mut call = known.unwrap_or_else(|| Call::begin(&id, uid, at));
        if !call.legs.contains_key(uid) && call.over_us.is_none() {
            let kind = self.adopt(&mut call, uid, channel, None);
            if begins {
                call.ani = frame.get("CallerIDNum").map(str::to_owned);
                if kind == Kind::Trunk {
                    call.direction = Some(call::Direction::Inbound);
                    call.trunk = Some(endpoint(channel).to_owned());
                }
            }
        }
        Some((call, uid.to_owned()))
    }

    pub(super) fn joined(&mut self, frame: &Frame, at: i64) {
        let Some(queue) = frame.get("Queue") else { return self.refuse(frame, "QueueCallerJoin without Queue") };
        let Some((mut call, uid)) = self.call_of_queue_event(frame, at) else { return };
        let position = frame.number("Position");
        self.enter_queue(&mut call, &uid, queue, position, None, at);
        // No desk phone answered, and the queue itself goes on with the same caller: one stay.
        if let Some(stay) = call.stay.as_mut().filter(|stay| stay.uid == uid && stay.queue == queue) {
            stay.desk = false;
        }
        self.put(call);
    }

    /// The caller waits in a queue from now on, unless that is known already.
    pub(crate) fn enter_queue(
        &mut self,
        call: &mut Call,
        uid: &str,
        queue: &str,
        position: Option<u32>,
        priority: Option<i32>,
        at: i64,
    ) {
        let again = call.joins.get(&format!("{uid}|{queue}")).is_some_and(|(_, last)| at <= *last);
        if call.over_us.is_some() || again {
            return;
        }
        match &call.stay {
            Some(stay) if stay.left.is_none() && stay.uid == uid && stay.queue == queue => return,
            Some(stay) => {
                let cause = stay.left.map_or(QueueExit::Overflow, |left| left.before_another());
                self.settle_exit(call, cause);
            }
            None => {}
        }
        self.leave_node(call, at);
        let join = call.joins.entry(format!("{uid}|{queue}")).or_default();
        *join = (join.0 + 1, at);
        let nth = join.0;
        call.stay = Some(Stay { queue: queue.into(), uid: uid.into(), nth, since_us: at, left: None, desk: false });
        call.hung_by = None;
        let queued = call::Queued { queue: queue.into(), priority, position, offered_at: None };
        self.say_call(call, at, queued, format!("queued|{uid}|{queue}|{nth}"));
    }

    /// The stay that an event is about; one that began unseen began `hold_s` earlier.
    fn ensure_stay(&mut self, call: &mut Call, uid: &str, frame: &Frame, at: i64) {
        let Some(queue) = frame.get("Queue") else { return };
        if call.stay.as_ref().is_some_and(|stay| stay.queue == queue && stay.uid == uid) {
            return;
        }
        // A stay that was told and is over does not come back by an event told late or again.
        if call.joins.contains_key(&format!("{uid}|{queue}")) {
            return;
        }
        let hold_s: i64 = frame.number("HoldTime").filter(|s| (0..86_400).contains(s)).unwrap_or(0);
        let quality = self.quality.replace(Quality::Inferred);
        self.enter_queue(call, uid, queue, frame.number("OriginalPosition"), None, at - hold_s * 1_000_000);
        self.quality = quality;
    }

    /// `QueueCallerAbandon` (`given_up`) or `QueueCallerLeave`.
    pub(super) fn left(&mut self, frame: &Frame, at: i64, given_up: bool) {
        let Some(uid) = frame.get("Uniqueid") else { return };
        let Some(mut call) = self.call_of(uid).and_then(|id| self.take(&id)) else { return };
        if given_up && call.over_us.is_none() {
            self.ensure_stay(&mut call, uid, frame, at);
        }
        let hung = call.legs.get(uid).is_some_and(|leg| leg.hangup_us.is_some());
        let due_us = at + self.plan.config.queues.overflow_within.signed() * 1000;
        let queue = frame.get("Queue").unwrap_or_default();
        let Some(stay) = call.stay.as_mut().filter(|stay| stay.uid == uid && stay.queue == queue) else {
            return self.put(call);
        };
        if stay.left.is_none() {
            stay.left = Some(Left { at_us: at, given_up, said: None, due_us });
            let id = call.id.clone();
            if given_up && hung {
                self.settle_exit(&mut call, QueueExit::Abandoned);
            } else {
                self.schedule_exit(&id, due_us);
            }
        }
        self.put(call);
    }

    /// Says why and when the caller left the queue.
    pub(crate) fn settle_exit(&mut self, call: &mut Call, cause: QueueExit) {
        let Some(stay) = call.stay.take() else { return };
        let at = stay.left.map_or(call.last_us.max(stay.since_us), |left| left.at_us);
        self.cancel_alerts(call, at);
        // The receiver tells a short abandon from others by this; every other wait is told by the times.
        let waited = u64::try_from(at.div_euclid(1000) - stay.since_us.div_euclid(1000)).unwrap_or(0);
        let waited_ms = (cause == QueueExit::Abandoned).then_some(waited);
        let dequeued = call::Dequeued { queue: stay.queue.as_str().into(), cause, waited_ms };
        self.say_call(call, at, dequeued, format!("dequeued|{}|{}|{}", stay.uid, stay.queue, stay.nth));
    }

    pub(super) fn exit_due(&mut self, id: &str, at: i64) {
        let Some(mut call) = self.take(id) else { return };
        if let Some(left) = call.stay.as_ref().and_then(|stay| stay.left).filter(|left| left.due_us <= at) {
            self.settle_exit(&mut call, left.otherwise());
        }
        self.put(call);
    }

    /// The waiting channel is gone.
    pub(super) fn waiting_gone(&mut self, call: &mut Call, leg: &Leg, at: i64) {
        let Some(stay) = call.stay.as_mut() else { return };
        let cause = match stay.left {
            Some(left) if left.said.is_some() || left.given_up => left.otherwise(),
            _ if leg.hangup_us.is_some() => QueueExit::Abandoned,
            Some(left) => left.otherwise(),
            None if self.lost_before_us.is_some() => QueueExit::SourceLost,
            None => QueueExit::Error,
        };
        if stay.left.is_none() {
            stay.left = Some(Left { at_us: at, given_up: false, said: None, due_us: at });
        }
        self.settle_exit(call, cause);
    }

    /// The dialplan says how `Queue()` ended.
    pub(super) fn queue_status(&mut self, frame: &Frame, at: i64) {
        let Some(exit) = frame.get("QueueStatus").and_then(exit_of_status) else { return };
        let Some(uid) = frame.get("Uniqueid").map(str::to_owned) else { return };
        let Some(mut call) = self.call_of(&uid).and_then(|id| self.take(&id)) else { return };
        let queue = frame.get("Queue").map(str::to_owned);
        let elsewhere = |stay: &Stay| queue.as_ref().is_some_and(|queue| *queue != stay.queue);
        if let Some(left) = call.stay.as_ref().filter(|stay| elsewhere(stay)).and_then(|stay| stay.left) {
            self.settle_exit(&mut call, left.before_another());
        }
        match call.stay.as_mut().filter(|stay| stay.uid == uid) {
            Some(stay) => {
                if let Some(left) = stay.left.as_mut() {
                    left.said = Some(exit);
                }
                // Only a timeout can still turn out to be an overflow.
                if exit != QueueExit::Timeout && stay.left.is_some() {
                    self.settle_exit(&mut call, exit);
                }
            }
            // Turned away at the door: the queue never said that the caller came.
            None if matches!(exit, QueueExit::QueueFull | QueueExit::NoAgent) => {
                if let Some(queue) = queue.filter(|_| call.talks.is_empty() && call.over_us.is_none()) {
                    self.enter_queue(&mut call, &uid, &queue, None, None, at);
                    if let Some(stay) = call.stay.as_mut() {
                        stay.left = Some(Left { at_us: at, given_up: false, said: Some(exit), due_us: at });
                    }
                    self.settle_exit(&mut call, exit);
                }
            }
            None => {}
        }
        self.put(call);
    }

    pub(super) fn agent_called(&mut self, frame: &Frame, at: i64) {
        let Some((dest, interface)) = frame.get("DestUniqueid").zip(frame.get("Interface")) else {
            return self.refuse(frame, "AgentCalled without DestUniqueid or Interface");
        };
        let Some((mut call, uid)) = self.call_of_queue_event(frame, at) else { return };
        if call.over_us.is_none() && !call.answered.contains(dest) && call.pass("rung", dest) {
            self.ensure_stay(&mut call, &uid, frame, at);
            if !call.legs.contains_key(dest) {
                self.adopt(&mut call, dest, frame.get("DestChannel").unwrap_or(interface), None);
            }
            let agent = self.agent_of_member(interface, frame.get("MemberName"));
            let device = self.device_of(&agent, interface);
            let queue = frame.get("Queue").unwrap_or_default().to_owned();
            self.supersede(&mut call, &agent, &queue);
            let alerting = call::Alerting {
                agent: agent.as_str().into(),
                device: Some(device.as_str().into()),
                queue: Some(queue.as_str().into()),
                team: None,
            };
            self.say_call(&mut call, at, alerting, format!("alerting|{dest}"));
            self.alert_begun(&agent, dest, &call.id, Some(&queue), at);
            let alert = Alert { agent, device, queue: Some(queue), since_us: at, cancelled_us: None, desk: false };
            call.alerts.insert(dest.to_owned(), alert);
        }
        self.put(call);
    }

    /// A queue that rings an agent anew is done with ringing that agent before, though it never said how that ended.
    fn supersede(&mut self, call: &mut Call, agent: &str, queue: &str) {
        let old = |alert: &Alert| {
            alert.agent == agent && alert.queue.as_deref() == Some(queue) && alert.cancelled_us.is_some()
        };
        let uids: Vec<String> = call.alerts.iter().filter(|(_, a)| old(a)).map(|(uid, _)| uid.clone()).collect();
        for uid in uids {
            if let Some(alert) = call.alerts.remove(&uid) {
                let since = alert.cancelled_us.unwrap_or(alert.since_us);
                self.alert_ended(call, &uid, &alert, None, None, since);
            }
        }
    }

    pub(super) fn agent_rang_out(&mut self, frame: &Frame, at: i64) {
        let Some((dest, interface)) = frame.get("DestUniqueid").zip(frame.get("Interface")) else {
            return self.refuse(frame, "AgentRingNoAnswer without DestUniqueid or Interface");
        };
        let Some(uid) = frame.get("Uniqueid") else { return };
        let Some(mut call) = self.call_of(uid).and_then(|id| self.take(&id)) else { return };
        let known = call.alerts.remove(dest);
        let agent = self.agent_of_member(interface, frame.get("MemberName"));
        let counted = known.is_none() && call.marks.iter().any(|mark| mark.agent == agent && mark.is_of(at));
        if !counted && call.over_us.is_none() {
            let device = self.device_of(&agent, interface);
            let queue = frame.get("Queue").map(str::to_owned);
            let fresh = Alert { agent, device, queue, since_us: at, cancelled_us: None, desk: false };
            let alert = known.unwrap_or(fresh);
            let waits = call.legs.get(uid).is_none_or(|leg| leg.hangup_us.is_none());
            let dumped = frame.event() == Some("AgentDump");
            let reason = match call.legs.get(dest) {
                _ if dumped => call::RonaReason::Rejected,
                leg => leg.map_or(call::RonaReason::NoAnswer, refusal),
            };
            let reason = waits.then_some(reason);
            // RingTime is in milliseconds here, and counted in whole seconds.
            self.alert_ended(&mut call, dest, &alert, reason, frame.number("RingTime"), at);
        }
        self.put(call);
    }

    pub(super) fn agent_connected(&mut self, frame: &Frame, at: i64) {
        let Some((dest, interface)) = frame.get("DestUniqueid").zip(frame.get("Interface")) else {
            return self.refuse(frame, "AgentConnect without DestUniqueid or Interface");
        };
        let Some((mut call, uid)) = self.call_of_queue_event(frame, at) else { return };
        if call.over_us.is_none() && !call.answered.contains(dest) {
            self.ensure_stay(&mut call, &uid, frame, at);
            if !call.legs.contains_key(dest) {
                self.adopt(&mut call, dest, frame.get("DestChannel").unwrap_or(interface), None);
            }
            let agent = self.agent_of_member(interface, frame.get("MemberName"));
            self.connect(&mut call, dest, &agent, interface, at);
        }
        self.put(call);
    }

    /// An agent answers the waiting call: it leaves the queue and the talk begins, at one moment.
    pub(crate) fn connect(&mut self, call: &mut Call, dest: &str, agent: &str, interface: &str, at: i64) {
        let Some(queue) = call.stay.as_ref().map(|stay| stay.queue.clone()) else { return };
        // Ringing turns into talking below, with nothing in between.
        if let Some(alert) = call.alerts.remove(dest).filter(|alert| alert.agent != agent) {
            self.alert_over(&alert.agent, dest, at);
        }
        if let Some(stay) = call.stay.as_mut() {
            stay.left = Some(Left { at_us: at, given_up: false, said: Some(QueueExit::Answered), due_us: at });
        }
        self.settle_exit(call, QueueExit::Answered);
        call.answered.insert(dest.to_owned());
        call.hung_by = None;
        let device = self.device_of(agent, interface);
        let answered = call::Answered {
            agent: Some(agent.into()),
            device: Some(device.as_str().into()),
            queue: Some(queue.as_str().into()),
            waited_ms: None,
            team: None,
        };
        self.say_call(call, at, answered, format!("answered|{}|{dest}", call.id));
        let (agent_id, queue_id) = (agent.to_owned(), Some(queue.clone()));
        let talk = Talk { agent: agent_id, device, queue: queue_id, since_us: at, held: false, desk: false };
        call.talks.insert(dest.to_owned(), talk);
        self.talk_begun(agent, dest, &call.id, Some(&queue), at);
    }

    pub(super) fn agent_completed(&mut self, frame: &Frame, at: i64) {
        let Some(uid) = frame.get("Uniqueid") else { return };
        let Some((interface, queue)) = frame.get("Interface").zip(frame.get("Queue")) else { return };
        let id = self.call_of(uid).or_else(|| frame.get("Linkedid").map(str::to_owned));
        let Some(mut call) = id.and_then(|id| self.take(&id)) else { return };
        let agent = self.agent_of_member(interface, frame.get("MemberName"));
        // After a transfer the agent's channel may be gone before this is told, and is then not named.
        let dest = frame.get("DestUniqueid").map(str::to_owned).unwrap_or_else(|| {
            let talk = call.talks.iter().find(|(_, talk)| talk.agent == agent && talk.queue.as_deref() == Some(queue));
            talk.map_or_else(|| format!("{}-{agent}-{at}", call.id), |(uid, _)| uid.clone())
        });
        let by = match frame.get("Reason") {
            Some("agent") => call::Party::Agent,
            Some("caller") => call::Party::Caller,
            _ => call::Party::Unknown,
        };
        self.complete(&mut call, &dest, &agent, queue, by, at);
        self.put(call);
    }

    /// The agent is done with a queue's call: the talk ends, unless a transfer ended it, and after-call work begins.
    pub(crate) fn complete(&mut self, call: &mut Call, dest: &str, agent: &str, queue: &str, by: call::Party, at: i64) {
        if call.talks.remove(dest).is_some() {
            if by != call::Party::Unknown {
                call.hung_by.get_or_insert(by);
            }
            let released = call::Released { agent: Some(agent.into()), by, talked_ms: None };
            self.say_call(call, at, released, format!("released|{dest}"));
        }
        let id = call.id.clone();
        if call.pass("done", dest) {
            self.wrap_begun(agent, dest, &id, queue, at);
        }
    }

    /// Says that after-call work of a call is over; calls that ended hear of it too.
    pub(super) fn wrapped_up(&mut self, call: &str, uid: &str, agent: &str, wrap_up_ms: u64, at: i64) {
        let wrapped = call::WrappedUp { agent: Some(agent.into()), wrap_up_ms };
        self.say(at, Subject::Call(call.into()), wrapped, format!("wrapped_up|{uid}"));
    }
}

impl Left {
    /// The cause when nothing followed that tells.
    pub(super) fn otherwise(&self) -> QueueExit {
        self.said.unwrap_or(if self.given_up { QueueExit::Timeout } else { QueueExit::ExitKey })
    }

    /// The cause when another queue followed.
    fn before_another(&self) -> QueueExit {
        match (self.said, self.given_up) {
            (Some(QueueExit::Timeout) | None, true) => QueueExit::Overflow,
            _ => self.otherwise(),
        }
    }
}

/// What `${QUEUESTATUS}` means.
pub(crate) fn exit_of_status(status: &str) -> Option<QueueExit> {
    Some(match status {
        "TIMEOUT" => QueueExit::Timeout,
        "FULL" => QueueExit::QueueFull,
        "JOINEMPTY" | "LEAVEEMPTY" | "JOINUNAVAIL" | "LEAVEUNAVAIL" => QueueExit::NoAgent,
        "WITHDRAW" => QueueExit::Overflow,
        _ => return None,
    })
}
