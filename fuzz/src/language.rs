//! The language of the journal: envelopes, payloads, times, numbers, the directory.

use jiff::tz::TimeZone;
use model::envelope::{ATTRIBUTE_BYTES_MAX, Error, Parsed};
use model::{Directory, Envelope, Number, NumberKey, Time, event};
use receiver::admit::{Decision, Rules};
use stats::interval::Interval;

/// An envelope of ours is read back as it is, unless a name in it is longer than an attribute may be.
pub(crate) fn recorded(envelope: &Envelope) {
    match Envelope::parse(&envelope.to_json()) {
        Ok(Parsed::Known(read)) => assert_eq!(&read, envelope),
        Err(Error::Length { len, .. }) => assert!(len > ATTRIBUTE_BYTES_MAX || len == 0),
        Err(Error::Subject(_)) => assert!(envelope.subject.id().is_empty()),
        other => panic!("{envelope:?} is read as {other:?}"),
    }
}

/// Any bytes as a record of `ingest`.
pub fn envelope(data: &[u8]) {
    match Envelope::parse(data) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(Parsed::Known(known)) => {
            let json = known.to_json();
            let Ok(Parsed::Known(again)) = Envelope::parse(&json) else { panic!("{known:?} cannot be read again") };
            assert_eq!(again, known);
            assert_eq!(again.to_json(), json, "the same event has one form");
        }
        Ok(Parsed::Unknown(head)) => {
            assert!(!event::TYPES.contains(&head.ty.as_str()));
            let rules =
                Rules { directory: Directory::default(), number_key: NumberKey::new("key"), late_after_ms: 60_000 };
            if let Decision::Admit { id, entry } = rules.decide(data) {
                assert_eq!((&id, entry.value.as_ref()), (&head.id, data), "an unknown type passes byte for byte");
            }
        }
    }
}

/// Any JSON as the payload of any type: `type` and a line end, then the JSON; or the JSON of each type in turn.
pub fn payload(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (types, json): (Vec<&str>, &str) = match text.split_once('\n') {
        Some((ty, json)) if event::TYPES.contains(&ty) => (vec![ty], json),
        _ => (event::TYPES.to_vec(), text),
    };
    for ty in types {
        let Ok(Some(event)) = event::decode(ty, json) else { continue };
        assert_eq!(event.ty(), ty);
        let written = serde_json::to_string(&event).expect("an event of ours always serialises");
        assert_eq!(event::decode(ty, &written).expect("what is written is read"), Some(event), "{ty}");
    }
}

/// Any text as a time, an interval, a border of a report.
pub fn time(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(time) = Time::parse(text) {
        let written = time.to_string();
        assert_eq!(Time::parse(&written).ok(), Some(time), "{text} is written {written}");
        // The hand-written way and the calendar library agree.
        match text.parse::<jiff::Timestamp>() {
            Ok(library) => assert_eq!(library.as_millisecond(), time.ms(), "{text}"),
            Err(error) => assert!(time.ms() > jiff::Timestamp::MAX.as_millisecond() - 1000, "{text}: {error}"),
        }
        for interval in [Interval::Minutes(1), Interval::Minutes(30), Interval::Day] {
            for zone in ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York"] {
                let zone = TimeZone::get(zone).expect("a zone that is");
                let end = Time(time.ms() + 7_200_000);
                let Ok(borders) = interval.borders(&zone, time, end, 1_000) else { continue };
                assert!(borders.len() <= 1_001 && borders[0] <= time && borders[borders.len() - 1] >= end);
                assert!(borders.windows(2).all(|pair| pair[0] < pair[1]), "{borders:?}");
            }
        }
    }
    let zone = TimeZone::get("Europe/Berlin").expect("a zone that is");
    if let Ok(moment) = pusher::report::range::moment("from", text, &zone) {
        let shown = pusher::report::range::local(moment, &zone);
        assert!(!shown.is_empty());
    }
    if let Some((from, to)) = text.split_once(' ')
        && let Ok(range) = pusher::report::range::Range::parse(from, to, zone, 400)
    {
        assert!(range.from < range.to && range.to - range.from <= 401 * 86_400_000);
    }
    let _ = Interval::parse(text);
    let _ = stats::Policy::parse(text);
}

/// Any text as a phone number: sealed, it shows no more than its mask, however it is printed.
pub fn number(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let plain = Number::plain(text.as_ref());
    let sealed = plain.sealed(&NumberKey::new("key"));
    assert_eq!(sealed, plain.sealed(&NumberKey::new("key")));
    assert_eq!(sealed.digits, None);
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).count();
    let (mask, shown) = (sealed.mask.clone().unwrap_or_default(), plain.shown());
    for masked in [&mask, &shown] {
        assert!(masked.chars().count() <= 8, "{masked}");
        assert!(digits(masked) * 2 <= text.chars().count(), "more than half of {text:?} is shown: {masked}");
    }
    let json = serde_json::to_string(&sealed).expect("a number serialises");
    if digits(&text) >= 7 {
        assert!(!json.contains(text.as_ref()) && !format!("{plain:?}{sealed:?}").contains(text.as_ref()));
    }
    assert_eq!(serde_json::from_str::<Number>(&json).expect("and is read back"), sealed);
    assert_eq!(sealed.sealed(&NumberKey::new("other key")), sealed, "what is sealed stays as it is");
}

/// Any text as a directory file.
pub fn directory(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(directory) = toml::from_str::<Directory>(text) else { return };
    for problem in directory.problems() {
        assert!(!problem.path.is_empty() && !problem.fix.is_empty());
    }
    if directory.problems().is_empty() {
        let json = serde_json::to_string(&directory).expect("a directory serialises");
        assert_eq!(serde_json::from_str::<Directory>(&json).expect("and is read back"), directory);
        let tenant = directory.tenant_of(&"pbx1".into());
        assert!(directory.service_level_ms(&tenant, &"sales".into()) >= 0);
        assert!(directory.short_abandon_ms(&tenant, &"sales".into()) >= 0);
    }
}
