//! A flood in `tidegate up`: the console's plan goes up, says why and with which figures, and comes down one level at a time.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes in real time")]

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_tests::product::{Product, free_ports};
use tokio::time::Instant;

/// How long each step may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(420);

struct Desk {
    client: Client,
    console: String,
}

impl Desk {
    /// A request, repeated while it is put off.
    async fn ask(&self, method: Method, url: &str, replaces: Option<&str>, body: Option<Value>) -> Result<Value> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let mut request = self.client.request(method.clone(), url);
            if let Some(version) = replaces {
                request = request.header("if-match", version);
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            let answer = request.send().await;
            match answer {
                Ok(answer) if answer.status().is_success() => return Ok(answer.json().await.unwrap_or_default()),
                Ok(answer) if ![429, 503].contains(&answer.status().as_u16()) => {
                    bail!("{url}: {} {}", answer.status(), answer.text().await?)
                }
                put_off => ensure!(Instant::now() < patience, "{url}: {put_off:?}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn queues(&self) -> Result<Vec<Value>> {
        let plans = self.ask(Method::GET, &format!("{}/v1/plans", self.console), None, None).await?;
        plans["queues"].as_array().cloned().context("no queues")
    }

    /// Waits until the queues are so.
    async fn until(&self, what: &str, product: &Product, so: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let queues = self.queues().await?;
            if so(&queues) {
                return Ok(queues);
            }
            ensure!(Instant::now() < patience, "{what}: never\n{queues:#?}\n{}", product.said());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn level(queue: &Value) -> u64 {
    queue["level_number"].as_u64().unwrap_or(99)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_goes_up_with_a_flood_and_comes_down_after_it() -> Result<()> {
    let folder = TempDir::new()?;
    let base = free_ports(10);
    let (console, centre) = (format!("127.0.0.1:{}", base + 4), format!("127.0.0.1:{}", base + 5));
    let set = [
        format!("console.listen.address={console}"),
        "console.auth.anonymous=operator".to_owned(),
        format!("simulator.control.listen.address={centre}"),
        format!("simulator.ami.address=127.0.0.1:{}", base + 6),
    ];
    let arguments: Vec<&str> = set.iter().flat_map(|set| ["--set", set.as_str()]).collect();
    let product = Product::up(folder.path(), base, &arguments).await?;
    let client = Client::builder().timeout(Duration::from_secs(60)).build()?;
    let desk = Desk { client, console: format!("http://{console}") };
    let planned = |queues: &[Value]| {
        let staffed = |queue: &Value| queue["plan"]["figures"]["agents"].as_f64() > Some(0.0);
        !queues.is_empty() && queues.iter().all(|queue| queue["plan"].is_object() && staffed(queue))
    };
    let queues = desk.until("every queue has a plan", &product, planned).await?;
    // a test does not wait a minute and a half for each level
    for queue in &queues {
        let name = queue["queue"].as_str().context("a queue without a name")?;
        let url = format!("{}/v1/thresholds/{name}?why=a+test", desk.console);
        let quick = json!({ "calm_s": 3.0, "goal": { "within_s": 40.0 } });
        desk.ask(Method::PUT, &url, Some("\"0\""), Some(quick)).await?;
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
    let export = desk.client.get(format!("{}/v1/audit/export?limit=5000", desk.console)).send().await?.text().await?;
    let verdict = console::audit::of_export(export.as_bytes())?;
    ensure!(verdict.is_sound() && verdict.seals > 0, "{verdict:?}");
    judge(&export, &name)
}

/// The levels of the queue that was flooded, as they stand in the audit.
fn judge(export: &str, name: &str) -> Result<()> {
    let mut at = 0;
    let (mut highest, mut changes, mut back) = (0, 0, false);
    for line in export.lines() {
        let line: console::audit::Line = serde_json::from_str(line)?;
        let event: Value = serde_json::from_str(&line.event)?;
        if event["type"] != "level.changed.v1" || event["data"]["queue"] != *name {
            continue;
        }
        let number = |level: &Value| {
            let names = ["normal", "offer", "divert_share", "divert_all", "hard_phone"];
            names.iter().position(|name| level == name).context("no level")
        };
        let (was, level) = (number(&event["data"]["was"])?, number(&event["data"]["level"])?);
        ensure!(was == at, "a level jumped: {event:#}");
        ensure!(level + 1 >= was, "more than one level down at once: {event:#}");
        (at, highest, changes) = (level, highest.max(level), changes + 1);
        back |= highest >= 2 && level == 0;
    }
    ensure!(back, "up to {highest}, and then {at}");
    println!("{name}: up to level {highest} and back, {changes} changes");
    Ok(())
}
