//! A feed: one selection of the board, its frames numbered, each written once for all who follow it.
//!
//! A follower is a number: the seq of the last frame it was given. What it missed is read from a bounded ring, several frames
//! melted into one, so that a slow client costs no memory and catches up in one write. Beyond the ring it gets a snapshot.
//!
//! Invariant: applying a frame with `prev` = p to the state after any seq ≥ p gives the state after its own `seq`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use model::Time;

use super::board::{Board, Change, Item};
use super::topic::{Selection, Topic};
use super::wire::{Draft, Wire};

/// What every frame says of itself: when it was written, and how old the figures in it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When the frame was written.
    pub time: Time,
    /// How long ago the figures were known to be right; `None`: never yet.
    pub age_ms: Option<i64>,
    /// Whether that is longer than allowed.
    pub stale: bool,
    /// The same two of details (see [`Topic::is_detail`]), which wait where there is too much to do.
    pub details: (Option<i64>, bool),
}

impl Stamp {
    /// What frames of this topic say.
    pub fn of(self, topic: Topic) -> Stamp {
        let (age_ms, stale) = if topic.is_detail() { self.details } else { (self.age_ms, self.stale) };
        Stamp { age_ms, stale, ..self }
    }
}

impl Default for Stamp {
    /// Before anything came.
    fn default() -> Stamp {
        Stamp { time: Time(0), age_ms: None, stale: true, details: (None, true) }
    }
}

/// Bounds of a feed's memory.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// The most frames kept for those who come back.
    pub frames: usize,
    /// The most bytes of them.
    pub bytes: usize,
}

/// A frame for one follower.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// Where the follower stands after it.
    pub seq: u64,
    /// The message.
    pub wire: Wire,
}

#[derive(Debug)]
struct Kept {
    seq: u64,
    wire: Wire,
    keys: Vec<Arc<str>>,
}

#[derive(Debug, Default)]
struct State {
    seq: u64,
    items: BTreeMap<Arc<str>, Arc<Item>>,
    ring: VecDeque<Kept>,
    ring_bytes: usize,
    snapshot: Option<Next>,
    melted: BTreeMap<u64, Next>,
}

/// Items that changed, and keys that are gone.
type News = (BTreeMap<Arc<str>, Arc<Item>>, Vec<Arc<str>>);

/// One selection of the board, numbered.
#[derive(Debug)]
pub struct Feed {
    /// The name on the wire.
    pub name: String,
    /// What it carries.
    pub selection: Selection,
    /// Names this life of the feed; a seq means nothing in another.
    pub epoch: String,
    ring: Ring,
    state: RwLock<State>,
}

/// Frames melted together are kept for the next follower who missed the same; more than this is forgotten.
const MELTED_MAX: usize = 32;

impl Feed {
    /// A feed of what stands on the board now.
    pub fn new(selection: Selection, epoch: String, ring: Ring, board: &Board) -> Feed {
        let items = board.items(selection.topic).filter(|item| selection.wants(&item.keys));
        let items = items.map(|item| (Arc::clone(&item.key), Arc::clone(item))).collect();
        let state = RwLock::new(State { items, ..State::default() });
        Feed { name: selection.feed(), selection, epoch, ring, state }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes in what changed on the board; writes at most two frames. Says whether there was anything for this feed.
    pub fn apply(&self, changes: &[Change], stamp: Stamp) -> bool {
        let topic = self.selection.topic;
        let mut news: [News; 2] = Default::default();
        let mut state = self.write();
        for change in changes.iter().filter(|change| change.topic == topic) {
            let wanted = change.item.as_ref().filter(|item| self.selection.wants(&item.keys));
            match wanted {
                Some(item) => {
                    let place = usize::from(!change.correction);
                    news[place].0.insert(Arc::clone(&change.key), Arc::clone(item));
                    state.items.insert(Arc::clone(&change.key), Arc::clone(item));
                }
                None if state.items.remove(&change.key).is_some() => news[1].1.push(Arc::clone(&change.key)),
                None => {}
            }
        }
        let mut any = false;
        for (op, (changed, removed)) in ["correction", "delta"].into_iter().zip(news) {
            if changed.is_empty() && removed.is_empty() {
                continue;
            }
            any = true;
            state.seq += 1;
            let (seq, prev) = (state.seq, state.seq - 1);
            let wire = self.frame(op, prev, seq, stamp, changed.values(), &removed);
            let keys = changed.into_keys().chain(removed).collect();
            state.ring_bytes += wire.len();
            state.ring.push_back(Kept { seq, wire, keys });
        }
        if any {
            state.snapshot = None;
            state.melted.clear();
            while state.ring.len() > self.ring.frames || (state.ring_bytes > self.ring.bytes && state.ring.len() > 1) {
                let Some(old) = state.ring.pop_front() else { break };
                state.ring_bytes -= old.wire.len();
            }
        }
        any
    }

    /// Everything, for a follower who knows nothing.
    pub fn snapshot(&self, stamp: Stamp) -> Next {
        {
            // Written at the same moment for another follower: the stamp in it is still true.
            let state = self.read();
            if let Some(next) = &state.snapshot {
                return next.clone();
            }
        }
        let mut state = self.write();
        let wire = self.frame("snapshot", 0, state.seq, stamp, state.items.values(), &[]);
        let next = Next { seq: state.seq, wire };
        state.snapshot = Some(next.clone());
        next
    }

    /// Forgets the written snapshot: its stamp is no longer true.
    pub fn tick(&self) {
        if self.read().snapshot.is_some() {
            self.write().snapshot = None;
        }
    }

    /// What a follower at `seq` has to be given now; `None`: nothing. Where the ring no longer reaches back: a snapshot.
    pub fn since(&self, seq: u64, stamp: Stamp) -> Option<Next> {
        let state = self.read();
        if seq == state.seq {
            return None;
        }
        let first = state.ring.front().map_or(u64::MAX, |kept| kept.seq);
        if seq > state.seq || first > seq + 1 {
            drop(state);
            return Some(self.snapshot(stamp));
        }
        if seq + 1 == state.seq {
            return state.ring.back().map(|kept| Next { seq: kept.seq, wire: kept.wire.clone() });
        }
        if let Some(next) = state.melted.get(&seq) {
            return Some(next.clone());
        }
        let missed: BTreeSet<&Arc<str>> =
            state.ring.iter().filter(|kept| kept.seq > seq).flat_map(|kept| &kept.keys).collect();
        let removed: Vec<Arc<str>> =
            missed.iter().filter(|key| !state.items.contains_key(&***key)).map(|key| Arc::clone(key)).collect();
        let changed = missed.iter().filter_map(|key| state.items.get(&***key));
        let next = Next { seq: state.seq, wire: self.frame("delta", seq, state.seq, stamp, changed, &removed) };
        drop(state);
        let mut state = self.write();
        if state.seq == next.seq && state.melted.len() < MELTED_MAX {
            state.melted.insert(seq, next.clone());
        }
        Some(next)
    }

    /// Whether a follower of `epoch` at `seq` can go on from there.
    pub fn reaches(&self, epoch: &str, seq: u64) -> bool {
        let state = self.read();
        epoch == self.epoch
            && (seq == state.seq || (seq < state.seq && state.ring.front().is_some_and(|kept| kept.seq <= seq + 1)))
    }

    fn frame<'a>(
        &self,
        op: &str,
        prev: u64,
        seq: u64,
        stamp: Stamp,
        changed: impl Iterator<Item = &'a Arc<Item>>,
        removed: &[Arc<str>],
    ) -> Wire {
        let mut out = Draft::new(256);
        let (feed, topic, epoch) = (&self.name, self.selection.topic, &self.epoch);
        out.push(&format!(r#"{{"op":"{op}","feed":"{feed}","topic":"{topic}","epoch":"{epoch}","#));
        if op != "snapshot" {
            out.push(&format!(r#""prev":{prev},"#));
        }
        out.push(&format!(r#""seq":{seq},{}"#, stamp_json(stamp.of(self.selection.topic))));
        out.push(if op == "snapshot" { r#","items":["# } else { r#","changed":["# });
        for (n, item) in changed.enumerate() {
            if n > 0 {
                out.push(",");
            }
            out.push(&item.json);
        }
        out.push("]");
        if op != "snapshot" {
            let removed = serde_json::to_string(&removed).unwrap_or_default();
            out.push(&format!(r#","removed":{removed}"#));
        }
        out.push("}");
        out.finish()
    }
}

/// The members of a frame that tell its age.
pub fn stamp_json(stamp: Stamp) -> String {
    let age = stamp.age_ms.map_or_else(|| "null".to_owned(), |age| age.to_string());
    format!(r#""time":"{}","age_ms":{age},"stale":{}"#, stamp.time, stamp.stale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::topic::{Filter, Keys, Topic};
    use serde_json::Value;

    fn item(key: &str, n: u32, settled: bool) -> Item {
        let json = format!(r#"{{"key":"{key}","n":{n}}}"#);
        Item { key: key.into(), keys: Keys { queues: vec![key.into()], ..Keys::default() }, json, settled }
    }

    fn feed(board: &Board, frames: usize) -> Feed {
        let selection = Selection { tenant: None, topic: Topic::Queues, filter: Filter::default() };
        Feed::new(selection, "e1".into(), Ring { frames, bytes: 1 << 20 }, board)
    }

    fn json(next: &Next) -> Value {
        serde_json::from_str(next.wire.as_text()).unwrap()
    }

    /// What a client does with a frame.
    fn follow(state: &mut BTreeMap<String, u64>, seq: &mut u64, frame: &Value) {
        if frame["op"] == "snapshot" {
            state.clear();
        } else {
            assert!(frame["prev"].as_u64().unwrap() <= *seq, "a hole before {frame}");
        }
        for list in ["items", "changed"] {
            for item in frame[list].as_array().into_iter().flatten() {
                state.insert(item["key"].as_str().unwrap().to_owned(), item["n"].as_u64().unwrap());
            }
        }
        for key in frame["removed"].as_array().into_iter().flatten() {
            state.remove(key.as_str().unwrap());
        }
        *seq = frame["seq"].as_u64().unwrap();
    }

    #[test]
    fn a_follower_of_any_speed_ends_with_what_stands_on_the_board() {
        for pace in [1, 2, 3, 7, 40] {
            let mut board = Board::default();
            board.put(Topic::Queues, item("q0", 0, false));
            board.take_changes();
            let feed = feed(&board, 16);
            let (mut state, mut seq) = (BTreeMap::new(), 0);
            follow(&mut state, &mut seq, &json(&feed.snapshot(Stamp::default())));
            for step in 1..200u32 {
                let key = format!("q{}", step * 7 % 5);
                if step % 4 == 0 {
                    board.remove(Topic::Queues, &key)
                } else {
                    board.put(Topic::Queues, item(&key, step, false))
                }
                feed.apply(&board.take_changes(), Stamp::default());
                if step % pace == 0
                    && let Some(next) = feed.since(seq, Stamp::default())
                {
                    follow(&mut state, &mut seq, &json(&next));
                }
            }
            if let Some(next) = feed.since(seq, Stamp::default()) {
                follow(&mut state, &mut seq, &json(&next));
            }
            let want: BTreeMap<String, u64> = board
                .items(Topic::Queues)
                .map(|i| (i.key.to_string(), serde_json::from_str::<Value>(&i.json).unwrap()["n"].as_u64().unwrap()))
                .collect();
            assert_eq!(state, want, "at pace {pace}");
        }
    }

    #[test]
    fn a_frame_is_written_once_and_shared() {
        let mut board = Board::default();
        let feed = feed(&board, 16);
        board.put(Topic::Queues, item("a", 1, false));
        feed.apply(&board.take_changes(), Stamp::default());
        let (one, two) = (feed.since(0, Stamp::default()).unwrap(), feed.since(0, Stamp::default()).unwrap());
        assert_eq!(one.wire.as_ptr(), two.wire.as_ptr());
    }

    #[test]
    fn the_past_changes_by_a_correction() {
        let mut board = Board::default();
        board.put(Topic::Queues, item("a", 1, true));
        board.take_changes();
        let feed = feed(&board, 16);
        board.put(Topic::Queues, item("a", 2, true));
        board.put(Topic::Queues, item("b", 2, false));
        feed.apply(&board.take_changes(), Stamp { time: Time(5), age_ms: Some(3), stale: false, ..Stamp::default() });
        let state = feed.read();
        let ops: Vec<Value> = state.ring.iter().map(|k| serde_json::from_str(k.wire.as_text()).unwrap()).collect();
        assert_eq!((ops[0]["op"].as_str(), ops[0]["changed"][0]["key"].as_str()), (Some("correction"), Some("a")));
        assert_eq!((ops[1]["op"].as_str(), ops[1]["changed"][0]["key"].as_str()), (Some("delta"), Some("b")));
        assert_eq!(ops[1]["age_ms"], 3);
    }

    #[test]
    fn who_comes_back_too_late_or_from_another_life_gets_a_snapshot() {
        let mut board = Board::default();
        let feed = feed(&board, 2);
        for n in 0..5 {
            board.put(Topic::Queues, item("a", n, false));
            feed.apply(&board.take_changes(), Stamp::default());
        }
        assert!(feed.reaches("e1", 5) && feed.reaches("e1", 3));
        assert!(!feed.reaches("e1", 2) && !feed.reaches("e1", 6) && !feed.reaches("e0", 5));
        assert_eq!(json(&feed.since(1, Stamp::default()).unwrap())["op"], "snapshot");
        assert_eq!(json(&feed.since(3, Stamp::default()).unwrap())["op"], "delta");
    }
}
