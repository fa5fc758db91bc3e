//! FastAGI as a real Asterisk sees it: real calls at a steady rate ask the gate of the whole product, and the PBX's own channel events say
//! how long each answer took and whether any fell back.
//!
//! `TIDEGATE_AGI_RATE=80` calls so often a second for half a minute, and writes the finding `agi`; without it a few calls show that the way
//! is sound, and nothing is asserted of how long it took: a machine that is busy with other things may make the dialplan fall back.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

use anyhow::{Context as _, Result, ensure};
use bench::{Aim, Figure, Finding, Spread};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tidegate_tests::callers::Callers;
use tidegate_tests::desk::Desk;
use tidegate_tests::flood::{self, Place};
use tidegate_tests::gated;
use tidegate_tests::pbx::{PRODUCT_LOGIN, Pbx};
use tidegate_tests::product::{Product, binary};
use tidegate_tests::records::{ChannelEvent, Records};
use tokio::time::{Instant, sleep};

/// First of the ports of this PBX and of what belongs to it.
const BASE: u16 = 7_000;
const AGI: u16 = BASE + 573;
const GATE: u16 = BASE + 574;
const CONSOLE: u16 = BASE + 575;
const OPS: u16 = BASE + 912;
/// Calls a second, and seconds, when nobody asks for more.
const FEW: (f64, f64) = (10.0, 3.0);
const HALF_A_MINUTE_S: f64 = 30.0;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_a_steady_rate_ask_and_are_led_where_the_plan_says() -> Result<()> {
    let asked = std::env::var("TIDEGATE_AGI_RATE").ok();
    let (rate, seconds) = match &asked {
        Some(text) => (text.parse().with_context(|| format!("TIDEGATE_AGI_RATE={text}"))?, HALF_A_MINUTE_S),
        None => FEW,
    };
    let pbx = Pbx::start(BASE)?;
    // only what is measured is written down
    let cel = pbx.home().join("etc/cel.conf");
    let text = std::fs::read_to_string(&cel)?;
    std::fs::write(
        &cel,
        text.replace("apps = queue,dial", "apps = agi").replace("events = ALL", "events = APP_START,APP_END"),
    )?;
    pbx.command("module reload cel").await?;
    gated::install(&pbx, AGI, "exten => s,1,Answer()\n same => n,Hangup()").await?;
    let product = start(&pbx).await?;
    let count = (rate * seconds).ceil() as u32;
    Callers::of("agi", "5101", count, rate, 0.0, 10_000).call(&pbx, 1).await?;
    let ends = ended(&pbx, count as usize).await?;
    let records = Records::read(pbx.home())?;
    let took = asking(&records.channel)?;
    let led = ends.values().filter(|ended| ended.place == Place::SmartIvr).count();
    let outcome = Outcome {
        late: counted("cti_late_total", "").await?,
        told: counted("cti_agi_connections_total", "told").await?,
        count,
        led,
        took,
    };
    match asked.is_some() {
        true => outcome.record(rate).await?,
        false => outcome.is_sound()?,
    }
    drop(product);
    Ok(())
}

/// What came of it.
struct Outcome {
    count: u32,
    /// Calls that ended where the plan says.
    led: usize,
    /// Answers that came with the reason `late`, by the gate's own count.
    late: u64,
    /// Connections in which the PBX took the whole answer, by the gate's own count.
    told: u64,
    /// What the PBX spent in `AGI()`, milliseconds, in the order of the calls; and how long all of them took, seconds.
    took: (Vec<f64>, f64),
}

impl Outcome {
    /// Calls that the dialplan sent on without an answer: neither where the plan says nor into the queue because it was late.
    fn fallbacks(&self) -> usize {
        (self.count as usize).saturating_sub(self.led + self.late as usize)
    }

    fn is_sound(&self) -> Result<()> {
        let spread: Spread = self.took.0.iter().copied().collect();
        println!(
            "{} calls in {:.1} s: p50 {:.2} ms, p99 {:.2} ms, longest {:.1} ms; {} late, {} fell back",
            self.count,
            self.took.1,
            spread.median(),
            spread.quantile(0.99),
            spread.max(),
            self.late,
            self.fallbacks()
        );
        let half = self.led + self.late as usize >= self.count as usize / 2;
        ensure!(half, "{} of {} were led where the plan says, {} came late", self.led, self.count, self.late);
        ensure!(self.told >= self.led as u64, "{} were led, and {} were told where", self.led, self.told);
        Ok(())
    }

    async fn record(&self, rate: f64) -> Result<()> {
        let spread: Spread = self.took.0.iter().copied().collect();
        let release = binary("tidegate").await?.components().any(|part| part.as_os_str() == "release");
        let build = if release { "a release build" } else { "a debug build, which is slower" };
        let command = if release {
            "script/bench agi".to_owned()
        } else {
            format!("TIDEGATE_AGI_RATE={rate} cargo test -p tidegate-tests --test agi_rate")
        };
        let claim = "a real Asterisk that asks for each call is answered at once, and no call falls back";
        Finding::new("agi", claim, &command)
            .figure(Figure::new("calls that asked", f64::from(self.count), "calls"))
            .figure(Figure::new("calls a second", f64::from(self.count) / self.took.1, "/s").aim(Aim::AtLeast(0.95 * rate)))
            .figure(Figure::new("in AGI(), as the PBX saw it, p50", spread.median(), "ms"))
            .figure(Figure::new("in AGI(), as the PBX saw it, p99", spread.quantile(0.99), "ms").aim(Aim::AtMost(5.0)))
            .figure(Figure::new("the longest", spread.max(), "ms"))
            .figure(Figure::new("answers that came too late", self.late as f64, "calls").aim(Aim::AtMost(0.0)))
            .figure(Figure::new("calls that fell back", self.fallbacks() as f64, "calls").aim(Aim::AtMost(0.0)))
            .note(format!("{build}; PBX, SIPp, and the whole product, which folds the events of these very calls, on the same two cores"))
            .note("from the channel event that starts AGI() to the one that ends it: connecting, five variables, hanging up")
            .save()
    }
}

/// The product on this PBX, with an order that leads everybody to the smart IVR: each call asks, and none stays.
async fn start(pbx: &Pbx) -> Result<Product> {
    let folder = pbx.home().with_extension("product");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let ports = [("console", CONSOLE), ("cti", GATE), ("cti.agi", AGI)];
    let mut set: Vec<String> =
        ports.iter().map(|(part, port)| format!("{part}.listen.address=127.0.0.1:{port}")).collect();
    set.extend(["console", "cti"].map(|part| format!("{part}.auth.anonymous=operator")));
    let mut arguments = vec!["--asterisk".to_owned(), pbx.ami().to_string()];
    arguments.extend(["--asterisk-user".to_owned(), PRODUCT_LOGIN.0.to_owned()]);
    arguments.extend(["--asterisk-secret".to_owned(), secret(pbx)?]);
    arguments.extend(set.into_iter().flat_map(|set| ["--set".to_owned(), set]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let product = Product::up(&folder, BASE + 910, &arguments).await?;
    let desk = Desk::at(SocketAddr::from(([127, 0, 0, 1], CONSOLE)))?;
    let known = |queues: &[serde_json::Value]| queues.iter().any(|queue| queue["queue"] == "sales");
    desk.until("sales is seen", &product, known).await?;
    let bot = json!({
        "kind": "smart_ivr", "address": "tidegate-targets,smart_ivr,1", "capacity_per_s": 1_000.0, "containment": 0.5,
    });
    desk.put("/v1/targets/bot?why=a+test", 0, bot).await?;
    desk.put("/v1/thresholds/sales?why=a+test", 0, json!({ "targets": [{ "target": "bot" }] })).await?;
    let order = json!({ "queue": "sales", "order": { "level_locked": { "level": "divert_all" } }, "for_s": 900.0 });
    desk.post("/v1/overrides?why=a+test", order).await?;
    let patience = Instant::now() + PATIENCE;
    loop {
        let url = format!("http://127.0.0.1:{GATE}/v1/route/plan");
        let shown = reqwest::get(&url).await?.text().await?;
        if shown.contains("divert_all") {
            return Ok(product);
        }
        ensure!(Instant::now() < patience, "the gate does not hear of the order: {shown}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn secret(pbx: &Pbx) -> Result<String> {
    let path = pbx.home().join("secret");
    std::fs::write(&path, PRODUCT_LOGIN.1)?;
    Ok(format!("file:{}", path.display()))
}

/// Where the calls ended, when the PBX has written all of them down.
async fn ended(pbx: &Pbx, count: usize) -> Result<BTreeMap<String, flood::Ended>> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let ends = flood::ends(pbx)?;
        if ends.len() >= count {
            return Ok(ends);
        }
        ensure!(Instant::now() < patience, "{count} called, and {} are written down", ends.len());
        sleep(Duration::from_millis(500)).await;
    }
}

/// How long each call was in `AGI()`, milliseconds, and from the first to the last of them, seconds.
fn asking(events: &[ChannelEvent]) -> Result<(Vec<f64>, f64)> {
    let mut began: BTreeMap<&str, i64> = BTreeMap::new();
    let mut took = Vec::new();
    for event in events {
        match event.kind.as_str() {
            "APP_START" => _ = began.insert(&event.channel, event.at_us()),
            "APP_END" => {
                let from = began.get(event.channel.as_str()).context("AGI() ended and never began")?;
                took.push((event.at_us() - from) as f64 / 1_000.0);
            }
            _ => {}
        }
    }
    let (first, last) = (began.values().min().context("nobody asked")?, began.values().max().context("nobody asked")?);
    Ok((took, (last - first) as f64 / 1e6))
}

/// The sum of a counter of the product over the series whose labels hold `label`.
async fn counted(name: &str, label: &str) -> Result<u64> {
    let text = reqwest::get(format!("http://127.0.0.1:{OPS}/metrics")).await?.text().await?;
    let of = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    let values = of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum::<f64>() as u64)
}
