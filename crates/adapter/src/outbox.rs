//! What a source said and nobody has written yet: a moment's worth while it is our turn, what another collector may not have written while
//! it is not.
//!
//! - **Invariant:** it is bounded; what is dropped is the oldest, and its time is told as a gap.

use std::collections::VecDeque;

use model::Time;

use crate::chunks::Chunk;
use crate::intake::Handover;

/// The most bytes that are kept, beside the bound of the facts.
const BYTES_MAX: usize = 256 << 20;
/// So much longer than necessary something is kept: what one session hears a moment earlier than another is no loss, and what is
/// written twice has the same ids.
pub(crate) const MARGIN_MS: i64 = 2_000;

/// How it is handed over.
pub(crate) enum Content {
    /// To the process's own intake.
    Whole(Handover),
    /// To the journal, piece by piece, as long as it is our turn.
    Cut(VecDeque<Chunk>),
}

/// What a batch became.
pub(crate) struct Parcel {
    pub(crate) content: Content,
    /// Up to where the vendor was seen with it, by the vendor's clock; `None`: it goes with the next that says so.
    pub(crate) until: Option<Time>,
    pub(crate) facts: usize,
    pub(crate) malformed: u64,
    pub(crate) progress: Option<(u64, u64)>,
    /// What it weighs where it waits.
    pub(crate) bytes: usize,
}

impl Content {
    /// What it weighs where it waits; what goes to the process's own intake does not wait.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Content::Whole(_) => 0,
            Content::Cut(chunks) => chunks.iter().map(Chunk::bytes).sum(),
        }
    }
}

/// Something to be written.
pub(crate) enum Item {
    /// A session begins: it sees everything from here on, by the vendor's clock; `None`: it did not say yet.
    LinkUp(Option<Time>),
    /// What a session said.
    Parcel(Parcel),
}

impl Item {
    fn link_up(&mut self) -> Option<&mut Option<Time>> {
        match self {
            Item::LinkUp(from) => Some(from),
            Item::Parcel(_) => None,
        }
    }
}

/// In the order in which it was said.
#[derive(Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    facts: usize,
    bytes: usize,
    /// The newest session did not say yet from where on it sees.
    new_session: bool,
}

impl Outbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many facts wait.
    pub(crate) fn facts(&self) -> usize {
        self.facts
    }

    /// A session begins.
    pub(crate) fn link_up(&mut self) {
        self.items.push_back(Item::LinkUp(None));
        self.new_session = true;
    }

    /// The vendor was seen up to there: the newest session sees everything from there on, if it did not say so yet.
    pub(crate) fn saw(&mut self, until: Option<Time>) {
        if self.new_session && until.is_some() {
            self.new_session = false;
            if let Some(from) = self.items.iter_mut().rev().find_map(Item::link_up) {
                *from = until;
            }
        }
    }

    /// Adds what was said last. Answers how many facts had to be dropped for it.
    pub(crate) fn push(&mut self, parcel: Parcel, facts_max: usize) -> usize {
        self.saw(parcel.until);
        self.facts += parcel.facts;
        self.bytes += parcel.bytes;
        self.items.push_back(Item::Parcel(parcel));
        let mut dropped = 0;
        let mut blind = None;
        // The newest stays, however large it is.
        while self.items.len() > 1 && (self.facts > facts_max || self.bytes > BYTES_MAX) {
            match self.pop() {
                Some(Item::Parcel(parcel)) => {
                    dropped += parcel.facts;
                    blind = parcel.until.or(blind);
                }
                Some(Item::LinkUp(from)) => blind = from.or(blind),
                None => break,
            }
        }
        if dropped > 0 && !matches!(self.items.front(), Some(Item::LinkUp(_))) {
            self.items.push_front(Item::LinkUp(blind));
        }
        dropped
    }

    /// Lets go of what another collector has written, which has seen the vendor up to `seen`.
    pub(crate) fn release(&mut self, seen: Time) {
        let written = |item: &Item| match item {
            Item::Parcel(Parcel { until: Some(until), .. }) => *until + MARGIN_MS < seen,
            _ => false,
        };
        if let Some(last) = self.items.iter().rposition(written) {
            (0..=last).for_each(|_| drop(self.pop()));
        }
    }

    /// What comes next.
    pub(crate) fn front(&mut self) -> Option<&mut Item> {
        self.items.front_mut()
    }

    /// Takes what comes next.
    pub(crate) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        match &item {
            Item::Parcel(parcel) => {
                self.facts -= parcel.facts;
                self.bytes -= parcel.bytes;
            }
            Item::LinkUp(None) => self.new_session = false,
            Item::LinkUp(Some(_)) => {}
        }
        Some(item)
    }

    /// Puts something before all else.
    pub(crate) fn push_front(&mut self, parcel: Parcel) {
        self.facts += parcel.facts;
        self.bytes += parcel.bytes;
        self.items.push_front(Item::Parcel(parcel));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Outbox::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use journal::{Entry, Stream};

    fn parcel(until: Option<i64>, facts: usize) -> Parcel {
        let entries = (0..facts).map(|_| Entry::new(Stream::Ingest, "pbx1", Bytes::from_static(b"said"))).collect();
        let content = Content::Cut(crate::chunks::cut(entries, Vec::new()).into());
        let bytes = content.bytes();
        Parcel { content, until: until.map(Time), facts, malformed: 0, progress: None, bytes }
    }

    #[test]
    fn what_another_has_written_goes_and_what_it_may_not_have_stays() {
        let mut outbox = Outbox::default();
        outbox.link_up();
        for until in [Some(1_000), None, Some(5_000), Some(9_000)] {
            outbox.push(parcel(until, 1), 100);
        }
        outbox.release(Time(1_000 + MARGIN_MS));
        assert_eq!(outbox.facts(), 4, "nothing is a margin behind yet");
        outbox.release(Time(5_000 + MARGIN_MS));
        assert_eq!(outbox.facts(), 3, "what says nothing of its time goes with what comes after it");
        outbox.release(Time(5_001 + MARGIN_MS));
        assert_eq!((outbox.facts(), outbox.is_empty()), (1, false));
        outbox.release(Time(99_000));
        assert_eq!((outbox.facts(), outbox.bytes, outbox.is_empty()), (0, 0, true));
    }

    #[test]
    fn it_is_bounded_and_what_is_dropped_becomes_a_gap() {
        let mut outbox = Outbox::default();
        outbox.link_up();
        assert_eq!(outbox.push(parcel(Some(1_000), 40), 100), 0);
        assert!(matches!(outbox.front(), Some(Item::LinkUp(Some(Time(1_000))))), "it sees from its first word on");
        assert_eq!(outbox.push(parcel(Some(2_000), 40), 100), 0);
        assert_eq!(outbox.push(parcel(Some(3_000), 40), 100), 40);
        assert!(matches!(outbox.front(), Some(Item::LinkUp(Some(Time(1_000))))), "blind up to there");
        assert_eq!(outbox.push(parcel(Some(4_000), 500), 100), 80);
        assert!(matches!(outbox.front(), Some(Item::LinkUp(Some(Time(3_000))))));
        assert_eq!(outbox.facts(), 500, "the newest stays");
    }
}
