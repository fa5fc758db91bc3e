//! What an event says of lengths and of other moments than its own: beyond what can be, the folds would add it up all the
//! same, until the sums overflow.

use model::event::call::Surveyed;
use model::{Event, Time};

/// The longest wait, ringing, conversation or after-call work.
const LENGTH_MS_MAX: u64 = 366 * 86_400_000;
/// How far another moment may be from the event's own: a collector may have been off for years.
const APART_MS_MAX: i64 = 10 * 366 * 86_400_000;
/// The most lines that a trunk has, and parties that a conference.
const COUNT_MAX: u32 = 10_000_000;
/// The largest score of a survey.
const SCORE_MAX: f64 = 1e6;

/// Names the first that cannot be.
pub(crate) fn check(event: &Event, at: Time) -> Result<(), String> {
    for (name, ms) in lengths(event) {
        if let Some(ms) = ms.filter(|ms| *ms > LENGTH_MS_MAX) {
            return Err(format!("{name} is {ms}, want at most {LENGTH_MS_MAX} (a year)"));
        }
    }
    for (name, time) in moments(event) {
        if let Some(time) = time.filter(|time| time.ms().abs_diff(at.ms()) > APART_MS_MAX.unsigned_abs()) {
            return Err(format!("{name} is {time}, more than ten years from the event's own time {at}"));
        }
    }
    match event {
        Event::SourceTrunkUsage(e) if e.in_use > COUNT_MAX || e.capacity.is_some_and(|c| c > COUNT_MAX) => {
            Err(format!("a trunk of {} lines, want at most {COUNT_MAX}", e.in_use.max(e.capacity.unwrap_or(0))))
        }
        Event::CallSurveyed(Surveyed { score, score_max })
            if !(score.abs() <= SCORE_MAX && *score_max > 0.0 && *score_max <= SCORE_MAX) =>
        {
            Err(format!("a survey's score of {score} of {score_max}"))
        }
        _ => Ok(()),
    }
}

fn lengths(event: &Event) -> [(&'static str, Option<u64>); 1] {
    [match event {
        Event::CallRona(e) => ("rang_ms", e.rang_ms),
        Event::CallAlertCancelled(e) => ("rang_ms", e.rang_ms),
        Event::CallAnswered(e) => ("waited_ms", e.waited_ms),
        Event::CallDequeued(e) => ("waited_ms", e.waited_ms),
        Event::CallReleased(e) => ("talked_ms", e.talked_ms),
        Event::CallWrappedUp(e) => ("wrap_up_ms", Some(e.wrap_up_ms)),
        Event::SourceHeartbeat(e) => ("every_ms", e.every_ms.max(e.round_trip_ms)),
        _ => ("", None),
    }]
}

fn moments(event: &Event) -> [(&'static str, Option<Time>); 2] {
    match event {
        Event::CallQueued(e) => [("offered_at", e.offered_at), ("", None)],
        Event::CallEnded(e) => [("not_after", e.not_after), ("", None)],
        Event::SourceGap(e) => [("from", Some(e.from)), ("to", Some(e.to))],
        _ => [("", None), ("", None)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::event::call::{Answered, Dequeued, QueueExit, Queued, Rona, WrappedUp};
    use model::event::source::{Gap, TrunkUsage};

    const AT: Time = Time(1_795_000_000_000);

    fn why(event: impl Into<Event>) -> String {
        check(&event.into(), AT).expect_err("it was taken for possible")
    }

    #[test]
    fn what_cannot_be_is_named() {
        let waited_ms = Some(u64::MAX);
        assert!(why(Answered { waited_ms, ..Answered::default() }).contains("waited_ms is 18446744073709551615"));
        assert!(why(Dequeued { queue: "q".into(), cause: QueueExit::Abandoned, waited_ms }).contains("waited_ms"));
        assert!(why(WrappedUp { agent: None, wrap_up_ms: 1 << 63 }).contains("wrap_up_ms"));
        let queued = |offered_at| Queued { queue: "q".into(), priority: None, position: None, offered_at };
        assert!(why(queued(Some(Time(0)))).contains("offered_at is 1970-01-01"));
        assert!(why(Gap { from: Time(0), to: AT, reason: String::new() }).contains("from is 1970"));
        assert!(why(TrunkUsage { trunk: "t".into(), in_use: u32::MAX, capacity: None }).contains("4294967295 lines"));
        for (score, score_max) in [(f64::MAX, 5.0), (1.0, 0.0), (1.0, -5.0), (f64::NAN, 5.0)] {
            assert!(why(Surveyed { score, score_max }).contains("score"));
        }
    }

    #[test]
    fn what_can_be_passes() {
        let rang = Rona {
            agent: "a".into(),
            device: None,
            queue: None,
            rang_ms: Some(LENGTH_MS_MAX),
            reason: <_>::default(),
            team: None,
        };
        assert_eq!(check(&rang.into(), AT), Ok(()));
        assert_eq!(check(&Surveyed { score: 4.5, score_max: 5.0 }.into(), AT), Ok(()));
    }
}
