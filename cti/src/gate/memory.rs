//! What the gate knows: plans, figures, queues, targets, callers. Fed by the followers, read by each decision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::control::QueueCounted;
use model::{Directory, QueueId, TargetId, TenantId, Time};
use policy::bucket::Bucket;
use policy::containment::Led;
use policy::plan::{Table, seconds};
use policy::service::Rota;

use super::state::{Enforced, Standing};
use crate::config::{Config, Unplanned};
use crate::live::Now;
use crate::recent::Recent;

type ByQueue<T> = HashMap<TenantId, HashMap<QueueId, T>>;

/// Takes a lock. A panic of somebody who held it leaves the memory as it was: each change is whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that is known.
pub(crate) struct Memory {
    table: RwLock<Table>,
    figures: RwLock<Arc<ByQueue<Now>>>,
    standings: RwLock<ByQueue<Arc<Mutex<Standing>>>>,
    queues_max: usize,
    unplanned: HashMap<QueueId, Unplanned>,
    /// Where each target stands, of each tenant: its capacity is one, whichever queue leads to it.
    pub(crate) targets: Mutex<HashMap<TenantId, HashMap<TargetId, Bucket>>>,
    pub(crate) recent: Mutex<Recent>,
    /// What becomes of those who are led elsewhere.
    pub(crate) led: Mutex<Led>,
    /// Whose turn it is of the call services.
    pub(crate) rotas: Mutex<HashMap<TenantId, Rota>>,
    zones: HashMap<TenantId, TimeZone>,
}

impl Memory {
    pub(crate) fn new(config: &Config, directory: &Directory) -> Memory {
        let zone = |(id, tenant): (&TenantId, &model::directory::Tenant)| {
            Some((id.clone(), TimeZone::get(&tenant.time_zone).ok()?))
        };
        Memory {
            table: RwLock::default(),
            figures: RwLock::default(),
            standings: RwLock::default(),
            queues_max: config.queues_max,
            unplanned: config.unplanned.clone().into_iter().collect(),
            targets: Mutex::default(),
            led: Mutex::new(Led::new(config.contained_within.signed(), config.callers_max)),
            rotas: Mutex::default(),
            recent: Mutex::new(Recent::new(config.callers_max, config.callers_window.signed())),
            zones: directory.tenants.iter().filter_map(zone).collect(),
        }
    }

    /// What was decided, to be read.
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was decided, to be changed; the change is short.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Table) -> R) -> R {
        change(&mut self.table.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// New figures of all queues.
    pub(crate) fn take_figures(&self, figures: ByQueue<Now>) {
        *self.figures.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(figures);
    }

    /// The figures of a queue.
    pub(crate) fn figures(&self, tenant: &TenantId, queue: &QueueId) -> Option<Now> {
        let figures = self.figures.read().unwrap_or_else(PoisonError::into_inner);
        figures.get(tenant)?.get(queue).copied()
    }

    /// The queue, made at its first call; `None` when there are too many.
    pub(crate) fn standing(&self, tenant: &TenantId, queue: &QueueId) -> Option<Arc<Mutex<Standing>>> {
        let known = self.standings.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(standing) = known.get(tenant).and_then(|queues| queues.get(queue)) {
            return Some(Arc::clone(standing));
        }
        drop(known);
        let mut all = self.standings.write().unwrap_or_else(PoisonError::into_inner);
        let number: usize = all.values().map(HashMap::len).sum();
        let queues = all.entry(tenant.clone()).or_default();
        if number >= self.queues_max && !queues.contains_key(queue) {
            return None;
        }
        let made = || Arc::new(Mutex::new(Standing::new(queue.clone(), self.unplanned.get(queue).cloned())));
        Some(Arc::clone(queues.entry(queue.clone()).or_insert_with(made)))
    }

    /// The hour of the tenant's day.
    pub(crate) fn hour(&self, tenant: &TenantId, at: Time) -> usize {
        usize::try_from(self.local_ms(tenant, at).div_euclid(super::HOUR_MS).rem_euclid(24)).unwrap_or(0)
    }

    /// A moment on the tenant's own clock, milliseconds.
    pub(crate) fn local_ms(&self, tenant: &TenantId, at: Time) -> i64 {
        let zone = self.zones.get(tenant);
        let offset_ms = zone
            .zip(Timestamp::from_millisecond(at.ms()).ok())
            .map_or(0, |(zone, at)| i64::from(zone.to_offset(at).seconds()) * 1_000);
        at.ms() + offset_ms
    }

    /// What came so far.
    pub(crate) fn counted(&self) -> Vec<(TenantId, Vec<QueueCounted>)> {
        let all = self.standings.read().unwrap_or_else(PoisonError::into_inner);
        let queues = |queues: &HashMap<QueueId, Arc<Mutex<Standing>>>| {
            let mut counted: Vec<QueueCounted> =
                queues.values().map(|standing| lock(standing).counted.clone()).collect();
            counted.sort_by(|a, b| a.queue.cmp(&b.queue));
            counted
        };
        all.iter().map(|(tenant, found)| (tenant.clone(), queues(found))).collect()
    }

    /// What holds for each queue that something was decided about.
    pub(crate) fn enforced(&self, now: Time) -> Vec<Enforced> {
        let table = self.table();
        let mut all = Vec::new();
        for (tenant, of) in table.tenants() {
            for (queue, _) in of.queues() {
                let Some(force) = table.force(tenant, queue, now, self.hour(tenant, now)) else { continue };
                let force = match self.figures(tenant, queue) {
                    Some(seen) => force.seeing(seen.at, seen.waiting, seen.free),
                    None => force,
                };
                all.push(Enforced {
                    tenant: tenant.clone(),
                    queue: queue.clone(),
                    plan: force.plan,
                    level: force.orders.level,
                    rate_per_s: force.orders.rate_per_s,
                    divert_share: force.orders.divert_share,
                    silent_s: force.affirmed_at.map(|at| (seconds(now) - seconds(at)).max(0.0)),
                    age_s: (seconds(now) - force.orders.seen.at_s).max(0.0),
                    waiting: force.orders.seen.waiting,
                    free: force.orders.seen.free,
                });
            }
        }
        all.sort_by(|a, b| (&a.tenant, &a.queue).cmp(&(&b.tenant, &b.queue)));
        all
    }
}
