//! A snapshot set against what is known: what is new is said (`snapshot`), what is gone is closed (`inferred`).
//!
//! What is gone is only a candidate at first: an event on its way may explain it. [`Translator::close_gone`] runs after a
//! pong that was asked for behind the lists, when every event from before them has arrived.

use std::collections::{BTreeMap, BTreeSet};

use model::event::call::{Direction, QueueExit};
use model::event::queue;
use model::event::source::SnapshotTaken;
use model::{Quality, SourceId, Subject};

use crate::frame::Frame;
use crate::pattern::{Technology, endpoint, technology};
use crate::snapshot::Snapshot;
use crate::state::{Alert, Call, Kind, Left, Queue};
use crate::translate::Translator;

/// What a snapshot did not show any more.
#[derive(Debug, Default)]
pub struct Gone {
    legs: Vec<String>,
    stays: Vec<(String, String, u32)>,
    bridged: BTreeMap<String, (String, i64)>,
}

impl Translator {
    /// Sets a snapshot, taken at `now_us` by the PBX's clock, against what is known.
    pub fn apply(&mut self, snapshot: &Snapshot, now_us: i64) -> Gone {
        self.advance(now_us);
        let whole = snapshot.beyond == 0;
        if !whole {
            let kind = "the PBX's lists are longer than is read: nothing is concluded from what they do not name";
            self.leave_out_bytes(kind, || format!("{} rows more", snapshot.beyond));
        }
        for _ in 0..snapshot.odd {
            self.leave_out_bytes("a row of the PBX's lists names what cannot be", String::new);
        }
        self.quality = Some(Quality::Snapshot);
        for frame in &snapshot.params {
            self.queue_params(frame, now_us);
        }
        self.members_listed(&snapshot.members, whole, now_us);
        for frame in &snapshot.devices {
            self.device_state(frame, now_us);
        }
        if let Some(contacts) = &snapshot.contacts {
            self.contacts_listed(contacts, whole, now_us);
        }
        let begun: BTreeMap<String, i64> = self.channels_listed(&snapshot.channels, now_us);
        for frame in &snapshot.entries {
            self.entry_listed(frame, now_us);
        }
        let gone = if whole { self.candidates(snapshot, &begun) } else { Gone::default() };
        self.parts_listed(&snapshot.channels, &begun, &gone);
        self.members_over(now_us);
        self.quality = None;
        gone
    }

    fn queue_params(&mut self, frame: &Frame, at: i64) {
        let Some(name) = frame.get("Queue") else { return };
        let now = Queue {
            strategy: frame.get("Strategy").map(str::to_owned),
            service_level_s: frame.number("ServiceLevel"),
            waiting_max: frame.number("Max").filter(|max: &u32| *max > 0),
        };
        if self.queues.get(name) == Some(&now) {
            return;
        }
        let configured = queue::Configured {
            name: None,
            strategy: now.strategy.clone(),
            service_level_s: now.service_level_s,
            waiting_max: now.waiting_max,
        };
        if !self.queues.contains_key(name) && !self.has_room(self.queues.len()) {
            return self.leave_out(frame, "more queues than names_max");
        }
        self.queues.insert(name.to_owned(), now);
        self.touch("queue", name);
        self.say(at, Subject::Queue(name.into()), configured, format!("configured|{name}|{at}"));
    }

    fn members_listed(&mut self, rows: &[Frame], whole: bool, at: i64) {
        let mut listed = BTreeSet::new();
        self.listed = Some(BTreeMap::new());
        for frame in rows {
            let Some((queue, interface)) =
                frame.get("Queue").zip(frame.get("Location").or_else(|| frame.get("Interface")))
            else {
                self.refuse(frame, "QueueMember without Queue or Location");
                continue;
            };
            listed.insert((self.agent_of_member(interface, frame.get("Name")), queue.to_owned()));
            self.member(frame, queue, interface, at);
        }
        let known = self.agents.values().flat_map(|a| a.queues.keys().map(|queue| (a.id.clone(), queue.clone())));
        let gone: Vec<_> = known.filter(|pair| whole && !listed.contains(pair)).collect();
        self.quality = Some(Quality::Inferred);
        for (agent, queue) in gone {
            self.leave_queue(&agent, &queue, at);
        }
        self.quality = Some(Quality::Snapshot);
    }

    fn contacts_listed(&mut self, rows: &[Frame], whole: bool, at: i64) {
        let mut listed = BTreeSet::new();
        for frame in rows {
            let Some(endpoint) = frame.get("Endpoint") else { continue };
            let name = format!("PJSIP/{endpoint}");
            if matches!(frame.get("Status"), Some("Unreachable" | "Unavailable")) {
                continue;
            }
            self.registered(&name, frame.get("Uri"), at);
            listed.insert(name);
        }
        let was = self.devices.iter().filter(|(name, d)| d.registered == Some(true) && name.starts_with("PJSIP/"));
        let gone: Vec<_> = was.map(|(name, _)| name.clone()).filter(|name| whole && !listed.contains(name)).collect();
        for name in gone {
            self.unregistered(&name, "gone", at);
        }
    }

    /// Takes in channels that are new to us; gives when each listed channel began.
    fn channels_listed(&mut self, rows: &[Frame], now_us: i64) -> BTreeMap<String, i64> {
        let mut begun = BTreeMap::new();
        // The caller's channel first: it names the call's beginning and direction.
        let mut rows: Vec<&Frame> = rows.iter().collect();
        rows.sort_by_key(|row| (row.get("Linkedid") != row.get("Uniqueid"), row.get("Uniqueid").map(str::to_owned)));
        let mut touched = BTreeSet::new();
        for frame in rows {
            let (Some(uid), Some(channel)) = (frame.get("Uniqueid"), frame.get("Channel")) else { continue };
            if technology(channel) == Technology::Internal {
                continue;
            }
            let since = now_us - duration_s(frame) * 1_000_000;
            begun.insert(uid.to_owned(), since);
            if self.legs.contains_key(uid) {
                continue;
            }
            if self.legs.len() >= self.plan.config.channels_max {
                self.leave_out(frame, "more channels than channels_max");
                continue;
            }
            let id = frame.get("Linkedid").unwrap_or(uid).to_owned();
            let known = self.take(&id);
            let begins = known.is_none();
            let mut call = known.unwrap_or_else(|| Call::begin(&id, uid, since));
            let kind = self.adopt(&mut call, uid, channel, frame.get("Context"));
            if begins {
                call.ani = frame.get("CallerIDNum").map(str::to_owned);
                if kind == Kind::Trunk {
                    call.direction = Some(Direction::Inbound);
                    call.trunk = Some(endpoint(channel).to_owned());
                }
            } else if kind == Kind::Trunk && call.direction.is_none() {
                call.direction = Some(Direction::Outbound);
            }
            touched.insert(id);
            self.put(call);
        }
        for id in touched {
            if let Some(mut call) = self.take(&id) {
                if call.is_real() {
                    self.ensure_offered(&mut call, Direction::Internal);
                }
                self.put(call);
            }
        }
        begun
    }

    fn entry_listed(&mut self, frame: &Frame, now_us: i64) {
        let (Some(uid), Some(queue)) = (frame.get("Uniqueid"), frame.get("Queue")) else { return };
        let Some(mut call) = self.call_of(uid).and_then(|id| self.take(&id)) else { return };
        let wait_s: i64 = frame.number("Wait").filter(|s| (0..864_000).contains(s)).unwrap_or(0);
        let since = (now_us - wait_s * 1_000_000).max(call.began_us);
        self.enter_queue(&mut call, uid, queue, frame.number("Position"), frame.number("Priority"), since);
        if let Some(stay) = call.stay.as_mut().filter(|stay| stay.uid == uid && stay.queue == queue) {
            stay.desk = false;
        }
        self.put(call);
    }

    fn candidates(&self, snapshot: &Snapshot, begun: &BTreeMap<String, i64>) -> Gone {
        let waiting: BTreeSet<(&str, &str)> =
            snapshot.entries.iter().filter_map(|f| f.get("Uniqueid").zip(f.get("Queue"))).collect();
        let stays = self.calls.values().filter_map(|call| {
            let stay = call.stay.as_ref().filter(|stay| stay.left.is_none())?;
            let there = waiting.contains(&(stay.uid.as_str(), stay.queue.as_str()));
            (!there).then(|| (call.id.clone(), stay.queue.clone(), stay.nth))
        });
        let mut legs: Vec<String> = self.legs.keys().filter(|uid| !begun.contains_key(*uid)).cloned().collect();
        // In one order always, callers first: a call ends with its caller, and its parts with the call.
        let begins = |uid: &String| self.calls.get(&self.legs[uid]).is_some_and(|call| call.caller == *uid);
        legs.sort_by_cached_key(|uid| (!begins(uid), uid.clone()));
        Gone { legs, stays: stays.collect(), bridged: self.bridged(&snapshot.channels, begun) }
    }

    /// Phones that are bridged with somebody now, by the channel they are bridged with.
    fn bridged(&self, rows: &[Frame], begun: &BTreeMap<String, i64>) -> BTreeMap<String, (String, i64)> {
        let mut bridges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for frame in rows {
            if let Some((bridge, uid)) = frame.get("BridgeId").zip(frame.get("Uniqueid")) {
                bridges.entry(bridge).or_default().push(uid);
            }
        }
        let mut pairs = BTreeMap::new();
        for parties in bridges.values() {
            for phone in parties.iter().filter(|uid| self.leg_kind(uid) == Some(Kind::Phone)) {
                for other in parties.iter().filter(|uid| *uid != phone) {
                    pairs.insert((*other).to_owned(), ((*phone).to_owned(), begun.get(*phone).copied().unwrap_or(0)));
                }
            }
        }
        pairs
    }

    fn leg_kind(&self, uid: &str) -> Option<Kind> {
        self.calls.get(self.legs.get(uid)?)?.legs.get(uid).map(|leg| leg.kind)
    }

    /// Phones that ring or speak for calls outside any queue that we knew nothing of.
    fn parts_listed(&mut self, rows: &[Frame], begun: &BTreeMap<String, i64>, gone: &Gone) {
        for frame in rows {
            let (Some(uid), Some(channel)) = (frame.get("Uniqueid"), frame.get("Channel")) else { continue };
            let since = begun.get(uid).copied().unwrap_or_else(|| self.now_us());
            let Some(mut call) = self.call_of(uid).and_then(|id| self.take(&id)) else { continue };
            let is_phone = !call.drill && call.legs.get(uid).is_some_and(|leg| leg.kind == Kind::Phone);
            let (device, since) = (endpoint(channel).to_owned(), since.max(call.last_us));
            let agent = self.agent_of(&device);
            let dialled = is_phone && call.caller != uid;
            if dialled && frame.get("ChannelState") == Some("5") && !call.alerts.contains_key(uid) {
                self.ringing_listed(&mut call, uid, agent, device, since);
            } else if dialled
                && call.stay.is_none()
                && !call.talks.contains_key(call.key(uid))
                && gone.bridged.values().any(|(phone, _)| phone == uid)
            {
                self.speak(&mut call, uid, &agent, &device, since);
            }
            self.put(call);
        }
    }

    fn ringing_listed(&mut self, call: &mut Call, uid: &str, agent: String, device: String, since: i64) {
        let queue = call.stay.as_ref().map(|stay| stay.queue.clone());
        let alerting = model::event::call::Alerting {
            agent: agent.as_str().into(),
            device: Some(device.as_str().into()),
            queue: queue.as_deref().map(Into::into),
            team: None,
        };
        self.say_call(call, since, alerting, format!("alerting|{uid}"));
        self.alert_begun(&agent, uid, &call.id, queue.as_deref(), since);
        let desk = call.stay.as_ref().is_some_and(|stay| stay.desk);
        let alert = Alert { agent, device, queue, since_us: since, cancelled_us: None, desk };
        call.alerts.insert(uid.to_owned(), alert);
    }

    /// Closes what is gone indeed, no earlier than `last_seen_us`, and says that the snapshot was taken.
    pub fn close_gone(&mut self, gone: &Gone, source: &SourceId, last_seen_us: i64, now_us: i64) {
        self.advance(now_us);
        self.quality = Some(Quality::Inferred);
        self.lost_before_us = Some(now_us);
        for (id, queue, nth) in &gone.stays {
            self.close_stay(id, queue, *nth, gone, last_seen_us);
        }
        for uid in &gone.legs {
            let Some(mut call) = self.legs.remove(uid).and_then(|id| self.take(&id)) else { continue };
            let at = call.last_us.max(last_seen_us.min(now_us));
            if let Some(leg) = call.legs.remove(uid) {
                let key = call.key(uid).to_owned();
                if let Some(talk) = call.talks.get_mut(&key) {
                    talk.queue = None; // nobody will say AgentComplete any more
                }
                self.leg_gone(&mut call, &key, &leg, at);
            }
            self.put(call);
        }
        // Calls that only the backfill knew, and calls whose channels went while nobody looked.
        let empty: Vec<_> =
            self.calls.values().filter(|c| c.over_us.is_none() && c.legs.is_empty()).map(|c| c.id.clone()).collect();
        for id in empty {
            if let Some(mut call) = self.take(&id) {
                let at = call.last_us;
                self.end_call(&mut call, at, 0);
                self.put(call);
            }
        }
        self.lost_before_us = None;
        self.quality = Some(Quality::Snapshot);
        let calls = self.calls.values().filter(|c| c.over_us.is_none() && c.offered).map(|c| c.id.as_str().into());
        let agents = self.agents.values().filter(|a| a.said.is_some()).map(|a| a.id.as_str().into());
        let taken = SnapshotTaken { calls: calls.collect(), agents: agents.collect() };
        self.say(now_us, Subject::Source(source.clone()), taken, format!("snapshot|{now_us}"));
        self.quality = None;
    }

    /// A caller who waited is in no queue any more: answered when bridged with a phone, else we do not know.
    fn close_stay(&mut self, id: &str, queue: &str, nth: u32, gone: &Gone, last_seen_us: i64) {
        let Some(mut call) = self.take(id) else { return };
        let still = call.stay.as_ref().filter(|s| s.queue == queue && s.nth == nth && s.left.is_none()).cloned();
        if let Some(stay) = still.filter(|stay| call.legs.contains_key(&stay.uid)) {
            match gone.bridged.get(&stay.uid) {
                Some((phone, since)) if call.legs.contains_key(phone) => {
                    let device = call.legs.get(phone).map(|leg| endpoint(&leg.name).to_owned()).unwrap_or_default();
                    let agent = self.agent_of(&device);
                    let at = (*since).max(call.last_us);
                    match stay.desk {
                        true => self.answered_at_desk(&mut call, phone, &agent, &device, at),
                        false => self.connect(&mut call, phone, &agent, &device, at),
                    }
                }
                // no queue lists those for whom desk phones ring; their channel is there, and its end will tell
                _ if stay.desk => {}
                _ => {
                    let at_us = call.last_us.max(last_seen_us);
                    if let Some(stay) = call.stay.as_mut() {
                        stay.left = Some(Left { at_us, given_up: false, said: None, due_us: at_us });
                    }
                    self.settle_exit(&mut call, QueueExit::SourceLost);
                }
            }
        }
        self.put(call);
    }
}

/// `Duration` of a listed channel: `HH:MM:SS`, or seconds. More than three numbers are no duration.
fn duration_s(frame: &Frame) -> i64 {
    let text = frame.get("Duration").unwrap_or("0");
    text.splitn(3, ':')
        .try_fold(0i64, |sum, part| part.trim().parse::<i64>().ok().map(|n| sum * 60 + n.clamp(0, 1_000_000)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_never_more_than_its_clock_can_say() {
        let of = |text: &str| duration_s(&Frame::of([("Duration", text)]));
        assert_eq!((of("01:02:03"), of("75"), of("")), (3723, 75, 0));
        let long = ["999999999999"; 40].join(":");
        for odd in [long.as_str(), "1:1:1:1:1:1:1:1:1:1:1:1:1", "-9:9", "x:1"] {
            assert!((0..=3_661_000_000).contains(&of(odd).abs()), "{odd}");
        }
    }
}
