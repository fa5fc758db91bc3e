//! The component: the book, the figures, the turn of evaluating, and the face, in one life.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use journal::{Journal, Stream};
use model::{Directory, TenantId, Time};
use preview::scenario::Scenario;
use service::config::{ConfigFile, Problems};
use service::{Component, Context, Error, metric};
use store::Reports;
use tokio::net::TcpListener;

use crate::active::Active;
use crate::book::Books;
use crate::config::Config;
use crate::evaluate::{Evaluator, Pace};
use crate::explain::Explainer;
use crate::figures::{Figures, Look};
use crate::http::{Face, router};
use crate::tail::{Read, Tail};
use crate::writer::Writer;

/// The console.
pub struct Console {
    config: Config,
    journal: Arc<dyn Journal>,
    reports: Arc<dyn Reports>,
    directory: Arc<Directory>,
    listener: TcpListener,
}

/// How long the loop may be busy before the process is not alive any more: it waits for the book at a take-over.
const PULSE_MAX: Duration = Duration::from_secs(120);

#[async_trait]
impl Component for Console {
    const NAME: &'static str = "console";
    const ABOUT: &'static str =
        "Decides how many callers may enter each queue and where the others go; thresholds, orders, audit";
    const OPS_PORT: u16 = 7408;
    type Config = Config;
    type Plan = Config;

    fn plan(config: Config) -> Result<Config, Problems> {
        let mut problems = Problems::new();
        config.check(&mut problems);
        problems.or(config)
    }

    async fn build(config: Config, context: &Context) -> service::Result<Console> {
        let journal = journal::config::of_process(&config.journal, context).await?;
        let partitions = journal.partitions(Stream::Control);
        if partitions != 1 {
            let message = format!("the stream control has {partitions} partitions: decisions would have no order");
            return Err(Error::config("TG0332", message));
        }
        let reports = store::config::of_process(&config.store, context).await?;
        let directory = match context.shared::<Arc<Directory>>() {
            Some(directory) => directory,
            None => Arc::new(config.directory.clone()),
        };
        let listener = config.listen.bind().await?;
        Ok(Console { config, journal, reports, directory, listener })
    }

    async fn run(self, context: Context) -> service::Result<()> {
        describe();
        let Console { config, journal, reports, directory, listener } = self;
        let (books, figures, look) =
            (Books::default(), Arc::<Mutex<Figures>>::default(), Arc::<Mutex<Look>>::default());
        let evaluator = Arc::<Mutex<Evaluator>>::default();
        let tails = Tails {
            tail: tail(&journal, &context),
            books: books.clone(),
            figures: Arc::clone(&figures),
            evaluator: Arc::clone(&evaluator),
        };
        tails.start(&context).await?;
        journal::beat::start(&journal, &context, journal::beat::EVERY)?;
        let active = Active {
            journal: Arc::clone(&journal),
            context: context.clone(),
            books: books.clone(),
            figures: Arc::clone(&figures),
            evaluator,
            look: Arc::clone(&look),
            pace: Pace { affirm_ms: config.affirm.signed(), effect_ms: config.effect.signed() },
            tick: config.tick.duration(),
            seal: config.seal.duration(),
            health: context.health.check("evaluating"),
            pulse: context.health.pulse("tick", PULSE_MAX),
        };
        context.tasks.spawn("evaluate", active.run())?;
        let writer =
            Writer::new(Arc::clone(&journal), books.clone(), &context.instance, context.clock.clone(), &context.seeds);
        let previews = previews(&reports, &directory, &books, &context);
        let face = Face {
            books: books.clone(),
            writer,
            figures,
            look,
            directory,
            explainer: Explainer { reports, journal, books },
            clock: context.clock.clone(),
            override_max_ms: config.override_max.signed(),
            timeout: config.request_timeout.duration(),
        };
        let address = listener.local_addr().unwrap_or(config.listen.address);
        tracing::info!(%address, "console API");
        context.health.started();
        let routes = router(face, &config.auth.guard(), preview::face::router(previews));
        let (listen, drain) = (config.listen.clone(), context.drain.clone());
        context.tasks.spawn("http", async move { service::http::serve(listener, routes, &listen, &drain).await })?;
        tokio::select! {
            () = context.drain.started() => {}
            fault = context.tasks.faulted() => return Err(fault.into()),
        }
        context.tasks.idle().await;
        Ok(())
    }
}

/// Previews may be played at once, and wait for their place.
const PREVIEWS: usize = 4;

/// What answers `POST /v1/preview`: proposals are compared with what is in force.
fn previews(
    reports: &Arc<dyn Reports>,
    directory: &Arc<Directory>,
    books: &Books,
    context: &Context,
) -> preview::face::Face {
    let books = books.clone();
    let in_force = move |tenant: &TenantId| in_force(&books, tenant);
    let tasks = context.tasks.group("previews", PREVIEWS);
    preview::face::Face::new(Arc::clone(reports), Arc::clone(directory), Arc::new(in_force), tasks)
}

fn in_force(books: &Books, tenant: &TenantId) -> Scenario {
    let book = books.look();
    book.table.tenant(tenant).map(Scenario::in_force).unwrap_or_default()
}

fn tail(journal: &Arc<dyn Journal>, context: &Context) -> Tail {
    Tail { journal: Arc::clone(journal), clock: context.clock.clone(), drain: context.drain.clone() }
}

/// Everything that is read to its end, and on.
struct Tails {
    tail: Tail,
    books: Books,
    figures: Arc<Mutex<Figures>>,
    evaluator: Arc<Mutex<Evaluator>>,
}

impl Tails {
    async fn start(self, context: &Context) -> service::Result<()> {
        let (tail, books) = (self.tail.clone(), self.books.clone());
        let from = tail.journal.earliest(Stream::Control, 0).await?;
        context
            .tasks
            .spawn("book", async move { tail.follow(Stream::Control, 0, from, move |read| books.read(&read)).await })?;
        for partition in 0..self.tail.journal.partitions(Stream::Views) {
            let (tail, figures) = (self.tail.clone(), Arc::clone(&self.figures));
            let from = tail.journal.earliest(Stream::Views, partition).await?;
            context.tasks.spawn("views", async move {
                let take = move |read: Read<'_>| {
                    if let Read::Record(record) = read {
                        figures.lock().unwrap_or_else(PoisonError::into_inner).take(&record.key, &record.value);
                    }
                };
                tail.follow(Stream::Views, partition, from, take).await
            })?;
        }
        for partition in 0..self.tail.journal.partitions(Stream::Health) {
            let (tail, evaluator, books) = (self.tail.clone(), Arc::clone(&self.evaluator), self.books.clone());
            let from = tail.journal.end(Stream::Health, partition).await?;
            context.tasks.spawn("health", async move {
                let take = move |read: Read<'_>| {
                    if let Read::Record(record) = read {
                        evaluator.lock().unwrap_or_else(PoisonError::into_inner).heard(&record.value);
                        books.look().affirm(&record.value);
                    }
                };
                tail.follow(Stream::Health, partition, from, take).await
            })?;
        }
        for partition in 0..self.tail.journal.partitions(Stream::EventsCall) {
            let (tail, evaluator) = (self.tail.clone(), Arc::clone(&self.evaluator));
            let from = tail.journal.end(Stream::EventsCall, partition).await?;
            let clock = tail.clock.clone();
            context.tasks.spawn("calls", async move {
                let take = move |read: Read<'_>| {
                    if let Read::Record(record) = read {
                        let now = Time(clock.now_ms());
                        evaluator.lock().unwrap_or_else(PoisonError::into_inner).heard_call(&record.value, now);
                    }
                };
                tail.follow(Stream::EventsCall, partition, from, take).await
            })?;
        }
        Ok(())
    }
}

fn describe() {
    metric::describe_gauge("console_active", "1 while this instance evaluates");
    metric::describe_gauge("console_age_seconds", "how old the figures are that decisions are made of");
}
