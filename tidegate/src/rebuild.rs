//! `tidegate rebuild` and `tidegate verify`: is what we say still what the events say?

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aggregator::CatchUp;
use service::{Clock, Context, Error, Result, Seeds};

use crate::cli::{Data, Rebuild};
use crate::data::{self, failed, open_existing, open_existing_alone};
use crate::progress::Progress;

pub(crate) async fn run(args: Rebuild) -> Result<()> {
    let clock = Clock::system();
    // Alone to the end: a server that runs here would go on writing into the file that is replaced.
    let opened = open_existing_alone(&args.data.data, &clock).await?;
    let context = Context::new("rebuild", "rebuild", clock.clone(), &Seeds::fixed(0));
    let path = args.data.data.join("store.rebuilt.db");
    remove(&path, &REBUILT)?;
    let fresh = store::config::Config { path: path.clone() }.open().await?;
    let bar = Arc::new(Mutex::new(Progress::new("rebuilding")));
    let told = Arc::clone(&bar);
    let how = CatchUp::new("rebuild").progress(move |p| {
        if let Ok(mut bar) = told.lock() {
            bar.at(p.folded, p.total);
        }
    });
    let caught = aggregator::rebuild(&opened.journal, opened.store.as_ref(), &fresh, &how, &context)
        .await
        .map_err(Error::from)?;
    let verdict = aggregator::diff(opened.store.as_ref(), fresh.as_ref(), |_| {}).await.map_err(Error::from)?;
    println!("{} events folded again; {} rows and {} calls compared", caught.folded, verdict.rows, verdict.calls);
    for (part, from) in &caught.truncated {
        println!("{part}: the journal no longer keeps what is before offset {from}");
    }
    for difference in &verdict.differences {
        println!("{difference}");
    }
    let directory = data::directory(&opened.store).await?;
    data::learn(&fresh, directory).await?;
    opened.store.close().await.map_err(|e| failed(&e))?;
    fresh.close().await.map_err(|e| failed(&e))?;
    opened.journal.close().await.map_err(Error::from)?;
    settle(&args, &path, verdict.is_same(), verdict.differing)
}

/// Puts the new store in the place of the old one, unless only asked to compare.
fn settle(args: &Rebuild, fresh: &Path, same: bool, differing: u64) -> Result<()> {
    if same {
        println!("identical");
    } else {
        println!("{differing} differ");
    }
    if !args.dry_run {
        let old = args.data.data.join("store.db");
        remove(&old, &BESIDE)?;
        let moved = std::fs::rename(fresh, &old);
        moved.map_err(|e| {
            Error::dependency("TG0311", format!("cannot put {} in place", fresh.display())).caused_by(e)
        })?;
    }
    remove(fresh, &REBUILT)?;
    if same || !args.dry_run {
        return Ok(());
    }
    Err(Error::dependency(
        "TG0312",
        format!("the store differs from its journal in {differing} places; run without --dry-run to mend it"),
    ))
}

/// A store's file and what lies beside it. Its lock stays, because it is held.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-mark"];
/// The same of the store that is made anew, whose lock nobody waits for.
const REBUILT: [&str; 5] = ["", "-wal", "-shm", "-mark", "-lock"];

/// Removes the files of a store.
fn remove(path: &Path, suffixes: &[&str]) -> Result<()> {
    for suffix in suffixes {
        let file = PathBuf::from(format!("{}{suffix}", path.display()));
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::dependency("TG0313", format!("cannot remove {}", file.display())).caused_by(e));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) async fn verify(args: Data) -> Result<()> {
    let opened = open_existing(&args.data, &Clock::system()).await?;
    let report = opened.journal.verify().await.map_err(Error::from)?;
    println!("{} records, {} bytes read", report.records, report.bytes);
    for damage in &report.damaged {
        println!("{}/{} offsets {} to {}: {}", damage.stream, damage.partition, damage.from, damage.to, damage.reason);
    }
    for fault in &report.faults {
        println!("{fault}");
    }
    if report.is_sound() {
        println!("sound");
        return Ok(());
    }
    Err(Error::dependency(
        "TG0314",
        format!("{} damaged ranges, {} other faults", report.damaged.len(), report.faults.len()),
    ))
}
