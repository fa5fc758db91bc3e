//! What is known of one PBX between two of its messages, and kept over restarts: calls, agents, queues, devices.
//!
//! Times are microseconds since the epoch, the PBX's clock. Channels go by their Uniqueid.

use std::collections::{BTreeMap, BTreeSet};

use model::event::agent;
use model::event::call::{Direction, Party, QueueExit};
use serde::{Deserialize, Serialize};

/// What a channel is to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A phone of ours.
    #[default]
    Phone,
    /// The way outside: the customer.
    Trunk,
    /// Half of a Local pair.
    Local,
}

/// One channel of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    /// The channel's name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The extension it was made for; `s` when it was made to be dialled.
    #[serde(default)]
    pub exten: String,
    /// Somebody asked for it to end, when.
    #[serde(default)]
    pub hangup_us: Option<i64>,
    /// Q.850 cause and SIP code heard with that.
    #[serde(default)]
    pub cause: u16,
    /// The SIP code heard with that (Asterisk 22).
    #[serde(default)]
    pub sip: u16,
    /// It is being recorded.
    #[serde(default)]
    pub recorded: bool,
}

/// A stay in a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stay {
    /// The queue.
    pub queue: String,
    /// The waiting channel.
    pub uid: String,
    /// The n-th time that this channel waits in this queue.
    pub nth: u32,
    /// Since when.
    pub since_us: i64,
    /// It is over, and why is not known yet.
    #[serde(default)]
    pub left: Option<Left>,
    /// The dialplan rings desk phones for it; the queue itself knows nothing of it.
    #[serde(default)]
    pub desk: bool,
}

/// The end of a stay whose cause what follows decides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// When.
    pub at_us: i64,
    /// The PBX said `QueueCallerAbandon` (it does on timeouts too), not just `QueueCallerLeave`.
    pub given_up: bool,
    /// What the dialplan said (`QUEUESTATUS`).
    #[serde(default)]
    pub said: Option<QueueExit>,
    /// When we stop waiting for what follows.
    pub due_us: i64,
}

/// A phone that rings for a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Whose.
    pub agent: String,
    /// Which.
    pub device: String,
    /// For which queue; `None` for a direct call.
    #[serde(default)]
    pub queue: Option<String>,
    /// Since when.
    pub since_us: i64,
    /// The PBX took the ringing back, when: what follows says why.
    #[serde(default)]
    pub cancelled_us: Option<i64>,
    /// The dialplan rings it, not the queue: no event of the queue will follow.
    #[serde(default)]
    pub desk: bool,
}

/// An agent in conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Talk {
    /// Who.
    pub agent: String,
    /// On which device.
    pub device: String,
    /// From which queue.
    #[serde(default)]
    pub queue: Option<String>,
    /// Since when.
    pub since_us: i64,
    /// On hold now.
    #[serde(default)]
    pub held: bool,
    /// Answered at a desk phone without the queue: no event of the queue will end it.
    #[serde(default)]
    pub desk: bool,
}

/// An agent asks a third party within the same call (AMI or feature-code attended transfer).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consult {
    /// Who asks.
    pub agent: String,
    /// Who is asked.
    pub target: String,
    /// The target's device.
    pub device: String,
    /// The target's channel.
    pub uid: String,
    /// The Local half that stands for the target in the asking agent's bridge.
    #[serde(default)]
    pub local: Option<String>,
}

/// A line of queue_log that we know of already, because AMI told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The second.
    pub at_s: i64,
    /// The agent who did not answer.
    pub agent: String,
}

impl Mark {
    /// Whether AMI's stamp, in microseconds, is that of the same ringing: the log is written first, in the same second or just before its end.
    /// An agent who refuses every call rings again within the next second, and that is another ringing.
    pub fn is_of(&self, at_us: i64) -> bool {
        let begins = self.at_s * 1_000_000;
        (begins..begins + 1_000_000 + AFTER_THE_LOG_US).contains(&at_us)
    }
}

/// So long after the line in the log AMI may tell the same.
const AFTER_THE_LOG_US: i64 = 200_000;
/// The most that is remembered as past of one call.
pub const PAST_MAX: usize = 64;
/// The most marks kept of one call.
pub const MARKS_MAX: usize = 64;

/// One call: everything that has one Linkedid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// Its id: the Linkedid.
    pub id: String,
    /// The channel that began it.
    pub caller: String,
    /// When it began.
    pub began_us: i64,
    /// Its beginning was seen.
    pub seen: bool,
    /// Which way it goes, once known.
    pub direction: Option<Direction>,
    /// `call.offered` was said.
    pub offered: bool,
    /// The calling number.
    pub ani: Option<String>,
    /// The called number.
    pub dnis: Option<String>,
    /// The trunk.
    pub trunk: Option<String>,
    /// The agent who began it.
    pub starter: Option<String>,
    /// Its live channels.
    pub legs: BTreeMap<String, Leg>,
    /// The queue it waits in.
    pub stay: Option<Stay>,
    /// How often each channel joined each queue (`uid|queue`), and when last.
    pub joins: BTreeMap<String, (u32, i64)>,
    /// Phones that ring for it, by their channel.
    pub alerts: BTreeMap<String, Alert>,
    /// Agents who speak, by their channel.
    pub talks: BTreeMap<String, Talk>,
    /// A consultation within it.
    pub consult: Option<Consult>,
    /// Real phones behind Local halves that are rung or speak: phone's channel to Local half.
    pub stands_for: BTreeMap<String, String>,
    /// Channels that answered, ever: an answer is said once.
    pub answered: BTreeSet<String>,
    /// The IVR node it is in.
    pub node: Option<String>,
    /// Who hung up first since it last got on.
    pub hung_by: Option<Party>,
    /// When the caller's channel went up: an IVR can speak from then on.
    pub up_us: Option<i64>,
    /// The call it went on in.
    pub merged_into: Option<String>,
    /// `call.ended` was said, when.
    pub over_us: Option<i64>,
    /// The last that we know of it.
    pub last_us: i64,
    /// Ringing that we know of.
    pub marks: Vec<Mark>,
    /// What is done and does not come again, however often it is told: `gone UID`, `rung UID`, `done UID`.
    pub past: Vec<String>,
    /// A test call of a drill: nothing is said of it.
    pub drill: bool,
}

/// A membership in one queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// The interface that is rung.
    pub interface: String,
    /// The device that is watched.
    pub device: String,
    /// The member's name.
    pub name: String,
    /// Paused in this queue.
    pub paused: bool,
    /// Why.
    pub reason: Option<String>,
    /// Lower goes first.
    pub penalty: i32,
    /// The member's own after-call work, in seconds; 0: the queue's.
    pub wrap_s: i64,
    /// When this was told.
    pub at_us: i64,
}

/// After-call work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wrap {
    /// Of which call.
    pub call: String,
    /// Of which segment: the agent's channel.
    pub uid: String,
    /// Of which queue.
    pub queue: Option<String>,
    /// Since when.
    pub since_us: i64,
    /// Until when.
    pub due_us: i64,
}

/// The state that was said last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The state.
    pub state: agent::State,
    /// The not-ready reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// The call.
    #[serde(default)]
    pub call: Option<String>,
}

/// One agent: a person behind one or more queue memberships.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agent {
    /// The id.
    pub id: String,
    /// The device.
    pub device: String,
    /// Memberships by queue. None: logged out.
    pub queues: BTreeMap<String, Member>,
    /// The device's state as the queues see it (AST_DEVICE_*).
    pub status: i32,
    /// A conversation or ringing just ended: what `status` says of being busy is old.
    pub stale: bool,
    /// Ringing for these calls, by channel.
    pub alerts: BTreeMap<String, (String, Option<String>)>,
    /// Speaking in these calls, by channel.
    pub talks: BTreeMap<String, (String, Option<String>)>,
    /// After-call work.
    pub wrap: Option<Wrap>,
    /// What was said last; `None`: logged out.
    pub said: Option<Said>,
    /// Its names in queues that it has left while a call with it went on: what is still said of that call says them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub left_as: BTreeSet<String>,
}

/// What was said of a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// How it picks agents.
    pub strategy: Option<String>,
    /// Its own service-level threshold, in seconds.
    pub service_level_s: Option<u32>,
    /// How many may wait.
    pub waiting_max: Option<u32>,
}

/// What was said of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Its state word.
    pub state: Option<String>,
    /// Whether it can be reached.
    pub registered: Option<bool>,
}

impl Call {
    /// A call that begins with a channel.
    pub fn begin(id: &str, caller: &str, at_us: i64) -> Call {
        Call { id: id.into(), caller: caller.into(), began_us: at_us, last_us: at_us, ..Call::default() }
    }

    /// Whether a party outside takes part.
    pub fn has_trunk(&self) -> bool {
        self.legs.values().any(|leg| leg.kind == Kind::Trunk)
    }

    /// The channel of a name.
    pub fn uid_of(&self, name: &str) -> Option<&str> {
        self.legs.iter().find(|(_, leg)| leg.name == name).map(|(uid, _)| uid.as_str())
    }

    /// The other half of a Local channel of this call.
    pub fn other_half(&self, uid: &str) -> Option<&str> {
        self.uid_of(&crate::pattern::other_half(&self.legs.get(uid)?.name)?)
    }

    /// The channel that a talk or an alert goes by: the Local half that a phone stands behind, else the phone itself.
    pub fn key<'a>(&'a self, uid: &'a str) -> &'a str {
        self.stands_for.get(uid).map_or(uid, String::as_str)
    }

    /// Whether somebody real ever took part: Local halves alone are no call.
    pub fn is_real(&self) -> bool {
        self.offered || self.trunk.is_some() || self.starter.is_some()
    }

    /// Remembers that something of a channel is past; false when it was already.
    pub fn pass(&mut self, what: &str, uid: &str) -> bool {
        if self.is_past(what, uid) {
            return false;
        }
        if self.past.len() == PAST_MAX {
            self.past.remove(0);
        }
        self.past.push(format!("{what} {uid}"));
        true
    }

    /// Whether something of a channel is past.
    pub fn is_past(&self, what: &str, uid: &str) -> bool {
        self.past.iter().any(|past| past.split_once(' ') == Some((what, uid)))
    }

    /// Remembers that an agent's ringing out is known.
    pub fn mark(&mut self, at_us: i64, agent: &str) {
        if self.marks.len() == MARKS_MAX {
            self.marks.remove(0);
        }
        self.marks.push(Mark { at_s: at_us.div_euclid(1_000_000), agent: agent.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back_and_what_is_missing_has_a_default() {
        let mut call = Call::begin("17.1", "17.1", 5);
        call.legs.insert("17.1".into(), Leg { name: "Local/1@x-1;1".into(), kind: Kind::Local, ..Leg::default() });
        call.legs.insert("17.2".into(), Leg { name: "Local/1@x-1;2".into(), kind: Kind::Local, ..Leg::default() });
        let text = serde_json::to_string(&call).unwrap();
        assert_eq!(serde_json::from_str::<Call>(&text).unwrap(), call);
        assert_eq!(call.other_half("17.1"), Some("17.2"));
        assert_eq!(serde_json::from_str::<Agent>(r#"{"id":"7"}"#).unwrap().id, "7");
    }

    #[test]
    fn a_ringing_is_known_from_the_log_by_its_second_and_the_next_ringing_is_not() {
        let mark = Mark { at_s: 43, agent: "106".into() };
        assert!(mark.is_of(43_000_000) && mark.is_of(43_999_999) && mark.is_of(44_003_000), "just over its end");
        assert!(!mark.is_of(44_995_000), "an agent who refuses every call rings again a second later");
        assert!(!mark.is_of(42_999_999), "the log is written first");
    }

    #[test]
    fn a_call_keeps_a_bounded_number_of_marks() {
        let mut call = Call::begin("1", "1", 0);
        (0..1000).for_each(|n| call.mark(n * 1_000_000, "a"));
        assert_eq!(call.marks.len(), MARKS_MAX);
        assert_eq!(call.marks[0].at_s, 936);
    }
}
