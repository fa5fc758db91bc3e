//! The product on PostgreSQL and Redis: both stop and come back under it, and its figures go on.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tidegate_tests::product::{Product, free_ports, run};
use tidegate_tests::stores::{self, Stop};
use tokio::time::{Instant, sleep};

/// How long something may take to happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// The file that says where the stores are.
fn configured(folder: &Path, postgres: &stores::Postgres, redis: &stores::Redis) -> Result<PathBuf> {
    let file = folder.join("tidegate.toml");
    // What the server's user owns cannot be read by everybody: the test reads it as root or as the same user.
    let text = format!(
        "[store]\nkind = \"postgresql\"\nurl = {:?}\npassword = \"file:{}\"\nconnections = 4\n\
         [live]\nkind = \"redis\"\nurl = {:?}\npassword = \"file:{}\"\n",
        postgres.database("product")?,
        postgres.password_file().display(),
        redis.url(),
        redis.password_file()?.display(),
    );
    fs::write(&file, text)?;
    Ok(file)
}

/// The product at work, its figures looked at from outside.
struct Watched {
    product: Product,
    ops: u16,
}

impl Watched {
    async fn start(folder: &Path, config: &Path) -> Result<Self> {
        let base = free_ports(5);
        let settings = [
            format!("simulator.control.listen.address=127.0.0.1:{}", base + 3),
            format!("simulator.ami.address=127.0.0.1:{}", base + 4),
            "simulator.arrivals.calls_per_hour=9000".to_owned(),
            "process.log.format=text".to_owned(),
        ];
        let config = config.to_string_lossy().into_owned();
        let mut arguments = vec!["--config", config.as_str()];
        settings.iter().for_each(|setting| arguments.extend(["--set", setting.as_str()]));
        Ok(Self { product: Product::up(folder, base, &arguments).await?, ops: base + 2 })
    }

    /// A figure of the process itself; 0 where it is not there.
    async fn metric(&self, name: &str) -> Result<f64> {
        let url = format!("http://127.0.0.1:{}/metrics", self.ops);
        let text = reqwest::get(&url).await?.error_for_status()?.text().await?;
        let values = text.lines().filter(|line| line.split([' ', '{']).next() == Some(name));
        Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    async fn until_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) -> Result<f64> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let found = self.metric(name).await?;
            if wanted(found) {
                return Ok(found);
            }
            ensure!(Instant::now() < patience, "{name} is {found}\n{}", self.product.said());
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Calls that were offered to queues today, by the live figures, which are fresh.
    async fn live(&self) -> Result<i64> {
        let live = self.product.get("/v1/live/queues", &[]).await?;
        ensure!(live["stale"] == false, "the live figures are {} ms old", live["age_ms"]);
        offered(&live["items"])
    }

    /// Waits until the live figures, which are always answered, are said to be old.
    async fn until_stale(&self) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        while self.product.get("/v1/live/queues", &[]).await?["stale"] != true {
            ensure!(Instant::now() < patience, "the live figures are never said to be old\n{}", self.product.said());
            sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    async fn report(&self) -> Result<i64> {
        let today = self.product.get("/v1/reports/intervals", &[("by", "tenant"), ("interval", "all")]).await?;
        let rows = today["rows"].as_array().context("rows")?;
        Ok(rows.iter().filter_map(|row| row["offered"].as_i64()).sum())
    }

    /// Waits until figures move, whatever is answered on the way.
    async fn goes_on(&self, what: &str, live: bool) -> Result<()> {
        let (patience, mut before) = (Instant::now() + PATIENCE, None);
        loop {
            let now = if live { self.live().await } else { self.report().await };
            match (&now, before) {
                (Ok(now), Some(before)) if *now > before => return Ok(()),
                (Ok(now), None) => before = Some(*now),
                _ => {}
            }
            ensure!(Instant::now() < patience, "{what}: {now:?}, before {before:?}\n{}", self.product.said());
            sleep(Duration::from_millis(250)).await;
        }
    }
}

/// The sum of what was offered today.
fn offered(items: &Value) -> Result<i64> {
    let items = items.as_array().context("items")?;
    ensure!(!items.is_empty(), "nothing is live");
    Ok(items.iter().filter_map(|item| item["today"]["offered"].as_i64()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stores_go_and_come_back_under_the_product_and_its_figures_go_on() -> Result<()> {
    let (mut postgres, mut redis) = (stores::Postgres::start()?, stores::Redis::start()?);
    let place = TempDir::new()?;
    let config = configured(place.path(), &postgres, &redis)?;
    let mut watched = Watched::start(place.path(), &config).await?;
    watched.goes_on("at the start", true).await?;
    watched.goes_on("the reports at the start", false).await?;
    watched.until_metric("pusher_shares_views", |one| one == 1.0).await?;

    redis.stop()?;
    watched.until_metric("pusher_shares_views", |one| one == 0.0).await?;
    watched.goes_on("while Redis is away", true).await?;
    redis.start_again()?;
    watched.until_metric("pusher_shares_views", |one| one == 1.0).await?;

    postgres.stop(Stop::Fast)?;
    // The fold stops where it must look something up; what is shown stays, and is said to be old.
    watched.until_stale().await?;
    ensure!(watched.report().await.is_err(), "a report without its database must say so");
    postgres.start_again()?;
    watched.goes_on("after PostgreSQL came back", true).await?;
    watched.goes_on("the reports after PostgreSQL came back", false).await?;

    // What is shared is taken by the next that starts; what Redis has lost is shared anew.
    sleep(Duration::from_secs(3)).await;
    watched.product.kill().await?;
    watched.product.start_again().await?;
    watched.until_metric("pusher_recalled_views", |views| views > 10.0).await?;
    watched.goes_on("after the views were taken", true).await?;
    redis.stop()?;
    redis.lose_everything()?;
    redis.start_again()?;
    watched.until_metric("pusher_shares_views", |one| one == 0.0).await?;
    watched.until_metric("pusher_shares_views", |one| one == 1.0).await?;

    watched.product.stop().await?;
    let (data, store) = (place.path().join("data"), config.to_string_lossy().into_owned());
    let data = data.to_string_lossy().into_owned();
    // The folders of the two tables differ; the command looks at [store] only.
    let verdict = run(&["rebuild", "--dry-run", "--data", &data, "--store", &store]).await?;
    ensure!(verdict.trim_end().ends_with("identical"), "what was told is not what the events say: {verdict}");
    let sound = run(&["verify", "--data", &data, "--store", &store]).await?;
    ensure!(sound.trim_end().ends_with("sound"), "{sound}");
    damaged_and_mended(&postgres, &data, &store).await
}

/// A row is changed by hand: it is named, and a rebuild mends the database where it is.
async fn damaged_and_mended(postgres: &stores::Postgres, data: &str, store: &str) -> Result<()> {
    let sql = "UPDATE calls SET body = body || '\\x00' WHERE id = (SELECT MIN(id) FROM calls)";
    postgres.sql("product", sql)?;
    let verified = run(&["verify", "--data", data, "--store", store]).await.expect_err("it is damaged").to_string();
    ensure!(verified.contains("TG0115"), "{verified}");
    run(&["rebuild", "--data", data, "--store", store]).await?;
    let verdict = run(&["rebuild", "--dry-run", "--data", data, "--store", store]).await?;
    ensure!(verdict.trim_end().ends_with("identical"), "{verdict}");
    ensure!(run(&["verify", "--data", data, "--store", store]).await?.trim_end().ends_with("sound"));
    Ok(())
}
