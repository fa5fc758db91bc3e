//! A gate without doors, on a clock that stands until it is moved, and what a console would say to it.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cti::ask::{Answer, Ask};
use cti::gate::{Gate, Now};
use cti::{Config, Cti};
use journal::memory::Memory;
use journal::{Journal, Topology};
use model::control::{
    Automatic, By, Envelope, Event, Figures, Flow, Kind, Level, PlanIssued, Share, Stale, TargetConfigured, Thresholds,
    ThresholdsSet, Toward,
};
use model::{EventId, Time};
use service::{Clock, Context, Seeds};

/// When every test begins, seconds: 10:00 UTC.
pub const START_S: i64 = 1_795_255_200;

pub struct World {
    pub gate: Arc<Gate>,
    pub clock: Clock,
    pub journal: Arc<dyn Journal>,
    /// Keeps the far end of the queue of decisions.
    _cti: Cti,
}

pub async fn world(config: Config) -> World {
    let clock = Clock::manual(START_S * 1_000);
    let journal: Arc<dyn Journal> = Memory::new(Topology::default(), clock.clone());
    let context = Context::new("cti", "cti-1", clock.clone(), &Seeds::fixed(1)).with_shared(Arc::clone(&journal));
    let cti =
        Cti::unbound(Config { number_key: Some(service::Secret::plain("key")), ..config }, &context).await.unwrap();
    World { gate: cti.gate(), clock, journal, _cti: cti }
}

impl World {
    pub async fn pass(&self, seconds: f64) {
        self.clock.advance(Duration::from_secs_f64(seconds)).await;
    }

    pub fn now(&self) -> Time {
        Time(self.clock.now_ms())
    }

    pub fn ask(&self, caller: &str) -> Answer {
        self.decide(&ask(caller))
    }

    pub fn decide(&self, ask: &Ask) -> Answer {
        self.gate.decide(ask, self.clock.monotonic()).answer
    }

    pub fn hear(&self, by: By, event: impl Into<Event>) {
        self.gate.hear(&said(self.now(), by, event));
    }

    /// Thresholds of `sales` that lead to a smart IVR and to chat, both as large as asked for.
    pub fn set_up(&self, thresholds: Thresholds, capacity_per_s: f64) {
        let ann = || By::Operator("ann".into());
        for (target, kind, containment) in [("smart", Kind::SmartIvr, 0.7), ("web", Kind::Chat, 0.3)] {
            let address = format!("tidegate-targets,{target},1");
            let target = target.into();
            self.hear(
                ann(),
                TargetConfigured { target, version: 1, kind, address, capacity_per_s, containment, enabled: true },
            );
        }
        let toward = |target: &str| Toward { target: target.into(), weight: 1.0, capacity_per_s: None };
        let thresholds = Thresholds { targets: vec![toward("smart"), toward("web")], ..thresholds };
        self.hear(ann(), ThresholdsSet { queue: "sales".into(), version: 1, thresholds });
    }

    /// A new plan of `sales`, of figures of now.
    pub fn plan(&self, version: u64, automatic: Automatic, waiting: f64, free: f64) {
        let figures = Figures { at: self.now(), waiting, free, agents: 10.0, ..Figures::default() };
        self.hear(By::Automatic, plan(version, automatic, figures));
    }

    pub fn see(&self, waiting: f64, free: f64) {
        let now = Now { at: self.now(), waiting, free };
        self.gate.see(HashMap::from([("default".into(), HashMap::from([("sales".into(), now)]))]));
    }
}

pub fn ask(caller: &str) -> Ask {
    Ask {
        source: "pbx1".into(),
        call: format!("pbx1-{caller}").into(),
        queue: "sales".into(),
        caller: Some(caller.to_owned()),
        dialled: Some("5001".to_owned()),
        language: None,
        returned: false,
    }
}

pub fn said(at: Time, by: By, event: impl Into<Event>) -> Envelope {
    let event = event.into();
    let id = EventId::new(format!("{}-{}-{}", event.ty(), event.subject(), at.ms()));
    let tenant = "default".into();
    Envelope { id, source: "console-1".into(), time: at, tenant, by, why: "test".into(), cause_id: None, event }
}

pub fn plan(version: u64, automatic: Automatic, figures: Figures) -> PlanIssued {
    let share = |target: &str, share| Share { target: target.into(), share, capacity_per_s: 1_000.0 };
    PlanIssued {
        queue: "sales".into(),
        version,
        thresholds: 1,
        automatic,
        level: automatic.level,
        rate_per_s: automatic.rate_per_s,
        capacity_per_s: 0.5,
        patience_per_s: 0.01,
        sustainable_per_s: 0.4,
        wait_s: None,
        wait_error_s: None,
        split: vec![share("smart", 0.7), share("web", 0.3)],
        valid_s: 75.0,
        figures,
        flow: Flow::default(),
    }
}

pub fn automatic(level: Level, rate_per_s: f64, divert_share: f64) -> Automatic {
    Automatic { level, rate_per_s, divert_share }
}

pub fn thresholds() -> Thresholds {
    Thresholds { stale: Stale { static_per_s: vec![0.2], ..Stale::default() }, ..Thresholds::default() }
}
