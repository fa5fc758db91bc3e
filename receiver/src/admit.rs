//! Admission: one record of `ingest` in, one decision out. Pure.

use bytes::Bytes;
use journal::{Entry, Stream};
use model::envelope::{self, Head, Parsed};
use model::event::agent;
use model::event::call::{Destination, QueueExit};
use model::{Directory, Envelope, Event, EventId, Number, NumberKey, Quality, Subject, TenantId, Time};

use crate::plausible;

/// What becomes of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Append it to the canonical record.
    Admit {
        /// The event's id, for the window of seen ids.
        id: EventId,
        /// What to append.
        entry: Entry,
    },
    /// Set it aside.
    Aside {
        /// Why, for the operator.
        reason: String,
    },
}

/// What classification needs to know.
pub struct Rules {
    /// Names, limits and tenants.
    pub directory: Directory,
    /// The key that numbers are sealed with.
    pub number_key: NumberKey,
    /// An event that was observed so much later than it happened is late; of a live source only.
    pub late_after_ms: i64,
}

/// The longest phone number, in characters. E.164 has 15 digits; vendors add prefixes, names and SIP addresses.
const NUMBER_CHARS_MAX: usize = 128;
/// Events from before the year 1980 or from the far future are a broken clock.
const EARLIEST: Time = Time(315_532_800_000);
const FUTURE_MS_MAX: i64 = 86_400_000;

impl Rules {
    /// Decides on one record.
    pub fn decide(&self, value: &[u8]) -> Decision {
        self.decide_at(value, Time(i64::MAX))
    }

    /// Decides on one record at a moment of our own clock: what is further ahead of it has a broken clock, whatever it says
    /// of when it was observed.
    pub fn decide_at(&self, value: &[u8], now: Time) -> Decision {
        match Envelope::parse(value) {
            Ok(Parsed::Known(Envelope { time, .. }) | Parsed::Unknown(Head { time, .. }))
                if time.ms().saturating_sub(now.ms()) > FUTURE_MS_MAX =>
            {
                Decision::Aside { reason: format!("time {time} is more than a day ahead of our clock ({now})") }
            }
            Ok(Parsed::Known(known)) => self.known(known),
            Ok(Parsed::Unknown(head)) => unknown(head, value),
            Err(error) => Decision::Aside { reason: whole(&error) },
        }
    }

    /// Decides on an event that was not written down yet, as [`Rules::decide`] does on its JSON. One that may have to be
    /// set aside comes back: that decision needs the JSON.
    pub fn decide_unwritten(&self, envelope: Envelope) -> Result<(EventId, Entry), Box<Envelope>> {
        if is_well_formed(&envelope) && self.refusal(&envelope).is_none() {
            Ok(self.admit(envelope))
        } else {
            Err(Box::new(envelope))
        }
    }

    fn known(&self, envelope: Envelope) -> Decision {
        match self.refusal(&envelope) {
            Some(reason) => Decision::Aside { reason },
            None => {
                let (id, entry) = self.admit(envelope);
                Decision::Admit { id, entry }
            }
        }
    }

    /// Why an event must be set aside.
    fn refusal(&self, envelope: &Envelope) -> Option<String> {
        if let Err(reason) = plausible(envelope) {
            return Some(reason);
        }
        let mut oversized = false;
        numbers(&envelope.event, &mut |number| {
            oversized |= number
                .digits
                .as_ref()
                .is_some_and(|d| d.len() > NUMBER_CHARS_MAX && d.chars().count() > NUMBER_CHARS_MAX);
        });
        oversized.then(|| format!("a number is longer than {NUMBER_CHARS_MAX} characters"))
    }

    fn admit(&self, mut envelope: Envelope) -> (EventId, Entry) {
        let tenant = self.directory.tenant_of(&envelope.source);
        if envelope.quality.is_none() && self.is_late(&envelope) {
            envelope.quality = Some(Quality::Late);
        }
        self.classify(&tenant, &mut envelope.event);
        self.enrich(&envelope.subject, &mut envelope.event);
        numbers_mut(&mut envelope.event, &mut |number| *number = number.sealed(&self.number_key));
        envelope.tenant = Some(tenant);
        let key = Bytes::copy_from_slice(envelope.subject.id().as_bytes());
        let entry = Entry::new(stream_of(&envelope.subject), key, envelope.to_json());
        (envelope.id, entry)
    }

    /// Late by the collector's own word: what it saw long after it happened. A recording is observed by nobody live.
    fn is_late(&self, envelope: &Envelope) -> bool {
        let recorded = self.directory.sources.get(&envelope.source).is_some_and(|s| s.recorded);
        let waited = envelope.observed_time.map_or(0, |observed| observed - envelope.time);
        !recorded && waited > self.late_after_ms
    }

    /// An abandon within the queue's limit is a short one: decided once, here, so that every view agrees.
    fn classify(&self, tenant: &TenantId, event: &mut Event) {
        if let Event::CallDequeued(left) = event {
            let limit = self.directory.short_abandon_ms(tenant, &left.queue);
            let short = left.waited_ms.is_some_and(|waited| limit > 0 && waited as i64 <= limit);
            left.cause = match left.cause {
                QueueExit::Abandoned | QueueExit::ShortAbandoned if short => QueueExit::ShortAbandoned,
                QueueExit::ShortAbandoned => QueueExit::Abandoned,
                other => other,
            };
        }
    }

    /// Adds the agent's team, as the directory has it now.
    fn enrich(&self, subject: &Subject, event: &mut Event) {
        match event {
            Event::CallAlerting(e) => e.team = self.directory.team_of(&e.agent),
            Event::CallRona(e) => e.team = self.directory.team_of(&e.agent),
            Event::CallAnswered(e) => e.team = e.agent.as_ref().and_then(|a| self.directory.team_of(a)),
            _ => {}
        }
        let Subject::Agent(id) = subject else { return };
        let team = self.directory.team_of(id);
        match event {
            Event::AgentLoggedIn(agent::LoggedIn { team: t, .. })
            | Event::AgentLoggedOut(agent::LoggedOut { team: t, .. })
            | Event::AgentStateChanged(agent::StateChanged { team: t, .. })
            | Event::AgentSkillsChanged(agent::SkillsChanged { team: t, .. }) => *t = team,
            _ => {}
        }
    }
}

/// A type newer than we are goes on as the bytes it came in.
fn unknown(head: Head, value: &[u8]) -> Decision {
    let key = Bytes::copy_from_slice(head.subject.id().as_bytes());
    let entry = Entry::new(stream_of(&head.subject), key, Bytes::copy_from_slice(value));
    Decision::Admit { id: head.id, entry }
}

fn plausible(envelope: &Envelope) -> Result<(), String> {
    if envelope.time < EARLIEST {
        return Err(format!("time {} is before 1980: the vendor's clock is wrong", envelope.time));
    }
    if let Some(observed) = envelope.observed_time.filter(|o| envelope.time - *o > FUTURE_MS_MAX) {
        return Err(format!("time {} is more than a day after it was observed ({observed})", envelope.time));
    }
    plausible::check(&envelope.event, envelope.time)
}

/// The canonical stream of a subject.
pub fn stream_of(subject: &Subject) -> Stream {
    match subject {
        Subject::Call(_) => Stream::EventsCall,
        Subject::Agent(_) => Stream::EventsAgent,
        Subject::Device(_) => Stream::EventsDevice,
        Subject::Queue(_) => Stream::EventsQueue,
        Subject::Source(_) => Stream::EventsSource,
    }
}

/// Visits every number that an event holds.
fn numbers(event: &Event, visit: &mut dyn FnMut(&Number)) {
    let destination = match event {
        Event::CallOffered(e) => return e.ani.iter().chain(e.dnis.iter()).for_each(visit),
        Event::CallConsulted(e) => &e.to,
        Event::CallTransferred(e) => &e.to,
        _ => return,
    };
    if let Destination::Number(number) = destination {
        visit(number);
    }
}

/// Visits every number that an event holds, to change it.
fn numbers_mut(event: &mut Event, visit: &mut dyn FnMut(&mut Number)) {
    let destination = match event {
        Event::CallOffered(e) => return e.ani.iter_mut().chain(e.dnis.iter_mut()).for_each(visit),
        Event::CallConsulted(e) => &mut e.to,
        Event::CallTransferred(e) => &mut e.to,
        _ => return,
    };
    if let Destination::Number(number) = destination {
        visit(number);
    }
}

/// Whether its JSON would be read back as an envelope.
fn is_well_formed(envelope: &Envelope) -> bool {
    let fits = |len: usize| (1..=envelope::ATTRIBUTE_BYTES_MAX).contains(&len);
    let (id, family) = (envelope.subject.id(), envelope.subject.family());
    let subject = family.len() + 1 + id.len();
    !id.is_empty()
        && fits(subject)
        && fits(envelope.id.as_str().len())
        && fits(envelope.source.as_str().len())
        && envelope.event.family() == family
}

/// An error with its causes, in one line.
fn whole(error: &envelope::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Fact;
    use model::event::call::{Answered, Dequeued, Offered};

    fn rules() -> Rules {
        let mut directory = Directory::default();
        directory.agents.insert("101".into(), model::directory::Agent { team: "red".into(), ..Default::default() });
        Rules { directory, number_key: NumberKey::new("key"), late_after_ms: 60_000 }
    }

    fn admit(event: impl Into<Event>, observed_after_ms: i64) -> Envelope {
        let fact = Fact::new(Time(1_795_000_000_000), Subject::Call("1".into()), event);
        let envelope = fact.into_envelope(&"pbx1".into(), Time(1_795_000_000_000 + observed_after_ms));
        let Decision::Admit { entry, .. } = rules().decide(&envelope.to_json()) else { panic!("set aside") };
        assert_eq!(entry.stream, Stream::EventsCall);
        let Parsed::Known(got) = Envelope::parse(&entry.value).unwrap() else { panic!("unknown") };
        got
    }

    fn left(waited_ms: u64) -> QueueExit {
        let event = Dequeued { queue: "sales".into(), cause: QueueExit::Abandoned, waited_ms: Some(waited_ms) };
        let Event::CallDequeued(got) = admit(event, 0).event else { panic!() };
        got.cause
    }

    #[test]
    fn an_abandon_is_short_up_to_the_limit_and_not_beyond() {
        assert_eq!(left(5_000), QueueExit::ShortAbandoned);
        assert_eq!(left(5_001), QueueExit::Abandoned);
    }

    #[test]
    fn no_number_leaves_in_the_clear() {
        let event = Offered {
            ani: Some(Number::plain("13800138000")),
            dnis: Some(Number::plain("4008001234")),
            ..Offered::default()
        };
        let got = admit(event, 0);
        let text = String::from_utf8(got.to_json()).unwrap();
        assert!(!text.contains("13800138000") && !text.contains("4008001234") && text.contains("138***00"), "{text}");
    }

    #[test]
    fn an_agent_brings_its_team_and_a_call_its_tenant() {
        let got = admit(Answered { agent: Some("101".into()), ..Answered::default() }, 0);
        let Event::CallAnswered(answered) = &got.event else { panic!() };
        assert_eq!(answered.team.as_ref().map(|t| t.as_str()), Some("red"));
        assert_eq!(got.tenant.as_ref().map(|t| t.as_str()), Some("default"));
    }

    #[test]
    fn what_is_seen_long_after_it_happened_is_late() {
        assert_eq!(admit(Answered::default(), 59_000).quality, None);
        assert_eq!(admit(Answered::default(), 61_000).quality, Some(Quality::Late));
    }

    #[test]
    fn what_was_not_written_down_is_decided_as_its_json_is() {
        let at = Time(1_795_000_000_000);
        let number = |digits: &str| Offered { ani: Some(Number::plain(digits)), ..Offered::default() };
        let long = "1".repeat(NUMBER_CHARS_MAX + 1);
        let facts = [
            Fact::new(at, Subject::Call("1".into()), number("13800138000")),
            Fact::new(at, Subject::Call("1".into()), number(&long)),
            Fact::new(Time(0), Subject::Call("1".into()), Answered::default()),
            Fact::new(at, Subject::Call("".into()), Answered::default()),
            Fact::new(at, Subject::Call("x".repeat(600).into()), Answered::default()),
            Fact::new(at, Subject::Agent("101".into()), Answered::default()),
        ];
        let mut admitted = 0;
        for fact in facts {
            let envelope = fact.into_envelope(&"pbx1".into(), at);
            let written = rules().decide(&envelope.to_json());
            match rules().decide_unwritten(envelope) {
                Ok((id, entry)) => {
                    assert_eq!(Decision::Admit { id, entry }, written);
                    admitted += 1;
                }
                Err(_) => assert!(matches!(written, Decision::Aside { .. }), "{written:?}"),
            }
        }
        assert_eq!(admitted, 1);
    }

    #[test]
    fn an_unknown_type_passes_byte_for_byte() {
        let text = br#"{"specversion":"1.0","id":"x","source":"pbx1","type":"agent.cloned.v3","subject":"agent/101","time":"2026-01-01T00:00:00Z","data":{"odd" :1}}"#;
        let Decision::Admit { entry, .. } = rules().decide(text) else { panic!("set aside") };
        assert_eq!((entry.stream, entry.value.as_ref()), (Stream::EventsAgent, text.as_slice()));
    }

    #[test]
    fn nonsense_is_set_aside_with_its_reason() {
        for (text, want) in [
            ("nonsense", "no CloudEvents envelope"),
            (
                r#"{"specversion":"1.0","id":"x","source":"p","type":"call.ended.v1","subject":"call/1","time":"1970-01-01T00:00:00Z","data":{}}"#,
                "before 1980",
            ),
        ] {
            let Decision::Aside { reason } = rules().decide(text.as_bytes()) else { panic!("admitted {text}") };
            assert!(reason.contains(want), "{reason}");
        }
    }
}
