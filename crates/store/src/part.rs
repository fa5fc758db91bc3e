//! A partition of a stream, as the stores know it: by name, so that they need no journal.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A partition of an event stream; written `events.call/2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The stream's name.
    pub stream: Arc<str>,
    /// The partition of the stream.
    pub number: u32,
}

impl Part {
    /// A partition of a stream.
    pub fn new(stream: &str, number: u32) -> Self {
        Self { stream: Arc::from(stream), number }
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
        for bad in ["events.call", "/2", "events.call/x"] {
            assert_eq!(bad.parse::<Part>(), Err(BadPart(bad.to_owned())));
        }
    }
}
