//! A live session: login, filter, backfill, snapshot, then events for as long as the PBX answers pings.

use std::sync::Arc;
use std::time::Duration;

use adapter::{Adapter, Batch, Context, Fault, Known, Session};
use ami::link::Link;
use async_trait::async_trait;
use bytes::Bytes;
use model::{SourceId, Time};
use service::Clock;
use service::config::Problems;

use crate::action::{Action, filters};
use crate::backfill;
use crate::config::{Config, Plan};
use crate::frame::{Frame, Item};
use crate::order::Order;
use crate::reconcile::Gone;
use crate::snapshot::{Snapshot, Step};
use crate::translate::Translator;

/// Asterisk 16 to 22, watched by its manager interface.
#[derive(Debug)]
pub struct Asterisk;

/// An event that is stamped so much later than the PBX's own clock says has a broken stamp. One of them taken at its word
/// would end after-call work, decide exits and move "seen until" years ahead.
const AHEAD_MS_MAX: i64 = 86_400_000;
/// Vendor bytes kept for one batch at most, beyond the read that filled it.
const RAW_CHUNKS_MAX: usize = 256;

/// One connection to one PBX.
pub struct Live {
    link: Link,
    translator: Translator,
    clock: Clock,
    plan: Arc<Plan>,
    source: SourceId,
    last_seen: Option<Time>,
    snapshot: Option<Snapshot>,
    order: Order,
    /// What the snapshot missed, until the pong of this ping.
    gone: Option<(String, Gone)>,
    ping: Option<(String, Duration)>,
    next_ping: Duration,
    /// The PBX's clock when we last heard it, and ours then: to know when something is due there.
    heard: (Time, Duration),
    heard_us: i64,
    /// The PBX stamps its events.
    stamped: bool,
    round_trip_ms: Option<u64>,
    alive: bool,
    raw: Vec<Bytes>,
    /// Why the session is over, to be told after the last facts.
    over: Option<Fault>,
}

#[async_trait]
impl Adapter for Asterisk {
    const KIND: &'static str = "asterisk";
    type Config = Config;
    type Plan = Arc<Plan>;
    type Session = Live;

    fn plan(config: Config) -> Result<Arc<Plan>, Problems> {
        Ok(Arc::new(Plan::of(config)))
    }

    /// Every manager session hears all events, stamped by the PBX.
    fn paired(_plan: &Arc<Plan>) -> bool {
        true
    }

    async fn connect(plan: &Arc<Plan>, context: Context) -> Result<Live, Fault> {
        let config = &plan.config;
        let mut link = Link::open(&config.host, config.port).await.map_err(fault)?;
        let banner = link.banner().await.map_err(fault)?;
        let secret = config.secret.read().map_err(|e| Fault::Refused(e.to_string()))?;
        link.login(config.login, &config.username, &secret).await.map_err(fault)?;
        for filter in filters() {
            let answer = link.ask(&filter).await.map_err(fault)?;
            if answer.response() != Some("Success") {
                tracing::warn!(
                    message = answer.get("Message"),
                    "the PBX takes no event filter: more comes than is read"
                );
                break;
            }
        }
        let settings = link.ask(&Action::new("CoreSettings")).await.map_err(fault)?;
        tracing::info!(%banner, version = settings.get("AsteriskVersion"), system = settings.get("SystemName"), "logged in");
        let mut translator = Translator::new(Arc::clone(plan), &context.known.state);
        if let Some(seen) = context.known.last_seen {
            translator.blind_since(seen);
        }
        fill_gap(&mut translator, plan, &context).await;
        link.ask(&Action::new("Events").with("EventMask", "on")).await.map_err(fault)?;
        let pong = link.ask(&Action::new("Ping")).await.map_err(fault)?;
        let mut live = Live::new(link, translator, Arc::clone(plan), context);
        if let Some(us) = pong.timestamp_us() {
            live.hear(us);
            live.translator.advance(us);
        }
        live.ask_snapshot()?;
        Ok(live)
    }
}

/// What the link says, as the runtime of adapters wants to hear it.
fn fault(fault: ami::Fault) -> Fault {
    match fault {
        ami::Fault::Transient(why) => Fault::Transient(why),
        ami::Fault::Refused(why) => Fault::Refused(why),
        ami::Fault::Malformed(why) => Fault::Malformed(why),
        ami::Fault::Bug(why) => Fault::Bug(why),
    }
}

/// Reads what the PBX logged while nobody watched. A log that cannot be read costs the backfill, never the session.
async fn fill_gap(translator: &mut Translator, plan: &Plan, context: &Context) {
    let (Some(seen), backfill) = (context.known.last_seen, &plan.config.backfill) else { return };
    if backfill.queue_log.as_os_str().is_empty() {
        return;
    }
    match backfill::read(&backfill.queue_log, backfill.bytes_max.get(), seen).await {
        Ok((lines, bad)) => {
            tracing::info!(lines = lines.len(), bad, from = %seen, "filling the gap from queue_log");
            translator.backfill(&lines, seen);
        }
        Err(error) => {
            tracing::warn!(%error, path = %backfill.queue_log.display(), "cannot read queue_log: gap not filled")
        }
    }
}

impl Live {
    fn new(link: Link, translator: Translator, plan: Arc<Plan>, context: Context) -> Live {
        let now = context.clock.monotonic();
        Live {
            link,
            translator,
            source: context.source,
            last_seen: context.known.last_seen,
            snapshot: None,
            order: Order::within(plan.config.reorder_within.signed() * 1000),
            gone: None,
            ping: None,
            next_ping: now,
            heard: (Time(context.clock.now_ms()), now),
            heard_us: context.clock.now_ms() * 1000,
            stamped: true,
            round_trip_ms: None,
            alive: false,
            raw: Vec::new(),
            over: None,
            clock: context.clock,
            plan,
        }
    }

    fn ask_snapshot(&mut self) -> Result<(), Fault> {
        let link = &mut self.link;
        let (snapshot, actions) = Snapshot::ask(|| link.next_id());
        for (id, action) in actions {
            self.link.send(&id, &action).map_err(fault)?;
        }
        self.snapshot = Some(snapshot);
        Ok(())
    }

    fn handle(&mut self, item: Item) -> Result<(), Fault> {
        match item {
            Item::Frame(frame) => self.frame(frame),
            Item::Malformed(bad) => {
                self.translator.refuse_bytes(bad.sample, bad.reason);
                Ok(())
            }
            Item::Banner(_) => Err(Fault::Malformed("a second greeting".into())),
        }
    }

    fn frame(&mut self, frame: Frame) -> Result<(), Fault> {
        if frame.response().is_some() && self.ping.as_ref().is_some_and(|(id, _)| frame.get("ActionID") == Some(id)) {
            return self.pong(&frame);
        }
        match self.snapshot.as_mut().map_or(Step::Foreign, |snapshot| snapshot.take(&frame)) {
            Step::More => return Ok(()),
            Step::Complete => return self.snapshot_complete(),
            Step::Foreign => {}
        }
        match frame.event() {
            Some("Shutdown") => return Err(Fault::Transient("the PBX shuts down".into())),
            Some(_) => {}
            None => return Ok(()),
        }
        match frame.timestamp_us() {
            Some(us) if us.div_euclid(1000) - self.vendor_now().ms() > AHEAD_MS_MAX => {
                self.translator.refuse(&frame, "its time is more than a day ahead of the PBX's clock");
                return Ok(());
            }
            Some(us) => self.hear(us),
            // Without `timestampevents` our own clock has to do.
            None => self.stamped = frame.event() == Some("FullyBooted") && self.stamped,
        }
        if let Some(frame) = self.order.push(frame) {
            self.translator.event(&frame, self.clock.now_ms() * 1000);
        }
        self.release(Order::ready);
        Ok(())
    }

    /// Hands on the events that waited for earlier ones.
    fn release(&mut self, next: impl Fn(&mut Order) -> Option<Frame>) {
        while let Some(frame) = next(&mut self.order) {
            self.translator.event(&frame, 0);
        }
    }

    fn hear(&mut self, us: i64) {
        self.stamped = true;
        self.heard_us = us;
        self.heard = (Time(us.div_euclid(1000)), self.clock.monotonic());
    }

    fn pong(&mut self, frame: &Frame) -> Result<(), Fault> {
        let Some((id, sent)) = self.ping.take() else { return Ok(()) };
        let took = self.clock.monotonic().saturating_sub(sent);
        self.round_trip_ms = u64::try_from(took.as_millis()).ok();
        self.alive = true;
        let now_us = match frame.timestamp_us() {
            Some(us) if self.stamped => {
                self.hear(us);
                us
            }
            _ => self.clock.now_ms() * 1000,
        };
        let barrier = self.gone.as_ref().is_some_and(|(barrier, _)| *barrier == id);
        if barrier {
            self.release(Order::any);
        }
        self.order.hear(now_us);
        self.release(Order::ready);
        // What waits may still be earlier than now.
        self.translator.advance(now_us - if barrier { 0 } else { self.order.within_us() });
        self.translator.trunk_usage(&self.source, now_us);
        if barrier && let Some((_, gone)) = self.gone.take() {
            let seen = self.last_seen.map_or(0, |seen| seen.ms() * 1000);
            self.translator.close_gone(&gone, &self.source, seen, now_us);
        }
        Ok(())
    }

    /// The lists are whole: they are applied, and a ping behind them says when events from before have all come.
    fn snapshot_complete(&mut self) -> Result<(), Fault> {
        let Some(snapshot) = self.snapshot.take() else { return Ok(()) };
        let now_us = if self.stamped { self.heard_us } else { self.clock.now_ms() * 1000 };
        self.release(Order::any);
        let gone = self.translator.apply(&snapshot, now_us);
        self.ping = None; // an older pong would not do
        let id = self.send_ping()?;
        self.gone = Some((id, gone));
        Ok(())
    }

    /// The PBX's clock now, by ours.
    fn vendor_now(&self) -> Time {
        let since = self.clock.monotonic().saturating_sub(self.heard.1);
        self.heard.0 + i64::try_from(since.as_millis()).unwrap_or(0)
    }

    fn send_ping(&mut self) -> Result<String, Fault> {
        let id = self.link.next_id();
        self.link.send(&id, &Action::new("Ping")).map_err(fault)?;
        let now = self.clock.monotonic();
        self.ping = Some((id.clone(), now));
        self.next_ping = now + self.plan.config.ping_every.duration();
        Ok(id)
    }

    /// How long until something must be done without the PBX.
    fn idle(&self) -> Duration {
        let now = self.clock.monotonic();
        if let Some((_, sent)) = &self.ping {
            return (*sent + self.plan.config.ping_timeout.duration()).saturating_sub(now);
        }
        let held = self.order.due_us().map(|us| Time(us.div_euclid(1000) + 1));
        let next = self.translator.next_due().map(|due| due + self.order.within_us() / 1000);
        let due = [next, held].into_iter().flatten().min().map(|due| (due - self.vendor_now()).max(0));
        let due = due.and_then(|ms| u64::try_from(ms).ok()).map_or(Duration::MAX, Duration::from_millis);
        self.next_ping.saturating_sub(now).min(due)
    }

    /// Time has passed: the link is probed, or given up. What is due at the PBX happens when its pong tells the time there.
    fn tick(&mut self) -> Result<(), Fault> {
        if !self.idle().is_zero() {
            return Ok(());
        }
        if self.ping.is_some() {
            let limit = self.plan.config.ping_timeout;
            return Err(Fault::Transient(format!("no answer to Ping within {limit}: the link is half open")));
        }
        self.send_ping().map(drop)
    }

    /// Works off what was read, or else moves bytes and time on. Cancel-safe: what was read stays in the link.
    async fn step(&mut self, max: usize) -> Result<(), Fault> {
        while self.translator.ready() < max.max(1)
            && let Some(item) = self.link.take()
        {
            self.handle(item)?;
        }
        if self.translator.ready() > 0 || self.alive {
            return Ok(());
        }
        let idle = self.idle();
        tokio::select! {
            biased;
            read = self.link.turn() => {
                if let Some(bytes) = read.map_err(fault)?
                    && self.raw.len() < RAW_CHUNKS_MAX
                {
                    self.raw.push(bytes);
                }
            }
            () = self.clock.sleep(idle) => {}
        }
        self.tick()
    }

    fn batch(&mut self, max: usize) -> Option<Batch> {
        let malformed = self.translator.take_malformed();
        if self.translator.ready() == 0 && malformed.is_empty() && !self.alive {
            return None;
        }
        self.alive = false;
        let facts = self.translator.take_some(max);
        // The state is that of the last fact: it goes with it, and so does how far we have seen.
        let whole = self.translator.ready() == 0;
        let now = self.translator.now();
        Some(Batch {
            facts,
            state: if whole { self.translator.changes() } else { Vec::new() },
            raw: std::mem::take(&mut self.raw),
            seen_until: (whole && now.ms() > 0).then_some(now),
            malformed,
            left_out: self.translator.take_left_out(),
            round_trip_ms: self.round_trip_ms.take(),
            ..Batch::default()
        })
    }
}

#[async_trait]
impl Session for Live {
    async fn next(&mut self, max: usize) -> Result<Batch, Fault> {
        loop {
            if let Some(batch) = self.batch(max.max(1)) {
                return Ok(batch);
            }
            if let Some(fault) = self.over.take() {
                return Err(fault);
            }
            if let Err(fault) = self.step(max).await {
                self.release(Order::any);
                self.over = Some(fault);
            }
        }
    }

    fn learn(&mut self, known: &Known) -> bool {
        // Before the snapshot is applied, and what is gone is closed, there is nothing to compare.
        let settled = self.snapshot.is_none() && self.gone.is_none();
        match known.last_seen.filter(|_| settled) {
            Some(seen) => self.translator.learn(&known.state, seen),
            None => true,
        }
    }

    async fn close(self) -> Result<(), Fault> {
        self.link.close(&self.clock).await;
        Ok(())
    }
}
