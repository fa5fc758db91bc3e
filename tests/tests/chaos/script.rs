//! `script/cluster`, as a person types it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;
use tidegate_tests::life::{Dice, life};
use tidegate_tests::product::binary;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::PATIENCE;

/// A cluster of its own; taken down when this is dropped, also by a panic.
struct Cluster {
    home: TempDir,
    binaries: PathBuf,
}

impl Cluster {
    async fn run(&self, words: &[&str]) -> Result<Output> {
        Ok(Command::from(self.command(words)).output().await?)
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../script/cluster");
        let mut command = std::process::Command::new(script);
        command.args(words).env("CLUSTER_HOME", self.home.path()).env("TIDEGATE_BINARIES", &self.binaries);
        command
    }

    async fn said(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words).await?;
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        ensure!(output.status.success(), "{words:?}: {}: {said}\n{complained}", output.status);
        Ok(said)
    }

    /// The processes that it knows: number and name.
    async fn processes(&self) -> Result<Vec<(u32, String)>> {
        let status = self.run(&["status"]).await?;
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_owned();
            Some((words.next()?.parse().ok()?, name))
        };
        Ok(text(&status.stdout).lines().filter_map(line).collect())
    }

    async fn pid(&self, name: &str) -> Result<u32> {
        let found = self.processes().await?.into_iter().find(|(_, found)| found == name);
        Ok(found.with_context(|| format!("nobody is called {name}"))?.0)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).output();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// An address of the table: of whose line, the word that begins so.
fn address(table: &str, name: &str, begins: &str) -> Result<String> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    let word = line.and_then(|line| line.split_whitespace().find(|word| word.starts_with(begins)));
    Ok(word.with_context(|| format!("no {begins} of {name} in:\n{table}"))?.to_owned())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let held = holds().await;
        if matches!(held, Ok(true)) {
            return Ok(());
        }
        ensure!(Instant::now() < patience, "{what}: {held:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_comes_up_counts_a_call_starts_again_whoever_dies_and_leaves_nothing_behind() -> Result<()> {
    binary("tidegate").await?;
    // Beside the product, which lies in the same folder.
    let binaries = Path::new(env!("CARGO_BIN_EXE_cluster")).parent().context("a folder")?.to_owned();
    let cluster = Cluster { home: TempDir::new()?, binaries };
    ensure!(!cluster.run(&["status"]).await?.status.success(), "nothing is up yet");
    let table = cluster.said(&["up", "--aggregators", "2", "--consoles", "1"]).await?;
    println!("{table}");
    ensure!(!cluster.run(&["up"]).await?.status.success(), "there is one already");
    cluster.said(&["status"]).await?;
    let (door, wallboard) = (address(&table, "receiver-2", "http://")?, address(&table, "wallboard", "http://")?);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let events: Vec<_> = life(0, 0, &mut Dice(1)).into_iter().map(|event| event.text).collect();
    until("the door takes a call", async || {
        let sent = client.post(&door).header("content-type", "application/json").body(events.join("\n")).send().await?;
        Ok(sent.status().as_u16() == 202)
    })
    .await?;
    let counted = async || -> Result<bool> {
        let call: Value =
            client.get(format!("{wallboard}v1/calls/c0-0")).send().await?.error_for_status()?.json().await?;
        Ok(call.is_object())
    };
    until("the call is at a pusher", counted).await?;
    let live = async || -> Result<bool> {
        let live: Value =
            client.get(format!("{wallboard}v1/live/queues")).send().await?.error_for_status()?.json().await?;
        Ok(live["stale"] == false && live["items"].as_array().is_some_and(|items| !items.is_empty()))
    };
    until("the simulated centre is live", live).await?;

    let before = cluster.pid("aggregator-1").await?;
    Command::new("kill").args(["-9", &before.to_string()]).status().await?;
    until("who was killed is back", async || {
        let now = cluster.pid("aggregator-1").await?;
        Ok(now != before && now != 0 && cluster.run(&["status"]).await?.status.success())
    })
    .await?;
    until("the simulated centre is live again", live).await?;

    let all = cluster.processes().await?;
    ensure!(all.len() == 13, "{all:?}");
    let said = cluster.said(&["down"]).await?;
    let left: Vec<_> = all.iter().filter(|(pid, _)| alive(*pid)).collect();
    ensure!(left.is_empty(), "they are left: {left:?}");
    ensure!(said.trim().is_empty(), "it did not end cleanly: {said}");
    ensure!(!cluster.run(&["status"]).await?.status.success(), "it is down");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_supervisor_has_left_is_taken_down_too() -> Result<()> {
    binary("tidegate").await?;
    let binaries = Path::new(env!("CARGO_BIN_EXE_cluster")).parent().context("a folder")?.to_owned();
    let cluster = Cluster { home: TempDir::new()?, binaries };
    let few = ["--receivers", "1", "--aggregators", "1", "--pushers", "1", "--consoles", "0", "--gates", "0"];
    cluster.said(&[&["up", "--collectors", "0"], &few[..]].concat()).await?;
    let all = cluster.processes().await?;
    ensure!(all.len() == 6, "{all:?}");
    let holder = std::fs::read_to_string(cluster.home.path().join("holder"))?;
    let holder = holder.split_whitespace().next().context("a number")?;
    Command::new("kill").args(["-9", holder]).status().await?;
    until("its end is seen", async || Ok(!cluster.run(&["status"]).await?.status.success())).await?;
    cluster.run(&["down"]).await?;
    until("nobody is left", async || Ok(all.iter().all(|(pid, _)| !alive(*pid)))).await
}
