//! A gate with its doors on real sockets, over a journal in memory that outlives it.
#![allow(dead_code, reason = "each test program uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cti::{Config, Cti};
use journal::{Entry, Journal, Stream};
use model::Time;
use model::control::{
    By, Envelope, Event, Figures, Kind, Level, Parsed, TargetConfigured, Thresholds, ThresholdsSet, Toward,
};
use policy::plan::Table;
use serde_json::{Value, json};
use service::config::Millis;
use service::http::{Auth, Listen, Role};
use service::{Clock, Component as _, Context, Secret, Seeds};

use crate::support::{automatic, plan, said};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub struct Life {
    pub journal: Arc<dyn Journal>,
    pub http: SocketAddr,
    pub context: Context,
    life: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.context.drain.start("over");
    }
}

pub fn journal() -> Arc<dyn Journal> {
    journal::memory::Memory::new(journal::Topology::default(), Clock::system())
}

impl Life {
    pub async fn start(journal: &Arc<dyn Journal>, config: Config) -> Life {
        let context = Context::new("cti", "cti-1", Clock::system(), &Seeds::fixed(1)).with_shared(Arc::clone(journal));
        let mut config = Config {
            listen: Listen::loopback(0),
            number_key: Some(Secret::plain("key")),
            auth: Auth { tokens: Vec::new(), anonymous: Some(Role::Operator) },
            deadline: Millis::seconds(10),
            ..config
        };
        config.agi.listen = Listen::loopback(0);
        let cti = Cti::build(config, &context).await.unwrap();
        let http = cti.addresses().0.unwrap();
        let running = context.clone();
        let life = tokio::spawn(async move { cti.run(running).await.unwrap() });
        Life { journal: Arc::clone(journal), http, context, life: Some(life) }
    }

    pub async fn stop(mut self) {
        self.context.drain.start("over");
        let life = self.life.take().unwrap();
        tokio::time::timeout(PATIENCE, life).await.expect("it stops").unwrap();
    }

    pub fn now(&self) -> Time {
        Time(self.context.clock.now_ms())
    }

    pub async fn say(&self, by: By, event: impl Into<Event>) {
        let envelope = said(self.now(), by, event);
        self.journal.append(vec![Entry::new(Stream::Control, "default", envelope.to_json())]).await.unwrap();
    }

    /// One target of `sales`.
    pub async fn lead_to(&self, target: &str, kind: Kind) {
        let ann = || By::Operator("ann".into());
        let address = format!("tidegate-targets,{},1", kind.as_str());
        let name = || target.into();
        let configured = TargetConfigured {
            target: name(),
            version: 1,
            kind,
            address,
            capacity_per_s: 1_000.0,
            containment: 0.5,
            enabled: true,
        };
        self.say(ann(), configured).await;
        let targets = vec![Toward { target: name(), weight: 1.0, capacity_per_s: None }];
        let thresholds = Thresholds { targets, ..Thresholds::default() };
        self.say(ann(), ThresholdsSet { queue: "sales".into(), version: 1, thresholds }).await;
    }

    /// A plan, and waits until it is enforced.
    pub async fn plan(&self, version: u64, level: Level, free: f64) {
        let figures = Figures { at: self.now(), waiting: 0.0, free, agents: 9.0, ..Figures::default() };
        let figures = if level == Level::Normal { figures } else { Figures { waiting: 9.0, free: 0.0, ..figures } };
        let issued =
            model::control::PlanIssued { split: Vec::new(), ..plan(version, automatic(level, 0.01, 1.0), figures) };
        self.say(By::Automatic, issued).await;
        self.until("the plan holds", || async {
            let answer = reqwest::get(format!("http://{}/v1/route/plan", self.http)).await.ok()?;
            answer.text().await.ok()?.contains(&format!("\"plan\":{version}")).then_some(())
        })
        .await;
    }

    pub async fn ask(&self, caller: &str) -> Value {
        let ask = json!({ "source": "pbx1", "call": format!("pbx1-{}", &caller[caller.len() - 2..]), "queue": "sales", "caller": caller, "language": "zh" });
        let sent = reqwest::Client::new().post(format!("http://{}/v1/route", self.http)).json(&ask).send();
        sent.await.unwrap().json().await.unwrap()
    }

    /// Everything on `control`.
    pub async fn control(&self) -> Vec<Envelope> {
        let end = self.journal.end(Stream::Control, 0).await.unwrap();
        if end == 0 {
            return Vec::new();
        }
        let batch = self.journal.read(Stream::Control, 0, 0, 100_000, usize::MAX).await.unwrap();
        let known = |value: &[u8]| match Envelope::parse(value) {
            Ok(Parsed::Known(known)) => known,
            other => panic!("{other:?}"),
        };
        batch.records.iter().map(|record| known(&record.value)).collect()
    }

    /// The fold of `control`.
    pub async fn table(&self) -> Table {
        let mut table = Table::default();
        self.control().await.iter().for_each(|told| _ = table.apply(told));
        table
    }

    /// Waits until something is so, and what it is.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, so: impl Fn() -> F) -> T {
        let begun = self.context.clock.monotonic();
        loop {
            if let Some(found) = so().await {
                return found;
            }
            assert!(self.context.clock.monotonic() - begun < PATIENCE, "never: {what}\n{:#?}", self.control().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
