//! Actions for the PBX, typed and encoded so that no value can smuggle in a second line.

use md5::{Digest, Md5};

/// An action under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    name: &'static str,
    headers: Vec<(&'static str, String)>,
}

/// Why an action cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A carriage return, line feed or NUL would end the header and begin another.
    #[error("header {0} holds a line end or NUL")]
    LineEnd(&'static str),
    /// Asterisk cuts lines at 1024 bytes.
    #[error("header {0} is {1} bytes long, want at most {LINE_BYTES_MAX}")]
    Long(&'static str, usize),
}

/// The longest header line that every Asterisk reads whole.
pub const LINE_BYTES_MAX: usize = 1000;

impl Action {
    /// An action without headers.
    pub fn new(name: &'static str) -> Action {
        Action { name, headers: Vec::new() }
    }

    /// With a header; checked in [`Action::encode`].
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Action {
        self.headers.push((key, value.into()));
        self
    }

    /// The action's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Asks for a challenge to log in by.
    pub fn challenge() -> Action {
        Action::new("Challenge").with("AuthType", "MD5")
    }

    /// Logs in by the MD5 of challenge and secret; no events until the filter stands.
    pub fn login_md5(username: &str, secret: &str, challenge: &str) -> Action {
        let key = Md5::new().chain_update(challenge).chain_update(secret).finalize();
        let key: String = key.iter().map(|b| format!("{b:02x}")).collect();
        Action::new("Login").with("AuthType", "MD5").with("Username", username).with("Key", key).with("Events", "off")
    }

    /// Logs in with the secret itself; no events until the filter stands.
    pub fn login_plain(username: &str, secret: &str) -> Action {
        Action::new("Login").with("Username", username).with("Secret", secret).with("Events", "off")
    }

    /// Only events that match `regex` from now on (added to other filters).
    pub fn filter(regex: impl Into<String>) -> Action {
        Action::new("Filter").with("Operation", "Add").with("Filter", regex)
    }

    /// The bytes on the wire, under an ActionID.
    pub fn encode(&self, id: &str) -> Result<Vec<u8>, Error> {
        let mut text = format!("Action: {}\r\n", self.name);
        let own = [("ActionID", id)].into_iter();
        for (key, value) in own.chain(self.headers.iter().map(|(key, value)| (*key, value.as_str()))) {
            if value.contains(['\r', '\n', '\0']) {
                return Err(Error::LineEnd(key));
            }
            if key.len() + value.len() + 2 > LINE_BYTES_MAX {
                return Err(Error::Long(key, value.len()));
            }
            text.push_str(&format!("{key}: {value}\r\n"));
        }
        text.push_str("\r\n");
        Ok(text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_begin_another_line() {
        for bad in ["x\r\nAction: Command", "x\nSecret: y", "x\0y", "x\r"] {
            let action = Action::new("UserEvent").with("UserEvent", bad);
            assert_eq!(action.encode("1"), Err(Error::LineEnd("UserEvent")), "{bad:?}");
            assert_eq!(Action::new("Ping").encode(bad), Err(Error::LineEnd("ActionID")), "{bad:?}");
        }
        assert!(matches!(Action::filter("x".repeat(2000)).encode("1"), Err(Error::Long("Filter", 2000))));
    }

    #[test]
    fn an_action_is_its_name_its_id_and_its_headers() {
        let bytes = Action::new("QueueStatus").with("Queue", "sales").encode("a1").unwrap();
        assert_eq!(bytes, b"Action: QueueStatus\r\nActionID: a1\r\nQueue: sales\r\n\r\n");
    }

    #[test]
    fn a_login_by_challenge_does_not_show_the_secret() {
        let text = String::from_utf8(Action::login_md5("cti", "cti-secret", "133116744").encode("1").unwrap()).unwrap();
        assert!(!text.contains("cti-secret"));
        // md5("133116744" + "cti-secret")
        assert!(text.contains("Key: 2c04294016d6c7f1ce06bdbe28125bb3\r\n"), "{text}");
    }
}
