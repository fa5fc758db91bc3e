//! The runtime owns the loop of every adapter: connect, read, write to the journal, acknowledge, try again.
//!
//! Order of things for each batch: facts become envelopes → appended to `ingest` together with the adapter's state, one
//! transaction → acknowledged to the session → the next batch is asked for. So memory is bounded by one batch, and by
//! what the session holds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::event::source;
use model::{Fact, SourceId, Subject, Time};
use rand::Rng as _;
use service::{Clock, Drain, Seeds};

use crate::aside::Aside;
use crate::contract::{Batch, Context, Known};
use crate::fault::Fault;
use crate::intake::{Handover, Intake};
use crate::pace::Pace;
use crate::registry::{Live, Planned};

/// How a source is run. Every bound of the loop is here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The source's name.
    pub source: SourceId,
    /// The collector instance: tells the link events of two collectors of one source apart.
    pub instance: String,
    /// Whether it is a recording.
    pub recording: bool,
    /// Of a recording: so many times real time; `None`: as fast as possible.
    pub speed: Option<f64>,
    /// Facts asked for at once.
    pub batch_max: usize,
    /// How long a connect may take, log-in included.
    pub connect_timeout: Duration,
    /// How often `source.heartbeat` is written while the vendor shows life.
    pub heartbeat_every: Duration,
    /// The first wait after a broken link; doubled up to `backoff_max`, with full jitter.
    pub backoff_base: Duration,
    /// The longest wait between two attempts: every second without the vendor is a second of blindness.
    pub backoff_max: Duration,
    /// The wait after a refusal, which only a person can end.
    pub backoff_refused: Duration,
    /// Keep vendor frames in the `raw` stream.
    pub keep_raw: bool,
}

impl Settings {
    /// The defaults for a live source.
    pub fn live(source: SourceId, instance: impl Into<String>) -> Settings {
        Settings {
            source,
            instance: instance.into(),
            recording: false,
            speed: None,
            batch_max: 1_000,
            connect_timeout: Duration::from_secs(10),
            heartbeat_every: Duration::from_secs(10),
            backoff_base: Duration::from_millis(250),
            backoff_max: Duration::from_secs(3),
            backoff_refused: Duration::from_secs(30),
            keep_raw: false,
        }
    }

    /// The defaults for a recording.
    pub fn recording(source: SourceId, speed: Option<f64>) -> Settings {
        Settings { recording: true, speed, batch_max: 4_000, ..Settings::live(source, "import") }
    }
}

/// What the owner is told while a source runs: for health, logs and progress bars.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The session is up.
    Connected,
    /// The link broke; the next attempt comes after this wait.
    Broken {
        /// Why.
        reason: String,
        /// An operator must act ([`Fault::Refused`]).
        refused: bool,
        /// The wait before the next attempt.
        retry_in: Duration,
    },
    /// Facts are on disk.
    Stored {
        /// How many in this batch.
        facts: usize,
        /// How many messages were left out as malformed.
        malformed: usize,
        /// Of a recording: bytes read and bytes in all.
        progress: Option<(u64, u64)>,
    },
}

/// Why a source stopped for good.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal does not take what we saw; nothing was acknowledged.
    #[error("source {source_id}: journal: {error}")]
    Journal {
        /// The source.
        source_id: SourceId,
        /// What the journal said.
        error: journal::Error,
    },
    /// A defect of the adapter, or a recording that cannot be read.
    #[error("source {source_id}: {fault}")]
    Fault {
        /// The source.
        source_id: SourceId,
        /// What happened.
        fault: Fault,
    },
}

/// What a finished run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Facts written, those about the link itself included.
    pub facts: u64,
    /// Messages left out as malformed.
    pub malformed: u64,
}

/// Where a source runs.
#[derive(Clone)]
pub struct Environment {
    /// Where facts go.
    pub intake: Arc<dyn Intake>,
    /// The clock.
    pub clock: Clock,
    /// Seeded randomness: jitter.
    pub seeds: Seeds,
    /// Asks the loop to finish.
    pub drain: Drain,
}

/// Runs a source until it is drained, its recording is over, or it fails for good.
pub async fn run(
    planned: &dyn Planned,
    settings: Settings,
    env: Environment,
    mut notice: impl FnMut(Notice) + Send,
) -> Result<Outcome, Error> {
    let mut runner = Runner {
        group: format!("collector/{}", settings.source),
        aside: Aside::new(settings.source.clone()),
        settings,
        env,
        outcome: Outcome::default(),
    };
    let mut failures = 0u32;
    loop {
        let fault = match runner.attempt(planned, &mut failures, &mut notice).await {
            Ok(()) => return Ok(runner.outcome),
            Err(Stop::Journal(error)) => {
                return Err(Error::Journal { source_id: runner.settings.source, error });
            }
            Err(Stop::Fault(fault)) => fault,
        };
        if runner.settings.recording || matches!(fault, Fault::Bug(_)) {
            return Err(Error::Fault { source_id: runner.settings.source, fault });
        }
        let retry_in = runner.backoff(failures, &fault);
        failures = failures.saturating_add(1);
        notice(Notice::Broken { reason: fault.to_string(), refused: matches!(fault, Fault::Refused(_)), retry_in });
        tokio::select! {
            biased;
            () = runner.env.drain.started() => return Ok(runner.outcome),
            () = runner.env.clock.sleep(retry_in) => {}
        }
    }
}

enum Stop {
    Journal(journal::Error),
    Fault(Fault),
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

struct Runner {
    group: String,
    settings: Settings,
    env: Environment,
    outcome: Outcome,
    aside: Aside,
}

/// A vendor's clock that is further ahead of ours is broken: the receiver sets such events aside.
const AHEAD_MS_MAX: i64 = 86_400_000;
const SEEN_KEY: &[u8] = b"seen";
const STATE_PREFIX: &str = "state/";

impl Runner {
    /// One session, from connect to its end. `Ok` means: nothing more to do.
    async fn attempt(
        &mut self,
        planned: &dyn Planned,
        failures: &mut u32,
        notice: &mut (impl FnMut(Notice) + Send),
    ) -> Result<(), Stop> {
        let known = self.known().await?;
        let context = Context {
            source: self.settings.source.clone(),
            known: known.clone(),
            clock: self.env.clock.clone(),
            seeds: self.env.seeds.clone(),
        };
        let connect = self.env.clock.timeout(self.settings.connect_timeout, planned.connect(context));
        let drain = self.env.drain.clone();
        let session = tokio::select! {
            biased;
            () = drain.started() => return Ok(()),
            session = connect => session,
        };
        let mut session = session.unwrap_or_else(|late| Err(Fault::Transient(format!("connect: {late}"))))?;
        notice(Notice::Connected);
        if !self.settings.recording {
            self.write(self.link_up(&known)).await?;
        }
        let ended = self.read_on(session.as_mut(), failures, notice).await;
        match ended {
            Ok(()) => {
                if let Err(fault) = session.close().await {
                    tracing::debug!(source = %self.settings.source, %fault, "goodbye failed");
                }
                Ok(())
            }
            Err(Stop::Fault(fault)) => {
                if !self.settings.recording {
                    let down = source::Disconnected { reason: fault.to_string() };
                    self.write(self.own(vec![self.link_fact(down)])).await?;
                }
                Err(Stop::Fault(fault))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Reads and writes, the next batch read while the last one is written, until the end or a drain.
    async fn read_on(
        &mut self,
        session: &mut dyn Live,
        failures: &mut u32,
        notice: &mut (impl FnMut(Notice) + Send),
    ) -> Result<(), Stop> {
        let mut heartbeat = self.env.clock.interval(self.settings.heartbeat_every);
        let mut alive: Option<Time> = None;
        let mut round_trip = None;
        let mut pace = self.settings.speed.map(|speed| Pace::new(speed, self.env.clock.clone()));
        let mut over = false;
        let mut pending: Option<Batch> = None;
        loop {
            if let Some(batch) = pending.take() {
                let facts = batch.facts.len() + batch.verbatim.len();
                let malformed = batch.malformed.len() + usize::try_from(batch.left_out).unwrap_or(usize::MAX);
                let progress = batch.progress;
                over |= batch.done;
                self.write(batch).await?;
                session.acked().await?;
                *failures = 0;
                notice(Notice::Stored { facts, malformed, progress });
            }
            let holding = pace.as_ref().is_some_and(|p| !p.is_empty());
            if over && !holding {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.env.drain.started() => return Ok(()),
                due = async { pace.as_mut().expect("held facts have a pace").due().await }, if holding => {
                    pending = Some(due);
                }
                batch = session.next(self.settings.batch_max), if !over && !holding => {
                    let mut batch = batch?;
                    let now = Time(self.env.clock.now_ms());
                    alive = Some(batch.seen_until.unwrap_or(now));
                    if !batch.facts.is_empty() {
                        batch.seen_until = alive;
                    }
                    round_trip = batch.round_trip_ms.or(round_trip);
                    if let Some(pace) = pace.as_mut() {
                        pace.hold(&mut batch);
                    }
                    pending = Some(batch);
                }
                () = heartbeat.tick(), if !self.settings.recording => {
                    if let Some(seen) = alive.take() {
                        let every = self.settings.heartbeat_every.as_millis() as u64;
                        let beat = source::Heartbeat { round_trip_ms: round_trip.take(), every_ms: Some(every) };
                        let own = self.own(vec![self.link_fact(beat)]);
                        pending = Some(Batch { seen_until: Some(seen), ..own });
                    }
                }
            }
        }
    }

    /// What earlier sessions left.
    async fn known(&self) -> Result<Known, Stop> {
        let mut known = Known::default();
        for (key, value) in self.env.intake.state(&self.group).await? {
            if key.as_ref() == SEEN_KEY {
                let seen = std::str::from_utf8(&value).ok().and_then(|t| t.parse().ok()).map(Time);
                known.last_seen = seen.map(|seen| within(seen, Time(self.env.clock.now_ms())));
            } else if let Some(name) = std::str::from_utf8(&key).ok().and_then(|k| k.strip_prefix(STATE_PREFIX)) {
                known.state.insert(name.to_owned(), value);
            }
        }
        Ok(known)
    }

    /// `source.connected`, and the gap since the vendor was last seen.
    fn link_up(&self, known: &Known) -> Batch {
        let mut facts = vec![self.link_fact(source::Connected::default())];
        let now = Time(self.env.clock.now_ms());
        if let Some(from) = known.last_seen.filter(|from| *from < now) {
            let reason = "the link was down or the collector was not running".to_owned();
            facts.push(self.link_fact(source::Gap { from, to: now, reason }));
        }
        self.own(facts)
    }

    /// A batch of the runtime's own: it says nothing about how far the vendor was seen.
    fn own(&self, facts: Vec<Fact>) -> Batch {
        Batch { facts, ..Batch::default() }
    }

    /// A fact about the link, told apart by collector instance.
    fn link_fact(&self, event: impl Into<model::Event>) -> Fact {
        let now = Time(self.env.clock.now_ms());
        Fact::new(now, Subject::Source(self.settings.source.clone()), event).leg(self.settings.instance.clone())
    }

    /// Makes a batch durable: facts, raw frames, state and how far was seen.
    async fn write(&mut self, batch: Batch) -> Result<(), Stop> {
        let observed = Time(self.env.clock.now_ms());
        let source = self.settings.source.clone();
        self.outcome.facts += (batch.facts.len() + batch.verbatim.len()) as u64;
        self.outcome.malformed += batch.malformed.len() as u64 + batch.left_out;
        let vendor_spoke = !batch.facts.is_empty() || batch.seen_until.is_some() || !batch.state.is_empty();
        let mut raw = if self.settings.keep_raw { batch.raw } else { Vec::new() };
        raw.extend(self.aside.take(self.env.clock.monotonic(), batch.malformed, batch.left_out));
        if batch.done {
            self.aside.report();
        }
        if raw.is_empty() && batch.verbatim.is_empty() && !vendor_spoke {
            return Ok(());
        }
        let mut state: Vec<(Bytes, Option<Bytes>)> =
            batch.state.into_iter().map(|(k, v)| (Bytes::from(format!("{STATE_PREFIX}{k}")), v)).collect();
        if let Some(seen) = batch.seen_until.filter(|_| !self.settings.recording) {
            let seen = within(seen, observed).ms().to_string();
            state.push((Bytes::from_static(SEEN_KEY), Some(Bytes::from(seen))));
        }
        let envelopes = batch.facts.into_iter().map(|fact| fact.into_envelope(&source, observed)).collect();
        let group = self.group.clone();
        let handover = Handover { group, source, envelopes, verbatim: batch.verbatim, raw, state };
        self.env.intake.hand_over(handover).await?;
        Ok(())
    }

    /// Exponential with jitter; a refusal waits long at once.
    fn backoff(&self, failures: u32, fault: &Fault) -> Duration {
        let max = self.settings.backoff_max;
        let ceiling = match fault {
            Fault::Refused(_) => self.settings.backoff_refused,
            _ => max.min(self.settings.backoff_base.saturating_mul(1 << failures.min(16))),
        };
        let mut stream = self.env.seeds.stream(&format!("backoff/{}/{failures}", self.settings.source));
        ceiling.mul_f64(stream.random_range(0.5..=1.0))
    }
}

/// How far a vendor was seen: one event with a stamp of the year 9999 must not make everything before it look seen.
fn within(seen: Time, now: Time) -> Time {
    if seen.ms().saturating_sub(now.ms()) > AHEAD_MS_MAX { now } else { seen }
}
