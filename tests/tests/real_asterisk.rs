//! A real Asterisk, real SIP calls, the real binary: what it publishes is what that Asterisk wrote down.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_tests::ami::Ami;
use tidegate_tests::callers::Callers;
use tidegate_tests::compare::{self, Differences, Tolerance};
use tidegate_tests::drive::Drive;
use tidegate_tests::figures;
use tidegate_tests::oracle::{Exit, Oracle, Transfer};
use tidegate_tests::pbx::{DRIVER_LOGIN, PRODUCT_LOGIN, Pbx};
use tidegate_tests::product::Product;
use tidegate_tests::proxy::Link;
use tidegate_tests::records::{Records, number_of};
use tidegate_tests::screen::Screen;
use tokio::time::{Instant, timeout};

const DRIVE: Drive = Drive { times: 1, verbose: false };

/// The agents whose figures come out of queues alone; 107 is only ever called by others.
const QUEUE_AGENTS: [&str; 7] = ["101", "102", "103", "104", "105", "106", "108"];

/// The product learns of a moment by another event of the PBX than the channel events do.
const EACH_MS: i64 = 120;

/// How long after a link is back its picture may still be incomplete.
const CATCHING_UP_MS: i64 = 5000;

#[tokio::test(flavor = "multi_thread")]
async fn figures_over_http_equal_the_records_of_the_pbx() -> Result<()> {
    let pbx = Pbx::start(15_000)?;
    let folder = fresh_folder(&pbx)?;
    let config = configure(&folder, &pbx, pbx.ami())?;
    let product = Product::up(&folder, 15_910, &["--config", &config]).await?;

    DRIVE.run(&pbx).await?;

    let oracle = Oracle::of(&Records::read(pbx.home())?)?;
    everything_happened(&oracle)?;
    settle(&product, &oracle, &Tolerance { each_ms: EACH_MS, blind: Vec::new() }).await?;
    let gap = gap_seconds(&product, &oracle).await?;
    ensure!(gap == 0.0, "nothing was missed, and yet {gap} s are marked as a gap");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_reconcile_after_a_cut_link_and_a_killed_process_and_the_gaps_are_marked() -> Result<()> {
    let pbx = Pbx::start(17_000)?;
    let link = Link::open(pbx.ami()).await?;
    let folder = fresh_folder(&pbx)?;
    let config = configure(&folder, &pbx, link.address)?;
    let mut product = Product::up(&folder, 17_910, &["--config", &config]).await?;

    let calls = tokio::spawn(async { DRIVE.run(&Pbx::running(17_000)).await });
    let mut blind = Vec::new();
    tokio::time::sleep(Duration::from_secs(18)).await;
    let from = now();
    link.cut();
    tokio::time::sleep(Duration::from_secs(5)).await;
    link.mend();
    blind.push((from, now() + CATCHING_UP_MS));
    tokio::time::sleep(Duration::from_secs(12)).await;
    let from = now();
    product.kill().await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    product.start_again().await?;
    blind.push((from, now() + CATCHING_UP_MS));
    calls.await.context("the drive crashed")??;

    let oracle = Oracle::of(&Records::read(pbx.home())?)?;
    everything_happened(&oracle)?;
    settle(&product, &oracle, &Tolerance { each_ms: EACH_MS, blind }).await?;
    let gap = gap_seconds(&product, &oracle).await?;
    ensure!((8.0..=30.0).contains(&gap), "the product was blind for about 10 s, and marked {gap} s");
    Ok(())
}

/// From the PBX's word that a caller waits to the frame that shows him: on a machine that is not busy, a few milliseconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_call_is_on_the_screen_at_once() -> Result<()> {
    let pbx = Pbx::start(15_000)?;
    let folder = fresh_folder(&pbx)?;
    let config = configure(&folder, &pbx, pbx.ami())?;
    let product = Product::up(&folder, 15_910, &["--config", &config]).await?;
    let (_ami, mut events) = Ami::log_in(pbx.ami(), DRIVER_LOGIN.0, DRIVER_LOGIN.1).await?;
    let mut screen = Screen::follow(product.address(), "calls").await?;
    let callers = tokio::spawn(async {
        Callers::of("on-screen", "5001", 10, 1.0, 0.0, 2000).call(&Pbx::running(15_000), 0).await
    });
    let mut delays = Vec::new();
    while delays.len() < 10 {
        let event = timeout(Duration::from_secs(20), events.recv()).await?.context("the AMI link is gone")?;
        let told = Instant::now();
        if event.get("Event").is_none_or(|name| name != "QueueCallerJoin") {
            continue;
        }
        let call = event.get("Uniqueid").context("a caller without a channel")?;
        let waits = |item: &Value| item.to_string().contains(call.as_str()) && item["queue"] == "sales";
        let shows = |frame: &Value| frame["changed"].as_array().is_some_and(|items| items.iter().any(waits));
        let shown = timeout(Duration::from_secs(30), screen.until(shows))
            .await
            .context("a waiting call was not shown within 30 s")??;
        delays.push(shown.saturating_duration_since(told).as_millis());
    }
    callers.await??;
    delays.sort_unstable();
    println!("from the PBX's event to the screen: median {} ms, longest {} ms", delays[5], delays[9]);
    ensure!(delays[5] < 1000, "the median delay to the screen is {} ms: {delays:?}", delays[5]);
    Ok(())
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Where the product keeps its data and output. It stays until the next run, for a look at what differed.
fn fresh_folder(pbx: &Pbx) -> Result<PathBuf> {
    let folder = pbx.home().with_extension("product");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The configuration that an operator would write for this PBX.
fn configure(folder: &Path, pbx: &Pbx, ami: SocketAddr) -> Result<String> {
    let secret = folder.join("secret");
    std::fs::write(&secret, PRODUCT_LOGIN.1)?;
    let path = folder.join("tidegate.toml");
    let text = format!(
        r#"
        [collector.sources.pbx1]
        kind = "asterisk"
        [collector.sources.pbx1.config]
        host = "{host}"
        port = {port}
        username = "{user}"
        secret = "file:{secret}"
        trunks = {{ endpoints = ["PJSIP/trunk"], inbound_contexts = ["inbound"] }}
        queues = {{ wrap_up = "2s", extensions = {{ 601 = "sales", 602 = "support" }} }}
        backfill = {{ queue_log = "{home}/log/queue_log" }}
        "#,
        host = ami.ip(),
        port = ami.port(),
        user = PRODUCT_LOGIN.0,
        secret = secret.display(),
        home = pbx.home().display(),
    );
    std::fs::write(&path, text)?;
    Ok(path.to_string_lossy().into_owned())
}

/// A drive that leaves something out proves nothing about it.
fn everything_happened(oracle: &Oracle) -> Result<()> {
    let stays = &oracle.stays;
    let count = |what: &dyn Fn(&tidegate_tests::oracle::Stay) -> bool| stays.iter().filter(|stay| what(stay)).count();
    let happened = [
        ("calls", oracle.calls.len(), 60),
        ("answers", count(&|stay| stay.exit == Exit::Answered), 20),
        ("abandons", count(&|stay| stay.exit == Exit::Abandoned), 8),
        ("abandons while a phone rang", count(&|stay| stay.left_ringing), 1),
        ("timeouts", count(&|stay| stay.exit == Exit::TimedOut), 2),
        ("unanswered alerts", stays.iter().map(|stay| stay.unanswered.len()).sum(), 10),
        ("holds", oracle.services().filter(|service| service.transfer.is_none() && service.hold_ms > 0).count(), 2),
        ("blind transfers by phone", transfers(oracle, Transfer::Blind, "104"), 3),
        ("blind transfers by desktop", transfers(oracle, Transfer::Blind, "102"), 1),
        ("attended transfers by phone", transfers(oracle, Transfer::Attended, "108"), 3),
        ("attended transfers by desktop", transfers(oracle, Transfer::Attended, "101"), 1),
        ("pauses", oracle.pauses.len(), 4),
    ];
    for (what, found, least) in happened {
        ensure!(found >= least, "the drive had {found} {what}, and needs {least} for the test to mean something");
    }
    Ok(())
}

fn transfers(oracle: &Oracle, kind: Transfer, agent: &str) -> usize {
    oracle.services().filter(|service| service.transfer == Some(kind) && service.agent == agent).count()
}

/// Waits until nothing differs any more; after a while, tells what does.
async fn settle(product: &Product, oracle: &Oracle, tolerance: &Tolerance) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let differences = judge(product, oracle, tolerance).await?;
        if differences.0.is_empty() {
            return Ok(());
        }
        if Instant::now() > patience {
            let mut told = format!("{} differences from the records of the PBX:\n", differences.0.len());
            for line in &differences.0 {
                writeln!(told, "  {line}")?;
            }
            ensure!(false, "{told}\nthe truth: {oracle}\nthe product said last:\n{}", product.said());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn judge(product: &Product, oracle: &Oracle, tolerance: &Tolerance) -> Result<Differences> {
    let mut differences = Differences::default();
    let queues = totals(product, oracle, "queue").await?;
    for name in oracle.queues() {
        match queues.iter().find(|row| row["id"] == *name) {
            Some(row) => compare::queue(name, row, &oracle.stays_in(name), tolerance, &mut differences),
            None => differences.note(format!("no row of queue {name}")),
        }
    }
    let agents = totals(product, oracle, "agent").await?;
    for (name, truth) in figures::agents(oracle).into_iter().filter(|(name, _)| QUEUE_AGENTS.contains(&name.as_str())) {
        match agents.iter().find(|row| row["id"].as_str().is_some_and(|id| number_of(id) == name)) {
            Some(row) => compare::agent(&name, row, &truth, &oracle.answered_by(&name), tolerance, &mut differences),
            None => differences.note(format!("no row of agent {name}")),
        }
    }
    let records = records(product, oracle).await?;
    let inbound = records.iter().filter(|record| record["direction"] == "inbound").count();
    differences.same("calls from outside", inbound, oracle.calls.len());
    for call in &oracle.calls {
        let found: Vec<_> =
            records.iter().filter(|record| record["call"].as_str().is_some_and(|id| id.ends_with(&call.id))).collect();
        differences.same(&format!("{}: records", call.id), found.len(), 1);
        let Some(record) = found.first() else { continue };
        differences.same(&format!("{}: closed", call.id), record["closed"].as_bool(), Some(true));
        let stays: Vec<_> = oracle.stays.iter().filter(|stay| stay.call == call.id).collect();
        let whole = product.get(&format!("/v1/calls/{}", record["call"].as_str().unwrap_or("")), &[]).await?;
        compare::segments(&call.id, &whole, &stays, tolerance, &mut differences);
    }
    Ok(differences)
}

/// One row per id over the whole run.
async fn totals(product: &Product, oracle: &Oracle, by: &str) -> Result<Vec<Value>> {
    let (from, to) = span(oracle);
    let query = [("from", from.as_str()), ("to", &to), ("interval", "all"), ("by", by)];
    items(product.get("/v1/reports/intervals", &query).await?)
}

/// Every call record of the run, page by page.
async fn records(product: &Product, oracle: &Oracle) -> Result<Vec<Value>> {
    let (from, to) = span(oracle);
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut query = vec![("from", from.as_str()), ("to", &to), ("limit", "100")];
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let page = product.get("/v1/reports/calls", &query).await?;
        let next = page.get("next").and_then(Value::as_str).unwrap_or("").to_owned();
        all.extend(items(page)?);
        if next.is_empty() {
            return Ok(all);
        }
        cursor = next;
    }
}

/// The seconds of the run that the source's row says were missed.
async fn gap_seconds(product: &Product, oracle: &Oracle) -> Result<f64> {
    let rows = totals(product, oracle, "source").await?;
    let row = rows.iter().find(|row| row["id"] == "pbx1").context("no row of the source")?;
    row["gap_s"].as_f64().with_context(|| format!("the row of the source has no gap_s: {row}"))
}

fn items(answer: Value) -> Result<Vec<Value>> {
    answer.get("rows").and_then(Value::as_array).cloned().with_context(|| format!("no rows in {answer}"))
}

/// The quarters of an hour that the run touches, as RFC 3339: what agents did is kept by the quarter.
fn span(oracle: &Oracle) -> (String, String) {
    const QUARTER_MS: i64 = 15 * 60_000;
    let first = oracle.calls.iter().map(|call| call.from).min().unwrap_or(0);
    let last = oracle.calls.iter().map(|call| call.to).max().unwrap_or(0);
    let text = |quarter: i64| {
        jiff::Timestamp::from_millisecond(quarter * QUARTER_MS).map_or(String::new(), |time| time.to_string())
    };
    (text(first / QUARTER_MS), text(last / QUARTER_MS + 1))
}
