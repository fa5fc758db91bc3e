//! A message as it goes over the wire: header and payload in one piece, written once and shared by all who get it.
//!
//! A server's frames are not masked (RFC 6455, section 5.1), so the bytes of a message are the same for every client: sending it to
//! one more costs a reference and a write, and nothing is copied.

use std::ops::Deref;

use bytes::Bytes;

use super::close::Close;

/// A whole frame: text, ping or close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wire(Bytes);

/// The longest header of a frame that is not masked.
const HEAD: usize = 10;
/// Final frame of a message, and its kind.
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;

/// A text message that is being written: room for its header comes first, so that the whole is one piece of memory.
#[derive(Debug)]
pub struct Draft(String);

impl Draft {
    /// Nothing yet; room for about `capacity` bytes.
    pub fn new(capacity: usize) -> Draft {
        let mut text = String::with_capacity(HEAD + capacity);
        text.extend([' '; HEAD]);
        Draft(text)
    }

    /// Adds text.
    pub fn push(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// The message.
    pub fn finish(self) -> Wire {
        frame(TEXT, self.0.into_bytes())
    }
}

impl Wire {
    /// A text message.
    pub fn text(text: &str) -> Wire {
        let mut draft = Draft::new(text.len());
        draft.push(text);
        draft.finish()
    }

    /// A ping without payload.
    pub const fn ping() -> Wire {
        Wire(Bytes::from_static(&[PING, 0]))
    }

    /// Good-bye, and why.
    pub fn close(close: Close) -> Wire {
        let mut bytes = vec![0; HEAD];
        bytes.extend(close.code().to_be_bytes());
        bytes.extend(close.reason().as_bytes());
        frame(CLOSE, bytes)
    }

    /// The text of a text message; empty for another.
    pub fn as_text(&self) -> &str {
        let head = match self.0.get(1) {
            Some(127) => HEAD,
            Some(126) => 4,
            _ => 2,
        };
        let payload = if self.0.first() == Some(&TEXT) { self.0.get(head..) } else { None };
        std::str::from_utf8(payload.unwrap_or_default()).unwrap_or_default()
    }

    /// The bytes to send.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Wire {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Puts the header before the payload, which begins after the room for the longest one.
fn frame(kind: u8, mut bytes: Vec<u8>) -> Wire {
    let length = bytes.len() - HEAD;
    let start = match u16::try_from(length) {
        Ok(short) if short < 126 => {
            bytes[HEAD - 1] = short as u8;
            HEAD - 2
        }
        Ok(middle) => {
            bytes[HEAD - 3] = 126;
            bytes[HEAD - 2..HEAD].copy_from_slice(&middle.to_be_bytes());
            HEAD - 4
        }
        Err(_) => {
            bytes[1] = 127;
            bytes[2..HEAD].copy_from_slice(&(length as u64).to_be_bytes());
            0
        }
    };
    bytes[start] = kind;
    Wire(Bytes::from(bytes).slice(start..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
    use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

    /// What another library reads from these bytes.
    fn read(wire: &Wire) -> Message {
        let stream = std::io::Cursor::new(wire.to_vec());
        WebSocket::from_raw_socket(stream, Role::Client, None).read().unwrap()
    }

    #[test]
    fn another_library_reads_messages_of_every_length_as_they_were_written() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            let text = "é".repeat(length / 2) + &"x".repeat(length % 2);
            let wire = Wire::text(&text);
            assert_eq!((wire.as_text().len(), wire.as_text() == text), (length, true));
            assert_eq!(read(&wire), Message::text(text));
        }
    }

    #[test]
    fn another_library_reads_pings_and_closes() {
        assert_eq!(read(&Wire::ping()), Message::Ping(Bytes::new()));
        let frame = CloseFrame { code: 4001.into(), reason: "too_slow".into() };
        assert_eq!(read(&Wire::close(Close::TooSlow)), Message::Close(Some(frame)));
        assert_eq!(Wire::close(Close::TooSlow).as_text(), "");
    }
}
