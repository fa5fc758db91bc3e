//! `tidegate rebuild` and `tidegate verify`: is what we say still what the events say?

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aggregator::{CatchUp, Caught};
use journal::Journal;
use service::{Clock, Context, Error, Result, Seeds};
use store::Reports;
use store::config::Kind;
use store::reports::Verified;

use crate::cli::{Data, Rebuild};
use crate::data::{self, failed};
use crate::progress::Progress;
use crate::tree::Tree;

pub(crate) async fn run(args: Rebuild) -> Result<()> {
    let clock = Clock::system();
    if args.config.is_none() && args.set.is_empty() {
        data::there(&args.data.data)?;
    }
    // Alone to the end: a server that runs here would go on writing into the store that is replaced.
    let config = store_of(&args)?;
    let missing = config.kind == Kind::Sqlite && !config.path.exists();
    let old = match config.open_alone().await {
        Err(error) if error.code() == "TG0114" => return Err(error),
        // A server that is away or refuses us is not damage.
        Err(error) if config.kind == Kind::Postgresql => return Err(error),
        // A store that cannot even be opened is what a rebuild is for.
        old => old,
    };
    let journal = journal_of(&args, &clock).await?;
    let context = Context::new("rebuild", "rebuild", clock.clone(), &Seeds::fixed(0));
    let path = args.data.data.join("store.rebuilt.db");
    remove(&path, &REBUILT)?;
    let fresh = store::config::Config::sqlite(&path).open().await?;
    let verdict = match &old {
        Ok(_) if missing => fold_alone(&journal, &fresh, &context, "there is no store yet", Verdict::Missing).await?,
        Ok(old) => fold_beside(&journal, old.as_ref(), &fresh, &context).await?,
        Err(error) => fold_alone(&journal, &fresh, &context, &unreadable(error), Verdict::Damaged).await?,
    };
    if let Ok(old) = old {
        // Names and limits are the one thing that is not in the journal; where they cannot be read, the next start learns them again.
        data::learn(&fresh, data::directory(&old).await.unwrap_or_default()).await?;
        if config.kind == Kind::Postgresql && !args.dry_run && !matches!(verdict, Verdict::Same) {
            fold_again(&journal, &old, &context).await?;
        }
        old.close().await.map_err(|e| failed(&e))?;
    }
    fresh.close().await.map_err(|e| failed(&e))?;
    journal.close().await.map_err(Error::from)?;
    if missing && args.dry_run {
        // opening it made an empty one
        remove(&config.path, &BESIDE)?;
    }
    match config.kind {
        Kind::Sqlite => settle(&config.path, &path, args.dry_run)?,
        Kind::Postgresql => remove(&path, &REBUILT)?,
    }
    tell(&verdict, args.dry_run)
}

/// Mends a database where it is: it is emptied, whoever was folding into it is refused, and all is folded into it again. (A file is
/// replaced instead: that happens at one moment.)
async fn fold_again(journal: &Arc<dyn Journal>, old: &Arc<dyn Reports>, context: &Context) -> Result<()> {
    old.wipe().await.map_err(|e| failed(&e))?;
    let bar = Arc::new(Mutex::new(Progress::new("folding into the database")));
    aggregator::catch_up_to_end(journal, old, &how(&bar), context).await.map_err(Error::from)?;
    Ok(())
}

/// The configuration that the command names, as far as it says where journal and store are.
fn configured(args: &Rebuild) -> Result<Tree> {
    let dir = args.data.data.display();
    let base = vec![format!("journal.path={dir}/journal.db"), format!("store.path={dir}/store.db")];
    let mut tree = Tree::read(args.config.clone(), base, args.set.clone());
    tree.verdict()?;
    Ok(tree)
}

/// The journal of the data directory, or the one that the configuration names.
async fn journal_of(args: &Rebuild, clock: &Clock) -> Result<Arc<dyn Journal>> {
    if args.config.is_none() && args.set.is_empty() {
        return data::journal_existing(&args.data.data, clock).await;
    }
    configured(args)?.journal.open(clock).await
}

/// The store of the data directory, or the one that the configuration or `--store` names.
fn store_of(args: &Rebuild) -> Result<store::config::Config> {
    if args.data.store.is_some() || (args.config.is_none() && args.set.is_empty()) {
        return data::store_config(&args.data);
    }
    Ok(configured(args)?.store)
}

/// What came of comparing the old store with the new one.
enum Verdict {
    Same,
    /// So many differ.
    Differs(u64),
    /// The old store could not be read.
    Damaged,
    /// There was none.
    Missing,
}

fn how(bar: &Arc<Mutex<Progress>>) -> CatchUp {
    let told = Arc::clone(bar);
    CatchUp::new("rebuild").progress(move |p| {
        if let Ok(mut bar) = told.lock() {
            bar.at(p.folded, p.total);
        }
    })
}

/// Folds as far as the old store is folded, and compares the two.
async fn fold_beside(
    journal: &Arc<dyn Journal>,
    old: &dyn Reports,
    fresh: &Arc<dyn Reports>,
    context: &Context,
) -> Result<Verdict> {
    let bar = Arc::new(Mutex::new(Progress::new("rebuilding")));
    let caught = match aggregator::rebuild(journal, old, fresh, &how(&bar), context).await {
        Err(error) if is_damage(&error) => {
            return fold_alone(journal, fresh, context, &unreadable(&error), Verdict::Damaged).await;
        }
        caught => caught.map_err(Error::from)?,
    };
    let verdict = match aggregator::diff(old, fresh.as_ref(), |_| {}).await {
        Err(error) if is_damage(&error) => {
            println!("{}", unreadable(&error));
            return Ok(Verdict::Damaged);
        }
        verdict => verdict.map_err(Error::from)?,
    };
    println!("{} events folded again; {} rows and {} calls compared", caught.folded, verdict.rows, verdict.calls);
    tell_truncated(&caught);
    for difference in &verdict.differences {
        println!("{difference}");
    }
    Ok(if verdict.is_same() { Verdict::Same } else { Verdict::Differs(verdict.differing) })
}

/// Folds all that there is: the old store cannot even say how far it was.
async fn fold_alone(
    journal: &Arc<dyn Journal>,
    fresh: &Arc<dyn Reports>,
    context: &Context,
    why: &str,
    verdict: Verdict,
) -> Result<Verdict> {
    println!("{why}");
    let bar = Arc::new(Mutex::new(Progress::new("rebuilding")));
    let caught = aggregator::catch_up_to_end(journal, fresh, &how(&bar), context).await.map_err(Error::from)?;
    println!("{} events folded again", caught.folded);
    tell_truncated(&caught);
    Ok(verdict)
}

fn tell_truncated(caught: &Caught) {
    for (part, from) in &caught.truncated {
        println!("{part}: the journal no longer keeps what is before offset {from}");
    }
}

/// Whether it is the store that cannot be read back.
fn is_damage(error: &aggregator::Error) -> bool {
    matches!(error, aggregator::Error::Store(store::Error::Corrupt { .. }) | aggregator::Error::State { .. })
}

fn unreadable(error: &dyn std::error::Error) -> String {
    format!("the old store cannot be read: {}", whole(error))
}

/// An error with its causes, on one line.
fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Puts the new file in the place of the old one, unless only asked to compare.
fn settle(old: &Path, fresh: &Path, dry_run: bool) -> Result<()> {
    if !dry_run {
        remove(old, &BESIDE)?;
        let marks = (service::mark::beside(fresh), service::mark::beside(old));
        for (from, to) in [marks, (fresh.to_owned(), old.to_owned())] {
            std::fs::rename(&from, &to).map_err(|e| {
                Error::dependency("TG0311", format!("cannot put {} in place", from.display())).caused_by(e)
            })?;
        }
    }
    remove(fresh, &REBUILT)
}

/// Says what came of it; what was only found, and not mended, is an error.
fn tell(verdict: &Verdict, dry_run: bool) -> Result<()> {
    let what = match verdict {
        Verdict::Same => {
            println!("identical");
            return Ok(());
        }
        Verdict::Differs(places) => {
            println!("{places} differ");
            format!("the store differs from its journal in {places} places")
        }
        Verdict::Damaged => "the store is damaged".to_owned(),
        Verdict::Missing => "there is no store".to_owned(),
    };
    if dry_run {
        return Err(Error::dependency("TG0312", format!("{what}; run without --dry-run to mend it")));
    }
    Ok(())
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
    let journal = data::journal_existing(&args.data, &Clock::system()).await?;
    let report = journal.verify().await.map_err(Error::from)?;
    println!("journal: {} records, {} bytes read", report.records, report.bytes);
    for damage in &report.damaged {
        println!("{}/{} offsets {} to {}: {}", damage.stream, damage.partition, damage.from, damage.to, damage.reason);
    }
    for fault in &report.faults {
        println!("{fault}");
    }
    let stored = match data::store_config(&args)?.open().await {
        Ok(store) => store.verify().await.map_err(|e| failed(&e))?,
        Err(error) => Verified { faults: vec![whole(&error)], ..Verified::default() },
    };
    println!("store: {} calls, {} blocks of rows, {} states read", stored.calls, stored.blocks, stored.states);
    for fault in &stored.faults {
        println!("{fault}");
    }
    if !report.is_sound() {
        let told = format!("{} damaged ranges, {} other faults", report.damaged.len(), report.faults.len());
        return Err(Error::dependency("TG0314", told));
    }
    if !stored.faults.is_empty() {
        let told = format!(
            "the journal is sound, the store is damaged in {} places: run `tidegate rebuild`",
            stored.faults.len()
        );
        return Err(Error::dependency("TG0115", told));
    }
    println!("sound");
    Ok(())
}
