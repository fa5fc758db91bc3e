//! Phones: what they do, and whether they can be reached. Trunks, Local channels and the queues' pseudo devices are none.

use model::Subject;
use model::event::device::{self, State};

use super::Translator;
use crate::frame::Frame;
use crate::pattern::is_phone;

impl Translator {
    fn is_device(&self, name: &str) -> bool {
        is_phone(name) && !self.plan.is_trunk(name) && !self.trunks.contains(name)
    }

    pub(crate) fn device_state(&mut self, frame: &Frame, at: i64) {
        let Some((name, word)) = frame.get("Device").zip(frame.get("State")) else {
            return self.refuse(frame, "DeviceStateChange without Device or State");
        };
        let Some(state) = state_of(word).filter(|_| self.is_device(name)) else { return };
        let word = format!("{state:?}");
        if !self.devices.contains_key(name) && !self.has_room(self.devices.len()) {
            return self.leave_out(frame, "more devices than names_max");
        }
        let known = self.devices.entry(name.to_owned()).or_default();
        if known.state.as_ref() == Some(&word) {
            return;
        }
        known.state = Some(word);
        self.meet_phone(name);
        self.touch("device", name);
        let changed = device::StateChanged { state };
        self.say(at, Subject::Device(name.into()), changed, format!("device|{name}|{at}"));
    }

    pub(super) fn contact_status(&mut self, frame: &Frame, at: i64) {
        let Some(endpoint) = frame.get("EndpointName").or_else(|| frame.get("AOR")) else { return };
        let name = format!("PJSIP/{endpoint}");
        match frame.get("ContactStatus") {
            Some("Created" | "Reachable" | "NonQualified" | "Updated") => self.registered(&name, frame.get("URI"), at),
            Some(gone @ ("Removed" | "Unreachable")) => self.unregistered(&name, gone, at),
            _ => {}
        }
    }

    pub(super) fn peer_status(&mut self, frame: &Frame, at: i64) {
        let Some(peer) = frame.get("Peer") else { return };
        match frame.get("PeerStatus") {
            Some("Registered" | "Reachable") => self.registered(peer, frame.get("Address"), at),
            Some(gone @ ("Unregistered" | "Unreachable")) => self.unregistered(peer, gone, at),
            _ => {}
        }
    }

    pub(crate) fn registered(&mut self, name: &str, address: Option<&str>, at: i64) {
        if self.reachable(name, true) {
            let registered = device::Registered { address: address.map(str::to_owned) };
            self.say(at, Subject::Device(name.into()), registered, format!("registered|{name}|{at}"));
        }
    }

    pub(crate) fn unregistered(&mut self, name: &str, reason: &str, at: i64) {
        if self.reachable(name, false) {
            let unregistered = device::Unregistered { reason: Some(reason.to_lowercase()) };
            self.say(at, Subject::Device(name.into()), unregistered, format!("unregistered|{name}|{at}"));
        }
    }

    /// Notes whether a device can be reached; false when that is known, or it is no device of people.
    fn reachable(&mut self, name: &str, now: bool) -> bool {
        if !self.is_device(name) {
            return false;
        }
        if !self.devices.contains_key(name) && !self.has_room(self.devices.len()) {
            self.leave_out_bytes("more devices than names_max", || name.to_owned());
            return false;
        }
        let known = self.devices.entry(name.to_owned()).or_default();
        let news = known.registered != Some(now);
        known.registered = Some(now);
        if news {
            self.meet_phone(name);
            self.touch("device", name);
        }
        news
    }
}

fn state_of(word: &str) -> Option<State> {
    Some(match word {
        "NOT_INUSE" => State::Idle,
        "INUSE" | "BUSY" | "RINGINUSE" => State::InUse,
        "RINGING" => State::Ringing,
        "ONHOLD" => State::Held,
        "UNAVAILABLE" | "INVALID" => State::Unavailable,
        _ => return None,
    })
}
