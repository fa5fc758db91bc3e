//! Telling the record what was decided: through a bounded queue, never in the way of an answer.
//!
//! - **Invariant:** [`Emitter::tell`] never waits. What finds no room is lost, counted, and marked: a `source.gap` of the source says from
//!   when to when decisions are missing, as soon as the journal takes anything again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use journal::{Entry, Journal, Stream};
use model::event::source::Gap;
use model::{Envelope, Fact, SourceId, Subject, Time, control};
use service::health::Check;
use service::{Clock, Drain, metric};
use tokio::sync::mpsc;

/// Decisions written at once.
const BATCH: usize = 500;
/// How long the first decision of a batch waits for others.
const LINGER: Duration = Duration::from_millis(10);
/// Sources whose losses are marked apart; those of more are only counted.
const SOURCES_MAX: usize = 256;
/// How long what is left may take to be written when the process ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What was lost of one source, and not marked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lost {
    from: Time,
    to: Time,
    decisions: u64,
}

/// What was decided of a call, as it stands on `ingest`.
fn told(fact: &Envelope) -> Entry {
    Entry::new(Stream::Ingest, fact.source.as_str().to_owned(), fact.to_json())
}

type Losses = Arc<Mutex<BTreeMap<SourceId, Lost>>>;

/// The near end.
#[derive(Clone)]
pub(crate) struct Emitter {
    sender: mpsc::Sender<Entry>,
    losses: Losses,
    lost: metric::Counter,
}

/// The far end.
pub(crate) struct Writer {
    receiver: mpsc::Receiver<Entry>,
    losses: Losses,
    told: metric::Counter,
}

/// A queue of so many decisions.
pub(crate) fn queue(events_max: usize) -> (Emitter, Writer) {
    metric::describe_counter("cti_events_lost_total", "decisions that found no room on their way to the journal");
    metric::describe_counter("cti_events_told_total", "decisions that the journal took");
    let (sender, receiver) = mpsc::channel(events_max);
    let losses = Losses::default();
    let emitter = Emitter { sender, losses: Arc::clone(&losses), lost: metric::counter("cti_events_lost_total", &[]) };
    (emitter, Writer { receiver, losses, told: metric::counter("cti_events_told_total", &[]) })
}

impl Emitter {
    /// Tells, or marks that it could not be told.
    pub(crate) fn tell(&self, envelope: &Envelope) {
        if let Ok(room) = self.sender.try_reserve() {
            // Written here, while it is at hand: what waits is some bytes, and not ten pieces of memory.
            return room.send(told(envelope));
        }
        let (source, at) = (envelope.source.clone(), envelope.time);
        self.lost.increment(1);
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if losses.len() >= SOURCES_MAX && !losses.contains_key(&source) {
            return;
        }
        let lost = losses.entry(source).or_insert(Lost { from: at, to: at, decisions: 0 });
        (lost.from, lost.to, lost.decisions) = (lost.from.min(at), lost.to.max(at), lost.decisions + 1);
    }
}

impl Emitter {
    /// Tells of a promise; the phone system keeps one that finds no room, until it is fetched.
    pub(crate) fn promise(&self, promise: &control::Envelope) {
        let entry = Entry::new(Stream::Control, promise.tenant.as_str().to_owned(), promise.to_json());
        if self.sender.try_send(entry).is_err() {
            self.lost.increment(1);
        }
    }
}

impl Writer {
    /// Writes until the drain, and then what is left.
    pub(crate) async fn run(
        mut self,
        journal: Arc<dyn Journal>,
        instance: String,
        clock: Clock,
        drain: Drain,
        health: Check,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = drain.started() => break,
                _ = self.receiver.recv_many(&mut batch, BATCH) => {}
            }
            if batch.len() < BATCH {
                // What comes together is written together: a sync of the disk for each decision would be most of its cost.
                tokio::select! {
                    biased;
                    () = drain.started() => {}
                    () = clock.sleep(LINGER) => {}
                }
                while batch.len() < BATCH
                    && let Ok(entry) = self.receiver.try_recv()
                {
                    batch.push(entry);
                }
            }
            let mut failures = 0_u32;
            while !batch.is_empty() {
                match self.write(&*journal, &batch, &instance).await {
                    Ok(()) => {
                        batch.clear();
                        health.ok();
                    }
                    Err(error) => {
                        tracing::warn!(%error, decisions = batch.len(), "the journal does not take decisions; they are kept as long as there is room");
                        health.degraded(error.to_string());
                        let wait = Duration::from_millis(100 << failures.min(5));
                        failures += 1;
                        tokio::select! {
                            biased;
                            () = drain.started() => break,
                            () = clock.sleep(wait) => {}
                        }
                    }
                }
            }
            if drain.is_started() {
                break;
            }
        }
        self.receiver.close();
        while let Ok(entry) = self.receiver.try_recv() {
            batch.push(entry);
        }
        if let Ok(Err(error)) = clock.timeout(LAST_WORDS, self.write(&*journal, &batch, &instance)).await {
            tracing::warn!(%error, decisions = batch.len(), "decisions are lost at the end");
        }
    }

    async fn write(&self, journal: &dyn Journal, batch: &[Entry], instance: &str) -> journal::Result<()> {
        let mut entries = batch.to_vec(); // shared bytes: what the journal does not take is offered again
        let marked = self.losses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        entries.extend(marked.iter().map(|(source, lost)| told(&gap(source, *lost, instance))));
        if entries.is_empty() {
            return Ok(());
        }
        journal.append(entries).await?;
        self.told.increment(batch.len() as u64);
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        // What was lost while this was written is marked anew, from where it began.
        losses.retain(|source, lost| marked.get(source) != Some(lost));
        Ok(())
    }
}

/// The mark of a loss.
fn gap(source: &SourceId, lost: Lost, instance: &str) -> Envelope {
    let to = lost.to + 1;
    let reason = format!("{} route decisions of {instance} are missing", lost.decisions);
    let reference = format!("route-gap|{instance}|{}|{}", lost.from.ms(), to.ms());
    let fact = Fact::new(to, Subject::Source(source.clone()), Gap { from: lost.from, to, reason });
    fact.reference(reference).into_envelope(source, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use journal::Topology;
    use journal::memory::Memory;
    use model::Event;
    use model::envelope::Parsed;
    use model::event::call::Admitted;
    use service::{Context, Seeds};

    fn decision(n: i64) -> Envelope {
        let event = Admitted { queue: "sales".into(), rule: "room".into(), level: 2, plan: 7 };
        let subject = Subject::Call(n.to_string().into());
        Fact::new(Time(1_795_000_000_000 + n), subject, event)
            .into_envelope(&"pbx1".into(), Time(1_795_000_000_000 + n))
    }

    #[tokio::test]
    async fn what_finds_no_room_is_marked_and_the_rest_arrives() {
        let context = Context::new("cti", "cti-1", Clock::system(), &Seeds::fixed(1));
        let (emitter, writer) = queue(10);
        (0..25).for_each(|n| emitter.tell(&decision(n)));
        let journal: Arc<dyn Journal> = Memory::new(Topology::default(), context.clock.clone());
        let (kept, drain, check) = (Arc::clone(&journal), context.drain.clone(), context.health.check("record"));
        let clock = context.clock.clone();
        context.tasks.spawn("events", writer.run(journal, "cti-1".to_owned(), clock, drain, check)).unwrap();
        kept.wait_past(Stream::Ingest, 0, 10).await.unwrap();
        context.drain.start("over");
        context.tasks.idle().await;
        let batch = kept.read(Stream::Ingest, 0, 0, 100, usize::MAX).await.unwrap();
        let read = |value: &[u8]| match Envelope::parse(value) {
            Ok(Parsed::Known(known)) => known,
            other => panic!("{other:?}"),
        };
        let events: Vec<Envelope> = batch.records.iter().map(|record| read(&record.value)).collect();
        assert_eq!(events.iter().filter(|e| matches!(e.event, Event::CallAdmitted(_))).count(), 10);
        let gaps: Vec<_> =
            events.iter().filter_map(|e| if let Event::SourceGap(gap) = &e.event { Some(gap) } else { None }).collect();
        assert_eq!(gaps.len(), 1, "{events:?}");
        assert_eq!((gaps[0].from, gaps[0].to), (Time(1_795_000_000_010), Time(1_795_000_000_025)));
        assert!(gaps[0].reason.starts_with("15 route decisions"), "{}", gaps[0].reason);
    }
}
