//! Flipped bits anywhere in the files.

use anyhow::{Context as _, Result, ensure};
use bench::{Aim, Figure, Finding};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use store::{Reports as _, Sqlite};
use tidegate_tests::life::Dice;

use crate::{Files, journals, number, place, stores};

/// Flips of each kind when nobody asks for more.
const FEW: u64 = 250;

/// What came of the flips of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    flips: u64,
    /// Nothing that matters was hit, or what was hit was not missed.
    right: u64,
    refused: u64,
}

impl Tally {
    fn add(&mut self, right: bool) {
        self.flips += 1;
        *(if right { &mut self.right } else { &mut self.refused }) += 1;
    }
}

fn flips() -> Result<u64> {
    number("TIDEGATE_FLIPS", FEW)
}

fn dice(kind: u64) -> Result<Dice> {
    Ok(Dice(number("TIDEGATE_SEED", 1)? ^ kind << 32))
}

/// Mostly one bit; now and then several, or a whole byte.
fn flip(bytes: &mut [u8], dice: &mut Dice) -> Vec<usize> {
    let count = if dice.once_in(5) { 2 + dice.below(7) } else { 1 };
    let flip = |_| {
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] ^= if dice.once_in(6) { 1 + dice.below(255) as u8 } else { 1 << dice.below(8) };
        at
    };
    (0..count).map(flip).collect()
}

#[derive(Clone, Copy)]
enum Where {
    File,
    Log,
}

fn hit(files: &Files, place: Where, dice: &mut Dice) -> Result<(Files, Vec<usize>)> {
    let mut files = files.clone();
    let bytes = match place {
        Where::File => &mut files.file,
        Where::Log => files.log.as_mut().context("a log")?,
    };
    let at = flip(bytes, dice);
    Ok((files, at))
}

async fn journal(kind: u64, what: &'static str, place_: Where, files: &Files, n: u64) -> Result<()> {
    let (folder, mut dice, mut tally) = (place()?, dice(kind)?, Tally::default());
    for _ in 0..flips()? {
        let (hit, at) = hit(files, place_, &mut dice)?;
        hit.put(folder.path())?;
        let told = || format!("{what}: bits flipped at {at:?}");
        let outcome = journals::judged(folder.path()).await.with_context(told)?;
        if let journals::Outcome::Whole(found) = outcome {
            ensure!(found == n, "{}: {found} of {n} transactions, and not refused", told());
        }
        tally.add(matches!(outcome, journals::Outcome::Whole(_)));
    }
    note(what, tally)
}

async fn store(kind: u64, what: &'static str, place_: Where, files: &Files, n: u64) -> Result<()> {
    let (folder, mut dice, mut tally) = (place()?, dice(kind)?, Tally::default());
    for _ in 0..flips()? {
        let (hit, at) = hit(files, place_, &mut dice)?;
        hit.put(folder.path())?;
        let told = || format!("{what}: bits flipped at {at:?}");
        let outcome = stores::judged(folder.path()).await.with_context(told)?;
        if let stores::Outcome::Whole(found) = outcome {
            // A log that ends early holds whole checkpoints; the file itself may not go back.
            ensure!(found == n || matches!(place_, Where::Log), "{}: {found} of {n} checkpoints", told());
        }
        tally.add(matches!(outcome, stores::Outcome::Whole(_)));
    }
    note(what, tally)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_flipped_in_a_journal_are_read_as_nothing_else() -> Result<()> {
    let folder = place()?;
    let (open, n) = journals::written(folder.path(), 100 << 10, false).await?;
    let closed = Files::of(folder.path(), "journal.db")?;
    journal(1, "journal.db", Where::File, &closed, n).await?;
    journal(2, "journal.db-wal", Where::Log, &open, n).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_flipped_in_a_store_are_answered_as_nothing_else() -> Result<()> {
    let folder = place()?;
    let (open, n) = stores::written(folder.path(), 400 << 10, false).await?;
    let closed = Files::of(folder.path(), "store.db")?;
    store(3, "store.db", Where::File, &closed, n).await?;
    store(4, "store.db-wal", Where::Log, &open, n).await?;
    under_an_open_store(&closed, n).await
}

/// Bits that flip while the store is open, behind the check at its opening. Every row is still checked when it is read, so no wrong row is answered;
/// a row that a page hides is noticed only at the next opening. How often that happens is counted, and told.
async fn under_an_open_store(files: &Files, n: u64) -> Result<()> {
    let (folder, mut dice, mut tally, mut hidden) = (place()?, dice(5)?, Tally::default(), 0);
    let path = folder.path().join("store.db");
    for _ in 0..flips()? {
        files.put(folder.path())?;
        let opened = Sqlite::open(&path).await?;
        let (hit, _) = hit(files, Where::File, &mut dice)?;
        overwrite(&path, &files.file, &hit.file)?;
        match stores::asked(&opened).await {
            Ok(outcome) => tally.add(matches!(outcome, stores::Outcome::Whole(_))),
            Err(_) => hidden += 1,
        }
        opened.close().await?;
        let found = stores::judged(folder.path()).await?;
        ensure!(!matches!(found, stores::Outcome::Whole(m) if m != n), "after opening again: {found:?}");
    }
    println!("store.db under an open store: {tally:?}, {hidden} hidden until the next opening");
    note("store.db, while it is open", tally)?;
    note(HIDDEN, Tally { flips: hidden, ..Tally::default() })
}

/// Writes what differs, in place: the file stays the same file for whoever has it open.
fn overwrite(path: &Path, old: &[u8], new: &[u8]) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    for at in (0..old.len()).filter(|at| old[*at] != new[*at]) {
        file.write_all_at(&new[at..=at], at as u64)?;
    }
    // Closing drops this process's locks on the file: nobody else has it open.
    Ok(())
}

const HIDDEN: &str = "rows hidden by a page that was hit while the store was open, until it was opened again";
const KINDS: usize = 6;

/// The last writes the finding.
fn note(what: &'static str, tally: Tally) -> Result<()> {
    static NOTED: OnceLock<Mutex<Vec<(&'static str, Tally)>>> = OnceLock::new();
    println!("{what}: {tally:?}");
    let mut noted = NOTED.get_or_init(Default::default).lock().unwrap_or_else(PoisonError::into_inner);
    noted.push((what, tally));
    if flips()? <= FEW || noted.len() < KINDS {
        return Ok(());
    }
    noted.sort_by_key(|(what, _)| *what);
    let claim = "bits flipped anywhere in the files are never read as other records or figures: they are refused by name, or do not matter";
    let command = format!("TIDEGATE_FLIPS={} cargo test -p tidegate-tests --test damage flips", flips()?);
    let sum = |count: fn(&Tally) -> u64| {
        noted.iter().filter(|(what, _)| *what != HIDDEN).map(|(_, tally)| count(tally)).sum::<u64>() as f64
    };
    let mut finding = Finding::new("flips", claim, &command)
        .figure(Figure::new("files hit, one bit or up to nine places", sum(|tally| tally.flips), "files"))
        .figure(Figure::new("wrong records or figures in files at rest", 0.0, "files").aim(Aim::AtMost(0.0)))
        .figure(Figure::new("panics", 0.0, "files").aim(Aim::AtMost(0.0)));
    for (what, tally) in noted.iter() {
        finding = match *what {
            HIDDEN => finding.figure(Figure::new(HIDDEN, tally.flips as f64, "files")),
            what => finding
                .figure(Figure::new(format!("{what}: refused by name"), tally.refused as f64, "files"))
                .figure(Figure::new(format!("{what}: read right"), tally.right as f64, "files")),
        };
    }
    finding
        .note(format!("seed {}; every record, row, call, state and position is read and compared", number("TIDEGATE_SEED", 1)?))
        .note("journal: each record and book is sealed (xxh3), offsets have no holes, small trees are checked at opening, and a log that is hit is shorter than its mark")
        .note("store: each row is sealed, all trees are checked at opening (SQLite's integrity check); a log that is hit only loses whole checkpoints, which are folded again")
        .save()
}
