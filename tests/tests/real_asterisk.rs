//! A real Asterisk, real SIP calls, the real binary: what it publishes is what that Asterisk wrote down.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tidegate_tests::ami::Ami;
use tidegate_tests::callers::Callers;
use tidegate_tests::compare::Tolerance;
use tidegate_tests::drive::Drive;
use tidegate_tests::oracle::Oracle;
use tidegate_tests::pbx::{DRIVER_LOGIN, Pbx};
use tidegate_tests::product::Product;
use tidegate_tests::proxy::Link;
use tidegate_tests::records::Records;
use tidegate_tests::screen::Screen;
use tidegate_tests::watched::{self, EACH_MS, everything_happened, fresh_folder, gap_seconds, settle};
use tokio::time::{Instant, timeout};

const DRIVE: Drive = Drive { times: 1, verbose: false };

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
    settle(product.face(), &oracle, &Tolerance { each_ms: EACH_MS, blind: Vec::new() })
        .await
        .with_context(|| product.said())?;
    let gap = gap_seconds(product.face(), &oracle).await?;
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
    settle(product.face(), &oracle, &Tolerance { each_ms: EACH_MS, blind }).await.with_context(|| product.said())?;
    let gap = gap_seconds(product.face(), &oracle).await?;
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

/// The configuration of one process that watches this PBX.
fn configure(folder: &Path, pbx: &Pbx, ami: SocketAddr) -> Result<String> {
    let path = folder.join("tidegate.toml");
    std::fs::write(&path, watched::source(folder, pbx, ami)?)?;
    Ok(path.to_string_lossy().into_owned())
}
