//! The runtime owns the loop of every adapter: connect, read, write to the journal, acknowledge, try again.
//!
//! Order of things for each batch: facts become envelopes → appended to `ingest` together with the adapter's state, one
//! transaction → acknowledged to the session → the next batch is asked for. So memory is bounded by one batch, and by
//! what the session holds.
//!
//! Several collectors may run one source ([`Environment::turns`]): one writes, the others stand by. Where two sessions at once are the
//! vendor's to give ([`crate::Adapter::paired`]), those that stand by are connected, too, and hold what they hear until it is written; when
//! the one that writes dies, another goes on with what it holds, and nothing is missing. `docs/adr/0026` says why.

use std::sync::Arc;
use std::time::Duration;

use journal::Journal;
use model::SourceId;
use service::{Clock, Drain, Seeds};

use crate::fault::Fault;
use crate::intake::Intake;
use crate::patient::Patient;
use crate::registry::Planned;
use crate::runner::{Runner, Stop};
use crate::turn;

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
    /// The most facts that are held while they cannot be written: while another collector writes, or the journal is away.
    pub held_max: usize,
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
            held_max: 200_000,
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
    /// It is this collector's turn to write, or no longer.
    Turn {
        /// It writes.
        writes: bool,
        /// It does not, because another collector took its place under the same name.
        namesake: bool,
    },
    /// So many facts are held, because another collector writes them.
    Held(usize),
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
    /// Where collectors of one source agree on who writes: the journal that `intake` leads to. `None`, and for a recording always: this
    /// one writes.
    pub turns: Option<Arc<dyn Journal>>,
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
    mut env: Environment,
    mut notice: impl FnMut(Notice) + Send,
) -> Result<Outcome, Error> {
    if !settings.recording {
        let (clock, drain) = (env.clock.clone(), env.drain.clone());
        env.intake = Arc::new(Patient { intake: env.intake, source: settings.source.clone(), clock, drain });
    }
    let group = format!("collector/{}", settings.source);
    let turns = env.turns.clone().filter(|_| !settings.recording);
    let Some(journal) = turns else {
        return tries(Runner::new(settings, env, group, None), planned, &mut notice).await;
    };
    let (turn, membership) = turn::of(journal, env.clock.clone(), &group, &settings.instance);
    let source_id = settings.source.clone();
    let runner = Runner::new(settings, env, group, Some(turn));
    tokio::select! {
        biased;
        outcome = tries(runner, planned, &mut notice) => outcome,
        error = membership.keep() => Err(Error::Journal { source_id, error }),
    }
}

/// Session after session.
async fn tries(
    mut runner: Runner,
    planned: &dyn Planned,
    notice: &mut (impl FnMut(Notice) + Send),
) -> Result<Outcome, Error> {
    let mut failures = 0u32;
    loop {
        let fault = match runner.attempt(planned, &mut failures, notice).await {
            Ok(()) => return Ok(runner.outcome),
            Err(Stop::Journal(error)) => {
                return Err(Error::Journal { source_id: runner.settings.source, error });
            }
            Err(Stop::Turn) => {
                runner.env.clock.sleep(runner.settings.backoff_base).await;
                continue;
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
