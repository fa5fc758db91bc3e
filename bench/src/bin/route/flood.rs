//! A queue in a flood, as a console would plan it, and its callers.

use std::collections::HashMap;

use cti::ask::Ask;
use cti::gate::{Gate, Now};
use model::control::{
    Automatic, By, Envelope, Event, Figures, Flow, Kind, Level, PlanIssued, Share, TargetConfigured, Thresholds,
    ThresholdsSet, Toward,
};
use model::{EventId, Time};

/// Agents of the queue and calls per second that they serve.
#[derive(Clone, Copy, Debug)]
pub struct Centre {
    /// The queue's name.
    pub queue: &'static str,
    /// Agents.
    pub agents: f64,
}

/// A hundred agents, and a very large centre, where the room of the moment is much more work to find.
pub const CENTRES: [Centre; 2] =
    [Centre { queue: "sales", agents: 100.0 }, Centre { queue: "hotline", agents: 2_000.0 }];

/// Mean handling time, seconds.
const SERVICE_S: f64 = 180.0;

impl Centre {
    /// Calls per second that it serves.
    pub fn capacity_per_s(self) -> f64 {
        self.agents / SERVICE_S
    }

    /// Says to the gate what a console would: two targets, thresholds, and a plan that leads half of the callers away.
    pub fn set_up(self, gate: &Gate, now: Time) {
        let targets = [("smart", Kind::SmartIvr), ("web", Kind::Chat)];
        for (target, kind) in targets {
            let (target, address) = (target.into(), format!("tidegate-targets,{target},1"));
            let event = TargetConfigured {
                target,
                version: 1,
                kind,
                address,
                capacity_per_s: 1e5,
                containment: 0.5,
                enabled: true,
            };
            gate.hear(&said(now, By::Operator("bench".into()), event));
        }
        let toward = |(target, _): (&str, Kind)| Toward { target: target.into(), weight: 1.0, capacity_per_s: None };
        let thresholds = Thresholds { targets: targets.map(toward).into(), ..Thresholds::default() };
        let set = ThresholdsSet { queue: self.queue.into(), version: 1, thresholds };
        gate.hear(&said(now, By::Operator("bench".into()), set));
        gate.hear(&said(now, By::Automatic, self.plan(1, now)));
    }

    /// The plan of a moment.
    pub fn plan(self, version: u64, now: Time) -> PlanIssued {
        let capacity = self.capacity_per_s();
        let waiting = capacity * 6.0;
        let automatic = Automatic { level: Level::DivertShare, rate_per_s: capacity, divert_share: 0.5 };
        let share = |target: &str| Share { target: target.into(), share: 0.5, capacity_per_s: 1e5 };
        PlanIssued {
            queue: self.queue.into(),
            version,
            thresholds: 1,
            automatic,
            level: automatic.level,
            rate_per_s: capacity,
            capacity_per_s: capacity,
            patience_per_s: 1.0 / 120.0,
            sustainable_per_s: capacity,
            wait_s: Some(6.0),
            wait_error_s: None,
            split: vec![share("smart"), share("web")],
            valid_s: 75.0,
            figures: Figures { at: now, waiting, agents: self.agents, ..Figures::default() },
            flow: Flow::default(),
        }
    }

    /// Figures of a moment for the live views.
    pub fn seen(self, now: Time) -> Now {
        Now { at: now, waiting: self.capacity_per_s() * 6.0, free: 0.0 }
    }

    /// A call of one of 200,000 callers.
    pub fn ask(self, number: u64) -> Ask {
        let caller = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Ask {
            source: "pbx1".into(),
            call: format!("pbx1-{number}").into(),
            queue: self.queue.into(),
            caller: Some(format!("4930{:06}", caller % 200_000)),
            dialled: Some("5001".to_owned()),
            language: None,
            returned: false,
        }
    }
}

/// The newest figures of all queues.
pub fn see(gate: &Gate, now: Time) {
    let of = |centre: Centre| (centre.queue.into(), centre.seen(now));
    gate.see(HashMap::from([("default".into(), CENTRES.map(of).into())]));
}

fn said(at: Time, by: By, event: impl Into<Event>) -> Envelope {
    let event = event.into();
    let id = EventId::new(format!("{}-{}-{}", event.ty(), event.subject(), at.ms()));
    let (source, tenant) = ("bench".into(), "default".into());
    Envelope { id, source, time: at, tenant, by, why: "bench".into(), cause_id: None, event }
}
