//! `tidegate hard-phones`: ordered by a person, also when no console is there to be asked.

use std::path::Path;

use journal::{Entry, Journal, Stream};
use model::control::{By, Envelope, Event, Level, Order, OverrideCleared, OverrideSet};
use model::{EventId, OverrideId, QueueId, TenantId, Time};
use service::{Clock, Error, Result};

use crate::cli::{Ordered, Switch};
use crate::{control, data};

/// `tidegate hard-phones …`.
pub(crate) async fn run(what: Switch) -> Result<()> {
    let clock = Clock::system();
    match what {
        Switch::On { order, duration } => on(&order, Time(clock.now_ms()), duration, &clock).await,
        Switch::Off { order } => off(&order, Time(clock.now_ms()), &clock).await,
    }
}

async fn on(order: &Ordered, now: Time, duration: std::time::Duration, clock: &Clock) -> Result<()> {
    there(order).await?;
    let journal = data::journal_existing(&order.data.data, clock).await?;
    let until = now + i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2);
    let id = OverrideId::new(format!("hard-phones-{}", now.ms()));
    let locked = Order::LevelLocked { level: Level::HardPhone };
    let set = OverrideSet { id: id.clone(), queue: order.queue.as_deref().map(QueueId::from), order: locked, until };
    say(&*journal, order, now, set.into()).await?;
    println!("{} until {until} ({id})", of(order));
    Ok(())
}

async fn off(order: &Ordered, now: Time, clock: &Clock) -> Result<()> {
    let journal = data::journal_existing(&order.data.data, clock).await?;
    let table = control::table(&*journal).await.map_err(|error| data::journal_failed(&error))?;
    let tenant = TenantId::new(&order.tenant);
    let hard = |set: &OverrideSet| {
        let this = order.queue.is_none() || set.queue.as_ref().map(QueueId::as_str) == order.queue.as_deref();
        this && matches!(
            set.order,
            Order::LevelLocked { level: Level::HardPhone } | Order::LevelAtLeast { level: Level::HardPhone }
        )
    };
    let held = table.tenant(&tenant).into_iter().flat_map(|tenant| tenant.overrides(now));
    let ids: Vec<OverrideId> = held.filter(|held| hard(&held.set)).map(|held| held.set.id.clone()).collect();
    if ids.is_empty() {
        return Err(Error::usage("TG0355", format!("nothing is ordered to the hard phones: {}", of(order))));
    }
    for id in ids {
        say(&*journal, order, now, OverrideCleared { id: id.clone() }.into()).await?;
        println!("{id} is over; the level goes down one at a time");
    }
    Ok(())
}

fn of(order: &Ordered) -> String {
    order
        .queue
        .as_ref()
        .map_or_else(|| "hard phones of every queue".to_owned(), |queue| format!("hard phones of {queue}"))
}

/// Whether the queue is one that exists: a mistyped name would switch nothing.
async fn there(order: &Ordered) -> Result<()> {
    let Some(queue) = order.queue.as_deref() else { return Ok(()) };
    let dir: &Path = &order.data.data;
    data::there(dir)?;
    let known = control::known(dir).await?.queues.unwrap_or_default();
    if known.contains(queue) {
        return Ok(());
    }
    Err(Error::usage("TG0355", format!("there is no queue {queue:?} in {}", dir.display())))
}

async fn say(journal: &dyn Journal, order: &Ordered, time: Time, event: Event) -> Result<()> {
    let id = EventId::new(format!("command|{}|{}|{}", event.ty(), event.subject(), time.ms()));
    let by = By::Operator(order.by.clone());
    let (source, tenant, why) = ("command".into(), TenantId::new(&order.tenant), order.why.clone());
    let envelope = Envelope { id, source, time, tenant, by, why, cause_id: None, event };
    let entry = Entry::new(Stream::Control, order.tenant.clone(), envelope.to_json());
    journal.append(vec![entry]).await.map(drop).map_err(|error| data::journal_failed(&error))
}
