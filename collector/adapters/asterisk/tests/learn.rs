//! A session that stands by learns what it could not see from what the one that writes has stored.

mod support;

use std::collections::BTreeMap;

use adapter_asterisk::translate::Translator;
use bytes::Bytes;
use model::{Fact, Time};
use support::plan;
use support::story::{BEGIN_US, Story};

fn tell(translator: &mut Translator, story: &Story) -> Vec<Fact> {
    story.frames.iter().for_each(|frame| translator.event(frame, 0));
    translator.take_facts()
}

fn store(translator: &mut Translator, stored: &mut BTreeMap<String, Bytes>) {
    for (key, value) in translator.changes() {
        match value {
            Some(value) => _ = stored.insert(key, value),
            None => _ = stored.remove(&key),
        }
    }
}

fn at(ms: i64) -> Time {
    Time(BEGIN_US / 1_000 + ms)
}

#[test]
fn what_began_before_it_listened_ends_with_the_same_words() {
    let none = BTreeMap::new();
    let (mut writes, mut stands_by) = (Translator::new(plan(), &none), Translator::new(plan(), &none));
    let mut stored = BTreeMap::new();
    // One saw the caller join; for the other a list said that he had waited for "a second".
    let (mut seen, mut guessed) = (Story::default(), Story::default());
    seen.at(0).caller("1").at(300).join("1", "sales");
    guessed.at(0).caller("1").at(1_000).join("1", "sales");
    tell(&mut writes, &seen);
    tell(&mut stands_by, &guessed);
    store(&mut writes, &mut stored);
    writes.advance(BEGIN_US + 2_000_000);
    stands_by.advance(BEGIN_US + 1_500_000);
    assert!(
        stands_by.learn(&stored, at(2_000)),
        "the other one has seen more: what is stored may be of what we still hear"
    );
    stands_by.advance(BEGIN_US + 2_500_000);
    assert!(!stands_by.learn(&stored, at(2_000)), "nothing is left to learn");
    let mut end = Story::default();
    end.at(7_000).on("HangupRequest", "1", &[]).given_up("1", "sales").hangup("1", "0");
    let said = tell(&mut writes, &end);
    assert_eq!(said, tell(&mut stands_by, &end));
    assert!(format!("{said:?}").contains("waited_ms: Some(6700)"), "{said:?}");
}

#[test]
fn what_changed_here_after_the_other_ones_last_word_is_not_overwritten() {
    let none = BTreeMap::new();
    let (mut writes, mut stands_by) = (Translator::new(plan(), &none), Translator::new(plan(), &none));
    let mut stored = BTreeMap::new();
    let mut story = Story::default();
    story.at(0).caller("1").at(300).join("1", "sales");
    tell(&mut writes, &story);
    tell(&mut stands_by, &story);
    store(&mut writes, &mut stored);
    stands_by.advance(BEGIN_US + 2_500_000);
    assert!(stands_by.learn(&stored, at(1_000)), "everything may have changed until it is asked for the first time");
    let mut end = Story::default();
    end.at(7_000).on("HangupRequest", "1", &[]).given_up("1", "sales").hangup("1", "0");
    tell(&mut stands_by, &end);
    assert!(stands_by.learn(&stored, at(5_000)), "it ended here, and what is stored is older");
    let last = stands_by.changes();
    let call = last.iter().find(|(key, _)| key == "call/1").and_then(|(_, value)| value.as_ref()).expect("the call");
    assert!(!String::from_utf8_lossy(call).contains("\"over_us\":null"), "{call:?}");
    tell(&mut writes, &end);
    store(&mut writes, &mut stored);
    stands_by.advance(BEGIN_US + 9_000_000);
    assert!(!stands_by.learn(&stored, at(8_000)));
}
