//! How fast events over Kafka become figures: our consumer with and without decoding and folding, beside a bare client of the same library,
//! and beside Kafka Streams doing a small part of the work, on the same topic of the same broker in the same run.
//!
//! `script/bench kafka`. And how that grows with partitions and processes: `script/bench kafka-growth`. Both take a number of calls of the
//! day, for a short look. Needs a JDK and Maven: the broker and the peer are jars from Maven Central.

mod growth;
mod sides;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use bench::broker::{Broker, jars};
use bench::{Aim, Figure, Finding, Spread};
use clap::Parser;
use journal::kafka::Kafka;
use journal::{Entry, Journal, Stream, Topology};
use model::envelope::{Parsed, Reader};

/// Calls of the made-up day.
const CALLS: usize = 80_000;
const SEED: u64 = 1;
/// Runs of each of our sides and of the bare client; the peer, which is slow to start, has one.
const ROUNDS: usize = 5;
const PARTITIONS: u32 = 4;
const PREFIX: &str = "bench.";

/// How fast events over Kafka become figures.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Calls of the day.
    #[arg(long, default_value_t = CALLS, global = true)]
    calls: usize,
}

#[derive(clap::Subcommand)]
enum Role {
    /// How the rate grows with partitions and processes.
    Growth,
    /// A process that folds its share; started by this program itself.
    Member {
        /// The broker.
        server: String,
        /// The topics.
        prefix: String,
        /// Partitions of the calls.
        partitions: u32,
        /// How many of them are this member's.
        share: usize,
        /// Its group, and its name there.
        group: String,
        name: String,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { role, calls } = Arguments::parse();
    match role {
        None => beside_others(calls).await,
        Some(Role::Growth) => growth::measure(calls).await,
        Some(Role::Member { server, prefix, partitions, share, group, name }) => {
            growth::member(&server, &prefix, partitions, share, (&group, &name)).await
        }
    }
}

fn topology(partitions: u32) -> Topology {
    Topology::uniform(1).with(Stream::EventsCall, partitions)
}

async fn beside_others(calls: usize) -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let journal = Kafka::open(broker.journal(PREFIX, topology(PARTITIONS)).await?).await?;
    let (events, bytes) = fill(&*journal, calls).await?;
    let topic = format!("{PREFIX}{}", Stream::EventsCall);
    let [mut bare, mut reading, mut decoding, mut counting, mut folding] = [const { Vec::new() }; 5];
    let mut counts = sides::Counts::new();
    for round in 0..=ROUNDS {
        let group = |what: &str| format!("{what}-{round}");
        let alone = sides::bare(&broker.server(), &topic, PARTITIONS, events)?;
        let read = sides::read(&*journal, &group("read"), events).await?;
        let decoded = sides::decode(&*journal, &group("decode"), events).await?;
        let (counted, same) = sides::count(&*journal, &group("count"), events).await?;
        let (folded, found) = sides::fold(&*journal, &group("fold"), events).await?;
        ensure!(same == found, "counted alone it is otherwise: {same:?}, folded {found:?}");
        counts = found;
        if round > 0 {
            bare.push(alone);
            reading.push(read);
            decoding.push(decoded);
            counting.push(counted);
            folding.push(folded);
        }
    }
    let cores = bench::Machine::this().cores;
    let (streams, theirs) = streams(&broker.server(), &topic, events, cores)?;
    ensure!(counts == theirs, "Kafka Streams counts otherwise: {theirs:?}, ours {counts:?}");
    let median = |rates: Vec<f64>| rates.into_iter().collect::<Spread>().median();
    let [bare, reading, decoding, counting, folding] = [bare, reading, decoding, counting, folding].map(median);
    let of_streams = events as f64 / streams.as_secs_f64();
    journal.close().await?;
    let figure = |what: &str, value: f64| Figure::new(what.to_owned(), value, "events/s");
    let peer = format!("Kafka Streams 4.3.1, {cores} threads, in memory, not logged");
    let client = "rdkafka BaseConsumer, keys and values copied, nothing else";
    Finding::new("kafka", "how fast events over Kafka become figures", "script/bench kafka")
        .figure(figure("consumed, without decoding", reading).peer(client.to_owned(), bare).aim(Aim::RatioAtLeast(0.8)))
        .figure(figure("consumed and decoded", decoding).peer(client.to_owned(), bare))
        .figure(figure("consumed, decoded and wholly folded", folding).peer(client.to_owned(), bare))
        .figure(
            figure("consumed, decoded and wholly folded, beside two counts by queue and half hour", folding)
                .peer(peer.clone(), of_streams)
                .aim(Aim::RatioAtLeast(10.0)),
        )
        .figure(figure("consumed, decoded and only these two counts, beside the same", counting).peer(peer, of_streams))
        .note(format!(
            "{events} call events of a made-up day ({calls} calls, seed {SEED}), {} bytes each, in {PARTITIONS} partitions of one broker on \
             this machine; medians of {ROUNDS} alternating runs by the clock, from the first record that came; broker, client and fold share the cores.",
            bytes / events.max(1)
        ))
        .note(
            "Ours: one member of a group; its records are delivered in batches of 4,000. The whole fold is call and agent state machines, \
             rows in eight dimensions and live views; the peer counts what was offered and answered by queue and half hour, by its own \
             repartition topic, and both agree on every count.",
        )
        .save()
}

/// Writes the events into the topic. Answers how many, and their bytes.
async fn fill(journal: &dyn Journal, calls: usize) -> anyhow::Result<(u64, u64)> {
    let (mut events, mut bytes) = (0, 0);
    let mut reader = Reader::default();
    let mut entries = Vec::new();
    for line in bench::centre::day(calls, SEED) {
        let Parsed::Known(event) = reader.read(&line)? else { continue };
        let model::Subject::Call(call) = &event.subject else { continue };
        events += 1;
        bytes += line.len() as u64;
        entries.push(Entry::new(Stream::EventsCall, call.as_str().to_owned(), line.clone()));
        if entries.len() == 5_000 {
            journal.append(std::mem::take(&mut entries)).await?;
        }
    }
    journal.append(entries).await?;
    Ok((events, bytes))
}

/// Runs the peer: how long it took from its first record, and its counts.
fn streams(server: &str, topic: &str, events: u64, threads: usize) -> anyhow::Result<(Duration, sides::Counts)> {
    let (events, threads) = (events.to_string(), threads.to_string());
    let output = Command::new("java")
        .args(["-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
        .arg(jars().join("*"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/streams/Windowed.java"))
        .args([server, topic, &events, &threads, "bench-streams"])
        .stdin(Stdio::null())
        .output()
        .context("no java: install openjdk-17-jdk-headless")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "Kafka Streams failed:\n{said}{}", String::from_utf8_lossy(&output.stderr));
    let mut lines = said.lines();
    let took = lines.next().and_then(|line| line.strip_prefix("took ")).context("no time")?.parse()?;
    let mut counts = sides::Counts::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [queue, what, start, count] = words[..] else { anyhow::bail!("no count: {line}") };
        let place = usize::from(what == "answered");
        counts.entry((queue.to_owned(), start.parse()?)).or_default()[place] = count.parse()?;
    }
    Ok((Duration::from_millis(took), counts))
}
