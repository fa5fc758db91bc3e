//! Callbacks with a real Asterisk and real SIP calls: callers of a flood are promised one, the PBX keeps a promise on its own while nobody of
//! ours is there, and when the flood is over the customers' phones ring, are answered, and reach an agent.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real PBX in real time")]

use anyhow::{Context as _, Result, ensure};
use cti::{Config, Cti, callbacks, pbx::Pbx as Manager};
use journal::{Entry, Journal, Stream};
use model::control::{
    Automatic, By, Close, Envelope, Event, Figures, Flow, Kind, Level, Parsed, PlanIssued, TargetConfigured,
    Thresholds, ThresholdsSet, Toward,
};
use model::{EventId, Time};
use policy::callback::{Entry as Promise, State};
use policy::plan::Table;
use service::config::Millis;
use service::http::Listen;
use service::{Clock, Component as _, Context, Secret, Seeds};
use std::sync::Arc;
use std::time::Duration;
use tidegate_tests::callers::Callers;
use tidegate_tests::gated;
use tidegate_tests::pbx::{PRODUCT_LOGIN, Pbx};
use tidegate_tests::phone::{Habit, Phone};
use tokio::time::{Instant, sleep};

/// First of the ports of this PBX and of what belongs to it.
const BASE: u16 = 21_000;
const AGI: u16 = BASE + 1_973;
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The gate, in this process.
struct Gate {
    journal: Arc<dyn Journal>,
    context: Context,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.context.drain.start("over");
    }
}

fn config(pbx: &Pbx) -> Config {
    let (username, secret) = PRODUCT_LOGIN;
    let manager = Manager {
        port: pbx.ami().port(),
        username: username.into(),
        secret: Secret::plain(secret),
        ..Manager::default()
    };
    let callbacks = callbacks::Config {
        from_hour: 0,
        to_hour: 0,
        again_after: Millis::seconds(2),
        ring: Millis::seconds(10),
        fetch: Millis::seconds(1),
        dial: "PJSIP/{number}@trunk".into(),
        ..callbacks::Config::default()
    };
    let mut config = Config {
        listen: Listen::loopback(0),
        number_key: Some(Secret::plain("key")),
        deadline: Millis::new(900),
        ami: [("pbx1".into(), manager)].into(),
        callbacks,
        ..Config::default()
    };
    config.agi.listen = Listen::loopback(AGI);
    config
}

impl Gate {
    async fn start(pbx: &Pbx) -> Result<Gate> {
        let clock = Clock::system();
        let journal: Arc<dyn Journal> = journal::memory::Memory::new(journal::Topology::default(), clock.clone());
        let context = Context::new("cti", "cti-1", clock, &Seeds::fixed(1)).with_shared(Arc::clone(&journal));
        let cti = Cti::build(config(pbx), &context).await?;
        tokio::spawn(cti.run(context.clone()));
        Ok(Gate { journal, context })
    }

    async fn say(&self, by: By, event: impl Into<Event>) -> Result<()> {
        let (event, now) = (event.into(), Time(self.context.clock.now_ms()));
        let id = EventId::new(format!("{}-{}-{}", event.ty(), event.subject(), now.ms()));
        let (source, tenant) = ("console-1".into(), "default".into());
        let told = Envelope { id, source, time: now, tenant, by, why: "a test".into(), cause_id: None, event };
        self.journal.append(vec![Entry::new(Stream::Control, "default", told.to_json())]).await?;
        Ok(())
    }

    async fn set_up(&self) -> Result<()> {
        let ann = || By::Operator("ann".into());
        let later = TargetConfigured {
            target: "later".into(),
            version: 1,
            kind: Kind::Callback,
            address: "tidegate-targets,callback,1".into(),
            capacity_per_s: 100.0,
            containment: 0.8,
            enabled: true,
        };
        self.say(ann(), later).await?;
        let targets = vec![Toward { target: "later".into(), weight: 1.0, capacity_per_s: None }];
        let thresholds = Thresholds { targets, ..Thresholds::default() };
        self.say(ann(), ThresholdsSet { queue: "sales".into(), version: 1, thresholds }).await
    }

    async fn plan(&self, version: u64, level: Level, waiting: f64, free: f64) -> Result<()> {
        let at = Time(self.context.clock.now_ms());
        let automatic = Automatic { level, rate_per_s: 0.001, divert_share: 1.0 };
        let plan = PlanIssued {
            queue: "sales".into(),
            version,
            thresholds: 1,
            automatic,
            level,
            rate_per_s: 0.001,
            capacity_per_s: 1.0,
            patience_per_s: 0.01,
            sustainable_per_s: 0.5,
            wait_s: None,
            wait_error_s: None,
            split: Vec::new(),
            valid_s: 600.0,
            figures: Figures { at, waiting, free, agents: 3.0, ..Figures::default() },
            flow: Flow::default(),
        };
        self.say(By::Automatic, plan).await?;
        sleep(Duration::from_secs(2)).await; // a follower reads within a second
        Ok(())
    }

    async fn promises(&self) -> Result<Vec<Promise>> {
        let mut table = Table::default();
        for record in &self.journal.read(Stream::Control, 0, 0, 100_000, usize::MAX).await?.records {
            if let Ok(Parsed::Known(told)) = Envelope::parse(&record.value) {
                table.apply(&told);
            }
        }
        let list = table.tenant(&"default".into()).map(|tenant| tenant.callbacks().clone()).unwrap_or_default();
        Ok(list.open().chain(list.closed()).cloned().collect())
    }

    async fn until(&self, what: &str, so: impl Fn(&[Promise]) -> bool) -> Result<Vec<Promise>> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let all = self.promises().await?;
            if so(&all) {
                return Ok(all);
            }
            ensure!(Instant::now() < patience, "never: {what}: {all:#?}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_flood_are_called_back_and_reach_an_agent_and_a_promise_of_the_pbx_is_taken_over() -> Result<()> {
    let pbx = Pbx::start(BASE)?;
    gated::install(&pbx, AGI, "exten => s,1,Hangup()").await?;
    pbx.command("queue add member PJSIP/103 to sales").await?;
    let _agent = Phone::plug_in("103", pbx.port(103), pbx.sip(), 300, Habit::Answers { talk: 1_000 }).await?;
    // promised while nobody of ours was there
    let long_before = Time(Clock::system().now_ms()).ms() / 1_000 - 300;
    pbx.command(&format!("database put tidegate-callback pbx1-1 {long_before}|sales|4930555777")).await?;

    let gate = Gate::start(&pbx).await?;
    gate.set_up().await?;
    gate.plan(1, Level::DivertAll, 9.0, 0.0).await?;
    Callers::of("flood", "5101", 2, 2.0, 0.0, 3_000).call(&pbx, 1).await?;
    gate.until("two callers and one of the PBX are promised a callback", |all| all.len() == 3).await?;
    let patience = Instant::now() + PATIENCE;
    while pbx.command("database show tidegate-callback").await?.contains("sales|") {
        ensure!(Instant::now() < patience, "the PBX still keeps promises that are on record here");
        sleep(Duration::from_millis(200)).await;
    }

    // the flood is over; one customer's line is dead at first, because nobody is at the carrier
    gate.plan(2, Level::Normal, 0.0, 2.0).await?;
    gate.until("an attempt fails", |all| all.iter().any(|one| one.attempts.iter().any(|a| a.outcome.is_some())))
        .await?;
    let _carrier = Phone::plug_in("carrier", pbx.carrier(), pbx.sip(), 500, Habit::Answers { talk: 6_000 }).await?;
    let reached = |one: &Promise| matches!(one.state, State::Closed { close: Close::Reached, .. });
    let all = gate.until("everybody is over", |all| all.iter().all(|one| !one.is_open())).await?;
    println!("{all:#?}");
    ensure!(all.iter().filter(|one| reached(one)).count() >= 2, "who is not reached at first is tried again: {all:#?}");

    // what the PBX itself recorded: promised callers ended in the target, callbacks in the queue
    sleep(Duration::from_secs(3)).await;
    let cdr = std::fs::read_to_string(pbx.home().join("log/cdr-csv/Master.csv")).context("no CDR")?;
    let queue_log = std::fs::read_to_string(pbx.home().join("log/queue_log")).context("no queue_log")?;
    ensure!(cdr.contains("tidegate-callback") && cdr.contains("PJSIP/trunk"), "{cdr}");
    ensure!(queue_log.contains("|CONNECT|"), "no callback reached an agent:\n{queue_log}\n{cdr}");
    Ok(())
}
