//! The same days through the whole pipeline as processes of their own, over a real Kafka and on a real PostgreSQL: with one partition and with
//! twelve, with one aggregator and with three.

use super::{Answers, Data, MONTH, QUESTIONS, is_whole_month, recording, stored};
use anyhow::{Context as _, Result, ensure};
use bench::{Aim, Figure, Finding};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_tests::broker::Brokers;
use tidegate_tests::parts::Part;
use tidegate_tests::product::run;
use tidegate_tests::recorded::mapping;
use tidegate_tests::stores::Postgres;
use tokio::time::{Instant, sleep};
use toml::{Table, Value};

/// How long the pipeline may take for all of it: a whole month, without optimisation, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(900);
/// The streams whose partitions are one or twelve; of the others there is one.
const PARTED: [&str; 8] =
    ["ingest", "events.call", "events.agent", "events.device", "events.queue", "events.source", "views", "records"];

#[tokio::test(flavor = "multi_thread")]
async fn a_month_gives_the_same_rows_over_kafka_whatever_the_partitions_and_the_aggregators() -> Result<()> {
    let place = TempDir::new()?;
    let recording = recording(place.path())?;
    let embedded = Data::at(place.path().join("embedded"), None);
    embedded.import(&recording).await?;
    let want = Answers::of(&embedded).await?;
    let folded = folded(&embedded.run(&["rebuild", "--dry-run"], &[]).await?)?;
    let (brokers, server) = (Brokers::start(1, false)?, Postgres::start()?);
    let mut finding = of_embedded(folded, want.same_as(&want)?);
    for (partitions, aggregators) in [(1, 1), (1, 3), (12, 1), (12, 3)] {
        let what = format!("{partitions} partitions, {aggregators} aggregators");
        let begun = Instant::now();
        let many = Many::at(place.path(), &brokers, &server, partitions, aggregators).await?;
        let again = many.takes(&recording, &want).await.context(what.clone())?;
        ensure!(again == folded, "{what}: {again} events were recorded, {folded} on the embedded journal");
        let took = begun.elapsed();
        println!("{what}: {again} events and all rows as on the embedded journal, after {took:.0?}");
        finding = finding
            .figure(
                Figure::new(format!("{what}: events recorded"), again as f64, "events")
                    .peer("on the embedded journal", folded as f64)
                    .aim(Aim::AtLeast(folded as f64)),
            )
            .figure(Figure::new(format!("{what}: lines that differ"), 0.0, "lines").aim(Aim::AtMost(0.0)))
            .figure(Figure::new(
                format!("{what}: from nothing to the end of all comparisons"),
                took.as_secs_f64(),
                "s",
            ));
    }
    if is_whole_month() { finding.save() } else { Ok(()) }
}

/// The finding of a whole month, as far as the embedded journal and SQLite tell it.
fn of_embedded(events: u64, lines: usize) -> Finding {
    let claim = "over Kafka and on PostgreSQL a month of calls gives the same rows as in one process, whatever the partitions and the aggregators";
    let command = "TIDEGATE_WHOLE_MONTH=1 cargo test --release -p tidegate-tests --test recorded_stores";
    Finding::new("month", claim, command)
        .figure(Figure::new("the embedded journal and SQLite: events recorded", events as f64, "events"))
        .figure(Figure::new("the embedded journal and SQLite: lines of reports", lines as f64, "lines"))
        .note(format!(
            "The calls of a bank in {MONTH} (not part of this repository), through a collector, a receiver, aggregators and a pusher, each a process \
             of its own; a Kafka broker and a PostgreSQL on the same machine. Compared line by line: intervals of the tenant by the minute, of \
             queues by the half hour and the day, of agents by the half hour, of the source by the hour, every agent, every call. A rebuild of \
             the journal gives what is stored."
        ))
}

/// The number of events that a rebuild folded.
fn folded(verdict: &str) -> Result<u64> {
    ensure!(verdict.trim_end().ends_with("identical"), "{verdict}");
    let line =
        verdict.lines().find_map(|line| line.split_once(" events folded again")).context("no number of events")?;
    Ok(line.0.parse()?)
}

/// One deployment.
struct Many<'a> {
    folder: PathBuf,
    prefix: String,
    brokers: &'a Brokers,
    server: &'a Postgres,
    database: String,
    partitions: u32,
    aggregators: usize,
    /// Where commands look for reports and journal.
    data: Data,
    topics: PathBuf,
}

impl<'a> Many<'a> {
    async fn at(
        place: &Path,
        brokers: &'a Brokers,
        server: &'a Postgres,
        partitions: u32,
        aggregators: usize,
    ) -> Result<Many<'a>> {
        let name = format!("p{partitions}a{aggregators}");
        let folder = place.join(&name);
        std::fs::create_dir_all(&folder)?;
        server.database(&name)?;
        let store = folder.join("store.toml");
        std::fs::write(&store, format!("[store]\n{}", stored(server, &server.url(&name))))?;
        let (data, topics) = (Data::at(folder.clone(), Some(store)), folder.join("topics.toml"));
        let prefix = format!("{name}.");
        let many = Many { folder, prefix, brokers, server, database: name, partitions, aggregators, data, topics };
        std::fs::write(&many.topics, many.journal("journal"))?;
        run(&["topics", "--create", "--replication", "1", "--config", &many.topics.to_string_lossy()]).await?;
        Ok(many)
    }

    fn journal(&self, at: &str) -> String {
        let counts: Vec<_> = PARTED.iter().map(|stream| format!("{stream:?} = {}", self.partitions)).collect();
        format!("{}[{at}.partitions]\n{}\n", self.brokers.tables(at, &self.prefix), counts.join("\n"))
    }

    fn store(&self, at: &str) -> String {
        format!("[{at}]\n{}", stored(self.server, &self.server.url(&self.database)))
    }

    /// Collects the recording, waits until all of it is in the reports, and stops; answers how many events were recorded.
    async fn takes(&self, recording: &Path, want: &Answers) -> Result<u64> {
        let mapping: Table = std::fs::read_to_string(mapping())?.parse()?;
        let mut parts = self.start(&mapping).await?;
        let collector = collector(&mapping, recording)? + &self.journal("collector.journal");
        parts.push(Part::start(&self.folder, "collector", "collector", &collector).await?);
        let outcome = self.until(want).await;
        let said = || parts.iter().map(Part::said).collect::<String>();
        outcome.with_context(said)?;
        // Before they stop: whoever stops last has all of them.
        self.shared_the_work()?;
        for part in parts.iter_mut().rev() {
            part.stop().await?;
        }
        // What was on its way when it looked the same would show now.
        Answers::of(&self.data).await?.same_as(want)?;
        let config = self.topics.to_string_lossy();
        folded(&self.data.run(&["rebuild", "--dry-run", "--config", &config], &[]).await?)
    }

    /// Everything behind the collector; back when each aggregator holds partitions.
    async fn start(&self, mapping: &Table) -> Result<Vec<Part>> {
        let directory = directory(mapping)?;
        let listen = "listen = { address = \"127.0.0.1:0\" }\n";
        let named = |program: &str| {
            let inner = Table::from_iter([("directory".to_owned(), Value::Table(directory.clone()))]);
            toml::to_string(&Table::from_iter([(program.to_owned(), Value::Table(inner))]))
        };
        let mut parts = Vec::new();
        for number in 1..=self.aggregators {
            let config = self.journal("aggregator.journal") + &self.store("aggregator.store");
            parts.push(Part::start(&self.folder, "aggregator", &format!("aggregator-{number}"), &config).await?);
        }
        let config = format!("[receiver]\n{listen}{}{}", self.journal("receiver.journal"), named("receiver")?);
        parts.push(Part::start(&self.folder, "receiver", "receiver", &config).await?);
        let (journal, store) = (self.journal("pusher.journal"), self.store("pusher.store"));
        let config = format!("[pusher]\n{listen}{journal}{store}{}", named("pusher")?);
        parts.push(Part::start(&self.folder, "pusher", "pusher", &config).await?);
        let patience = Instant::now() + PATIENCE;
        while !self.shared_the_work().is_ok_and(|owners| owners == self.aggregators) {
            let said = || parts.iter().map(Part::said).collect::<String>();
            ensure!(Instant::now() < patience, "not every aggregator has partitions\n{}", said());
            sleep(Duration::from_millis(500)).await;
        }
        Ok(parts)
    }

    /// How many aggregators hold partitions; of twelve partitions of calls each must have some.
    fn shared_the_work(&self) -> Result<usize> {
        let owners = |which: &str| -> Result<usize> {
            let count = format!("SELECT count(DISTINCT owner) FROM parts WHERE part LIKE '{which}%'");
            Ok(self.server.sql(&self.database, &count)?.parse()?)
        };
        let calls = owners("events.call")?;
        let enough = self.aggregators.min(self.partitions as usize);
        ensure!(calls >= enough, "the calls are held by {calls} aggregators of {}", self.aggregators);
        owners("")
    }

    /// Waits until the reports are as they must be: the shortest question first, then all.
    async fn until(&self, want: &Answers) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        // Before the pusher has told it the tenants, a report is refused.
        while self.data.report(QUESTIONS[0]).await.ok().as_ref() != want.0.first() && Instant::now() < patience {
            sleep(Duration::from_secs(1)).await;
        }
        loop {
            let same = match Answers::of(&self.data).await {
                Ok(answers) => answers.same_as(want),
                Err(error) => Err(error),
            };
            if same.is_ok() || Instant::now() > patience {
                return same.map(drop);
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Names and limits of these calls, as an import knows them.
fn directory(mapping: &Table) -> Result<Table> {
    let mut directory = mapping["directory"].as_table().context("a table")?.clone();
    let sources = directory.get_mut("sources").and_then(Value::as_table_mut).context("sources")?;
    for source in sources.iter_mut().filter_map(|(_, source)| source.as_table_mut()) {
        source.insert("recorded".to_owned(), true.into());
    }
    Ok(directory)
}

/// The collector's source: the recording, read by the product's mapping.
fn collector(mapping: &Table, recording: &Path) -> Result<String> {
    let mut config = mapping["calls-csv"].as_table().context("a table")?.clone();
    config.insert("paths".to_owned(), Value::Array(vec![recording.to_string_lossy().into_owned().into()]));
    let source =
        Table::from_iter([("kind".to_owned(), "calls-csv".into()), ("config".to_owned(), Value::Table(config))]);
    let name = mapping["source"].as_str().context("a source")?.to_owned();
    let sources = Table::from_iter([(name, Value::Table(source))]);
    let collector = Table::from_iter([("sources".to_owned(), Value::Table(sources))]);
    Ok(toml::to_string(&Table::from_iter([("collector".to_owned(), Value::Table(collector))]))?)
}
