//! Reading actions and writing answers.

use std::fmt::Display;

use crate::centre::voice_field;

/// The most bytes of one action: the real PBX takes 128 headers of 1,024 bytes.
pub(crate) const ACTION_BYTES_MAX: usize = 128 * 1_024;

/// An action as a client sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Action {
    headers: Vec<(String, String)>,
}

impl Action {
    /// Takes the first whole action out of what has been read; none when its end has not come.
    pub(crate) fn take(read: &mut Vec<u8>) -> Option<Action> {
        // Blank lines between actions are no actions.
        let blank = read.iter().take_while(|b| **b == b'\r' || **b == b'\n').count();
        read.drain(..blank);
        let (end, next) = end_of(read)?;
        let text = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..next);
        let headers = text.lines().filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            Some((key.trim().to_owned(), value.trim().to_owned()))
        });
        Some(Action { headers: headers.collect() })
    }

    /// A header's value, by its name in any case; empty counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// What is asked for, in lower case.
    pub(crate) fn name(&self) -> String {
        self.get("Action").unwrap_or("").to_ascii_lowercase()
    }

    /// The id that answers repeat.
    pub(crate) fn id(&self) -> Option<&str> {
        self.get("ActionID")
    }

    /// Starts an answer: `Response` and the id.
    pub(crate) fn answer(&self, response: &str) -> Answer {
        let answer = Answer { text: String::new() }.put("Response", response);
        match self.id() {
            Some(id) => answer.put("ActionID", id),
            None => answer,
        }
    }

    /// An answer of a message and nothing more.
    pub(crate) fn say(&self, response: &str, message: impl Display) -> String {
        self.answer(response).put("Message", message).end()
    }
}

/// Where the empty line that closes an action begins, and where the next action begins. Bare line feeds are taken as well.
fn end_of(read: &[u8]) -> Option<(usize, usize)> {
    let mut line = 0;
    for (i, byte) in read.iter().enumerate() {
        if *byte == b'\n' {
            let text = &read[line..i];
            if text.is_empty() || text == b"\r" {
                return Some((line, i + 1));
            }
            line = i + 1;
        }
    }
    None
}

/// An answer being written.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
}

impl Answer {
    /// Adds a header.
    pub(crate) fn put(mut self, key: &str, value: impl Display) -> Answer {
        voice_field(&mut self.text, key, value);
        self
    }

    /// Closes it.
    pub(crate) fn end(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_taken_one_by_one_and_in_any_case() {
        let mut read = b"\r\nAction: Ping\r\nactionid: 7\r\n\r\nACTION: Logoff\n\nAction: Que".to_vec();
        let first = Action::take(&mut read).unwrap();
        assert_eq!((first.name().as_str(), first.id()), ("ping", Some("7")));
        assert_eq!(Action::take(&mut read).unwrap().name(), "logoff");
        assert_eq!(Action::take(&mut read), None);
        assert_eq!(read, b"Action: Que");
    }

    #[test]
    fn an_answer_repeats_the_id() {
        let mut read = b"Action: Bogus\r\nActionID: x\r\n\r\n".to_vec();
        let action = Action::take(&mut read).unwrap();
        assert_eq!(action.say("Error", "no"), "Response: Error\r\nActionID: x\r\nMessage: no\r\n\r\n");
    }
}
