//! How fast events become figures: JSON lines decoded and folded on one core, beside DuckDB, which reads the same file.
//!
//! Ours is the whole fold, as the aggregator runs it: decoding, the state machines of calls, agents and devices, rows by queue, agent,
//! team, device, source, trunk, IVR node and tenant, and the live views; what the aggregator then stores is `script/bench import`'s.
//! DuckDB is asked two things: two counts by queue and half hour with one group-by, which is far less work, and a fold's work in SQL,
//! which is a little less. What all sides count must agree. Runs alternate; the figures are medians. A core is counted by the processor
//! time that was spent on it.

mod duck;
mod ours;
mod recorded;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use bench::{Aim, Figure, Finding, Spread};

use duck::{Ask, Duck};
use ours::Way;

/// Calls of the made-up day: about 1.5 million events.
const CALLS: usize = 80_000;
const SEED: u64 = 1;
/// Runs of each side.
const ROUNDS: usize = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let work = tempfile::tempdir()?;
    let file = work.path().join("centre.ndjson");
    write_lines(&file, bench::centre::day(CALLS, SEED))?;
    let mut finding = Finding::new(
        "fold",
        "how fast JSON events are decoded and folded on one core, beside DuckDB on the same file",
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
             42,078 calls of a bank as the import leaves them, call by call, without those that its phone system took back as phantoms."
        ))
        .note(
            "Ours: decoding, call, agent and device state machines, rows in eight dimensions, live views; kept in memory. Catching up, rows \
             are taken every 8,000 events and views once at the end, as an import and a rebuild do; live, both with each portion.",
        )
        .note(
            "DuckDB, one group-by: offered and answered by queue and half hour, declared columns; much less work than ours. DuckDB, a fold's \
             work: stays of calls by window functions, states of agents and devices, rows by eight things with quantiles; still less than \
             ours (no clipping at borders, no late events, no levels, no cohorts, no views). The two counts are compared in every run and \
             are equal on all sides.",
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

/// Runs all sides on a file in turns.
fn compare(finding: Finding, name: &str, file: &Path) -> anyhow::Result<Finding> {
    let mut duck = Duck::start(file, 1)?;
    let [mut whole, mut live, mut decoding, mut counting, mut folding] = [const { Vec::new() }; 5];
    let (mut events, mut version, mut told) = (0, String::new(), String::new());
    for round in 0..=ROUNDS {
        let (pass, followed) = (ours::pass(file, Way::CatchUp, spent)?, ours::pass(file, Way::Live, spent)?);
        let decoded = ours::decode(file, spent)?;
        let (count, fold) = (duck.run(Ask::Count)?, duck.run(Ask::Fold)?);
        for other in [&followed.counts, &count.counts(), &fold.counts()] {
            agree(&pass.counts, other)?;
        }
        if round == 0 {
            continue; // all have seen the file now
        }
        whole.push(pass.took.as_secs_f64());
        live.push(followed.took.as_secs_f64());
        decoding.push(decoded.as_secs_f64());
        counting.push(count.cpu_s);
        folding.push(fold.cpu_s);
        told = format!("{} row changes and {} views are told live", followed.rows, followed.views);
        (events, version) = (pass.events, count.version);
    }
    let mut wide = Duck::start(file, bench::Machine::this().cores)?;
    let all_cores: Spread =
        (0..3).map(|_| wide.run(Ask::Count).map(|answer| answer.wall_s)).collect::<Result<_, _>>()?;
    let rate = |seconds: Vec<f64>| events as f64 / seconds.into_iter().collect::<Spread>().median();
    let figure = |what: &str, value: f64| Figure::new(format!("{name}: {what}"), value, "events/s");
    let whole = rate(whole);
    Ok(finding
        .figure(
            figure("decode and full fold, one core, beside a fold's work", whole)
                .peer(format!("DuckDB {version}, one thread, calls rebuilt and rows of them in SQL"), rate(folding)),
        )
        .figure(
            figure("decode and full fold, one core", whole)
                .peer(format!("DuckDB {version}, one thread, one group-by"), rate(counting))
                .aim(Aim::RatioAtLeast(2.0)),
        )
        .figure(figure("decode alone", rate(decoding)))
        .figure(
            figure(&format!("decode and full fold, live, in portions of {} events", ours::LIVE_CHUNK), rate(live))
                .peer(
                    format!("DuckDB {version}, all cores, by the clock, one group-by"),
                    events as f64 / all_cores.median(),
                ),
        )
        .note(format!("{name}: {events} events; {told}.")))
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
