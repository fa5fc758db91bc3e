//! Chat platforms behind targets: each is told of the callers who are led to it, and says what it takes.
//!
//! What it is: a courier for each `[cti.webhooks.TARGET]`. It posts what is known of a caller, signed ([`signature`]), and folds the answers
//! into `target.observed` on `control`: whether the platform answers, and how many a second it takes. What it is not: in the way of a
//! call. Where a caller goes is decided from memory; the platform is told when the phone system has taken the answer.
//!
//! - **Invariant:** nobody waits for a platform: what finds no room on its way to it is left out and counted.
//! - **Invariant:** a number in the clear is sent only where that is configured in so many words.
//! - **Invariant:** a platform that failed is led to again only when it answered a probe.
//!
//! What receivers may rely on: `docs/spec/webhook.md`.

mod client;
mod config;
mod courier;
pub mod signature;

use std::collections::BTreeMap;

use model::{TargetId, TenantId, Time};
use serde::Serialize;
use service::metric;
use tokio::sync::mpsc;

pub(crate) use client::Client;
pub use config::{Caller, Webhook};
pub(crate) use courier::Courier;

/// What a platform is told of a caller who is led to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HandOver {
    /// `call.diverted`, or `probe`: nobody comes, is anybody there?
    pub r#type: &'static str,
    /// Never used twice for another caller; the same hand-over tried again keeps it.
    pub id: String,
    /// When it was decided.
    pub at: Time,
    /// Whose.
    pub tenant: TenantId,
    /// The target, by its name in the plan.
    pub target: TargetId,
    /// The phone system that the call is in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The call, as the phone system and all reports name it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub call: String,
    /// The queue that the caller wanted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub queue: String,
    /// The caller's language, where the phone system knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'static str,
    /// The load level.
    pub level: u8,
    /// Who calls, as far as the platform may know.
    #[serde(skip_serializing_if = "Known::is_nobody")]
    pub caller: Known,
}

/// Who calls.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct Known {
    /// The same caller has the same one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What people may see of the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// The number in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({})", self.mask.as_deref().unwrap_or("***"))
    }
}

impl Known {
    fn is_nobody(&self) -> bool {
        *self == Known::default()
    }

    /// What of it a platform may be told.
    fn told(self, how: Caller) -> Known {
        match how {
            Caller::Token => Known { token: self.token, ..Known::default() },
            Caller::Masked => Known { number: None, ..self },
            Caller::Clear => self,
        }
    }
}

/// The near ends of all couriers.
#[derive(Clone, Default)]
pub(crate) struct Webhooks {
    ways: BTreeMap<TargetId, (mpsc::Sender<HandOver>, Caller)>,
}

impl Webhooks {
    /// The ways to these platforms, and their far ends.
    pub(crate) fn new(config: &BTreeMap<TargetId, Webhook>) -> (Webhooks, Vec<(TargetId, mpsc::Receiver<HandOver>)>) {
        metric::describe_counter("cti_webhook_total", "hand-overs to chat platforms, by target and how they ended");
        let mut ways = BTreeMap::new();
        let mut ends = Vec::new();
        for (target, webhook) in config {
            let (sender, receiver) = mpsc::channel(webhook.waiting_max);
            ways.insert(target.clone(), (sender, webhook.caller));
            ends.push((target.clone(), receiver));
        }
        (Webhooks { ways }, ends)
    }

    /// Whether a target has a platform to be told.
    pub(crate) fn know(&self, target: &str) -> bool {
        self.ways.contains_key(&TargetId::new(target))
    }

    /// Tells, or leaves it out when too many wait.
    pub(crate) fn tell(&self, mut over: HandOver) {
        let Some((way, caller)) = self.ways.get(&over.target) else { return };
        over.caller = std::mem::take(&mut over.caller).told(*caller);
        let target = over.target.clone();
        if way.try_send(over).is_err() {
            counted(&target, "left_out");
        }
    }
}

fn counted(target: &TargetId, how: &'static str) {
    metric::counter("cti_webhook_total", &[("target", target.as_str()), ("outcome", how)]).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_told_only_where_it_is_configured() {
        let known = || Known { token: Some("t".into()), mask: Some("4***1".into()), number: Some("49301".into()) };
        let text = |how| serde_json::to_string(&known().told(how)).unwrap();
        assert_eq!(text(Caller::Token), r#"{"token":"t"}"#);
        assert_eq!(text(Caller::Masked), r#"{"token":"t","mask":"4***1"}"#);
        assert_eq!(text(Caller::Clear), r#"{"token":"t","mask":"4***1","number":"49301"}"#);
        assert_eq!(format!("{:?}", known()), "Known(4***1)");
    }
}
