//! The names of everything that a tally counts, and the number that stands for each in a store.

/// What the cells of a field mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One cell: a count.
    Count,
    /// One cell: milliseconds.
    Millis,
    /// A histogram of durations: one cell per bucket ([`crate::hist`]).
    Hist,
    /// A level over the seconds of the row: cell 0 is the level at the first second, cell n the change at second n.
    Level,
    /// One cell per [`model::event::call::QueueExit`], in the order of its `ALL`.
    Exit,
    /// One cell per party: 0 caller, 1 agent, 2 system, 3 unknown.
    Party,
    /// Texts with counts.
    Labels,
    /// Texts with milliseconds.
    LabelMillis,
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $code:literal $wire:literal $kind:ident),* $(,)?) => {
        /// One thing that is counted. The number is what stands in a store: never change or reuse one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Field {$( $(#[$doc])* $name = $code, )*}

        impl Field {
            /// Every field, by number.
            pub const ALL: &[Field] = &[$( Field::$name, )*];

            /// The wire name.
            pub fn as_str(self) -> &'static str {
                match self {$( Field::$name => $wire, )*}
            }

            /// What its cells mean.
            pub fn kind(self) -> Kind {
                match self {$( Field::$name => Kind::$kind, )*}
            }

            /// From the number in a store.
            pub fn from_code(code: u8) -> Option<Field> {
                match code {
                    $( $code => Some(Field::$name), )*
                    _ => None,
                }
            }

            /// From the wire name.
            pub fn parse(text: &str) -> Option<Field> {
                match text {
                    $( $wire => Some(Field::$name), )*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    // a stay in a queue
    /// Segments that entered the queue.
    Offered = 1 "offered" Count,
    /// Segments answered by an agent.
    Answered = 2 "answered" Count,
    /// The caller left unanswered, after the short limit.
    Abandoned = 3 "abandoned" Count,
    /// The caller left unanswered, within the short limit.
    ShortAbandoned = 4 "short_abandoned" Count,
    /// Left the queue for another reason, by cause.
    FlowOut = 6 "flow_out" Exit,
    /// The flood controller led the call elsewhere: `target|rule|level`.
    Diverted = 7 "diverted" Labels,
    /// Diverted before it entered a queue: demand that `offered` does not hold.
    DivertedAtGate = 8 "diverted_at_gate" Count,
    /// An alerted agent did not answer while the caller still waited.
    Rona = 9 "rona" Count,
    /// The caller left while an agent was alerting.
    AbandonRinging = 10 "abandon_ringing" Count,
    /// Alerts of agents.
    Alerted = 11 "alerted" Count,
    /// Segments whose talk is over, and known to have been.
    Completed = 12 "completed" Count,
    /// Handed on to this.
    TransfersIn = 13 "transfers_in" Count,
    /// Handed on by this.
    TransfersOut = 14 "transfers_out" Count,
    /// Of those handed on: blind.
    TransfersBlind = 15 "transfers_blind" Count,
    /// Of those handed on: attended.
    TransfersAttended = 16 "transfers_attended" Count,
    /// Conferences.
    Conferences = 17 "conferences" Count,
    /// Consultations.
    Consultations = 18 "consultations" Count,
    /// Calls that ended on hold, by who ended them.
    HoldAbandons = 19 "hold_abandons" Party,
    /// Times on hold.
    Holds = 20 "holds" Count,
    /// Completed segments, by who ended the talk.
    EndedBy = 21 "ended_by" Party,

    // durations of those stays, whole, where the stay ends (event time) or began (cohort)
    /// Wait of the answered.
    WaitAnsweredMs = 30 "wait_answered_ms" Millis,
    /// Wait of the abandoned, short ones included.
    WaitAbandonedMs = 31 "wait_abandoned_ms" Millis,
    /// Wait of those who left otherwise.
    WaitOtherMs = 32 "wait_other_ms" Millis,
    /// Talk, hold not included.
    TalkMs = 33 "talk_ms" Millis,
    /// Hold.
    HoldMs = 34 "hold_ms" Millis,
    /// After-call work.
    WrapUpMs = 35 "wrap_up_ms" Millis,
    /// Ringing at agents.
    RingMs = 36 "ring_ms" Millis,

    // histograms
    /// Wait of the answered.
    WaitAnswered = 40 "wait_answered" Hist,
    /// Wait of the abandoned, short ones included.
    WaitAbandoned = 41 "wait_abandoned" Hist,
    /// Wait of those who left otherwise.
    WaitOther = 42 "wait_other" Hist,
    /// Talk of completed segments.
    Talk = 43 "talk" Hist,
    /// Wait of the caller at a RONA.
    WaitRona = 44 "wait_rona" Hist,
    /// Talk, hold and after-call work of completed segments.
    Handle = 45 "handle" Hist,

    // time inside the row
    /// Waiting, clipped to the row.
    WaitOverlapMs = 50 "wait_overlap_ms" Millis,
    /// Talking, hold not included, clipped to the row.
    TalkOverlapMs = 51 "talk_overlap_ms" Millis,
    /// Hold, clipped to the row.
    HoldOverlapMs = 52 "hold_overlap_ms" Millis,
    /// Ringing, clipped to the row.
    RingOverlapMs = 53 "ring_overlap_ms" Millis,
    /// After-call work, clipped to the row.
    WrapUpOverlapMs = 54 "wrap_up_overlap_ms" Millis,
    /// How many wait.
    Waiting = 55 "waiting" Level,
    /// How many are served (talk and hold).
    InService = 56 "in_service" Level,

    // states of agents and devices, clipped to the row
    /// Logged in.
    StaffedMs = 60 "staffed_ms" Millis,
    /// Ready.
    ReadyMs = 61 "ready_ms" Millis,
    /// Not ready, all reasons.
    NotReadyMs = 62 "not_ready_ms" Millis,
    /// Not ready, by reason.
    NotReadyReasonMs = 63 "not_ready_reason_ms" LabelMillis,
    /// Reserved: being rung.
    ReservedMs = 64 "reserved_ms" Millis,
    /// Talking (hold included: the state says no more).
    TalkingMs = 65 "talking_ms" Millis,
    /// After-call work.
    WrapUpStateMs = 66 "wrap_up_state_ms" Millis,
    /// Unknown.
    UnknownMs = 67 "unknown_ms" Millis,
    /// Logged in within this row.
    Logins = 68 "logins" Count,
    /// Logged out within this row.
    Logouts = 69 "logouts" Count,
    /// A device was idle.
    DeviceIdleMs = 70 "device_idle_ms" Millis,
    /// A device rang.
    DeviceRingingMs = 71 "device_ringing_ms" Millis,
    /// A device was in use.
    DeviceInUseMs = 72 "device_in_use_ms" Millis,
    /// A device held.
    DeviceHeldMs = 73 "device_held_ms" Millis,
    /// A device could not be reached.
    DeviceUnavailableMs = 74 "device_unavailable_ms" Millis,

    // whole calls
    /// Calls.
    Calls = 80 "calls" Count,
    /// Calls that are over.
    CallsEnded = 81 "calls_ended" Count,
    /// Entries that the vendor calls phantoms: counted here and nowhere else.
    Phantom = 82 "phantom" Count,
    /// Calls of agents that no queue brought (inbound and internal).
    DirectOffered = 83 "direct_offered" Count,
    /// Of those: answered.
    DirectAnswered = 84 "direct_answered" Count,
    /// Of those: the caller left.
    DirectAbandoned = 85 "direct_abandoned" Count,
    /// Talk of direct calls.
    DirectTalkMs = 86 "direct_talk_ms" Millis,
    /// Outbound calls.
    Outbound = 87 "outbound" Count,
    /// Outbound calls that were answered.
    OutboundAnswered = 88 "outbound_answered" Count,
    /// Talk of outbound calls.
    OutboundTalkMs = 89 "outbound_talk_ms" Millis,
    /// Survey answers.
    CsatCount = 90 "csat_count" Count,
    /// Sum of survey scores, each as millionths of the best score.
    CsatMicro = 91 "csat_micro" Count,

    // IVR
    /// The caller came to the node.
    IvrEntered = 100 "ivr_entered" Count,
    /// The caller went on from the node.
    IvrLeft = 101 "ivr_left" Count,
    /// The caller hung up in the node.
    IvrAbandoned = 102 "ivr_abandoned" Count,
    /// The IVR ended the call: served there.
    IvrContained = 103 "ivr_contained" Count,
    /// What the callers chose.
    IvrChoice = 104 "ivr_choice" Labels,
    /// Time in the node, of visits that are over.
    IvrMs = 105 "ivr_ms" Millis,

    // trunks and call services
    /// Attempts.
    Attempts = 110 "attempts" Count,
    /// Attempts that were answered.
    AttemptsAnswered = 111 "attempts_answered" Count,
    /// Attempts that met a busy line.
    AttemptsBusy = 112 "attempts_busy" Count,
    /// Attempts that nobody answered.
    AttemptsNoAnswer = 113 "attempts_no_answer" Count,
    /// Conversation time of the answered attempts.
    ConversationMs = 114 "conversation_ms" Millis,

    // quality
    /// Events that came late.
    Late = 120 "late" Count,
    /// Events that were concluded, not seen.
    Inferred = 121 "inferred" Count,
    /// Events read from a snapshot.
    Snapshot = 122 "snapshot" Count,
    /// The source was blind, clipped to the row.
    GapMs = 123 "gap_ms" Millis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_number_leads_back_to_its_field() {
        for f in Field::ALL {
            assert_eq!((Field::parse(f.as_str()), Field::from_code(*f as u8)), (Some(*f), Some(*f)));
        }
    }
}
