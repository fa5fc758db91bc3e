//! The fold of the books: who holds what, how far each group read, and its state. Pure: whoever reads the same records comes to the same.
//!
//! - Invariant: nothing but what was said, in the order in which it lies in the books, changes anything. No clock is asked.
//! - Invariant: a commit counts when its member holds every partition it names at that place in the books, and else not at all.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::wire::{self, ClubHead, Id, Pairs, Part, Said};
use crate::contract::{Partition, Position};
use crate::group::{Group, Standing, Step};
use crate::{Error, Result, Topology};

/// Members do not expire by themselves: they are [missed](Said::Missed).
const NO_LEASE: i64 = i64::MAX / 2;
/// What was begun so many records ago is never finished: whoever said it is gone.
const UNFINISHED_RECORDS: u64 = 4_096;
/// A snapshot is worth its while when so much was said since the last one, and at least twice what a snapshot holds.
const SNAPSHOT_BYTES: u64 = 8 << 20;

/// A group and what it keeps.
#[derive(Clone, Default)]
pub(crate) struct Club {
    pub(crate) group: Group,
    /// How many signs of life each member gave.
    pub(crate) signs: BTreeMap<u64, u64>,
    pub(crate) positions: BTreeMap<Partition, u64>,
    pub(crate) state: BTreeMap<Bytes, Bytes>,
}

impl Club {
    /// Whether a member may commit these positions.
    pub(crate) fn admits(&self, name: &str, member: u64, positions: &[Position]) -> Result<()> {
        let fenced = |what: String| Error::Fenced { group: name.to_owned(), member, what };
        if !self.group.contains(member) {
            return Err(fenced("its membership".to_owned()));
        }
        match positions.iter().find(|at| !self.group.holds(member, at.partition())) {
            Some(lost) => Err(fenced(format!("{}/{}", lost.stream, lost.partition))),
            None => Ok(()),
        }
    }
}

/// What became of something said.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Where the member stands after its step.
    Standing(Standing),
    /// Whether the commit counts.
    Committed(Result<()>),
    /// Nothing more to say of it.
    Noted,
}

/// Something said that was read to its end.
pub(crate) struct Heard {
    pub(crate) id: Id,
    pub(crate) outcome: Outcome,
    /// Members that gave a sign of life by it.
    pub(crate) alive: Vec<(String, u64)>,
    /// The group whose generation may have changed.
    pub(crate) group: Option<String>,
    /// Whether it is time for a snapshot, and for this speaker to write it.
    pub(crate) snapshot_due: bool,
    /// The first record that a snapshot which was just read does not hold: what is before it may go.
    pub(crate) obsolete_before: Option<u64>,
}

struct Unfinished {
    since: u64,
    parts: Vec<Bytes>,
}

/// One partition of the books, read up to [`next`](Self::next).
pub(crate) struct Ledger {
    topology: Topology,
    pub(crate) next: u64,
    pub(crate) identity: Option<String>,
    pub(crate) clubs: BTreeMap<String, Club>,
    unfinished: BTreeMap<Id, Unfinished>,
    state_bytes: u64,
    said_bytes: u64,
    /// Records that wait for a snapshot, because what came before them is gone.
    waiting: Option<Vec<(u64, Bytes)>>,
}

impl Ledger {
    pub(crate) fn new(topology: Topology) -> Self {
        Self {
            topology,
            next: 0,
            identity: None,
            clubs: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            state_bytes: 0,
            said_bytes: 0,
            waiting: None,
        }
    }

    /// Whether what was read does not add up yet: the snapshot that it goes on from is still to come.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes the record at an offset. Answers what was heard to its end by it.
    pub(crate) fn take(&mut self, offset: u64, value: Bytes) -> Vec<Heard> {
        if self.waiting.is_none() {
            if offset < self.next {
                return Vec::new();
            }
            if offset == self.next {
                return self.apply(offset, value).into_iter().collect();
            }
            // What came between is gone: somebody wrote a snapshot of it, further on.
            self.waiting = Some(Vec::new());
            self.unfinished.clear();
        }
        let gathered = self.gather(offset, value.clone());
        let waiting = self.waiting.get_or_insert_default();
        waiting.push((offset, value));
        let first = waiting.first().map_or(offset, |(first, _)| *first);
        match gathered.and_then(|(_, content)| wire::read(content)) {
            Some((Said::Snapshot { next, identity, clubs }, pairs)) if next >= first => {
                let waited = self.waiting.take().unwrap_or_default();
                self.unfinished.clear();
                self.restore(next, identity, clubs, pairs);
                let rest = waited.into_iter().filter(|(offset, _)| *offset >= next);
                rest.filter_map(|(offset, value)| self.apply(offset, value)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Puts the parts of something said together.
    fn gather(&mut self, offset: u64, value: Bytes) -> Option<(Id, Bytes)> {
        self.unfinished.retain(|_, begun| begun.since + UNFINISHED_RECORDS > offset);
        let part = Part::read(value)?;
        if part.count == 1 {
            return Some((part.id, part.content));
        }
        if part.number == 0 {
            self.unfinished.insert(part.id, Unfinished { since: offset, parts: Vec::new() });
        }
        let begun = self.unfinished.get_mut(&part.id)?;
        if begun.parts.len() != part.number as usize {
            self.unfinished.remove(&part.id);
            return None;
        }
        begun.parts.push(part.content);
        if begun.parts.len() < part.count as usize {
            return None;
        }
        let begun = self.unfinished.remove(&part.id)?;
        let mut content = BytesMut::with_capacity(begun.parts.iter().map(Bytes::len).sum());
        begun.parts.iter().for_each(|part| content.put_slice(part));
        Some((part.id, content.freeze()))
    }

    fn apply(&mut self, offset: u64, value: Bytes) -> Option<Heard> {
        self.next = offset + 1;
        let before = self.said_bytes;
        self.said_bytes += value.len() as u64;
        let (id, content) = self.gather(offset, value)?;
        let Some((said, pairs)) = wire::read(content) else {
            tracing::error!(offset, "what was said in the books cannot be read; it is as if it had not been said");
            return None;
        };
        let mut heard = Heard {
            id,
            outcome: Outcome::Noted,
            alive: Vec::new(),
            group: None,
            snapshot_due: false,
            obsolete_before: None,
        };
        self.hear(said, pairs, &mut heard);
        let worth = SNAPSHOT_BYTES.max(2 * self.state_bytes);
        // Again after each quarter: whoever was to write it may be gone.
        let quarters = |bytes: u64| bytes.saturating_sub(worth) / (worth / 4);
        heard.snapshot_due = self.said_bytes >= worth
            && (before < worth || quarters(before) < quarters(self.said_bytes))
            && heard.obsolete_before.is_none();
        Some(heard)
    }

    fn hear(&mut self, said: Said, pairs: Pairs, heard: &mut Heard) {
        match said {
            Said::Founded { identity } => _ = self.identity.get_or_insert(identity),
            Said::Step { group, step } => {
                let club = self.clubs.entry(group.clone()).or_default();
                let standing = club.group.step(&step, &self.topology, 0, NO_LEASE);
                club.signs.retain(|member, _| club.group.contains(*member));
                if let Standing::In { member, .. } = standing {
                    *club.signs.entry(member).or_default() += 1;
                    heard.alive.push((group.clone(), member));
                }
                heard.outcome = Outcome::Standing(standing);
                heard.group = Some(group);
            }
            Said::Alive { members } => {
                for (group, member) in members {
                    self.sign(&group, member, heard);
                }
            }
            Said::Missed { group, member, signs } => {
                let club = self.clubs.entry(group.clone()).or_default();
                if club.signs.get(&member) == Some(&signs) {
                    club.group.step(&Step::Leave { member }, &self.topology, 0, NO_LEASE);
                    club.signs.remove(&member);
                    heard.group = Some(group);
                }
            }
            Said::Commit { group, positions, member } => {
                heard.outcome = Outcome::Committed(self.commit(&group, &positions, member, pairs));
                if let Some(member) = member {
                    self.sign(&group, member, heard);
                }
            }
            Said::Snapshot { next, .. } => {
                self.said_bytes = 0;
                heard.obsolete_before = Some(next);
            }
        }
    }

    fn sign(&mut self, group: &str, member: u64, heard: &mut Heard) {
        if let Some(signs) = self.clubs.get_mut(group).and_then(|club| club.signs.get_mut(&member)) {
            *signs += 1;
            heard.alive.push((group.to_owned(), member));
        }
    }

    fn commit(&mut self, group: &str, positions: &[Position], member: Option<u64>, pairs: Pairs) -> Result<()> {
        let club = self.clubs.entry(group.to_owned()).or_default();
        if let Some(member) = member {
            club.admits(group, member, positions)?;
        }
        club.positions.extend(positions.iter().map(|at| (at.partition(), at.offset)));
        let size = |key: &Bytes, value: &Bytes| (key.len() + value.len()) as u64;
        for (key, value) in pairs {
            // A slice would keep the whole record in memory for as long as any of its keys.
            let key = Bytes::copy_from_slice(&key);
            let old = match value {
                Some(value) => {
                    self.state_bytes += size(&key, &value);
                    club.state.insert(key.clone(), Bytes::copy_from_slice(&value))
                }
                None => club.state.remove(&key),
            };
            self.state_bytes -= old.map_or(0, |old| size(&key, &old));
        }
        Ok(())
    }

    /// Everything as it is now, to be said.
    pub(crate) fn snapshot(&self) -> (Said, Pairs) {
        let head = |(name, club): (&String, &Club)| ClubHead {
            name: name.clone(),
            group: club.group.clone(),
            signs: club.signs.iter().map(|(member, signs)| (*member, *signs)).collect(),
            positions: club.positions.iter().map(|((s, p), offset)| Position::new(*s, *p, *offset)).collect(),
            state: club.state.len(),
        };
        let clubs = self.clubs.iter().map(head).collect();
        let pairs = self.clubs.values().flat_map(|club| &club.state);
        let pairs = pairs.map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        (Said::Snapshot { next: self.next, identity: self.identity.clone(), clubs }, pairs)
    }

    /// Whether a snapshot would be whole now: nothing is half said.
    pub(crate) fn can_be_kept(&self) -> bool {
        self.unfinished.is_empty() && self.waiting.is_none()
    }

    fn restore(&mut self, next: u64, identity: Option<String>, clubs: Vec<ClubHead>, pairs: Pairs) {
        (self.next, self.identity, self.said_bytes, self.state_bytes) = (next, identity, 0, 0);
        self.clubs.clear();
        let mut pairs = pairs.into_iter();
        for head in clubs {
            let positions = head.positions.iter().map(|at| (at.partition(), at.offset)).collect();
            let signs = head.signs.into_iter().collect();
            let mut club = Club { group: head.group, signs, positions, state: BTreeMap::new() };
            for (key, value) in pairs.by_ref().take(head.state) {
                let (key, value) = (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value.unwrap_or_default()));
                self.state_bytes += (key.len() + value.len()) as u64;
                club.state.insert(key, value);
            }
            self.clubs.insert(head.name, club);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;
    use proptest::prelude::*;

    /// A ledger, and the records that it was told.
    struct Told {
        ledger: Ledger,
        records: Vec<Bytes>,
    }

    fn empty() -> Ledger {
        Ledger::new(Topology::uniform(3))
    }

    impl Told {
        fn new() -> Self {
            Self { ledger: empty(), records: Vec::new() }
        }

        fn say(&mut self, said: &Said, pairs: &Pairs) -> Vec<Heard> {
            let id = Id { session: 1, number: self.records.len() as u64 };
            let mut heard = Vec::new();
            for part in wire::write(id, said, pairs).unwrap() {
                heard.extend(self.ledger.take(self.records.len() as u64, part.clone()));
                self.records.push(part);
            }
            heard
        }

        fn join(&mut self, name: &str) -> u64 {
            let step = Step::Join { name: name.to_owned(), streams: vec![Stream::Ingest] };
            let heard = self.say(&Said::Step { group: "g".to_owned(), step }, &Pairs::new());
            match &heard[0].outcome {
                Outcome::Standing(Standing::In { member, .. }) => *member,
                other => panic!("{other:?}"),
            }
        }

        fn commit(&mut self, member: u64, partition: u32, offset: u64) -> Result<()> {
            let positions = vec![Position::new(Stream::Ingest, partition, offset)];
            let said = Said::Commit { group: "g".to_owned(), positions, member: Some(member) };
            let state = vec![(Bytes::from(format!("k{partition}")), Some(Bytes::from(offset.to_string())))];
            match &self.say(&said, &state)[0].outcome {
                Outcome::Committed(outcome) => outcome.clone(),
                other => panic!("{other:?}"),
            }
        }

        fn missed(&mut self, member: u64, signs: u64) {
            self.say(&Said::Missed { group: "g".to_owned(), member, signs }, &Pairs::new());
        }
    }

    /// What two ledgers must agree on.
    fn known(ledger: &Ledger) -> String {
        let (said, pairs) = ledger.snapshot();
        format!("{said:?} {pairs:?}")
    }

    #[test]
    fn a_commit_counts_only_while_its_member_holds_the_partition() {
        let mut told = Told::new();
        let first = told.join("a");
        told.commit(first, 2, 5).unwrap();
        let second = told.join("b");
        assert!(matches!(told.commit(second, 2, 9), Err(Error::Fenced { .. })), "not released yet");
        let partitions = vec![(Stream::Ingest, 2)];
        let step = Step::Release { member: first, name: "a".to_owned(), partitions };
        told.say(&Said::Step { group: "g".to_owned(), step }, &Pairs::new());
        assert!(matches!(told.commit(first, 2, 6), Err(Error::Fenced { .. })), "handed over");
        told.commit(second, 2, 7).unwrap();
        let club = &told.ledger.clubs["g"];
        assert_eq!(club.positions[&(Stream::Ingest, 2)], 7);
        assert_eq!(club.state[&Bytes::from_static(b"k2")], "7", "and the state went with it");
    }

    #[test]
    fn who_gave_a_sign_of_life_in_between_is_not_missed() {
        let mut told = Told::new();
        let member = told.join("a");
        let signs = told.ledger.clubs["g"].signs[&member];
        told.say(&Said::Alive { members: vec![("g".to_owned(), member)] }, &Pairs::new());
        told.missed(member, signs);
        told.commit(member, 0, 1).unwrap();
        let signs = told.ledger.clubs["g"].signs[&member];
        told.missed(member, signs);
        assert!(matches!(told.commit(member, 0, 2), Err(Error::Fenced { .. })), "now it is");
    }

    #[test]
    fn a_part_whose_beginning_is_missing_changes_nothing() {
        let mut told = Told::new();
        told.join("a");
        let before = told.ledger.clubs["g"].state.len();
        let said = Said::Commit { group: "g".to_owned(), positions: vec![], member: None };
        let large = vec![(Bytes::from_static(b"k"), Some(Bytes::from(vec![1; 9 << 20])))];
        let parts = wire::write(Id { session: 9, number: 9 }, &said, &large).unwrap();
        for part in &parts[1..] {
            assert!(told.ledger.take(told.ledger.next, part.clone()).is_empty());
        }
        assert_eq!(told.ledger.clubs["g"].state.len(), before);
        for part in parts {
            told.ledger.take(told.ledger.next, part);
        }
        assert_eq!(told.ledger.clubs["g"].state.len(), before + 1, "and whole it counts");
    }

    proptest! {
        /// Whoever starts at a snapshot comes to the same as who read everything, wherever the books were cut.
        #[test]
        fn a_snapshot_and_the_rest_are_the_whole(
            steps in proptest::collection::vec((0..5u8, 0..3u32, 0..50u64), 4..40),
            cut in 0..40usize,
        ) {
            let mut told = Told::new();
            let mut members = vec![told.join("m0")];
            let (mut snapshot_at, mut next) = (None, 0);
            for (number, (what, which, value)) in steps.iter().enumerate() {
                if number == cut.min(steps.len() - 1) {
                    let (said, pairs) = told.ledger.snapshot();
                    next = told.ledger.next;
                    snapshot_at = Some(told.records.len());
                    // Somebody else spoke before the snapshot lay there.
                    told.say(&Said::Founded { identity: "i".to_owned() }, &Pairs::new());
                    told.say(&said, &pairs);
                }
                let member = members[*which as usize % members.len()];
                match what {
                    0 => members.push(told.join(&format!("m{value}"))),
                    1 => {
                        let step = Step::Leave { member };
                        told.say(&Said::Step { group: "g".to_owned(), step }, &Pairs::new());
                    }
                    2 => told.missed(member, *value % 4),
                    _ => _ = told.commit(member, *which, *value),
                }
            }
            prop_assert!(snapshot_at.is_some());
            let mut late = empty();
            for (offset, record) in told.records.iter().enumerate().skip(usize::try_from(next).unwrap()) {
                late.take(offset as u64, record.clone());
            }
            prop_assert!(!late.is_waiting());
            prop_assert_eq!(known(&late), known(&told.ledger));
        }
    }
}
