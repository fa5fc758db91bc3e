//! The component: two doors, and the followers that feed the gate's memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use journal::Journal;
use model::Directory;
use service::config::{ConfigFile, Problems};
use service::http::serve;
use service::{Component, Context};
use store::Live;
use tokio::net::TcpListener;

use crate::agi::Server;
use crate::config::Config;
use crate::emit::{self, Writer};
use crate::errands::Errands;
use crate::gate::{Gate, Key};
use crate::hardphone;
use crate::http::{self, Door};
use crate::sharing::{self, Kept, Sharing};
use crate::{affirmed, control, count, live};

/// The route gate.
pub struct Cti {
    config: Config,
    gate: Arc<Gate>,
    writer: Writer,
    errands: Errands,
    phones: Arc<hardphone::Shared>,
    directory: Arc<Directory>,
    /// None while it cannot be opened: the gate answers all the same.
    journal: Option<Arc<dyn Journal>>,
    /// Of a journal that this process opens for the gate alone.
    alone: bool,
    sealed: bool,
    /// What gates share of the decisions.
    live: Option<Arc<dyn Live>>,
    listener: Option<TcpListener>,
    agi: Option<TcpListener>,
}

/// How long a follower may be busy before the process is not alive any more.
const PULSE_MAX: Duration = Duration::from_secs(60);
/// The same of who keeps desk phones: each phone system may take its time.
const PHONES_PULSE_MAX: Duration = Duration::from_secs(1_800);
/// How long to wait before the journal is opened again.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
/// The receiver's group in the journal, and where it keeps the key of numbers.
const KEY_GROUP: &str = "receiver";
const KEY: &str = "number_key";

#[async_trait]
impl Component for Cti {
    const NAME: &'static str = "cti";
    const ABOUT: &'static str = "Answers phone systems: who may enter a queue, and where the others go";
    const OPS_PORT: u16 = 7407;
    type Config = Config;
    type Plan = Config;

    fn plan(config: Config) -> Result<Config, Problems> {
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.or(config)
    }

    async fn build(config: Config, context: &Context) -> service::Result<Cti> {
        let (listen, agi) = (config.listen.clone(), config.agi.clone());
        let mut cti = Cti::unbound(config, context).await?;
        cti.listener = Some(listen.bind().await?);
        if agi.enabled {
            cti.agi = Some(agi.listen.bind().await?);
        }
        Ok(cti)
    }

    async fn run(self, context: Context) -> service::Result<()> {
        let Cti { config, gate, writer, errands, phones, directory, journal, alone, sealed, live, listener, agi } =
            self;
        let door = door(&config, &gate, &phones, &directory, &context);
        if let Some(listener) = listener {
            let (listen, drain) = (config.listen.clone(), context.drain.clone());
            let router = http::router(door);
            context.tasks.spawn("http", async move { serve(listener, router, &listen, &drain).await })?;
        }
        if let Some(listener) = agi {
            let connections = context.tasks.group("agi", config.agi.listen.connections_max as usize);
            let (gate, clock) = (Arc::clone(&gate), context.clock.clone());
            let server = Server { gate, config: config.agi.clone(), clock, connections };
            let drain = context.drain.clone();
            context.tasks.spawn_blocking("agi", move || server.run_here(listener, drain))?;
        }
        if let Some(live) = &live {
            let (live, gate) = (Arc::clone(live), Arc::clone(&gate));
            let recalling = sharing::recall(live, gate, context.clock.clone(), context.drain.clone());
            context.tasks.spawn("recall", recalling)?;
        }
        context.health.started();
        let opened = match journal {
            Some(journal) => Some(journal),
            None => open(&config, &context).await,
        };
        if let Some(journal) = opened {
            journal::beat::start(&journal, &context, journal::beat::EVERY)?;
            feed(&journal, &gate, &phones, writer, &context, sealed, live)?;
            errands.start(&journal, &gate, &config, &context)?;
            keep_phones(&journal, &gate, &phones, &directory, &config, &context)?;
            if alone {
                let (clock, drain, upkeep) = (context.clock.clone(), context.drain.clone(), config.journal.clone());
                context
                    .tasks
                    .spawn("upkeep", async move { journal::upkeep::run(journal, upkeep, clock, drain).await })?;
            }
        }
        tokio::select! {
            () = context.drain.started() => {}
            fault = context.tasks.faulted() => return Err(fault.into()),
        }
        context.tasks.idle().await;
        Ok(())
    }
}

impl Cti {
    /// A gate that listens nowhere: requests come to its [door](Cti::door) or its [gate](Cti::gate) in another way.
    ///
    /// # Errors
    /// As [`Component::build`].
    pub async fn unbound(config: Config, context: &Context) -> service::Result<Cti> {
        let alone = context.shared::<Arc<dyn Journal>>().is_none();
        let journal = match journal::config::of_process(&config.journal, context).await {
            Ok(journal) => Some(journal),
            // What must be mended by hand is told at once; what may pass is waited for, while calls are answered.
            Err(error) if error.class() == service::Class::Dependency => {
                tracing::warn!(error = error.chain(), "the journal is not there; calls are answered without it");
                None
            }
            Err(error) => return Err(error),
        };
        let own = || Arc::new(config.directory.clone());
        let directory = context.shared::<Arc<Directory>>().unwrap_or_else(own);
        let (key, sealed) = match &config.number_key {
            Some(secret) => match secret.read() {
                Ok(text) => (text.into_bytes(), true),
                Err(error) => {
                    return Err(service::Error::config("TG0201", "cti.number_key cannot be read").caused_by(error));
                }
            },
            // Until the receiver's key is known: tokens never leave this process.
            None => (service::http::auth::generate().0.into_bytes(), false),
        };
        let live = config.live.of_process("control", context)?;
        let (emitter, writer) = emit::queue(config.events_max);
        let clock = context.clock.clone();
        let (errands, webhooks) = Errands::new(&config, context)?;
        let key = Key { bytes: key, lasting: sealed };
        let gate = Gate::new(&config, key, Arc::clone(&directory), clock, (emitter, webhooks), &context.instance);
        let gate = Arc::new(gate);
        let phones = Arc::new(hardphone::Shared::new(config.hard_phones.clone()));
        Ok(Cti {
            config,
            gate,
            writer,
            errands,
            phones,
            directory,
            journal,
            alone,
            sealed,
            live,
            listener: None,
            agi: None,
        })
    }

    /// Its HTTP door.
    pub fn door(&self, context: &Context) -> Router {
        http::router(door(&self.config, &self.gate, &self.phones, &self.directory, context))
    }

    /// Where it listens: HTTP and FastAGI.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let address = |listener: &Option<TcpListener>| listener.as_ref()?.local_addr().ok();
        (address(&self.listener), address(&self.agi))
    }

    /// The gate itself.
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }
}

fn door(
    config: &Config,
    gate: &Arc<Gate>,
    phones: &Arc<hardphone::Shared>,
    directory: &Arc<Directory>,
    context: &Context,
) -> Door {
    Door {
        gate: Arc::clone(gate),
        phones: Arc::clone(phones),
        guard: config.auth.guard(),
        directory: Arc::clone(directory),
        clock: context.clock.clone(),
    }
}

/// Opens the journal as soon as it can be; `None` when the drain comes before.
async fn open(config: &Config, context: &Context) -> Option<Arc<dyn Journal>> {
    let health = context.health.check("journal");
    loop {
        match config.journal.open(&context.clock).await {
            Ok(journal) => {
                health.ok();
                return Some(journal);
            }
            Err(error) => health.degraded(error.chain()),
        }
        tokio::select! {
            biased;
            () = context.drain.started() => return None,
            () = context.clock.sleep(OPEN_AGAIN) => {}
        }
    }
}

/// Starts what feeds the gate and what it tells.
fn feed(
    journal: &Arc<dyn Journal>,
    gate: &Arc<Gate>,
    phones: &Arc<hardphone::Shared>,
    writer: Writer,
    context: &Context,
    sealed: bool,
    live: Option<Arc<dyn Live>>,
) -> service::Result<()> {
    let (clock, drain) = (context.clock.clone(), context.drain.clone());
    let kept = Kept::default();
    if let Some(live) = live {
        let sharing = Sharing {
            live,
            journal: Arc::clone(journal),
            kept: kept.clone(),
            clock: clock.clone(),
            drain: drain.clone(),
            health: context.health.check("shared decisions"),
        };
        context.tasks.spawn("sharing", sharing.run())?;
    }
    let plans = control::Follow {
        journal: Arc::clone(journal),
        gate: Arc::clone(gate),
        kept: kept.clone(),
        clock: clock.clone(),
        drain: drain.clone(),
        health: context.health.check("control"),
        pulse: context.health.pulse("control", PULSE_MAX),
    };
    context.tasks.spawn("control", plans.run())?;
    let affirmed = affirmed::Follow {
        journal: Arc::clone(journal),
        gate: Arc::clone(gate),
        kept,
        clock: clock.clone(),
        drain: drain.clone(),
        health: context.health.check("affirmed plans"),
    };
    context.tasks.spawn("affirmed plans", affirmed.run())?;
    let views = live::Follow {
        journal: Arc::clone(journal),
        gate: Arc::clone(gate),
        phones: Arc::clone(phones),
        clock: clock.clone(),
        drain: drain.clone(),
        health: context.health.check("figures"),
        pulse: context.health.pulse("figures", PULSE_MAX),
    };
    context.tasks.spawn("figures", views.run())?;
    let counts =
        count::run(Arc::clone(journal), Arc::clone(gate), context.instance.clone(), clock.clone(), drain.clone());
    context.tasks.spawn("counts", counts)?;
    let record = context.health.check("record");
    let events = writer.run(Arc::clone(journal), context.instance.clone(), clock.clone(), drain.clone(), record);
    context.tasks.spawn("events", events)?;
    if !sealed {
        let (journal, gate) = (Arc::clone(journal), Arc::clone(gate));
        context.tasks.spawn("number key", async move {
            tokio::select! {
                biased;
                () = drain.started() => {}
                () = learn_key(journal, gate, clock) => {}
            }
        })?;
    }
    Ok(())
}

/// Keeps the desk phones of the queues in the phone systems, where there are any to command.
fn keep_phones(
    journal: &Arc<dyn Journal>,
    gate: &Arc<Gate>,
    phones: &Arc<hardphone::Shared>,
    directory: &Arc<Directory>,
    config: &Config,
    context: &Context,
) -> service::Result<()> {
    if config.ami.is_empty() {
        return Ok(());
    }
    let keeper = hardphone::Follow {
        journal: Arc::clone(journal),
        gate: Arc::clone(gate),
        shared: Arc::clone(phones),
        pbxs: config.ami.clone(),
        directory: Arc::clone(directory),
        instance: context.instance.clone(),
        clock: context.clock.clone(),
        drain: context.drain.clone(),
    };
    let writes = Arc::<AtomicBool>::default();
    let (health, pulse) = (context.health.check("hard phones"), context.health.pulse("hard phones", PHONES_PULSE_MAX));
    context.tasks.spawn("hard phones: whose turn", keeper.clone().choose(Arc::clone(&writes)))?;
    context.tasks.spawn("hard phones", keeper.run(writes, health, pulse))?;
    Ok(())
}

/// Takes the key that the receiver keeps in the journal, as soon as it is there: then every gate gives a caller the same place.
async fn learn_key(journal: Arc<dyn Journal>, gate: Arc<Gate>, clock: service::Clock) {
    loop {
        match journal.state(KEY_GROUP, KEY.as_bytes()).await {
            Ok(kept) => {
                if let Some((_, key)) = kept.into_iter().find(|(name, _)| name.as_ref() == KEY.as_bytes()) {
                    return gate.callers.take_key(key.to_vec());
                }
            }
            Err(error) => tracing::debug!(%error, "the key of numbers cannot be read yet"),
        }
        clock.sleep(OPEN_AGAIN).await;
    }
}
