//! What we stored ourselves: rows, blocks, calls, states, views. A disk can lie, and another version can have written it.

use std::collections::HashMap;

use model::{Envelope, Time};
use stats::fold::{PartitionFold, Settings};
use stats::{CallRecord, Dim, Row, Tally};
use store::reports::BlockKey;

use super::language::recorded;

/// A compact row; and, where the bytes are text, a tally's JSON.
pub fn row(data: &[u8]) {
    if let Ok(row) = Row::decode(data) {
        let bytes = row.encode();
        assert!(bytes.len() <= data.len(), "{} bytes became {}", data.len(), bytes.len());
        assert_eq!(Row::decode(&bytes).as_ref(), Ok(&row));
        let mut none = row.clone();
        none.minus(&row);
        assert!(none.is_zero(), "a row without itself is nothing");
    }
    if let Ok(tally) = serde_json::from_slice::<Tally>(data) {
        let json = serde_json::to_string(&tally).expect("a tally serialises");
        assert_eq!(serde_json::from_str::<Tally>(&json).expect("and is read back"), tally, "{json}");
    }
}

/// A block of rows.
pub fn block(data: &[u8]) {
    let hour = Time(7_200_000);
    let key = BlockKey { dim: Dim::Queue, hour, tenant: "t".into(), source: "s".into(), id: "q".into() };
    let Ok(rows) = store::decode_rows(&key, data) else { return };
    let bytes = store::encode_rows(hour, &rows);
    let again = store::decode_rows(&key, &bytes).expect("what is written is read");
    assert!(again.iter().eq(rows.iter().filter(|(_, row)| !row.is_zero())));
}

/// A stored call: folded again from its events, and stored again as the same.
pub fn call(data: &[u8]) {
    let Ok(record) = CallRecord::decode(data) else { return };
    let bytes = record.encode();
    let again = CallRecord::decode(&bytes).expect("what is written is read");
    assert_eq!(again, record);
    assert_eq!(again.encode(), bytes);
    record.envelopes().for_each(|envelope| drop(envelope.to_json()));
    serde_json::to_vec(&record).expect("a record serialises");
}

/// States of agents, devices, queues and sources as checkpoints hold them: one JSON a line, of whichever it is. Any line may be a piece of
/// an agent's past, too.
pub fn states(data: &[u8]) {
    let mut fold = PartitionFold::new(Settings::default());
    let past: HashMap<u32, &[u8]> = (0..8).zip(data.split(|b| *b == b'\n')).collect();
    for line in data.split(|b| *b == b'\n') {
        if let Ok(state) = serde_json::from_slice::<stats::agent::State>(line) {
            let json = serde_json::to_vec(&state).expect("a state serialises");
            assert_eq!(serde_json::from_slice::<stats::agent::State>(&json).expect("and is read back"), state);
            let mut whole = state.clone();
            if whole.restore(&past).is_ok() {
                assert!(whole.take_past().is_empty(), "what was read is no change");
                assert_eq!(whole.live(), state.live(), "the past does not change what holds now");
            }
            fold.load_agents([state]);
        }
        if let Ok(state) = serde_json::from_slice::<stats::device::State>(line) {
            fold.load_devices([state]);
        }
        if let Ok(state) = serde_json::from_slice::<stats::queue::State>(line) {
            fold.load_queues([state]);
        }
        if let Ok(state) = serde_json::from_slice::<stats::source::State>(line) {
            fold.load_sources([state]);
        }
    }
    for view in fold.views() {
        assert!(!view.key().is_empty());
        serde_json::to_vec(&view).expect("a view serialises");
    }
}

/// A value of the stream `views`, and its key.
pub fn frame(data: &[u8]) {
    if let Ok(frame) = store::frame::Frame::from_json(data) {
        let json = frame.to_json();
        let again = store::frame::Frame::from_json(&json).expect("what is written is read");
        assert_eq!(again.to_json(), json);
        if let store::frame::Body::Row(row) = &again.body {
            let view = store::frame::row_view(&row.key);
            assert!(view.len() <= store::frame::VIEW_BYTES_MAX);
        }
    }
    let text = String::from_utf8_lossy(data);
    if let Some((view, part)) = store::frame::split(&text) {
        let key = store::frame::key(view, &part);
        let (again, same) = store::frame::split(&key).expect("a key of ours is split");
        assert_eq!(same, part);
        assert!(again == view || view.len() > store::frame::VIEW_BYTES_MAX);
    }
}

/// An event of the journal, for those who want one of any bytes.
pub(crate) fn known(data: &[u8]) -> Option<Envelope> {
    match Envelope::parse(data) {
        Ok(model::envelope::Parsed::Known(known)) => {
            recorded(&known);
            Some(known)
        }
        _ => None,
    }
}
