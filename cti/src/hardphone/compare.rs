//! What the PBX holds against what it shall hold, and whose work a difference is. Pure.
//!
//! Beside each entry stands what we wrote there last (its hash, and the hash of what stood there before, so that a write that was cut
//! off between the two is not taken for somebody's). What is neither is somebody else's.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

/// How an entry of the PBX stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// As it shall be.
    Same,
    /// Not there.
    Missing,
    /// What we wrote before.
    Old,
    /// Somebody changed it by hand.
    ByHand,
    /// What we wrote for something that is no longer.
    Over,
    /// Somebody's own, for something that we know nothing of.
    Foreign,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The key: a queue.
    pub key: String,
    /// What it shall be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What that means.
    pub standing: Standing,
    /// We vouch for what is there.
    #[serde(skip)]
    pub recorded: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Write, and note so beforehand.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// The note.
        note: String,
    },
    /// It is there already: note that it is ours from now on.
    Adopt {
        /// The key.
        key: String,
        /// The note.
        note: String,
    },
    /// Take it away, and the note with it.
    Delete {
        /// The key.
        key: String,
    },
}

fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

/// The note beside an entry.
pub fn note(value: &str, before: Option<&str>) -> String {
    format!("{} {}", hash(value), before.map_or_else(|| "-".to_owned(), hash))
}

fn is_ours(note: Option<&String>, found: &str) -> bool {
    note.is_some_and(|note| note.split(' ').any(|known| known == hash(found)))
}

/// Every entry that is wanted or there, by key.
pub fn compare(
    wanted: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
    notes: &BTreeMap<String, String>,
) -> Vec<Row> {
    let keys: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let row = |key: &String| {
        let (want, there, note) = (wanted.get(key), found.get(key), notes.get(key));
        let ours = there.is_some_and(|there| is_ours(note, there));
        let standing = match (want, there) {
            (Some(want), Some(there)) if want == there => Standing::Same,
            (Some(_), None) => Standing::Missing,
            (Some(_), Some(_)) if ours => Standing::Old,
            (Some(_), Some(_)) => Standing::ByHand,
            (None, _) if ours => Standing::Over,
            (None, _) => Standing::Foreign,
        };
        Row { key: key.clone(), wanted: want.cloned(), found: there.cloned(), standing, recorded: ours }
    };
    keys.into_iter().map(row).collect()
}

/// What is to be done so that the PBX holds what it shall. `overwrite`: also over what somebody changed by hand.
pub fn changes(rows: &[Row], overwrite: bool) -> Vec<Change> {
    let change = |row: &Row| {
        let (key, found) = (row.key.clone(), row.found.as_deref());
        let put = |value: &String| Change::Put { key: key.clone(), value: value.clone(), note: note(value, found) };
        match (row.standing, &row.wanted) {
            (Standing::Missing | Standing::Old, Some(value)) => Some(put(value)),
            (Standing::ByHand, Some(value)) if overwrite => Some(put(value)),
            (Standing::Same, Some(value)) if !row.recorded => Some(Change::Adopt { key, note: note(value, None) }),
            (Standing::Over, _) => Some(Change::Delete { key }),
            _ => None,
        }
    };
    rows.iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
        rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn standings(rows: &[Row]) -> Vec<(&str, Standing)> {
        rows.iter().map(|row| (row.key.as_str(), row.standing)).collect()
    }

    #[test]
    fn only_what_is_missing_or_our_own_old_work_is_written_and_what_is_over_is_taken_away() {
        let wanted = table(&[("a", "P/1"), ("b", "P/2"), ("c", "P/3"), ("d", "P/4")]);
        let found = table(&[("b", "P/1"), ("c", "P/9"), ("d", "P/4"), ("e", "P/5"), ("f", "P/6")]);
        let notes = table(&[("b", &note("P/1", None)), ("d", &note("P/4", None)), ("e", &note("P/5", None))]);
        let rows = compare(&wanted, &found, &notes);
        assert_eq!(
            standings(&rows),
            [
                ("a", Standing::Missing),
                ("b", Standing::Old),
                ("c", Standing::ByHand),
                ("d", Standing::Same),
                ("e", Standing::Over),
                ("f", Standing::Foreign)
            ]
        );
        let todo = changes(&rows, false);
        let keys: Vec<&str> = todo
            .iter()
            .map(|change| match change {
                Change::Put { key, .. } | Change::Adopt { key, .. } | Change::Delete { key } => key.as_str(),
            })
            .collect();
        assert_eq!(keys, ["a", "b", "e"]);
        assert!(changes(&rows, true).iter().any(|change| matches!(change, Change::Put { key, .. } if key == "c")));
    }

    #[test]
    fn a_write_that_was_cut_off_after_its_note_is_still_ours() {
        let (old, new) = ("P/1", "P/1&P/2");
        let notes = table(&[("a", &note(new, Some(old)))]);
        for found in [old, new] {
            let rows = compare(&table(&[("a", "P/3")]), &table(&[("a", found)]), &notes);
            assert_eq!(rows[0].standing, Standing::Old, "{found}");
        }
        let rows = compare(&table(&[("a", "P/3")]), &table(&[("a", "P/8")]), &notes);
        assert_eq!(rows[0].standing, Standing::ByHand);
    }

    #[test]
    fn what_stands_there_as_wanted_already_is_taken_over_without_a_write() {
        let rows = compare(&table(&[("a", "P/1")]), &table(&[("a", "P/1")]), &BTreeMap::new());
        let todo = changes(&rows, false);
        assert_eq!(todo, [Change::Adopt { key: "a".into(), note: note("P/1", None) }]);
        let noted = compare(&table(&[("a", "P/1")]), &table(&[("a", "P/1")]), &table(&[("a", &note("P/1", None))]));
        assert_eq!(changes(&noted, false), []);
    }
}
