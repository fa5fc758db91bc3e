//! The envelope of a control event: CloudEvents 1.0 in JSON, with the extensions `by` and `why`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Event, decode};
use crate::id::{EventId, SourceId, TenantId};
use crate::time::Time;

/// Who decided.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// The console, by its rules.
    Automatic,
    /// A person, by the name of their token.
    Operator(String),
    /// A call service, by its name.
    Carrier(String),
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Automatic => f.write_str("automatic"),
            By::Operator(name) => write!(f, "operator/{name}"),
            By::Carrier(name) => write!(f, "carrier/{name}"),
        }
    }
}

/// A text that names nobody who may decide.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is nobody: want automatic, operator/NAME or carrier/NAME")]
pub struct Nobody(pub String);

impl FromStr for By {
    type Err = Nobody;

    fn from_str(text: &str) -> Result<By, Nobody> {
        match text.split_once('/') {
            None if text == "automatic" => Ok(By::Automatic),
            Some(("operator", name)) if !name.is_empty() => Ok(By::Operator(name.to_owned())),
            Some(("carrier", name)) if !name.is_empty() => Ok(By::Carrier(name.to_owned())),
            _ => Err(Nobody(text.to_owned())),
        }
    }
}

impl Serialize for By {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<By, D::Error> {
        <Cow<'de, str>>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A control event with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Never used twice; the same record written twice keeps it.
    pub id: EventId,
    /// The instance that wrote it, such as `console/1`.
    pub source: SourceId,
    /// When it was decided, the writer's clock.
    pub time: Time,
    /// Whose: the key in the stream.
    pub tenant: TenantId,
    /// Who decided.
    pub by: By,
    /// Why, in words for people.
    pub why: String,
    /// The event that caused it: an undo names what it undoes.
    pub cause_id: Option<EventId>,
    /// What was decided.
    pub event: Event,
}

/// The attributes of an event of an unknown type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The event's id.
    pub id: EventId,
    /// The type that this reader does not know.
    pub ty: String,
    /// When it was decided.
    pub time: Time,
}

/// What stands in a record of `control`.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// Known.
    Known(Envelope),
    /// Newer than this reader: it passes.
    Unknown(Head),
}

/// Why bytes are no control event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or an attribute is missing or of the wrong kind.
    #[error("no control event: {0}")]
    Envelope(#[source] serde_json::Error),
    /// Another CloudEvents version.
    #[error("specversion is {0:?}, want \"1.0\"")]
    Version(String),
    /// A time that cannot be read.
    #[error(transparent)]
    Time(#[from] crate::time::Error),
    /// Nobody who may decide.
    #[error(transparent)]
    By(#[from] Nobody),
    /// `data` does not fit the type.
    #[error("data of {ty}: {source}")]
    Data {
        /// The event type.
        ty: String,
        /// What does not fit.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct WireIn<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    ty: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    tenant: Cow<'a, str>,
    #[serde(borrow, default)]
    by: Cow<'a, str>,
    #[serde(borrow, default)]
    why: Cow<'a, str>,
    #[serde(borrow, default)]
    causeid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct WireOut<'a> {
    specversion: &'static str,
    id: &'a EventId,
    source: &'a SourceId,
    #[serde(rename = "type")]
    ty: &'static str,
    subject: String,
    time: Time,
    datacontenttype: &'static str,
    tenant: &'a TenantId,
    by: &'a By,
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    causeid: Option<&'a EventId>,
    data: &'a Event,
}

impl Envelope {
    /// The JSON as it stands in the journal.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a control event always serialises")
    }

    /// Reads one record of `control`.
    ///
    /// # Errors
    /// What is no control event. A type that is not known is none: it comes back as its [`Head`].
    pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
        let wire: WireIn<'_> = serde_json::from_slice(bytes).map_err(Error::Envelope)?;
        if wire.specversion != "1.0" {
            return Err(Error::Version(wire.specversion.into_owned()));
        }
        let (id, time) = (EventId::new(&wire.id), Time::parse(&wire.time)?);
        let data = wire.data.map_or("{}", RawValue::get);
        let event = decode(&wire.ty, data).map_err(|source| Error::Data { ty: wire.ty.to_string(), source })?;
        let Some(event) = event else { return Ok(Parsed::Unknown(Head { id, ty: wire.ty.into_owned(), time })) };
        Ok(Parsed::Known(Envelope {
            id,
            source: SourceId::new(&wire.source),
            time,
            tenant: TenantId::new(&wire.tenant),
            by: wire.by.parse()?,
            why: wire.why.into_owned(),
            cause_id: wire.causeid.map(|id| EventId::new(&id)),
            event,
        }))
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        WireOut {
            specversion: "1.0",
            id: &self.id,
            source: &self.source,
            ty: self.event.ty(),
            subject: self.event.subject(),
            time: self.time,
            datacontenttype: "application/json",
            tenant: &self.tenant,
            by: &self.by,
            why: &self.why,
            causeid: self.cause_id.as_ref(),
            data: &self.event,
        }
        .serialize(s)
    }
}
