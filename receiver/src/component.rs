//! The component: the loop and the door, side by side.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use journal::Journal;
use model::{Directory, NumberKey};
use service::config::{ConfigFile, Problems};
use service::health::Check;
use service::http::{Listen, serve};
use service::{Component, Context};
use tokio::net::TcpListener;

use crate::admit::Rules;
use crate::config::Config;
use crate::door::{self, Door};
use crate::gate::Bounds;
use crate::work::{self, Worker};

/// The receiver.
pub struct Receiver {
    journal: Arc<dyn Journal>,
    directory: Arc<Directory>,
    config: Config,
    number_key: NumberKey,
    door: Door,
    /// None where others carry requests to the [door](Receiver::door).
    listener: Option<TcpListener>,
    /// Of a journal that this process opened for the receiver alone; a host of several components sweeps by itself.
    upkeep: Option<journal::config::Config>,
}

#[async_trait]
impl Component for Receiver {
    const NAME: &'static str = "receiver";
    const ABOUT: &'static str = "Admits facts: validates, classifies, deduplicates, enriches, masks";
    const OPS_PORT: u16 = 7404;
    type Config = Config;
    type Plan = Config;

    fn plan(config: Config) -> Result<Config, Problems> {
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.or(config)
    }

    async fn build(config: Config, context: &Context) -> service::Result<Receiver> {
        let listen = config.listen.clone();
        let mut receiver = Receiver::unbound(config, context).await?;
        receiver.listener = Some(listen.bind().await?);
        Ok(receiver)
    }

    async fn run(self, context: Context) -> service::Result<()> {
        let (router, listen, drain): (_, Listen, _) = (self.door(), self.config.listen.clone(), context.drain.clone());
        if let Some(listener) = self.listener {
            context.tasks.spawn("door", async move { serve(listener, router, &listen, &drain).await })?;
        }
        if let Some(upkeep) = self.upkeep {
            let (journal, clock, drain) = (Arc::clone(&self.journal), context.clock.clone(), context.drain.clone());
            context.tasks.spawn("upkeep", async move { journal::upkeep::run(journal, upkeep, clock, drain).await })?;
        }
        let health = context.health.check("journal");
        context.health.started();
        journal::beat::start(&self.journal, &context, journal::beat::EVERY)?;
        let mut failures = 0;
        while !context.drain.is_started() {
            let rules = Rules {
                directory: (*self.directory).clone(),
                number_key: self.number_key.clone(),
                late_after_ms: self.config.late_after.signed(),
            };
            let joined = Worker::join(
                Arc::clone(&self.journal),
                &context.instance,
                rules,
                context.clock.clone(),
                self.config.records_max,
            );
            let ended = match joined.await {
                Ok(worker) => work_on(worker, &context, &health, &mut failures).await,
                Err(error) => Err(error),
            };
            let Err(error) = ended else { break };
            failures += 1;
            if error.class() == journal::Class::Bug {
                return Err(journal_failed(&error));
            }
            tracing::warn!(%error, failures, "the journal failed; joining again");
            health.degraded(error.to_string());
            let wait = std::time::Duration::from_millis(100 << failures.min(6));
            tokio::select! {
                biased;
                () = context.drain.started() => {}
                () = context.clock.sleep(wait) => {}
            }
        }
        context.tasks.idle().await;
        Ok(())
    }
}

impl Receiver {
    /// A receiver that listens nowhere: requests come to its [door](Receiver::door) in another way (a simulated network).
    ///
    /// # Errors
    /// As [`Component::build`].
    pub async fn unbound(config: Config, context: &Context) -> service::Result<Receiver> {
        let upkeep = context.shared::<Arc<dyn Journal>>().is_none().then(|| config.journal.clone());
        let journal = journal::config::of_process(&config.journal, context).await?;
        let own = || Arc::new(config.directory.clone());
        let directory = context.shared::<Arc<Directory>>().unwrap_or_else(own);
        let number_key = match &config.number_key {
            Some(secret) => NumberKey::new(read(secret, "receiver.number_key")?),
            None => work::number_key(&journal).await.map_err(|e| journal_failed(&e))?,
        };
        let webhook_key = match &config.webhook_key {
            Some(secret) => Some(Arc::new(read(secret, "receiver.webhook_key")?)),
            None => None,
        };
        let door = Door {
            journal: Arc::clone(&journal),
            directory: Arc::clone(&directory),
            guard: config.auth.guard(),
            webhook_key,
            webhook_age_max_s: config.webhook_age_max.signed() / 1000,
            batch_max: config.batch_max,
            body_max: config.body_max.to_usize(),
            bounds: Bounds {
                backlog: config.backlog_max,
                wait: config.backlog_wait.duration(),
                in_hand: config.in_hand_max.to_usize(),
            },
            clock: context.clock.clone(),
        };
        Ok(Receiver { journal, directory, config, number_key, door, listener: None, upkeep })
    }

    /// Its HTTP door.
    pub fn door(&self) -> Router {
        door::router(self.door.clone())
    }
}

/// Steps until the drain or an error of the journal.
async fn work_on(mut worker: Worker, context: &Context, health: &Check, failures: &mut u32) -> journal::Result<()> {
    loop {
        tokio::select! {
            biased;
            () = context.drain.started() => return worker.leave().await,
            step = worker.step() => {
                step?;
                *failures = 0;
                match worker.aside() {
                    0 => health.ok(),
                    n if n >= crate::aside::ASIDE_MAX => {
                        health.degraded(format!("{n} records are set aside, the oldest are being dropped: tidegate quarantine list"));
                    }
                    n => health.degraded(format!("{n} records are set aside: tidegate quarantine list")),
                }
            }
        }
    }
}

fn read(secret: &service::Secret, key: &str) -> service::Result<Vec<u8>> {
    match secret.read() {
        Ok(text) => Ok(text.into_bytes()),
        Err(error) => Err(service::Error::config("TG0201", format!("{key} cannot be read")).caused_by(error)),
    }
}

fn journal_failed(error: &journal::Error) -> service::Error {
    service::Error::from(error.clone())
}
