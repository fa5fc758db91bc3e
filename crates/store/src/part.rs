//! A partition of a stream, as the stores know it: by name, so that they need no journal.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// A partition of an event stream; written `events.call/2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The stream's name.
    pub stream: Arc<str>,
    /// The partition of the stream.
    pub number: u32,
}

/// Names that are in memory once: every reader of `views` keeps one beside each view.
static STREAMS: LazyLock<[Arc<str>; 5]> =
    LazyLock::new(|| ["events.call", "events.agent", "events.device", "events.queue", "events.source"].map(Arc::from));

impl Part {
    /// A partition of a stream.
    pub fn new(stream: &str, number: u32) -> Self {
        let shared = STREAMS.iter().find(|known| ***known == *stream);
        Self { stream: shared.map_or_else(|| Arc::from(stream), Arc::clone), number }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.number)
    }
}

/// A text that names no partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no partition such as events.call/2")]
pub struct BadPart(pub String);

impl FromStr for Part {
    type Err = BadPart;

    fn from_str(text: &str) -> Result<Self, BadPart> {
        let bad = || BadPart(text.to_owned());
        let (stream, number) = text.rsplit_once('/').ok_or_else(bad)?;
        if stream.is_empty() {
            return Err(bad());
        }
        Ok(Self::new(stream, number.parse().map_err(|_| bad())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_read_as_it_is_written() {
        assert_eq!("events.call/2".parse(), Ok(Part::new("events.call", 2)));
        assert_eq!(Part::new("events.call", 2).to_string(), "events.call/2");
        assert!(Arc::ptr_eq(&Part::new("events.call", 1).stream, &Part::new("events.call", 2).stream), "one text");
        for bad in ["events.call", "/2", "events.call/x"] {
            assert_eq!(bad.parse::<Part>(), Err(BadPart(bad.to_owned())));
        }
    }
}
