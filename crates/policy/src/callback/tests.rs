use super::*;
use model::control::{By, CallbackBegun, CallbackClaimed, CallbackClosed, CallbackTried, Hours};
use proptest::prelude::*;

fn at(second: i64, event: impl Into<Event>) -> Envelope {
    Envelope {
        id: format!("{second}").as_str().into(),
        source: "cti-1".into(),
        time: Time::from_secs(second),
        tenant: "bank".into(),
        by: By::Automatic,
        why: String::new(),
        cause_id: None,
        event: event.into(),
    }
}

fn asked(id: &str, caller: &str) -> CallbackAsked {
    CallbackAsked {
        callback: id.into(),
        queue: "sales".into(),
        caller: caller.to_owned(),
        mask: "***".to_owned(),
        sealed: "00".to_owned(),
        source: "pbx1".into(),
        call: id.into(),
        asked_at: None,
        until: Time::from_secs(10_000),
        hours: Hours { from: 540, to: 1_200 },
        attempts_max: 2,
    }
}

fn take(list: &mut List, envelope: &Envelope) -> Applied {
    let (event, at) = (envelope.id.clone(), envelope.time);
    list.apply(envelope, Stamp { event, at, by: envelope.by.clone(), why: String::new() })
}

fn due(list: &List, now_s: i64, minute: u16) -> Vec<&str> {
    list.due(&"sales".into(), Time::from_secs(now_s), minute).map(|entry| entry.asked.callback.as_str()).collect()
}

#[test]
fn a_caller_is_one_entry_and_the_oldest_goes_first_within_its_hours() {
    let mut list = List::default();
    assert_eq!(take(&mut list, &at(5, asked("b", "bob"))), Applied::Changed);
    let kept = CallbackAsked { asked_at: Some(Time::from_secs(2)), ..asked("a", "ann") };
    assert_eq!(take(&mut list, &at(9, kept)), Applied::Changed, "the phone system kept it for us");
    assert_eq!(take(&mut list, &at(10, asked("c", "bob"))), Applied::Same, "bob waits already");
    assert_eq!(due(&list, 20, 600), ["a", "b"]);
    assert_eq!(due(&list, 20, 1_200), [""; 0], "not at night");
    assert_eq!(due(&list, 10_000, 600), [""; 0]);
    assert_eq!(list.over(Time::from_secs(10_000)).count(), 2);
}

#[test]
fn attempts_follow_each_other_and_are_used_up() {
    let mut list = List::default();
    take(&mut list, &at(1, asked("a", "ann")));
    let begun = |attempt| CallbackBegun { callback: "a".into(), attempt, service: None };
    let tried =
        |attempt, outcome| CallbackTried { callback: "a".into(), attempt, outcome, again_at: Time::from_secs(100) };
    assert_eq!(take(&mut list, &at(2, begun(2))), Applied::Refused);
    assert_eq!(take(&mut list, &at(2, begun(1))), Applied::Changed);
    assert_eq!(take(&mut list, &at(2, begun(1))), Applied::Refused, "two do not dial the same");
    assert_eq!((due(&list, 3, 600).len(), list.dialling(&"sales".into())), (0, 1));
    assert_eq!(take(&mut list, &at(3, CallbackClaimed { callback: "a".into() })), Applied::Refused);
    assert_eq!(list.orphans(Time::from_secs(3)).count(), 1);
    assert_eq!(take(&mut list, &at(4, tried(1, Outcome::Busy))), Applied::Changed);
    assert_eq!((due(&list, 99, 600).len(), due(&list, 100, 600).len()), (0, 1));
    take(&mut list, &at(100, begun(2)));
    take(&mut list, &at(130, tried(2, Outcome::NoAnswer)));
    let state = &list.entry(&"a".into()).unwrap().state;
    assert_eq!(*state, State::Closed { close: Close::AttemptsUsed, at: Time::from_secs(130) });
    assert_eq!(take(&mut list, &at(140, asked("z", "ann"))), Applied::Changed, "a new promise");
}

#[test]
fn who_is_reached_or_claimed_is_not_dialled() {
    let mut list = List::default();
    take(&mut list, &at(1, asked("a", "ann")));
    take(&mut list, &at(1, asked("b", "bob")));
    take(&mut list, &at(2, CallbackClaimed { callback: "b".into() }));
    take(&mut list, &at(2, CallbackBegun { callback: "a".into(), attempt: 1, service: Some("x".into()) }));
    let outcome = Outcome::Answered;
    take(&mut list, &at(3, CallbackTried { callback: "a".into(), attempt: 1, outcome, again_at: Time(0) }));
    assert_eq!(due(&list, 50, 600), [""; 0]);
    assert_eq!(
        take(&mut list, &at(5, CallbackClosed { callback: "b".into(), close: Close::Handled })),
        Applied::Changed
    );
    assert_eq!(
        take(&mut list, &at(6, CallbackClosed { callback: "b".into(), close: Close::Expired })),
        Applied::Refused
    );
    assert_eq!((list.open().count(), list.closed().count()), (0, 2));
}

#[test]
fn memory_is_bounded_whatever_is_asked() {
    let mut list = List::default();
    for n in 0..OPEN_MAX + 5 {
        take(&mut list, &at(n as i64, asked(&n.to_string(), &n.to_string())));
    }
    assert_eq!(list.open().count(), OPEN_MAX);
    for n in 0..OPEN_MAX {
        let closed = CallbackClosed { callback: n.to_string().as_str().into(), close: Close::Cancelled };
        take(&mut list, &at(n as i64, closed));
    }
    assert_eq!((list.open().count(), list.entries.len(), list.callers.len() + list.known.len()), (0, CLOSED_MAX, 0));
}

/// Anything that can happen to a few callers, from numbers.
fn any_event(draw: (u8, u8, u8, i64)) -> Envelope {
    let (kind, who, number, second) = draw;
    let id = format!("{}", who % 4);
    let (callback, attempt) = (id.as_str().into(), u32::from(number % 4));
    match kind % 5 {
        0 => at(second, asked(&id, &format!("{}", who % 3))),
        1 => at(second, CallbackBegun { callback, attempt, service: None }),
        2 => {
            let outcome = [Outcome::Answered, Outcome::Busy, Outcome::Failed][usize::from(number) % 3];
            at(second, CallbackTried { callback, attempt, outcome, again_at: Time::from_secs(second) })
        }
        3 => at(second, CallbackClaimed { callback }),
        _ => at(second, CallbackClosed { callback, close: Close::Cancelled }),
    }
}

proptest! {
    #[test]
    fn nobody_is_dialled_twice_at_once_and_a_repeated_record_changes_nothing(
        draws in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), 0..1_000i64), 1..80),
    ) {
        let (mut once, mut twice) = (List::default(), List::default());
        for draw in draws {
            let event = any_event(draw);
            let applied = take(&mut once, &event);
            prop_assert_eq!(take(&mut twice, &event), applied);
            prop_assert_ne!(take(&mut twice, &event), Applied::Changed);
            prop_assert_eq!(&once, &twice);
            let mut callers: Vec<_> = once.open().map(|entry| (&entry.asked.queue, &entry.asked.caller)).collect();
            let all = callers.len();
            callers.sort();
            callers.dedup();
            prop_assert_eq!(callers.len(), all);
            for entry in once.open() {
                prop_assert!(entry.attempts.len() <= 2);
                let lasts = entry.attempts.iter().filter(|attempt| attempt.outcome.is_none()).count();
                prop_assert_eq!(lasts, usize::from(matches!(entry.state, State::Dialling { .. })));
            }
        }
    }
}
