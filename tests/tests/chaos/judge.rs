//! Whether everything is as it must be in the end: by the ledger of what was sent, by the simulated centre's own ledger, and by folding
//! the journal again.

use anyhow::{Context as _, Result, bail, ensure};
use std::time::Duration;
use tidegate_tests::centre;
use tidegate_tests::feed::Ledger;
use tidegate_tests::ledger;
use tidegate_tests::reported::{self, same};
use tokio::time::{Instant, sleep};

use super::PATIENCE;
use super::world::World;

/// Every pusher says of every queue, agent and the tenant exactly what was sent.
pub async fn equals(world: &World, ledger: &Ledger) -> Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
    for pusher in world.pushers() {
        let patience = Instant::now() + PATIENCE;
        loop {
            let found = reported::over_http(&client, pusher, &ledger.acknowledged).await;
            match found.and_then(|found| same(&found, &ledger.acknowledged)) {
                Ok(()) => break,
                Err(differs) if Instant::now() > patience => {
                    let verdict = refolded(world).await;
                    let verdict = verdict.unwrap_or_else(|error| format!("{error:#}"));
                    bail!("{pusher} over HTTP: {differs:#}\nthe journal folded again: {verdict}")
                }
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }
    Ok(())
}

/// What a rebuild would change: whether a figure is wrong because of the journal, or of what became of it. Everything is stopped for it.
async fn refolded(world: &World) -> Result<String> {
    world.fleet.stop().await?;
    world.ask(&["rebuild", "--dry-run"]).await
}

/// From when on, by the centre's clock, calls are seen from their beginning: its clock went on since its ledger's last word, faster than ours.
pub async fn whole_since(world: &World) -> Result<i64> {
    let centre = world.fleet.centre().context("a centre")?;
    let truth = reqwest::get(format!("http://{centre}/v1/truth")).await?.error_for_status()?.text().await?;
    let calls = ledger::read(&truth)?;
    Ok(calls.iter().map(|call| call.ended_ms.unwrap_or(call.offered_ms)).max().unwrap_or_default() + 30_000)
}

/// Waits until so many calls of the centre that began after `began` are as its ledger says, and none is otherwise.
pub async fn centre(world: &World, began: i64, calls: usize) -> Result<usize> {
    let centre = world.fleet.centre().context("a centre")?.to_string();
    let pusher = world.pushers()[0].to_string();
    let patience = Instant::now() + PATIENCE;
    loop {
        let judged = centre::judge(&centre, &pusher, began).await;
        if let Ok((compared, differences)) = &judged
            && *compared >= calls
            && differences.0.is_empty()
        {
            return Ok(*compared);
        }
        if Instant::now() > patience {
            let (compared, differences) = judged?;
            bail!(
                "{} differences over {compared} of the centre's calls:\n{}",
                differences.0.len(),
                differences.0.join("\n")
            );
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Everybody is well and finishes cleanly, and the journal folded again gives the very store that there is.
pub async fn end(world: &World, ledger: &Ledger) -> Result<()> {
    one_evaluates(world).await?;
    world.fleet.sound()?;
    world.fleet.stop().await?;
    world.fleet.sound()?;
    let verdict = world.ask(&["rebuild", "--dry-run"]).await?;
    ensure!(verdict.trim_end().ends_with("identical"), "a rebuild does not give the same: {verdict}");
    let compared = verdict.split_whitespace().zip(verdict.split_whitespace().skip(1));
    let compared =
        compared.filter(|(_, word)| *word == "calls").find_map(|(n, _)| n.replace(',', "").parse::<u64>().ok());
    ensure!(compared >= Some(ledger.calls), "{} calls were sent: {verdict}", ledger.calls);
    Ok(())
}

/// Of all consoles one evaluates.
async fn one_evaluates(world: &World) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let mut active = 0.0;
        for console in world.fleet.of("console") {
            active += world.fleet.metric(console.name(), "console_active").await?.unwrap_or_default();
        }
        if active == 1.0 {
            return Ok(());
        }
        ensure!(Instant::now() < patience, "{active} consoles evaluate");
        sleep(Duration::from_millis(200)).await;
    }
}
