//! One process under supervision: it is started again when it ends by itself, later each time, as an init system would.

use crate::parts::Part;
use anyhow::{Context as _, Result, ensure};
use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The first wait before one that ended is started again; it doubles up to `AGAIN_MAX`.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(4);
/// Who ran so long was well: what ended it has nothing to do with what ended it before.
const WELL: Duration = Duration::from_secs(10);
/// How it ends when a person must mend its command line or its configuration: starting it again helps nobody.
const HOPELESS: [i32; 2] = [64, 78];

/// What is to happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// SIGKILL; the supervisor starts it again.
    Kill,
    /// SIGKILL, and it stays down until [`Order::Start`].
    Lose,
    /// SIGTERM; back when it ended cleanly. It stays down until [`Order::Start`].
    Stop,
    /// SIGSTOP: it stands still.
    Pause,
    /// SIGCONT.
    Resume,
    /// Starts it, if it is down.
    Start,
}

/// What it does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It runs.
    Runs,
    /// It stands still.
    Paused,
    /// It ended, and will be started again in a moment.
    Waits,
    /// It was asked to be down.
    Down,
    /// It ended, and a person must act.
    GivenUp,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runs => "runs",
            Self::Paused => "paused",
            Self::Waits => "waits to be started again",
            Self::Down => "down",
            Self::GivenUp => "given up: see its log",
        })
    }
}

/// How it is.
#[derive(Clone, Debug)]
pub struct State {
    /// What it does.
    pub doing: Doing,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// How often it was started after the first time.
    pub restarts: u64,
    /// How it ended, each time that nobody had asked for.
    pub falls: Vec<ExitStatus>,
}

/// A handle to it. It is killed when this is dropped.
#[derive(Debug)]
pub struct Instance {
    name: String,
    program: &'static str,
    orders: mpsc::Sender<(Order, oneshot::Sender<Result<()>>)>,
    state: watch::Receiver<State>,
    keeper: JoinHandle<()>,
}

impl Instance {
    /// Takes a running part into supervision.
    pub fn keep(program: &'static str, part: Part) -> Self {
        let name = part.name().to_owned();
        let state = State { doing: Doing::Runs, pid: part.pid(), restarts: 0, falls: Vec::new() };
        let (told, state) = watch::channel(state);
        let (orders, received) = mpsc::channel(1);
        let keeper = Keeper { part, told, again: AGAIN, since: Instant::now(), again_at: None };
        Self { name, program, orders, state, keeper: tokio::spawn(keeper.run(received)) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its program.
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// How it is now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Sees to an order; back when it is done.
    pub async fn order(&self, order: Order) -> Result<()> {
        let (reply, done) = oneshot::channel();
        let gone = || format!("nobody keeps {} any more", self.name);
        self.orders.send((order, reply)).await.ok().with_context(gone)?;
        done.await.with_context(gone)?.with_context(|| format!("{order:?} of {}", self.name))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// The supervisor of one process.
struct Keeper {
    part: Part,
    told: watch::Sender<State>,
    /// The wait before the next start.
    again: Duration,
    since: Instant,
    again_at: Option<Instant>,
}

impl Keeper {
    async fn run(mut self, mut orders: mpsc::Receiver<(Order, oneshot::Sender<Result<()>>)>) {
        loop {
            let alive = matches!(self.told.borrow().doing, Doing::Runs | Doing::Paused);
            let again_at = self.again_at;
            tokio::select! {
                order = orders.recv() => {
                    let Some((order, reply)) = order else { return };
                    // Who gave the order may have gone.
                    let _ = reply.send(self.obey(order).await);
                }
                ended = self.part.ended(), if alive => self.fell(ended.ok()),
                () = sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() => self.launch().await,
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<()> {
        let doing = self.told.borrow().doing;
        let alive = matches!(doing, Doing::Runs | Doing::Paused);
        match order {
            Order::Kill | Order::Lose => {
                if alive {
                    self.part.kill().await?;
                }
                self.again_at = (order == Order::Kill).then(|| Instant::now() + self.again);
                self.tell(if order == Order::Kill { Doing::Waits } else { Doing::Down });
            }
            Order::Stop => {
                if doing == Doing::Paused {
                    self.part.signal("CONT").await?;
                }
                self.again_at = None;
                let stopped = if alive { self.part.stop().await } else { Ok(()) };
                self.tell(Doing::Down);
                stopped?;
            }
            Order::Pause => {
                ensure!(doing == Doing::Runs, "it does not run: {doing}");
                self.part.signal("STOP").await?;
                self.tell(Doing::Paused);
            }
            Order::Resume => {
                ensure!(doing == Doing::Paused, "it is not paused: {doing}");
                self.part.signal("CONT").await?;
                self.tell(Doing::Runs);
            }
            Order::Start if alive => {}
            Order::Start => self.launch().await,
        }
        Ok(())
    }

    /// It ended by itself.
    fn fell(&mut self, status: Option<ExitStatus>) {
        if self.since.elapsed() > WELL {
            self.again = AGAIN;
        }
        let hopeless = status.and_then(|status| status.code()).is_some_and(|code| HOPELESS.contains(&code));
        self.again_at = (!hopeless).then(|| Instant::now() + self.again);
        self.again = (self.again * 2).min(AGAIN_MAX);
        self.told.send_modify(|state| state.falls.extend(status));
        self.tell(if hopeless { Doing::GivenUp } else { Doing::Waits });
    }

    async fn launch(&mut self) {
        self.again_at = None;
        if self.part.start_again().await.is_err() {
            self.again_at = Some(Instant::now() + AGAIN_MAX);
            return self.tell(Doing::Waits);
        }
        self.since = Instant::now();
        self.told.send_modify(|state| state.restarts += 1);
        self.tell(Doing::Runs);
    }

    fn tell(&self, doing: Doing) {
        let pid = self.part.pid();
        self.told.send_modify(|state| (state.doing, state.pid) = (doing, pid));
    }
}
