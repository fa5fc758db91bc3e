//! One line of Asterisk's `queue_log`, typed.
//!
//! `epoch|callid|queue|agent|verb|data1|…`: seconds, the caller's Uniqueid, and numbers in whole seconds (ring times in
//! milliseconds). Fields that an older version leaves out are read as nothing, never as an error.

use std::cell::Cell;

use model::Time;

/// The longest line that is read; a longer one is malformed.
pub const LINE_BYTES_MAX: usize = 4096;

/// The longest name of a call, a queue or an agent.
pub const NAME_BYTES_MAX: usize = 256;
/// The largest number of seconds or milliseconds that is a time: a year of milliseconds.
const NUMBER_MAX: u64 = 31_622_400_000;

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueLogLine {
    /// When it was written: whole seconds, unless the PBX writes fractions.
    pub at: Time,
    /// The caller's Uniqueid; `None` where the line is about no call.
    pub call: Option<String>,
    /// The queue; `None` where the line is about all of them.
    pub queue: Option<String>,
    /// The member's name (or interface, in membership lines); `None` where no agent had a part.
    pub agent: Option<String>,
    /// What happened.
    pub verb: Verb,
}

/// What happened. Times in the unit that the name says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// The caller entered the queue.
    EnterQueue {
        /// The caller's number.
        caller: Option<String>,
        /// Place at entry, from 1.
        position: Option<u32>,
    },
    /// An agent answered.
    Connect {
        /// How long the caller waited.
        hold_s: u64,
        /// The Uniqueid of the agent's channel.
        channel: Option<String>,
        /// How long the agent's phone rang.
        ring_s: u64,
    },
    /// The conversation ended by the agent.
    CompleteAgent(Talk),
    /// The conversation ended by the caller.
    CompleteCaller(Talk),
    /// The agent sent the caller on without asking the target.
    BlindTransfer {
        /// The extension dialled.
        exten: String,
        /// Its context.
        context: String,
        /// Times so far.
        talk: Talk,
    },
    /// The agent sent the caller on after speaking with the target.
    AttendedTransfer {
        /// `BRIDGE`, `APP` or `LINK`.
        method: String,
        /// The bridge, application or channel it went to.
        target: String,
        /// Times so far.
        talk: Talk,
    },
    /// An old word for a blind transfer (`TRANSFER`).
    Transfer {
        /// The extension dialled.
        exten: String,
        /// Its context.
        context: String,
        /// Times so far.
        talk: Talk,
    },
    /// The caller hung up while waiting.
    Abandon(Left),
    /// The queue's limit of waiting was reached.
    ExitWithTimeout(Left),
    /// The queue was emptied of members that could answer.
    ExitEmpty(Left),
    /// The caller pressed a key to leave.
    ExitWithKey {
        /// The key.
        key: String,
        /// Place and wait.
        left: Left,
    },
    /// An operator took the caller out of the queue.
    Withdraw(Left),
    /// The agent's phone rang out, or refused.
    RingNoAnswer {
        /// How long it rang; the PBX counts whole seconds.
        ring_ms: u64,
    },
    /// The agent's phone stopped ringing because the caller left.
    RingCanceled {
        /// How long it rang.
        ring_ms: u64,
    },
    /// A member was added to the queue.
    AddMember {
        /// Whether it began paused.
        paused: bool,
    },
    /// A member was removed from the queue.
    RemoveMember,
    /// A member was paused in the queue.
    Pause {
        /// Why.
        reason: Option<String>,
    },
    /// A member came back in the queue.
    Unpause,
    /// A member was paused in every queue (a `PAUSE` for each follows).
    PauseAll {
        /// Why.
        reason: Option<String>,
    },
    /// A member came back in every queue (an `UNPAUSE` for each follows).
    UnpauseAll,
    /// A member's penalty changed.
    Penalty {
        /// The new one.
        penalty: i32,
    },
    /// The dialplan rings desk phones of the queue for the caller, without the queue (`TGDESKENTER`, deploy/asterisk).
    DeskEnter {
        /// The caller's number.
        caller: Option<String>,
        /// The dialplan's own word for why: `switch`, `silent`, `ordered`.
        why: String,
    },
    /// A desk phone answered (`TGDESKCONNECT`); the agent of the line is the phone.
    DeskConnect {
        /// How long the caller waited.
        hold_s: u64,
        /// The Uniqueid of the phone's channel.
        channel: Option<String>,
    },
    /// The caller is done with the desk phones (`TGDESKEND`).
    DeskEnd {
        /// A phone had answered; otherwise the caller gave up.
        answered: bool,
        /// How long the caller had waited until the answer or the end.
        hold_s: u64,
        /// How long they spoke.
        talk_s: u64,
    },
    /// The PBX started its queues: everybody who waited before is gone.
    QueueStart,
    /// The queues' configuration was read again.
    ConfigReload,
    /// Anything else, by its word: version-specific or written by the dialplan (`QueueLog`).
    Other {
        /// The word.
        word: String,
        /// Its fields.
        fields: Vec<String>,
    },
}

/// How long a conversation was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// How long the caller had waited.
    pub hold_s: u64,
    /// How long they spoke.
    pub talk_s: u64,
}

/// Where and how long a caller stood who left unanswered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Place when leaving.
    pub position: u32,
    /// Place at entry.
    pub original_position: u32,
    /// How long the caller had waited.
    pub wait_s: u64,
}

/// Why a line makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer than the five fields that every line has.
    #[error("a line has {0} fields, want at least 5")]
    Fields(usize),
    /// The first field is no time.
    #[error("{0:?} is no time in seconds since the epoch")]
    Time(String),
    /// Longer than [`LINE_BYTES_MAX`].
    #[error("a line of {0} bytes, want at most {LINE_BYTES_MAX}")]
    Long(usize),
    /// The name of a call, a queue or an agent is longer than [`NAME_BYTES_MAX`].
    #[error("a name of {0} bytes, want at most {NAME_BYTES_MAX}")]
    Name(usize),
    /// A number that cannot be a time.
    #[error("{0} is no time in seconds or milliseconds that can be")]
    Number(u64),
}

impl QueueLogLine {
    /// Reads one line, with or without its line end.
    pub fn parse(line: &str) -> Result<QueueLogLine, Error> {
        if line.len() > LINE_BYTES_MAX {
            return Err(Error::Long(line.len()));
        }
        let fields: Vec<&str> = line.trim_end_matches(['\r', '\n']).split('|').collect();
        let [at, call, queue, agent, word, data @ ..] = fields.as_slice() else {
            return Err(Error::Fields(fields.len()));
        };
        if let Some(long) = [call, queue, agent].into_iter().find(|name| name.len() > NAME_BYTES_MAX) {
            return Err(Error::Name(long.len()));
        }
        let verb = verb(word, data)?;
        // where an agent stands elsewhere, the phone's channel does
        let agent = if matches!(verb, Verb::DeskConnect { .. }) { endpoint(agent) } else { agent };
        Ok(QueueLogLine {
            at: seconds(at).ok_or_else(|| Error::Time((*at).to_owned()))?,
            call: named(call),
            queue: named(queue),
            agent: named(agent),
            verb,
        })
    }
}

/// The endpoint of a channel: `PJSIP/101` of `PJSIP/101-0000002a`.
pub fn endpoint(channel: &str) -> &str {
    match channel.rsplit_once('-') {
        Some((endpoint, tail)) if tail.len() >= 6 && tail.bytes().all(|b| b.is_ascii_hexdigit()) => endpoint,
        _ => channel,
    }
}

fn seconds(text: &str) -> Option<Time> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let whole: i64 = whole.parse().ok().filter(|s| (0..=253_402_300_799).contains(s))?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(Time(whole * 1000 + ms))
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty() && text != "NONE").then(|| text.to_owned())
}

fn verb(word: &str, data: &[&str]) -> Result<Verb, Error> {
    let absurd = Cell::new(None);
    let text = |i: usize| data.get(i).copied().unwrap_or_default().to_owned();
    let some = |i: usize| data.get(i).filter(|t| !t.is_empty()).map(|t| (*t).to_owned());
    let number = |i: usize| {
        let number = data.get(i).and_then(|t| t.parse::<u64>().ok()).unwrap_or(0);
        if number > NUMBER_MAX {
            absurd.set(Some(number));
        }
        number
    };
    let small = |i: usize| u32::try_from(number(i)).unwrap_or(u32::MAX);
    let talk = |i: usize| Talk { hold_s: number(i), talk_s: number(i + 1) };
    let left = |i: usize| Left { position: small(i), original_position: small(i + 1), wait_s: number(i + 2) };
    let verb = match word {
        "ENTERQUEUE" => Verb::EnterQueue { caller: some(1), position: data.get(2).and_then(|t| t.parse().ok()) },
        "CONNECT" => Verb::Connect { hold_s: number(0), channel: some(1), ring_s: number(2) },
        "COMPLETEAGENT" => Verb::CompleteAgent(talk(0)),
        "COMPLETECALLER" => Verb::CompleteCaller(talk(0)),
        "BLINDTRANSFER" => Verb::BlindTransfer { exten: text(0), context: text(1), talk: talk(2) },
        "ATTENDEDTRANSFER" => Verb::AttendedTransfer { method: text(0), target: text(1), talk: talk(2) },
        "TRANSFER" => Verb::Transfer { exten: text(0), context: text(1), talk: talk(2) },
        "ABANDON" => Verb::Abandon(left(0)),
        "EXITWITHTIMEOUT" => Verb::ExitWithTimeout(left(0)),
        "EXITEMPTY" => Verb::ExitEmpty(left(0)),
        "EXITWITHKEY" => Verb::ExitWithKey { key: text(0), left: left(1) },
        "WITHDRAW" => Verb::Withdraw(left(0)),
        "RINGNOANSWER" => Verb::RingNoAnswer { ring_ms: number(0) },
        "RINGCANCELED" => Verb::RingCanceled { ring_ms: number(0) },
        "TGDESKENTER" => Verb::DeskEnter { caller: some(0), why: text(1) },
        "TGDESKCONNECT" => Verb::DeskConnect { hold_s: number(0), channel: some(1) },
        "TGDESKEND" => Verb::DeskEnd { answered: text(0) == "ANSWER", hold_s: number(1), talk_s: number(2) },
        "ADDMEMBER" => Verb::AddMember { paused: text(0) == "PAUSED" },
        "REMOVEMEMBER" => Verb::RemoveMember,
        "PAUSE" => Verb::Pause { reason: some(0) },
        "UNPAUSE" => Verb::Unpause,
        "PAUSEALL" => Verb::PauseAll { reason: some(0) },
        "UNPAUSEALL" => Verb::UnpauseAll,
        "PENALTY" => Verb::Penalty { penalty: data.first().and_then(|t| t.parse().ok()).unwrap_or(0) },
        "QUEUESTART" => Verb::QueueStart,
        "CONFIGRELOAD" => Verb::ConfigReload,
        _ => Verb::Other { word: word.to_owned(), fields: data.iter().map(|t| (*t).to_owned()).collect() },
    };
    absurd.get().map_or(Ok(verb), |number| Err(Error::Number(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb_of(rest: &str) -> Verb {
        QueueLogLine::parse(&format!("1700000000|17.1|sales|Ann|{rest}")).unwrap().verb
    }

    #[test]
    fn a_line_says_when_who_and_where() {
        let line = QueueLogLine::parse("1700000000|pbx-17.1|sales|NONE|ENTERQUEUE||0301|3\n").unwrap();
        assert_eq!(line.at, Time(1_700_000_000_000));
        assert_eq!((line.call.as_deref(), line.queue.as_deref(), line.agent), (Some("pbx-17.1"), Some("sales"), None));
        assert_eq!(line.verb, Verb::EnterQueue { caller: Some("0301".into()), position: Some(3) });
    }

    #[test]
    fn each_verb_keeps_its_numbers_apart() {
        let talk = Talk { hold_s: 4, talk_s: 60 };
        for (text, want) in [
            ("CONNECT|4|17.2|1", Verb::Connect { hold_s: 4, channel: Some("17.2".into()), ring_s: 1 }),
            ("COMPLETEAGENT|4|60|1", Verb::CompleteAgent(talk)),
            ("COMPLETECALLER|4|60|1", Verb::CompleteCaller(talk)),
            (
                "BLINDTRANSFER|600|agents|4|60|1",
                Verb::BlindTransfer { exten: "600".into(), context: "agents".into(), talk },
            ),
            (
                "ATTENDEDTRANSFER|BRIDGE|b-1|4|60|1",
                Verb::AttendedTransfer { method: "BRIDGE".into(), target: "b-1".into(), talk },
            ),
            ("ABANDON|1|2|9", Verb::Abandon(Left { position: 1, original_position: 2, wait_s: 9 })),
            (
                "EXITWITHKEY|5|1|2|9",
                Verb::ExitWithKey { key: "5".into(), left: Left { position: 1, original_position: 2, wait_s: 9 } },
            ),
            ("TGDESKENTER|0301|silent", Verb::DeskEnter { caller: Some("0301".into()), why: "silent".into() }),
            ("TGDESKCONNECT|4|17.2", Verb::DeskConnect { hold_s: 4, channel: Some("17.2".into()) }),
            ("TGDESKEND|ANSWER|4|60", Verb::DeskEnd { answered: true, hold_s: 4, talk_s: 60 }),
            ("TGDESKEND||9", Verb::DeskEnd { answered: false, hold_s: 9, talk_s: 0 }),
            ("RINGNOANSWER|5000", Verb::RingNoAnswer { ring_ms: 5000 }),
            ("PAUSE|lunch", Verb::Pause { reason: Some("lunch".into()) }),
            ("ADDMEMBER|", Verb::AddMember { paused: false }),
            ("ADDMEMBER|PAUSED", Verb::AddMember { paused: true }),
        ] {
            assert_eq!(verb_of(text), want, "{text}");
        }
    }

    #[test]
    fn what_an_older_version_leaves_out_is_nothing() {
        assert_eq!(verb_of("ABANDON"), Verb::Abandon(Left::default()));
        assert_eq!(verb_of("RINGNOANSWER"), Verb::RingNoAnswer { ring_ms: 0 });
        assert_eq!(verb_of("PAUSE|"), Verb::Pause { reason: None });
    }

    #[test]
    fn words_of_the_dialplan_pass_by() {
        assert_eq!(verb_of("DID|5001"), Verb::Other { word: "DID".into(), fields: vec!["5001".into()] });
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused_with_its_reason() {
        assert_eq!(QueueLogLine::parse("1|2|3"), Err(Error::Fields(3)));
        assert_eq!(QueueLogLine::parse("soon|a|b|c|D"), Err(Error::Time("soon".into())));
        assert_eq!(QueueLogLine::parse("1.x|a|b|c|D"), Err(Error::Time("1.x".into())));
        assert!(QueueLogLine::parse(&"|".repeat(5000)).is_err());
        let huge = u64::MAX;
        for data in [format!("CONNECT|{huge}|c|1"), format!("ABANDON|1|1|{huge}"), format!("RINGNOANSWER|{huge}")] {
            assert_eq!(QueueLogLine::parse(&format!("1|a|b|c|{data}")), Err(Error::Number(huge)), "{data}");
        }
        assert_eq!(QueueLogLine::parse(&format!("1|{}|b|c|D", "a".repeat(257))), Err(Error::Name(257)));
        assert_eq!(QueueLogLine::parse("1700000000.25|a|b|c|D").unwrap().at, Time(1_700_000_000_250));
    }
}
