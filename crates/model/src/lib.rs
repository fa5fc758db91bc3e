//! The language of Tidegate: ids, times, numbers, the CloudEvents envelope, and every event of the vocabulary.
//!
//! What it is: plain values and their wire form. What it is not: it does no I/O, is not async, and reads no clock.
//!
//! - **Invariant:** an event's id is a pure function of its source and the vendor's own reference, so that
//!   collecting a thing twice records it once.
//! - **Invariant:** a type that is not in [`event::Event`] passes through as the bytes it came in.
//! - **Invariant:** written events are never rewritten; old versions are lifted when they are read ([`lift`]).
//!
//! Start at [`envelope::Envelope`], then [`event::Event`]; decisions of the control plane have a vocabulary of their own, [`control`].

pub mod control;
pub mod directory;
pub mod envelope;
pub mod event;
pub mod fact;
pub mod id;
pub mod lift;
pub mod number;
mod text;
pub mod time;

pub use directory::Directory;
pub use envelope::{Envelope, Quality};
pub use event::Event;
pub use fact::Fact;
pub use id::{
    AgentId, CallId, CallbackId, DeviceId, EventId, NodeId, OverrideId, QueueId, ServiceId, SourceId, Subject,
    TargetId, TeamId, TenantId, TrunkId,
};
pub use number::{Number, NumberKey};
pub use time::Time;
