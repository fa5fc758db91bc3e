//! The console killed (SIGKILL) under real calls: one of two goes on for the other; without any, the gate answers by the last plan, then at
//! its rate, then by the static gap, and never opens; and when one is back, it goes on where the last one stopped.
//!
//! Every component is a process of its own here. What is asserted of a call hangs on when it was decided and on what was heard until
//! then; how long a fail-over took is told, not asserted.
#![allow(clippy::disallowed_methods, reason = "these tests drive real processes and a real PBX in real time")]

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tidegate_tests::ami::Ami;
use tidegate_tests::callers::Callers;
use tidegate_tests::desk::{self, Desk};
use tidegate_tests::drive::add;
use tidegate_tests::flood::{self, Said, Waves, bucket_is_kept};
use tidegate_tests::gated;
use tidegate_tests::parts::Part;
use tidegate_tests::pbx::{DRIVER_LOGIN, PRODUCT_LOGIN, Pbx};
use tidegate_tests::phone::{Habit, Phone};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// First of the ports of this PBX and of what belongs to it.
const BASE: u16 = 11_000;
const AGI: u16 = BASE + 573;
const GATE: u16 = BASE + 574;
const CONSOLES: [u16; 2] = [BASE + 575, BASE + 576];
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Some 0.6 calls a second can be served, and 2 come.
const AGENTS: [u16; 3] = [103, 104, 105];
const FLOOD: Waves =
    Waves { callers: Callers::of("flood", "5101", 10, 2.0, 0.0, 15_000), group: 20, every_s: 5.0, most: 45 };

/// V: so old a plan may be; in so many seconds the rate steps half of its way to the static one; how much may come at once.
const VALID_S: f64 = 5.0;
const HALF_WAY_S: f64 = 2.0;
const STATIC_PER_S: f64 = 0.2;
const BURST_S: f64 = 2.0;
/// Behind 3V and so many halves of the way, a sixteenth of it is left.
const HALVES: i32 = 4;
/// So long the static gap is looked at, seconds.
const LOOK_S: f64 = 12.0;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_console_is_followed_by_the_other_and_without_any_calls_are_still_gated() -> Result<()> {
    let pbx = Pbx::start(BASE)?;
    let mut host = Host::prepare(&pbx).await?;
    let (tell, over) = watch::channel(false);
    let killing = async {
        host.until_enforced("the flood is diverted", |sales| {
            ["divert_share", "divert_all"].contains(&sales["level"].as_str().unwrap_or_default())
        })
        .await?;
        let heir = host.kill_the_active().await?;
        let silence = host.kill(heir).await?;
        host.start_consoles_again().await?;
        // some are decided by the plan again
        sleep(Duration::from_secs(4)).await;
        tell.send(true)?;
        anyhow::Ok(silence)
    };
    let (_, silence) = tokio::try_join!(FLOOD.run(&pbx, over), killing)?;
    sleep(Duration::from_secs(1)).await;
    let desk = &host.desks[0];
    let said = flood::explained(desk, &flood::ends(&pbx)?).await?;
    silence.is_gated(&said)?;
    let versions: Vec<u64> = said.iter().filter_map(|said| said.whole["plan_version"].as_u64()).collect();
    ensure!(versions.is_sorted(), "a call was decided by an older plan than one before it: {versions:?}");
    let export = desk.export().await?;
    desk::verify(&export).await?;
    let records = desk::records(&export)?;
    println!("{} plans, levels {:?}", desk::versions(&records, "sales")?, desk::levels(&records, "sales")?);
    Ok(())
}

/// While no console was there (ms since the epoch).
struct Silence {
    /// When the gate heard of one for the last time.
    heard: i64,
    /// When one was started again.
    until: i64,
}

impl Silence {
    /// By how many seconds a decision came after the last word of a console.
    fn age_s(&self, said: &Said) -> f64 {
        (said.at - self.heard) as f64 / 1_000.0
    }

    fn is_gated(&self, said: &[Said]) -> Result<()> {
        let within = |from_s: f64, to_s: f64| -> Vec<&Said> {
            let age = |said: &&Said| from_s < self.age_s(said) && self.age_s(said) <= to_s && said.at < self.until;
            said.iter().filter(age).collect()
        };
        // the gate's own reckoning is of the same clock; what is read of it, to the millisecond
        let unsure_s = 0.1;
        let stepped_s = f64::from(HALVES).mul_add(HALF_WAY_S, 3.0 * VALID_S);
        let capacity = said.iter().rfind(|said| said.at <= self.heard).context("no call before")?.capacity_per_s();
        let stretches = [
            ("by the last plan", within(0.0, VALID_S - unsure_s), f64::INFINITY),
            ("at the last rate", within(VALID_S + unsure_s, 3.0 * VALID_S), capacity),
            ("by the static gap", within(stepped_s, f64::INFINITY), STATIC_PER_S + (capacity - STATIC_PER_S) / 16.0),
        ];
        for (what, calls, per_s) in stretches {
            let led = calls.iter().filter(|said| !said.enters()).count();
            println!("{what}: {} calls, {led} led away", calls.len());
            ensure!(led > 0 && led < calls.len(), "{what}: {led} of {} were led away: that is no gate", calls.len());
            if per_s.is_finite() {
                let rooms = calls.iter().filter(|said| said.rule == "room").map(|said| said.at as f64 / 1_000.0);
                let burst = (per_s.max(capacity) * BURST_S).max(1.0);
                bucket_is_kept(&rooms.collect::<Vec<_>>(), per_s, burst).context(what)?;
            }
        }
        for said in within(VALID_S + unsure_s, f64::INFINITY) {
            let known = ["rate", "room", "agent_free"].contains(&said.rule.as_str());
            ensure!(known, "{:.1} s after the last word of a console: {:#}", self.age_s(said), said.whole);
        }
        Ok(())
    }
}

/// The components, the consoles apart, and what is asked of them.
struct Host {
    consoles: Vec<Part>,
    desks: Vec<Desk>,
    others: Vec<Part>,
    _phones: Vec<Phone>,
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

impl Host {
    async fn prepare(pbx: &Pbx) -> Result<Host> {
        gated::install(pbx, AGI, "exten => s,1,Answer()\n same => n,Wait(2)\n same => n,Hangup()").await?;
        let folder = pbx.home().with_extension("parts");
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let mut others = Vec::new();
        for (program, config) in configs(pbx, &folder)? {
            others.push(Part::start(&folder, program, program, &config).await?);
        }
        let (mut consoles, mut desks) = (Vec::new(), Vec::new());
        for (port, name) in CONSOLES.into_iter().zip(["console-a", "console-b"]) {
            consoles.push(Part::start(&folder, "console", name, &console(&folder, port)).await?);
            desks.push(Desk::at(SocketAddr::from(([127, 0, 0, 1], port)))?);
        }
        let (mut ami, _events) = Ami::log_in(pbx.ami(), DRIVER_LOGIN.0, DRIVER_LOGIN.1).await?;
        let mut phones = Vec::new();
        for agent in AGENTS {
            let habit = Habit::Answers { talk: 2_500 };
            phones.push(Phone::plug_in(&agent.to_string(), pbx.port(agent), pbx.sip(), 100, habit).await?);
            add(&mut ami, &agent.to_string(), "sales").await?;
        }
        let host = Host { consoles, desks, others, _phones: phones };
        host.set_up().await?;
        Ok(host)
    }

    async fn set_up(&self) -> Result<()> {
        let staffed = |sales: &Value| sales["plan"]["figures"]["agents"].as_f64() == Some(AGENTS.len() as f64);
        for number in 0..self.desks.len() {
            self.until(number, "all agents are seen", staffed).await?;
        }
        let desk = &self.desks[0];
        let bot = json!({
            "kind": "smart_ivr", "address": "tidegate-targets,smart_ivr,1", "capacity_per_s": 20.0, "containment": 0.5,
        });
        desk.put("/v1/targets/bot?why=a+test", 0, bot).await?;
        let sales = json!({
            "goal": { "within_s": 10.0 }, "calm_s": 3.0, "service_default_s": 4.6, "helpless_s": 600.0,
            "burst_s": BURST_S, "targets": [{ "target": "bot" }],
            "stale": { "valid_s": VALID_S, "half_way_s": HALF_WAY_S, "static_per_s": [STATIC_PER_S] },
        });
        desk.put("/v1/thresholds/sales?why=a+test", 0, sales).await?;
        self.until(0, "its plan follows the thresholds", |sales| sales["plan"]["thresholds"] == 1).await?;
        self.until_enforced("the gate has a plan", |sales| sales["plan"].as_u64() > Some(0)).await?;
        Ok(())
    }

    /// What a console shows of sales.
    async fn shown(&self, number: usize) -> Result<Value> {
        let plans = self.desks[number].get_now("/v1/plans").await?;
        let queues = plans["queues"].as_array().cloned().unwrap_or_default();
        queues.into_iter().find(|queue| queue["queue"] == "sales").context("the console knows no sales")
    }

    async fn until(&self, number: usize, what: &str, so: impl Fn(&Value) -> bool) -> Result<()> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown(number).await;
            if shown.as_ref().is_ok_and(&so) {
                return Ok(());
            }
            ensure!(Instant::now() < patience, "{what}: never: {shown:?}\n{}", self.said());
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_enforced(&self, what: &str, so: impl Fn(&Value) -> bool) -> Result<Value> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let shown = enforced().await;
            match &shown {
                Ok(shown) if so(shown) => return Ok(shown.clone()),
                _ => ensure!(Instant::now() < patience, "{what}: never: {shown:?}\n{}", self.said()),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The last lines of everybody.
    fn said(&self) -> String {
        self.others.iter().chain(&self.consoles).map(Part::said).collect()
    }

    /// Kills the console that evaluates, and waits until the other one does. Which that is.
    async fn kill_the_active(&mut self) -> Result<usize> {
        let records = desk::records(&self.desks[0].export().await?)?;
        let issued = records.iter().rfind(|record| record["type"] == "plan.issued.v1").context("no plan")?;
        let active = self.consoles.iter().position(|console| issued["source"] == console.name());
        let active = active.with_context(|| format!("who wrote this? {issued:#}"))?;
        let heir = 1 - active;
        self.consoles[active].kill().await?;
        let killed = now_ms();
        self.until(heir, "the other one decides", |sales| affirmed(sales) > Some(killed)).await?;
        let took_s = (now_ms() - killed) as f64 / 1_000.0;
        println!(
            "{} was killed; {} decided after {took_s:.1} s",
            self.consoles[active].name(),
            self.consoles[heir].name()
        );
        Ok(heir)
    }

    /// Kills the last console, and waits until the gate has gone all the way to the static gap.
    async fn kill(&mut self, last: usize) -> Result<Silence> {
        self.consoles[last].kill().await?;
        // what it wrote last is still on its way
        sleep(Duration::from_secs(1)).await;
        let silent_s = enforced().await?["silent_s"].as_f64().context("the gate has no plan")?;
        let heard = now_ms() - (silent_s * 1_000.0) as i64;
        let all_s = f64::from(HALVES).mul_add(HALF_WAY_S, 3.0 * VALID_S) + LOOK_S;
        let silent = |sales: &Value| sales["silent_s"].as_f64() >= Some(all_s);
        self.until_enforced("the gate hears of no console", silent).await?;
        Ok(Silence { heard, until: now_ms() })
    }

    async fn start_consoles_again(&mut self) -> Result<()> {
        let began = now_ms();
        for console in &mut self.consoles {
            console.start_again().await?;
        }
        for number in 0..self.desks.len() {
            self.until(number, "a console decides again", |sales| affirmed(sales) > Some(began)).await?;
        }
        self.until_enforced("the gate hears of it", |sales| sales["silent_s"].as_f64() < Some(VALID_S)).await?;
        Ok(())
    }
}

/// When a console was last heard of a queue.
fn affirmed(shown: &Value) -> Option<i64> {
    Some(shown["affirmed_at"].as_str()?.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

/// What the gate enforces at sales.
async fn enforced() -> Result<Value> {
    let url = format!("http://127.0.0.1:{GATE}/v1/route/plan");
    let answer = reqwest::Client::new().get(&url).timeout(Duration::from_secs(10)).send().await?;
    let shown: Value = answer.error_for_status()?.json().await?;
    let queues = shown["queues"].as_array().cloned().unwrap_or_default();
    queues.into_iter().find(|queue| queue["queue"] == "sales").context("the gate knows no sales")
}

fn console(folder: &Path, port: u16) -> String {
    let (journal, store) = (folder.join("journal.db"), folder.join("store.db"));
    format!(
        "[console]\naffirm = \"1s\"\nseal = \"5s\"\nlisten = {{ address = \"127.0.0.1:{port}\" }}\n\
         auth = {{ anonymous = \"operator\" }}\njournal = {{ path = {journal:?} }}\nstore = {{ path = {store:?} }}\n"
    )
}

/// The other components and their files.
fn configs(pbx: &Pbx, folder: &Path) -> Result<[(&'static str, String); 4]> {
    let (journal, store) = (folder.join("journal.db"), folder.join("store.db"));
    let secret = folder.join("secret");
    std::fs::write(&secret, PRODUCT_LOGIN.1)?;
    let collector = format!(
        "[collector.journal]\npath = {journal:?}\n[collector.sources.pbx1]\nkind = \"asterisk\"\n\
         [collector.sources.pbx1.config]\nhost = \"{}\"\nport = {}\nusername = \"{}\"\nsecret = \"file:{}\"\n\
         queues = {{ wrap_up = \"2s\" }}\ntrunks = {{ endpoints = [\"PJSIP/trunk\"], inbound_contexts = [\"inbound\"] }}\n",
        pbx.ami().ip(),
        pbx.ami().port(),
        PRODUCT_LOGIN.0,
        secret.display()
    );
    let receiver =
        format!("[receiver]\nlisten = {{ address = \"127.0.0.1:0\" }}\njournal = {{ path = {journal:?} }}\n");
    let aggregator = format!("[aggregator]\njournal = {{ path = {journal:?} }}\nstore = {{ path = {store:?} }}\n");
    let cti = format!(
        "[cti]\nlisten = {{ address = \"127.0.0.1:{GATE}\" }}\nauth = {{ anonymous = \"operator\" }}\n\
         agi = {{ listen = {{ address = \"127.0.0.1:{AGI}\" }} }}\njournal = {{ path = {journal:?} }}\n"
    );
    Ok([("collector", collector), ("receiver", receiver), ("aggregator", aggregator), ("cti", cti)])
}
