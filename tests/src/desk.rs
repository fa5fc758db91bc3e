//! A person at the console: its API over HTTP, each request repeated while it is put off.

use crate::product::{Product, run};
use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long each step may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(420);
/// Records of one page of the audit.
const PAGE: u64 = 2_000;

/// Someone who may decide.
#[derive(Clone, Debug)]
pub struct Desk {
    client: Client,
    console: SocketAddr,
}

impl Desk {
    /// At the console that listens there.
    pub fn at(console: SocketAddr) -> Result<Desk> {
        Ok(Desk { client: Client::builder().timeout(Duration::from_secs(60)).build()?, console })
    }

    /// A request to any address. `replaces`: the version that it replaces.
    pub async fn ask(&self, method: Method, url: &str, replaces: Option<u64>, body: Option<Value>) -> Result<Value> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let mut request = self.client.request(method.clone(), url);
            if let Some(version) = replaces {
                request = request.header("if-match", format!("\"{version}\""));
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
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// What the console answers at a path.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, &self.url(path), None, None).await
    }

    /// The same, once: whoever may be gone is not waited for.
    pub async fn get_now(&self, path: &str) -> Result<Value> {
        let answer = self.client.get(self.url(path)).timeout(Duration::from_secs(5)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Replaces what has a version.
    pub async fn put(&self, path: &str, replaces: u64, body: Value) -> Result<Value> {
        self.ask(Method::PUT, &self.url(path), Some(replaces), Some(body)).await
    }

    /// Replaces what has a version, and is refused with this status: where something is wrong with it.
    pub async fn refused(&self, path: &str, replaces: u64, body: Value, status: u16) -> Result<Vec<String>> {
        let request = self.client.put(self.url(path)).header("if-match", format!("\"{replaces}\""));
        let answer = request.json(&body).send().await?;
        let (found, problem) = (answer.status().as_u16(), answer.json::<Value>().await?);
        ensure!(found == status, "{path}: {found} instead of {status}: {problem:#}");
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        Ok(errors.iter().filter_map(|error| Some(error["at"].as_str()?.to_owned())).collect())
    }

    /// Decides something.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.ask(Method::POST, &self.url(path), None, Some(body)).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.console)
    }

    /// Every queue as the console shows it.
    pub async fn queues(&self) -> Result<Vec<Value>> {
        let plans = self.get("/v1/plans").await?;
        plans["queues"].as_array().cloned().context("no queues")
    }

    /// Waits until the queues are so.
    pub async fn until(&self, what: &str, product: &Product, so: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let queues = self.queues().await?;
            if so(&queues) {
                return Ok(queues);
            }
            ensure!(Instant::now() < patience, "{what}: never\n{queues:#?}\n{}", product.said());
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The whole audit, as it is exported: a record to a line.
    pub async fn export(&self) -> Result<String> {
        let mut all = String::new();
        let mut from = 0;
        loop {
            let url = self.url(&format!("/v1/audit/export?from={from}&limit={PAGE}"));
            let answer = self.client.get(&url).send().await?.error_for_status()?;
            let next = answer.headers().get("tidegate-next").context("no place to go on from")?.to_str()?.parse()?;
            all += &answer.text().await?;
            if next == from {
                return Ok(all);
            }
            from = next;
        }
    }
}

/// Has the product's own command judge an export: every record is as it was when it was sealed, and some are.
pub async fn verify(export: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), export)?;
    let said = run(&["audit", "verify", "--export", &file.path().to_string_lossy()]).await?;
    ensure!(said.trim_end().ends_with("sound") && !said.contains(" 0 seals"), "{said}");
    Ok(())
}

/// The records of an export, in order.
pub fn records(export: &str) -> Result<Vec<Value>> {
    let event = |line: &str| -> Result<Value> {
        let line: Value = serde_json::from_str(line)?;
        Ok(serde_json::from_str(line["event"].as_str().context("a line of the audit without its event")?)?)
    };
    export.lines().map(event).collect()
}

/// A level by its name.
pub fn number(level: &Value) -> Option<usize> {
    ["normal", "offer", "divert_share", "divert_all", "hard_phone"].iter().position(|name| level == name)
}

/// The levels that a queue went through, by its changes: each begins where the one before ended, and none goes down by more than one.
pub fn levels(records: &[Value], queue: &str) -> Result<Vec<usize>> {
    let number = |level: &Value| number(level).context("no level");
    let mut levels = vec![0];
    for record in records.iter().filter(|r| r["type"] == "level.changed.v1" && r["data"]["queue"] == queue) {
        let (was, level) = (number(&record["data"]["was"])?, number(&record["data"]["level"])?);
        ensure!(levels.last() == Some(&was), "a level jumped: {record:#}");
        ensure!(level + 1 >= was, "more than one level down at once: {record:#}");
        levels.push(level);
    }
    Ok(levels)
}

/// The plans of a queue by their versions: each is the next one. How many there are.
pub fn versions(records: &[Value], queue: &str) -> Result<u64> {
    let mut last = 0;
    for plan in records.iter().filter(|r| r["type"] == "plan.issued.v1" && r["data"]["queue"] == queue) {
        let version = plan["data"]["version"].as_u64().context("a plan without a version")?;
        ensure!(version == last + 1, "after version {last} comes {version}: {plan:#}");
        last = version;
    }
    Ok(last)
}
