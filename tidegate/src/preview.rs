//! `tidegate preview`: what thresholds would have done to recorded traffic, without a server.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use model::{Directory, QueueId, TenantId};
use preview::face::period;
use preview::recorded::Recorded;
use preview::run::{Asked, Preview as Ready};
use preview::scenario::Scenario;
use service::{Clock, Error, Result};

use crate::cli::{Preview, Shown};
use crate::control;
use crate::data::{self, Opened, open_existing};
use crate::progress::Progress;

/// Steps in which progress is told.
const STEPS: f64 = 1_000.0;

pub(crate) async fn run(args: Preview) -> Result<()> {
    let proposed = scenario("--thresholds", &args.thresholds)?;
    let opened = open_existing(&args.data, &Clock::system()).await?;
    let directory = data::directory(&opened.store).await?;
    let tenant = tenant(&directory, args.tenant.as_deref())?;
    let (from, to) = period(&directory, &tenant, &args.from, &args.to).map_err(refused)?;

    let (reading, still) = progress("reading");
    let recorded = Recorded::read(opened.store.as_ref(), &tenant, from, to, &still).await.map_err(refused)?;
    drop(still);
    finish(&reading);
    let ready = Ready::of(recorded, &tenant, &directory).map_err(refused)?;
    let current = match args.current.as_deref() {
        Some(path) => scenario("--current", path)?,
        None => in_force(&opened, &tenant).await?.within(ready.queues()),
    };
    let asked = Asked {
        // a proposal may leave out targets that the current file describes, and the other way round
        proposed: proposed.clone().with_targets_of(&current),
        current: current.with_targets_of(&proposed),
        queues: args.queue.iter().map(QueueId::new).collect(),
        seed: args.seed,
        seeds: args.seeds,
        age_s: args.age.as_secs_f64(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let (playing, still) = progress("playing");
    let answer = ready.play(&asked, &still).map_err(refused)?;
    drop(still);
    finish(&playing);
    let text = match args.format {
        Shown::Table => answer.table(),
        Shown::Json => answer.json(),
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::dependency("TG0316", "the preview cannot be written").caused_by(e))
        }
        _ => Ok(()),
    }
}

type Bar = std::sync::Arc<Mutex<Option<Progress>>>;

fn progress(what: &'static str) -> (Bar, impl Fn(f64) -> bool + Send + Sync) {
    let bar = Bar::new(Mutex::new(Some(Progress::new(what))));
    let told = std::sync::Arc::clone(&bar);
    let still = move |part: f64| {
        if let Ok(mut bar) = told.lock()
            && let Some(bar) = bar.as_mut()
        {
            bar.at((part * STEPS) as u64, STEPS as u64);
        }
        true
    };
    (bar, still)
}

fn finish(bar: &Bar) {
    if let Some(bar) = bar.lock().ok().and_then(|mut bar| bar.take()) {
        bar.finish();
    }
}

/// The thresholds that the data directory says are in force.
async fn in_force(opened: &Opened, tenant: &TenantId) -> Result<Scenario> {
    let table = control::table(&*opened.journal).await.map_err(|error| data::journal_failed(&error))?;
    Ok(table.tenant(tenant).map(Scenario::in_force).unwrap_or_default())
}

fn scenario(flag: &str, path: &Path) -> Result<Scenario> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::usage("TG0308", format!("{flag}: {} cannot be read", path.display())).caused_by(e))?;
    Scenario::parse(&format!("{flag} {}", path.display()), &text).map_err(refused)
}

/// The tenant that was named, or the only one.
fn tenant(directory: &Directory, asked: Option<&str>) -> Result<TenantId> {
    if let Some(asked) = asked {
        return Ok(TenantId::new(asked));
    }
    let mut there = directory.tenants.keys();
    match (there.next(), there.next()) {
        (Some(only), None) => Ok(only.clone()),
        (None, _) => Ok(directory.tenant_of(&model::SourceId::new(""))),
        _ => {
            let names: Vec<&str> = directory.tenants.keys().map(TenantId::as_str).collect();
            Err(Error::usage("TG0330", format!("--tenant: there are {}; say which", names.join(", "))))
        }
    }
}

fn refused(error: preview::Error) -> Error {
    match error {
        preview::Error::Refused(faults) => {
            let lines: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.at, fault.what)).collect();
            Error::usage("TG0330", format!("this cannot be previewed:\n  {}", lines.join("\n  ")))
        }
        preview::Error::Store(error) => data::failed(&error),
        error @ preview::Error::CalledOff => Error::bug(error.to_string()),
    }
}
