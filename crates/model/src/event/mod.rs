//! Every event of the vocabulary: past tense, the version in the type, CSTA III terms where they exist.

pub mod agent;
pub mod call;
pub mod device;
pub mod queue;
pub mod source;

use serde::{Serialize, Serializer};

macro_rules! events {
    ($($variant:ident($payload:ty) = $ty:literal),* $(,)?) => {
        /// What happened. The order of the variants is the order of events of one instant.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event {$(
            #[doc = concat!("`", $ty, "`")]
            $variant($payload),
        )*}

        /// Every type that this version knows, in the order of [`Event`].
        pub const TYPES: &[&str] = &[$($ty),*];

        #[derive(Clone, Copy)]
        #[repr(u8)]
        enum Rank {$( $variant, )*}

        impl Event {
            /// The word before the first dot of the type: `call`, `agent`, `device`, `queue` or `source`.
            pub fn family(&self) -> &'static str {
                match self {$( Event::$variant(_) => const { before_dot($ty) }, )*}
            }

            /// The place of this type among events of one instant.
            pub fn rank(&self) -> u8 {
                match self {$( Event::$variant(_) => Rank::$variant as u8, )*}
            }

            /// The CloudEvents type, such as `call.queued.v1`.
            pub fn ty(&self) -> &'static str {
                match self {$( Event::$variant(_) => $ty, )*}
            }
        }

        $(impl From<$payload> for Event {
            fn from(payload: $payload) -> Event {
                Event::$variant(payload)
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
    CallOffered(Box<call::Offered>) = "call.offered.v1",
    CallIvrEntered(call::IvrEntered) = "call.ivr_entered.v1",
    CallIvrSelected(call::IvrSelected) = "call.ivr_selected.v1",
    CallIvrLeft(call::IvrLeft) = "call.ivr_left.v1",
    CallQueued(call::Queued) = "call.queued.v1",
    CallAlerting(call::Alerting) = "call.alerting.v1",
    CallRona(call::Rona) = "call.rona.v1",
    CallAlertCancelled(call::AlertCancelled) = "call.alert_cancelled.v1",
    CallDequeued(call::Dequeued) = "call.dequeued.v1",
    CallDiverted(call::Diverted) = "call.diverted.v1",
    CallAdmitted(call::Admitted) = "call.admitted.v1",
    CallAnswered(call::Answered) = "call.answered.v1",
    CallHeld(call::Held) = "call.held.v1",
    CallRetrieved(call::Retrieved) = "call.retrieved.v1",
    CallConsulted(call::Consulted) = "call.consulted.v1",
    CallTransferred(call::Transferred) = "call.transferred.v1",
    CallConferenced(call::Conferenced) = "call.conferenced.v1",
    CallReleased(call::Released) = "call.released.v1",
    CallWrappedUp(call::WrappedUp) = "call.wrapped_up.v1",
    CallRecordingReady(call::RecordingReady) = "call.recording_ready.v1",
    CallSurveyed(call::Surveyed) = "call.surveyed.v1",
    CallDataAttached(call::DataAttached) = "call.data_attached.v1",
    CallEnded(call::Ended) = "call.ended.v1",
    AgentLoggedIn(agent::LoggedIn) = "agent.logged_in.v1",
    AgentStateChanged(agent::StateChanged) = "agent.state_changed.v1",
    AgentSkillsChanged(agent::SkillsChanged) = "agent.skills_changed.v1",
    AgentLoggedOut(agent::LoggedOut) = "agent.logged_out.v1",
    DeviceRegistered(device::Registered) = "device.registered.v1",
    DeviceStateChanged(device::StateChanged) = "device.state_changed.v1",
    DeviceUnregistered(device::Unregistered) = "device.unregistered.v1",
    QueueConfigured(queue::Configured) = "queue.configured.v1",
    QueueMemberAdded(queue::MemberAdded) = "queue.member_added.v1",
    QueueMemberPaused(queue::MemberPaused) = "queue.member_paused.v1",
    QueueMemberRemoved(queue::MemberRemoved) = "queue.member_removed.v1",
    SourceConnected(source::Connected) = "source.connected.v1",
    SourceDisconnected(source::Disconnected) = "source.disconnected.v1",
    SourceGap(source::Gap) = "source.gap.v1",
    SourceSnapshotTaken(source::SnapshotTaken) = "source.snapshot_taken.v1",
    SourceHeartbeat(source::Heartbeat) = "source.heartbeat.v1",
    SourceTrunkUsage(source::TrunkUsage) = "source.trunk_usage.v1",
}

/// The largest payload by far is boxed: else every event would be as large.
impl From<call::Offered> for Event {
    fn from(payload: call::Offered) -> Event {
        Event::CallOffered(Box::new(payload))
    }
}

const fn before_dot(ty: &'static str) -> &'static str {
    let mut len = 0;
    while ty.as_bytes()[len] != b'.' {
        len += 1;
    }
    ty.split_at(len).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_and_family_are_those_of_the_type() {
        let events: [Event; 3] = [
            call::Offered::default().into(),
            agent::LoggedOut::default().into(),
            source::TrunkUsage { trunk: "t".into(), in_use: 0, capacity: None }.into(),
        ];
        for event in events {
            assert_eq!(TYPES[usize::from(event.rank())], event.ty());
            assert!(event.ty().starts_with(&format!("{}.", event.family())));
        }
    }
}
