//! The PBX's whole state, as its list actions give it.

use std::collections::BTreeMap;

use crate::action::Action;
use crate::frame::Frame;
use crate::translate::Translator;

/// The most rows of all lists together.
pub const ROWS_MAX: usize = 2_000_000;
/// The most bytes of all rows together.
pub const ROWS_BYTES_MAX: usize = 256 << 20;

/// What is read of a row.
const KEYS: &[&str] = &[
    "BridgeId",
    "CallerIDNum",
    "Channel",
    "ChannelState",
    "Context",
    "Device",
    "Duration",
    "Endpoint",
    "Interface",
    "Linkedid",
    "Location",
    "Max",
    "MemberName",
    "Name",
    "Paused",
    "PausedReason",
    "Penalty",
    "Position",
    "Priority",
    "Queue",
    "Reason",
    "ServiceLevel",
    "State",
    "StateInterface",
    "Status",
    "Strategy",
    "Uniqueid",
    "Uri",
    "Wait",
    "Wrapuptime",
];

/// The lists that make a snapshot, and the event that ends each.
const LISTS: &[(&str, &str)] = &[
    ("QueueStatus", "QueueStatusComplete"),
    ("CoreShowChannels", "CoreShowChannelsComplete"),
    ("DeviceStateList", "DeviceStateListComplete"),
    ("PJSIPShowContacts", "ContactListComplete"),
];

/// The lists being read.
#[derive(Debug, Default)]
pub struct Snapshot {
    pending: BTreeMap<String, &'static str>,
    rows: usize,
    bytes: usize,
    /// How many rows were left out because there are too many: then nothing can be concluded from what is not listed.
    pub beyond: u64,
    /// How many rows were left out because they name things that cannot be.
    pub odd: u64,
    /// Queues.
    pub params: Vec<Frame>,
    /// Members of queues.
    pub members: Vec<Frame>,
    /// Callers who wait.
    pub entries: Vec<Frame>,
    /// Live channels.
    pub channels: Vec<Frame>,
    /// Devices and their states.
    pub devices: Vec<Frame>,
    /// Registered contacts; `None` when the PBX has no PJSIP to ask.
    pub contacts: Option<Vec<Frame>>,
}

/// What a frame did to the snapshot.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It is no part of it.
    Foreign,
    /// More to come.
    More,
    /// That was the last.
    Complete,
}

impl Snapshot {
    /// The actions to send, each under an id from `next_id`.
    pub fn ask(mut next_id: impl FnMut() -> String) -> (Snapshot, Vec<(String, Action)>) {
        let mut it = Snapshot { contacts: Some(Vec::new()), ..Snapshot::default() };
        let actions = LISTS.iter().map(|(name, end)| {
            let id = next_id();
            it.pending.insert(id.clone(), end);
            (id, Action::new(name))
        });
        let actions = actions.collect();
        (it, actions)
    }

    /// Takes a frame in when it answers one of the actions.
    pub fn take(&mut self, frame: &Frame) -> Step {
        let Some(id) = frame.get("ActionID").filter(|id| self.pending.contains_key(*id)).map(str::to_owned) else {
            return Step::Foreign;
        };
        let over = match frame.event() {
            None => {
                // A list that this PBX or this user does not have is an empty one.
                let refused = frame.response() == Some("Error");
                if refused && self.pending.get(&id) == Some(&"ContactListComplete") {
                    self.contacts = None;
                }
                refused
            }
            Some(event) if self.pending.get(&id) == Some(&event) => true,
            Some(event) => {
                self.row(event, frame);
                false
            }
        };
        if over {
            self.pending.remove(&id);
        }
        if self.pending.is_empty() { Step::Complete } else { Step::More }
    }

    fn row(&mut self, event: &str, frame: &Frame) {
        let row = frame.only(KEYS);
        if Translator::overlong(&row).is_some() {
            self.odd += 1;
            return;
        }
        if self.rows == ROWS_MAX || self.bytes + row.size() > ROWS_BYTES_MAX {
            self.beyond += 1;
            return;
        }
        let list = match event {
            "QueueParams" => &mut self.params,
            "QueueMember" => &mut self.members,
            "QueueEntry" => &mut self.entries,
            "CoreShowChannel" => &mut self.channels,
            "DeviceStateChange" => &mut self.devices,
            "ContactList" => match self.contacts.as_mut() {
                Some(contacts) => contacts,
                None => return,
            },
            _ => return,
        };
        self.bytes += row.size();
        list.push(row);
        self.rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_complete_when_each_list_has_ended_or_was_refused() {
        let mut n = 0;
        let (mut snapshot, actions) = Snapshot::ask(|| {
            n += 1;
            n.to_string()
        });
        assert_eq!(actions.len(), 4);
        let row = Frame::of([("Event", "QueueMember"), ("ActionID", "1"), ("Queue", "sales")]);
        assert_eq!(snapshot.take(&row), Step::More);
        assert_eq!(snapshot.take(&Frame::of([("Event", "Hangup"), ("Uniqueid", "1")])), Step::Foreign);
        for (id, end) in
            [("1", "QueueStatusComplete"), ("2", "CoreShowChannelsComplete"), ("3", "DeviceStateListComplete")]
        {
            assert_eq!(snapshot.take(&Frame::of([("Event", end), ("ActionID", id)])), Step::More);
        }
        assert_eq!(snapshot.take(&Frame::of([("Response", "Error"), ("ActionID", "4")])), Step::Complete);
        assert_eq!((snapshot.members.len(), snapshot.contacts.is_none()), (1, true));
    }
}
