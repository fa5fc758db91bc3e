//! The words of FastAGI: what a PBX says first, what we command, what it answers. Pure.
//!
//! Source: Asterisk's AGI (`res_agi`): the PBX opens the connection and writes `agi_NAME: VALUE` lines and an empty one; then each command
//! is one line, answered by a line that begins with a number of three digits. A line `HANGUP` may come at any time.

use std::fmt::Write as _;

/// The most bytes that a PBX may say before the empty line. Asterisk says about 600.
pub const HEAD_MAX: usize = 16 << 10;
/// The longest answer to a command.
pub const ANSWER_MAX: usize = 4 << 10;
/// The longest line that Asterisk reads whole is 2,048 bytes; a value of ours is far below.
const VALUE_MAX: usize = 1_024;

/// What the PBX says of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The URL of the request: `agi://127.0.0.1/route`.
    pub request: String,
    /// The channel's own id.
    pub uniqueid: String,
    /// The calling number, where it is known.
    pub caller: Option<String>,
    /// The number that was dialled first, where it is known.
    pub dialled: Option<String>,
    /// The channel's language, where one is set.
    pub language: Option<String>,
    /// The arguments of `AGI()` of the form `key=value`, in order.
    pub arguments: Vec<(String, String)>,
}

/// Why what a PBX said is no head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not text.
    #[error("the head is not UTF-8")]
    Text,
    /// A line without a colon.
    #[error("line {0} of the head is no `name: value`")]
    Line(usize),
    /// It names no channel.
    #[error("the head names no channel (agi_uniqueid)")]
    Channel,
}

impl Head {
    /// Where the empty line is that ends a head: the bytes before it, and those with it.
    pub fn end(bytes: &[u8]) -> Option<(usize, usize)> {
        let at = bytes.windows(2).position(|two| two == b"\n\n").map(|at| (at + 1, at + 2));
        at.or_else(|| bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| (at + 2, at + 4)))
    }

    /// Reads a head, without its empty line.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &[u8]) -> Result<Head, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Text)?;
        let mut head = Head::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            let (name, value) = line.split_once(':').ok_or(Malformed::Line(number + 1))?;
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "agi_request" => head.request = value.to_owned(),
                "agi_uniqueid" => head.uniqueid = value.to_owned(),
                "agi_callerid" => head.caller = number_of(value),
                "agi_language" => head.language = number_of(value),
                "agi_dnid" => head.dialled = number_of(value),
                _ if name.starts_with("agi_arg_") => head.argue(value),
                _ => {}
            }
        }
        if head.uniqueid.is_empty() { Err(Malformed::Channel) } else { Ok(head) }
    }

    fn argue(&mut self, value: &str) {
        if let Some((key, value)) = value.split_once('=') {
            self.arguments.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }

    /// An argument of `AGI()` that is there and says something.
    pub fn argument(&self, key: &str) -> Option<&str> {
        let found = self.arguments.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Asterisk writes `unknown` where it knows nothing.
fn number_of(value: &str) -> Option<String> {
    (!value.is_empty() && value != "unknown").then(|| value.to_owned())
}

/// `SET VARIABLE`, the only command of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetVariable(String);

/// A value that must not go into a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value of {variable} {what}")]
pub struct Refused {
    variable: &'static str,
    what: &'static str,
}

impl SetVariable {
    /// The command that sets `variable`.
    ///
    /// # Errors
    /// For a value with a line end or another control character (it would be a second command), and for one that is too long to be read
    /// whole.
    pub fn new(variable: &'static str, value: &str) -> Result<SetVariable, Refused> {
        let refuse = |what| Err(Refused { variable, what });
        if value.len() > VALUE_MAX {
            return refuse("is longer than 1,024 bytes");
        }
        if value.chars().any(char::is_control) {
            return refuse("has a control character");
        }
        let mut line = format!("SET VARIABLE {variable} \"");
        for letter in value.chars() {
            if matches!(letter, '"' | '\\') {
                line.push('\\');
            }
            line.push(letter);
        }
        let _ = line.write_str("\"\n");
        Ok(SetVariable(line))
    }

    /// The line, with its end.
    pub fn line(&self) -> &str {
        &self.0
    }
}

/// What the PBX says to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Done.
    Done,
    /// The channel is gone.
    HungUp,
    /// It will not: the code.
    Not(u16),
}

/// Reads one line of the PBX.
pub fn said(line: &str) -> Option<Said> {
    let line = line.trim_end();
    if line == "HANGUP" {
        return Some(Said::HungUp);
    }
    match line.get(..3)?.parse().ok()? {
        200 => Some(Said::Done),
        511 => Some(Said::HungUp),
        code => Some(Said::Not(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "agi_network: yes\nagi_network_script: route\nagi_request: agi://127.0.0.1/route\n\
        agi_channel: PJSIP/trunk-00000001\nagi_uniqueid: pbx1-1795227084.17\nagi_callerid: 49305551\nagi_dnid: unknown\n\
        agi_arg_1: queue=sales\nagi_arg_2: call=pbx1-1795227084.16\nagi_arg_3: odd\n";

    #[test]
    fn a_head_of_asterisk_is_read() {
        let head = Head::parse(HEAD.as_bytes()).unwrap();
        assert_eq!((head.uniqueid.as_str(), head.caller.as_deref()), ("pbx1-1795227084.17", Some("49305551")));
        assert_eq!((head.dialled.as_deref(), head.argument("queue")), (None, Some("sales")));
        assert_eq!((head.argument("call"), head.argument("odd")), (Some("pbx1-1795227084.16"), None));
        let whole = format!("{HEAD}\nSET");
        assert_eq!(Head::end(whole.as_bytes()), Some((HEAD.len(), HEAD.len() + 1)));
        assert_eq!(Head::end(HEAD.as_bytes()), None);
        assert_eq!(Head::parse(b"agi_request: x\n"), Err(Malformed::Channel));
        assert_eq!(Head::parse(b"agi_uniqueid: x\nnonsense\n"), Err(Malformed::Line(2)));
    }

    #[test]
    fn a_value_cannot_become_a_second_command() {
        for bad in ["a\nHANGUP", "a\r", "\0", &"x".repeat(2_000)] {
            assert!(SetVariable::new("TIDEGATE_TARGET", bad).is_err(), "{bad:?}");
        }
        let line = SetVariable::new("TIDEGATE_DESTINATION", "a \"b\" \\c").unwrap();
        assert_eq!(line.line(), "SET VARIABLE TIDEGATE_DESTINATION \"a \\\"b\\\" \\\\c\"\n");
    }

    #[test]
    fn what_the_pbx_says_is_understood() {
        let lines =
            ["200 result=1\n", "HANGUP\n", "511 Command Not Permitted on a dead channel\n", "510 Invalid\n", "x"];
        let heard: Vec<_> = lines.iter().map(|line| said(line)).collect();
        assert_eq!(heard, [Some(Said::Done), Some(Said::HungUp), Some(Said::HungUp), Some(Said::Not(510)), None]);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Head::parse(&bytes);
            let _ = Head::end(&bytes);
            let _ = said(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn a_command_is_one_line_whatever_the_value(value in "\\PC{0,80}|.{0,80}") {
            if let Ok(command) = SetVariable::new("TIDEGATE_REASON", &value) {
                prop_assert_eq!(command.line().matches('\n').count(), 1);
                prop_assert!(command.line().ends_with("\"\n") && !command.line().contains('\r'));
            }
        }
    }
}
