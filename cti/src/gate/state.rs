//! One queue: its gate, what came, and what holds while no plan was heard.

use model::control::{Level, QueueCounted};
use model::{QueueId, TenantId};
use policy::bucket::Bucket;
use serde::Serialize;

use crate::ask::{Answer, Why};
use crate::config::Unplanned;

/// A queue as this gate keeps it.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) gate: policy::gate::Gate,
    pub(crate) counted: QueueCounted,
    unplanned: Option<Unplanned>,
    bucket: Bucket,
}

/// A burst of the static gap, seconds of its own flow.
const BURST_S: f64 = 10.0;

impl Standing {
    /// A queue that nobody asked for yet.
    pub(crate) fn new(queue: QueueId, unplanned: Option<Unplanned>) -> Standing {
        let counted = QueueCounted { queue, attempts: 0, first: 0, admitted: 0 };
        Standing { gate: policy::gate::Gate::default(), counted, unplanned, bucket: Bucket::default() }
    }

    /// The answer while no plan was ever heard: open, or the static gap of the configuration.
    pub(crate) fn unplanned(&mut self, now_s: f64, emergency: bool) -> Answer {
        let Some(unplanned) = &self.unplanned else { return Answer::enter(Why::NoPlan) };
        if emergency {
            return Answer::enter(Why::Emergency);
        }
        let burst = (unplanned.per_s * BURST_S).max(1.0);
        if self.bucket.admit(now_s, unplanned.per_s, burst) {
            return Answer::enter(Why::Static);
        }
        Answer {
            target: unplanned.target,
            name: Some("unplanned".to_owned()),
            address: Some(unplanned.address.clone()),
            ..Answer::enter(Why::Static)
        }
    }
}

/// What holds for a queue now, for people to see.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Enforced {
    /// Whose.
    pub tenant: TenantId,
    /// The queue.
    pub queue: QueueId,
    /// The version of its plan; 0: none was heard.
    pub plan: u64,
    /// The level, orders of persons and carriers included.
    pub level: Level,
    /// Calls per second that may enter, the same way.
    pub rate_per_s: f64,
    /// The share of callers who are led elsewhere by their place.
    pub divert_share: f64,
    /// For how long the plan was not confirmed, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_s: Option<f64>,
    /// How old the figures are, seconds.
    pub age_s: f64,
    /// Callers who wait.
    pub waiting: f64,
    /// Agents who are ready.
    pub free: f64,
}
