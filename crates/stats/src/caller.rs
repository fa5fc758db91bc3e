//! What only a caller's history tells: repeated attempts and first-call resolution. Calls of one caller lie in any partition, so
//! these are computed from call records when somebody asks, not folded.

use std::collections::HashMap;

use model::Time;

use crate::call::Record;

/// The default of W for repeated attempts: 10 minutes, in milliseconds.
pub const REPEAT_WINDOW_MS: i64 = 600_000;
/// The default of W for first-call resolution: 24 hours, in milliseconds.
pub const RESOLUTION_WINDOW_MS: i64 = 86_400_000;

/// One inbound call of one caller, as far as these figures care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The caller's token.
    pub caller: String,
    /// When the call began.
    pub at: Time,
    /// How many of its segments entered a queue.
    pub offered: i64,
    /// Whether an agent answered.
    pub answered: bool,
}

impl Contact {
    /// Of a record; `None` when the caller is not known, or the call is not inbound.
    pub fn of(record: &Record) -> Option<Contact> {
        let inbound = record.direction == model::event::call::Direction::Inbound && !record.phantom();
        let caller = record.ani.as_ref()?.token.clone()?;
        inbound.then(|| Contact {
            caller,
            at: record.offered_at,
            offered: record.segments.iter().filter(|s| s.queue.is_some()).count() as i64,
            answered: record.segments.iter().any(|s| s.answered_at.is_some()),
        })
    }
}

/// What histories tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Histories {
    /// Calls offered to a queue whose caller was seen within the repeat window before.
    pub repeat_attempts: i64,
    /// Answered calls.
    pub answered: i64,
    /// Answered calls whose caller was not seen again within the resolution window.
    pub resolved: i64,
}

impl Histories {
    /// First-call resolution, 0 to 1; `None` when nothing was answered.
    pub fn fcr(&self) -> Option<f64> {
        (self.answered > 0).then(|| self.resolved as f64 / self.answered as f64)
    }
}

/// Computes both over contacts in any order. Contacts before `from` and at or after `to` only serve as history: give those of
/// one window more on each side.
pub fn histories(contacts: &[Contact], from: Time, to: Time, repeat_ms: i64, resolution_ms: i64) -> Histories {
    let mut of_caller: HashMap<&str, Vec<&Contact>> = HashMap::new();
    for c in contacts {
        of_caller.entry(&c.caller).or_default().push(c);
    }
    let mut out = Histories::default();
    for list in of_caller.values_mut() {
        list.sort_by_key(|c| c.at);
        for (i, c) in list.iter().enumerate().filter(|(_, c)| c.at >= from && c.at < to) {
            let before = i.checked_sub(1).map(|p| c.at - list[p].at);
            let after = list.get(i + 1).map(|n| n.at - c.at);
            out.repeat_attempts += i64::from(c.offered > 0 && before.is_some_and(|ms| ms <= repeat_ms));
            out.answered += i64::from(c.answered);
            out.resolved += i64::from(c.answered && after.is_none_or(|ms| ms > resolution_ms));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_comes_back_is_a_repeat_and_was_not_resolved() {
        let call = |caller: &str, s: i64, answered| Contact {
            caller: caller.into(),
            at: Time(s * 1000),
            offered: 1,
            answered,
        };
        let contacts = [call("a", 300, true), call("a", 0, true), call("b", 10, true), call("a", 100_000, false)];
        let h = histories(&contacts, Time(0), Time(1_000_000_000), REPEAT_WINDOW_MS, RESOLUTION_WINDOW_MS);
        assert_eq!(h, Histories { repeat_attempts: 1, answered: 3, resolved: 2 });
        assert_eq!(histories(&[], Time(0), Time(1), 1, 1).fcr(), None);
    }
}
