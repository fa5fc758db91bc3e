//! How far the journal is, for saying how old figures are.

use std::collections::VecDeque;
use std::time::Duration;

use journal::{Journal, Partition, Position, Stream};
use model::envelope::{Parsed, Reader};
use model::{Envelope, Time};
use service::Clock;

/// How long is waited for the journal to say how far it is.
pub(crate) const WITHIN: Duration = Duration::from_secs(1);
/// The receiver's group: what it has not admitted yet is not in the figures either.
const ADMITTING: &str = "receiver";

/// What was found out of a partition of events at some moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sounding {
    /// All that the journal took before this moment, here or for `ingest`, lies before [`end`](Self::end) (if it belongs here).
    pub(crate) at: Time,
    /// The next offset to be written at that moment.
    pub(crate) end: u64,
}

/// So many soundings are waited for at most. Of more, every other one is let go of: ages are told in larger steps then.
const PENDING: usize = 64;
/// So many events are looked at, at most, for how old the oldest is.
const LOOKED_AT: usize = 4_000;
/// And so many bytes at once.
const LOOKED_AT_BYTES: usize = 4 << 20;

/// What may be claimed of the age of what is folded.
///
/// Only what a sounding says, and only when its end is reached. When the last folded event was written says nothing: what was acknowledged
/// before it may have waited longer to be admitted, and come later.
#[derive(Debug, Default)]
pub(crate) struct Soundings {
    current_at: Time,
    last: Sounding,
    /// Not reached yet, ascending.
    pending: VecDeque<Sounding>,
}

impl Soundings {
    /// A moment such that all that the journal took before it, here or for `ingest`, is folded.
    pub(crate) fn current_at(&self) -> Time {
        self.current_at
    }

    /// How far the partition was when that was last found out.
    pub(crate) fn end(&self) -> u64 {
        self.last.end
    }

    /// It was found out. `next`: the next offset to fold.
    pub(crate) fn sounded(&mut self, sounding: Sounding, next: u64) {
        self.last = sounding;
        if self.pending.len() == PENDING {
            let mut nth = 0;
            self.pending.retain(|_| {
                nth += 1;
                nth % 2 == 0
            });
        }
        self.pending.push_back(sounding);
        self.folded(next);
    }

    /// All before this offset is folded.
    pub(crate) fn folded(&mut self, next: u64) {
        while let Some(reached) = self.pending.pop_front_if(|sounding| sounding.end <= next) {
            self.is_current_until(reached.at);
        }
    }

    /// It is known in another way that all that the journal took before this moment is folded.
    pub(crate) fn is_current_until(&mut self, at: Time) {
        self.current_at = self.current_at.max(at);
    }
}

/// A moment such that all that lies from here to `end` was acknowledged after it: nothing is acknowledged before it happened. `None`: there is
/// nothing, or too much to look at.
pub(crate) async fn oldest_from(journal: &dyn Journal, from: Position, end: u64) -> journal::Result<Option<Time>> {
    let Position { stream, partition, offset: mut next } = from;
    let (mut oldest, mut reader, mut left) = (None, Reader::default(), LOOKED_AT);
    while next < end {
        let batch = journal.read(stream, partition, next, left, LOOKED_AT_BYTES).await?;
        if batch.next == next || batch.records.len() >= left {
            return Ok(None);
        }
        for record in batch.records.iter().filter(|record| record.offset < end) {
            let time = match reader.read(&record.value) {
                Ok(Parsed::Known(Envelope { time, .. })) => time,
                Ok(Parsed::Unknown(head)) => head.time,
                Err(_) => continue, // it is in no figure
            };
            let at = time.min(Time(record.recorded_at_ms));
            oldest = Some(oldest.map_or(at, |oldest: Time| oldest.min(at)));
        }
        (left, next) = (left - batch.records.len(), batch.next);
    }
    Ok(oldest)
}

/// [`sound`], now. A journal that takes its time, or is away for the moment, is not waited for longer than [`WITHIN`]: folding waits, too.
pub(crate) async fn sound_soon(
    journal: &dyn Journal,
    clock: &Clock,
    partitions: &[Partition],
) -> journal::Result<Option<Vec<Sounding>>> {
    let now = Time(clock.now_ms());
    match clock.timeout(WITHIN, sound(journal, partitions, now)).await {
        Ok(Err(error)) if error.class() == journal::Class::Transient => {
            tracing::warn!(%error, "the journal does not say how far it is; asking again");
            Ok(None)
        }
        Ok(found) => found,
        Err(_) => Ok(None),
    }
}

/// Sounds partitions of events; `now` is before it. `None`: the journal does not tell just now what waits to be admitted. What was sounded
/// before stays true, and grows old.
///
/// First what is admitted, then the ends: what was admitted lies before them.
async fn sound(journal: &dyn Journal, partitions: &[Partition], now: Time) -> journal::Result<Option<Vec<Sounding>>> {
    let Some(admitted) = admitted_at(journal).await? else { return Ok(None) };
    let at = now.min(admitted);
    let ends = journal.ends(partitions).await?;
    Ok(Some(ends.into_iter().map(|end| Sounding { at, end }).collect()))
}

/// A moment such that all that the journal took for `ingest` before it is admitted; the end of time when all is.
async fn admitted_at(journal: &dyn Journal) -> journal::Result<Option<Time>> {
    let partitions: Vec<Partition> = (0..journal.partitions(Stream::Ingest)).map(|n| (Stream::Ingest, n)).collect();
    let committed = journal.committed(ADMITTING).await?;
    let mut admitted = Time(i64::MAX);
    for (partition, end) in partitions.iter().zip(journal.ends(&partitions).await?) {
        // Of a partition of which nothing was ever admitted, all waits.
        let next = committed.iter().find(|at| at.partition() == *partition).map_or(0, |at| at.offset);
        match first_from(journal, Position::new(partition.0, partition.1, next), end).await? {
            First::At(at) => admitted = admitted.min(at),
            First::Nothing => {}
            First::Unknown => return Ok(None),
        }
    }
    Ok(Some(admitted))
}

/// What is first in a partition from some offset on.
enum First {
    /// A record that the journal took then.
    At(Time),
    /// Nothing is there.
    Nothing,
    /// Something should be there, and did not come.
    Unknown,
}

/// The first record from here to `end` that can be read. What cannot be is for its readers to step over; it says nothing of the age.
async fn first_from(journal: &dyn Journal, from: Position, end: u64) -> journal::Result<First> {
    let Position { stream, partition, offset: mut next } = from;
    while next < end {
        next = match journal.read(stream, partition, next, 1, 1).await {
            Ok(batch) => match batch.records.first() {
                Some(first) => return Ok(First::At(Time(first.recorded_at_ms))),
                None if batch.next > next => batch.next,
                None => return Ok(First::Unknown),
            },
            Err(journal::Error::Damaged { offset, .. }) => offset + 1,
            Err(journal::Error::Truncated { earliest, .. }) => earliest,
            Err(error) => return Err(error),
        };
    }
    Ok(First::Nothing)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use journal::memory::Memory;
    use journal::{Commit, Entry, Topology};

    const EIGHT: i64 = 1_795_248_000_000;

    #[test]
    fn an_age_is_claimed_when_the_end_of_a_sounding_is_reached() {
        let mut soundings = Soundings::default();
        let sounding = |at, end| Sounding { at: Time(at), end };
        soundings.sounded(sounding(10, 5), 3);
        soundings.folded(4);
        assert_eq!(soundings.current_at(), Time(0));
        soundings.sounded(sounding(20, 9), 4);
        soundings.folded(5);
        assert_eq!(soundings.current_at(), Time(10));
        soundings.folded(8);
        assert_eq!(
            soundings.current_at(),
            Time(10),
            "whenever the eight were written: the ninth may have waited longer"
        );
        soundings.folded(9);
        assert_eq!((soundings.current_at(), soundings.end()), (Time(20), 9));
        soundings.sounded(sounding(15, 9), 9);
        assert_eq!(soundings.current_at(), Time(20), "what was true stays true");
        for n in 0..1_000 {
            soundings.sounded(sounding(30 + n, 10 + n as u64), 9);
        }
        assert!(soundings.pending.len() <= PENDING);
        soundings.folded(1_009);
        assert_eq!(soundings.current_at(), Time(1_029), "the last is never let go of");
    }

    #[tokio::test]
    async fn an_heir_is_as_old_as_the_oldest_that_it_has_not_folded() {
        let journal = Memory::new(Topology::uniform(1), Clock::manual(EIGHT));
        let event = |ms: i64| {
            let event = model::Fact::new(
                Time(EIGHT + ms),
                model::Subject::Call("1".into()),
                model::event::call::Answered::default(),
            );
            let value = event.into_envelope(&"pbx1".into(), Time(EIGHT)).to_json();
            Entry::new(Stream::EventsCall, "1".to_owned(), value)
        };
        let oldest = async |from, end| {
            let at = oldest_from(&*journal, Position::new(Stream::EventsCall, 0, from), end).await.unwrap();
            at.map(|at| at.ms() - EIGHT)
        };
        assert_eq!(oldest(0, 0).await, None);
        journal.append(vec![event(-700), event(-300), event(-500), event(900)]).await.unwrap();
        assert_eq!(oldest(1, 4).await, Some(-500), "admitted later, and yet acknowledged before another");
        assert_eq!(oldest(3, 4).await, Some(0), "a clock that is ahead: it was written by now");
        journal.append((0..LOOKED_AT).map(|_| event(0)).collect()).await.unwrap();
        assert_eq!(oldest(0, 4 + LOOKED_AT as u64).await, None, "too many to look at");
    }

    async fn append(journal: &Arc<Memory>, stream: Stream, key: &str) {
        journal.append(vec![Entry::new(stream, key.to_owned(), "{}")]).await.unwrap();
    }

    async fn admit(journal: &Arc<Memory>, partition: u32, offset: u64) {
        let positions = vec![Position::new(Stream::Ingest, partition, offset)];
        let commit = Commit { group: ADMITTING.to_owned(), positions, ..Commit::default() };
        journal.append_and_commit(commit).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_never_admitted_makes_figures_as_old_as_it_is() {
        let clock = Clock::manual(EIGHT);
        let journal = Memory::new(Topology::uniform(2), clock.clone());
        let at = async || {
            let found = sound(&*journal, &[(Stream::EventsCall, 0)], Time(clock.now_ms())).await.unwrap();
            found.expect("known")[0].at.ms() - EIGHT
        };
        assert_eq!(at().await, 0, "nothing is there: it is now");
        clock.advance(Duration::from_secs(1)).await;
        let keys: Vec<String> = (0..10).map(|n| format!("pbx{n}")).collect();
        let lies = |key: &String| journal.partition_of(Stream::Ingest, key.as_bytes());
        let (a, b) = (keys.iter().find(|key| lies(key) == 0).unwrap(), keys.iter().find(|key| lies(key) == 1).unwrap());
        append(&journal, Stream::Ingest, a).await;
        clock.advance(Duration::from_secs(1)).await;
        append(&journal, Stream::Ingest, b).await;
        clock.advance(Duration::from_secs(1)).await;
        assert_eq!(at().await, 1_000, "nobody has admitted anything in either partition");
        admit(&journal, 0, 1).await;
        assert_eq!(at().await, 2_000, "of the other partition nothing was ever admitted");
        admit(&journal, 1, 1).await;
        assert_eq!(at().await, 3_000);
    }
}
