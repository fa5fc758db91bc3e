//! One queue's set-up and members: the latest word about each counts.

use std::collections::BTreeMap;

use model::event::queue::Configured;
use model::{AgentId, DeviceId, Envelope, Event, QueueId, SourceId, TenantId, Time};
use serde::{Deserialize, Serialize};

use crate::agent::Change;
use crate::live;
use crate::register::{Latest, Stamp};
use crate::track::WINDOW_MS;

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
struct Member {
    /// Device and penalty while a member; `None` when removed.
    works: Latest<Option<(Option<DeviceId>, i32)>>,
    paused: Latest<(bool, Option<String>)>,
}

impl Member {
    fn last_at(&self) -> Option<Time> {
        self.works.at().max(self.paused.at())
    }
}

/// One queue's set-up and members; this is what a checkpoint stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Which queue.
    pub queue: QueueId,
    /// Whose.
    pub tenant: TenantId,
    /// From which source.
    pub source: SourceId,
    configured: Latest<Configured>,
    members: BTreeMap<AgentId, Member>,
    #[serde(with = "crate::track::ms")]
    last_at: Time,
}

impl State {
    /// A queue of which nothing is known.
    pub fn new(queue: QueueId, source: SourceId, tenant: TenantId) -> State {
        State { queue, tenant, source, configured: Latest::default(), members: BTreeMap::new(), last_at: Time(0) }
    }

    /// Folds one event in.
    pub fn apply(&mut self, e: &Envelope) -> Change {
        let stamp = Stamp::of(e);
        let changed = match &e.event {
            Event::QueueConfigured(v) => self.configured.set(&stamp, v.clone()),
            Event::QueueMemberAdded(v) => {
                let m = self.members.entry(v.agent.clone()).or_default();
                let works = m.works.set(&stamp, Some((v.device.clone(), v.penalty)));
                let reason = m.paused.get().filter(|p| p.0 && v.paused).and_then(|p| p.1.clone());
                m.paused.set(&stamp, (v.paused, reason)) | works
            }
            Event::QueueMemberRemoved(v) => self.members.entry(v.agent.clone()).or_default().works.set(&stamp, None),
            Event::QueueMemberPaused(v) => {
                let m = self.members.entry(v.agent.clone()).or_default();
                m.paused.set(&stamp, (v.paused, v.reason.clone()))
            }
            _ => return Change::Unchanged,
        };
        if !changed {
            return Change::Unchanged;
        }
        self.last_at = self.last_at.max(e.time);
        let horizon = self.last_at + -WINDOW_MS;
        // who was removed a day ago need not be remembered: no admissible late word can bring them back
        self.members.retain(|_, m| m.works.get() != Some(&None) || m.last_at() >= Some(horizon));
        Change::Changed
    }

    /// The live view.
    pub fn live(&self) -> live::Members {
        let c = self.configured.get().cloned().unwrap_or_default();
        let members = self.members.iter().filter_map(|(agent, m)| {
            let (device, penalty) = m.works.get()?.clone()?;
            let (paused, reason) = m.paused.get().cloned().unwrap_or_default();
            Some((agent.clone(), live::Member { device, penalty, paused, reason }))
        });
        live::Members {
            tenant: self.tenant.clone(),
            source: self.source.clone(),
            queue: self.queue.clone(),
            name: c.name,
            strategy: c.strategy,
            service_level_s: c.service_level_s,
            waiting_max: c.waiting_max,
            members: members.collect(),
            last_at: self.last_at,
        }
    }
}
