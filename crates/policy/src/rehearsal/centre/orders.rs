//! Orders of persons and carriers within a play: each is told at its time to the fold that every gate uses ([`crate::plan::Table`]), so
//! that a play and a gate cannot differ in what an order means.

use model::control::{Automatic, By, Envelope, Event, Order, OverrideSet};
use model::{EventId, OverrideId, QueueId, TenantId, Time};

use crate::plan::Table;

/// An order that somebody gives while a centre is played.
#[derive(Clone, Debug, PartialEq)]
pub struct Ordered {
    /// For this queue; absent: for all.
    pub queue: Option<QueueId>,
    /// What.
    pub order: Order,
    /// From when on it holds.
    pub from: Time,
    /// Until when.
    pub until: Time,
    /// Who gives it.
    pub by: By,
}

/// What is ordered, as far as it was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    queues: Vec<QueueId>,
    /// Those that come, the last one first.
    coming: Vec<Envelope>,
    table: Table,
}

impl Orders {
    /// Of queues by their numbers.
    pub(super) fn new(queues: Vec<QueueId>, orders: &[Ordered]) -> Orders {
        let mut coming: Vec<Envelope> = orders.iter().enumerate().map(|(n, order)| told(n, order)).collect();
        coming.sort_by_key(|envelope| std::cmp::Reverse(envelope.time));
        Orders { queues, coming, table: Table::default() }
    }

    /// What holds of a queue with the orders of this moment, and whether one of them changed anything. Moments ascend.
    pub(super) fn over(&mut self, queue: usize, automatic: Automatic, now: Time) -> (Automatic, bool) {
        while let Some(envelope) = self.coming.pop_if(|envelope| envelope.time <= now) {
            self.table.apply(&envelope);
        }
        let held = self.queues.get(queue).zip(self.table.tenant(&tenant()));
        let all = held.map_or(automatic, |(queue, tenant)| tenant.combined(queue, automatic, now));
        (all, all != automatic)
    }
}

fn tenant() -> TenantId {
    "play".into()
}

fn told(number: usize, ordered: &Ordered) -> Envelope {
    let Ordered { queue, order, from, until, by } = ordered.clone();
    let set = OverrideSet { id: OverrideId::new(number.to_string()), queue, order, until };
    Envelope {
        id: EventId::new(number.to_string()),
        source: "play".into(),
        time: from,
        tenant: tenant(),
        by,
        why: String::new(),
        cause_id: None,
        event: Event::from(set),
    }
}
