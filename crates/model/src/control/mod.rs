//! The vocabulary of control: every decision of the control plane, with who decided, why, and of what.
//!
//! It stands on the stream `control`, key: the tenant; the stream has one partition, so that all decisions have one order. Console and
//! operators write it; the route gate, the console itself and the audit fold it (`policy::plan` is the fold).
//!
//! What it is not: the events of calls ([`crate::event`]). A control event has no vendor and no source clock; its envelope says `by` whom
//! and `why` instead ([`envelope::Envelope`]).
//!
//! - **Invariant:** what is configured (thresholds, targets, services) carries its version, and replaces exactly the one before it: of two
//!   that would replace the same version, the first in the stream holds. So whoever changes something may read back whether they did.
//! - **Invariant:** an override has an end. Nothing that a person orders lasts without one.
//! - **Invariant:** a type that is not known here passes through, and counts for the audit.

pub mod callback;
pub mod effect;
pub mod envelope;
pub mod gate;
pub mod level;
pub mod overriding;
pub mod plan;
pub mod problem;
pub mod seal;
pub mod service;
pub mod target;
pub mod thresholds;

use serde::{Serialize, Serializer};

pub use callback::{
    CallbackAsked, CallbackBegun, CallbackClaimed, CallbackClosed, CallbackTried, Close, Hours, Outcome,
};
pub use effect::{EffectMeasured, Effects};
pub use envelope::{By, Envelope, Head, Parsed};
pub use gate::{GateCounted, QueueCounted, TargetCounted};
pub use level::{Level, LevelChanged, Tier, TierChanged};
pub use overriding::{Order, OverrideCleared, OverrideSet};
pub use plan::{Affirmed, Automatic, Figures, Flow, PlanAffirmed, PlanIssued, Share};
pub use seal::AuditSealed;
pub use service::{ServiceConfigured, ServiceRemoved, ServiceWeighed, Standing, Weighed};
pub use target::{Kind, TargetConfigured, TargetObserved, TargetRemoved};
pub use thresholds::{Goal, Protection, Stale, Thresholds, ThresholdsFile, ThresholdsSet, Toward};

macro_rules! events {
    ($($variant:ident($payload:ty) = $ty:literal),* $(,)?) => {
        /// What was decided, configured or measured.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event {$(
            #[doc = concat!("`", $ty, "`")]
            $variant(Box<$payload>),
        )*}

        /// Every type that this version knows, in the order of [`Event`].
        pub const TYPES: &[&str] = &[$($ty),*];

        impl Event {
            /// The CloudEvents type, such as `plan.issued.v1`.
            pub fn ty(&self) -> &'static str {
                match self {$( Event::$variant(_) => $ty, )*}
            }

            /// What it is about, such as `queue/sales`: the CloudEvents subject.
            pub fn subject(&self) -> String {
                match self {$( Event::$variant(payload) => payload.subject(), )*}
            }
        }

        $(impl From<$payload> for Event {
            fn from(payload: $payload) -> Event {
                Event::$variant(Box::new(payload))
            }
        })*

        /// Reads `data` (JSON) as the payload of `ty`; `None` for a type that is not known.
        pub fn decode(ty: &str, data: &str) -> serde_json::Result<Option<Event>> {
            Ok(Some(match ty {
                $( $ty => Event::$variant(serde_json::from_str(data)?), )*
                _ => return Ok(None),
            }))
        }

        impl Serialize for Event {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                match self {$( Event::$variant(payload) => payload.serialize(s), )*}
            }
        }
    };
}

events! {
    ThresholdsSet(ThresholdsSet) = "thresholds.set.v1",
    PlanIssued(PlanIssued) = "plan.issued.v1",
    PlanAffirmed(PlanAffirmed) = "plan.affirmed.v1",
    LevelChanged(LevelChanged) = "level.changed.v1",
    TierChanged(TierChanged) = "tier.changed.v1",
    OverrideSet(OverrideSet) = "override.set.v1",
    OverrideCleared(OverrideCleared) = "override.cleared.v1",
    TargetConfigured(TargetConfigured) = "target.configured.v1",
    TargetRemoved(TargetRemoved) = "target.removed.v1",
    TargetObserved(TargetObserved) = "target.observed.v1",
    ServiceConfigured(ServiceConfigured) = "service.configured.v1",
    ServiceRemoved(ServiceRemoved) = "service.removed.v1",
    ServiceWeighed(ServiceWeighed) = "service.weighed.v1",
    EffectMeasured(EffectMeasured) = "effect.measured.v1",
    GateCounted(GateCounted) = "gate.counted.v1",
    AuditSealed(AuditSealed) = "audit.sealed.v1",
    CallbackAsked(CallbackAsked) = "callback.asked.v1",
    CallbackBegun(CallbackBegun) = "callback.begun.v1",
    CallbackTried(CallbackTried) = "callback.tried.v1",
    CallbackClaimed(CallbackClaimed) = "callback.claimed.v1",
    CallbackClosed(CallbackClosed) = "callback.closed.v1",
}

/// What a payload is about.
trait About {
    fn subject(&self) -> String;
}

macro_rules! about {
    ($($payload:ty: $family:literal $field:ident),* $(,)?) => {$(
        impl About for $payload {
            fn subject(&self) -> String {
                format!(concat!($family, "/{}"), self.$field)
            }
        }
    )*};
}

about! {
    ThresholdsSet: "queue" queue,
    PlanIssued: "queue" queue,
    LevelChanged: "queue" queue,
    OverrideSet: "override" id,
    OverrideCleared: "override" id,
    TargetConfigured: "target" target,
    TargetRemoved: "target" target,
    TargetObserved: "target" target,
    ServiceConfigured: "service" service,
    ServiceRemoved: "service" service,
    EffectMeasured: "queue" queue,
    GateCounted: "gate" gate,
    TierChanged: "part" part,
    CallbackAsked: "callback" callback,
    CallbackBegun: "callback" callback,
    CallbackTried: "callback" callback,
    CallbackClaimed: "callback" callback,
    CallbackClosed: "callback" callback,
}

macro_rules! about_all {
    ($($payload:ty: $subject:literal),* $(,)?) => {$(
        impl About for $payload {
            fn subject(&self) -> String {
                $subject.to_owned()
            }
        }
    )*};
}

about_all! {
    PlanAffirmed: "plans/all",
    ServiceWeighed: "services/all",
    AuditSealed: "audit/all",
}
