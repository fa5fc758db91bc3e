//! Recorded days of a real call centre, on PostgreSQL and over Kafka: the same calls and the same rows, to the last digit, as the embedded
//! default gives. The first days of a month; the whole of it, and the finding `month`, when `TIDEGATE_WHOLE_MONTH` is set.
//!
//! Needs the recordings (`../shared` beside the checkout, or `TIDEGATE_SHARED`), a PostgreSQL and a Kafka.
#![allow(clippy::disallowed_methods, reason = "this test runs real servers and processes")]

mod many;

use anyhow::{Context as _, Result, ensure};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidegate_tests::product::run;
use tidegate_tests::recorded::mapping;
use tidegate_tests::stores::Postgres;

const MONTH: &str = "1999-02";
/// The last of the days that are taken when it is not the whole month, as the table writes it.
const LAST_DAY: &str = "990202";

/// Everything that is asked of both sides.
const QUESTIONS: [&[&str]; 7] = [
    &["intervals", "--by", "tenant", "--interval", "1m"],
    &["intervals", "--by", "queue", "--interval", "30m"],
    &["intervals", "--by", "queue", "--interval", "1d"],
    &["intervals", "--by", "agent", "--interval", "30m"],
    &["intervals", "--by", "source", "--interval", "1h"],
    &["agents"],
    &["calls", "--format", "ndjson"],
];

#[tokio::test(flavor = "multi_thread")]
async fn a_month_gives_the_same_rows_on_postgresql_as_on_sqlite() -> Result<()> {
    let place = TempDir::new()?;
    let recording = recording(place.path())?;
    let server = Postgres::start()?;
    let store = place.path().join("store.toml");
    std::fs::write(&store, format!("[store]\n{}", stored(&server, &server.database("month")?)))?;
    let (embedded, served) =
        (Data::at(place.path().join("embedded"), None), Data::at(place.path().join("served"), Some(store)));
    for data in [&embedded, &served] {
        data.import(&recording).await?;
    }
    let compared = Answers::of(&embedded).await?.same_as(&Answers::of(&served).await?)?;
    println!("{MONTH}: {compared} lines are the same on both");
    let verdict = served.run(&["rebuild", "--dry-run"], &[]).await?;
    ensure!(
        verdict.trim_end().ends_with("identical"),
        "the rows on PostgreSQL are not those of a new SQLite: {verdict}"
    );
    let sound = served.run(&["verify"], &[]).await?;
    ensure!(sound.trim_end().ends_with("sound"), "{sound}");
    Ok(())
}

/// The keys of a table `store` that lead to a database.
fn stored(server: &Postgres, url: &str) -> String {
    format!("kind = \"postgresql\"\nurl = {url:?}\npassword = \"file:{}\"\n", server.password_file().display())
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

    async fn import(&self, recording: &Path) -> Result<()> {
        let (config, file) = (mapping().to_string_lossy().into_owned(), recording.to_string_lossy().into_owned());
        self.run(&["import", "calls-csv", "--config", &config], &[&file]).await.map(drop)
    }

    async fn report(&self, ask: &[&str]) -> Result<String> {
        let when = ["--tenant", "bank", "--from", "1999-02-01", "--to", "1999-03-01"];
        Ok(plain(&self.run(&[&["report"], ask, &when].concat(), &[]).await?))
    }
}

/// What one side answers to all questions.
struct Answers(Vec<String>);

impl Answers {
    async fn of(data: &Data) -> Result<Self> {
        let mut answers = Vec::new();
        for ask in QUESTIONS {
            answers.push(data.report(ask).await?);
        }
        Ok(Self(answers))
    }

    /// How many lines both gave; an error where they differ.
    fn same_as(&self, other: &Self) -> Result<usize> {
        let mut compared = 0;
        for ((ask, left), right) in QUESTIONS.iter().zip(&self.0).zip(&other.0) {
            let differs = left.lines().zip(right.lines()).find(|(left, right)| left != right);
            ensure!(
                left == right,
                "{ask:?} differs ({} and {} lines), first here: {differs:?}",
                left.lines().count(),
                right.lines().count()
            );
            ensure!(left.lines().count() > 1, "{ask:?} answers nothing");
            compared += left.lines().count();
        }
        ensure!(compared > 5_000, "only {compared} lines were compared");
        Ok(compared)
    }
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

fn is_whole_month() -> bool {
    std::env::var_os("TIDEGATE_WHOLE_MONTH").is_some()
}

/// The days that are taken, as they were recorded.
fn recording(place: &Path) -> Result<PathBuf> {
    let set = std::env::var_os("TIDEGATE_SHARED").map(PathBuf::from);
    let shared = set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let file = shared.join(format!("data/anonymous-bank-{MONTH}.csv.gz"));
    ensure!(
        file.is_file(),
        "needs ../shared (or TIDEGATE_SHARED): {} is not there; the recorded calls are not part of this repository. \
         Leave this suite out, or put that folder beside the checkout.",
        file.display()
    );
    if is_whole_month() {
        return Ok(file);
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file)?).read_to_string(&mut text)?;
    let mut lines = text.lines();
    let header = lines.next().context("an empty table")?;
    let date = header.split(',').position(|column| column == "date").context("no column is called date")?;
    let mut part = format!("{header}\n");
    for line in lines.filter(|line| line.split(',').nth(date).is_some_and(|day| day <= LAST_DAY)) {
        writeln!(part, "{line}")?;
    }
    let path = place.join("part.csv");
    std::fs::write(&path, part)?;
    Ok(path)
}
