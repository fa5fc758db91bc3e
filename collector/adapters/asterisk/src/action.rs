//! What is asked of the PBX: the events that this adapter reads, and the filters that let them through.

pub use ami::action::{Action, Error, LINE_BYTES_MAX};

/// Every event that this adapter reads; the filter keeps the rest (VarSet, RTCP, …) off the wire.
pub const EVENTS: &[&str] = &[
    "Newchannel",
    "Newstate",
    "Hangup",
    "HangupRequest",
    "SoftHangupRequest",
    "DialBegin",
    "DialEnd",
    "BridgeEnter",
    "LocalBridge",
    "Hold",
    "Unhold",
    "BlindTransfer",
    "AttendedTransfer",
    "OriginateResponse",
    "UserEvent",
    "DTMFEnd",
    "MixMonitorStart",
    "MixMonitorStop",
    "QueueCallerJoin",
    "QueueCallerLeave",
    "QueueCallerAbandon",
    "AgentCalled",
    "AgentConnect",
    "AgentComplete",
    "AgentDump",
    "AgentRingNoAnswer",
    "QueueMemberAdded",
    "QueueMemberRemoved",
    "QueueMemberPause",
    "QueueMemberPenalty",
    "QueueMemberStatus",
    "DeviceStateChange",
    "ContactStatus",
    "PeerStatus",
    "FullyBooted",
    "Shutdown",
    "Rename",
];

/// The filters that let [`EVENTS`] through. Several short ones, because a header line is short; Asterisk 16 to 22 read the
/// plain form as a regular expression over the whole event text and pass what any of them matches.
pub fn filters() -> Vec<Action> {
    EVENTS.chunks(16).map(|names| Action::filter(format!("^Event: ({})", names.join("|")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_fits_a_line() {
        for filter in filters() {
            assert!(filter.encode("99").is_ok());
        }
    }
}
