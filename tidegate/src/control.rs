//! `tidegate audit` and `tidegate thresholds`: what was decided, judged without a server.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use console::audit::{self, Verdict};
use console::wanted::{self, Known};
use journal::{Journal, Stream};
use model::QueueId;
use model::control::{Envelope, Parsed};
use policy::plan::Table;
use service::{Clock, Error, Result};
use store::reports::Kind;

use crate::cli::{Audit, Data, Thresholds, Verify};
use crate::data;

/// `tidegate audit …`.
pub(crate) async fn audit(what: Audit) -> Result<()> {
    let Audit::Verify(args) = what;
    let verdict = match &args.export {
        Some(file) => {
            let cannot = |error| Error::usage("TG0335", format!("cannot read {}", file.display())).caused_by(error);
            let opened = BufReader::new(File::open(file).map_err(cannot)?);
            audit::of_export(opened)
        }
        None => {
            let journal = data::journal_existing(&args.data.data, &Clock::system()).await?;
            audit::of_journal(&*journal).await
        }
    };
    let unreadable = |error| Error::usage("TG0335", "what should be verified cannot be read").caused_by(error);
    told(&args, &verdict.map_err(unreadable)?)
}

fn told(args: &Verify, verdict: &Verdict) -> Result<()> {
    println!("{} records, {} seals, {} not sealed yet", verdict.records, verdict.seals, verdict.unsealed);
    println!("hash {}", verdict.hash);
    for fault in &verdict.faults {
        println!("record {}: {}", fault.offset, fault.what);
    }
    if let Some(known) = args.hash.as_ref().filter(|known| **known != verdict.hash) {
        let message = format!("the hash is not {known}: records were cut off, added or changed since it was noted");
        return Err(Error::dependency("TG0333", message));
    }
    if !verdict.is_sound() {
        return Err(Error::dependency("TG0333", format!("the audit does not fit at {} records", verdict.faults.len())));
    }
    println!("sound");
    Ok(())
}

/// `tidegate thresholds …`.
pub(crate) async fn thresholds(what: Thresholds) -> Result<()> {
    let Thresholds::Check { file, data } = what;
    let cannot = |error| Error::usage("TG0335", format!("cannot read {}", file.display())).caused_by(error);
    let text = std::fs::read_to_string(&file).map_err(cannot)?;
    let written = match file.extension().is_some_and(|end| end == "json") {
        true => serde_json::from_str(&text).map_err(|error| error.to_string()),
        false => toml::from_str(&text).map_err(|error| error.to_string()),
    };
    let written: serde_json::Value =
        written.map_err(|error| Error::usage("TG0335", format!("{} cannot be read: {error}", file.display())))?;
    let known = match &data {
        Some(dir) => known(dir).await?,
        None => Known::default(),
    };
    match wanted::file(&written, &known) {
        Ok(file) => {
            let queues: Vec<&str> = file.queues.keys().map(QueueId::as_str).collect();
            println!(
                "the thresholds of {} are fine",
                if queues.is_empty() { "no queue".into() } else { queues.join(", ") }
            );
            Ok(())
        }
        Err(problems) => {
            problems.iter().for_each(|problem| println!("{problem}"));
            Err(Error::config("TG0334", format!("{} problems in {}", problems.len(), file.display())))
        }
    }
}

/// What exists in a data directory, of all tenants.
pub(crate) async fn known(dir: &Path) -> Result<Known> {
    let opened = data::open_existing(&Data { data: dir.to_owned(), store: None }, &Clock::system()).await?;
    let table = table(&*opened.journal).await.map_err(|error| data::journal_failed(&error))?;
    let tenants = || table.tenants().map(|(_, tenant)| tenant);
    let targets = tenants().flat_map(|tenant| tenant.targets()).map(|(target, _)| target.clone()).collect();
    let mut queues: BTreeSet<QueueId> =
        tenants().flat_map(|tenant| tenant.queues()).map(|(queue, _)| queue.clone()).collect();
    queues.extend(data::directory(&opened.store).await?.queues.into_keys());
    let states = opened.store.states(Kind::Queue).await.map_err(|error| data::failed(&error))?;
    queues.extend(states.into_iter().map(|state| QueueId::new(state.id)));
    Ok(Known { queues: Some(queues), targets: Some(targets) })
}

/// Everything that was decided.
pub(crate) async fn table(journal: &dyn Journal) -> journal::Result<Table> {
    let (mut table, mut next) = (Table::default(), journal.earliest(Stream::Control, 0).await?);
    let end = journal.end(Stream::Control, 0).await?;
    while next < end {
        let batch = journal.read(Stream::Control, 0, next, 5_000, 8 << 20).await?;
        for record in &batch.records {
            if let Ok(Parsed::Known(envelope)) = Envelope::parse(&record.value) {
                table.apply(&envelope);
            }
        }
        next = batch.next;
    }
    Ok(table)
}
