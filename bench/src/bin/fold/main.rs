//! How fast events become figures: JSON lines decoded and folded on one core, beside DuckDB, which reads the same file with one group-by.
//!
//! Ours is the whole fold, as the aggregator runs it: decoding, the state machines of calls, agents and devices, rows by queue, agent,
//! team, device, source, trunk, IVR node and tenant, and the live views; what the aggregator then stores is `script/bench import`'s. DuckDB's is two counts by queue and half hour, which both sides
//! must agree on. Runs alternate; the figures are medians. A core is counted by the processor time that it spent.

mod centre;
mod duck;
mod ours;
mod recorded;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use bench::{Aim, Figure, Finding, Spread};

/// Calls of the made-up day: about 1.5 million events.
const CALLS: usize = 80_000;
const SEED: u64 = 1;
/// Runs of each side.
const ROUNDS: usize = 5;
/// What the aggregator folds at once when it follows live.
const LIVE_CHUNK: usize = 256;
/// What it could fold at once when nobody waits: a call whose events come in one portion is counted once.
const LARGE_CHUNK: usize = 16_384;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let work = tempfile::tempdir()?;
    let file = work.path().join("centre.ndjson");
    write_lines(&file, centre::day(CALLS, SEED))?;
    let mut finding = Finding::new(
        "fold",
        "how fast JSON events are decoded and folded on one core, beside DuckDB counting two of their figures",
        "script/bench fold",
    );
    finding = compare(finding, "a made-up day", &file)?;
    match recorded::month() {
        None => {
            println!(
                "fold: the recorded month is not there (../shared or $TIDEGATE_SHARED): only the made-up day was measured"
            );
            finding = finding.note("The recorded month was not there; only the made-up day was measured.");
        }
        Some(month) => {
            let file = work.path().join("month.ndjson");
            recorded::lay_out(&month, work.path(), &file).await?;
            finding = compare(finding, "a recorded month", &file)?;
        }
    }
    finding
        .note(format!(
            "Made-up day: {CALLS} calls from seed {SEED} in 8 queues with 440 agents, in order of time, hundreds at once. Recorded month: \
             42,078 calls of a bank as the import leaves them, call by call."
        ))
        .note(
            "Ours: decoding, call, agent and device state machines, rows in eight dimensions, live views; kept in memory. DuckDB: offered \
             and answered by queue and half hour, declared columns, one group-by. The two counts are compared in every run and are equal.",
        )
        .note(format!(
            "Processor time of one thread, medians of {ROUNDS} alternating runs, reading the file (in the page cache) included on both sides."
        ))
        .save()
}

fn write_lines(path: &Path, lines: Vec<Vec<u8>>) -> anyhow::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for line in lines {
        file.write_all(&line)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

/// Runs both sides on a file in turns.
fn compare(finding: Finding, name: &str, file: &Path) -> anyhow::Result<Finding> {
    let mut duck = duck::Duck::start(file, 1)?;
    let (mut whole, mut decoding, mut folding, mut theirs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut events, mut version) = (0, String::new());
    for round in 0..=ROUNDS {
        let pass = ours::pass(file, ours::CHUNK, spent)?;
        let answer = duck.run()?;
        agree(&pass.counts, &answer.counts())?;
        if round == 0 {
            continue; // both have seen the file now
        }
        whole.push((pass.decoding + pass.folding).as_secs_f64());
        decoding.push(pass.decoding.as_secs_f64());
        folding.push(pass.folding.as_secs_f64());
        theirs.push(answer.cpu_s);
        (events, version) = (pass.events, answer.version);
    }
    let live = ours::pass(file, LIVE_CHUNK, spent)?;
    let large = ours::pass(file, LARGE_CHUNK, spent)?;
    let mut wide = duck::Duck::start(file, bench::Machine::this().cores)?;
    let all_cores: Spread = (0..3).map(|_| wide.run().map(|answer| answer.wall_s)).collect::<Result<_, _>>()?;
    let rate = |seconds: Vec<f64>| events as f64 / seconds.into_iter().collect::<Spread>().median();
    let figure = |what: String, value: f64| Figure::new(what, value, "events/s");
    Ok(finding
        .figure(
            figure(format!("{name}: decode and full fold, one core"), rate(whole))
                .peer(format!("DuckDB {version}, one thread, one group-by"), rate(theirs))
                .aim(Aim::RatioAtLeast(2.0)),
        )
        .figure(figure(format!("{name}: decode alone"), rate(decoding)))
        .figure(figure(format!("{name}: fold alone"), rate(folding)))
        .figure(
            figure(
                format!("{name}: decode and full fold in live portions of {LIVE_CHUNK} events"),
                events as f64 / (live.decoding + live.folding).as_secs_f64(),
            )
            .peer(format!("DuckDB {version}, all cores, by the clock"), events as f64 / all_cores.median()),
        )
        .figure(figure(
            format!("{name}: decode and full fold in portions of {LARGE_CHUNK} events"),
            events as f64 / (large.decoding + large.folding).as_secs_f64(),
        ))
        .note(format!(
            "{name}: {events} events; in live portions {} row changes and {} views are told.",
            live.rows, live.views
        )))
}

fn agree(ours: &ours::Counts, theirs: &ours::Counts) -> anyhow::Result<()> {
    let differs = ours.iter().chain(theirs).find(|(at, _)| ours.get(*at) != theirs.get(*at));
    if let Some((at, _)) = differs {
        anyhow::bail!("{at:?}: ours {:?}, DuckDB's {:?}", ours.get(at), theirs.get(at));
    }
    ensure!(ours.values().map(|count| count[0]).sum::<i64>() > 0, "nothing was counted");
    Ok(())
}

/// Processor time of this thread so far: what others do on the machine does not lengthen it.
fn spent() -> Duration {
    let read = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("no schedstat")?;
        let nanos = text.split(' ').next().unwrap_or_default().parse()?;
        anyhow::Ok(Duration::from_nanos(nanos))
    };
    read().expect("Linux tells the processor time of a thread")
}
