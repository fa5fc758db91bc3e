//! How a component is: named checks with a state, since when and why; pulses that prove its loops turn; heartbeats.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Clock, Context, metric};

/// Checks a component may have; more fold into one called `other`.
const CHECKS_MAX: usize = 256;
/// Longest reason kept, characters.
const WHY_MAX: usize = 500;

/// The state of a check, and of a component: the worst of its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Works.
    Ok,
    /// Works in part, or with old data: still ready.
    Degraded,
    /// Does not work: not ready.
    Failed,
}

/// One check, as reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// How it is.
    pub state: State,
    /// Since when it is in this state, Unix milliseconds.
    pub since_ms: i64,
    /// Why it is not ok; empty when it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// A component's health at one moment; published to the `health` stream as its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The component's name.
    pub component: String,
    /// The process's instance name.
    pub instance: String,
    /// The version of the program.
    pub version: String,
    /// When it was taken, Unix milliseconds.
    pub at_ms: i64,
    /// When the component started, Unix milliseconds.
    pub started_at_ms: i64,
    /// Grows by one with each heartbeat taken; a restart begins at 1.
    pub sequence: u64,
    /// May be sent work.
    pub ready: bool,
    /// Is finishing.
    pub draining: bool,
    /// The worst of the checks.
    pub state: State,
    /// Each check by name.
    pub checks: BTreeMap<String, Status>,
}

/// The health of one component. A cheap handle.
#[derive(Clone)]
pub struct Health(Arc<Body>);

struct Body {
    component: String,
    instance: String,
    clock: Clock,
    started_at_ms: i64,
    sequence: AtomicU64,
    state: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    checks: BTreeMap<String, Status>,
    pulses: BTreeMap<String, (Duration, Duration)>, // name → (limit, last beat)
    started: bool,
    draining: bool,
}

impl Health {
    /// A component without checks, not yet started (so not ready).
    pub fn new(component: &str, instance: &str, clock: Clock) -> Self {
        Health(Arc::new(Body {
            component: component.to_owned(),
            instance: instance.to_owned(),
            started_at_ms: clock.now_ms(),
            clock,
            sequence: AtomicU64::new(0),
            state: Mutex::default(),
        }))
    }

    /// A check, ok until said otherwise. Asking again for the same name gives the same check.
    pub fn check(&self, name: &str) -> Check {
        let mut inner = self.inner();
        let full = inner.checks.len() >= CHECKS_MAX && !inner.checks.contains_key(name);
        let name = if full { "other" } else { name };
        let now = self.0.clock.now_ms();
        let ok = Status { state: State::Ok, since_ms: now, why: String::new() };
        inner.checks.entry(name.to_owned()).or_insert(ok);
        Check { health: self.clone(), name: name.to_owned() }
    }

    /// A loop that must turn at least every `limit`, or the process is not live and its supervisor should restart it.
    pub fn pulse(&self, name: &str, limit: Duration) -> Pulse {
        let pulse = Pulse { health: self.clone(), name: name.to_owned(), limit };
        pulse.beat();
        pulse
    }

    /// Says that the component has caught up and may be sent work. The host does so when `run` begins, unless the
    /// component holds itself back with a failed check.
    pub fn started(&self) {
        self.inner().started = true;
    }

    /// Says that the component finishes: no longer ready.
    pub fn draining(&self) {
        self.inner().draining = true;
    }

    /// Every pulse has beaten within its limit.
    pub fn is_live(&self) -> bool {
        self.stopped_pulse().is_none()
    }

    /// The name of a loop that stands still.
    pub fn stopped_pulse(&self) -> Option<String> {
        let now = self.0.clock.monotonic();
        let inner = self.inner();
        let stopped = inner.pulses.iter().find(|(_, (limit, last))| now.saturating_sub(*last) > *limit);
        stopped.map(|(name, _)| name.clone())
    }

    /// Started, not draining, and no check failed.
    pub fn is_ready(&self) -> bool {
        let inner = self.inner();
        inner.started && !inner.draining && worst(&inner.checks) < State::Failed
    }

    /// The component's name.
    pub fn component(&self) -> &str {
        &self.0.component
    }

    /// How it is now, as a heartbeat to publish.
    pub fn heartbeat(&self) -> Heartbeat {
        let sequence = self.0.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        Heartbeat { sequence, ..self.report() }
    }

    /// How it is now, without counting as a heartbeat.
    pub fn report(&self) -> Heartbeat {
        let inner = self.inner();
        let state = worst(&inner.checks);
        Heartbeat {
            component: self.0.component.clone(),
            instance: self.0.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_ms: self.0.clock.now_ms(),
            started_at_ms: self.0.started_at_ms,
            sequence: self.0.sequence.load(Ordering::Relaxed),
            ready: inner.started && !inner.draining && state < State::Failed,
            draining: inner.draining,
            state,
            checks: inner.checks.clone(),
        }
    }

    fn set(&self, name: &str, state: State, why: String) {
        let now = self.0.clock.now_ms();
        let why: String = why.chars().take(WHY_MAX).collect();
        let mut inner = self.inner();
        let Some(status) = inner.checks.get_mut(name) else {
            return;
        };
        if status.state == state {
            status.why = why;
            return;
        }
        *status = Status { state, since_ms: now, why };
        let why = status.why.clone();
        drop(inner);
        let component = &self.0.component;
        let level = [0.0, 1.0, 2.0][state as usize];
        metric::gauge("service_check_state", &[("component", component), ("check", name)]).set(level);
        match state {
            State::Ok => tracing::info!(component, check = name, "check is ok again"),
            State::Degraded => tracing::warn!(component, check = name, why, "check is degraded"),
            State::Failed => tracing::error!(component, check = name, why, "check failed"),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Health({} {}, ready {})", self.0.component, self.0.instance, self.is_ready())
    }
}

fn worst(checks: &BTreeMap<String, Status>) -> State {
    checks.values().map(|status| status.state).max().unwrap_or(State::Ok)
}

/// Publishes a heartbeat at once and then every `period`, until the drain starts; one more then says that it drains. What
/// `publish` cannot deliver is a degraded check, never an end: the next one tells the same and more.
pub async fn heartbeats<F, P, E>(context: &Context, period: Duration, mut publish: F)
where
    F: FnMut(Heartbeat) -> P + Send,
    P: Future<Output = Result<(), E>> + Send,
    E: std::fmt::Display,
{
    let check = context.health.check("heartbeat");
    let mut every = context.clock.interval(period);
    loop {
        match publish(context.health.heartbeat()).await {
            Ok(()) => check.ok(),
            Err(error) => check.degraded(error.to_string()),
        }
        tokio::select! {
            () = context.drain.started() => break,
            () = every.tick() => {}
        }
    }
    context.health.draining();
    // The process is ending: nobody could act on a failure now.
    let _ = publish(context.health.heartbeat()).await;
}

/// One named check. Setting the same state again keeps its `since`.
#[derive(Debug, Clone)]
pub struct Check {
    health: Health,
    name: String,
}

impl Check {
    /// It works.
    pub fn ok(&self) {
        self.health.set(&self.name, State::Ok, String::new());
    }

    /// It works in part; `why` for the operator.
    pub fn degraded(&self, why: impl Into<String>) {
        self.health.set(&self.name, State::Degraded, why.into());
    }

    /// It does not work; `why` for the operator.
    pub fn failed(&self, why: impl Into<String>) {
        self.health.set(&self.name, State::Failed, why.into());
    }

    /// Forgets the check: what it watched is gone on purpose.
    pub fn retire(self) {
        self.health.inner().checks.remove(&self.name);
    }
}

/// Proof that a loop turns.
#[derive(Debug)]
pub struct Pulse {
    health: Health,
    name: String,
    limit: Duration,
}

impl Pulse {
    /// The loop has turned.
    pub fn beat(&self) {
        let now = self.health.0.clock.monotonic();
        self.health.inner().pulses.insert(self.name.clone(), (self.limit, now));
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        // A loop that ended is not a loop that hangs; whether it may end is for its owner to judge.
        self.health.inner().pulses.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_component_is_as_well_as_its_worst_check_and_remembers_since_when() {
        let clock = Clock::manual(1_000);
        let health = Health::new("collector", "collector-1", clock.clone());
        assert!(!health.is_ready(), "not before it has started");
        health.started();
        let (ami, disk) = (health.check("source pbx"), health.check("journal"));
        assert!(health.is_ready());
        clock.advance(Duration::from_secs(5)).await;
        ami.degraded("snapshot is running");
        disk.failed("disk full");
        clock.advance(Duration::from_secs(5)).await;
        disk.failed("disk still full");
        let report = health.report();
        assert_eq!((report.state, report.ready), (State::Failed, false));
        assert_eq!(
            report.checks["journal"],
            Status { state: State::Failed, since_ms: 6_000, why: "disk still full".into() }
        );
        disk.ok();
        assert!(health.is_ready(), "degraded is still ready");
        health.draining();
        assert!(!health.is_ready());
    }

    #[tokio::test]
    async fn a_loop_that_stands_still_is_named_and_one_that_ended_is_not() {
        let clock = Clock::manual(0);
        let health = Health::new("aggregator", "a", clock.clone());
        let pulse = health.pulse("fold", Duration::from_secs(2));
        clock.advance(Duration::from_secs(2)).await;
        assert!(health.is_live());
        clock.advance(Duration::from_secs(1)).await;
        assert_eq!(health.stopped_pulse().as_deref(), Some("fold"));
        drop(pulse);
        assert!(health.is_live());
    }

    #[test]
    fn heartbeats_are_numbered() {
        let health = Health::new("pusher", "p", Clock::manual(0));
        assert_eq!((health.heartbeat().sequence, health.heartbeat().sequence, health.report().sequence), (1, 2, 2));
    }

    #[tokio::test]
    async fn heartbeats_go_on_after_a_failure_and_end_with_the_drain() {
        let clock = Clock::manual(0);
        let context = Context::new("pusher", "p", clock.clone(), &crate::Seeds::fixed(1));
        context.health.started();
        let sent = Mutex::new(Vec::new());
        let publish = |beat: Heartbeat| {
            sent.lock().unwrap().push((beat.at_ms, beat.draining));
            let fails = beat.sequence == 2;
            async move { if fails { Err("journal is away") } else { Ok(()) } }
        };
        let stop = async {
            clock.advance(Duration::from_millis(1_500)).await;
            assert_eq!(context.health.report().checks["heartbeat"].why, "journal is away");
            clock.advance(Duration::from_secs(1)).await;
            assert_eq!(context.health.report().state, State::Ok);
            context.drain.start("test");
        };
        tokio::join!(heartbeats(&context, Duration::from_secs(1), publish), stop);
        assert_eq!(*sent.lock().unwrap(), [(0, false), (1_000, false), (2_000, false), (2_500, true)]);
    }
}
