//! Recorded months of a real call centre, imported from the command line and asked over HTTP: every figure that an independent
//! program computed from the same files (`data/truth` of the shared folder, which is not part of this repository).
#![allow(clippy::disallowed_methods, reason = "these tests run real processes")]

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidegate_tests::product::run;
use tidegate_tests::recorded::{Book, Truth, Wrong, mapping, rules};
use tidegate_tests::table::{Row, Table};

#[tokio::test(flavor = "multi_thread")]
async fn every_published_figure_of_every_recorded_month_is_exact() -> Result<()> {
    for month in months()? {
        one_month(&month).await.with_context(|| format!("in {month}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn months_that_share_a_data_directory_keep_their_figures() -> Result<()> {
    let folder = TempDir::new()?;
    let months = months()?;
    for month in months.iter().rev() {
        import(folder.path(), month).await?; // the later before the earlier: an import need not be in order
    }
    let mut book = Book::open(folder.path(), &months[0]).await?;
    for month in months {
        book.turn_to(&month)?;
        let truth = Truth::read(&shared()?.join("truth"), &month)?;
        let wrong = Wrong::of_the_offers(&book, &truth).await?;
        println!("{month} beside the others: {} figures compared", wrong.compared);
        wrong.none().with_context(|| format!("in {month}, beside the others"))?;
    }
    Ok(())
}

/// The rules that stand in where no truth is published are the published ones.
#[test]
fn our_own_reading_of_the_rules_gives_the_published_truth() -> Result<()> {
    for month in months()? {
        let mut text = String::new();
        flate2::read::GzDecoder::new(std::fs::File::open(file(&month)?)?).read_to_string(&mut text)?;
        let (ours, published) =
            (rules::compute(&month, &Table::parse(&text)?)?, Truth::read(&shared()?.join("truth"), &month)?);
        for (ours, published, keys) in [
            (&ours.months, &published.months, ["period", "type"]),
            (&ours.days, &published.days, ["period", "type"]),
            (&ours.half_hours, &published.half_hours, ["interval_start", "type"]),
            (&ours.agents, &published.agents, ["period", "server"]),
            (&ours.agent_days, &published.agent_days, ["period", "server"]),
        ] {
            same(ours, published, keys).with_context(|| format!("in {month}"))?;
        }
    }
    Ok(())
}

fn same(ours: &Table, published: &Table, keys: [&str; 2]) -> Result<()> {
    let key = |row: &Row| keys.map(|name| row.text(name).to_owned());
    let mut found: BTreeMap<_, _> = ours.0.iter().map(|row| (key(row), row)).collect();
    for want in &published.0 {
        let row = found.remove(&key(want)).with_context(|| format!("{:?} is missing", key(want)))?;
        for column in want.columns().filter(|name| !keys.contains(name) && *name != "alias_of") {
            let (got, want) = (row.number(column), want.number(column));
            ensure!((got - want).abs() < 6e-5, "{:?}: {column} is {got}, published is {want}", key(row));
        }
    }
    // What is not published is empty.
    for (key, row) in found {
        let full = row.columns().find(|name| !keys.contains(name) && row.number(name) != 0.0);
        ensure!(full.is_none(), "{key:?} is not published, and its {full:?} is not 0");
    }
    Ok(())
}

async fn one_month(month: &str) -> Result<()> {
    let folder = TempDir::new()?;
    let directory = folder.path().join("data");
    import(folder.path(), month).await?;
    let truth = Truth::read(&shared()?.join("truth"), month)?;
    {
        let book = Book::open(folder.path(), month).await?;
        let wrong = Wrong::find(&book, &truth).await?;
        println!("{month}: {} figures compared", wrong.compared);
        wrong.none()?;
        book.same_on_the_command_line(&directory).await?;
    }
    let before = printed(&directory, month).await?;
    import(folder.path(), month).await?;
    ensure!(printed(&directory, month).await? == before, "importing a file again changed the figures");
    let verdict = run(&["rebuild", "--dry-run", "--data", &directory.to_string_lossy()]).await?;
    ensure!(verdict.trim_end().ends_with("identical"), "a rebuild does not give the same: {verdict}");
    Ok(())
}

/// All half hours of a month, as printed.
async fn printed(directory: &Path, month: &str) -> Result<String> {
    let from = format!("{month}-01");
    let to = from.parse::<jiff::civil::Date>()?.checked_add(jiff::Span::new().days(33))?.to_string();
    let data = directory.to_string_lossy();
    run(&["report", "intervals", "--data", &data, "--tenant", "bank", "--from", &from, "--to", &to]).await
}

async fn import(folder: &Path, month: &str) -> Result<()> {
    let (config, data, file) = (mapping(), folder.join("data"), file(month)?);
    let (config, data, file) = (config.to_string_lossy(), data.to_string_lossy(), file.to_string_lossy());
    run(&["import", "calls-csv", "--config", &config, "--data", &data, &file]).await?;
    Ok(())
}

fn file(month: &str) -> Result<PathBuf> {
    Ok(shared()?.join(format!("anonymous-bank-{month}.csv.gz")))
}

/// The months whose truth is there.
fn months() -> Result<Vec<String>> {
    let data = shared()?;
    let mut months: Vec<_> = std::fs::read_dir(&data)?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            Some(name.to_str()?.strip_prefix("anonymous-bank-")?.strip_suffix(".csv.gz")?.to_owned())
        })
        .filter(|month| data.join(format!("truth/intervals-{month}.csv")).exists())
        .collect();
    months.sort();
    ensure!(!months.is_empty(), "{} holds no recorded month with a truth", data.display());
    Ok(months)
}

/// Where the recorded calls are.
fn shared() -> Result<PathBuf> {
    let set = std::env::var_os("TIDEGATE_SHARED").map(PathBuf::from);
    let data = set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared")).join("data");
    ensure!(
        data.is_dir(),
        "needs ../shared (or TIDEGATE_SHARED): {} is not there; it holds anonymous-bank-YYYY-MM.csv.gz and truth/*.csv, \
         which are not part of this repository. Leave this suite out, or put that folder beside the checkout.",
        data.display()
    );
    Ok(data)
}
