//! The driver: the one task that moves the centre through time, tells the sessions, and takes orders. Everything that touches
//! the centre happens here, one thing after another, so an answer always fits the events around it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use rand::Rng as _;
use service::{Clock, Drain, Seeds, metric};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::ami::answer::{Hearing, answer};
use crate::ami::session::Outbox;
use crate::ami::wire::Action;
use crate::centre::{Centre, Frame};
use crate::faults::{Fault, Kind, Mischief};
use crate::plan::{Pace, Plan};

/// What the driver is told.
pub(crate) enum Order {
    /// A session has logged in.
    Enter { id: u64, hearing: Hearing, outbox: Outbox, login: Action },
    /// A session asks or orders.
    Act { id: u64, action: Action },
    /// A session is gone.
    Leave { id: u64 },
    /// The control API, or a test, does something to the driver.
    Do(Box<dyn FnOnce(&mut Driver) + Send>),
}

/// The way to the driver; bounded.
pub(crate) type Inbox = mpsc::Sender<Order>;

/// How many orders may wait for the driver.
const ORDERS_MAX: usize = 256;
/// So much simulated time is played at most before the driver looks at its orders again, ms.
const STRIDE_MS: i64 = 250;
/// The shortest and the longest sleep.
const SLEEP: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(500));
/// As fast as possible: no session may be further behind than this before the driver waits for it.
const FAST_BEHIND_MAX: usize = 1 << 20;

/// A session as the driver sees it.
struct Listener {
    hearing: Hearing,
    outbox: Outbox,
    /// A half-open link: the socket stays, nothing goes through.
    dead: bool,
    /// Bytes of answers it asked for and may not have read yet: a long list is not held against the one who asked.
    asked: usize,
}

/// Answers may pile up to so many times the backlog: enough for a whole snapshot asked for at once, not for ever.
const ASKED_MAX: usize = 8;

/// The driver.
pub(crate) struct Driver {
    centre: Centre,
    seed: u64,
    plan: Arc<Plan>,
    clock: Clock,
    pace: Pace,
    /// Where simulated time and the clock were known to be together.
    anchor: (i64, Duration),
    begun: bool,
    mischief: Mischief,
    planned: Vec<(i64, Fault)>,
    listeners: BTreeMap<u64, Listener>,
    /// A session has written something, or is gone.
    room: Arc<Notify>,
}

impl Driver {
    /// A driver and the way to it.
    pub(crate) fn new(plan: Arc<Plan>, clock: Clock, seeds: &Seeds) -> (Driver, Inbox, mpsc::Receiver<Order>) {
        let seed = plan.seed.unwrap_or_else(|| seeds.stream("centre").random());
        let centre = Centre::new(plan.clone(), seed, clock.now_ms());
        let (inbox, orders) = mpsc::channel(ORDERS_MAX);
        let driver = Driver {
            anchor: (centre.now_ms(), clock.monotonic()),
            begun: !plan.starts_on_login,
            mischief: Mischief::new(seed),
            planned: Vec::new(),
            listeners: BTreeMap::new(),
            room: Arc::new(Notify::new()),
            pace: plan.pace,
            centre,
            seed,
            plan,
            clock,
        };
        (driver, inbox, orders)
    }

    /// Plays until the drain starts.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>, drain: Drain) {
        if self.begun {
            self.begin();
        }
        let room = self.room.clone();
        loop {
            // As fast as possible means as fast as they read: with somebody far behind, time stands still.
            let full = self.pace == Pace::Fast && self.somebody_is_behind();
            let more = !full && self.play();
            let nap = if more { Duration::ZERO } else { self.nap() };
            tokio::select! {
                biased;
                () = drain.started() => return,
                order = orders.recv() => match order {
                    Some(order) => self.take(order),
                    None => return,
                },
                () = room.notified(), if full => {}
                () = self.clock.sleep(nap) => {}
            }
            // Orders that came together are taken together.
            while let Ok(order) = orders.try_recv() {
                self.take(order);
            }
        }
    }

    /// Simulated time starts to run.
    fn begin(&mut self) {
        self.begun = true;
        self.anchor = (self.centre.now_ms(), self.clock.monotonic());
        let start = self.centre.started_ms();
        self.planned = self.plan.faults.iter().map(|(at, fault)| (start + at, *fault)).collect();
        self.planned.sort_by_key(|(at, _)| *at);
    }

    /// The simulated time that it should be now.
    fn target(&self) -> i64 {
        match self.pace {
            Pace::Real(speed) => {
                let since = self.clock.monotonic().saturating_sub(self.anchor.1);
                self.anchor.0 + (since.as_secs_f64() * 1_000.0 * speed) as i64
            }
            Pace::Fast => self.centre.now_ms() + STRIDE_MS,
        }
    }

    /// Plays a stride. True when there is more to play at once.
    fn play(&mut self) -> bool {
        if !self.begun || (self.pace == Pace::Fast && self.centre.is_finished() && self.mischief.next_ms().is_none()) {
            return false;
        }
        let target = self.target();
        let until = target.min(self.centre.now_ms() + STRIDE_MS);
        self.centre.advance(until);
        while self.planned.first().is_some_and(|(at, _)| *at <= until) {
            let (_, fault) = self.planned.remove(0);
            self.start_fault(fault);
        }
        for kind in self.mischief.tick(until) {
            self.fault_over(kind);
        }
        self.tell();
        until < target || self.pace == Pace::Fast
    }

    fn nap(&self) -> Duration {
        let (Pace::Real(speed), true) = (self.pace, self.begun) else { return SLEEP.1 };
        let planned = self.planned.first().map(|(at, _)| *at);
        let next = [self.centre.next_ms(), self.mischief.next_ms(), planned].into_iter().flatten().min();
        let ms = next.map_or(f64::MAX, |next| (next - self.centre.now_ms()).max(0) as f64 / speed);
        Duration::from_secs_f64((ms / 1_000.0).min(SLEEP.1.as_secs_f64())).max(SLEEP.0)
    }

    /// Sends what has been said since the last time to every session that may hear it.
    fn tell(&mut self) {
        let said = self.centre.take_frames();
        if !said.is_empty() {
            metric::counter("simulator_events_total", &[]).increment(said.len() as u64);
        }
        let frames = self.mischief.pass(said, self.centre.now_ms());
        if frames.is_empty() {
            return;
        }
        let ids: Vec<u64> = self.listeners.keys().copied().collect();
        for id in ids {
            let chunk = self.listeners.get(&id).map(|listener| chunk_for(&listener.hearing, &frames));
            if let Some(chunk) = chunk.filter(|chunk| !chunk.is_empty()) {
                self.send(id, chunk.into());
            }
        }
    }

    /// Sends bytes to one session; cuts it when it is too far behind.
    fn send(&mut self, id: u64, chunk: Bytes) {
        let Some(listener) = self.listeners.get_mut(&id).filter(|listener| !listener.dead) else { return };
        let before = listener.outbox.behind.fetch_add(chunk.len(), Ordering::Relaxed);
        let behind = before + chunk.len();
        let max = self.plan.ami.backlog_bytes_max;
        let too_far = self.pace != Pace::Fast && behind > max + listener.asked.min(max * ASKED_MAX);
        if too_far || listener.outbox.chunks.try_send(chunk).is_err() {
            tracing::warn!(session = id, behind, "session is too far behind and is cut");
            self.listeners.remove(&id);
        }
    }

    /// Sends an answer to the session that asked.
    fn reply(&mut self, id: u64, text: String) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            if listener.outbox.behind.load(Ordering::Relaxed) == 0 {
                listener.asked = 0;
            }
            listener.asked = listener.asked.saturating_add(text.len());
        }
        self.send(id, text.into());
    }

    /// Whether a session has still much to read.
    fn somebody_is_behind(&self) -> bool {
        self.listeners.values().any(|listener| {
            let behind = listener.outbox.behind.load(Ordering::Relaxed) > FAST_BEHIND_MAX;
            behind && !listener.dead && !listener.outbox.chunks.is_closed()
        })
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Enter { id, hearing, outbox, login } => self.enter(id, hearing, outbox, &login),
            Order::Act { id, action } => self.act(id, &action),
            Order::Leave { id } => {
                self.listeners.remove(&id);
            }
            Order::Do(work) => work(self),
        }
        // Whatever the order made the centre say goes out behind its answer.
        self.tell();
    }

    fn enter(&mut self, id: u64, hearing: Hearing, outbox: Outbox, login: &Action) {
        if self.mischief.is(Kind::LinkDrop) {
            return;
        }
        if !self.begun {
            // Nobody has heard anything yet: the centre can as well start now as when the process did.
            self.centre = Centre::new(self.plan.clone(), self.seed, self.clock.now_ms());
            self.begin();
        }
        // What was said before this login is not for this session.
        self.tell();
        let mut text = login.say("Success", "Authentication accepted");
        if hearing.mask & hearing.allowed & crate::Class::System.bit() != 0 {
            let up = (self.centre.now_ms() - self.centre.started_ms()) / 1000;
            text.push_str(&format!("Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: {up}\r\n"));
            text.push_str(&format!("LastReload: {up}\r\nStatus: Fully Booted\r\n\r\n"));
        }
        tracing::info!(session = id, "session has logged in");
        self.listeners.insert(id, Listener { hearing, outbox, dead: false, asked: 0 });
        self.send(id, text.into());
    }

    fn act(&mut self, id: u64, action: &Action) {
        if self.begun && matches!(self.pace, Pace::Real(_)) {
            // A snapshot is of this moment, not of the last stride.
            let until = self.target().min(self.centre.now_ms() + STRIDE_MS);
            self.centre.advance(until);
        }
        self.tell();
        let Some(listener) = self.listeners.get_mut(&id).filter(|listener| !listener.dead) else { return };
        let answered = answer(&mut self.centre, &mut listener.hearing, action);
        self.reply(id, answered.text);
        if answered.bye {
            self.listeners.remove(&id);
        }
    }

    /// Starts a fault now.
    pub(crate) fn start_fault(&mut self, fault: Fault) {
        tracing::info!(kind = ?fault.kind, lasts_ms = fault.lasts_ms, "fault begins");
        self.tell();
        self.mischief.start(fault, self.centre.now_ms());
        match fault.kind {
            Kind::LinkDrop => self.listeners.clear(),
            Kind::HalfOpen => self.listeners.values_mut().for_each(|listener| listener.dead = true),
            Kind::Duplicate | Kind::Reorder | Kind::Delay | Kind::Garbage => {}
        }
    }

    fn fault_over(&mut self, kind: Kind) {
        tracing::info!(?kind, "fault is over");
        if kind == Kind::HalfOpen {
            self.listeners.retain(|_, listener| !listener.dead);
        }
    }

    /// Changes how fast simulated time runs; 0 is as fast as possible.
    pub(crate) fn set_speed(&mut self, speed: f64) {
        self.pace = if speed == 0.0 { Pace::Fast } else { Pace::Real(speed) };
        self.anchor = (self.centre.now_ms(), self.clock.monotonic());
    }

    /// Simulated seconds per second; 0 is as fast as possible.
    pub(crate) fn speed(&self) -> f64 {
        match self.pace {
            Pace::Real(speed) => speed,
            Pace::Fast => 0.0,
        }
    }

    pub(crate) fn centre(&self) -> &Centre {
        &self.centre
    }

    pub(crate) fn centre_mut(&mut self) -> &mut Centre {
        &mut self.centre
    }

    pub(crate) fn sessions(&self) -> usize {
        self.listeners.len()
    }

    pub(crate) fn faults(&self) -> &[(Kind, i64)] {
        self.mischief.active()
    }

    /// Simulated time runs.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// What sessions tell that they have written.
    pub(crate) fn room(&self) -> Arc<Notify> {
        self.room.clone()
    }

    /// The seed of the centre.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}

fn chunk_for(hearing: &Hearing, frames: &[Frame]) -> Vec<u8> {
    let mut chunk = Vec::with_capacity(frames.iter().map(|frame| frame.text.len()).sum());
    for frame in frames.iter().filter(|frame| hearing.hears(frame.class, &frame.text)) {
        chunk.extend_from_slice(&frame.text);
    }
    chunk
}

/// Does something to the driver and waits for what comes of it; none when the driver is gone.
pub(crate) async fn ask<T: Send + 'static>(
    inbox: &Inbox,
    work: impl FnOnce(&mut Driver) -> T + Send + 'static,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let work = Box::new(move |driver: &mut Driver| {
        let _ = reply.send(work(driver));
    });
    inbox.send(Order::Do(work)).await.ok()?;
    answer.await.ok()
}
