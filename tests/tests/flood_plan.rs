//! A flood in `tidegate up`: the console's plan goes up, says why and with which figures, and comes down one level at a time.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tempfile::TempDir;
use tidegate_tests::desk::{self, Desk};
use tidegate_tests::product::{Product, free_ports};

fn level(queue: &Value) -> u64 {
    queue["level_number"].as_u64().unwrap_or(99)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_goes_up_with_a_flood_and_comes_down_after_it() -> Result<()> {
    let folder = TempDir::new()?;
    let base = free_ports(10);
    let (console, centre) =
        (SocketAddr::from(([127, 0, 0, 1], base + 4)), SocketAddr::from(([127, 0, 0, 1], base + 5)));
    let set = [
        format!("console.listen.address={console}"),
        "console.auth.anonymous=operator".to_owned(),
        format!("simulator.control.listen.address={centre}"),
        format!("simulator.ami.address=127.0.0.1:{}", base + 6),
    ];
    let arguments: Vec<&str> = set.iter().flat_map(|set| ["--set", set.as_str()]).collect();
    let product = Product::up(folder.path(), base, &arguments).await?;
    let desk = Desk::at(console)?;
    let planned = |queues: &[Value]| {
        let staffed = |queue: &Value| queue["plan"]["figures"]["agents"].as_f64() > Some(0.0);
        !queues.is_empty() && queues.iter().all(|queue| queue["plan"].is_object() && staffed(queue))
    };
    let queues = desk.until("every queue has a plan", &product, planned).await?;
    // a test does not wait a minute and a half for each level
    for queue in &queues {
        let name = queue["queue"].as_str().context("a queue without a name")?;
        let quick = json!({ "calm_s": 3.0, "goal": { "within_s": 40.0 } });
        desk.put(&format!("/v1/thresholds/{name}?why=a+test"), 0, quick).await?;
    }
    // at the speed of life: a clock that runs faster than ours would tell figures of tomorrow
    let flood = json!({ "factor": 15.0, "seconds": 20.0 });
    desk.ask(Method::POST, &format!("http://{centre}/v1/flood"), None, Some(flood)).await?;
    // the plan says what came and why
    let flooded = |queue: &&Value| {
        let came = queue["plan"]["flow"]["attempts_per_s"].as_f64() > Some(0.0);
        let why = queue["issued_why"].as_str().is_some_and(|why| !why.is_empty());
        level(queue) >= 2 && came && why
    };
    let up = |queues: &[Value]| queues.iter().any(|queue| flooded(&queue));
    let queues = desk.until("a queue is diverted from", &product, up).await?;
    let hit = queues.iter().find(flooded).context("no flood")?;
    let name = hit["queue"].as_str().context("a queue without a name")?.to_owned();
    // then hardly anybody calls: what waits is served
    let quiet = json!({ "factor": 0.1, "seconds": 3_000.0 });
    desk.ask(Method::POST, &format!("http://{centre}/v1/flood"), None, Some(quiet)).await?;
    let calm = |queues: &[Value]| queues.iter().any(|queue| queue["queue"] == *name && level(queue) == 0);
    desk.until("it is calm again", &product, calm).await?;
    let export = desk.export().await?;
    desk::verify(&export).await?;
    let levels = desk::levels(&desk::records(&export)?, &name)?;
    let highest = levels.iter().copied().max().unwrap_or(0);
    let back = levels.iter().skip_while(|level| **level < 2).any(|level| *level == 0);
    ensure!(back, "up to {highest}, and never back: {levels:?}");
    println!("{name}: up to level {highest} and back, {} changes", levels.len() - 1);
    Ok(())
}
