//! A recorded month of a real call centre on PostgreSQL and on SQLite: the same calls and the same rows, to the last digit.
//!
//! Needs the recordings (`../shared` beside the checkout, or `TIDEGATE_SHARED`) and a PostgreSQL.
#![allow(clippy::disallowed_methods, reason = "this test runs real servers and processes")]

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidegate_tests::product::run;
use tidegate_tests::recorded::mapping;
use tidegate_tests::stores::Postgres;

const MONTH: &str = "1999-02";

#[tokio::test(flavor = "multi_thread")]
async fn a_month_gives_the_same_rows_on_postgresql_as_on_sqlite() -> Result<()> {
    let recording = recording()?;
    let server = Postgres::start()?;
    let place = TempDir::new()?;
    let store = place.path().join("store.toml");
    let password = server.password_file();
    let url = server.database("month")?;
    let text = format!("[store]\nkind = \"postgresql\"\nurl = {url:?}\npassword = \"file:{}\"\n", password.display());
    std::fs::write(&store, text)?;
    let (embedded, served) =
        (Data::at(place.path().join("embedded"), None), Data::at(place.path().join("served"), Some(store)));
    for data in [&embedded, &served] {
        let (config, file) = (mapping().to_string_lossy().into_owned(), recording.to_string_lossy().into_owned());
        data.run(&["import", "calls-csv", "--config", &config], &[&file]).await?;
    }
    let mut compared = 0;
    for (what, interval) in [("queue", "30m"), ("queue", "1d"), ("agent", "30m"), ("tenant", "1m"), ("source", "1h")] {
        let ask = ["report", "intervals", "--by", what, "--interval", interval, "--tenant", "bank"];
        compared += same(&embedded, &served, &ask).await?;
    }
    compared += same(&embedded, &served, &["report", "agents", "--tenant", "bank"]).await?;
    compared += same(&embedded, &served, &["report", "calls", "--tenant", "bank", "--format", "ndjson"]).await?;
    println!("{MONTH}: {compared} lines are the same on both");
    ensure!(compared > 20_000, "only {compared} lines were compared");
    let verdict = served.run(&["rebuild", "--dry-run"], &[]).await?;
    ensure!(
        verdict.trim_end().ends_with("identical"),
        "the rows on PostgreSQL are not those of a new SQLite: {verdict}"
    );
    let sound = served.run(&["verify"], &[]).await?;
    ensure!(sound.trim_end().ends_with("sound"), "{sound}");
    Ok(())
}

/// A data directory, and where its reports are.
struct Data {
    folder: PathBuf,
    store: Option<PathBuf>,
}

impl Data {
    fn at(folder: PathBuf, store: Option<PathBuf>) -> Self {
        Self { folder, store }
    }

    async fn run(&self, command: &[&str], last: &[&str]) -> Result<String> {
        let (folder, store) = (self.folder.to_string_lossy(), self.store.as_ref().map(|path| path.to_string_lossy()));
        let mut arguments = [command, &["--data", &folder]].concat();
        if let Some(store) = &store {
            arguments.extend(["--store", store]);
        }
        arguments.extend(last);
        run(&arguments).await
    }
}

/// Asks both the same question about the month; answers how many lines both gave.
async fn same(one: &Data, other: &Data, ask: &[&str]) -> Result<usize> {
    let ask = [ask, &["--from", "1999-02-01", "--to", "1999-03-01"]].concat();
    let (left, right) = (plain(&one.run(&ask, &[]).await?), plain(&other.run(&ask, &[]).await?));
    let differs = left.lines().zip(right.lines()).position(|(left, right)| left != right);
    ensure!(differs.is_none() && left.len() == right.len(), "{ask:?} differs from line {differs:?} on");
    ensure!(left.lines().count() > 1, "{ask:?} answers nothing");
    Ok(left.lines().count())
}

/// Without the tokens of callers: each data directory has a key of its own for them.
fn plain(printed: &str) -> String {
    const TOKEN: &str = "\"caller_token\":\"";
    let line = |line: &str| match line.split_once(TOKEN) {
        Some((before, after)) => format!("{before}{}", after.split_once('"').map_or(after, |(_, rest)| rest)),
        None => line.to_owned(),
    };
    printed.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The month as it was recorded.
fn recording() -> Result<PathBuf> {
    let set = std::env::var_os("TIDEGATE_SHARED").map(PathBuf::from);
    let shared = set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let file = shared.join(format!("data/anonymous-bank-{MONTH}.csv.gz"));
    ensure!(
        file.is_file(),
        "needs ../shared (or TIDEGATE_SHARED): {} is not there; the recorded calls are not part of this repository. \
         Leave this suite out, or put that folder beside the checkout.",
        file.display()
    );
    Ok(file)
}
