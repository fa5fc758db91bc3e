//! The pair and what is behind it: what is done to it, and how it is judged.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use journal::{Journal, Stream};
use serde_json::Value;
use tidegate_tests::centre::judge;
use tidegate_tests::ledger;
use tidegate_tests::pair::{self, Pair};
use tidegate_tests::parts::Part;
use tidegate_tests::product::free_ports;
use tokio::time::{Instant, sleep};

/// How long anything may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(120);
/// A collector is stopped for so long: longer than its lease by far.
const ASLEEP: Duration = Duration::from_secs(8);

/// Everything on one journal.
struct Played {
    collectors: Pair,
    others: Vec<Part>,
    control: String,
    face: String,
}

/// Plays it: `journal` gives the tables that lead a component to its journal. Everything has ended when it answers.
pub async fn play(place: &Path, journal: &dyn Fn(&str) -> String) -> Result<()> {
    let mut pair = Played::start(place, journal).await?;
    let outcome = pair.live().await;
    outcome.with_context(|| pair.said())?;
    let Pair { first, second } = &mut pair.collectors;
    for part in [first, second].into_iter().chain(&mut pair.others) {
        part.stop().await?;
    }
    Ok(())
}

impl Played {
    async fn start(place: &Path, journal: &dyn Fn(&str) -> String) -> Result<Played> {
        let base = free_ports(10);
        let address = |number: u16| format!("127.0.0.1:{}", base + number);
        let (ami, control, face) = (address(0), address(1), address(2));
        let store = place.join("store.db");
        let store = |program: &str| format!("[{program}.store]\npath = {store:?}\n");
        let simulator = format!(
            "[simulator]\nspeed = 5\nseed = 7\nami = {{ address = \"{ami}\" }}\n\
             arrivals = {{ calls_per_hour = 3000.0 }}\ncontrol = {{ listen = {{ address = \"{control}\" }} }}\n"
        );
        let collector = format!(
            "{}[collector.sources.pbx1]\nkind = \"asterisk\"\nheartbeat = \"1s\"\n[collector.sources.pbx1.config]\n\
             host = \"127.0.0.1\"\nport = {base}\nusername = \"cti\"\nsecret = \"plain:cti-secret\"\n",
            journal("collector.journal")
        );
        let receiver = format!("[receiver]\nlisten = {{ address = \"127.0.0.1:0\" }}\n{}", journal("receiver.journal"));
        let aggregator = format!("{}{}", journal("aggregator.journal"), store("aggregator"));
        let pusher = format!(
            "[pusher]\nlisten = {{ address = \"{face}\" }}\nauth = {{ anonymous = \"viewer\" }}\n{}{}",
            journal("pusher.journal"),
            store("pusher")
        );
        let mut others = Vec::new();
        for (program, config) in
            [("simulator", &simulator), ("receiver", &receiver), ("aggregator", &aggregator), ("pusher", &pusher)]
        {
            others.push(Part::start(place, program, program, config).await?);
        }
        let collectors = Pair::start(place, &collector).await?;
        Ok(Played { collectors, others, control, face })
    }

    fn said(&self) -> String {
        self.others.iter().map(Part::said).collect::<String>() + &self.collectors.said()
    }

    async fn live(&mut self) -> Result<()> {
        let began = self.whole_since().await?;
        self.as_the_ledger_says(began, 10).await.context("before anything happened")?;
        let Pair { first, second } = &mut self.collectors;
        first.kill().await?;
        println!("killed: the other one writes after {:.1?}", pair::writes(second, 1).await?);
        first.start_again().await?;
        pair::ready(first, 1).await?;
        self.as_the_ledger_says(began, 40).await.context("after the first was killed")?;

        let Pair { first, second } = &mut self.collectors;
        let stopped = Instant::now();
        println!("stopped: the other one writes after {:.1?}", pair::stand_still(second, first, 2).await?);
        sleep(ASLEEP.saturating_sub(stopped.elapsed())).await;
        second.signal("CONT").await?;
        self.as_the_ledger_says(began, 80).await.context("after the second stood still")?;

        let Pair { first, second } = &mut self.collectors;
        let left = Instant::now();
        first.stop().await?;
        pair::writes(second, 2).await?;
        println!("left: the other one writes after {:.1?}", left.elapsed());
        first.start_again().await?;
        self.as_the_ledger_says(began, 100).await.context("after the first has left")
    }

    /// From when on, by the centre's clock, calls are seen from their beginning.
    async fn whole_since(&self) -> Result<i64> {
        let url = format!("http://{}/v1/truth", self.control);
        let truth = reqwest::get(&url).await?.error_for_status()?.text().await?;
        let calls = ledger::read(&truth)?;
        Ok(calls.iter().map(|call| call.ended_ms.unwrap_or(call.offered_ms)).max().unwrap_or_default() + 10_000)
    }

    /// Waits until so many calls are as the ledger says, and none is otherwise.
    async fn as_the_ledger_says(&self, began: i64, calls: usize) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let judged = judge(&self.control, &self.face, began).await;
            if let Ok((compared, differences)) = &judged
                && *compared >= calls
                && differences.0.is_empty()
            {
                println!("{compared} calls are as the ledger says");
                return Ok(());
            }
            if Instant::now() > patience {
                let (compared, differences) = judged?;
                let all = differences.0.join("\n");
                anyhow::bail!("{} differences over {compared} calls:\n{all}", differences.0.len());
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// What was written in all.
#[derive(Debug, Default)]
pub struct Record {
    /// Facts that collectors wrote, and how many of them were there before.
    facts: usize,
    repeated: usize,
    /// Events of the canonical record, and how many of them are there twice.
    events: usize,
    doubled: usize,
    gaps: Vec<String>,
    /// How long facts waited in a collector until they were written, in milliseconds, ascending.
    waited_ms: Vec<i64>,
}

impl Record {
    /// Reads the whole journal.
    pub async fn read(config: &journal::config::Config) -> Result<Record> {
        let clock = service::Clock::system();
        let journal = config.open(&clock).await?;
        let mut record = Record::default();
        let mut seen = BTreeSet::new();
        for (fact, at) in everything(&journal, Stream::Ingest).await? {
            record.facts += 1;
            record.repeated += usize::from(!seen.insert(text(&fact, "id")));
            let observed: jiff::Timestamp = text(&fact, "observedtime").parse()?;
            record.waited_ms.push(at - observed.as_millisecond());
        }
        record.waited_ms.sort_unstable();
        let mut seen = BTreeSet::new();
        for stream in Stream::EVENTS {
            for (event, _) in everything(&journal, stream).await? {
                record.events += 1;
                record.doubled += usize::from(!seen.insert(text(&event, "id")));
                if text(&event, "type").starts_with("source.gap") {
                    record.gaps.push(event["data"].to_string());
                }
            }
        }
        journal.close().await?;
        Ok(record)
    }

    /// No event is there twice, and nobody was blind.
    pub fn judge(&self) -> Result<()> {
        let (middle, last) = (self.waited_ms.get(self.waited_ms.len() / 2), self.waited_ms.last());
        println!(
            "{} facts were written, {} of them again; {} events, {} of them twice; {} gaps; a fact waited {middle:?} ms in the middle, \
             {last:?} ms at most",
            self.facts,
            self.repeated,
            self.events,
            self.doubled,
            self.gaps.len()
        );
        ensure!(self.events > 1_000, "only {} events: nothing was tried", self.events);
        ensure!(self.doubled == 0, "{} events are in the record twice", self.doubled);
        ensure!(self.gaps.is_empty(), "it was said that nobody saw the PBX: {:?}", self.gaps);
        Ok(())
    }
}

fn text(event: &Value, key: &str) -> String {
    event[key].as_str().unwrap_or_default().to_owned()
}

/// All records of a stream, and when the journal took each.
async fn everything(journal: &Arc<dyn Journal>, stream: Stream) -> Result<Vec<(Value, i64)>> {
    let mut all = Vec::new();
    for partition in 0..journal.partitions(stream) {
        let mut next = journal.earliest(stream, partition).await?;
        let end = journal.end(stream, partition).await?;
        while next < end {
            let batch = journal.read(stream, partition, next, 5_000, 16 << 20).await?;
            for record in &batch.records {
                all.push((serde_json::from_slice(&record.value)?, record.recorded_at_ms));
            }
            next = batch.next;
        }
    }
    Ok(all)
}
