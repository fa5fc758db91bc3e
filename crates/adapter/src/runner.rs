//! One source at work: its sessions, one after the other, and what of them is written.

use std::time::Duration;

use bytes::Bytes;
use journal::Class;
use model::event::source;
use model::{Fact, Subject, Time};
use rand::Rng as _;

use crate::aside::Aside;
use crate::contract::{Batch, Context, Known};
use crate::fault::Fault;
use crate::intake::Handover;
use crate::outbox::{Content, Item, Outbox, Parcel};
use crate::pace::Pace;
use crate::reading::Reading;
use crate::registry::{Live, Planned};
use crate::runtime::{Environment, Notice, Outcome, Settings};
use crate::turn::Turn;

/// Why a session ended.
pub(crate) enum Stop {
    Journal(journal::Error),
    Fault(Fault),
    /// It is another collector's turn, and what this session hears cannot be held.
    Turn,
}

impl From<journal::Error> for Stop {
    fn from(e: journal::Error) -> Stop {
        Stop::Journal(e)
    }
}

impl From<Fault> for Stop {
    fn from(e: Fault) -> Stop {
        Stop::Fault(e)
    }
}

pub(crate) struct Runner {
    group: String,
    pub(crate) settings: Settings,
    pub(crate) env: Environment,
    pub(crate) outcome: Outcome,
    aside: Aside,
    /// `None`: it is always ours.
    turn: Option<Turn>,
    /// It is our turn, and where the one before us ended was read.
    writes: bool,
    outbox: Outbox,
    /// Up to where, by the vendor's clock, everything is written, whoever did.
    seen: Option<Time>,
    /// When something was last said of the link: what is said next comes after it, whatever the clocks of two hosts say.
    linked: Option<Time>,
}

/// A vendor's clock that is further ahead of ours is broken: the receiver sets such events aside.
const AHEAD_MS_MAX: i64 = 86_400_000;
const SEEN_KEY: &[u8] = b"seen";
const LINK_KEY: &[u8] = b"link";
const STATE_PREFIX: &str = "state/";
/// How often whoever stands by looks how far the other is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Runner {
    pub(crate) fn new(settings: Settings, env: Environment, group: String, turn: Option<Turn>) -> Runner {
        Runner {
            aside: Aside::new(settings.source.clone()),
            group,
            settings,
            env,
            outcome: Outcome::default(),
            writes: turn.is_none(),
            turn,
            outbox: Outbox::default(),
            seen: None,
            linked: None,
        }
    }

    /// One session, from connect to its end. `Ok` means: nothing more to do.
    pub(crate) async fn attempt(
        &mut self,
        planned: &dyn Planned,
        failures: &mut u32,
        notice: &mut (impl FnMut(Notice) + Send),
    ) -> Result<(), Stop> {
        let paired = planned.paired();
        if !paired && !self.wait_for_the_turn(notice).await? {
            return Ok(());
        }
        let known = self.known().await?;
        if self.turn.is_none() {
            self.seen = known.last_seen;
        }
        let context = Context {
            source: self.settings.source.clone(),
            known,
            clock: self.env.clock.clone(),
            seeds: self.env.seeds.clone(),
        };
        let connect = self.env.clock.timeout(self.settings.connect_timeout, planned.connect(context));
        let drain = self.env.drain.clone();
        let session = tokio::select! {
            biased;
            () = drain.started() => return self.leave(notice).await,
            session = connect => session.unwrap_or_else(|late| Err(Fault::Transient(format!("connect: {late}")))),
        };
        let mut session = match session {
            Ok(session) => session,
            Err(fault) => {
                // Another may have more luck.
                self.leave(notice).await?;
                return Err(fault.into());
            }
        };
        notice(Notice::Connected);
        if !self.settings.recording {
            self.outbox.link_up();
        }
        if let Some(turn) = &self.turn {
            turn.join();
        }
        let ended = self.read_on(session.as_mut(), paired, failures, notice).await;
        match &ended {
            Ok(()) => {
                if let Err(fault) = session.close().await {
                    tracing::debug!(source = %self.settings.source, %fault, "goodbye failed");
                }
            }
            Err(Stop::Fault(fault)) if !self.settings.recording && self.writes => {
                let down = source::Disconnected { reason: fault.to_string() };
                let down = self.link_parcel(vec![down.into()]);
                self.outbox.push(down, self.settings.held_max);
                self.flush(notice).await?;
            }
            Err(_) => {}
        }
        if !paired && self.turn.is_some() {
            // What could not be written the next session hears again.
            self.outbox.clear();
        }
        // Who hears nothing stands in nobody's way.
        self.leave(notice).await?;
        ended
    }

    /// For a session that can only be while it is our turn. `false`: we are asked to finish.
    async fn wait_for_the_turn(&mut self, notice: &mut (impl FnMut(Notice) + Send)) -> Result<bool, Stop> {
        let drain = self.env.drain.clone();
        while let Some(turn) = &mut self.turn {
            turn.join();
            if turn.is_ours() {
                self.follow_the_turn(false, notice).await?;
                if self.writes {
                    break;
                }
                continue;
            }
            tokio::select! {
                biased;
                () = drain.started() => {
                    self.leave(notice).await?;
                    return Ok(false);
                }
                () = turn.changed() => {}
            }
        }
        Ok(true)
    }

    /// Reads and writes, the next batch read while the last one is written, until the end or a drain.
    async fn read_on(
        &mut self,
        session: &mut dyn Live,
        paired: bool,
        failures: &mut u32,
        notice: &mut (impl FnMut(Notice) + Send),
    ) -> Result<(), Stop> {
        let mut heartbeat = self.env.clock.interval(self.settings.heartbeat_every);
        let mut look = self.env.clock.interval(LOOK_EVERY);
        let mut at = Reading { paired, ..Reading::default() };
        let mut pace = self.settings.speed.map(|speed| Pace::new(speed, self.env.clock.clone()));
        let drain = self.env.drain.clone();
        loop {
            // Who writes knows what there is to know.
            at.learned |= self.writes;
            if self.writes && self.flush(notice).await? && std::mem::take(&mut at.given) {
                session.acked().await?;
                *failures = 0;
            }
            if !self.writes && !paired {
                return Err(Stop::Turn);
            }
            let holding = pace.as_ref().is_some_and(|p| !p.is_empty());
            if at.over && !holding {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = drain.started() => return Ok(()),
                () = changed(&mut self.turn) => self.follow_the_turn(true, notice).await?,
                due = async { pace.as_mut().expect("held facts have a pace").due().await }, if holding => {
                    self.keep(due, &mut at);
                }
                batch = session.next(self.settings.batch_max), if !at.over && !holding => {
                    let mut batch = batch?;
                    at.heard(&mut batch, Time(self.env.clock.now_ms()));
                    if let Some(pace) = pace.as_mut() {
                        pace.hold(&mut batch);
                    }
                    self.keep(batch, &mut at);
                    if !self.writes {
                        *failures = 0;
                    }
                }
                () = heartbeat.tick(), if !self.settings.recording => {
                    if self.writes && std::mem::take(&mut at.alive) {
                        let every_ms = Some(self.settings.heartbeat_every.as_millis() as u64);
                        let beat = source::Heartbeat { round_trip_ms: at.round_trip_ms.take(), every_ms };
                        let facts = vec![self.link_fact(Time(self.env.clock.now_ms()), beat)];
                        self.keep(Batch { facts, seen_until: at.seen, ..Batch::default() }, &mut at);
                    }
                }
                () = look.tick(), if !self.writes => {
                    self.look(session, &mut at).await;
                    if self.outbox.is_empty() && std::mem::take(&mut at.given) {
                        session.acked().await?;
                    }
                    notice(Notice::Held(self.outbox.facts()));
                }
            }
        }
    }

    /// Begins to write where the one before us ended, or stops. `linked`: there is a session.
    async fn follow_the_turn(&mut self, linked: bool, notice: &mut (impl FnMut(Notice) + Send)) -> Result<(), Stop> {
        let Some(turn) = &self.turn else { return Ok(()) };
        let ours = turn.is_ours();
        if ours == self.writes {
            if turn.has_namesake() {
                notice(Notice::Turn { writes: false, namesake: true });
            }
            return Ok(());
        }
        if !ours {
            self.writes = false;
            notice(Notice::Turn { writes: false, namesake: turn.has_namesake() });
            return Ok(());
        }
        let read = async { Ok::<_, journal::Error>((turn.kept(SEEN_KEY).await?, turn.kept(LINK_KEY).await?)) };
        let (seen, last_word) = match read.await {
            Ok(kept) => kept,
            Err(error) => return self.lose(error, notice).await,
        };
        let now = Time(self.env.clock.now_ms());
        self.seen = time(seen.as_deref()).map(|seen| within(seen, now));
        self.linked = time(last_word.as_deref());
        if let Some(seen) = self.seen {
            self.outbox.release(seen);
        }
        self.writes = true;
        notice(Notice::Turn { writes: true, namesake: false });
        if linked && !matches!(self.outbox.front(), Some(Item::LinkUp(_))) {
            // The link that is written of from now on is ours, and it was there all the time.
            let up = self.link_parcel(vec![source::Connected::default().into()]);
            self.outbox.push_front(up);
        }
        Ok(())
    }

    /// Sees how far whoever writes has come: lets go of what is written, and lets the session learn from what is stored.
    async fn look(&mut self, session: &mut dyn Live, at: &mut Reading) {
        let source = &self.settings.source;
        if !at.learned {
            match self.known().await {
                Ok(known) => {
                    at.learned = !session.learn(&known);
                    if at.learned {
                        tracing::info!(%source, "ready to take over");
                    }
                }
                Err(_) => tracing::debug!(%source, "cannot see what the other one has stored"),
            }
        }
        let Some(turn) = self.turn.as_ref().filter(|_| !self.outbox.is_empty()) else { return };
        match turn.kept(SEEN_KEY).await {
            Ok(seen) => {
                if let Some(seen) = time(seen.as_deref()) {
                    self.outbox.release(within(seen, Time(self.env.clock.now_ms())));
                }
            }
            Err(error) => tracing::debug!(%source, %error, "cannot see how far the other one is"),
        }
    }

    /// The journal does not take it from us, now: another one may be writing.
    async fn lose(&mut self, error: journal::Error, notice: &mut (impl FnMut(Notice) + Send)) -> Result<(), Stop> {
        if error.class() != Class::Transient {
            return Err(error.into());
        }
        tracing::warn!(source = %self.settings.source, %error, "cannot write now; what is heard is held");
        self.leave(notice).await?;
        if let Some(turn) = &self.turn {
            turn.join_later();
        }
        Ok(())
    }

    async fn leave(&mut self, notice: &mut (impl FnMut(Notice) + Send)) -> Result<(), Stop> {
        if let Some(turn) = &mut self.turn {
            turn.leave().await;
            if std::mem::take(&mut self.writes) {
                notice(Notice::Turn { writes: false, namesake: false });
            }
        }
        Ok(())
    }

    /// What earlier sessions left.
    async fn known(&self) -> Result<Known, Stop> {
        let mut known = Known::default();
        for (key, value) in self.env.intake.state(&self.group).await? {
            if key.as_ref() == SEEN_KEY {
                known.last_seen = time(Some(&value)).map(|seen| within(seen, Time(self.env.clock.now_ms())));
            } else if let Some(name) = std::str::from_utf8(&key).ok().and_then(|k| k.strip_prefix(STATE_PREFIX)) {
                known.state.insert(name.to_owned(), value);
            }
        }
        Ok(known)
    }

    /// A fact about the link, told apart by collector instance.
    fn link_fact(&self, at: Time, event: impl Into<model::Event>) -> Fact {
        Fact::new(at, Subject::Source(self.settings.source.clone()), event).leg(self.settings.instance.clone())
    }

    /// What is said of the link when it comes or goes: after whatever was said of it before.
    fn link_parcel(&mut self, events: Vec<model::Event>) -> Parcel {
        let now = Time(self.env.clock.now_ms());
        let at = self.linked.map_or(now, |linked| now.max(linked + 1));
        self.linked = Some(at);
        let facts = events.into_iter().map(|event| self.link_fact(at, event)).collect();
        let state = vec![(Bytes::from_static(LINK_KEY), Some(Bytes::from(at.ms().to_string())))];
        self.parcel(Batch { facts, ..Batch::default() }, state)
    }

    /// `source.connected`, and the gap between what was written last and what this session has seen.
    fn link_up(&mut self, from: Option<Time>) -> Parcel {
        let mut events: Vec<model::Event> = vec![source::Connected::default().into()];
        let to = from.unwrap_or(Time(self.env.clock.now_ms()));
        if let Some(from) = self.seen.filter(|from| *from < to) {
            let reason = "the link was down or the collector was not running".to_owned();
            events.push(source::Gap { from, to, reason }.into());
        }
        self.link_parcel(events)
    }

    /// Takes a batch in, to be written as soon as it may be.
    fn keep(&mut self, batch: Batch, at: &mut Reading) {
        at.over |= batch.done;
        at.given = true;
        let vendor_spoke = !batch.facts.is_empty() || batch.seen_until.is_some() || !batch.state.is_empty();
        if batch.done {
            self.aside.report();
        }
        let is_something = vendor_spoke
            || !batch.verbatim.is_empty()
            || !batch.raw.is_empty()
            || !batch.malformed.is_empty()
            || batch.left_out > 0
            || batch.done
            || batch.progress.is_some();
        // A sign of life is no news where another one writes.
        let is_news = !batch.facts.is_empty() || !batch.state.is_empty() || !batch.raw.is_empty();
        if !is_something || (!self.writes && !is_news) {
            return self.outbox.saw(batch.seen_until);
        }
        let parcel = self.parcel(batch, Vec::new());
        let dropped = self.outbox.push(parcel, self.settings.held_max);
        if dropped > 0 {
            let source = &self.settings.source;
            tracing::warn!(%source, dropped, "too many facts wait to be written: the oldest are lost, and their time is told as a gap");
        }
    }

    /// A batch as it is written: facts, raw frames, state and how far was seen.
    fn parcel(&mut self, batch: Batch, mut state: Vec<(Bytes, Option<Bytes>)>) -> Parcel {
        let observed = Time(self.env.clock.now_ms());
        let source = self.settings.source.clone();
        let facts = batch.facts.len() + batch.verbatim.len();
        let malformed = batch.malformed.len() as u64 + batch.left_out;
        let mut raw = if self.settings.keep_raw { batch.raw } else { Vec::new() };
        raw.extend(self.aside.take(self.env.clock.monotonic(), batch.malformed, batch.left_out));
        state.extend(batch.state.into_iter().map(|(k, v)| (Bytes::from(format!("{STATE_PREFIX}{k}")), v)));
        let until = batch.seen_until.map(|seen| within(seen, observed));
        if let Some(seen) = until.filter(|_| !self.settings.recording) {
            state.push((Bytes::from_static(SEEN_KEY), Some(Bytes::from(seen.ms().to_string()))));
        }
        let envelopes = batch.facts.into_iter().map(|fact| fact.into_envelope(&source, observed)).collect();
        let handover = Handover { group: self.group.clone(), source, envelopes, verbatim: batch.verbatim, raw, state };
        let content = match &self.turn {
            None => Content::Whole(handover),
            Some(_) => Content::Cut(handover.cut().into()),
        };
        let bytes = content.bytes();
        Parcel { content, until, facts, malformed, progress: batch.progress, bytes }
    }

    /// Writes what waits. `false`: it is not ours to write any more.
    async fn flush(&mut self, notice: &mut (impl FnMut(Notice) + Send)) -> Result<bool, Stop> {
        loop {
            match self.outbox.front() {
                None => return Ok(true),
                Some(Item::LinkUp(from)) => {
                    let from = *from;
                    self.outbox.pop();
                    let up = self.link_up(from);
                    self.outbox.push_front(up);
                }
                Some(Item::Parcel(_)) => {
                    if !self.write_first(notice).await? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Writes the first parcel. `false`: it is not ours to write any more, and the parcel stays, as far as it is not written.
    async fn write_first(&mut self, notice: &mut (impl FnMut(Notice) + Send)) -> Result<bool, Stop> {
        if let (Some(Item::Parcel(Parcel { content: Content::Cut(chunks), .. })), Some(turn)) =
            (self.outbox.front(), &self.turn)
        {
            while let Some(chunk) = chunks.front() {
                if let Err(error) = turn.write(chunk).await {
                    self.lose(error, notice).await?;
                    return Ok(false);
                }
                chunks.pop_front();
            }
        }
        let Some(Item::Parcel(parcel)) = self.outbox.pop() else { return Ok(true) };
        if let Content::Whole(handover) = parcel.content
            && !handover.is_empty()
        {
            self.env.intake.hand_over(handover).await?;
        }
        self.seen = self.seen.max(parcel.until);
        self.outcome.facts += parcel.facts as u64;
        self.outcome.malformed += parcel.malformed;
        let malformed = usize::try_from(parcel.malformed).unwrap_or(usize::MAX);
        notice(Notice::Stored { facts: parcel.facts, malformed, progress: parcel.progress });
        Ok(true)
    }

    /// Exponential with jitter; a refusal waits long at once.
    pub(crate) fn backoff(&self, failures: u32, fault: &Fault) -> Duration {
        let max = self.settings.backoff_max;
        let ceiling = match fault {
            Fault::Refused(_) => self.settings.backoff_refused,
            _ => max.min(self.settings.backoff_base.saturating_mul(1 << failures.min(16))),
        };
        let mut stream = self.env.seeds.stream(&format!("backoff/{}/{failures}", self.settings.source));
        ceiling.mul_f64(stream.random_range(0.5..=1.0))
    }
}

/// Waits until it may be another's turn, or ours; for ever where it always is ours.
async fn changed(turn: &mut Option<Turn>) {
    match turn {
        Some(turn) => turn.changed().await,
        None => std::future::pending().await,
    }
}

/// A time as it is kept.
fn time(text: Option<&[u8]>) -> Option<Time> {
    std::str::from_utf8(text?).ok()?.parse().ok().map(Time)
}

/// How far a vendor was seen: one event with a stamp of the year 9999 must not make everything before it look seen.
fn within(seen: Time, now: Time) -> Time {
    if seen.ms().saturating_sub(now.ms()) > AHEAD_MS_MAX { now } else { seen }
}
