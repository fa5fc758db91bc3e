//! Ids are newtypes, so that a queue cannot be passed where an agent is meant.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// From any text.
            pub fn new(id: impl AsRef<str>) -> Self {
                Self(Arc::from(id.as_ref()))
            }
            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self::new(id)
            }
        }
        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(Arc::from(id))
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

ids! {
    /// A company or business line whose calls these are.
    TenantId,
    /// One vendor instance that we collect from, such as `pbx1`.
    SourceId,
    /// One call, from its first offer to the end of its last leg: the vendor's own call reference.
    CallId,
    /// A person who answers calls, by the vendor's agent name.
    AgentId,
    /// An extension or phone, such as `PJSIP/101`.
    DeviceId,
    /// A queue (skill group).
    QueueId,
    /// A team of agents, from the directory.
    TeamId,
    /// A trunk or call service that calls come in or go out by.
    TrunkId,
    /// A node of an IVR menu.
    NodeId,
    /// A place where callers are led who cannot wait for a person, such as `chat`.
    TargetId,
    /// A call service: a vendor or a trunk that carries calls.
    ServiceId,
    /// An order of a person or a carrier that lasts for a time.
    OverrideId,
    /// A callback that a caller was promised.
    CallbackId,
}

/// The deterministic id of one event. Most are 32 hexadecimal digits ([`EventId::from_reference`]): short ones are kept in place,
/// because each event has its own and a fold holds millions.
#[derive(Clone)]
pub struct EventId(Letters);

/// A text so long is kept in place.
const SHORT: usize = 32;

#[derive(Clone)]
enum Letters {
    Short { len: u8, letters: [u8; SHORT] },
    Long(Arc<str>),
}

impl EventId {
    /// From any text.
    pub fn new(id: impl AsRef<str>) -> Self {
        let text = id.as_ref();
        if let Ok(letters) = text.as_bytes().try_into() {
            return EventId(Letters::Short { len: SHORT as u8, letters }); // nearly every one
        }
        let mut letters = [0; SHORT];
        EventId(match letters.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Letters::Short { len: text.len() as u8, letters }
            }
            None => Letters::Long(Arc::from(text)),
        })
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Letters::Long(text) => text,
            Letters::Short { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(), // it was a text
        }
    }

    /// Eight bytes that equal ids have alike, and different ones seldom: for a quick no.
    pub fn mark(&self) -> u64 {
        let bytes = match &self.0 {
            Letters::Short { letters, .. } => letters.as_slice(),
            Letters::Long(text) => text.as_bytes(),
        };
        let word = |word: Option<&[u8; 8]>| word.map_or(0, |word| u64::from_le_bytes(*word));
        // the first half of 16 hexadecimal digits, a nibble each, with the second beside it
        word(bytes.first_chunk()) << 4 ^ word(bytes.get(8..).and_then(<[u8]>::first_chunk))
    }

    /// The bytes of the text of the id.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Letters::Long(text) => text.as_bytes(),
            Letters::Short { len, letters } => &letters[..usize::from(*len)],
        }
    }
}

impl PartialEq for EventId {
    fn eq(&self, other: &Self) -> bool {
        use Letters::{Long, Short};
        match (&self.0, &other.0) {
            (Short { len, letters }, Short { len: other_len, letters: others }) => {
                len == other_len && letters == others // what lies behind the text is zero in both
            }
            (Long(text), Long(other)) => text == other,
            _ => false, // a short text is never kept long
        }
    }
}

impl Eq for EventId {}

impl PartialOrd for EventId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EventId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for EventId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventId").field(&self.as_str()).finish()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&str> for EventId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for EventId {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

impl AsRef<str> for EventId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <std::borrow::Cow<'de, str>>::deserialize(d).map(EventId::new)
    }
}

impl EventId {
    /// The id of an event that the vendor itself can name: the same reference of the same source is the same event.
    pub fn from_reference(source: &SourceId, reference: &str) -> EventId {
        EventId::hash(&[source.as_str(), reference])
    }

    /// The id of an event without a vendor reference: (source, call, type, vendor time, leg).
    pub fn from_parts(source: &SourceId, subject: &str, ty: &str, occurred_at_ms: i64, leg: &str) -> EventId {
        EventId::hash(&[source.as_str(), subject, ty, &occurred_at_ms.to_string(), leg])
    }

    fn hash(parts: &[&str]) -> EventId {
        let mut bytes = Vec::with_capacity(64);
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes()); // length first: ("a","bc") is not ("ab","c")
            bytes.extend_from_slice(part.as_bytes());
        }
        EventId::new(hex::encode(xxh3_128(&bytes).to_be_bytes()))
    }
}

/// What an event is about, and the key that its order is kept by: `call/…`, `agent/…`, `device/…`, `queue/…`, `source/…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Subject {
    /// A call.
    Call(CallId),
    /// An agent.
    Agent(AgentId),
    /// A device.
    Device(DeviceId),
    /// A queue.
    Queue(QueueId),
    /// A source.
    Source(SourceId),
}

/// A subject of no known family.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no subject: want call/…, agent/…, device/…, queue/… or source/…")]
pub struct BadSubject(pub String);

impl Subject {
    /// The family word before the slash.
    pub fn family(&self) -> &'static str {
        match self {
            Subject::Call(_) => "call",
            Subject::Agent(_) => "agent",
            Subject::Device(_) => "device",
            Subject::Queue(_) => "queue",
            Subject::Source(_) => "source",
        }
    }

    /// The id after the slash: the key in the journal.
    pub fn id(&self) -> &str {
        match self {
            Subject::Call(id) => id.as_str(),
            Subject::Agent(id) => id.as_str(),
            Subject::Device(id) => id.as_str(),
            Subject::Queue(id) => id.as_str(),
            Subject::Source(id) => id.as_str(),
        }
    }

    /// Reads `family/id`.
    pub fn parse(text: &str) -> Result<Subject, BadSubject> {
        let bad = || BadSubject(text.to_owned());
        let (family, id) = text.split_once('/').ok_or_else(bad)?;
        if id.is_empty() {
            return Err(bad());
        }
        Ok(match family {
            "call" => Subject::Call(id.into()),
            "agent" => Subject::Agent(id.into()),
            "device" => Subject::Device(id.into()),
            "queue" => Subject::Queue(id.into()),
            "source" => Subject::Source(id.into()),
            _ => return Err(bad()),
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family(), self.id())
    }
}

impl From<Subject> for String {
    fn from(s: Subject) -> String {
        s.to_string()
    }
}

impl TryFrom<String> for Subject {
    type Error = BadSubject;
    fn try_from(text: String) -> Result<Subject, BadSubject> {
        Subject::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_reference_of_the_same_source_is_the_same_event() {
        let (a, b) = (SourceId::new("pbx1"), SourceId::new("pbx2"));
        assert_eq!(EventId::from_reference(&a, "17.1"), EventId::from_reference(&a, "17.1"));
        assert_ne!(EventId::from_reference(&a, "17.1"), EventId::from_reference(&b, "17.1"));
        assert_ne!(EventId::hash(&["a", "bc"]), EventId::hash(&["ab", "c"]));
    }

    #[test]
    fn a_short_id_and_a_long_one_are_texts_alike() {
        let texts =
            ["", "7", "718dc50eae0d7a91cf993d2b16baa442", "718dc50eae0d7a91cf993d2b16baa4421", "é-id of a stranger"];
        for a in texts {
            assert_eq!(EventId::new(a).as_str(), a);
            assert_eq!(serde_json::to_string(&EventId::new(a)).unwrap(), format!("{a:?}"));
            for b in texts {
                assert_eq!(EventId::new(a).cmp(&EventId::new(b)), a.cmp(b), "{a} {b}");
            }
        }
    }

    #[test]
    fn a_subject_keeps_slashes_of_the_id() {
        let s = Subject::parse("device/PJSIP/101").unwrap();
        assert_eq!(s, Subject::Device("PJSIP/101".into()));
        assert_eq!(s.to_string(), "device/PJSIP/101");
        assert!(Subject::parse("fax/1").is_err());
        assert!(Subject::parse("call/").is_err());
    }
}
