//! Values with their unit written out: `"30s"`, `"64MiB"`.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in whole milliseconds, written `"250ms"`, `"30s"`, `"5m"`, `"1h 30m"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(u64);

impl Millis {
    /// So many milliseconds.
    pub const fn new(millis: u64) -> Self {
        Millis(millis)
    }

    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Millis(seconds.saturating_mul(1_000))
    }

    /// In milliseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In milliseconds, for arithmetic with times.
    pub fn signed(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Millis> for Duration {
    fn from(millis: Millis) -> Self {
        millis.duration()
    }
}

impl Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.duration()).fmt(f)
    }
}

impl FromStr for Millis {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            |why: String| format!("{text:?} is not a duration ({why}): write \"250ms\", \"30s\", \"5m\" or \"1h 30m\"");
        let duration = humantime::parse_duration(text).map_err(|error| bad(error.to_string()))?;
        if duration.subsec_nanos() % 1_000_000 != 0 {
            return Err(bad("finer than a millisecond".to_owned()));
        }
        u64::try_from(duration.as_millis()).map(Millis).map_err(|_| bad("too long".to_owned()))
    }
}

/// A size in bytes, written `"512B"`, `"64KiB"`, `"64MiB"`, `"2GiB"` (or decimal: `"64MB"`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Size(bytes)
    }

    /// So many binary megabytes.
    pub const fn mebibytes(mebibytes: u64) -> Self {
        Size(mebibytes << 20)
    }

    /// In bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In bytes, as an index.
    pub fn to_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        // Exact or not at all: what is printed must read back as the same value.
        match UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.parse::<bytesize::ByteSize>();
        let bad = |why| format!("{text:?} is not a size ({why}): write \"512B\", \"64KiB\", \"64MiB\" or \"2GiB\"");
        if !text.trim().ends_with(['B', 'b']) {
            return Err(bad("no unit".to_owned()));
        }
        size.map(|size| Size(size.0)).map_err(bad)
    }
}

macro_rules! written_as_text {
    ($type:ident, $pattern:literal, $about:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $about })
            }
        }
    };
}

written_as_text!(
    Millis,
    "^[0-9]+ ?[a-zA-Z]+( ?[0-9]+ ?[a-zA-Z]+)*$",
    "a duration: \"250ms\", \"30s\", \"5m\", \"1h 30m\""
);
written_as_text!(Size, "^[0-9]+(\\.[0-9]+)? ?[kKMGTP]?i?[bB]$", "a size: \"512B\", \"64KiB\", \"64MiB\", \"2GiB\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back_as_the_same_value() {
        for millis in [0, 1, 250, 30_000, 5_400_000, 86_400_000 * 400 + 7] {
            assert_eq!(Millis::new(millis).to_string().parse(), Ok(Millis::new(millis)));
        }
        for size in [0, 1, 512, 1_500, 1 << 10, 64 << 20, (3 << 30) + 1] {
            assert_eq!(Size::bytes(size).to_string().parse(), Ok(Size::bytes(size)));
        }
        assert_eq!((Millis::seconds(30).to_string(), Size::mebibytes(64).to_string()), ("30s".into(), "64MiB".into()));
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_the_fix() {
        let error = "30".parse::<Millis>().unwrap_err();
        assert!(error.contains("write \"250ms\""), "{error}");
        assert!("64".parse::<Size>().unwrap_err().contains("no unit"));
        assert!("1us".parse::<Millis>().is_err());
    }
}
