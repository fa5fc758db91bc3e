//! The book: everything that was decided, as every instance reads it from `control`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::Record;
use model::control::{AuditSealed, By, Envelope, Event, OverrideSet, Parsed, ThresholdsSet};
use model::{EventId, QueueId, TenantId, Time};
use policy::plan::{Applied, Table, Tenant};
use service::Clock;
use tokio::sync::watch;

use crate::audit::Chain;
use crate::tail::Read;

/// Changes by persons that are kept in memory, for the undo and for explanations.
const CHANGES_MAX: usize = 20_000;
/// Plans whose place in the stream is kept, the latest: about 10 MB.
const PLANS_MAX: usize = 50_000;

type PlanKey = (TenantId, QueueId, u64);

/// Something that a person or a carrier decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its place in `control`.
    pub offset: u64,
    /// The decision.
    pub envelope: Envelope,
    /// What held before it, as the event that would bring it back; `None`: there was nothing.
    pub before: Option<Event>,
    /// Whether it took effect.
    pub applied: Applied,
}

/// Everything that was decided.
#[derive(Debug, Default)]
pub struct Book {
    /// The fold.
    pub table: Table,
    /// The hash over all of it.
    pub chain: Chain,
    changes: VecDeque<Change>,
    plans: BTreeMap<PlanKey, u64>,
    /// The same, the oldest first.
    issued: VecDeque<PlanKey>,
    thresholds: BTreeMap<(TenantId, QueueId, u64), u64>,
    /// The next offset to read.
    next: u64,
    sealed: Option<AuditSealed>,
    /// Behind the last decision of a person.
    personal: u64,
    skipped: u64,
}

impl Book {
    /// Takes in the next record.
    pub fn take(&mut self, record: &Record) {
        self.chain.add(record.offset, &record.key, &record.value);
        self.next = record.offset + 1;
        let envelope = match Envelope::parse(&record.value) {
            Ok(Parsed::Known(envelope)) => envelope,
            Ok(Parsed::Unknown(_)) => return,
            Err(error) => {
                tracing::warn!(offset = record.offset, %error, "no control event");
                self.skipped += 1;
                return;
            }
        };
        let personal = envelope.by != By::Automatic;
        let before = if personal { self.before(&envelope) } else { None };
        let applied = self.table.apply(&envelope);
        match &envelope.event {
            Event::PlanIssued(plan) if applied == Applied::Changed => {
                let key = (envelope.tenant.clone(), plan.queue.clone(), plan.version);
                self.plans.insert(key.clone(), record.offset);
                self.issued.push_back(key);
                if self.issued.len() > PLANS_MAX
                    && let Some(oldest) = self.issued.pop_front()
                {
                    self.plans.remove(&oldest);
                }
            }
            Event::ThresholdsSet(set) if applied == Applied::Changed => {
                self.thresholds.insert((envelope.tenant.clone(), set.queue.clone(), set.version), record.offset);
            }
            Event::AuditSealed(seal) => self.sealed = Some((**seal).clone()),
            _ => {}
        }
        if personal {
            self.personal = record.offset + 1;
            self.changes.push_back(Change { offset: record.offset, envelope, before, applied });
            if self.changes.len() > CHANGES_MAX {
                self.changes.pop_front();
            }
        }
    }

    /// Takes in that plans still hold; it stands on `health`, and is no decision.
    pub fn affirm(&mut self, value: &[u8]) {
        if let Ok(Parsed::Known(envelope)) = Envelope::parse(value)
            && matches!(envelope.event, Event::PlanAffirmed(_))
        {
            self.table.apply(&envelope);
        }
    }

    /// What holds now of what the event is about.
    fn before(&self, envelope: &Envelope) -> Option<Event> {
        let tenant = self.table.tenant(&envelope.tenant)?;
        present(tenant, &envelope.event)
    }

    fn read(&mut self, read: &Read<'_>) {
        match read {
            Read::Record(record) => self.take(record),
            Read::Skipped => self.skipped += 1,
            Read::Until(next) => self.next = *next,
        }
    }

    /// The next offset to read.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Records that could not be read.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The last seal.
    pub fn sealed(&self) -> Option<&AuditSealed> {
        self.sealed.as_ref()
    }

    /// Records since the last seal, and whether a person's decision is among them.
    pub fn unsealed(&self) -> (u64, bool) {
        let until = self.sealed.as_ref().map_or(0, |seal| seal.until);
        (self.next.saturating_sub(until), self.personal > until)
    }

    /// Changes by persons, the youngest first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev()
    }

    /// A change by the id of its event.
    pub fn change(&self, id: &EventId) -> Option<&Change> {
        self.changes().find(|change| change.envelope.id == *id)
    }

    /// Where a plan stands in the stream.
    pub fn plan_at(&self, tenant: &TenantId, queue: &QueueId, version: u64) -> Option<u64> {
        self.plans.get(&(tenant.clone(), queue.clone(), version)).copied()
    }

    /// Where thresholds stand in the stream.
    pub fn thresholds_at(&self, tenant: &TenantId, queue: &QueueId, version: u64) -> Option<u64> {
        self.thresholds.get(&(tenant.clone(), queue.clone(), version)).copied()
    }

    /// The overrides that held for a queue at a moment of the past, as far as they are remembered.
    pub fn overrides_at(&self, tenant: &TenantId, queue: &QueueId, at: Time) -> Vec<(&OverrideSet, &By)> {
        let mut held: Vec<(&OverrideSet, &By)> = Vec::new();
        let past = self.changes.iter().filter(|change| change.envelope.tenant == *tenant && change.envelope.time <= at);
        for change in past {
            match &change.envelope.event {
                Event::OverrideSet(set) => {
                    held.retain(|(other, _)| other.id != set.id);
                    held.push((set, &change.envelope.by));
                }
                Event::OverrideCleared(cleared) => held.retain(|(set, _)| set.id != cleared.id),
                _ => {}
            }
        }
        held.retain(|(set, _)| set.until > at && set.queue.as_ref().is_none_or(|only| only == queue));
        held
    }
}

/// What holds now of what an event is about, as the event that brought it.
fn present(tenant: &Tenant, event: &Event) -> Option<Event> {
    match event {
        Event::ThresholdsSet(set) => {
            let queue = tenant.queue(&set.queue).filter(|queue| queue.thresholds_version() > 0)?;
            let (version, thresholds) = (queue.thresholds_version(), (**queue.thresholds()).clone());
            Some(ThresholdsSet { queue: set.queue.clone(), version, thresholds }.into())
        }
        Event::OverrideSet(set) => tenant.held(&set.id).map(|held| held.set.clone().into()),
        Event::OverrideCleared(cleared) => tenant.held(&cleared.id).map(|held| held.set.clone().into()),
        Event::TargetConfigured(set) => {
            tenant.target(&set.target).filter(|held| held.present).map(|held| held.configured.clone().into())
        }
        Event::TargetRemoved(removed) => {
            tenant.target(&removed.target).filter(|held| held.present).map(|held| held.configured.clone().into())
        }
        Event::ServiceConfigured(set) => {
            tenant.service(&set.service).filter(|held| held.present).map(|held| held.configured.clone().into())
        }
        Event::ServiceRemoved(removed) => {
            tenant.service(&removed.service).filter(|held| held.present).map(|held| held.configured.clone().into())
        }
        _ => None,
    }
}

/// The book, shared by all parts of an instance. A cheap handle.
#[derive(Clone, Debug)]
pub struct Books {
    book: Arc<Mutex<Book>>,
    next: watch::Sender<u64>,
}

impl Default for Books {
    fn default() -> Books {
        Books { book: Arc::default(), next: watch::Sender::new(0) }
    }
}

impl Books {
    /// Looks something up.
    pub fn look(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read(&self, read: &Read<'_>) {
        self.look().read(read);
        if let Read::Until(next) = read {
            self.next.send_replace(*next);
        }
    }

    /// Waits until everything before `offset` was read; whether it was, within the time.
    pub async fn until(&self, offset: u64, clock: &Clock, within: Duration) -> bool {
        let mut next = self.next.subscribe();
        let there = next.wait_for(|next| *next >= offset);
        clock.timeout(within, there).await.is_ok_and(|read| read.is_ok())
    }
}
