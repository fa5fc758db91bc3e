//! The write-ahead log cut at every byte of its last 64 KiB.

use anyhow::{Context as _, Result, ensure};
use bench::{Aim, Figure, Finding};
use std::path::Path;
use std::sync::OnceLock;

use crate::{Files, journals, place, stores};

/// How much of the end of a log is cut.
const TAIL: usize = 64 << 10;
/// Before that, only the borders of its frames are.
const BORDERS: usize = 512 << 10;
/// The header of a frame of the log, before its page.
const FRAME_HEADER: usize = 24;
const LOG_HEADER: usize = 32;

/// What came of the cuts of one log.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    cuts: u64,
    recovered: u64,
    refused: u64,
    /// Recovered to so many different ends.
    ends: u64,
}

fn all() -> bool {
    std::env::var("TIDEGATE_CUTS").is_ok_and(|text| text == "all")
}

/// Where to cut: everywhere, or at each border of a frame, beside it, and now and then between.
fn places(log: &[u8], page: usize) -> Vec<usize> {
    let (from, borders) = (log.len().saturating_sub(TAIL), log.len().saturating_sub(BORDERS));
    let frame = FRAME_HEADER + page;
    let near = |at: usize| {
        let into = at.saturating_sub(LOG_HEADER) % frame;
        into <= 1 || into == frame - 1 || into == FRAME_HEADER
    };
    (borders..log.len()).filter(|at| near(*at) || *at >= from && (all() || at % 997 == 0)).collect()
}

fn cut(files: &Files, at: usize) -> Files {
    let mut files = files.clone();
    files.log.as_mut().expect("a log").truncate(at);
    files
}

/// Cuts a log everywhere and judges each time. `refused_below`: how many transactions the mark knows of.
async fn cut_all<T>(
    files: &Files,
    page: usize,
    judge: impl AsyncFn(&Path) -> Result<Option<u64>>,
    check: T,
) -> Result<Tally>
where
    T: Fn(Option<u64>) -> Result<()>,
{
    let folder = place()?;
    let (mut tally, mut last) = (Tally::default(), None);
    for at in places(files.log.as_ref().context("a log")?, page) {
        cut(files, at).put(folder.path())?;
        let told = || format!("{} cut at {at} of {:?}", files.name, files.log.as_ref().map(Vec::len));
        let found = judge(folder.path()).await.with_context(told)?;
        check(found).with_context(told)?;
        tally.cuts += 1;
        match found {
            Some(whole) => {
                ensure!(last.is_none_or(|last| whole >= last), "{}: a longer log has less in it", told());
                tally.ends += u64::from(last != Some(whole));
                tally.recovered += 1;
                last = Some(whole);
            }
            None => tally.refused += 1,
        }
    }
    println!("{}: {tally:?}", files.name);
    Ok(tally)
}

async fn journal_is(folder: &Path) -> Result<Option<u64>> {
    Ok(match journals::judged(folder).await? {
        journals::Outcome::Whole(n) => Some(n),
        journals::Outcome::Refused(code) => {
            // Old pages mixed with new ones may already be noticed by their own checks.
            ensure!(["TG0100", "TG0102", "TG0104"].contains(&code), "refused by {code}");
            None
        }
    })
}

async fn store_is(folder: &Path) -> Result<Option<u64>> {
    Ok(match stores::judged(folder).await? {
        stores::Outcome::Whole(n) => Some(n),
        stores::Outcome::Refused => None,
    })
}

/// As a power cut leaves it: the mark may be old. What is recovered is a prefix of whole transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_whose_log_is_cut_holds_whole_transactions_up_to_some_point() -> Result<()> {
    let folder = place()?;
    let (mut files, n) = journals::written(folder.path(), 3 * TAIL, false).await?;
    files.mark = None;
    let tally = cut_all(&files, 4096, journal_is, |found| {
        ensure!(found.is_some_and(|whole| whole <= n), "refused, or more than there was: {found:?}");
        Ok(())
    });
    let tally = tally.await?;
    ensure!(tally.ends > 5, "{tally:?}");
    note("journal, mark not written", tally)
}

/// While the mark is there (a kill, a log that somebody cut): whatever lost an acknowledged transaction is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_lost_what_it_acknowledged_is_refused_by_name() -> Result<()> {
    let folder = place()?;
    let (files, n) = journals::written(folder.path(), 3 * TAIL, false).await?;
    let tally = cut_all(&files, 4096, journal_is, |found| {
        ensure!(found.is_none_or(|whole| whole == n), "{found:?} of {n} transactions, and not refused");
        Ok(())
    });
    note("journal, mark written", tally.await?)
}

/// The log also holds what has been copied into the file: cut, it would mix old pages with new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_whose_log_was_copied_and_then_cut_is_refused_by_name() -> Result<()> {
    let folder = place()?;
    let (files, n) = journals::written(folder.path(), 3 * TAIL, true).await?;
    let tally = cut_all(&files, 4096, journal_is, |found| {
        ensure!(found.is_none_or(|whole| whole == n), "{found:?} of {n} transactions, and not refused");
        Ok(())
    });
    note("journal, log copied into the file", tally.await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_log_is_cut_holds_whole_checkpoints_up_to_some_point() -> Result<()> {
    let folder = place()?;
    let (files, n) = stores::written(folder.path(), BORDERS, false).await?;
    let tally = cut_all(&files, 8192, store_is, |found| {
        ensure!(found.is_some_and(|whole| whole <= n), "refused, or more than there was: {found:?}");
        Ok(())
    });
    let tally = tally.await?;
    ensure!(tally.ends > 2, "{tally:?}");
    note("store", tally)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_log_was_copied_and_then_cut_is_whole_or_refused_by_name() -> Result<()> {
    let folder = place()?;
    let (files, n) = stores::written(folder.path(), BORDERS, true).await?;
    let tally = cut_all(&files, 8192, store_is, |found| {
        ensure!(found.is_none_or(|whole| whole == n), "{found:?} of {n} checkpoints, and not refused");
        Ok(())
    });
    let tally = tally.await?;
    ensure!(tally.refused > 0, "the mark did not move: {tally:?}");
    note("store, log copied into the file", tally)
}

/// The last of the five writes the finding.
fn note(what: &'static str, tally: Tally) -> Result<()> {
    static NOTED: OnceLock<std::sync::Mutex<Vec<(&'static str, Tally)>>> = OnceLock::new();
    let noted = NOTED.get_or_init(Default::default);
    let mut noted = noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    noted.push((what, tally));
    if !all() || noted.len() < 5 {
        return Ok(());
    }
    noted.sort_by_key(|(what, _)| *what);
    let claim =
        "a write-ahead log cut at any byte of its last 64 KiB is recovered to whole transactions, or refused by name";
    let command = "TIDEGATE_CUTS=all cargo test -p tidegate-tests --test damage cuts";
    let sum = |count: fn(&Tally) -> u64| noted.iter().map(|(_, tally)| count(tally)).sum::<u64>() as f64;
    let mut finding = Finding::new("cuts", claim, command)
        .figure(Figure::new("logs cut", sum(|tally| tally.cuts), "cuts"))
        .figure(Figure::new("torn, reordered or wrong figures read", 0.0, "cuts").aim(Aim::AtMost(0.0)));
    for (what, tally) in noted.iter() {
        finding = finding
            .figure(Figure::new(format!("{what}: recovered"), tally.recovered as f64, "cuts"))
            .figure(Figure::new(format!("{what}: refused by name"), tally.refused as f64, "cuts"));
    }
    finding
        .note("each cut opens copies of the files, reads every record, row, call, state and position, and compares it with what was written")
        .note("with its mark, a journal that lost an acknowledged transaction is refused (TG0100); a power cut may leave an older mark, which refuses less")
        .note("a store without its last checkpoints is whole: they are folded again from the journal")
        .save()
}
