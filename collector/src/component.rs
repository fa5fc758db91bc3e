//! The component: one task per source, each with its own health.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter::Ingest;
use adapter::registry::Planned;
use adapter::runtime::{self, Environment, Notice, Settings};
use async_trait::async_trait;
use journal::Journal;
use model::SourceId;
use service::config::{ConfigFile, Problems};
use service::health::Check;
use service::{Component, Context, metric};

use crate::config::{Config, Source};
use crate::registry::registry;

/// The collector.
pub struct Collector {
    journal: Arc<dyn Journal>,
    sources: Vec<Ready>,
}

/// A checked configuration.
pub struct Plan {
    journal: journal::config::Config,
    sources: Vec<Ready>,
}

/// A source that is ready to run.
struct Ready {
    name: SourceId,
    config: Source,
    recording: bool,
    planned: Box<dyn Planned>,
}

#[async_trait]
impl Component for Collector {
    const NAME: &'static str = "collector";
    const ABOUT: &'static str = "Collects what vendors' phone systems say, and writes it to the journal";
    const OPS_PORT: u16 = 7403;
    type Config = Config;
    type Plan = Plan;

    fn plan(config: Config) -> Result<Plan, Problems> {
        let mut problems = Problems::new();
        config.check(&mut problems);
        let mut sources = Vec::new();
        for (name, source) in config.sources {
            let registry = registry();
            let Ok(kind) = registry.kind(&source.kind) else { continue };
            if let Ok(planned) = kind.plan(&source.config) {
                let recording = planned.recording();
                sources.push(Ready { name: SourceId::new(name), config: source, recording, planned });
            }
        }
        problems.or(Plan { journal: config.journal, sources })
    }

    async fn build(plan: Plan, context: &Context) -> service::Result<Collector> {
        let journal = journal::config::of_process(&plan.journal, context).await?;
        Ok(Collector { journal, sources: plan.sources })
    }

    async fn run(self, context: Context) -> service::Result<()> {
        metric::describe_counter("collector_facts_total", "facts written to the journal, by source");
        metric::describe_counter(
            "collector_malformed_total",
            "vendor messages left out because they made no sense, by source",
        );
        metric::describe_counter(
            "collector_repeats_total",
            "times the journal did not answer a source and was asked again, by source",
        );
        metric::describe_counter("collector_breaks_total", "times the link to the vendor broke, by source");
        metric::describe_gauge(
            "collector_writes",
            "1 where this collector writes what the source says, 0 where it stands by",
        );
        metric::describe_gauge(
            "collector_held_facts",
            "facts that are held because another collector writes them, by source",
        );
        for source in self.sources {
            let name = format!("source/{}", source.name);
            let (journal, inner) = (Arc::clone(&self.journal), context.clone());
            context.tasks.spawn(name, async move { collect(source, journal, inner).await })?;
        }
        context.health.started();
        journal::beat::start(&self.journal, &context, journal::beat::EVERY)?;
        tokio::select! {
            biased;
            () = context.drain.started() => {}
            fault = context.tasks.faulted() => return Err(fault.into()),
        }
        context.tasks.idle().await;
        Ok(())
    }
}

/// Runs one source until the drain, or until its recording is over.
async fn collect(source: Ready, journal: Arc<dyn Journal>, context: Context) -> Result<(), runtime::Error> {
    let settings = settings(&source, &context.instance);
    let env = Environment {
        intake: Arc::new(Ingest(Arc::clone(&journal))),
        turns: Some(journal),
        clock: context.clock.clone(),
        seeds: context.seeds.clone(),
        drain: context.drain.clone(),
    };
    let mut telemetry = Telemetry::new(&source.name, context.health.check(&format!("source:{}", source.name)));
    let outcome = runtime::run(source.planned.as_ref(), settings, env, |notice| telemetry.take(notice)).await?;
    tracing::info!(source = %source.name, facts = outcome.facts, malformed = outcome.malformed, "source finished");
    Ok(())
}

fn settings(source: &Ready, instance: &str) -> Settings {
    let base = if source.recording {
        Settings::recording(source.name.clone(), source.config.speed)
    } else {
        Settings::live(source.name.clone(), instance)
    };
    Settings {
        instance: instance.to_owned(),
        connect_timeout: source.config.connect_timeout.duration(),
        heartbeat_every: source.config.heartbeat.duration(),
        backoff_base: source.config.retry_first.duration(),
        backoff_max: source.config.retry_max.duration(),
        backoff_refused: source.config.retry_refused.duration(),
        keep_raw: source.config.keep_raw,
        held_max: source.config.held_max,
        ..base
    }
}

/// What the outside sees of one source.
struct Telemetry {
    name: SourceId,
    health: Check,
    facts: metric::Counter,
    malformed: metric::Counter,
    breaks: BTreeMap<bool, metric::Counter>,
    writes: metric::Gauge,
    held: metric::Gauge,
}

impl Telemetry {
    fn new(name: &SourceId, health: Check) -> Telemetry {
        health.degraded("connecting");
        let label = [("source", name.as_str())];
        let breaks = |class| metric::counter("collector_breaks_total", &[("source", name.as_str()), ("class", class)]);
        Telemetry {
            facts: metric::counter("collector_facts_total", &label),
            malformed: metric::counter("collector_malformed_total", &label),
            breaks: BTreeMap::from([(false, breaks("transient")), (true, breaks("refused"))]),
            writes: metric::gauge("collector_writes", &label),
            held: metric::gauge("collector_held_facts", &label),
            name: name.clone(),
            health,
        }
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Connected => {
                tracing::info!(source = %self.name, "connected");
                self.health.ok();
            }
            Notice::Broken { reason, refused, retry_in } => {
                tracing::warn!(source = %self.name, reason, ?retry_in, "link broken, will try again");
                self.breaks[&refused].increment(1);
                self.health.degraded(reason);
            }
            Notice::Turn { writes, namesake } => {
                self.writes.set(f64::from(u8::from(writes)));
                self.held.set(0.0);
                if namesake {
                    let name = &self.name;
                    tracing::error!(code = "TG0365", source = %name, "another collector of this source has our instance name");
                    self.health.degraded("TG0365: another collector of this source has our instance name");
                } else if writes {
                    tracing::info!(source = %self.name, "writes from now on");
                    self.health.ok();
                } else {
                    tracing::info!(source = %self.name, "stands by from now on");
                }
            }
            Notice::Held(facts) => self.held.set(facts as f64),
            Notice::Stored { facts, malformed, .. } => {
                self.facts.increment(facts as u64);
                self.malformed.increment(malformed as u64);
            }
        }
    }
}
