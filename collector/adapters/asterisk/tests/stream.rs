//! Properties of the stream: cuts, hostile bytes, memory across a restart.

mod support;

use std::collections::BTreeMap;

use adapter_asterisk::frame::{Item, Reader};
use adapter_asterisk::translate::Translator;
use proptest::prelude::*;
use support::story::{BEGIN_US, Story};
use support::{facts, facts_by, plan};

fn day() -> Story {
    let mut s = Story::default();
    s.member("sales", "PJSIP/101").member("support", "PJSIP/102").talk();
    s.at(3000).caller("5").join("5", "sales").at(4000).on("Hold", "2", &[]);
    s.at(33_000).given_up("5", "sales").at(33_100).join("5", "support").rung("5", "6", "PJSIP/102", "support");
    s.at(34_000).on("Unhold", "2", &[]).completed("1", "2", "sales", "caller").hangup("2", "16").hangup("1", "16");
    s.at(35_000)
        .connected("5", "6", "support")
        .at(50_000)
        .completed("5", "6", "support", "agent")
        .hangup("6", "16")
        .hangup("5", "16");
    s
}

proptest! {
    #[test]
    fn any_cut_of_the_stream_gives_the_same_facts(cuts in proptest::collection::vec(1usize..400, 1..60)) {
        let bytes = day().bytes();
        let whole = facts(&bytes, bytes.len());
        let cut = facts_by(plan(), &bytes, cuts.into_iter().chain(std::iter::repeat(97)));
        prop_assert_eq!(cut, whole);
    }

    #[test]
    fn bytes_of_no_sense_never_panic_and_never_stop_the_stream(noise in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut reader = Reader::greeted();
        reader.push(&noise);
        reader.push(b"\r\n\r\n\r\nEvent: Sane\r\n\r\n");
        let mut last = None;
        for item in reader {
            last = Some(item);
        }
        prop_assert!(matches!(last, Some(Item::Frame(frame)) if frame.event() == Some("Sane")));
    }

    #[test]
    fn events_in_any_order_with_any_part_missing_never_panic(order in proptest::collection::vec(0usize..200, 0..300)) {
        let frames = day().frames;
        let mut translator = Translator::new(plan(), &BTreeMap::new());
        for n in order {
            translator.event(&frames[n % frames.len()], 0);
        }
        translator.advance(BEGIN_US + 3_600_000_000);
        let ids: Vec<_> = translator.take_facts().iter().map(|f| f.id(&"pbx1".into())).collect();
        prop_assert!(ids.len() < 10_000);
    }

    #[test]
    fn a_restart_between_any_two_events_goes_on_as_if_there_had_been_none(at in 0usize..60) {
        let frames = day().frames;
        let whole = day().facts();
        let mut first = Translator::new(plan(), &BTreeMap::new());
        let at = at.min(frames.len());
        frames[..at].iter().for_each(|frame| first.event(frame, 0));
        let mut said = first.take_facts();
        let state = first.changes().into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let mut second = Translator::new(plan(), &state);
        frames[at..].iter().for_each(|frame| second.event(frame, 0));
        second.advance(BEGIN_US + 3_600_000_000);
        said.append(&mut second.take_facts());
        prop_assert_eq!(said, whole);
    }
}

#[test]
fn events_without_a_timestamp_take_the_time_of_observation() {
    let mut translator = Translator::new(plan(), &BTreeMap::new());
    let frame = adapter_asterisk::frame::Frame::of([
        ("Event", "Newchannel"),
        ("Channel", "PJSIP/trunk-00000001"),
        ("Context", "inbound"),
        ("Exten", "5001"),
        ("Uniqueid", "1.1"),
        ("Linkedid", "1.1"),
    ]);
    translator.event(&frame, 5_000_000);
    assert_eq!(translator.take_facts()[0].occurred_at.ms(), 5000);
}

#[test]
fn what_is_known_of_calls_that_are_over_is_forgotten_in_time() {
    let mut translator = Translator::new(plan(), &BTreeMap::new());
    day().frames.iter().for_each(|frame| translator.event(frame, 0));
    translator.advance(BEGIN_US + 3_600_000_000);
    let kept =
        translator.changes().into_iter().filter(|(key, value)| key.starts_with("call/") && value.is_some()).count();
    assert_eq!(kept, 0);
}
