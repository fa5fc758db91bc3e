//! Calls that are handed on: blind, after a consultation in a call apart (REFER with Replaces), or after one within the
//! call (AMI `Atxfer`, feature codes: the target is then a Local half).

use model::event::call::{self, Destination, TransferKind};

use super::Translator;
use crate::frame::Frame;
use crate::pattern::{Technology, endpoint, technology};
use crate::state::{Call, Kind};

/// Who takes an attended transfer over.
struct Target {
    to: Destination,
    /// The agent, device and channel who speak from now on; none outside or in a queue.
    speaks: Option<(String, String, String)>,
}

impl Translator {
    /// A phone whose agent holds a call begins another: a consultation apart.
    pub(super) fn consulted_apart(&mut self, channel: &str, uid: &str, exten: &str, at: i64) {
        let agent = self.agent_of(endpoint(channel));
        let Some(talks) = self.agents.get(&agent).map(|agent| agent.talks.clone()) else { return };
        let held = talks.iter().find_map(|(key, (id, _))| {
            self.calls.get(id).filter(|call| call.talks.get(key).is_some_and(|talk| talk.held)).map(|_| id.clone())
        });
        let Some(mut call) = held.and_then(|id| self.take(&id)) else { return };
        let to = self.destination(exten);
        let consulted = call::Consulted { agent: Some(agent.as_str().into()), to };
        self.say_call(&mut call, at, consulted, format!("consulted|{uid}"));
        self.put(call);
    }

    pub(super) fn blind_transfer(&mut self, frame: &Frame, at: i64) {
        if frame.get("Result") != Some("Success") {
            return;
        }
        let (Some(uid), Some(exten)) = (frame.get("TransfererUniqueid"), frame.get("Extension")) else {
            return self.refuse(frame, "BlindTransfer without TransfererUniqueid or Extension");
        };
        let to = self.destination(exten);
        let id = frame.get("TransfereeUniqueid").and_then(|uid| self.call_of(uid)).or_else(|| self.call_of(uid));
        let Some(mut call) = id.and_then(|id| self.take(&id)) else { return };
        self.hand_on(&mut call, frame, uid, "TransfererChannel", TransferKind::Blind, to, at);
        self.put(call);
    }

    /// The transferring agent's part of the call ends here.
    #[expect(clippy::too_many_arguments, reason = "one transfer has so many sides")]
    fn hand_on(
        &mut self,
        call: &mut Call,
        frame: &Frame,
        uid: &str,
        channel: &str,
        kind: TransferKind,
        to: Destination,
        at: i64,
    ) {
        let key = call.key(uid).to_owned();
        let talk = call.talks.remove(&key);
        let agent = match &talk {
            Some(talk) => Some(talk.agent.clone()),
            None => frame.get(channel).map(endpoint).filter(|e| !self.trunks.contains(*e)).map(|e| self.agent_of(e)),
        };
        call.hung_by = None;
        let transferred = call::Transferred { kind, agent: agent.as_deref().map(Into::into), to };
        self.say_call(call, at, transferred, format!("transferred|{uid}"));
        if let Some(talk) = talk {
            self.talk_gone(&talk, &key, at);
        }
    }

    pub(super) fn attended_transfer(&mut self, frame: &Frame, at: i64) {
        if frame.get("Result") != Some("Success") || frame.get("DestType") == Some("Fail") {
            return;
        }
        let Some(uid) = frame.get("OrigTransfererUniqueid") else {
            return self.refuse(frame, "AttendedTransfer without OrigTransfererUniqueid");
        };
        let id = frame.get("TransfereeUniqueid").and_then(|uid| self.call_of(uid)).or_else(|| self.call_of(uid));
        let Some(mut call) = id.and_then(|id| self.take(&id)) else { return };
        if frame.get("DestType") == Some("Threeway") {
            let agent = call.talks.get(call.key(uid)).map(|talk| talk.agent.as_str().into());
            let conferenced = call::Conferenced { agent, parties: Some(3) };
            self.say_call(&mut call, at, conferenced, format!("conferenced|{uid}|{at}"));
            return self.put(call);
        }
        let target = self.target_of(&call, frame);
        let (to, speaks) = match target {
            Some(target) => (target.to, target.speaks),
            None => (Destination::Device("unknown".into()), None),
        };
        self.hand_on(&mut call, frame, uid, "OrigTransfererChannel", TransferKind::Attended, to, at);
        call.consult = None;
        let id = call.id.clone();
        self.put(call);
        if let Some((agent, device, uid)) = speaks {
            self.move_leg(&uid, &id, at);
            if let Some(mut call) = self.take(&id) {
                // A microsecond later, so that the order of the two is told by the vendor's order too.
                self.speak(&mut call, &uid, &agent, &device, at + 1);
                self.put(call);
            }
        }
    }

    fn target_of(&mut self, call: &Call, frame: &Frame) -> Option<Target> {
        let (uid, channel) = match frame.get("TransferTargetUniqueid").zip(frame.get("TransferTargetChannel")) {
            Some((uid, channel)) => (uid.to_owned(), channel.to_owned()),
            // The consultation waits in an application (a queue): the extension it dialled says which.
            None => {
                let second = frame.get("SecondTransfererUniqueid")?;
                let leg = self.call_of(second).and_then(|id| self.calls.get(&id))?.legs.get(second)?;
                return Some(Target { to: self.destination(&leg.exten), speaks: None });
            }
        };
        if technology(&channel) == Technology::Local {
            let consult = call.consult.as_ref().filter(|c| c.local.as_deref() == Some(uid.as_str()));
            return match consult {
                Some(consult) => Some(Target {
                    to: self.person(&consult.target),
                    speaks: Some((consult.target.clone(), consult.device.clone(), consult.uid.clone())),
                }),
                None => frame.get("TransferTargetExten").map(|e| Target { to: self.destination(e), speaks: None }),
            };
        }
        if self.kind_of(&channel, None) == Kind::Trunk {
            let number = frame.get("TransferTargetCallerIDNum").unwrap_or(endpoint(&channel));
            return Some(Target { to: self.destination(number), speaks: None });
        }
        let device = endpoint(&channel).to_owned();
        let agent = self.agent_of(&device);
        Some(Target { to: self.person(&agent), speaks: Some((agent, device, uid)) })
    }

    /// A channel that goes on in another call, when the PBX has not said so by a new Linkedid yet.
    fn move_leg(&mut self, uid: &str, to: &str, at: i64) {
        let Some(from) = self.call_of(uid).filter(|from| from != to) else { return };
        let Some(mut old) = self.take(&from) else { return };
        let leg = old.legs.remove(uid);
        old.merged_into = Some(to.to_owned());
        if let Some(talk) = old.talks.remove(uid) {
            self.talk_over(&talk.agent, uid, at);
        }
        self.put(old);
        self.legs.insert(uid.to_owned(), to.to_owned());
        if let (Some(mut call), Some(leg)) = (self.take(to), leg) {
            call.legs.insert(uid.to_owned(), leg);
            self.put(call);
        }
    }
}
