//! The component: the live loop and the face, in one life.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use journal::Journal;
use model::Directory;
use service::config::{ConfigFile, Problems};
use service::{Component, Context, metric};
use store::{Live, Reports};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::http::{Face, router};
use crate::live::follow::Follow;
use crate::report::ask::Bounds;
use crate::sharing::mirror::Mirror;
use crate::ws::hub::Hub;
use crate::ws::socket::Door;

/// The pusher.
pub struct Pusher {
    config: Config,
    journal: Arc<dyn Journal>,
    reports: Arc<dyn Reports>,
    live: Option<Arc<dyn Live>>,
    directory: Arc<Directory>,
    listener: TcpListener,
}

/// How long the live loop may be busy before the process is not alive any more.
const PULSE_MAX: Duration = Duration::from_secs(60);
/// Connections beyond the last place that are told so at the same time, before further ones are refused without a word.
const TURNED_AWAY: usize = 256;

#[async_trait]
impl Component for Pusher {
    const NAME: &'static str = "pusher";
    const ABOUT: &'static str = "Serves live figures and reports over HTTP and WebSocket, and the wallboard";
    const OPS_PORT: u16 = 7406;
    type Config = Config;
    type Plan = Config;

    fn plan(config: Config) -> Result<Config, Problems> {
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.or(config)
    }

    async fn build(config: Config, context: &Context) -> service::Result<Pusher> {
        let journal = journal::config::of_process(&config.journal, context).await?;
        let reports = store::config::of_process(&config.store, context).await?;
        let live = config.live.of_process("views", context)?;
        let directory = match context.shared::<Arc<Directory>>() {
            Some(directory) => directory,
            // Kept beside the figures, so that `tidegate report` names and judges as this process does.
            None => {
                let learnt = store::directory::learn(reports.as_ref(), config.directory.clone()).await;
                Arc::new(learnt.map_err(|error| {
                    service::Error::dependency("TG0112", "the directory cannot be kept in the store").caused_by(error)
                })?)
            }
        };
        let listener = config.listen.bind().await?;
        Ok(Pusher { config, journal, reports, live, directory, listener })
    }

    async fn run(self, context: Context) -> service::Result<()> {
        describe();
        let Pusher { config, journal, reports, live, directory, listener } = self;
        let epoch = format!("{:x}", context.clock.now_ms());
        let hub = Arc::new(Hub::new(epoch, config.bounds()));
        let places = config.limits.connections as usize;
        let sockets = context.tasks.group("sockets", places + TURNED_AWAY);
        let door = Arc::new(Door {
            hub: Arc::clone(&hub),
            guard: config.auth.guard(),
            origins: config.origins.clone(),
            rules: config.limits.rules(),
            places: Arc::new(Semaphore::new(places)),
            tasks: sockets.clone(),
            clock: context.clock.clone(),
        });
        if let Some(live) = &live {
            let mirror = Mirror {
                live: Arc::clone(live),
                journal: Arc::clone(&journal),
                reports: Arc::clone(&reports),
                clock: context.clock.clone(),
                drain: context.drain.clone(),
                health: context.health.check("shared views"),
            };
            context.tasks.spawn("mirror", mirror.run())?;
        }
        journal::beat::start(&journal, &context, journal::beat::EVERY)?;
        let follow = Follow {
            journal,
            reports: Arc::clone(&reports),
            live,
            hub: Arc::clone(&hub),
            directory: Arc::clone(&directory),
            clock: context.clock.clone(),
            drain: context.drain.clone(),
            pace: config.pace(),
            health: context.health.check("figures"),
            pulse: context.health.pulse("live", PULSE_MAX),
        };
        context.tasks.spawn("live", follow.run())?;
        let bounds = Bounds { days: i64::from(config.limits.report_days), rows: config.limits.report_rows as usize };
        let face = Face {
            hub: Arc::clone(&hub),
            reports,
            directory,
            clock: context.clock.clone(),
            bounds,
            places: Arc::new(Semaphore::new(config.limits.reports_at_once as usize)),
            tasks: context.tasks.group("reports", 2 * config.limits.reports_at_once as usize),
            timeout: config.limits.request_timeout(),
            door,
        };
        let address = listener.local_addr().unwrap_or(config.listen.address);
        tracing::info!(%address, "wallboard and API");
        context.health.started();
        let (listen, drain) = (config.listen.clone(), context.drain.clone());
        context
            .tasks
            .spawn("http", async move { service::http::serve(listener, router(face), &listen, &drain).await })?;
        tokio::select! {
            () = context.drain.started() => {}
            fault = context.tasks.faulted() => return Err(fault.into()),
        }
        hub.close();
        context.tasks.idle().await;
        sockets.idle().await;
        Ok(())
    }
}

fn describe() {
    metric::describe_gauge("pusher_connections", "WebSocket connections that are open");
    metric::describe_gauge("pusher_feeds", "different selections that are followed");
    metric::describe_gauge("pusher_recalled_views", "views that were taken from what pushers share, at the start");
    metric::describe_gauge("pusher_age_seconds", "how old the live figures are");
    metric::describe_counter("pusher_closed_total", "WebSocket connections closed by us, by reason");
    metric::describe_counter(
        "pusher_stepped_over_total",
        "places of the stream views that could not be read and were stepped over",
    );
    metric::describe_counter("pusher_malformed_total", "records of the stream views that could not be read");
}
