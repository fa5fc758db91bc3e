//! From any line that somebody sends us to the figures: what the receiver admits, everything behind it can work with.

use std::collections::{BTreeMap, BTreeSet};

use model::{Directory, NumberKey, Time};
use receiver::admit::{Decision, Rules};
use stats::Row;
use stats::fold::{PartitionFold, Settings};

use super::stored::known;

/// When the receiver decides, by its clock: the day after the corpus.
const NOW: Time = Time(1_795_300_000_000);

/// How long the points of an agent, a device or a queue are kept.
const DAY_MS: i64 = 86_400_000;

/// NDJSON as it comes to the door. No admitted event makes a fold panic or overflow, no number leaves in the clear, and the
/// order of arrival changes no row.
pub fn pipeline(data: &[u8]) {
    let mut directory = Directory::default();
    directory.agents.insert("101".into(), model::directory::Agent { team: "red".into(), ..Default::default() });
    let rules = Rules { directory, number_key: NumberKey::new("key"), late_after_ms: 60_000 };
    let (mut admitted, mut seen, mut claimed) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    for line in data.split(|b| *b == b'\n').take(64) {
        let Decision::Admit { entry, .. } = rules.decide_at(line, NOW) else { continue };
        let Some(envelope) = known(&entry.value) else { continue };
        assert!(!String::from_utf8_lossy(&entry.value).contains("\"digits\":"), "a number left in the clear");
        assert!(envelope.time.ms() <= NOW.ms() + 86_400_000, "{} is admitted", envelope.time);
        // A known gap: an agent or a device that two sources claim counts for the one that was heard of first, which hangs on the
        // order. The promise is kept for what one source tells.
        let owner = claimed.entry(envelope.subject.clone()).or_insert_with(|| envelope.source.clone());
        if *owner != envelope.source {
            continue;
        }
        // The receiver's window: what is there twice happened once.
        if seen.insert(envelope.id.to_string()) {
            admitted.push(envelope);
        }
    }
    // Another one: of what an agent, a device or a queue did, a day is kept. What comes later than that is not counted any more, and
    // what is late depends on what was there before it.
    let mut newest = BTreeMap::new();
    for envelope in &admitted {
        let at = newest.entry(envelope.subject.clone()).or_insert(envelope.time);
        *at = (*at).max(envelope.time);
    }
    admitted.retain(|envelope| newest[&envelope.subject] - envelope.time <= DAY_MS);
    let forward = folded(admitted.iter().cloned());
    let backward = folded(admitted.into_iter().rev());
    assert_eq!(forward, backward, "the order of arrival changed a row");
}

fn folded(events: impl Iterator<Item = model::Envelope>) -> BTreeMap<stats::RowKey, Row> {
    let mut fold = PartitionFold::new(Settings::default());
    let mut rows: BTreeMap<stats::RowKey, Row> = BTreeMap::new();
    for event in events {
        fold.apply(event);
        let changes = fold.take_changes();
        for (key, row) in changes.rows {
            let sum = rows.entry(key).or_default();
            sum.plus(&row);
            assert_eq!(Row::decode(&sum.encode()).as_ref(), Ok(&*sum));
        }
        for id in changes.calls {
            let Some(call) = fold.call(&id) else { continue };
            let stored = call.encode();
            assert_eq!(stats::CallRecord::decode(&stored).expect("a call of ours is read back").encode(), stored);
        }
        for (_, view) in changes.views {
            serde_json::to_vec(&view).expect("a view serialises");
        }
    }
    rows.retain(|_, row| !row.is_zero());
    rows
}
