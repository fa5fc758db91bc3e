//! `tidegate import`: recorded calls through the whole pipeline, without a server.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use adapter::registry::Planned;
use adapter::runtime::{self, Environment, Notice, Settings};
use adapter::{Ingest, Intake};
use aggregator::{CatchUp, Caught};
use journal::Journal;
use model::{Directory, SourceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::config::{ConfigFile, Layers, Problems, Sources};
use service::{Clock, Context, Drain, Error, Result, Seeds};
use tokio::sync::watch;

use crate::cli::{Import, Kind};
use crate::data;
use crate::front::Front;
use crate::progress::Progress;

/// The file that `--config` names: what the recording is, and whose.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct File {
    /// The source's name in every event.
    source: String,
    /// Names, limits and tenants of these calls; added to what the data directory knows.
    directory: Directory,
    /// The table's mapping, for `calls-csv`.
    #[serde(rename = "calls-csv")]
    calls_csv: Value,
    /// The settings for `queue-log`.
    #[serde(rename = "queue-log")]
    queue_log: Value,
    /// The settings for `replay`.
    replay: Value,
}

impl Default for File {
    fn default() -> Self {
        let empty = || Value::Object(serde_json::Map::new());
        File {
            source: "import".to_owned(),
            directory: Directory::default(),
            calls_csv: empty(),
            queue_log: empty(),
            replay: empty(),
        }
    }
}

impl ConfigFile for File {
    fn check(&self, problems: &mut Problems) {
        problems.not_empty("source", &self.source);
        for found in self.directory.problems() {
            problems.add_hidden(&format!("directory.{}", found.path), found.what, found.fix);
        }
    }
}

pub(crate) async fn run(args: Import) -> Result<()> {
    let speed = speed(&args.speed)?;
    let (file, planned) = plan(&args)?;
    let clock = Clock::system();
    let opened = data::open_alone(&args.data, &clock).await?;
    let mut knows = file.directory;
    knows.sources.entry(SourceId::new(&file.source)).or_default().recorded = true;
    let directory = data::learn(&opened.store, knows).await?;
    let started = clock.monotonic();

    let context = Context::new("import", "import", clock.clone(), &Seeds::fixed(0));
    let settings = Settings::recording(SourceId::new(&file.source), speed);
    let front = Front::open(&opened.journal, directory, &clock, speed.is_some()).await?;
    // Everything works at once, each on what the one before it has made durable.
    let (tell, over) = watch::channel(false);
    let written = async {
        let outcome = write(planned.as_ref(), settings, front, &opened.journal, &clock).await;
        tell.send_replace(true);
        outcome
    };
    let folded = fold(&opened, &context, over);
    let (written, folded) = tokio::join!(written, folded);
    let ((collected, received), caught) = (written?, folded?);
    opened.journal.close().await.map_err(Error::from)?;
    opened.store.close().await.map_err(|e| data::failed(&e))?;
    let took = clock.monotonic() - started;
    eprintln!(
        "imported {} events from {} file(s) in {:.2} s; {} folded; {} rows made no sense{}; {} set aside",
        collected.facts,
        args.paths.len(),
        took.as_secs_f64(),
        caught.folded,
        collected.malformed,
        if collected.malformed > 0 { " (named above)" } else { "" },
        received.aside,
    );
    Ok(())
}

/// The configuration of the import, and its plan.
fn plan(args: &Import) -> Result<(File, Box<dyn Planned>)> {
    let sources = Sources { file: args.config.clone(), ..Sources::default() };
    let file = Layers::read(&sources).whole::<File>().accept()?;
    let (name, mut config) = match args.kind {
        Kind::CallsCsv => ("calls-csv", file.calls_csv.clone()),
        Kind::QueueLog => ("queue-log", file.queue_log.clone()),
        Kind::Replay => ("replay", file.replay.clone()),
    };
    let Some(table) = config.as_object_mut() else {
        return Err(Error::config("TG0306", format!("[{name}] is no table")));
    };
    let paths: Vec<String> = args.paths.iter().map(|p| p.display().to_string()).collect();
    missing(&args.paths)?;
    table.insert("paths".to_owned(), Value::from(paths));
    let registry = collector::registry::registry();
    let kind = registry.kind(name).map_err(Error::bug)?;
    let planned = kind.plan(&config).map_err(|found| {
        let mut problems = Problems::new();
        problems.extend(name, found);
        Error::from(problems)
    })?;
    if !planned.recording() {
        return Err(Error::config(
            "TG0307",
            format!("[{name}] follows a growing file; an import has an end: leave `follow` out"),
        ));
    }
    Ok((file, planned))
}

fn missing(paths: &[PathBuf]) -> Result<()> {
    let gone: Vec<_> = paths.iter().filter(|p| !p.is_file()).map(|p| p.display().to_string()).collect();
    if gone.is_empty() {
        return Ok(());
    }
    Err(Error::usage("TG0308", format!("no such file: {}", gone.join(", "))))
}

/// Reads the recording and writes the canonical record.
async fn write(
    planned: &dyn Planned,
    settings: Settings,
    front: Front,
    journal: &Arc<dyn Journal>,
    clock: &Clock,
) -> Result<(runtime::Outcome, receiver::Outcome)> {
    let env =
        |intake| Environment { intake, turns: None, clock: clock.clone(), seeds: Seeds::fixed(0), drain: Drain::new() };
    match front {
        Front::Direct(direct) => {
            let intake: Arc<dyn Intake> = Arc::clone(&direct) as _;
            let collected = collect(planned, settings, env(intake)).await?;
            let direct =
                Arc::into_inner(direct).ok_or_else(|| Error::bug("the import is over and still has an intake"))?;
            Ok((collected, direct.close().await.map_err(|e| data::journal_failed(&e))?))
        }
        Front::Ingest(directory) => {
            let collected = AtomicBool::new(false);
            let collect = async {
                let outcome = collect(planned, settings, env(Arc::new(Ingest(Arc::clone(journal))))).await;
                collected.store(true, Ordering::Release);
                outcome
            };
            let over = || collected.load(Ordering::Acquire);
            let receive = receiver::catch_up(Arc::clone(journal), directory, clock.clone(), over);
            let (collected, received) = tokio::join!(collect, receive);
            Ok((collected?, received.map_err(|e| data::journal_failed(&e))?))
        }
    }
}

/// Folds what is written, until all is.
async fn fold(opened: &data::Opened, context: &Context, over: watch::Receiver<bool>) -> Result<Caught> {
    let bar: Arc<Mutex<Option<Progress>>> = Arc::default();
    let told = Arc::clone(&bar);
    let how = CatchUp::new("import").progress(move |p| {
        if let Ok(mut bar) = told.lock() {
            bar.get_or_insert_with(|| Progress::new("folding")).at(p.folded, p.total);
        }
    });
    let caught = aggregator::catch_up_until(&opened.journal, &opened.store, &how, context, over).await;
    if let Some(bar) = bar.lock().ok().and_then(|mut bar| bar.take()) {
        bar.finish();
    }
    caught.map_err(Error::from)
}

async fn collect(planned: &dyn Planned, settings: Settings, env: Environment) -> Result<runtime::Outcome> {
    let mut bar = Progress::new("importing");
    let outcome = runtime::run(planned, settings, env, |notice| {
        if let Notice::Stored { progress: Some((done, total)), .. } = notice {
            bar.at(done, total);
        }
    })
    .await;
    bar.finish();
    outcome.map_err(|e| {
        Error::dependency(
            "TG0309",
            "the import stopped; what was imported stays, and importing again adds only what is missing",
        )
        .caused_by(e)
    })
}

/// `max`, `real`, `60x` or `60`.
fn speed(text: &str) -> Result<Option<f64>> {
    let number = match text {
        "max" => return Ok(None),
        "real" => Ok(1.0),
        other => other.strip_suffix('x').unwrap_or(other).parse::<f64>(),
    };
    match number {
        Ok(n) if (0.001..=1_000_000.0).contains(&n) => Ok(Some(n)),
        _ => Err(Error::usage("TG0310", format!("--speed {text:?} is none of max, real, or 0.001x to 1000000x"))),
    }
}
