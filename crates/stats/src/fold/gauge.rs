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
}

/// The gauges of all queues of a partition.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    all: Vec<Gauge>,
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
        let place = self.place(tenant, queue).unwrap_or_else(|| {
            let place = self.all.len();
            let counts = Queue::empty(tenant.clone(), queue.clone());
            self.all.push(Gauge { counts, waiting: BTreeSet::new(), touched: false });
            self.places.entry(tenant.clone()).or_default().insert(queue.clone(), place);
            place
        });
        let gauge = &mut self.all[place];
        if !std::mem::replace(&mut gauge.touched, true) {
            self.touched.push(place);
        }
        gauge
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

    /// The gauges that changed since the last time.
    pub(super) fn take_touched(&mut self) -> Vec<View> {
        let touched = std::mem::take(&mut self.touched);
        let view = |place: usize| {
            self.all[place].touched = false;
            View::Queue(self.all[place].counts.clone())
        };
        touched.into_iter().map(view).collect()
    }

    /// Forgets which gauges changed.
    pub(super) fn forget_touched(&mut self) {
        self.touched.drain(..).for_each(|place| self.all[place].touched = false);
    }

    /// Every gauge.
    pub(super) fn all(&self) -> impl Iterator<Item = View> + '_ {
        self.all.iter().map(|g| View::Queue(g.counts.clone()))
    }
}
