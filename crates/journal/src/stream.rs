//! The streams of the platform and how many partitions each has.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A stream of the journal. The set is closed: a new stream is a change of the platform's design, not of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Stream {
    /// Vendor-neutral facts as an adapter saw them; key: source instance.
    Ingest,
    /// Vendor frames verbatim, kept for a short time; key: source instance.
    Raw,
    /// Canonical events about calls; key: call.
    EventsCall,
    /// Canonical events about agents; key: agent.
    EventsAgent,
    /// Canonical events about devices; key: device.
    EventsDevice,
    /// Canonical events about queues; key: queue.
    EventsQueue,
    /// Canonical events about sources; key: source.
    EventsSource,
    /// Live partial views, compacted: only the latest value of a key is kept; key: view key and partition.
    Views,
    /// Closed call records, interval rows and their revisions; key: call or row.
    Records,
    /// Every decision of the control plane; key: tenant.
    Control,
    /// Heartbeats, load and lag of components; key: component instance.
    Health,
}

impl Stream {
    /// All streams, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::Ingest,
        Self::Raw,
        Self::EventsCall,
        Self::EventsAgent,
        Self::EventsDevice,
        Self::EventsQueue,
        Self::EventsSource,
        Self::Views,
        Self::Records,
        Self::Control,
        Self::Health,
    ];

    /// The five streams of canonical events, the truth.
    pub const EVENTS: [Self; 5] =
        [Self::EventsCall, Self::EventsAgent, Self::EventsDevice, Self::EventsQueue, Self::EventsSource];

    /// The name on disk, in configuration and in messages: `events.call`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Raw => "raw",
            Self::EventsCall => "events.call",
            Self::EventsAgent => "events.agent",
            Self::EventsDevice => "events.device",
            Self::EventsQueue => "events.queue",
            Self::EventsSource => "events.source",
            Self::Views => "views",
            Self::Records => "records",
            Self::Control => "control",
            Self::Health => "health",
        }
    }

    /// Whether only the latest value of each key is kept. An empty value on such a stream is a tombstone: the key is gone.
    pub const fn is_compacted(self) -> bool {
        matches!(self, Self::Views)
    }

    /// Whether an acknowledged append is on the disk. `views` and `health` are not worth a sync of their own: the first is
    /// rebuilt from the events, the second is news of the moment. Their appends survive the kill of a process at once, and a
    /// power cut as soon as any durable append was acknowledged after them.
    pub const fn is_durable(self) -> bool {
        !matches!(self, Self::Views | Self::Health)
    }

    /// What of a key decides in which partition it lies: all of it. Of `views`, only what comes after the last `@`, which is the partition of
    /// events that it speaks of: all that is told of one is read in the order in which it was told, whatever becomes of other partitions.
    pub(crate) fn placed_by(self, key: &[u8]) -> &[u8] {
        match key.iter().rposition(|byte| *byte == b'@') {
            Some(at) if self == Self::Views => &key[at + 1..],
            _ => key,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No stream has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no stream is called {0:?}")]
pub struct UnknownStream(pub String);

impl FromStr for Stream {
    type Err = UnknownStream;

    fn from_str(name: &str) -> Result<Self, UnknownStream> {
        Self::ALL.into_iter().find(|stream| stream.name() == name).ok_or_else(|| UnknownStream(name.to_owned()))
    }
}

impl TryFrom<String> for Stream {
    type Error = UnknownStream;

    fn try_from(name: String) -> Result<Self, UnknownStream> {
        name.parse()
    }
}

impl From<Stream> for String {
    fn from(stream: Stream) -> Self {
        stream.name().to_owned()
    }
}

/// How many partitions each stream has. Fixed when a journal is created: another count would send the same key to another
/// partition, and the order per key would be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Stream, u32>", into = "BTreeMap<Stream, u32>")]
pub struct Topology {
    counts: BTreeMap<Stream, u32>,
}

impl Topology {
    /// The most partitions that a stream may have. Each costs a row and a look at every wake-up.
    pub const PARTITIONS_MAX: u32 = 256;

    /// Every stream with the same count (raised to 1 and cut at [`Self::PARTITIONS_MAX`]).
    pub fn uniform(partitions: u32) -> Self {
        let partitions = partitions.clamp(1, Self::PARTITIONS_MAX);
        Self { counts: Stream::ALL.into_iter().map(|stream| (stream, partitions)).collect() }
    }

    /// The same topology with another count for one stream (raised to 1 and cut at [`Self::PARTITIONS_MAX`]).
    #[must_use]
    pub fn with(mut self, stream: Stream, partitions: u32) -> Self {
        self.counts.insert(stream, partitions.clamp(1, Self::PARTITIONS_MAX));
        self
    }

    /// The number of partitions of a stream, at least 1.
    pub fn partitions(&self, stream: Stream) -> u32 {
        self.counts.get(&stream).copied().unwrap_or(1)
    }

    /// All partitions of all streams, in order.
    pub fn all(&self) -> impl Iterator<Item = (Stream, u32)> + '_ {
        Stream::ALL
            .into_iter()
            .flat_map(|stream| (0..self.partitions(stream)).map(move |partition| (stream, partition)))
    }
}

impl Default for Topology {
    /// Calls are most of the traffic: four partitions; agents and views two; everything else one.
    fn default() -> Self {
        Self::uniform(1).with(Stream::EventsCall, 4).with(Stream::EventsAgent, 2).with(Stream::Views, 2)
    }
}

impl TryFrom<BTreeMap<Stream, u32>> for Topology {
    type Error = String;

    /// Streams that are not named get their default count.
    fn try_from(named: BTreeMap<Stream, u32>) -> Result<Self, String> {
        let mut topology = Self::default();
        for (stream, count) in named {
            if count == 0 || count > Self::PARTITIONS_MAX {
                return Err(format!("{stream} cannot have {count} partitions: 1 to {}", Self::PARTITIONS_MAX));
            }
            topology = topology.with(stream, count);
        }
        Ok(topology)
    }
}

impl From<Topology> for BTreeMap<Stream, u32> {
    fn from(topology: Topology) -> Self {
        topology.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_found_by_its_name() {
        for stream in Stream::ALL {
            assert_eq!(stream.name().parse(), Ok(stream));
        }
        assert_eq!("events.calls".parse::<Stream>(), Err(UnknownStream("events.calls".to_owned())));
    }

    #[test]
    fn a_topology_in_configuration_names_only_what_differs() {
        let topology: Topology = serde_json::from_str(r#"{"events.call": 64}"#).unwrap();
        assert_eq!(topology.partitions(Stream::EventsCall), 64);
        assert_eq!(topology.partitions(Stream::Control), 1);
        let refused = serde_json::from_str::<Topology>(r#"{"events.call": 0}"#).unwrap_err().to_string();
        assert!(refused.contains("events.call cannot have 0 partitions"), "{refused}");
    }
}
