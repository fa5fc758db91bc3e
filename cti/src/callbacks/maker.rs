//! Who makes the calls: of all gates the member of the group `callbacks` that holds the only partition of `control`.
//!
//! Each attempt is written fenced, read back in the fold, and only then dialled: of two that would dial the same, the second is refused.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::{Class, Commit, Consumer, Delivery, Entry, Generation, Journal, Position, Start, Stream, Subscription};
use model::control::{By, CallbackBegun, CallbackClosed, CallbackTried, Close, Envelope, Event, Level, Outcome};
use model::{CallbackId, EventId, QueueId, SourceId, TenantId, Time};
use policy::callback::{Entry as Promise, Pace, Room, State};
use policy::plan::seconds;
use policy::rate::Counted;
use service::health::{Check, Pulse};
use service::retry::{Backoff, Policy};
use service::{Context, Tasks};

use super::dial::{self, Order, Way};
use super::{Config, fetch};
use crate::gate::{Gate, lock};
use crate::pbx::Pbx;

/// The group whose only member with the partition makes the calls.
const GROUP: &str = "callbacks";
/// Between two looks at the list.
const TICK: Duration = Duration::from_millis(500);
/// An attempt that nobody ended after so long was cut off, milliseconds.
const ORPHAN_MS: i64 = 300_000;
/// How long our own record may take to come back.
const READ_BACK: Duration = Duration::from_secs(10);
/// The window of who calls by themselves, seconds.
const FLOW_S: i64 = 60;

type Key = (TenantId, QueueId);

/// What it works with.
pub(crate) struct Maker {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) config: Config,
    pub(crate) pbxs: BTreeMap<SourceId, Pbx>,
    pub(crate) context: Context,
    pub(crate) tasks: Tasks,
    pub(crate) health: Check,
    pub(crate) pulse: Pulse,
}

/// While the partition is ours.
struct Turn {
    consumer: Box<dyn Consumer>,
    holds: bool,
    paces: HashMap<Key, Pace>,
    flows: HashMap<Key, (u64, Counted)>,
    fetched_at: Option<Duration>,
    refused: Arc<Mutex<Option<String>>>,
}

/// An attempt that is about to be made.
struct Attempt {
    tenant: TenantId,
    callback: CallbackId,
    number: u32,
    service: Option<model::ServiceId>,
    pbx: Pbx,
    order: Order,
}

impl Maker {
    /// Takes part until the drain.
    pub(crate) async fn run(self) -> journal::Result<()> {
        let maker = Arc::new(self);
        let clock = maker.context.clock.clone();
        let mut backoff = Backoff::new(Policy::default(), maker.context.seeds.stream("callbacks"), clock);
        while !maker.context.drain.is_started() {
            let error = match maker.member().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let fenced = matches!(error, journal::Error::Fenced { .. });
            if !fenced && error.class() != Class::Transient {
                return Err(error);
            }
            tracing::warn!(%error, "no longer makes callbacks; joining again");
            maker.health.degraded(error.to_string());
            maker.pulse.beat();
            tokio::select! {
                biased;
                () = maker.context.drain.started() => {}
                () = backoff.wait() => {}
            }
        }
        Ok(())
    }

    async fn member(self: &Arc<Self>) -> journal::Result<()> {
        let wish = Subscription::new(GROUP, &self.context.instance, [Stream::Control]).start(Start::Latest);
        let consumer = self.journal.subscribe(wish).await?;
        let mut turn = Turn {
            consumer,
            holds: false,
            paces: HashMap::new(),
            flows: HashMap::new(),
            fetched_at: None,
            refused: Arc::default(),
        };
        let outcome = self.turn(&mut turn).await;
        let left = turn.consumer.close().await;
        outcome.and(left)
    }

    async fn turn(self: &Arc<Self>, turn: &mut Turn) -> journal::Result<()> {
        let mut every = self.context.clock.interval(TICK);
        loop {
            self.pulse.beat();
            tokio::select! {
                biased;
                () = self.context.drain.started() => return Ok(()),
                () = every.tick() => if turn.holds && self.gate.has_caught_up() {
                    self.tick(turn).await?;
                },
                delivery = turn.consumer.next() => match delivery {
                    Ok(Delivery::Assigned(partitions)) => turn.holds |= partitions.contains(&(Stream::Control, 0)),
                    Ok(Delivery::Revoked(_)) => turn.holds = false,
                    // the gate reads the records; here they only keep the membership alive
                    Ok(Delivery::Batch(_) | Delivery::Idle) => {}
                    Err(journal::Error::Damaged { offset, .. }) => {
                        turn.consumer.seek(Position::new(Stream::Control, 0, offset + 1)).await?;
                    }
                    Err(journal::Error::Truncated { earliest, .. }) => {
                        turn.consumer.seek(Position::new(Stream::Control, 0, earliest)).await?;
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    async fn tick(self: &Arc<Self>, turn: &mut Turn) -> journal::Result<()> {
        let now = Time(self.context.clock.now_ms());
        self.fetch(turn);
        let told = lock(&turn.refused).clone();
        match told {
            Some(why) => self.health.degraded(why),
            None => self.health.ok(),
        }
        let swept = self.sweep(now);
        self.write(turn.consumer.generation(), swept).await?;
        if !self.config.dials {
            return Ok(());
        }
        for attempt in self.due(turn, now) {
            let begun = CallbackBegun {
                callback: attempt.callback.clone(),
                attempt: attempt.number,
                service: attempt.service.clone(),
            };
            let why = format!("attempt {}, room in the queue", attempt.number);
            let record =
                self.envelope(&attempt.tenant, &format!("begun|{}|{}", attempt.callback, attempt.number), why, begun);
            let id = record.id.clone();
            self.write(turn.consumer.generation(), vec![record]).await?;
            if self.read_back(&attempt).await {
                self.start(attempt, id, Arc::clone(&turn.refused));
            }
        }
        Ok(())
    }

    /// Fetches what phone systems keep for us, now and then, beside the rest.
    fn fetch(self: &Arc<Self>, turn: &mut Turn) {
        let now = self.context.clock.monotonic();
        if turn.fetched_at.is_some_and(|at| now.saturating_sub(at) < self.config.fetch.duration()) {
            return;
        }
        turn.fetched_at = Some(now);
        for (source, pbx) in &self.pbxs {
            let (maker, source, pbx) = (Arc::clone(self), source.clone(), pbx.clone());
            let refused = Arc::clone(&turn.refused);
            // of a phone system that hangs one fetch at most is under way
            let name = format!("fetch {source}");
            if self.tasks.names().contains(&name) {
                continue;
            }
            let fetched = self.tasks.spawn(name, async move {
                let outcome = fetch::fetch(&pbx, &source, &maker.gate, &maker.journal, &maker.config).await;
                match &outcome {
                    Ok(0) => {}
                    Ok(taken) => tracing::info!(%source, taken, "took over promises that the phone system kept"),
                    Err(error) => tracing::debug!(%source, %error, "promises of a phone system are not taken over now"),
                }
                let why = outcome.err().filter(|fault| matches!(fault, ami::Fault::Refused(_)));
                *lock(&refused) = why.map(|fault| format!("callbacks of {source}: {fault}"));
            });
            if let Err(error) = fetched {
                tracing::debug!(%error, "no seat to fetch promises");
            }
        }
    }

    /// What is over without anybody's doing.
    fn sweep(&self, now: Time) -> Vec<Envelope> {
        let table = self.gate.memory.table();
        let mut told = Vec::new();
        for (tenant, of) in table.tenants() {
            for entry in of.callbacks().over(now) {
                let id = &entry.asked.callback;
                let closed = CallbackClosed { callback: id.clone(), close: Close::Expired };
                told.push(self.envelope(tenant, &format!("expired|{id}"), "its time is over".to_owned(), closed));
            }
            for entry in of.callbacks().orphans(now + -ORPHAN_MS) {
                let (callback, attempt) = (entry.asked.callback.clone(), entry.attempts.len() as u32);
                let reference = format!("orphan|{callback}|{attempt}");
                let tried = CallbackTried { callback, attempt, outcome: Outcome::Unknown, again_at: now };
                told.push(self.envelope(tenant, &reference, "whoever dialled it is gone".to_owned(), tried));
            }
        }
        told
    }

    /// Attempts to be made now: of each queue the oldest that is due, if there is room for it.
    fn due(&self, turn: &mut Turn, now: Time) -> Vec<Attempt> {
        let flows = self.flows(turn, now);
        let table = self.gate.memory.table();
        let mut found = Vec::new();
        let dialling: usize = table
            .tenants()
            .flat_map(|(_, of)| of.callbacks().open())
            .filter(|entry| matches!(entry.state, State::Dialling { .. }))
            .count();
        for (tenant, of) in table.tenants() {
            let mut queues: Vec<&QueueId> = of.callbacks().open().map(|entry| &entry.asked.queue).collect();
            queues.sort();
            queues.dedup();
            for queue in queues {
                let minute = self.gate.minute(tenant, now);
                let Some(entry) = of.callbacks().due(queue, now, minute).next() else { continue };
                let Some(room) = self.room(tenant, queue, &flows, now) else { continue };
                let Some(pbx) = self.pbxs.get(&entry.asked.source) else { continue };
                let room = Room { dialling: of.callbacks().dialling(queue), ..room };
                let key = (tenant.clone(), queue.clone());
                let seats = dialling + found.len() < self.config.at_once;
                if seats && turn.paces.entry(key).or_default().admit(seconds(now), &room) {
                    found.extend(self.attempt(tenant, entry, pbx));
                }
            }
        }
        found
    }

    /// Who calls by themselves, of each queue.
    fn flows(&self, turn: &mut Turn, now: Time) -> HashMap<Key, f64> {
        let (now_s, mut all) = (seconds(now), HashMap::new());
        for (tenant, queues) in self.gate.counted() {
            for counted in queues {
                let key = (tenant.clone(), counted.queue);
                let (last, flow) = turn.flows.entry(key.clone()).or_insert((counted.attempts, Counted::default()));
                flow.count(now_s, counted.attempts.saturating_sub(*last) as f64);
                *last = counted.attempts;
                all.insert(key, flow.per_s(now_s, FLOW_S));
            }
        }
        all
    }

    fn room(&self, tenant: &TenantId, queue: &QueueId, flows: &HashMap<Key, f64>, now: Time) -> Option<Room> {
        let force = self.gate.holds(tenant, queue, now, |force| {
            let plan = force.queue.plan()?;
            let silent_ms = force.affirmed_at.map_or(i64::MAX, |at| now.since(at));
            let valid_ms = plan.valid_s * 1_000.0;
            let age_ms = (seconds(now) - force.orders.seen.at_s) * 1_000.0;
            Some(Room {
                level: force.orders.level.max(Level::Normal),
                fresh: silent_ms as f64 <= valid_ms && age_ms <= valid_ms,
                waiting: force.orders.seen.waiting,
                free: force.orders.seen.free,
                capacity_per_s: force.orders.drain.capacity_per_s,
                attempts_per_s: 0.0,
                dialling: 0,
            })
        })?;
        let attempts_per_s = flows.get(&(tenant.clone(), queue.clone())).copied().unwrap_or(0.0);
        force.map(|room| Room { attempts_per_s, ..room })
    }

    /// What is to be dialled for a promise; one that cannot be is closed by its attempt's end.
    fn attempt(&self, tenant: &TenantId, entry: &Promise, pbx: &Pbx) -> Option<Attempt> {
        let asked = &entry.asked;
        let (service, address) = match self.gate.next_service(tenant) {
            Some((service, address)) => (Some(service), address),
            None => (None, self.config.dial.clone()),
        };
        let way = Way::of(&address)?;
        let dial = self.gate.callers.opened(&asked.sealed, asked.callback.as_str()).and_then(|number| way.to(&number));
        let number = entry.attempts.len() as u32 + 1;
        let id = format!("callback-{}-{number}", asked.callback);
        // an empty dial is an attempt that fails at once, on record like all others
        let dial = dial.filter(|_| dial::is_plain(asked.queue.as_str())).unwrap_or_default();
        let order = Order { id, dial, queue: asked.queue.as_str().to_owned(), ring: self.config.ring.duration() };
        Some(Attempt {
            tenant: tenant.clone(),
            callback: asked.callback.clone(),
            number,
            service,
            pbx: pbx.clone(),
            order,
        })
    }

    /// Waits until our own record is in the fold; whether it holds.
    async fn read_back(&self, attempt: &Attempt) -> bool {
        let clock = &self.context.clock;
        let begun = clock.monotonic();
        loop {
            let holds = {
                let table = self.gate.memory.table();
                let entry = table.tenant(&attempt.tenant).and_then(|of| of.callbacks().entry(&attempt.callback));
                let attempts = entry.map_or(0, |entry| entry.attempts.len() as u32);
                let lasts = entry.is_some_and(|entry| matches!(entry.state, State::Dialling { .. }));
                if entry.is_none_or(|entry| !entry.is_open()) {
                    Some(false)
                } else {
                    (attempts >= attempt.number).then_some(lasts)
                }
            };
            match holds {
                Some(holds) => return holds,
                None if clock.monotonic().saturating_sub(begun) > READ_BACK => return false,
                None => clock.sleep(Duration::from_millis(5)).await,
            }
        }
    }

    fn start(self: &Arc<Self>, attempt: Attempt, cause: EventId, refused: Arc<Mutex<Option<String>>>) {
        let maker = Arc::clone(self);
        let name = attempt.order.id.clone();
        let started = self.tasks.spawn(name, async move {
            let outcome = maker.carry_out(&attempt, &refused).await;
            maker.ended(&attempt, outcome, cause).await;
        });
        if let Err(error) = started {
            tracing::warn!(%error, "no seat for a callback; it is tried again later");
        }
    }

    async fn carry_out(&self, attempt: &Attempt, refused: &Mutex<Option<String>>) -> Result<Outcome, Close> {
        if attempt.order.dial.is_empty() {
            return Err(Close::Undiallable);
        }
        match dial::dial(&attempt.pbx, &attempt.order, &self.context.clock).await {
            Ok(outcome) => Ok(outcome),
            Err(fault) => {
                tracing::warn!(%fault, callback = %attempt.callback, "a callback was not dialled");
                if matches!(fault, ami::Fault::Refused(_)) {
                    *lock(refused) = Some(format!("callbacks: {fault}"));
                }
                Ok(Outcome::Failed)
            }
        }
    }

    /// Tells what came of an attempt. Until it is told the promise stays in dialling, so that nobody tries at the same time.
    async fn ended(&self, attempt: &Attempt, outcome: Result<Outcome, Close>, cause: EventId) {
        let now = Time(self.context.clock.now_ms());
        let callback = attempt.callback.clone();
        let (event, why): (Event, &str) = match outcome {
            Ok(outcome) => {
                let again_at = now + self.config.again_after.signed();
                let tried = CallbackTried { callback, attempt: attempt.number, outcome, again_at };
                (tried.into(), "as the phone system says")
            }
            Err(close) => (CallbackClosed { callback, close }.into(), "its number cannot be opened or dialled"),
        };
        let reference = format!("ended|{}|{}", attempt.callback, attempt.number);
        let mut record = self.envelope(&attempt.tenant, &reference, why.to_owned(), event);
        record.cause_id = Some(cause);
        let entry = Entry::new(Stream::Control, attempt.tenant.as_str().to_owned(), record.to_json());
        let mut backoff =
            Backoff::new(Policy::default(), self.context.seeds.stream(&reference), self.context.clock.clone());
        while let Err(error) = self.journal.append(vec![entry.clone()]).await {
            tracing::warn!(%error, "what came of a callback is not written yet");
            if self.context.drain.is_started() {
                return;
            }
            backoff.wait().await;
        }
    }

    fn envelope(&self, tenant: &TenantId, reference: &str, why: String, event: impl Into<Event>) -> Envelope {
        let now = Time(self.context.clock.now_ms());
        let source = SourceId::new(&self.context.instance);
        let reference = format!("callback|{reference}|{}", now.ms());
        Envelope {
            id: EventId::from_reference(&source, &reference),
            source,
            time: now,
            tenant: tenant.clone(),
            by: By::Automatic,
            why,
            cause_id: None,
            event: event.into(),
        }
    }

    /// Writes while the partition is ours.
    async fn write(&self, fence: Generation, records: Vec<Envelope>) -> journal::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let entry =
            |record: &Envelope| Entry::new(Stream::Control, record.tenant.as_str().to_owned(), record.to_json());
        let commit = Commit {
            entries: records.iter().map(entry).collect(),
            group: GROUP.to_owned(),
            fence: Some(fence),
            ..Commit::default()
        };
        self.journal.append_and_commit(commit).await.map(drop)
    }
}
