//! The one process on a disk that is full for a while: it says so under a code, refuses what it cannot keep, answers what it can, and goes
//! on by itself when there is room. Nothing that it acknowledged is lost, nothing is counted twice.
#![allow(clippy::disallowed_methods, reason = "these tests run real processes in real time")]

use anyhow::{Context as _, Result, bail, ensure};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_tests::feed::{Feed, Ledger};
use tidegate_tests::product::{binary, free_ports};
use tidegate_tests::reported;
use tidegate_tests::small_disk::SmallDisk;
use tidegate_tests::victim::{PATIENCE, Victim};
use tokio::time::{Instant, sleep};

/// Large enough for what the second half brings.
const DISK_MIB: u32 = 160;
/// What is left when the load begins: a moment's worth of it.
const LEFT_KIB: u64 = 6_000;
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until the door refuses because the disk is full.
async fn until_full(victim: &mut Victim, feed: &mut Feed, disk: &SmallDisk) -> Result<()> {
    let refused = |feed: &Feed| feed.ledger().codes.get("TG0107").copied().unwrap_or_default();
    let (patience, before) = (Instant::now() + PATIENCE, refused(feed));
    while refused(feed) == before {
        feed.check().await?;
        if let Some(status) = victim.gone()? {
            bail!("it ended ({status}):\n{}", victim.said());
        }
        let told = || format!("{:?}, {:?} KiB are free\n{}", feed.ledger().codes, disk.free_kib(), victim.said());
        ensure!(Instant::now() < patience, "nothing is refused: {}", told());
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn until_acknowledged(feed: &mut Feed, more_than: u64, victim: &Victim) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    while feed.ledger().events <= more_than {
        feed.check().await?;
        ensure!(Instant::now() < patience, "nothing is taken although there is room\n{}", victim.said());
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_by_its_code_loses_nothing_and_is_gone_on_from_when_there_is_room() -> Result<()> {
    let place = TempDir::new()?;
    let disk = SmallDisk::mount(&place.path().join("data"), DISK_MIB)?;
    let settings = ["aggregator.checkpoint_every=100ms", "process.log.filter=info"];
    let mut victim = Victim::start_behind(&disk.within(), place.path(), free_ports(3), &settings).await?;
    victim.ready().await?;
    let mut feed = Feed::start(&[victim.door()], 2, 11, PAUSE)?;
    until_acknowledged(&mut feed, 100, &victim).await?;
    for _ in 0..3 {
        disk.leave(LEFT_KIB)?;
        until_full(&mut victim, &mut feed, &disk).await?;
        // It stays so for a while: whoever tries again and again must neither give up nor end.
        sleep(Duration::from_secs(3)).await;
        let known = feed.ledger().acknowledged;
        let told = || format!("reports are answered from a full disk\n{}", victim.said());
        let shown = victim.figures(&known).await.with_context(told)?;
        reported::not_more(&shown, &feed.ledger().sent)?;
        let log = std::fs::read_to_string(place.path().join("output.log"))?;
        ensure!(log.contains("TG0107"), "the log does not name the code:\n{}", victim.said());
        let before = feed.ledger().events;
        disk.make_room()?;
        until_acknowledged(&mut feed, before, &victim).await?;
        feed.check().await?;
    }
    let ledger = feed.finish().await?;
    equals(&victim, &ledger).await?;
    victim.stop().await?;
    let data = disk.folder.to_string_lossy().into_owned();
    for (command, verdict) in [(&["verify"][..], "sound"), (&["rebuild", "--dry-run"], "identical")] {
        let words: Vec<_> = command.iter().copied().chain(["--data", &data]).collect();
        let output = disk.run(&binary("tidegate").await?, &words)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.contains(verdict), "{command:?}: {said}");
    }
    println!("{ledger}; refused: {:?}", ledger.codes);
    Ok(())
}

/// In the end: exactly what was sent.
async fn equals(victim: &Victim, ledger: &Ledger) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let found = victim.figures(&ledger.acknowledged).await?;
        let Err(differs) = reported::same(&found, &ledger.acknowledged) else { return Ok(()) };
        ensure!(Instant::now() < patience, "{differs:#}\n{}", victim.said());
        sleep(Duration::from_millis(100)).await;
    }
}
