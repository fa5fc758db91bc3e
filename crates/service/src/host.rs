//! One process with one or more components: builds them, runs them, drains them in the order they were built.

use std::future::Future;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::context::Shared;
use crate::http::serve;
use crate::process::Process;
use crate::tasks::Task;
use crate::{Clock, Component, Context, Drain, Error, Health, Result, Seeds, Tasks, metric, ops, resources, telemetry};

/// How often histograms are folded.
const UPKEEP: Duration = Duration::from_secs(5);
/// Tasks of the host itself: one per component and a few.
const TASKS_MAX: usize = 64;

/// A process being put together. Build the components in the order of the data's way: they drain in that order.
pub struct Host {
    process: Process,
    clock: Clock,
    seeds: Seeds,
    shared: Shared,
    built: Vec<Built>,
    tasks: Tasks,
    drain: Drain,
}

/// A component's name and how it ended.
type End = (&'static str, Result<()>);
/// A component that runs, and the task it runs in.
type Running = (Context, Task);

struct Built {
    context: Context,
    run: BoxFuture<'static, Result<()>>,
}

impl Host {
    /// A process without components; starts the log. `clock` and `seeds` are handed down to all.
    pub fn new(process: Process, clock: Clock, seeds: Seeds) -> Self {
        telemetry::init(&process.log);
        telemetry::metrics();
        let drain = Drain::new();
        let tasks = Tasks::new("host", TASKS_MAX, clock.clone(), Drain::new());
        Host { process, clock, seeds, shared: Shared::default(), built: Vec::new(), tasks, drain }
    }

    /// Provides something to every component built after this (see [`Context::shared`]).
    pub fn provide<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.shared.put(value);
    }

    /// A context as the component `name` would get it, for things built by hand and handed to [`Host::add`].
    pub fn context(&self, name: &'static str) -> Context {
        let mut context = Context::new(name, &self.process.instance, self.clock.clone(), &self.seeds);
        context.drain_deadline = self.process.drain.duration();
        context.shared = self.shared.clone();
        context
    }

    /// Builds a component. Nothing runs yet: when a later one fails, dropping the host undoes everything.
    ///
    /// # Errors
    /// What its `build` says.
    pub async fn build<C: Component>(&mut self, plan: C::Plan) -> Result<()> {
        let context = self.context(C::NAME);
        let component = C::build(plan, &context).await?;
        self.add(context.clone(), component.run(context));
        Ok(())
    }

    /// Adds something already built: its context and what it does until its drain starts. Not polled before
    /// [`Host::run`].
    pub fn add(&mut self, context: Context, run: impl Future<Output = Result<()>> + Send + 'static) {
        self.built.push(Built { context, run: Box::pin(run) });
    }

    /// Asks the running process to stop, from inside (a command that has done its work, a test).
    pub fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// Runs until a signal (SIGTERM, SIGINT), a component's end or fault, or the drain; then drains.
    ///
    /// # Errors
    /// The first thing that went wrong, or what did not stop cleanly.
    pub async fn run(self) -> Result<()> {
        let stop = signals()?;
        self.run_until(stop).await
    }

    /// [`Host::run`] with something else than signals. When `stop` yields a second time during the drain, the rest is
    /// given up at once.
    ///
    /// # Errors
    /// As [`Host::run`].
    pub async fn run_until(mut self, mut stop: mpsc::Receiver<String>) -> Result<()> {
        let contexts: Vec<Context> = self.built.iter().map(|built| built.context.clone()).collect();
        // Before anything runs: a taken port is a failed start, not a fault later.
        let ops = self.process.ops.bind().await?;
        let address =
            ops.local_addr().map_or_else(|_| self.process.ops.address.to_string(), |address| address.to_string());
        let healths: Vec<Health> = contexts.iter().map(|context| context.health.clone()).collect();
        let (limits, closing) = (self.process.ops.clone(), self.tasks.drain().clone());
        let router = ops::router(healths, telemetry::metrics());
        self.tasks.spawn("ops", async move { serve(ops, router, &limits, &closing).await })?;
        resources::measure();
        self.spawn_upkeep()?;
        let (running, mut ends) = self.spawn_components()?;
        let names: Vec<&str> = contexts.iter().map(|context| context.component).collect();
        tracing::info!(
            instance = self.process.instance,
            seed = self.seeds.seed(),
            ops = address,
            components = names.join(","),
            "running"
        );
        let mut first = Ok(());
        let reason = tokio::select! {
            signal = stop.recv() => signal.unwrap_or_else(|| "the stop channel closed".to_owned()),
            () = self.drain.started() => self.drain.reason().unwrap_or("asked to").to_owned(),
            end = ends.recv() => match end {
                Some((name, Ok(()))) => format!("{name} has done its work"),
                Some((name, Err(error))) => {
                    tracing::error!(component = name, code = error.code(), error = error.chain(), "component failed");
                    first = Err(error);
                    format!("{name} failed")
                }
                None => "every component has ended".to_owned(),
            },
            fault = self.tasks.faulted() => {
                let reason = fault.to_string();
                first = Err(fault.into());
                reason
            }
        };
        tracing::info!(reason, "draining");
        self.drain.start(reason.clone());
        let drained = tokio::select! {
            biased;
            drained = self.drain_all(&running, &reason, &mut ends) => drained,
            Some(signal) = stop.recv() => Err(late(format!("stopped by a second {signal} before the drain ended"))),
        };
        tracing::info!(clean = drained.is_ok(), "stopped");
        first.and(drained)
    }

    fn spawn_upkeep(&self) -> Result<()> {
        let (clock, closing) = (self.clock.clone(), self.tasks.drain().clone());
        self.tasks.spawn("metrics upkeep", async move {
            let metrics = telemetry::metrics();
            let mut every = clock.interval(UPKEEP);
            loop {
                tokio::select! {
                    () = closing.started() => return,
                    () = every.tick() => {
                        metrics.upkeep();
                        resources::measure();
                    }
                }
            }
        })?;
        Ok(())
    }

    fn spawn_components(&mut self) -> Result<(Vec<Running>, mpsc::Receiver<End>)> {
        let (ended, ends) = mpsc::channel(self.built.len().max(1));
        let mut running = Vec::new();
        for Built { context, run } in std::mem::take(&mut self.built) {
            let (ended, own) = (ended.clone(), context.clone());
            let version = env!("CARGO_PKG_VERSION");
            let labels = [("component", own.component), ("instance", &own.instance), ("version", version)];
            metric::gauge("service_component", &labels).set(1.0);
            let task = self.tasks.spawn(context.component, async move {
                own.health.started();
                let result = tokio::select! {
                    biased;
                    fault = own.tasks.faulted() => Err(fault.into()),
                    result = run => result,
                };
                let _ = ended.send((own.component, result)).await;
            })?;
            running.push((context, task));
        }
        Ok((running, ends))
    }

    /// One component after the other, upstream first, so that what the first lets go still flows through the next.
    async fn drain_all(&self, components: &[Running], reason: &str, ends: &mut mpsc::Receiver<End>) -> Result<()> {
        let end = self.clock.monotonic() + self.process.drain.duration();
        let mut outcome = Ok(());
        for (context, _) in components {
            context.health.draining();
        }
        for (context, task) in components {
            context.drain.start(reason);
            let left = end.saturating_sub(self.clock.monotonic());
            if self.clock.timeout(left, task.finished()).await.is_err() {
                let message = format!("{} did not finish within {}", context.component, self.process.drain);
                tracing::error!(code = "TG0071", component = context.component, "{message}");
                outcome = outcome.and(Err(late(message)));
            }
            let left = end.saturating_sub(self.clock.monotonic());
            outcome = outcome.and(context.tasks.shutdown(left).await.map_err(Error::from));
        }
        while let Ok((name, result)) = ends.try_recv() {
            if let Err(error) = result {
                tracing::error!(component = name, code = error.code(), error = error.chain(), "component failed");
                outcome = outcome.and(Err(error));
            }
        }
        let left = end.saturating_sub(self.clock.monotonic()).max(Duration::from_millis(200));
        outcome.and(self.tasks.shutdown(left).await.map_err(Error::from))
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({}, {} components)", self.process.instance, self.built.len())
    }
}

fn late(message: String) -> Error {
    Error::new(crate::Class::Bug, "TG0071", message)
}

/// SIGTERM and SIGINT by name, as they come.
#[expect(
    clippy::disallowed_methods,
    reason = "lives as long as the process; owned by nobody who could be asked to stop"
)]
fn signals() -> Result<mpsc::Receiver<String>> {
    use tokio::signal::unix::{SignalKind, signal};
    let cannot = |error: std::io::Error| Error::bug("cannot listen for signals").caused_by(error);
    let mut term = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut int = signal(SignalKind::interrupt()).map_err(cannot)?;
    let (came, signals) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
            };
            if came.send(name.to_owned()).await.is_err() {
                return;
            }
        }
    });
    Ok(signals)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::http::Listen;

    type Story = Arc<Mutex<Vec<String>>>;

    fn host() -> Host {
        let process = Process { ops: Listen::loopback(0), drain: crate::Millis::seconds(5), ..Process::default() };
        Host::new(process, Clock::system(), Seeds::fixed(1))
    }

    /// A component that tells when it is asked to stop, and takes a moment over it.
    fn add(host: &mut Host, name: &'static str, story: &Story) {
        let (context, story) = (host.context(name), Arc::clone(story));
        host.add(context.clone(), async move {
            context.drain.started().await;
            story.lock().unwrap().push(format!("{name} asked"));
            context.clock.sleep(Duration::from_millis(20)).await;
            story.lock().unwrap().push(format!("{name} done"));
            Ok(())
        });
    }

    #[tokio::test]
    async fn components_drain_one_after_the_other_in_the_order_of_the_way() {
        let (mut host, story) = (host(), Story::default());
        add(&mut host, "collector", &story);
        add(&mut host, "receiver", &story);
        let (stop, stopped) = mpsc::channel(1);
        stop.send("SIGTERM".to_owned()).await.unwrap();
        host.run_until(stopped).await.unwrap();
        assert_eq!(*story.lock().unwrap(), ["collector asked", "collector done", "receiver asked", "receiver done"]);
    }

    #[tokio::test]
    async fn a_failing_component_drains_the_others_and_its_error_is_the_outcome() {
        let (mut host, story) = (host(), Story::default());
        add(&mut host, "collector", &story);
        let broken = host.context("receiver");
        host.add(broken, async { Err(Error::dependency("TG0022", "the journal is gone")) });
        let (_stop, stopped) = mpsc::channel(1);
        let error = host.run_until(stopped).await.unwrap_err();
        assert_eq!((error.code(), error.class().exit()), ("TG0022", 69));
        assert_eq!(*story.lock().unwrap(), ["collector asked", "collector done"]);
    }

    #[tokio::test]
    async fn a_panic_in_a_component_itself_is_told_as_a_bug() {
        let mut host = host();
        let careless = host.context("pusher");
        host.add(careless, async { panic!("no view {}", 3) });
        let (_stop, stopped) = mpsc::channel(1);
        let error = host.run_until(stopped).await.unwrap_err();
        assert!(error.chain().contains("task host/pusher panicked: no view 3"), "{}", error.chain());
        assert_eq!(error.class().exit(), 70);
    }

    #[tokio::test]
    async fn what_the_process_provides_reaches_what_is_built_after() {
        let mut host = host();
        assert!(host.context("a").shared::<Arc<str>>().is_none());
        host.provide::<Arc<str>>(Arc::from("journal"));
        assert_eq!(host.context("b").shared::<Arc<str>>().as_deref(), Some("journal"));
    }
}
