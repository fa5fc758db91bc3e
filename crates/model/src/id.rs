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
    /// The deterministic id of one event.
    EventId,
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
        EventId(Arc::from(hex::encode(xxh3_128(&bytes).to_be_bytes())))
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
    fn a_subject_keeps_slashes_of_the_id() {
        let s = Subject::parse("device/PJSIP/101").unwrap();
        assert_eq!(s, Subject::Device("PJSIP/101".into()));
        assert_eq!(s.to_string(), "device/PJSIP/101");
        assert!(Subject::parse("fax/1").is_err());
        assert!(Subject::parse("call/").is_err());
    }
}
