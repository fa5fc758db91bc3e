//! Owned, named, counted tasks: nothing runs that somebody does not answer for.
//!
//! Invariant: when [`Tasks::shutdown`] returns, no task of the set is running (blocking work that ignores the drain is named).
//! Invariant: a panic or an error of a task is a fault that its owner sees; it is never only a log line.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::{Clock, Drain, Error, simulation};

/// Faults kept for the report of a shutdown; more are only counted.
const FAULTS_KEPT: usize = 64;
/// How long aborted tasks may take to reach an await point.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// A set of tasks with one owner. Clones share the set; the set is asked to stop through its [`Drain`].
#[derive(Clone)]
pub struct Tasks(Arc<Set>);

struct Set {
    name: String,
    limit: usize,
    clock: Clock,
    drain: Drain,
    state: Mutex<State>,
    // Counts ends of tasks, so that waiters look again.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    next: u64,
    live: BTreeMap<u64, Live>,
    faults: Vec<Fault>,
    faults_total: u64,
}

struct Live {
    name: String,
    abort: Option<Abort>,
}

/// Stops a task at its next await point.
#[derive(Debug, Clone)]
enum Abort {
    Tokio(AbortHandle),
    Simulated(simulation::Handle),
}

impl Abort {
    fn abort(&self) {
        match self {
            Abort::Tokio(handle) => handle.abort(),
            Abort::Simulated(handle) => handle.abort(),
        }
    }
}

/// How a task failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task {set}/{task} {what}: {message}")]
pub struct Fault {
    /// The set's name.
    pub set: String,
    /// The task's name.
    pub task: String,
    /// `panicked` or `failed`.
    pub what: &'static str,
    /// The panic's or the error's message, causes included.
    pub message: String,
}

/// The set holds as many tasks as it may: refuse the work, do not queue it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("task set {set} is full: {limit} tasks run already, so {task} was not started")]
pub struct Full {
    /// The set's name.
    pub set: String,
    /// The task refused.
    pub task: String,
    /// How many may run.
    pub limit: usize,
}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        Error::bug(full.to_string())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::bug(fault.to_string())
    }
}

/// What a task may end in: nothing, or a result whose error becomes a [`Fault`].
pub trait Outcome: Send + 'static {
    /// The message of the fault, if it is one.
    fn fault(self) -> Option<String>;
}

impl Outcome for () {
    fn fault(self) -> Option<String> {
        None
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static> Outcome for Result<(), E> {
    fn fault(self) -> Option<String> {
        let error: Box<dyn std::error::Error + Send + Sync> = self.err()?.into();
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Some(message)
    }
}

/// One running task. Dropping the handle leaves the task running in its set.
#[derive(Debug)]
pub struct Task {
    abort: Abort,
    done: CancellationToken,
}

impl Task {
    /// Stops it at its next await point.
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// True when it has ended, however.
    pub fn is_finished(&self) -> bool {
        self.done.is_cancelled()
    }

    /// Resolves when it has ended, however.
    pub async fn finished(&self) {
        self.done.cancelled().await;
    }
}

impl Tasks {
    /// An empty set of at most `limit` running tasks, asked to stop by `drain`.
    pub fn new(name: impl Into<String>, limit: usize, clock: Clock, drain: Drain) -> Self {
        let (ended, _) = watch::channel(0);
        Tasks(Arc::new(Set { name: name.into(), limit, clock, drain, state: Mutex::default(), ended }))
    }

    /// A set for many short tasks of one kind (connections, requests) with its own limit; it drains with this one, but
    /// its owner must shut it down.
    pub fn group(&self, name: &str, limit: usize) -> Tasks {
        Tasks::new(format!("{}/{name}", self.0.name), limit, self.0.clock.clone(), self.0.drain.child())
    }

    /// Starts a task on the current runtime, or in the simulation that its clock belongs to. It should end soon after [`Tasks::drain`] starts.
    ///
    /// # Errors
    /// [`Full`] when the set's limit is reached; the future is dropped unpolled.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where tasks are started")]
    pub fn spawn<F>(&self, name: impl Into<String>, future: F) -> Result<Task, Full>
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        let (ticket, done) = self.admit(name.into())?;
        let id = ticket.id;
        // What the future held is dropped before its end is told. An async block that awaits the future would have room for it twice: where
        // it is kept until it is awaited, and where it is then.
        let work = AssertUnwindSafe(future).catch_unwind().map(move |outcome| ticket.judge(outcome));
        let abort = match self.0.clock.place() {
            Some(place) => Abort::Simulated(place.spawn(work)),
            None => Abort::Tokio(tokio::spawn(work).abort_handle()),
        };
        Ok(self.started(id, abort, done))
    }

    /// Starts blocking work on a thread of its own. It cannot be aborted: it must look at the drain itself.
    ///
    /// # Errors
    /// [`Full`] when the set's limit is reached.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where tasks are started")]
    pub fn spawn_blocking<F, O>(&self, name: impl Into<String>, work: F) -> Result<Task, Full>
    where
        F: FnOnce() -> O + Send + 'static,
        O: Outcome,
    {
        let (ticket, done) = self.admit(name.into())?;
        let id = ticket.id;
        let handle = tokio::task::spawn_blocking(move || {
            let outcome = std::panic::catch_unwind(AssertUnwindSafe(work));
            ticket.judge(outcome);
        });
        Ok(self.started(id, Abort::Tokio(handle.abort_handle()), done))
    }

    fn admit(&self, name: String) -> Result<(Ticket, CancellationToken), Full> {
        let mut state = self.state();
        if state.live.len() >= self.0.limit {
            return Err(Full { set: self.0.name.clone(), task: name, limit: self.0.limit });
        }
        let id = state.next;
        state.next += 1;
        state.live.insert(id, Live { name, abort: None });
        let done = CancellationToken::new();
        Ok((Ticket { tasks: self.clone(), id, done: done.clone() }, done))
    }

    fn started(&self, id: u64, abort: Abort, done: CancellationToken) -> Task {
        if let Some(live) = self.state().live.get_mut(&id) {
            live.abort = Some(abort.clone());
        }
        Task { abort, done }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The drain that asks these tasks to stop.
    pub fn drain(&self) -> &Drain {
        &self.0.drain
    }

    /// How many run now.
    pub fn len(&self) -> usize {
        self.state().live.len()
    }

    /// True when none runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of those that run now.
    pub fn names(&self) -> Vec<String> {
        self.state().live.values().map(|live| live.name.clone()).collect()
    }

    /// Resolves with the first fault of the set; never when there is none. An owner selects on it beside its own work.
    pub async fn faulted(&self) -> Fault {
        let mut ended = self.0.ended.subscribe();
        loop {
            if let Some(fault) = self.state().faults.first() {
                return fault.clone();
            }
            if ended.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Resolves when no task runs.
    pub async fn idle(&self) {
        let mut ended = self.0.ended.subscribe();
        while !self.is_empty() {
            if ended.changed().await.is_err() {
                return;
            }
        }
    }

    /// Asks all to finish, waits `deadline`, then aborts the rest.
    ///
    /// # Errors
    /// What was left or had failed, named.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Unclean> {
        self.0.drain.start("shutdown");
        let mut aborted = Vec::new();
        if self.0.clock.timeout(deadline, self.idle()).await.is_err() {
            for live in self.state().live.values() {
                aborted.push(live.name.clone());
                if let Some(abort) = &live.abort {
                    abort.abort();
                }
            }
            // Blocking work cannot be aborted; it is named, and not waited for without end.
            let _ = self.0.clock.timeout(ABORT_GRACE, self.idle()).await;
        }
        let state = self.state();
        if aborted.is_empty() && state.faults_total == 0 {
            return Ok(());
        }
        let more_faults = state.faults_total - state.faults.len() as u64;
        Err(Unclean { set: self.0.name.clone(), deadline, aborted, faults: state.faults.clone(), more_faults })
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tasks({}, {} of {})", self.0.name, self.len(), self.0.limit)
    }
}

/// What a shutdown found: tasks that outlived the deadline, and faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclean {
    /// The set's name.
    pub set: String,
    /// What they were given.
    pub deadline: Duration,
    /// Tasks aborted at the deadline.
    pub aborted: Vec<String>,
    /// The first faults of the set's life.
    pub faults: Vec<Fault>,
    /// Faults beyond those kept.
    pub more_faults: u64,
}

impl std::fmt::Display for Unclean {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} did not stop cleanly", self.set)?;
        if !self.aborted.is_empty() {
            write!(f, "; still running after {:?}: {}", self.deadline, self.aborted.join(", "))?;
        }
        for fault in &self.faults {
            write!(f, "; {fault}")?;
        }
        if self.more_faults > 0 {
            write!(f, "; and {} more faults", self.more_faults)?;
        }
        Ok(())
    }
}

impl std::error::Error for Unclean {}

impl From<Unclean> for Error {
    fn from(unclean: Unclean) -> Self {
        Error::bug(unclean.to_string())
    }
}

/// A task's place in its set, given back when it ends: by itself, by a panic, or by being aborted.
struct Ticket {
    tasks: Tasks,
    id: u64,
    done: CancellationToken,
}

impl Ticket {
    fn judge<O: Outcome>(self, outcome: std::thread::Result<O>) {
        self.end(match outcome {
            Ok(outcome) => outcome.fault().map(|message| ("failed", message)),
            Err(panic) => Some(("panicked", panic_message(&*panic))),
        });
    }

    fn end(self, fault: Option<(&'static str, String)>) {
        if let Some((what, message)) = fault {
            let mut state = self.tasks.state();
            let task = state.live.get(&self.id).map_or_else(String::new, |live| live.name.clone());
            let fault = Fault { set: self.tasks.0.name.clone(), task, what, message };
            tracing::error!(set = fault.set, task = fault.task, error = fault.message, "task {what}");
            state.faults_total += 1;
            if state.faults.len() < FAULTS_KEPT {
                state.faults.push(fault);
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tasks.state().live.remove(&self.id);
        self.done.cancel();
        self.tasks.0.ended.send_modify(|ended| *ended += 1);
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(limit: usize) -> Tasks {
        Tasks::new("test", limit, Clock::system(), Drain::new())
    }

    #[tokio::test]
    async fn a_panic_is_a_fault_its_owner_sees() {
        let tasks = tasks(4);
        tasks.spawn("reader", async { panic!("odd frame {}", 7) as () }).unwrap();
        let fault = tasks.faulted().await;
        assert_eq!(fault.to_string(), "task test/reader panicked: odd frame 7");
        assert!(tasks.shutdown(Duration::from_secs(1)).await.is_err());
    }

    #[tokio::test]
    async fn an_error_is_a_fault_with_its_causes() {
        let tasks = tasks(4);
        tasks.spawn("dial", async { Err::<(), _>(std::io::Error::other("refused")) }).unwrap();
        assert_eq!(tasks.faulted().await.message, "refused");
    }

    #[tokio::test]
    async fn a_full_set_refuses_and_has_room_again_when_a_task_ends() {
        let tasks = tasks(1);
        let first = tasks.spawn("first", std::future::pending::<()>()).unwrap();
        let full = tasks.spawn("second", async {}).unwrap_err();
        assert_eq!((full.task.as_str(), full.limit), ("second", 1));
        first.abort();
        first.finished().await;
        tasks.spawn("second", async {}).unwrap().finished().await;
    }

    #[tokio::test]
    async fn shutdown_lets_the_willing_finish_and_names_the_others() {
        let tasks = tasks(4);
        let drain = tasks.drain().clone();
        tasks.spawn("willing", async move { drain.started().await }).unwrap();
        tasks.spawn("stubborn", std::future::pending::<()>()).unwrap();
        let unclean = tasks.shutdown(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(unclean.aborted, ["stubborn"]);
        assert!(tasks.is_empty());
    }
}
