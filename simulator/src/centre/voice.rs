//! The voice of the PBX: events as the frames that go out over AMI.

use std::fmt::{Display, Write as _};

use axum::body::Bytes;

/// The class of an event: what a session must be allowed, and must have asked, to see (`manager.conf`, `read =`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `system`
    System,
    /// `call`
    Call,
    /// `agent`
    Agent,
    /// `user`
    User,
    /// `dtmf`
    Dtmf,
    /// `reporting`
    Reporting,
    /// `cdr`
    Cdr,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 7] =
        [Class::System, Class::Call, Class::Agent, Class::User, Class::Dtmf, Class::Reporting, Class::Cdr];

    /// The class as AMI writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::System => "system",
            Class::Call => "call",
            Class::Agent => "agent",
            Class::User => "user",
            Class::Dtmf => "dtmf",
            Class::Reporting => "reporting",
            Class::Cdr => "cdr",
        }
    }

    /// The class of that name.
    pub fn parse(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.as_str().eq_ignore_ascii_case(name))
    }

    /// The class as one bit of a mask.
    pub fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

/// One event, ready for the wire: the same bytes go to every session that may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The event's class.
    pub class: Class,
    /// The event's name, such as `Newchannel`.
    pub name: &'static str,
    /// When it happened, in microseconds since the Unix epoch, as its `Timestamp` says.
    pub at_us: i64,
    /// The whole frame with its closing empty line.
    pub text: Bytes,
}

/// Collects what the PBX says.
///
/// Invariant: a line break in a value never reaches the wire (`field` writes a blank for it), so nobody's name or reason can
/// forge a header.
#[derive(Debug)]
pub(crate) struct Voice {
    /// While the centre warms up nobody listens, and rendering would only cost time.
    pub(crate) muted: bool,
    /// Events said, muted ones included.
    pub(crate) said: u64,
    system: String,
    last_us: i64,
    frames: Vec<Frame>,
}

impl Voice {
    pub(crate) fn new(system: &str) -> Voice {
        Voice { muted: false, said: 0, system: system.to_owned(), last_us: 0, frames: Vec::new() }
    }

    /// The PBX's own name, the first part of its unique ids.
    pub(crate) fn system(&self) -> &str {
        &self.system
    }

    /// Takes what has been said since the last time.
    pub(crate) fn take(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }

    /// Starts an event. Two events of one millisecond are a microsecond apart, so that their stamps keep their order.
    pub(crate) fn event(&mut self, name: &'static str, class: Class, now_ms: i64) -> Event<'_> {
        self.said += 1;
        self.last_us = (self.last_us + 1).max(now_ms * 1000);
        let mut text = if self.muted { String::new() } else { String::with_capacity(640) };
        if !self.muted {
            let (s, us) = (self.last_us.div_euclid(1_000_000), self.last_us.rem_euclid(1_000_000));
            let class = class.as_str();
            let _ = write!(
                text,
                "Event: {name}\r\nPrivilege: {class},all\r\nTimestamp: {s}.{us:06}\r\nSystemName: {}\r\n",
                self.system
            );
        }
        Event { at_us: self.last_us, class, name, text, heard: !self.muted, voice: Some(self) }
    }
}

/// An item of a list that answers an order: no privilege and no stamp, and it goes to one session only.
pub(crate) fn item(name: &'static str) -> Event<'static> {
    let text = format!("Event: {name}\r\n");
    Event { at_us: 0, class: Class::System, name, text, heard: true, voice: None }
}

/// An event being written; `end` sends it.
pub(crate) struct Event<'a> {
    voice: Option<&'a mut Voice>,
    heard: bool,
    class: Class,
    name: &'static str,
    at_us: i64,
    text: String,
}

impl Event<'_> {
    /// Adds a header.
    pub(crate) fn put(self, key: &str, value: impl Display) -> Self {
        self.put2("", key, value)
    }

    /// Adds a header whose name has a prefix, such as `Dest`.
    pub(crate) fn put2(mut self, prefix: &str, key: &str, value: impl Display) -> Self {
        if self.heard {
            self.text.push_str(prefix);
            field(&mut self.text, key, value);
        }
        self
    }

    /// Whether anybody listens: a caller may spare itself the work of a long snapshot.
    pub(crate) fn heard(&self) -> bool {
        self.heard
    }

    /// Closes an item of a list.
    pub(crate) fn finish(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }

    /// Sends the event.
    pub(crate) fn end(mut self) {
        if let (true, Some(voice)) = (self.heard, self.voice) {
            self.text.push_str("\r\n");
            let text = Bytes::from(self.text.into_bytes());
            voice.frames.push(Frame { class: self.class, name: self.name, at_us: self.at_us, text });
        }
    }
}

/// Writes `Key: value` and a line break; control characters of the value become blanks.
pub(crate) fn field(text: &mut String, key: &str, value: impl Display) {
    text.push_str(key);
    text.push_str(": ");
    let from = text.len();
    let _ = write!(text, "{value}");
    if text.as_bytes()[from..].iter().any(|b| b.is_ascii_control()) {
        let clean: String = text[from..].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text.truncate(from);
        text.push_str(&clean);
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_value_cannot_forge_a_header() {
        let mut voice = Voice::new("sim1");
        voice.event("QueueMemberPause", Class::Agent, 1).put("Reason", "a\r\nEvent: Shutdown").end();
        let frames = voice.take();
        let text = std::str::from_utf8(&frames[0].text).unwrap();
        assert!(text.contains("Reason: a  Event: Shutdown\r\n\r\n"), "{text}");
    }

    #[test]
    fn stamps_of_one_millisecond_keep_their_order() {
        let mut voice = Voice::new("sim1");
        for _ in 0..3 {
            voice.event("Hold", Class::Call, 1_700_000_000_123).end();
        }
        let stamps: Vec<_> = voice.take().iter().map(|frame| frame.at_us).collect();
        assert_eq!(stamps, [1_700_000_000_123_000, 1_700_000_000_123_001, 1_700_000_000_123_002]);
    }

    #[test]
    fn a_muted_voice_counts_but_says_nothing() {
        let mut voice = Voice::new("sim1");
        voice.muted = true;
        voice.event("Hold", Class::Call, 1).put("Channel", "x").end();
        assert_eq!((voice.said, voice.take().len()), (1, 0));
    }
}
