//! The stored form of a record: its events, compact. Reading folds them again, so that facts and events cannot disagree.

use std::borrow::Cow;

use model::{CallId, Event, EventId, Quality, SourceId, TenantId, Time};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::order::Entry;
use super::{EVENTS_MAX, Record};

/// Bytes that are no stored call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON of our shape.
    #[error("stored call cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// An event type that this version does not know: it was stored by a newer one.
    #[error("stored call {call} holds an event of type {ty}, which this version does not know")]
    Type {
        /// Which call.
        call: CallId,
        /// The type.
        ty: String,
    },
    /// More events than a call may have.
    #[error("stored call {call} holds {len} events, want at most {EVENTS_MAX}")]
    Length {
        /// Which call.
        call: CallId,
        /// How many it has.
        len: usize,
    },
}

#[derive(Serialize)]
struct Out<'a> {
    call: &'a CallId,
    source: &'a SourceId,
    tenant: &'a TenantId,
    #[serde(skip_serializing_if = "is_zero")]
    dropped: u32,
    events: Vec<EventOut<'a>>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[derive(Serialize)]
struct EventOut<'a> {
    i: &'a EventId,
    y: &'static str,
    t: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    o: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<Quality>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a SourceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a TenantId>,
    d: &'a Event,
}

#[derive(Deserialize)]
struct In<'a> {
    call: CallId,
    source: SourceId,
    tenant: TenantId,
    #[serde(default)]
    dropped: u32,
    #[serde(borrow)]
    events: Vec<EventIn<'a>>,
}

#[derive(Deserialize)]
struct EventIn<'a> {
    i: EventId,
    #[serde(borrow)]
    y: Cow<'a, str>,
    t: i64,
    o: Option<i64>,
    c: Option<EventId>,
    s: Option<u64>,
    q: Option<Quality>,
    source: Option<SourceId>,
    tenant: Option<TenantId>,
    #[serde(borrow)]
    d: &'a RawValue,
}

impl Record {
    /// The bytes that a store keeps.
    pub fn encode(&self) -> Vec<u8> {
        let events = self.timeline.iter().map(|e| EventOut {
            i: &e.id,
            y: e.event.ty(),
            t: e.time.0,
            o: e.observed.map(|t| t.0),
            c: e.cause.as_ref(),
            s: e.seq,
            q: e.quality,
            source: Some(&e.source).filter(|s| **s != self.source),
            tenant: Some(&e.tenant).filter(|t| **t != self.tenant),
            d: &e.event,
        });
        let out = Out {
            call: &self.call,
            source: &self.source,
            tenant: &self.tenant,
            dropped: self.dropped,
            events: events.collect(),
        };
        serde_json::to_vec(&out).expect("events of ours always serialise")
    }

    /// Reads what [`Record::encode`] wrote, and folds it.
    pub fn decode(bytes: &[u8]) -> Result<Record, Error> {
        let stored: In<'_> = serde_json::from_slice(bytes)?;
        let mut record = Record::new(stored.call, stored.source, stored.tenant);
        record.dropped = stored.dropped;
        if stored.events.len() > EVENTS_MAX {
            return Err(Error::Length { call: record.call, len: stored.events.len() });
        }
        for e in stored.events {
            let entry = record.entry(e)?;
            record.timeline.push(entry);
        }
        record.timeline.sort_by(|a, b| a.order().cmp(&b.order()));
        record.refold();
        Ok(record)
    }

    fn entry(&self, e: EventIn<'_>) -> Result<Entry, Error> {
        let mut event = model::event::decode(&e.y, e.d.get())?;
        if event.is_none()
            && let Some((ty, data)) = model::lift::lift(model::lift::TABLE, &e.y, e.d.get())?
        {
            event = model::event::decode(ty, &data)?;
        }
        let Some(event) = event else {
            return Err(Error::Type { call: self.call.clone(), ty: e.y.into_owned() });
        };
        Ok(Entry {
            rank: event.rank(),
            id: e.i,
            source: e.source.unwrap_or_else(|| self.source.clone()),
            tenant: e.tenant.unwrap_or_else(|| self.tenant.clone()),
            time: Time(e.t),
            observed: e.o.map(Time),
            cause: e.c,
            seq: e.s,
            quality: e.q,
            event,
        })
    }
}
