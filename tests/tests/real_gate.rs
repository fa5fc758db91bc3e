//! The route gate within real calls: a real Asterisk asks it for each call, callers end where its answer said, and desk phones ring
//! when it is gone.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

use anyhow::{Context as _, Result, ensure};
use journal::{Entry, Journal, Stream};
use model::control::{
    By, Envelope, Event, Kind, Level, Order, OverrideSet, TargetConfigured, Thresholds, ThresholdsSet, Toward,
};
use model::{EventId, Time};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tidegate_tests::callers::Callers;
use tidegate_tests::gated;
use tidegate_tests::pbx::{PRODUCT_LOGIN, Pbx};
use tidegate_tests::phone::{Habit, Phone};
use tidegate_tests::product::{Product, binary};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// First of the ports of this PBX and of what belongs to it.
const BASE: u16 = 13_000;
const AGI: u16 = BASE + 573;
const HTTP: u16 = BASE + 574;
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

/// Callers of a group have the numbers 4930555GG0N: its own two digits and the number of the call.
fn number(group: u16, call: u32) -> String {
    format!("4930555{}0{call}", group + 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_flood_end_where_the_gate_said_and_at_desk_phones_when_it_is_gone() -> Result<()> {
    let pbx = Pbx::start(BASE)?;
    let place = Place::prepare(&pbx).await?;
    let product = Product::up(&place.folder, BASE + 910, &["--config", &place.config]).await?;
    let mut gate = place.start_gate().await?;
    let console = place.console().await?;
    let _phone = Phone::plug_in("103", pbx.port(103), pbx.sip(), 200, Habit::Answers { talk: 800 }).await?;

    // No plan: everybody enters.
    call(&pbx, "open", 0, 2).await?;
    console.flood().await?;
    place.enforces(3).await?;
    call(&pbx, "flood", 1, 8).await?;
    call(&pbx, "protected", 2, 1).await?;
    call(&pbx, "again", 1, 8).await?;
    console.calm().await?;
    place.enforces(0).await?;
    call(&pbx, "calm", 3, 1).await?;
    console.flood().await?;
    place.enforces(3).await?;

    // Gone: nobody listens, and then something that says nothing.
    gate.kill().await?;
    call(&pbx, "gone", 4, 2).await?;
    let mute = tokio::net::TcpListener::bind(("127.0.0.1", AGI)).await?;
    call(&pbx, "mute", 5, 1).await?;
    drop(mute);
    let _gate = place.start_gate().await?;
    place.enforces(3).await?;
    // after three that nobody answered, nobody is asked for five seconds
    sleep(Duration::from_secs(6)).await;
    call(&pbx, "back", 6, 2).await?;

    let ends = ends(&pbx)?;
    let of = |group: u16, calls: u32| -> Vec<Vec<String>> {
        (1..=calls).map(|call| ends.get(&number(group, call)).cloned().unwrap_or_default()).collect()
    };
    println!("{ends:#?}");
    ensure!(of(0, 2).iter().all(|to| to == &["tidegate-queue"]), "without a plan: {:?}", of(0, 2));
    ensure!(of(2, 1) == [["tidegate-queue"]], "a protected caller: {:?}", of(2, 1));
    ensure!(of(3, 1) == [["tidegate-queue"]], "after the order was taken back: {:?}", of(3, 1));
    let flooded = of(1, 8);
    let led = |to: &str| ["bot", "tidegate-targets"].contains(&to);
    ensure!(flooded.iter().all(|to| to.len() == 2 && led(&to[0])), "in the flood: {flooded:?}");
    ensure!(flooded.iter().all(|to| to[0] == to[1]), "a redial got another answer: {flooded:?}");
    for group in [4, 5] {
        let calls = if group == 4 { 2 } else { 1 };
        ensure!(of(group, calls).iter().all(|to| to == &["tidegate-hardphone"]), "{:?}", of(group, calls));
    }
    ensure!(of(6, 2).iter().all(|to| led(&to[0])), "when it was back: {:?}", of(6, 2));
    told(&product, &ends).await
}

/// Some callers of one group to the number before the gate; back when the last has hung up.
async fn call(pbx: &Pbx, name: &'static str, group: u16, count: u32) -> Result<()> {
    Callers::of(name, "5101", count, 5.0, 0.0, 1500).call(pbx, group).await
}

/// Where the calls of each number ended, by the PBX's own records, in order.
fn ends(pbx: &Pbx) -> Result<BTreeMap<String, Vec<String>>> {
    let text = std::fs::read_to_string(pbx.home().join("log/cdr-csv/Master.csv"))?;
    let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes()).records() {
        let row = row?;
        let (number, context) = (row.get(1).unwrap_or(""), row.get(3).unwrap_or(""));
        ends.entry(number.to_owned()).or_default().push(context.to_owned());
    }
    Ok(ends)
}

/// The figures of the queue say of the gate what the PBX's records say of the calls.
async fn told(product: &Product, ends: &BTreeMap<String, Vec<String>>) -> Result<()> {
    let all: Vec<&String> = ends.values().flatten().collect();
    let led = all.iter().filter(|to| ["bot", "tidegate-targets"].contains(&to.as_str())).count() as u64;
    // whoever is led to the queue's desk phones is the queue's traffic, too
    let queued = all.iter().filter(|to| ["tidegate-queue", "tidegate-hardphone"].contains(&to.as_str())).count() as u64;
    let patience = Instant::now() + PATIENCE;
    loop {
        let report = product.get("/v1/reports/intervals", &[("by", "queue"), ("interval", "all")]).await;
        let rows = report.as_ref().ok().and_then(|report| report["rows"].as_array().cloned()).unwrap_or_default();
        let row = rows.into_iter().find(|row| row["id"] == "sales").unwrap_or(Value::Null);
        if row["diverted_at_gate"] == led && row["offered"] == queued {
            let by: u64 = row["diverted_by"].as_object().map_or(0, |by| by.values().filter_map(Value::as_u64).sum());
            ensure!(by == led, "diverted_by adds up to {by}, not {led}: {row}");
            return Ok(());
        }
        ensure!(
            Instant::now() < patience,
            "the records say {led} led elsewhere and {queued} queued, the report says {row}\n{}",
            product.said()
        );
        sleep(Duration::from_millis(500)).await;
    }
}

/// Files and processes beside the PBX.
struct Place {
    folder: PathBuf,
    config: String,
    journal: PathBuf,
}

impl Place {
    /// The dialplan of `deploy/asterisk` in the PBX, and the files of the product.
    async fn prepare(pbx: &Pbx) -> Result<Place> {
        gated::install(pbx, AGI, "exten => s,1,Answer()\n same => n,Wait(30)").await?;
        pbx.command("database put tidegate-phones sales PJSIP/103").await?;
        Place::files(pbx)
    }

    fn files(pbx: &Pbx) -> Result<Place> {
        let folder = pbx.home().with_extension("product");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let secret = folder.join("secret");
        std::fs::write(&secret, PRODUCT_LOGIN.1)?;
        let config = folder.join("tidegate.toml");
        let text = format!(
            "[collector.sources.pbx1]\nkind = \"asterisk\"\n[collector.sources.pbx1.config]\nhost = \"{}\"\nport = {}\n\
             username = \"{}\"\nsecret = \"file:{}\"\n\
             trunks = {{ endpoints = [\"PJSIP/trunk\"], inbound_contexts = [\"inbound\"] }}\n",
            pbx.ami().ip(),
            pbx.ami().port(),
            PRODUCT_LOGIN.0,
            secret.display()
        );
        std::fs::write(&config, text)?;
        let journal = folder.join("data/journal.db");
        let gate = format!(
            "[process]\nops = {{ address = \"127.0.0.1:0\" }}\n\
             [cti]\nlisten = {{ address = \"127.0.0.1:{HTTP}\" }}\nauth = {{ anonymous = \"operator\" }}\n\
             vip = [\"{}\"]\nagi = {{ listen = {{ address = \"127.0.0.1:{AGI}\" }} }}\njournal = {{ path = {journal:?} }}\n",
            number(2, 1)
        );
        std::fs::write(folder.join("cti.toml"), gate)?;
        Ok(Place { config: config.to_string_lossy().into_owned(), folder, journal })
    }

    /// The gate as a process of its own, on the journal of the others.
    async fn start_gate(&self) -> Result<Child> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("cti.log"))?;
        let mut command = Command::new(binary("cti").await?);
        command.arg("--config").arg(self.folder.join("cti.toml")).stdin(Stdio::null()).kill_on_drop(true);
        let child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
        let patience = Instant::now() + PATIENCE;
        while self.enforced().await.is_err() {
            ensure!(Instant::now() < patience, "the gate is not there:\n{}", self.said());
            sleep(Duration::from_millis(100)).await;
        }
        Ok(child)
    }

    async fn enforced(&self) -> Result<Value> {
        let url = format!("http://127.0.0.1:{HTTP}/v1/route/plan");
        let answer = reqwest::Client::new().get(&url).timeout(Duration::from_secs(10)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Waits until the gate enforces this level for the queue.
    async fn enforces(&self, level: u8) -> Result<()> {
        let names = ["normal", "offer", "divert_share", "divert_all", "hard_phone"];
        let patience = Instant::now() + PATIENCE;
        loop {
            let now = self.enforced().await?;
            let queues = now["queues"].as_array().cloned().unwrap_or_default();
            if queues.iter().any(|queue| queue["queue"] == "sales" && queue["level"] == names[usize::from(level)]) {
                return Ok(());
            }
            ensure!(Instant::now() < patience, "the gate does not enforce level {level}: {now}\n{}", self.said());
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("cti.log")).unwrap_or_default()
    }

    async fn console(&self) -> Result<Orders> {
        let config = journal::config::Config { path: self.journal.clone(), ..Default::default() };
        let journal = config.open(&service::Clock::system()).await.map_err(|error| anyhow::anyhow!(error.chain()))?;
        let orders = Orders { journal };
        orders.set_up().await?;
        Ok(orders)
    }
}

/// What a person orders, written to the stream as the console's API does.
struct Orders {
    journal: Arc<dyn Journal>,
}

impl Orders {
    async fn say(&self, event: impl Into<Event>) -> Result<()> {
        let event = event.into();
        let time = Time(service::Clock::system().now_ms());
        let id = EventId::new(format!("{}|{}|{}", event.ty(), event.subject(), time.ms()));
        let (by, why) = (By::Operator("test".into()), "a test".to_owned());
        let tenant = "default".into();
        let envelope = Envelope { id, source: "test".into(), time, tenant, by, why, cause_id: None, event };
        let entry = Entry::new(Stream::Control, "default", envelope.to_json());
        self.journal.append(vec![entry]).await.context("the journal takes no order")?;
        Ok(())
    }

    async fn set_up(&self) -> Result<()> {
        let targets =
            [("bot", Kind::SmartIvr, "tidegate-targets,smart_ivr,1"), ("web", Kind::Chat, "tidegate-targets,chat,1")];
        for (target, kind, address) in targets {
            let (target, address) = (target.into(), address.to_owned());
            let (capacity_per_s, containment) = (100.0, 0.5);
            self.say(TargetConfigured {
                target,
                version: 1,
                kind,
                address,
                capacity_per_s,
                containment,
                enabled: true,
            })
            .await?;
        }
        let toward = |target: &str| Toward { target: target.into(), weight: 1.0, capacity_per_s: None };
        // Nobody works for the queue here: without a floor even the protected would be better served elsewhere.
        let targets = vec![toward("bot"), toward("web")];
        let thresholds = Thresholds { targets, floor_per_s: 1.0, ..Thresholds::default() };
        self.say(ThresholdsSet { queue: "sales".into(), version: 1, thresholds }).await
    }

    /// All are led elsewhere who are not protected.
    async fn flood(&self) -> Result<()> {
        self.lock(Level::DivertAll).await
    }

    /// Nobody is, whatever the load says.
    async fn calm(&self) -> Result<()> {
        self.lock(Level::Normal).await
    }

    /// The youngest lock holds.
    async fn lock(&self, level: Level) -> Result<()> {
        let now = service::Clock::system().now_ms();
        let (id, until) = (format!("lock-{now}").into(), Time(now + 600_000));
        self.say(OverrideSet { id, queue: Some("sales".into()), order: Order::LevelLocked { level }, until }).await
    }
}
