//! What the dialplan itself says (`UserEvent`): IVR choices, typed digits, surveys, business data; and recordings.

use std::collections::BTreeMap;

use model::Subject;
use model::event::call;

use super::Translator;
use crate::frame::Frame;
use crate::state::Call;

/// Headers that the PBX adds to every UserEvent: not the dialplan's words.
const OF_THE_PBX: &[&str] = &[
    "Event",
    "Privilege",
    "Timestamp",
    "SystemName",
    "SequenceNumber",
    "File",
    "Line",
    "Func",
    "Channel",
    "ChannelState",
    "ChannelStateDesc",
    "CallerIDNum",
    "CallerIDName",
    "ConnectedLineNum",
    "ConnectedLineName",
    "Language",
    "AccountCode",
    "Context",
    "Exten",
    "Priority",
    "Uniqueid",
    "Linkedid",
    "UserEvent",
    "ActionID",
];
/// The most values taken of one event, and their longest text.
const VALUES_MAX: usize = 32;
const VALUE_CHARS_MAX: usize = 256;

impl Translator {
    pub(super) fn user_event(&mut self, frame: &Frame, at: i64) {
        let Some(name) = frame.get("UserEvent") else { return };
        let words = &self.plan.config.words;
        if name == words.queue_left {
            return self.queue_status(frame, at);
        }
        if name == words.hard_phone {
            return self.desks_ring(frame, at);
        }
        let (choice, input) = (name == words.ivr_choice, name == words.ivr_input);
        let values = input && words.ivr_input_values;
        let (survey, data) = (name == words.survey, words.data.iter().any(|n| n == name));
        if !(choice || input || survey || data) {
            return;
        }
        let Some(uid) = frame.get("Uniqueid").map(str::to_owned) else { return };
        let Some(mut call) = self.call_of(&uid).and_then(|id| self.take(&id)) else { return };
        if choice || input {
            let node = frame.get("Menu").unwrap_or("ivr").to_owned();
            self.enter_node(&mut call, &node, at);
            let picked = match (choice, frame.get("Digit"), frame.get("Name")) {
                (true, digit, _) => digit.unwrap_or("timeout").to_owned(),
                (false, _, what) => format!("input:{}", what.unwrap_or("digits")),
            };
            let selected = call::IvrSelected { node: node.as_str().into(), choice: picked };
            self.say_call(&mut call, at, selected, format!("ivr_selected|{uid}|{at}"));
        }
        if let Some((what, value)) = frame.get("Name").zip(frame.get("Value")).filter(|_| values) {
            let values = BTreeMap::from([(clip(what), clip(value))]);
            self.say_call(&mut call, at, call::DataAttached { values }, format!("data|{uid}|{at}"));
        }
        if let Some(score) = frame.number::<f64>("Score").filter(|s| survey && s.is_finite()) {
            let score_max = frame.number("ScoreMax").filter(|m: &f64| m.is_finite()).unwrap_or(5.0);
            self.say_call(&mut call, at, call::Surveyed { score, score_max }, format!("surveyed|{uid}|{at}"));
        }
        if data {
            let own = frame.headers().filter(|(key, value)| !OF_THE_PBX.contains(key) && !value.is_empty());
            let values = own.take(VALUES_MAX).map(|(key, value)| (clip(key), clip(value))).collect();
            self.say_call(&mut call, at, call::DataAttached { values }, format!("data|{uid}|{at}"));
        }
        self.put(call);
    }

    /// The caller is in an IVR node. The first one began when the caller's channel went up, for all that we know.
    fn enter_node(&mut self, call: &mut Call, node: &str, at: i64) {
        if call.node.as_deref() == Some(node) {
            return;
        }
        let first = call.node.is_none();
        self.leave_node(call, at);
        let since = call.up_us.filter(|up| first && call.last_us <= *up).unwrap_or(at);
        call.node = Some(node.to_owned());
        let reference = format!("ivr_entered|{}|{node}|{since}", call.caller);
        self.say_call(call, since, call::IvrEntered { node: node.into() }, reference);
    }

    /// The caller goes on from the IVR.
    pub(super) fn leave_node(&mut self, call: &mut Call, at: i64) {
        if let Some(node) = call.node.take() {
            let reference = format!("ivr_left|{}|{node}|{at}", call.caller);
            self.say_call(call, at, call::IvrLeft { node: node.as_str().into() }, reference);
        }
    }

    pub(super) fn recording(&mut self, frame: &Frame, at: i64, begins: bool) {
        let Some(uid) = frame.get("Uniqueid").map(str::to_owned) else { return };
        let Some(mut call) = self.call_of(&uid).and_then(|id| self.take(&id)) else { return };
        let was = call.legs.get_mut(&uid).map(|leg| std::mem::replace(&mut leg.recorded, begins));
        if was == Some(true) && !begins {
            self.recording_ready(&call, &uid, at);
        }
        self.put(call);
    }

    /// AMI names the recorded channel, not the file: the location is that channel.
    pub(super) fn recording_ready(&mut self, call: &Call, uid: &str, at: i64) {
        let ready = call::RecordingReady { location: format!("mixmonitor/{uid}") };
        self.say(at, Subject::Call(call.id.as_str().into()), ready, format!("recording|{uid}|{at}"));
    }
}

fn clip(text: &str) -> String {
    text.chars().take(VALUE_CHARS_MAX).collect()
}
