//! Each component as a process of its own, with the files of `deploy/config`, on one data directory. Each is killed in turn and
//! started again; the figures go on, and in the end they are what the events say.
#![allow(clippy::disallowed_methods, reason = "these tests run real processes in real time")]

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_tests::parts::Part;
use tidegate_tests::product::{free_ports, run};
use tokio::time::{Instant, sleep};

/// In the order in which they depend on each other.
const PROGRAMS: [&str; 5] = ["simulator", "collector", "receiver", "aggregator", "pusher"];
/// How long one may take to be there, or a figure to move.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn each_process_is_killed_and_started_again_and_the_figures_go_on() -> Result<()> {
    let place = TempDir::new()?;
    let host = Host { folder: place.path().to_owned(), port: free_ports(9) };
    let mut running = Vec::new();
    for program in PROGRAMS {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/config/{program}.toml"));
        running.push(Part::of_file(&host.folder, program, program, &file, &host.settings(program)).await?);
    }
    host.figures_go_on(&running).await.context("at the start")?;
    for number in 0..running.len() {
        running[number].kill().await?;
        running[number].start_again().await?;
        let told = || format!("after {} was killed", running[number].name());
        host.figures_go_on(&running).await.with_context(told)?;
    }
    for mut program in running {
        program.stop().await?;
    }
    let data = host.folder.to_string_lossy().into_owned();
    let verdict = run(&["rebuild", "--dry-run", "--data", &data]).await?;
    ensure!(verdict.trim_end().ends_with("identical"), "what was told is not what the events say: {verdict}");
    let sound = run(&["verify", "--data", &data]).await?;
    ensure!(sound.trim_end().ends_with("sound"), "{sound}");
    Ok(())
}

/// Where everything is: files and ports.
struct Host {
    folder: PathBuf,
    port: u16,
}

impl Host {
    /// What is different here from the file in `deploy/config`.
    fn settings(&self, program: &str) -> Vec<String> {
        let address = |number: u16| format!("127.0.0.1:{}", self.port + number);
        let data = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let ops = PROGRAMS.iter().position(|name| *name == program).unwrap_or_default() as u16;
        let mut settings = vec![format!("process.ops.address={}", address(4 + ops))];
        if program != "simulator" {
            settings.push(format!("{program}.journal.path={}", data("journal.db")));
        }
        settings.extend(match program {
            "simulator" => vec![
                format!("simulator.ami.address={}", address(0)),
                format!("simulator.control.listen.address={}", address(1)),
                "simulator.arrivals.calls_per_hour=9000".to_owned(),
                "simulator.warm_up=1m".to_owned(),
            ],
            "collector" => vec![
                format!("collector.sources.pbx1.config.port={}", self.port),
                "collector.sources.pbx1.heartbeat=1s".to_owned(),
            ],
            "receiver" => vec![format!("receiver.listen.address={}", address(2))],
            "aggregator" => vec![format!("aggregator.store.path={}", data("store.db"))],
            _ => {
                vec![format!("pusher.listen.address={}", address(3)), format!("pusher.store.path={}", data("store.db"))]
            }
        });
        settings
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.port + 3);
        let answer = reqwest::Client::new().get(&url).timeout(Duration::from_secs(5)).send().await?;
        ensure!(answer.status().is_success(), "{url}: {}", answer.status());
        Ok(answer.json().await?)
    }

    /// Calls that were offered to queues so far, by the report; and that live figures are fresh.
    async fn offered(&self) -> Result<i64> {
        let live = self.get("/v1/live/queues").await?;
        ensure!(live["stale"] == false, "the live figures are stale: {}", live["age_ms"]);
        ensure!(!live["items"].as_array().context("items")?.is_empty(), "no queue is live");
        let today = self.get("/v1/reports/intervals?by=tenant&interval=all").await?;
        let rows = today["rows"].as_array().context("rows")?;
        Ok(rows.iter().filter_map(|row| row["offered"].as_i64()).sum())
    }

    /// Waits until calls are counted that were not there before.
    async fn figures_go_on(&self, running: &[Part]) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        let mut before = None;
        loop {
            let now = self.offered().await;
            match (&now, before) {
                (Ok(now), None) => before = Some(*now),
                (Ok(now), Some(before)) if *now > before => return Ok(()),
                _ => {}
            }
            if Instant::now() > patience {
                let said: String = running.iter().map(Part::said).collect();
                bail!("no new call in {PATIENCE:?}: {now:?}, before {before:?}\n{said}");
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
}
