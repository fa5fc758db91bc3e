//! What a PBX says, and what is said to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_asterisk::action::{Action, Error, LINE_BYTES_MAX};
use adapter_asterisk::frame::{FRAME_BYTES_MAX, Frame, HEADERS_MAX, Item, Reader};
use adapter_asterisk::order::Order;
use adapter_asterisk::snapshot::Snapshot;
use adapter_asterisk::translate::Translator;
use adapter_asterisk::{Config, Plan};
use bytes::Bytes;
use model::envelope::Parsed;
use model::{Envelope, Fact, Time};

/// Bounds small enough for a fuzzer to reach.
const MAX: usize = 20;

fn plan() -> Arc<Plan> {
    let mut config = Config { channels_max: MAX, names_max: MAX, ..Config::default() };
    config.queues.wrap_up = service::config::Millis::seconds(2);
    config.words.ivr_input_values = true;
    config.words.data = vec!["Data".to_owned()];
    Arc::new(Plan::of(config))
}

fn read(bytes: &[u8], step: usize) -> Vec<Item> {
    let mut reader = Reader::greeted();
    let mut items = Vec::new();
    for part in bytes.chunks(step.max(1)) {
        reader.push(part);
        assert!(reader.held() <= 4 * FRAME_BYTES_MAX, "{} bytes are held", reader.held());
        items.extend(reader.by_ref());
    }
    items
}

/// The bytes of a whole session: frames, lists, events, in the order and the pieces in which they come.
pub fn session(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let items = read(bytes, bytes.len());
    assert_eq!(items, read(bytes, 1 + usize::from(*mode) % 13), "the cuts of the bytes changed what was read");
    let mut translator = Translator::new(plan(), &BTreeMap::new());
    let (mut snapshot, mut order) = (asked(), Order::within(i64::from(mode & 1) * 100_000));
    let mut known: BTreeMap<String, Bytes> = BTreeMap::new();
    for item in items {
        let frame = match item {
            Item::Frame(frame) => frame,
            Item::Malformed(bad) => {
                translator.refuse_bytes(bad.sample, bad.reason);
                continue;
            }
            Item::Banner(_) => panic!("a greeted reader was greeted"),
        };
        rewritten(&frame);
        if snapshot.take(&frame) == adapter_asterisk::snapshot::Step::Complete {
            let now = 1_795_227_084_000_000;
            let gone = translator.apply(&snapshot, now);
            translator.close_gone(&gone, &"pbx1".into(), now - 5_000_000, now);
            translator.trunk_usage(&"pbx1".into(), now);
            snapshot = asked();
        }
        if let Some(frame) = order.push(frame) {
            translator.event(&frame, 1_795_227_084_000_000);
        }
        while let Some(frame) = order.ready() {
            translator.event(&frame, 0);
        }
        spoken(translator.take_facts());
        assert!(translator.followed() <= 80 * MAX, "{} are followed", translator.followed());
        keep(&mut known, translator.changes());
        // In the middle of everything the collector is stopped and started.
        if mode & 2 != 0 && known.len() % 5 == 4 {
            translator = Translator::new(plan(), &known);
            translator.blind_since(Time(1_795_227_084_000));
        }
    }
    while let Some(frame) = order.any() {
        translator.event(&frame, 0);
    }
    translator.advance(1_795_227_084_000_000 + 3_600_000_000);
    spoken(translator.take_facts());
}

fn asked() -> Snapshot {
    let mut n = 0;
    Snapshot::ask(|| {
        n += 1;
        format!("tg-{n}")
    })
    .0
}

fn keep(known: &mut BTreeMap<String, Bytes>, changes: Vec<(String, Option<Bytes>)>) {
    for (key, value) in changes {
        match value {
            Some(value) => known.insert(key, value),
            None => known.remove(&key),
        };
    }
}

/// Whatever was read can be written and is read again as the same, unless it grew beyond the bounds of a frame by that.
fn rewritten(frame: &Frame) {
    let text = frame.to_text();
    let headers: Vec<_> = frame.headers().collect();
    assert!(
        headers.len() <= HEADERS_MAX
            && headers.iter().all(|(k, v)| !k.contains(['\r', '\n', ':']) && !v.contains(['\r', '\n', '\0']))
    );
    if text.len() < FRAME_BYTES_MAX && text.lines().all(|line| line.len() < 16_000) {
        assert_eq!(read(text.as_bytes(), text.len()), [Item::Frame(frame.clone())], "{text:?}");
    }
}

/// Every fact has an envelope that our own reader takes.
fn spoken(facts: Vec<Fact>) {
    for fact in facts {
        let envelope = fact.into_envelope(&"pbx1".into(), Time(1_795_227_084_000));
        match Envelope::parse(&envelope.to_json()) {
            Ok(Parsed::Known(read)) => assert_eq!(read, envelope),
            other => panic!("{envelope:?} is read as {other:?}"),
        }
    }
}

/// An action with any values: refused, or exactly one message with the same fields.
pub fn action(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut values = text.split('\u{1}');
    let id = values.next().unwrap_or_default();
    let keys = ["Channel", "Exten", "Variable", "Data", "Secret"];
    let fields: Vec<_> = keys.into_iter().zip(values).collect();
    let action = fields.iter().fold(Action::new("Originate"), |action, (key, value)| action.with(key, *value));
    let all = || std::iter::once(("ActionID", id)).chain(fields.iter().copied());
    let bytes = match action.encode(id) {
        Ok(bytes) => bytes,
        Err(Error::LineEnd(key)) => return assert!(all().any(|(k, v)| k == key && v.contains(['\r', '\n', '\0']))),
        Err(Error::Long(key, len)) => {
            return assert!(all().any(|(k, v)| k == key && v.len() == len && len + 200 > LINE_BYTES_MAX));
        }
    };
    let want: Vec<(&str, &str)> = std::iter::once(("Action", "Originate")).chain(all()).collect();
    // As a PBX reads it: lines end with CR LF, a message with an empty one.
    let text = std::str::from_utf8(&bytes).expect("an action is text");
    let body = text.strip_suffix("\r\n\r\n").expect("an action ends with an empty line");
    let lines: Vec<_> = body.split("\r\n").map(|line| line.split_once(": ").expect("a header")).collect();
    assert_eq!(lines, want);
    assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), want.len() + 1);
    // And as we do ourselves, control characters but for tabs being marked.
    let marked =
        |v: &str| v.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect::<String>();
    let items = read(&bytes, bytes.len());
    let [Item::Frame(frame)] = items.as_slice() else { panic!("{items:?}") };
    let got: Vec<_> = frame.headers().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let want: Vec<_> = want.into_iter().map(|(k, v)| (k.to_owned(), marked(v))).collect();
    assert_eq!(got, want);
}

/// What an earlier session left, by a version of ours that was older, newer or mistaken: it is read or forgotten.
pub fn state(data: &[u8]) {
    let mut known: BTreeMap<String, Bytes> = BTreeMap::new();
    for line in data.split(|b| *b == b'\n') {
        if let Some(at) = line.iter().position(|b| *b == b' ') {
            let key = String::from_utf8_lossy(&line[..at]).into_owned();
            known.insert(key, Bytes::copy_from_slice(&line[at + 1..]));
        }
    }
    let translator = Translator::new(plan(), &known);
    assert!(translator.ready() == 0, "nothing is said before something happens");
}
