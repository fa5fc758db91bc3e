//! The decisions in force, shared by gates: one that starts while the journal (or the console) is away knows what held last.
//!
//! Every gate that follows `control` keeps the last record of each subject that changed its table, and puts it; newer ones win, so it does
//! not matter how many do. One that starts takes them until it has read the stream itself. The journal is the truth: what was taken is
//! replaced whole as soon as the stream is read to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::{Journal, Stream};
use model::Time;
use model::control::{Envelope, Event, Parsed};
use policy::plan::Table;
use service::health::Check;
use service::{Clock, Drain, metric};
use store::Live;
use store::live::shared::{DECISIONS, JOURNAL, nobody};
use store::live::{Partial, Slot, Version};

use crate::gate::Gate;

/// How often what is new is put.
const TICK: Duration = Duration::from_secs(1);
/// How often everything is: what is shared may have been lost.
const ALL_EVERY: Duration = Duration::from_secs(60);
/// Slots of one put.
const PORTION: usize = 1_000;
/// How long one try to take them may last.
const TAKE: Duration = Duration::from_secs(5);

/// One record, or that it is over.
type Slotted = (u64, Option<Arc<[u8]>>);

/// The last record of each subject. A cheap handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    slots: BTreeMap<String, Slotted>,
    /// Orders for a time, by when they are over.
    until: BTreeMap<String, Time>,
    dirty: BTreeSet<String>,
    /// Whether the stream was read to its end.
    whole: bool,
    next: u64,
}

/// The slot of a record; `None` where nothing depends on it.
fn slot_of(envelope: &Envelope) -> Option<(String, bool)> {
    let (kind, subject, stays) = match &envelope.event {
        Event::ThresholdsSet(set) => ("thresholds", set.queue.to_string(), true),
        Event::PlanIssued(plan) => ("plan", plan.queue.to_string(), true),
        // On a stream of its own. One record affirms many plans; those of a console come in the same groups.
        Event::PlanAffirmed(affirmed) => ("affirmed", affirmed.plans.first()?.queue.to_string(), true),
        Event::OverrideSet(set) => ("override", set.id.to_string(), true),
        Event::OverrideCleared(cleared) => ("override", cleared.id.to_string(), false),
        Event::TargetConfigured(target) => ("target", target.target.to_string(), true),
        Event::TargetRemoved(removed) => ("target-removed", removed.target.to_string(), true),
        Event::TargetObserved(seen) => ("target-observed", seen.target.to_string(), true),
        Event::TierChanged(changed) => ("tier", changed.part.clone(), true),
        Event::ServiceConfigured(_)
        | Event::ServiceRemoved(_)
        | Event::ServiceWeighed(_)
        | Event::LevelChanged(_)
        | Event::EffectMeasured(_)
        | Event::GateCounted(_)
        | Event::AuditSealed(_)
        // Whoever acts on these writes to the journal, and can wait until it is there.
        | Event::CallbackAsked(_)
        | Event::CallbackBegun(_)
        | Event::CallbackTried(_)
        | Event::CallbackClaimed(_)
        | Event::CallbackClosed(_) => return None,
    };
    Some((format!("{DECISIONS}{}/{kind}/{subject}", envelope.tenant), stays))
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record that changed the table, and its place in the stream.
    pub(crate) fn note(&self, envelope: &Envelope, value: &[u8], offset: u64) {
        let Some((slot, stays)) = slot_of(envelope) else { return };
        let mut inner = self.lock();
        match &envelope.event {
            Event::OverrideSet(set) => _ = inner.until.insert(slot.clone(), set.until),
            Event::OverrideCleared(_) => _ = inner.until.remove(&slot),
            _ => {}
        }
        inner.slots.insert(slot.clone(), (offset + 1, stays.then(|| value.into())));
        inner.dirty.insert(slot);
    }

    /// The stream is read to here, which is (or was) its end.
    pub(crate) fn read_to(&self, next: u64) {
        let mut inner = self.lock();
        (inner.whole, inner.next) = (true, next);
    }

    /// What is to be put: what is new, or all; and how far the stream is read. `None` before it is read to its end.
    fn portion(&self, now: Time, all: bool) -> Option<(Vec<(String, Slotted)>, u64)> {
        let mut inner = self.lock();
        if !inner.whole {
            return None;
        }
        let over: Vec<String> =
            inner.until.iter().filter(|(_, until)| **until < now).map(|(slot, _)| slot.clone()).collect();
        for slot in over {
            inner.until.remove(&slot);
            if let Some((_, value)) = inner.slots.get_mut(&slot) {
                *value = None;
            }
        }
        let inner = &mut *inner;
        let wanted = |slot: &String| all || inner.dirty.contains(slot);
        let found = inner.slots.iter().filter(|(slot, _)| wanted(slot));
        let found = found.map(|(slot, slotted)| (slot.clone(), slotted.clone())).collect();
        Some((found, inner.next))
    }

    /// These were put. What is over is forgotten.
    fn put(&self, portion: &[(String, Slotted)]) {
        let mut inner = self.lock();
        for (slot, (number, value)) in portion {
            if inner.slots.get(slot).is_some_and(|(known, _)| known == number) {
                inner.dirty.remove(slot);
                if value.is_none() {
                    inner.slots.remove(slot);
                }
            }
        }
    }
}

/// Puts what is kept.
pub(crate) struct Sharing {
    pub(crate) live: Arc<dyn Live>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) kept: Kept,
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
    pub(crate) health: Check,
}

impl Sharing {
    /// Until the drain. What fails is tried again; no call waits for it.
    pub(crate) async fn run(self) {
        let (mut known, mut all_at) = (None, None);
        while !self.drain.is_started() {
            let now = self.clock.monotonic();
            let all = known.is_none() || all_at.is_none_or(|at| now.saturating_sub(at) >= ALL_EVERY);
            match self.share(known, all).await {
                Ok(Some(cursor)) => {
                    // A cursor that went back has lost something: all is put again.
                    known = known.is_none_or(|known| known <= cursor).then_some(cursor);
                    if all {
                        all_at = Some(now);
                    }
                    self.health.ok();
                }
                Ok(None) => {}
                Err(error) => {
                    known = None;
                    tracing::debug!(%error, "the decisions are not shared just now");
                    self.health.degraded(format!("the decisions are not shared: {error}"));
                }
            }
            tokio::select! {
                biased;
                () = self.drain.started() => {}
                () = self.clock.sleep(TICK) => {}
            }
        }
    }

    async fn share(&self, known: Option<u64>, all: bool) -> store::Result<Option<u64>> {
        let Some((slots, next)) = self.kept.portion(Time(self.clock.now_ms()), all) else { return Ok(None) };
        if known.is_none() {
            self.of_this_journal(next).await?;
        }
        let mut cursor = known.unwrap_or(0);
        for portion in slots.chunks(PORTION) {
            let partials =
                portion.iter().map(|(slot, (number, value))| partial(slot, *number, value.clone())).collect();
            cursor = self.live.put(partials, None).await?;
            self.kept.put(portion);
        }
        let name: Arc<[u8]> = self.journal.identity().into_bytes().into();
        cursor = cursor.max(self.live.put(vec![partial(JOURNAL, next, Some(name))], None).await?);
        Ok(Some(cursor))
    }

    /// What is shared of another journal, or of this one before it was set back, goes.
    async fn of_this_journal(&self, next: u64) -> store::Result<()> {
        let snapshot = self.live.snapshot(JOURNAL).await?;
        let Some(found) = snapshot.partials.first() else { return Ok(()) };
        let ours = found.value.as_deref() == Some(self.journal.identity().as_bytes());
        let end = self.journal.end(Stream::Control, 0).await.unwrap_or(u64::MAX);
        if !ours || found.version.number > end.max(next) {
            tracing::warn!("the shared decisions are of another journal, or of an older copy; they are replaced");
            self.live.clear(Some(snapshot.cursor)).await?;
        }
        Ok(())
    }
}

fn partial(slot: &str, number: u64, value: Option<Arc<[u8]>>) -> Partial {
    Partial { slot: Slot { key: slot.into(), part: nobody() }, version: Version { epoch: 1, number }, value }
}

/// Takes what is shared as soon as it can be had, unless the stream is read before.
pub(crate) async fn recall(live: Arc<dyn Live>, gate: Arc<Gate>, clock: Clock, drain: Drain) {
    metric::describe_gauge("cti_recalled_decisions", "decisions that were taken from what gates share, at the start");
    while !drain.is_started() && !gate.has_read() {
        match clock.timeout(TAKE, live.snapshot(DECISIONS)).await {
            Ok(Ok(snapshot)) if snapshot.partials.is_empty() => tracing::debug!("no decisions are shared yet"),
            Ok(Ok(snapshot)) => {
                let found = snapshot.partials.len();
                let table = table(snapshot.partials);
                if gate.recall(table) {
                    metric::gauge("cti_recalled_decisions", &[]).set(found as f64);
                    tracing::info!(decisions = found, "the shared decisions hold until the stream is read");
                }
                return;
            }
            Ok(Err(error)) => tracing::debug!(%error, "the shared decisions cannot be had yet"),
            Err(_) => tracing::debug!("the shared decisions do not come"),
        }
        tokio::select! {
            biased;
            () = drain.started() => {}
            () = clock.sleep(TICK) => {}
        }
    }
}

/// The table that these records make, in the order of the stream; what affirms plans is of another stream, and comes after them.
fn table(mut records: Vec<Partial>) -> Table {
    records.sort_by_key(|record| (record.slot.key.contains("/affirmed/"), record.version.number));
    let mut table = Table::default();
    for record in &records {
        if let Ok(Parsed::Known(envelope)) = Envelope::parse(record.value.as_deref().unwrap_or_default()) {
            table.recall(&envelope);
        }
    }
    table
}
