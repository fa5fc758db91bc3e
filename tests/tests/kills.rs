//! The one process, killed (SIGKILL) at random moments under load: nothing that it acknowledged is lost, nothing is counted twice.
//!
//! Producers outside of it send whole lives of calls through `POST /v1/ingest`, keep a ledger of what was acknowledged, repeat what
//! was not, and send some events twice on purpose. The oracle is that ledger, added up.
//!
//! `TIDEGATE_KILLS=200` kills so often, and writes the finding `kills`; `TIDEGATE_SEED=n` chooses other moments.
#![allow(clippy::disallowed_methods, reason = "these tests run real processes in real time")]

use anyhow::{Context as _, Result, bail, ensure};
use bench::{Aim, Figure, Finding};
use std::collections::BTreeMap;
use std::time::Duration;
use tempfile::TempDir;
use tidegate_tests::feed::{Feed, Ledger};
use tidegate_tests::life::{Dice, Figures};
use tidegate_tests::product::{free_ports, run};
use tidegate_tests::reported::{self, same};
use tidegate_tests::table::Table;
use tidegate_tests::victim::{Moment, PATIENCE, Victim};
use tokio::time::{Instant, sleep};

/// Kills when nobody asks for more.
const FEW: u64 = 20;
/// What makes the interesting moments frequent: checkpoints of the store all the time, retention every second.
const SETTINGS: [&str; 3] = ["aggregator.checkpoint_every=20ms", "journal.sweep=1s", "journal.keep.ingest=1s"];

/// Between two batches of a producer: the load is to be carried, because overload puts figures off on purpose.
const PAUSE: Duration = Duration::from_millis(40);

fn number(name: &str, otherwise: u64) -> Result<u64> {
    std::env::var(name).map_or(Ok(otherwise), |text| text.parse().with_context(|| format!("{name}={text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_counted_twice_however_often_it_is_killed() -> Result<()> {
    let (kills, seed) = (number("TIDEGATE_KILLS", FEW)?, number("TIDEGATE_SEED", 1)?);
    println!("{kills} kills, seed {seed}");
    let place = TempDir::new()?;
    let mut victim = Victim::start(place.path(), free_ports(3), &SETTINGS).await?;
    victim.ready().await?;
    let mut feed = Feed::start(&[victim.door()], 4, seed, PAUSE)?;
    let mut dice = Dice(seed);
    let mut met = BTreeMap::<&str, u64>::new();
    for kill in 0..kills {
        let moment = Moment::any(&mut dice);
        let told = || format!("seed {seed}, kill {kill}, {moment:?}");
        if victim.killed_at(moment).await.with_context(told)? {
            *met.entry(name(moment)).or_default() += 1;
        }
        if kill % 4 == 3 {
            holds(&mut victim, &feed).await.with_context(told)?;
        }
        feed.check().await.with_context(told)?;
    }
    victim.ready().await?;
    let ledger = feed.finish().await?;
    equals(&victim, &ledger).await?;
    let data = victim.data().to_string_lossy().into_owned();
    victim.stop().await?;
    judge(&data, &ledger).await?;
    println!("{ledger}, {met:?}");
    if kills > FEW {
        record(kills, seed, &ledger, &met)?;
    }
    Ok(())
}

fn name(moment: Moment) -> &'static str {
    match moment {
        Moment::Starting(_) => "while it started",
        Moment::Running(_) => "5 to 400 ms after its door opened",
        Moment::Copying("journal.db", _) => "while the journal's log was copied into its file",
        Moment::Copying(..) => "while the store's log was copied into its file",
    }
}

/// After a kill, while events go on: what was acknowledged before is there, and nothing that was not sent.
async fn holds(victim: &mut Victim, feed: &Feed) -> Result<()> {
    // Totals: of agents there may be news later when there is much to do.
    let mut acknowledged = feed.ledger().acknowledged;
    acknowledged.retain(|(by, ..), _| *by != "agent");
    victim.ready().await?;
    let patience = Instant::now() + PATIENCE;
    loop {
        let found = victim.figures(&acknowledged).await?;
        reported::not_more(&found, &feed.ledger().sent)?;
        let less = acknowledged.iter().find(|(figure, n)| found[*figure] < **n);
        let Some((figure, n)) = less else { return Ok(()) };
        if Instant::now() > patience {
            bail!("{figure:?} is {}, and {n} was acknowledged before the kill", found[figure]);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// In the end: exactly what was sent, over HTTP.
async fn equals(victim: &Victim, ledger: &Ledger) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let found = victim.figures(&ledger.acknowledged).await?;
        let Err(differs) = same(&found, &ledger.acknowledged) else { return Ok(()) };
        if Instant::now() > patience {
            bail!("over HTTP {differs:#}\n{}", victim.said());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Without the server: the same figures, every call once, a journal that is sound, and a store that is what the journal says.
async fn judge(data: &str, ledger: &Ledger) -> Result<()> {
    let mut found = Figures::new();
    for by in reported::KINDS {
        let arguments = reported::arguments(data, by);
        let text = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        reported::pick(&mut found, by, &Table::parse(&text)?, &ledger.acknowledged);
    }
    same(&found, &ledger.acknowledged).context("on the command line")?;
    let sound = run(&["verify", "--data", data]).await?;
    ensure!(sound.trim_end().ends_with("sound"), "{sound}");
    let verdict = run(&["rebuild", "--dry-run", "--data", data]).await?;
    ensure!(verdict.trim_end().ends_with("identical"), "a rebuild does not give the same: {verdict}");
    let compared = format!("and {} calls compared", ledger.calls);
    ensure!(verdict.contains(&compared), "{} calls were sent: {verdict}", ledger.calls);
    Ok(())
}

fn record(kills: u64, seed: u64, ledger: &Ledger, met: &BTreeMap<&str, u64>) -> Result<()> {
    let claim =
        "killed at any moment under load, the one process loses nothing that it acknowledged and counts nothing twice";
    let command = format!("TIDEGATE_KILLS={kills} cargo test -p tidegate-tests --test kills");
    let mut finding = Finding::new("kills", claim, &command)
        .figure(Figure::new("kills (SIGKILL)", kills as f64, "kills"))
        .figure(Figure::new("events acknowledged", ledger.events as f64, "events"))
        .figure(Figure::new("events lost", 0.0, "events").aim(Aim::AtMost(0.0)))
        .figure(Figure::new("events counted twice", 0.0, "events").aim(Aim::AtMost(0.0)));
    for (moment, times) in met {
        finding = finding.figure(Figure::new(format!("kills {moment}"), *times as f64, "kills"));
    }
    finding
        .note(format!("seed {seed}; {ledger}"))
        .note(
            "lost and twice are of a test that fails at the first: every figure of every queue, agent and the tenant equals the \
             ledger's over HTTP and on the command line, `verify` finds the journal sound, `rebuild --dry-run` the store identical",
        )
        .note("a kill leaves the kernel's memory: a power cut is not shown by it")
        .save()
}
