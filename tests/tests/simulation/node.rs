//! A process of the product in the simulation: started, crashed, stopped, drained and started again, with nothing left but what is
//! on its disks.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapter::runtime::{self, Environment, Settings};
use aggregator::Aggregator;
use futures::FutureExt as _;
use journal::Journal;
use pusher::live::follow::Follow;
use pusher::ws::hub::Hub;
use receiver::Receiver;
use service::http::{Role, auth};
use service::simulation::Place;
use service::{Component, Context, Drain, Millis, Secret, Seeds, Tasks};
use store::Reports;

use crate::caller::{Door, TOKEN};
use crate::disk::{Disk, Graveyard};
use crate::load;
use crate::sabotage::Sabotage;
use crate::shelf::{Shelf, Vault};
use crate::trace::Trace;
use crate::vendor::{Vendor, Watch};
use crate::weather::Weather;

/// The key that numbers are sealed with.
pub const NUMBER_KEY: &str = "the same in every run";

/// What all processes share: what survives them.
#[derive(Clone)]
pub struct Ground {
    pub journal: Arc<dyn Journal>,
    pub vault: Arc<Vault>,
    pub graveyard: Graveyard,
    pub trace: Arc<Trace>,
    pub sabotage: Sabotage,
    pub seeds: Seeds,
}

/// What a process is.
#[derive(Clone)]
pub enum Kind {
    Collector(Arc<Vendor>),
    Receiver(Door),
    Aggregator,
    Pusher(Arc<Mutex<Option<Arc<Hub>>>>),
}

/// A process, over all its lives.
pub struct Node {
    pub name: String,
    pub place: Place,
    pub kind: Kind,
    pub ground: Ground,
    /// Of its ways to the journal and the store.
    pub weather: Arc<Weather>,
    lives: AtomicU64,
    retired: AtomicBool,
    life: Mutex<Option<Life>>,
}

/// One life of a process.
struct Life {
    alive: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    context: Context,
}

impl Node {
    pub fn new(name: &str, place: Place, kind: Kind, ground: Ground) -> Arc<Node> {
        let rng = ground.seeds.stream(&format!("weather of {name}"));
        let weather = Arc::new(Weather::new(place.clock(), rng));
        let name = name.to_owned();
        Arc::new(Node {
            name,
            place,
            kind,
            ground,
            weather,
            lives: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            life: Mutex::default(),
        })
    }

    /// Starts it, when it does not run.
    pub fn start(self: &Arc<Self>) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if life.is_some() || self.is_retired() {
            return;
        }
        let number = self.lives.fetch_add(1, Ordering::Relaxed);
        let clock = self.place.clock();
        let seeds = self.ground.seeds.child(&format!("{}/{number}", self.name));
        let context = Context::new(self.component(), &self.name, clock.clone(), &seeds);
        let (alive, over) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let outer = Tasks::new("process", 1, clock, Drain::new());
        let (own, inner, told, living) = (Arc::clone(self), context.clone(), Arc::clone(&over), Arc::clone(&alive));
        let work = async move {
            let ended = AssertUnwindSafe(own.live(inner, living)).catch_unwind().await;
            own.judge(ended);
            told.store(true, Ordering::Relaxed);
        };
        self.ground.trace.tell(&self.place, "starts");
        outer.spawn("life", work).expect("one process at a time");
        *life = Some(Life { alive, over, context });
    }

    /// Dies where it stands: `kill -9`.
    pub fn crash(&self) {
        if let Some(life) = self.take_life() {
            life.alive.store(false, Ordering::Relaxed);
            self.ground.trace.tell(&self.place, "is killed");
            self.shut_door();
            self.place.crash();
        }
    }

    /// Asks it to finish; whoever tends it finds it over.
    pub fn drain(&self) {
        if let Some(life) = self.life.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            self.ground.trace.tell(&self.place, "is asked to finish");
            life.context.drain.start("the simulation wants it");
        }
    }

    /// Asks it to finish, for good.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        self.drain();
    }

    /// Whether it is not to run any more.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Whether it runs.
    pub fn is_alive(&self) -> bool {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.as_ref().is_some_and(|life| !life.over.load(Ordering::Relaxed))
    }

    /// Clears a process away that ended by itself. True: it did.
    pub fn bury(&self) -> bool {
        let over = {
            let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
            life.as_ref().is_some_and(|life| life.over.load(Ordering::Relaxed))
        };
        if over {
            self.take_life();
            self.shut_door();
            self.place.crash();
        }
        over
    }

    fn take_life(&self) -> Option<Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn shut_door(&self) {
        match &self.kind {
            Kind::Receiver(door) => *door.lock().unwrap_or_else(PoisonError::into_inner) = None,
            Kind::Pusher(hub) => *hub.lock().unwrap_or_else(PoisonError::into_inner) = None,
            Kind::Collector(_) | Kind::Aggregator => {}
        }
    }

    fn component(&self) -> &'static str {
        match self.kind {
            Kind::Collector(_) => "collector",
            Kind::Receiver(_) => "receiver",
            Kind::Aggregator => "aggregator",
            Kind::Pusher(_) => "pusher",
        }
    }

    fn judge(&self, ended: std::thread::Result<service::Result<()>>) {
        match ended {
            Ok(Ok(())) => self.ground.trace.tell(&self.place, "has finished"),
            Ok(Err(error)) => {
                self.ground.trace.count("processes that gave up");
                self.ground.trace.tell(&self.place, format_args!("gives up: {}", error.chain()));
                if error.chain().contains("panicked") {
                    self.ground.trace.count("PANICS");
                }
            }
            Err(_) => {
                self.ground.trace.count("PANICS");
                self.ground.trace.tell(&self.place, "panics");
            }
        }
    }

    /// One life, as a host would let it live.
    async fn live(&self, context: Context, alive: Arc<AtomicBool>) -> service::Result<()> {
        let disk: Arc<dyn Journal> = Arc::new(Disk {
            journal: Arc::clone(&self.ground.journal),
            place: self.place.clone(),
            clock: context.clock.clone(),
            tasks: context.tasks.group("disk", 10_000),
            weather: Arc::clone(&self.weather),
            trace: Arc::clone(&self.ground.trace),
            graveyard: Arc::clone(&self.ground.graveyard),
            sabotage: self.ground.sabotage,
            alive,
            poisoned: AtomicBool::new(false),
        });
        let shelf: Arc<dyn Reports> = Arc::new(Shelf {
            vault: Arc::clone(&self.ground.vault),
            place: self.place.clone(),
            clock: context.clock.clone(),
            weather: Arc::clone(&self.weather),
            trace: Arc::clone(&self.ground.trace),
            sabotage: self.ground.sabotage,
            former: Mutex::default(),
        });
        let ended = {
            let work = self.work(context.clone(), disk, shelf);
            tokio::select! {
                biased;
                fault = context.tasks.faulted() => Err(fault.into()),
                ended = work => ended,
            }
        };
        ended?;
        Ok(context.tasks.shutdown(Duration::from_secs(10)).await?)
    }

    async fn work(&self, context: Context, disk: Arc<dyn Journal>, shelf: Arc<dyn Reports>) -> service::Result<()> {
        match &self.kind {
            Kind::Collector(vendor) => {
                let watch = Watch(Arc::clone(vendor));
                let settings = Settings::live(vendor.source.clone(), self.name.clone());

                let intake = Arc::new(adapter::Ingest(Arc::clone(&disk)));
                let (clock, seeds, drain) = (context.clock, context.seeds, context.drain);
                let env = Environment { intake, turns: Some(disk), clock, seeds, drain };
                let ended = runtime::run(&watch, settings, env, |_| {}).await;
                ended.map(|_| ()).map_err(|error| service::Error::dependency("TG0113", error.to_string()))
            }
            Kind::Receiver(door) => {
                let context = context.with_shared(disk).with_shared(Arc::new(load::directory()));
                let receiver = Receiver::unbound(receiver_config(), &context).await?;
                let requests = context.tasks.group("requests", 1_000);
                *door.lock().unwrap_or_else(PoisonError::into_inner) = Some((receiver.door(), requests));
                receiver.run(context).await
            }
            Kind::Aggregator => Aggregator::new(disk, shelf, aggregator_config()).run(context).await,
            Kind::Pusher(place) => {
                let hub = push(&context, disk, shelf)?;
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(hub);
                context.drain.started().await;
                context.tasks.idle().await;
                Ok(())
            }
        }
    }
}

/// The live part of a pusher, on what its board shows.
pub fn push(context: &Context, journal: Arc<dyn Journal>, reports: Arc<dyn Reports>) -> service::Result<Arc<Hub>> {
    let config = pusher::config::Config::default();
    let hub = Arc::new(Hub::new(format!("{:x}", context.clock.now_ms()), config.bounds()));
    let follow = Follow {
        journal,
        reports,
        live: None,
        hub: Arc::clone(&hub),
        directory: Arc::new(load::directory()),
        clock: context.clock.clone(),
        drain: context.drain.clone(),
        pace: config.pace(),
        health: context.health.check("figures"),
        pulse: context.health.pulse("live", Duration::from_secs(60)),
    };
    context.tasks.spawn("live", follow.run())?;
    Ok(hub)
}

fn receiver_config() -> receiver::Config {
    let mut config = receiver::Config { number_key: Some(Secret::plain(NUMBER_KEY)), ..receiver::Config::default() };
    config.records_max = 40;
    let token = auth::Token {
        name: "caller".to_owned(),
        sha256: auth::hash(TOKEN),
        tenant: "*".to_owned(),
        role: Role::Operator,
    };
    config.auth.tokens.push(token);
    config
}

/// Small steps, and little kept in memory, so that every way through the code is taken within a minute.
pub fn aggregator_config() -> aggregator::Config {
    aggregator::Config {
        tick: Millis::new(20),
        checkpoint_every: Millis::new(700),
        checkpoint_events: 60,
        batch_records: 25,
        closed_calls_kept: 5,
        row_hours_kept: 6,
        ..aggregator::Config::default()
    }
}
