//! What stands on the board now: every live item, already written as JSON, and what changed since the last tick.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::topic::{Keys, Topic};

/// One live item.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name within the topic; also the field `key` of its JSON.
    pub key: Arc<str>,
    /// What it can be found by.
    pub keys: Keys,
    /// Its JSON object.
    pub json: String,
    /// Whether it speaks of a time that is over: a later change of it is a correction.
    pub settled: bool,
}

/// One item that is new, changed or gone.
#[derive(Clone, Debug)]
pub struct Change {
    /// The topic.
    pub topic: Topic,
    /// The item's key.
    pub key: Arc<str>,
    /// As it is now; `None`: gone.
    pub item: Option<Arc<Item>>,
    /// As it was; `None`: new.
    pub before: Option<Arc<Item>>,
    /// It was settled, and yet it changed.
    pub correction: bool,
}

/// Every live item by topic and key.
#[derive(Debug, Default)]
pub struct Board {
    topics: BTreeMap<Topic, BTreeMap<Arc<str>, Arc<Item>>>,
    changes: BTreeMap<(Topic, Arc<str>), Change>,
}

impl Board {
    /// Puts an item up; the same JSON again is no change.
    pub fn put(&mut self, topic: Topic, item: Item) {
        let item = Arc::new(item);
        let before = match self.topics.entry(topic).or_default().entry(Arc::clone(&item.key)) {
            Entry::Occupied(mut held) => {
                let before = held.insert(Arc::clone(&item));
                if before.json == item.json && before.keys == item.keys {
                    return; // at most it has settled since: nothing that anybody could see
                }
                Some(before)
            }
            Entry::Vacant(free) => {
                free.insert(Arc::clone(&item));
                None
            }
        };
        self.note(topic, Arc::clone(&item.key), Some(item), before);
    }

    /// Takes an item down.
    pub fn remove(&mut self, topic: Topic, key: &str) {
        if let Some(before) = self.topics.get_mut(&topic).and_then(|items| items.remove(key)) {
            self.note(topic, Arc::clone(&before.key), None, Some(before));
        }
    }

    /// Takes down every item of a topic that `keep` does not want.
    pub fn retain(&mut self, topic: Topic, keep: impl Fn(&str) -> bool) {
        let gone: Vec<Arc<str>> =
            self.items(topic).filter(|item| !keep(&item.key)).map(|i| Arc::clone(&i.key)).collect();
        for key in gone {
            self.remove(topic, &key);
        }
    }

    fn note(&mut self, topic: Topic, key: Arc<str>, item: Option<Arc<Item>>, before: Option<Arc<Item>>) {
        // A new item that is settled is yesterday's row restated, or today's at the start: news, but of the past.
        let past = |item: &Option<Arc<Item>>| item.as_ref().is_some_and(|item| item.settled);
        let rewritten = past(&before) && past(&item);
        match self.changes.entry((topic, Arc::clone(&key))) {
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                held.item = item;
                held.correction |= rewritten;
            }
            Entry::Vacant(free) => {
                free.insert(Change { topic, key, item, before, correction: rewritten });
            }
        }
    }

    /// The items of a topic, by key.
    pub fn items(&self, topic: Topic) -> impl Iterator<Item = &Arc<Item>> {
        self.topics.get(&topic).into_iter().flat_map(BTreeMap::values)
    }

    /// One item.
    pub fn get(&self, topic: Topic, key: &str) -> Option<&Arc<Item>> {
        self.topics.get(&topic)?.get(key)
    }

    /// What changed since the last call, each item once.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(key: &str, json: &str, settled: bool) -> Item {
        Item { key: key.into(), keys: Keys::default(), json: json.to_owned(), settled }
    }

    #[test]
    fn the_same_item_again_is_no_change_and_two_changes_are_one() {
        let mut board = Board::default();
        board.put(Topic::Queues, item("a", "1", false));
        board.take_changes();
        board.put(Topic::Queues, item("a", "1", false));
        assert!(board.take_changes().is_empty());
        board.put(Topic::Queues, item("a", "2", false));
        board.put(Topic::Queues, item("a", "3", false));
        let changes = board.take_changes();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].item.as_ref().unwrap().json, "3");
        assert_eq!(changes[0].before.as_ref().unwrap().json, "1");
    }

    #[test]
    fn only_a_settled_item_that_changes_is_a_correction() {
        let mut board = Board::default();
        board.put(Topic::Intervals, item("a", "1", false));
        board.put(Topic::Intervals, item("a", "2", true));
        assert!(!board.take_changes()[0].correction, "it was still open when it closed");
        board.put(Topic::Intervals, item("a", "3", true));
        assert!(board.take_changes()[0].correction);
    }
}
