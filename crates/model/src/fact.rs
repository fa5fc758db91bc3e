//! A fact: what an adapter saw, before it has an envelope.

use crate::envelope::{Envelope, Quality};
use crate::event::Event;
use crate::id::{EventId, SourceId, Subject};
use crate::time::Time;

/// What an adapter saw, in the vocabulary of [`Event`]. The collector turns it into an [`Envelope`] on `ingest`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The vendor's own reference of this occurrence. Two collectors that watch the same vendor must give the same
    /// reference to the same occurrence: build it from what the vendor sent, never from arrival. `None`: the id is
    /// a hash of (source, subject, type, time, `leg`).
    pub reference: Option<String>,
    /// What tells two facts of one subject, type and millisecond apart when there is no reference.
    pub leg: String,
    /// When it happened, by the vendor's clock.
    pub occurred_at: Time,
    /// What it is about.
    pub subject: Subject,
    /// What happened.
    pub event: Event,
    /// How it is known, when it was not simply seen.
    pub quality: Option<Quality>,
    /// The vendor's order, where there is one: breaks ties of time within a subject.
    pub seq: Option<u64>,
    /// The fact that caused this one.
    pub cause: Option<EventId>,
}

impl Fact {
    /// A fact that was simply seen.
    pub fn new(occurred_at: Time, subject: Subject, event: impl Into<Event>) -> Fact {
        Fact {
            reference: None,
            leg: String::new(),
            occurred_at,
            subject,
            event: event.into(),
            quality: None,
            seq: None,
            cause: None,
        }
    }

    /// With the vendor's own reference.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Fact {
        self.reference = Some(reference.into());
        self
    }

    /// With what tells it apart from its twin.
    #[must_use]
    pub fn leg(mut self, leg: impl Into<String>) -> Fact {
        self.leg = leg.into();
        self
    }

    /// With a mark of how it is known.
    #[must_use]
    pub fn quality(mut self, quality: Quality) -> Fact {
        self.quality = Some(quality);
        self
    }

    /// With the vendor's order.
    #[must_use]
    pub fn seq(mut self, seq: u64) -> Fact {
        self.seq = Some(seq);
        self
    }

    /// The deterministic id that this fact has when `source` saw it.
    pub fn id(&self, source: &SourceId) -> EventId {
        match &self.reference {
            Some(reference) => EventId::from_reference(source, reference),
            None => {
                let ty = self.event.ty();
                EventId::from_parts(source, &self.subject.to_string(), ty, self.occurred_at.ms(), &self.leg)
            }
        }
    }

    /// The envelope of this fact, as `source` observed it.
    pub fn into_envelope(self, source: &SourceId, observed_at: Time) -> Envelope {
        Envelope {
            id: self.id(source),
            source: source.clone(),
            subject: self.subject,
            time: self.occurred_at,
            tenant: None,
            observed_time: Some(observed_at),
            cause_id: self.cause,
            seq: self.seq,
            quality: self.quality,
            event: self.event,
        }
    }
}
