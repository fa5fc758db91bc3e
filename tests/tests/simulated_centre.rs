//! `tidegate up` as a newcomer types it: a simulated call centre, watched through the real Asterisk adapter, is on the
//! wallboard's figures within seconds, and its records are what the simulator's ledger says.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use anyhow::{Result, ensure};
use serde_json::Value;
use std::time::Duration;
use tempfile::TempDir;
use tidegate_tests::centre::judge;
use tidegate_tests::product::{Product, free_ports};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_start_shows_a_living_centre_and_its_records_equal_the_ledger() -> Result<()> {
    let folder = TempDir::new()?;
    let base = free_ports(4);
    let control = format!("127.0.0.1:{}", base + 3);
    let listen = format!("simulator.control.listen.address={control}");
    // five simulated seconds in one: many calls have to come and go within a minute
    let arguments = ["--set", &listen, "--set", "simulator.speed=5"];
    let product = Product::up(folder.path(), base, &arguments).await?;
    alive(&product).await?;
    let began = jiff::Timestamp::now().as_millisecond();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let (compared, differences) = judge(&control, &product.address().to_string(), began).await?;
        if compared >= 20 && differences.0.is_empty() {
            println!("{compared} calls are as the ledger says");
            return Ok(());
        }
        if Instant::now() > patience {
            ensure!(compared >= 20, "only {compared} calls began and ended within a minute");
            ensure!(
                false,
                "{} differences from the ledger over {compared} calls:\n{}",
                differences.0.len(),
                differences.0.join("\n")
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Calls are waiting or talking, and agents are logged in, soon after the start: a few seconds, but a busy machine may take longer.
async fn alive(product: &Product) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let calls = product.get("/v1/live/calls", &[]).await?;
        let agents = product.get("/v1/live/agents", &[]).await?;
        let many = |page: &Value| page["items"].as_array().map_or(0, Vec::len);
        if many(&calls) >= 5 && many(&agents) >= 20 {
            return Ok(());
        }
        let (calls, agents) = (many(&calls), many(&agents));
        ensure!(
            Instant::now() < patience,
            "30 s after the start only {calls} calls and {agents} agents\n{}",
            product.said()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
