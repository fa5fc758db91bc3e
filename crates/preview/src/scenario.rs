//! What a preview plays under: thresholds of queues, and the targets that they lead to.

use std::collections::{BTreeMap, BTreeSet};

use model::control::{By, Kind, Order, Thresholds};
use model::{QueueId, TargetId, Time};
use policy::plan::rules_of;
use policy::rehearsal::centre::{self, Held, Lead};
use policy::split::Target;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Fault};

/// Thresholds by queue, and what the targets take that they name. A file of thresholds alone is one, too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What each queue is held to. A queue that is not named lets everybody in.
    pub queues: BTreeMap<QueueId, Thresholds>,
    /// Where the diverted may be led.
    pub targets: BTreeMap<TargetId, Place>,
    /// What persons and carriers order, each for a time of the period.
    pub orders: Vec<Ordered>,
    /// The share of the callers whom the business protects, 0 to 1. No record says who they are: they are drawn, the same under both sets
    /// as far as the shares go.
    pub protected_share: f64,
}

/// An order for a time of the period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ordered {
    /// For this queue; absent: for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueId>,
    /// What: as in `POST /v1/overrides`.
    pub order: Order,
    /// From when on, RFC 3339.
    #[schemars(with = "String")]
    pub from: Time,
    /// Until when, RFC 3339.
    #[schemars(with = "String")]
    pub until: Time,
}

/// What a target takes, and whom it helps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// What kind of place.
    pub kind: Kind,
    /// Calls per second that it takes at most.
    pub capacity_per_s: f64,
    /// The share of those led there who do not call again for it.
    pub containment: f64,
}

/// Attempts of this long count for the protection that they give, seconds.
const ATTEMPTS_WITHIN_S: f64 = 1_800.0;
/// The most orders of a period.
const ORDERS_MAX: usize = 1_000;

impl Scenario {
    /// Reads TOML, or JSON where the text begins with a brace. `at` names the file or flag.
    ///
    /// # Errors
    /// [`Error::Refused`], with the place in the text.
    pub fn parse(at: &str, text: &str) -> Result<Scenario, Error> {
        let read = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|e| e.to_string())
        } else {
            toml::from_str(text).map_err(|e| e.to_string())
        };
        read.map_err(|e: String| Error::refused(at, e.trim().to_owned()))
    }

    /// What is in force for a tenant, with the targets that callers may be led to. Orders that hold now are not orders of the period.
    pub fn in_force(tenant: &policy::plan::Tenant) -> Scenario {
        let place = |held: &policy::plan::Target| Place {
            kind: held.configured.kind,
            capacity_per_s: held.configured.capacity_per_s,
            containment: held
                .observed
                .as_ref()
                .and_then(|seen| seen.containment)
                .unwrap_or(held.configured.containment),
        };
        let targets = tenant.targets().filter(|(_, held)| held.present && held.configured.enabled);
        Scenario {
            queues: tenant.queues().map(|(queue, held)| (queue.clone(), (**held.thresholds()).clone())).collect(),
            targets: targets.map(|(target, held)| (target.clone(), place(held))).collect(),
            ..Scenario::default()
        }
    }

    /// Without queues that had no calls, and without targets that are no more: what is in force may speak of more than a period shows.
    #[must_use]
    pub fn within(mut self, queues: &[QueueId]) -> Scenario {
        self.queues.retain(|queue, _| queues.contains(queue));
        for thresholds in self.queues.values_mut() {
            thresholds.targets.retain(|toward| self.targets.contains_key(&toward.target));
            thresholds.offers.retain(|target| self.targets.contains_key(target));
        }
        self
    }

    /// Everything that is wrong with it: impossible, contradictory, of a queue or target that is not there.
    pub fn faults(&self, at: &str, queues: &[QueueId]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |path: String, what: String| faults.push(Fault { at: format!("{at}.{path}"), what });
        let targets: BTreeSet<TargetId> = self.targets.keys().cloned().collect();
        for (queue, thresholds) in &self.queues {
            let path = |inner: &str| format!("queues.{queue}.{inner}");
            if !queues.contains(queue) {
                let there: Vec<&str> = queues.iter().map(QueueId::as_str).collect();
                let what = format!(
                    "no call of the period entered a queue {:?}; there are {}",
                    queue.as_str(),
                    there.join(", ")
                );
                fault(format!("queues.{queue}"), what);
            }
            for problem in thresholds.problems().into_iter().chain(thresholds.strangers(&targets)) {
                fault(path(&problem.path), format!("{}: {}", problem.what, problem.fix));
            }
        }
        for (target, place) in &self.targets {
            let mut within = |field: &str, value: f64, most: f64| {
                if !(0.0..=most).contains(&value) {
                    fault(format!("targets.{target}.{field}"), format!("{value} is not between 0 and {most}"));
                }
            };
            within("capacity_per_s", place.capacity_per_s, 10_000.0);
            within("containment", place.containment, 1.0);
        }
        if !(0.0..=1.0).contains(&self.protected_share) {
            fault("protected_share".to_owned(), format!("{} is not between 0 and 1", self.protected_share));
        }
        if self.orders.len() > ORDERS_MAX {
            fault("orders".to_owned(), format!("{} of them; {ORDERS_MAX} at most", self.orders.len()));
        }
        for (number, order) in self.orders.iter().enumerate() {
            order.faults(&self.queues, &mut |field, what| fault(format!("orders.{number}.{field}"), what));
        }
        faults
    }

    /// The orders as a play wants them. Which of them are a carrier's makes no difference to what holds.
    pub(crate) fn ordered(&self) -> Vec<centre::Ordered> {
        let play = |ordered: &Ordered| centre::Ordered {
            queue: ordered.queue.clone(),
            order: ordered.order,
            from: ordered.from,
            until: ordered.until,
            by: By::Operator("preview".into()),
        };
        self.orders.iter().map(play).collect()
    }

    /// With the targets that the other one knows and this one does not.
    #[must_use]
    pub fn with_targets_of(mut self, other: &Scenario) -> Scenario {
        for (target, place) in &other.targets {
            self.targets.entry(target.clone()).or_insert(*place);
        }
        self
    }

    /// What each queue is held to, in a rehearsal in which targets are numbered as in `targets`.
    pub(crate) fn held(&self, queues: &[QueueId], targets: &[TargetId]) -> Vec<Option<Held>> {
        queues.iter().map(|queue| Some(self.one(self.queues.get(queue)?, targets))).collect()
    }

    fn one(&self, thresholds: &Thresholds, targets: &[TargetId]) -> Held {
        let lead = |toward: &model::control::Toward| {
            let place = self.targets.get(&toward.target)?;
            let takes = Target {
                capacity_per_s: place.capacity_per_s.min(toward.capacity_per_s.unwrap_or(f64::INFINITY)),
                containment: place.containment,
                healthy: toward.weight > 0.0,
            };
            Some(Lead { target: targets.iter().position(|t| *t == toward.target)?, takes, weight: toward.weight })
        };
        Held {
            // a rehearsal does not need the sustainable rate, which is most of a tick's work
            rules: policy::control::Rules { goal_share: 0.0, ..rules_of(thresholds) },
            stale: thresholds.stale.clone(),
            leads: thresholds.targets.iter().filter_map(lead).collect(),
            attempts_min: thresholds.protection.attempts_min,
            attempts_within_s: ATTEMPTS_WITHIN_S,
            in_vain: thresholds.protection.diverted_in_vain,
        }
    }
}

impl Ordered {
    fn faults(&self, queues: &BTreeMap<QueueId, Thresholds>, fault: &mut dyn FnMut(&str, String)) {
        if self.until <= self.from {
            fault("until", format!("{} is not after from, {}", self.until, self.from));
        }
        if let Some(queue) = self.queue.as_ref().filter(|queue| !queues.contains_key(*queue)) {
            fault("queue", format!("{:?} is held to nothing: name it among the queues", queue.as_str()));
        }
        match self.order {
            Order::RateAtMost { per_s } if !(0.0..=10_000.0).contains(&per_s) => {
                fault("order.rate_at_most.per_s", format!("{per_s} is not between 0 and 10000"));
            }
            _ => {}
        }
    }
}
