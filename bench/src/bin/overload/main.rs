//! Ten times the load it can carry, for a minute: what one process does with it.
//!
//! It starts the product as an operator does, measures what it carries through its HTTP door, offers ten times that, and
//! watches from outside: memory, the answers, the live figures of two WebSocket readers. In the end every answer is held against the
//! figures. The sender and the readers share the machine's processors with the product, which makes the overload worse, not better.
//!
//! `script/bench overload` runs all of it (about two minutes) and writes the finding; `--short` runs some seconds, writes
//! nothing, and judges only what does not depend on how fast the machine is; `--seconds N` goes on for longer, writes nothing
//! either, and tells how memory went. It ends badly when a promise is broken.

mod batch;
mod load;
mod oracle;
mod product;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use bench::{Aim, Figure, Finding, Spread};
use clap::Parser;
use service::Clock;

use load::{Pace, Sender, Stretch, stretch};
use oracle::Verdict;
use product::Product;
use watch::{Frame, Reader};

/// Offers ten times what the product carries, for a minute.
#[derive(Parser)]
struct Arguments {
    /// Some seconds only, and nothing written.
    #[arg(long)]
    short: bool,
    /// How long the overload lasts, seconds; of another length than its own no finding is written.
    #[arg(long, default_value_t = FULL.overload.as_secs())]
    seconds: u64,
    /// Writes no finding.
    #[arg(long)]
    no_save: bool,
}

/// How long each part lasts.
struct Lengths {
    calm: Duration,
    saturated: Duration,
    overload: Duration,
}

const FULL: Lengths = Lengths { calm: s(6), saturated: s(12), overload: s(60) };
const SHORT: Lengths = Lengths { calm: s(1), saturated: s(3), overload: s(5) };

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How many times the load that it carries is offered.
const TIMES: f64 = 10.0;
/// What the process may take, in MB.
const RESIDENT_MAX_MB: f64 = 1_024.0;
/// How long the last acknowledged call may take to be seen after the load.
const PATIENCE: Duration = s(120);
const CALM: Pace = Pace::Open { workers: 4, per_second: 4.0 };

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let full = Lengths { overload: s(arguments.seconds), ..FULL };
    let saved = !arguments.short && !arguments.no_save && full.overload == FULL.overload;
    let lengths = if arguments.short { SHORT } else { full };
    let folder = tempfile::tempdir()?;
    let clock = Clock::system();
    let mut product = Product::start(folder.path(), &clock).await?;
    let run = Run::of(&product, &clock, &lengths).await?;
    let stopping = product.stop(&clock).await?;
    let verdict = oracle::judge(&product, &run.sender.sent()).await?;
    let finding = finding(&run, &verdict, stopping);
    if saved {
        finding.save()?;
    } else {
        println!("{finding}{verdict:?}");
    }
    println!("memory in sixteenths of the overload, MB: {:.0?}", run.resident.course);
    run.must_hold(&verdict)
}

/// What happened.
struct Run {
    calm: Stretch,
    /// Events a second that became visible when as many as it takes were offered.
    carried: f64,
    overload: Stretch,
    lasted: f64,
    after: Stretch,
    /// From the end of the load until the totals showed every acknowledged call.
    caught_up: Duration,
    resident: Resident,
    totals: Ages,
    calm_totals: Ages,
    after_totals: Ages,
    details: Ages,
    disk_mb: f64,
    sender: Sender,
}

/// Resident memory, in MB.
#[derive(Clone, Debug, Default)]
struct Resident {
    calm: f64,
    /// The largest of all.
    max: f64,
    /// The medians of the second and the last quarter of the overload.
    early: f64,
    late: f64,
    /// The medians of its sixteenths.
    course: Vec<f64>,
}

/// How old figures were.
#[derive(Debug, Default)]
struct Ages {
    /// Frames that came.
    frames: usize,
    /// By the ledger, ms; of totals only.
    true_ms: Spread,
    /// As the frames said, ms.
    told_ms: Spread,
    /// Between two frames, ms.
    between_ms: Spread,
    /// How much younger than it was a frame said that it was, ms.
    flattered_ms: Spread,
}

fn ages(frames: &[Frame]) -> Ages {
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let flattered = frames.iter().filter_map(|f| Some(ms(f.age?.saturating_sub(f.told?))));
    Ages {
        frames: frames.len(),
        true_ms: frames.iter().filter_map(|f| f.age.map(ms)).collect(),
        told_ms: frames.iter().filter_map(|f| f.told.map(ms)).collect(),
        between_ms: frames.windows(2).map(|pair| ms(pair[1].at - pair[0].at)).collect(),
        flattered_ms: flattered.collect(),
    }
}

impl Run {
    async fn of(product: &Product, clock: &Clock, lengths: &Lengths) -> Result<Run> {
        let sender = Sender::new(clock.clone(), &product.door, &product.token)?;
        let follow = |topics: &'static str| Reader::follow(&product.face, topics, clock.clone(), sender.clone());
        let totals = follow(r#""totals","queues","intervals""#).await?;
        let details = follow(r#""agents","calls""#).await?;
        let now = || clock.monotonic();
        let memory = Memory::default();
        let (over, watching) = (Arc::new(AtomicBool::new(false)), memory.clone());
        let body = async {
            let began = now();
            sender.offer(CALM, lengths.calm).await;
            let calm = (began, now());
            let resident = product.resident_mb()?;
            let carried = saturate(&sender, &totals, clock, lengths.saturated).await;
            settle(&sender, &totals, clock).await?;
            println!("carries {carried:.0} events/s");
            let per_second = TIMES * carried / (batch::CALLS * batch::EVENTS) as f64;
            let began = now();
            sender.offer(Pace::Open { workers: 256, per_second: per_second.max(10.0) }, lengths.overload).await;
            let (overload, load_ended) = ((began, began + lengths.overload), now());
            let caught_up = settle(&sender, &totals, clock).await?.saturating_sub(load_ended);
            let began = now();
            sender.offer(CALM, lengths.calm).await;
            settle(&sender, &totals, clock).await?;
            let after = (began, now());
            over.store(true, Ordering::Relaxed);
            anyhow::Ok((calm, resident, carried, overload, caught_up, after))
        };
        let (measured, watched) = tokio::join!(
            async {
                let outcome = body.await;
                over.store(true, Ordering::Relaxed);
                outcome
            },
            watching.watch(product, clock, &over)
        );
        let (calm, resident, carried, overload, caught_up, after) = measured?;
        watched?;
        let sent = sender.sent();
        let of = |reader: &Reader, (from, to): (Duration, Duration)| ages(&reader.seen.within(from, to));
        let run = Run {
            calm: stretch(&sent, calm.0, calm.1),
            carried,
            overload: stretch(&sent, overload.0, overload.1),
            lasted: (overload.1 - overload.0).as_secs_f64(),
            after: stretch(&sent, after.0, after.1),
            caught_up,
            resident: memory.judge(resident, overload),
            totals: of(&totals, overload),
            calm_totals: of(&totals, calm),
            after_totals: of(&totals, after),
            details: of(&details, overload),
            disk_mb: product.disk_mb()?,
            sender,
        };
        totals.end().await?;
        details.end().await?;
        Ok(run)
    }

    /// What holds on a machine of any speed.
    fn must_hold(&self, verdict: &Verdict) -> Result<()> {
        if let Some(wrong) = self.sender.wrong() {
            anyhow::bail!("an answer is neither an acknowledgement nor a refusal that says when to come back: {wrong}");
        }
        ensure!(verdict.is_clean(), "the figures are not what was acknowledged: {verdict:?}");
        ensure!(verdict.acknowledged > 0, "nothing was acknowledged");
        ensure!(
            self.resident.max <= RESIDENT_MAX_MB,
            "it took {:.0} MB, {RESIDENT_MAX_MB} are the bound",
            self.resident.max
        );
        Ok(())
    }
}

/// Offers as much as it takes; events a second that became visible after the first quarter.
async fn saturate(sender: &Sender, totals: &Reader, clock: &Clock, lasting: Duration) -> f64 {
    let measured = async {
        clock.sleep(lasting / 4).await;
        let (from, before) = (clock.monotonic(), totals.seen.calls());
        clock.sleep(lasting * 3 / 4 - Duration::from_millis(100)).await;
        let calls = totals.seen.calls().saturating_sub(before);
        calls as f64 * batch::EVENTS as f64 / (clock.monotonic() - from).as_secs_f64()
    };
    let ((), carried) = tokio::join!(sender.offer(Pace::Closed { workers: 8 }, lasting), measured);
    carried
}

/// Waits until the totals show every acknowledged call; when they did.
async fn settle(sender: &Sender, totals: &Reader, clock: &Clock) -> Result<Duration> {
    let (calls, began) = (sender.acknowledged_calls(), clock.monotonic());
    loop {
        if let Some(at) = totals.seen.reached(calls) {
            return Ok(at);
        }
        let waited = clock.monotonic() - began;
        let seen = totals.seen.calls();
        ensure!(waited < PATIENCE, "{calls} calls are acknowledged and {seen} are seen after {waited:?}");
        clock.sleep(Duration::from_millis(10)).await;
    }
}

/// Samples of resident memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<(Duration, f64)>>>);

impl Memory {
    async fn watch(&self, product: &Product, clock: &Clock, over: &AtomicBool) -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            let sample = (clock.monotonic(), product.resident_mb()?);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            clock.sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    fn judge(&self, calm: f64, (from, to): (Duration, Duration)) -> Resident {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let quarter = (to - from) / 4;
        let median = |from: Duration, to: Duration| {
            samples.iter().filter(|(at, _)| *at >= from && *at < to).map(|(_, mb)| *mb).collect::<Spread>().median()
        };
        Resident {
            calm,
            max: samples.iter().map(|(_, mb)| *mb).collect::<Spread>().max(),
            early: median(from + quarter, from + quarter * 2),
            late: median(from + quarter * 3, to),
            course: (0..16)
                .map(|n| (from + quarter * n / 4, from + quarter * (n + 1) / 4))
                .map(|(from, to)| median(from, to))
                .collect(),
        }
    }
}

fn finding(run: &Run, verdict: &Verdict, stopping: Duration) -> Finding {
    let per_batch = (batch::CALLS * batch::EVENTS) as f64;
    let rate = |batches: u64| batches as f64 * per_batch / run.lasted;
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let claim = "offered ten times what it can carry for a minute, one process keeps its memory bounded, keeps every call it \
                 acknowledged exactly once, refuses the rest with a time to come back, keeps the totals fresh while details \
                 wait, and is back to normal within seconds";
    Finding::new("overload", claim, "script/bench overload")
        .figure(Figure::new("carried through the door, seen in the totals", run.carried, "events/s"))
        .figure(
            Figure::new("offered, of what is carried", rate(run.overload.offered) / run.carried, "times")
                .aim(Aim::AtLeast(8.0)),
        )
        .figure(Figure::new("acknowledged meanwhile", rate(run.overload.acknowledged), "events/s"))
        .figure(Figure::new("refused, with a time to come back", rate(run.overload.refused), "events/s"))
        .figure(Figure::new("acknowledged calls that are not in the figures", verdict.lost as f64, "").aim(Aim::AtMost(0.0)))
        .figure(Figure::new("calls counted twice", verdict.doubled as f64, "").aim(Aim::AtMost(0.0)))
        .figure(Figure::new("refused calls that are in the figures", verdict.unasked as f64, "").aim(Aim::AtMost(0.0)))
        .figure(Figure::new("batches without an answer", run.overload.unknown as f64, ""))
        .figure(Figure::new("memory, at most", run.resident.max, "MB").peer("before the load", run.resident.calm).aim(Aim::AtMost(RESIDENT_MAX_MB)))
        .figure(
            Figure::new("memory, last quarter of the minute", run.resident.late, "MB")
                .peer("the second quarter", run.resident.early)
                .aim(Aim::RatioAtMost(1.1)),
        )
        .figure(Figure::new("age of totals, p99, by the ledger", run.totals.true_ms.quantile(0.99), "ms").aim(Aim::AtMost(3_000.0)))
        .figure(Figure::new("age of totals that frames did not admit, p99", run.totals.flattered_ms.quantile(0.99), "ms").aim(Aim::AtMost(1_000.0)))
        .figure(Figure::new("between two frames of totals, p99", run.totals.between_ms.quantile(0.99), "ms").aim(Aim::AtMost(1_000.0)))
        .figure(
            Figure::new("age that frames of details say, p99", run.details.told_ms.quantile(0.99), "ms")
                .peer("frames of totals", run.totals.told_ms.quantile(0.99)),
        )
        .figure(
            Figure::new("frames of details a second", run.details.frames as f64 / run.lasted, "")
                .peer("frames of totals a second", run.totals.frames as f64 / run.lasted),
        )
        .figure(Figure::new("a refusal takes, p99", run.overload.refusing.quantile(0.99), "ms"))
        .figure(Figure::new("from the end of the load to complete figures", ms(run.caught_up), "ms").aim(Aim::AtMost(5_000.0)))
        .figure(
            Figure::new("acknowledging afterwards, median", run.after.acknowledging.median(), "ms")
                .peer("before", run.calm.acknowledging.median())
                .aim(Aim::RatioAtMost(2.0)),
        )
        .figure(
            Figure::new("age of totals afterwards, median", run.after_totals.true_ms.median(), "ms")
                .peer("before", run.calm_totals.true_ms.median()),
        )
        .note(format!(
            "batches of {} calls ({per_batch} events) over HTTP on the same machine: the sender and the readers take their share of its \
             processors; {} calls were acknowledged in all, {} are in the figures, {:.0} MB on disk; it stopped in {:.1} s",
            batch::CALLS, verdict.acknowledged, verdict.counted, run.disk_mb, stopping.as_secs_f64(),
        ))
        .note("the age by the ledger: how long ago a call was acknowledged that the newest frame of totals lacks")
}
