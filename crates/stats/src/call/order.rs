//! The order of a call's events, and how one more is folded in: at the end step by step, anywhere else from the start.

use model::{CallId, Envelope, Event, EventId, Quality, SourceId, Subject, TenantId, Time};

use super::{EVENTS_MAX, Record};
use crate::agent::Change;

/// One event of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Which event.
    pub id: EventId,
    /// Who told.
    pub source: SourceId,
    /// Whose.
    pub tenant: TenantId,
    /// When it happened.
    pub time: Time,
    /// When the collector saw it.
    pub observed: Option<Time>,
    /// The event that caused it.
    pub cause: Option<EventId>,
    /// The vendor's order.
    pub seq: Option<u64>,
    /// How it is known.
    pub quality: Option<Quality>,
    /// The place of its type among events of one instant.
    pub rank: u8,
    /// What happened.
    pub event: Event,
}

impl Entry {
    #[inline(always)] // large: each call on its way would copy it
    pub(super) fn new(e: Envelope) -> Entry {
        Entry {
            rank: e.event.rank(),
            id: e.id,
            source: e.source,
            tenant: e.tenant.unwrap_or_else(|| TenantId::new("default")),
            time: e.time,
            observed: e.observed_time,
            cause: e.cause_id,
            seq: e.seq,
            quality: e.quality,
            event: e.event,
        }
    }

    /// What orders events of one call: time, the vendor's order, the place of the type, the id. Never arrival.
    pub fn order(&self) -> (Time, Option<u64>, u8, &EventId) {
        (self.time, self.seq, self.rank, &self.id)
    }

    /// The event as it stands in the journal.
    pub fn envelope(&self, call: &CallId) -> Envelope {
        Envelope {
            id: self.id.clone(),
            source: self.source.clone(),
            subject: Subject::Call(call.clone()),
            time: self.time,
            tenant: Some(self.tenant.clone()),
            observed_time: self.observed,
            cause_id: self.cause.clone(),
            seq: self.seq,
            quality: self.quality,
            event: self.event.clone(),
        }
    }

    fn inferred(&self) -> bool {
        self.quality == Some(Quality::Inferred)
    }

    /// Whether it can only happen to a call that lives.
    fn shows_life(&self) -> bool {
        use Event as E;
        !self.inferred()
            && matches!(
                self.event,
                E::CallIvrEntered(_)
                    | E::CallIvrSelected(_)
                    | E::CallQueued(_)
                    | E::CallAlerting(_)
                    | E::CallAnswered(_)
                    | E::CallHeld(_)
                    | E::CallRetrieved(_)
                    | E::CallConsulted(_)
                    | E::CallTransferred(_)
                    | E::CallConferenced(_)
            )
    }
}

impl Record {
    /// Whether this event is in the record.
    pub fn knows(&self, id: &EventId) -> bool {
        let mark = id.mark();
        self.marks.iter().enumerate().any(|(i, known)| *known == mark && self.timeline[i].id == *id)
    }

    /// The events as they stand in the journal, in order.
    pub fn envelopes(&self) -> impl Iterator<Item = Envelope> + '_ {
        self.timeline.iter().map(|e| e.envelope(&self.call))
    }

    /// Folds one event in. Whatever the order of arrival, the same set of events gives the same record.
    pub fn apply(&mut self, e: Envelope) -> Change {
        if self.knows(&e.id) { Change::Unchanged } else { self.apply_new(e) }
    }

    /// Folds in an event that the record does not know.
    pub(crate) fn apply_new(&mut self, e: Envelope) -> Change {
        if self.timeline.len() >= EVENTS_MAX {
            self.dropped = self.dropped.saturating_add(1);
            return Change::Refused;
        }
        let mut entry = Entry::new(e);
        if entry.source == self.source {
            entry.source = self.source.clone(); // one text for all events of a call
        }
        if entry.tenant == self.tenant {
            entry.tenant = self.tenant.clone();
        }
        let in_order = self.timeline.last().is_none_or(|last| last.order() < entry.order());
        if in_order && !self.doubts_end(&entry) {
            self.step(&entry);
            if self.timeline.capacity() == 0 {
                self.timeline.reserve(8); // most calls have about so many events
                self.marks.reserve(8);
            }
            self.marks.push(entry.id.mark());
            self.timeline.push(entry);
        } else {
            let place = self.timeline.partition_point(|x| x.order() < entry.order());
            self.timeline.insert(place, entry);
            self.refold();
        }
        Change::Changed
    }

    /// A second end, or anything after an end that was only concluded: which end is the true one must be asked again.
    fn doubts_end(&self, entry: &Entry) -> bool {
        let ends = matches!(entry.event, Event::CallEnded(_));
        self.work.end.as_ref().is_some_and(|(_, inferred)| ends || *inferred)
    }

    pub(super) fn refold(&mut self) {
        let timeline = std::mem::take(&mut self.timeline);
        let mut fresh = Record::new(self.call.clone(), self.source.clone(), self.tenant.clone());
        fresh.dropped = self.dropped;
        let end = true_end(&timeline);
        for (i, entry) in timeline.iter().enumerate() {
            if matches!(entry.event, Event::CallEnded(_)) && end != Some(i) {
                fresh.mark(entry.quality, 1);
                fresh.head(entry, i == 0);
                continue;
            }
            fresh.step_at(entry, i == 0);
        }
        fresh.marks = timeline.iter().map(|entry| entry.id.mark()).collect();
        fresh.timeline = timeline;
        *self = fresh;
    }

    fn step(&mut self, entry: &Entry) {
        let first = self.timeline.is_empty();
        self.step_at(entry, first);
    }

    fn head(&mut self, entry: &Entry, first: bool) {
        if first {
            self.source = entry.source.clone();
            self.tenant = entry.tenant.clone();
            self.offered_at = entry.time;
        }
    }

    fn step_at(&mut self, entry: &Entry, first: bool) {
        self.mark(entry.quality, 1);
        self.head(entry, first);
        if !self.transition(entry) {
            self.ignored = self.ignored.saturating_add(1);
        }
    }

    fn transition(&mut self, entry: &Entry) -> bool {
        use Event as E;
        let at = entry.time;
        match &entry.event {
            E::CallOffered(v) => self.offered(at, v),
            E::CallIvrEntered(v) => self.ivr_entered(at, v),
            E::CallIvrSelected(v) => self.ivr_selected(at, v),
            E::CallIvrLeft(v) => self.ivr_left(at, v),
            E::CallQueued(v) => self.queued(at, v),
            E::CallAlerting(v) => self.alerting(at, v),
            E::CallRona(v) => self.rona(at, v),
            E::CallAlertCancelled(v) => self.alert_cancelled(at, v),
            E::CallDequeued(v) => self.dequeued(at, v),
            E::CallDiverted(v) => self.diverted(at, v),
            // kept in the timeline: it explains the call, and changes no figure
            E::CallAdmitted(_) => true,
            E::CallAnswered(v) => self.answered(at, v),
            E::CallHeld(v) => self.held(at, v),
            E::CallRetrieved(v) => self.retrieved(at, v),
            E::CallConsulted(v) => self.consulted(at, v),
            E::CallTransferred(v) => self.transferred(at, v),
            E::CallConferenced(v) => self.conferenced(at, v),
            E::CallReleased(v) => self.released(at, v),
            E::CallWrappedUp(v) => self.wrapped_up(at, v),
            E::CallRecordingReady(v) => {
                self.recordings.push(v.location.clone());
                true
            }
            E::CallSurveyed(v) => {
                self.csat = Some(super::Csat { at, score: v.score, score_max: v.score_max });
                true
            }
            E::CallDataAttached(v) => {
                self.attached.extend(v.values.iter().map(|(k, v)| (k.clone(), v.clone())));
                true
            }
            E::CallEnded(v) => {
                self.work.end = Some((entry.id.clone(), entry.inferred()));
                self.ended(at, v)
            }
            _ => false, // not about a call: the envelope's family check keeps these out
        }
    }
}

/// Which `ended` ends the call: the last that was seen; else the last that was concluded, unless the call was seen alive after.
fn true_end(timeline: &[Entry]) -> Option<usize> {
    let ends = |e: &Entry| matches!(e.event, Event::CallEnded(_));
    if let Some(seen) = timeline.iter().rposition(|e| ends(e) && !e.inferred()) {
        return Some(seen);
    }
    let concluded = timeline.iter().rposition(ends)?;
    let lives = timeline[concluded..].iter().any(Entry::shows_life);
    (!lives).then_some(concluded)
}
