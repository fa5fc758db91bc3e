//! Counts of open calls per queue, kept up as calls change.

use std::collections::BTreeSet;

use model::{CallId, QueueId, TenantId, Time};

use crate::call::Record;
use crate::live::{LastServed, Queue, View};
use crate::rows::Map;

/// What one call adds to the gauges.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    waits: Vec<(QueueId, Time, i32, bool)>,
    talks: Vec<(QueueId, bool)>,
}

impl Reading {
    fn of(record: &Record) -> Option<Reading> {
        if record.closed {
            return None;
        }
        let waits = record.waiting().filter_map(|s| {
            let rings = s.alerts.iter().any(|a| a.until.is_none());
            Some((s.queue.clone()?, s.entered_at(), s.priority.unwrap_or(0), rings))
        });
        let talks = record.talking().filter_map(|s| Some((s.queue.clone()?, s.on_hold().is_some())));
        Some(Reading { waits: waits.collect(), talks: talks.collect() })
    }
}

#[derive(Clone, Debug)]
struct Gauge {
    counts: Queue,
    waiting: BTreeSet<(Time, CallId)>,
    touched: bool,
    /// Given up: its place is free.
    gone: bool,
}

/// The gauges of all queues of a partition.
///
/// - **Invariant:** beyond so many as are kept, only queues with open calls have one: names that somebody makes up go with their calls.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    all: Vec<Gauge>,
    free: Vec<usize>,
    places: Map<TenantId, Map<QueueId, usize>>,
    touched: Vec<usize>,
}

impl Gauges {
    /// Takes back what the call added before, adds what it adds now, and says what that is.
    pub(super) fn replace(&mut self, before: Option<Reading>, record: &Record) -> Option<Reading> {
        let now = Reading::of(record);
        if before != now {
            if let Some(reading) = &before {
                self.add(record, reading, -1);
            }
            if let Some(reading) = &now {
                self.add(record, reading, 1);
            }
        }
        self.note_served(record);
        now
    }

    /// Takes back what a call added.
    pub(super) fn retract(&mut self, record: &Record, reading: &Reading) {
        self.add(record, reading, -1);
    }

    fn place(&self, tenant: &TenantId, queue: &QueueId) -> Option<usize> {
        self.places.get(tenant)?.get(queue).copied()
    }

    /// The gauge of a queue, to be changed.
    fn gauge(&mut self, tenant: &TenantId, queue: &QueueId) -> &mut Gauge {
        let place = self.place(tenant, queue).unwrap_or_else(|| self.make(tenant, queue));
        let gauge = &mut self.all[place];
        if !std::mem::replace(&mut gauge.touched, true) {
            self.touched.push(place);
        }
        gauge
    }

    fn make(&mut self, tenant: &TenantId, queue: &QueueId) -> usize {
        let counts = Queue::empty(tenant.clone(), queue.clone());
        let gauge = Gauge { counts, waiting: BTreeSet::new(), touched: false, gone: false };
        let place = self.free.pop().unwrap_or(self.all.len());
        match self.all.get_mut(place) {
            Some(freed) => *freed = gauge,
            None => self.all.push(gauge),
        }
        self.places.entry(tenant.clone()).or_default().insert(queue.clone(), place);
        place
    }

    fn add(&mut self, record: &Record, reading: &Reading, sign: i64) {
        for (queue, since, priority, rings) in &reading.waits {
            let gauge = self.gauge(&record.tenant, queue);
            let c = &mut gauge.counts;
            c.waiting += sign;
            c.ringing += sign * i64::from(*rings);
            let of_priority = c.waiting_by_priority.entry(*priority).or_default();
            *of_priority += sign;
            if *of_priority == 0 {
                c.waiting_by_priority.remove(priority);
            }
            let place = (*since, record.call.clone());
            if sign > 0 {
                gauge.waiting.insert(place);
            } else {
                gauge.waiting.remove(&place);
            }
            gauge.counts.oldest_waiting_since = gauge.waiting.first().map(|w| w.0);
        }
        for (queue, held) in &reading.talks {
            let c = &mut self.gauge(&record.tenant, queue).counts;
            if *held {
                c.held += sign;
            } else {
                c.talking += sign;
            }
        }
    }

    fn note_served(&mut self, record: &Record) {
        for s in &record.segments {
            let (Some(queue), Some(at), Some(wait_ms)) = (&s.queue, s.counted_answer(), s.wait_ms) else { continue };
            let served = Some(LastServed { at, wait_ms });
            let known = self.place(&record.tenant, queue).and_then(|place| self.all[place].counts.last_served);
            if served > known {
                self.gauge(&record.tenant, queue).counts.last_served = served;
            }
        }
    }

    /// The gauges that changed since the last time, by the keys of their views; `None`: given up. So many are kept at least.
    pub(super) fn take_touched(&mut self, kept: usize) -> Vec<(String, Option<View>)> {
        let touched = std::mem::take(&mut self.touched);
        let view = |place: usize| {
            let stays = self.settle(place, kept);
            let view = View::Queue(self.all[place].counts.clone());
            (view.key(), stays.then_some(view))
        };
        touched.into_iter().map(view).collect()
    }

    /// Forgets which gauges changed.
    pub(super) fn forget_touched(&mut self, kept: usize) {
        for place in std::mem::take(&mut self.touched) {
            self.settle(place, kept);
        }
    }

    /// A change is told. A gauge that has nothing to show is given up when there are too many. Whether it stays.
    fn settle(&mut self, place: usize, kept: usize) -> bool {
        let many = self.all.len() - self.free.len() > kept;
        let gauge = &mut self.all[place];
        gauge.touched = false;
        let c = &gauge.counts;
        let idle = (c.waiting, c.ringing, c.talking, c.held) == (0, 0, 0, 0);
        if !idle || !many {
            return true;
        }
        gauge.gone = true;
        if let Some(queues) = self.places.get_mut(&c.tenant) {
            queues.remove(&c.queue);
            if queues.is_empty() {
                self.places.remove(&c.tenant);
            }
        }
        self.free.push(place);
        false
    }

    /// Every gauge.
    pub(super) fn all(&self) -> impl Iterator<Item = View> + '_ {
        self.all.iter().filter(|g| !g.gone).map(|g| View::Queue(g.counts.clone()))
    }
}
