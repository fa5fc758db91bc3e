//! What is due, and when: the clockwork of the simulation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that will happen. The numbers beside a call or an agent are stamps: a timer whose stamp is no longer the
/// current one has been overtaken by events and is ignored, which is cheaper than taking it out of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The next fresh caller, unless the arrival rate has changed since.
    Arrive { stamp: u32 },
    /// The arrival rate changes at the top of an hour.
    Hour { stamp: u32 },
    /// A flood is over.
    FloodEnds { stamp: u32 },
    /// A caller who had given up tries again.
    Redial { number: u64, line: u32 },
    /// A call in the menu moves on.
    Menu { call: u64, stamp: u32 },
    /// A waiting caller gives up.
    Patience { call: u64, visit: u32 },
    /// A queue lets go of a caller who waited too long.
    Timeout { call: u64, visit: u32 },
    /// A caller may be offered to an agent again.
    Retry { call: u64, visit: u32, ring: u32 },
    /// A ringing phone is picked up, refused, or rings out.
    Ring { call: u64, ring: u32 },
    /// A conversation takes its next turn.
    Talk { call: u64, leg: u32, turn: Turn },
    /// An agent's own day: log-in, log-out, pause, return, end of wrap-up.
    Desk { agent: u32, stamp: u32, what: Desk },
    /// An agent takes a look at whether to phone somebody.
    CallOut { agent: u32 },
}

/// A turn of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// The agent puts the caller on hold.
    Hold,
    /// The agent takes the caller back.
    Retrieve,
    /// The agent hangs up.
    AgentEnds,
    /// The caller hangs up.
    CallerEnds,
    /// The agent sends the caller to another queue, unasked.
    BlindToQueue { queue: u32 },
    /// The agent sends the caller to an outside line, unasked.
    BlindOutside,
    /// The agent rings a colleague, the caller on hold: by the phone, or by the PBX.
    Consult { by_pbx: bool },
    /// The colleague picks up.
    ConsultAnswered,
    /// The colleague does not pick up; back to the caller.
    ConsultFails,
    /// The agent hands the caller over.
    HandOver,
    /// The dialplan ends a call that nobody else is in.
    SystemEnds,
    /// The phone of somebody we call out to is picked up.
    OutAnswered,
    /// It is busy, or nobody is there.
    OutFails { busy: bool },
    /// An agent whom an order made the PBX ring picks up.
    OriginateAnswered,
    /// That agent does not.
    OriginateFails,
}

/// What comes up in an agent's day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Desk {
    LogIn,
    LogOut,
    Pause { reason: u16 },
    Resume,
    WrapUpEnds,
}

/// The agenda. Two things due in the same millisecond happen in the order in which they were written down: that, and not
/// the heap's own mood, makes a seed give one trace.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<(i64, u64, Due)>>,
    written: u64,
}

impl Agenda {
    /// Writes something down for a time.
    pub(crate) fn at(&mut self, when_ms: i64, due: Due) {
        self.written += 1;
        self.heap.push(Reverse((when_ms, self.written, due)));
    }

    /// When the next thing is due.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse((when, _, _))| *when)
    }

    /// Takes the next thing, if it is due by `until_ms`.
    pub(crate) fn take(&mut self, until_ms: i64) -> Option<(i64, Due)> {
        if self.next_ms()? > until_ms {
            return None;
        }
        self.heap.pop().map(|Reverse((when, _, due))| (when, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_of_one_millisecond_happen_in_the_order_written() {
        let mut agenda = Agenda::default();
        agenda.at(5, Due::Arrive { stamp: 9 });
        agenda.at(5, Due::Arrive { stamp: 1 });
        agenda.at(4, Due::Arrive { stamp: 7 });
        let order: Vec<_> = std::iter::from_fn(|| agenda.take(10)).collect();
        assert_eq!(
            order,
            vec![(4, Due::Arrive { stamp: 7 }), (5, Due::Arrive { stamp: 9 }), (5, Due::Arrive { stamp: 1 })]
        );
    }

    #[test]
    fn nothing_is_taken_before_its_time() {
        let mut agenda = Agenda::default();
        agenda.at(5, Due::Arrive { stamp: 0 });
        assert_eq!(agenda.take(4), None);
        assert_eq!(agenda.next_ms(), Some(5));
    }
}
