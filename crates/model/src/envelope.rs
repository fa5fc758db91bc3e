//! CloudEvents 1.0, JSON, structured mode: what stands in every stream of the journal.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::{self, Event};
use crate::id::{BadSubject, EventId, SourceId, Subject, TenantId};
use crate::lift;
use crate::text::Texts;
use crate::time::{self, Time};

mod cursor;
mod quick;

/// The media type of an envelope.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// How an event is known, when it was not simply seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Concluded from something else: back-filled from CDR, or closed because the vendor no longer knows it.
    Inferred,
    /// Read from a snapshot of the vendor's state, not seen happening.
    Snapshot,
    /// Arrived later than the source's lateness allows.
    Late,
}

/// One event with its CloudEvents attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Deterministic: from the source and the vendor's own reference.
    pub id: EventId,
    /// The vendor instance it came from.
    pub source: SourceId,
    /// What it is about: the key that order is kept by.
    pub subject: Subject,
    /// When it happened, vendor clock.
    pub time: Time,
    /// Whose it is; the receiver fills it in.
    pub tenant: Option<TenantId>,
    /// When the collector saw it.
    pub observed_time: Option<Time>,
    /// The event that caused it.
    pub cause_id: Option<EventId>,
    /// Vendor order, to break ties of time.
    pub seq: Option<u64>,
    /// How it is known; absent when simply seen.
    pub quality: Option<Quality>,
    /// What happened.
    pub event: Event,
}

/// The attributes of an event of an unknown type: enough to route its bytes on, untouched.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The event's id.
    pub id: EventId,
    /// Where it came from.
    pub source: SourceId,
    /// What it is about.
    pub subject: Subject,
    /// When it happened.
    pub time: Time,
    /// The type that this reader does not know.
    pub ty: String,
}

/// What stands in a record: an event that we know, or one that is newer than we are.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// Known, lifted to its newest version.
    Known(Envelope),
    /// Unknown: pass the bytes on as they are.
    Unknown(Head),
}

/// Why bytes are no envelope of ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or a CloudEvents attribute is missing or of the wrong kind.
    #[error("no CloudEvents envelope: {0}")]
    Envelope(#[source] serde_json::Error),
    /// Another CloudEvents version.
    #[error("specversion is {0:?}, want \"1.0\"")]
    Version(String),
    /// A required attribute that is empty or longer than [`ATTRIBUTE_BYTES_MAX`].
    #[error("attribute {name} is {len} bytes long, want 1 to {ATTRIBUTE_BYTES_MAX}")]
    Length {
        /// The attribute.
        name: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// `subject` names no family that we know.
    #[error(transparent)]
    Subject(#[from] BadSubject),
    /// A time that cannot be read.
    #[error("attribute {name}: {source}")]
    Time {
        /// The attribute.
        name: &'static str,
        /// What is wrong with it.
        source: time::Error,
    },
    /// `seq` is no number.
    #[error("attribute seq is {0:?}, want a whole number")]
    Seq(String),
    /// `data` does not fit the type.
    #[error("data of {ty}: {source}")]
    Data {
        /// The event type.
        ty: String,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The type's family and the subject's differ.
    #[error("type {ty} is about a {family}, but the subject is {subject}")]
    Family {
        /// The event type.
        ty: String,
        /// The family of the type.
        family: String,
        /// The subject that was given.
        subject: String,
    },
}

/// The longest id, source, type or subject that is admitted.
pub const ATTRIBUTE_BYTES_MAX: usize = 512;

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
    subject: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    tenant: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    observedtime: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    causeid: Option<Cow<'a, str>>,
    #[serde(default)]
    seq: Option<Seq>,
    #[serde(default)]
    quality: Option<Quality>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// CloudEvents integers have 32 bits, so `seq` is written as text; a number is read too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seq {
    Number(u64),
    Text(String),
}

#[derive(Serialize)]
struct WireOut<'a> {
    specversion: &'static str,
    id: &'a EventId,
    source: &'a SourceId,
    #[serde(rename = "type")]
    ty: &'static str,
    subject: &'a Subject,
    time: Time,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observedtime: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causeid: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<Quality>,
    data: &'a Event,
}

impl Envelope {
    /// The structured-mode JSON, as it stands in the journal.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.wire()).expect("an event of ours always serialises")
    }

    fn wire(&self) -> WireOut<'_> {
        WireOut {
            specversion: "1.0",
            id: &self.id,
            source: &self.source,
            ty: self.event.ty(),
            subject: &self.subject,
            time: self.time,
            datacontenttype: "application/json",
            tenant: self.tenant.as_ref(),
            observedtime: self.observed_time,
            causeid: self.cause_id.as_ref(),
            seq: self.seq.map(|n| n.to_string()),
            quality: self.quality,
            data: &self.event,
        }
    }

    /// Reads one envelope. An old version is lifted, an unknown type comes back as its [`Head`]. Who reads many takes a [`Reader`].
    pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
        parse(bytes, &mut Texts::forgetful())
    }

    /// Reads what any JSON encoder may have written.
    fn parse_any(bytes: &[u8]) -> Result<Parsed, Error> {
        let wire: WireIn<'_> = serde_json::from_slice(bytes).map_err(Error::Envelope)?;
        if wire.specversion != "1.0" {
            return Err(Error::Version(wire.specversion.into_owned()));
        }
        let subject = checked(&wire)?;
        let time = moment("time", &wire.time)?;
        let (id, source) = (EventId::new(&wire.id), SourceId::new(&wire.source));
        let Some(event) = decode(&wire)? else {
            return Ok(Parsed::Unknown(Head { id, source, subject, time, ty: wire.ty.into_owned() }));
        };
        let family = event.family();
        if family != subject.family() {
            let (ty, family) = (wire.ty.into_owned(), family.to_owned());
            return Err(Error::Family { ty, family, subject: subject.to_string() });
        }
        let seq = match wire.seq {
            None => None,
            Some(Seq::Number(n)) => Some(n),
            Some(Seq::Text(text)) => Some(text.parse().map_err(|_| Error::Seq(text))?),
        };
        Ok(Parsed::Known(Envelope {
            id,
            source,
            subject,
            time,
            tenant: wire.tenant.map(|t| TenantId::new(&t)),
            observed_time: wire.observedtime.map(|t| moment("observedtime", &t)).transpose()?,
            cause_id: wire.causeid.map(|c| EventId::new(&c)),
            seq,
            quality: wire.quality,
            event,
        }))
    }
}

/// Reads envelopes one after another. Ids that come again (sources, queues, agents, calls that go on) share their memory, so that
/// most envelopes cost few allocations, and equal ids are found equal at a glance. Reads what [`Envelope::parse`] reads, alike.
#[derive(Debug)]
pub struct Reader {
    texts: Texts,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader { texts: Texts::new() }
    }
}

impl Reader {
    /// Reads one envelope.
    ///
    /// # Errors
    /// Those of [`Envelope::parse`].
    pub fn read(&mut self, bytes: &[u8]) -> Result<Parsed, Error> {
        parse(bytes, &mut self.texts)
    }
}

/// The quick way first, because nearly all that is read was written by [`Envelope::to_json`].
#[inline(always)] // an envelope is large: each call on its way would copy it
fn parse(bytes: &[u8], texts: &mut Texts) -> Result<Parsed, Error> {
    match quick::read(bytes, texts) {
        Ok(envelope) => Ok(Parsed::Known(envelope)),
        Err(_) => Envelope::parse_any(bytes),
    }
}

impl Serialize for Envelope {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.wire().serialize(s)
    }
}

fn checked(wire: &WireIn<'_>) -> Result<Subject, Error> {
    for (name, value) in [("id", &wire.id), ("source", &wire.source), ("type", &wire.ty), ("subject", &wire.subject)] {
        if value.is_empty() || value.len() > ATTRIBUTE_BYTES_MAX {
            return Err(Error::Length { name, len: value.len() });
        }
    }
    Ok(Subject::parse(&wire.subject)?)
}

fn moment(name: &'static str, text: &str) -> Result<Time, Error> {
    Time::parse(text).map_err(|source| Error::Time { name, source })
}

fn decode(wire: &WireIn<'_>) -> Result<Option<Event>, Error> {
    let data = wire.data.map_or("{}", RawValue::get);
    let fault = |source| Error::Data { ty: wire.ty.to_string(), source };
    if let Some(event) = event::decode(&wire.ty, data).map_err(fault)? {
        return Ok(Some(event));
    }
    match lift::lift(lift::TABLE, &wire.ty, data).map_err(fault)? {
        Some((ty, data)) => event::decode(ty, &data).map_err(fault),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::call;

    fn queued() -> Envelope {
        Envelope {
            id: EventId::new("e1"),
            source: SourceId::new("pbx1"),
            subject: Subject::Call("pbx1-17.1".into()),
            time: Time(1_795_227_084_123),
            tenant: None,
            observed_time: Some(Time(1_795_227_084_125)),
            cause_id: None,
            seq: Some(1_795_227_084_123_456),
            quality: None,
            event: call::Queued { queue: "sales".into(), priority: None, position: Some(1), offered_at: None }.into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Envelope::parse(&queued().to_json()).unwrap(), Parsed::Known(queued()));
    }

    #[test]
    fn an_unknown_type_keeps_only_its_head() {
        let text = String::from_utf8(queued().to_json()).unwrap().replace("call.queued.v1", "call.teleported.v9");
        let Parsed::Unknown(head) = Envelope::parse(text.as_bytes()).unwrap() else { panic!("known?") };
        assert_eq!((head.ty.as_str(), head.subject.id()), ("call.teleported.v9", "pbx1-17.1"));
    }

    #[test]
    fn each_fault_names_what_is_wrong() {
        let good = String::from_utf8(queued().to_json()).unwrap();
        for (from, to, want) in [
            ("\"1.0\"", "\"0.3\"", "specversion"),
            ("call/pbx1-17.1", "fax/1", "no subject"),
            ("call/pbx1-17.1", "agent/1", "is about a call"),
            ("\"id\":\"e1\"", "\"id\":\"\"", "attribute id is 0 bytes"),
            ("\"queue\":\"sales\",", "", "missing field `queue`"),
            ("2026-", "year-", "attribute time"),
        ] {
            let err = Envelope::parse(good.replace(from, to).as_bytes()).unwrap_err();
            assert!(format!("{err}").contains(want), "{to}: {err}");
        }
        assert!(Envelope::parse(b"\xff\x00").is_err());
    }
}
