//! How much is followed at once. A PBX that names more things than that, by mistake or by malice, costs no more memory: the
//! surplus is named once of each kind, counted, and left out.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Translator;
use crate::frame::Frame;
use crate::state::Call;

/// The longest name of a channel, call, queue, agent or device.
pub const NAME_BYTES_MAX: usize = 256;
/// The longest text of another header that is read.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The most of what hangs on one call: channels, ringing and speaking phones, stays.
pub const PARTS_MAX: usize = 2_000;
/// The most memberships of one agent.
pub const QUEUES_OF_AGENT_MAX: usize = 500;

/// Headers that name things.
const NAMES: &[&str] = &[
    "Uniqueid",
    "Linkedid",
    "Channel",
    "Newname",
    "DestUniqueid",
    "DestLinkedid",
    "DestChannel",
    "TransfererUniqueid",
    "TransfererChannel",
    "TransfereeUniqueid",
    "OrigTransfererUniqueid",
    "OrigTransfererChannel",
    "SecondTransfererUniqueid",
    "TransferTargetUniqueid",
    "TransferTargetChannel",
    "BridgeId",
    "BridgeUniqueid",
    "Queue",
    "Interface",
    "Location",
    "StateInterface",
    "MemberName",
    "Device",
    "Endpoint",
    "EndpointName",
    "AOR",
    "Peer",
    "Menu",
    "Exten",
    "Extension",
    "Context",
    "TransferTargetExten",
];

/// Other headers whose text is kept or told.
const TEXTS: &[&str] = &[
    "Name",
    "CallerIDNum",
    "TransferTargetCallerIDNum",
    "DialString",
    "Reason",
    "PausedReason",
    "Strategy",
    "URI",
    "Uri",
    "Address",
    "Digit",
];

/// Events by which a call grows. While too much is followed, only they are left out: what ends still ends.
const GROWS: &[&str] = &[
    "Newchannel",
    "DialBegin",
    "QueueCallerJoin",
    "QueueCallerAbandon",
    "AgentCalled",
    "AgentConnect",
    "AttendedTransfer",
    "UserEvent",
];

/// What was left out.
#[derive(Debug, Default)]
pub(super) struct Surplus {
    kinds: BTreeMap<&'static str, u64>,
    unnamed: u64,
}

impl Call {
    /// How many things hang on it.
    pub fn weight(&self) -> usize {
        1 + self.legs.len()
            + self.joins.len()
            + self.alerts.len()
            + self.talks.len()
            + self.stands_for.len()
            + self.answered.len()
    }
}

impl Translator {
    /// The first header that is longer than what it names can be.
    pub(crate) fn overlong(frame: &Frame) -> Option<String> {
        let is = |list: &[&str], key: &str| list.iter().any(|known| known.eq_ignore_ascii_case(key));
        let long = |key: &str, len: usize| {
            (len > NAME_BYTES_MAX && is(NAMES, key)) || (len > TEXT_BYTES_MAX && is(TEXTS, key))
        };
        let (key, value) = frame.headers().find(|(key, value)| long(key, value.len()))?;
        Some(format!("{key} is {} bytes long", value.len()))
    }

    /// Whether an event would add to what is followed, where that is too much already.
    pub(super) fn is_too_much(&mut self, frame: &Frame, name: &str) -> bool {
        if !GROWS.contains(&name) {
            return false;
        }
        let heavy = |id: Option<&str>| id.and_then(|id| self.calls.get(id)).is_some_and(|c| c.weight() >= PARTS_MAX);
        let of = ["Uniqueid", "DestUniqueid"].map(|key| frame.get(key).and_then(|uid| self.legs.get(uid)));
        let one = heavy(frame.get("Linkedid")) || of.into_iter().flatten().any(|id| heavy(Some(id)));
        let all = self.weight >= self.weight_max();
        if one || all {
            self.leave_out(
                frame,
                if one { "too much hangs on one call" } else { "more calls at once than are followed" },
            );
        }
        one || all
    }

    /// Of all calls together; calls that are over weigh until they are forgotten.
    fn weight_max(&self) -> usize {
        self.plan.config.channels_max.saturating_mul(8)
    }

    /// The most moments at which something is due.
    pub(super) fn due_max(&self) -> usize {
        self.weight_max().saturating_add(self.plan.config.names_max)
    }

    /// Whether so many of a kind leave room for one more.
    pub(crate) fn has_room(&self, used: usize) -> bool {
        used < self.plan.config.names_max
    }

    /// Whether all memberships together leave room for one more.
    pub(crate) fn has_membership_room(&self) -> bool {
        self.memberships < self.plan.config.names_max.saturating_mul(4)
    }

    /// Leaves something out that is beyond a bound.
    pub(crate) fn leave_out(&mut self, frame: &Frame, kind: &'static str) {
        self.leave_out_bytes(kind, || frame.to_text());
    }

    pub(crate) fn leave_out_bytes(&mut self, kind: &'static str, sample: impl FnOnce() -> String) {
        let count = self.surplus.kinds.entry(kind).or_default();
        *count += 1;
        if *count == 1 {
            let mut text = sample();
            text.truncate((0..=512).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0));
            self.malformed.push((Bytes::from(text), format!("{kind}; what is beyond is left out and counted")));
        } else {
            self.surplus.unnamed += 1;
        }
    }

    /// How much was left out and not named, since it was asked last.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.surplus.unnamed)
    }

    /// How much is followed: calls with what hangs on them, agents with their memberships, and everything else by name.
    pub fn followed(&self) -> usize {
        let people = self.agents.len() + self.memberships + self.names.len() + self.phones.len();
        let things = self.queues.len() + self.devices.len() + self.trunks.len() + self.usage.len();
        self.weight + self.legs.len() + people + things + self.due.len()
    }
}
