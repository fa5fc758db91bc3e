//! The contract: what every journal promises, in prose and in types.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use crate::limit;
use crate::{Error, Result, Stream};

/// A partition of a stream.
pub type Partition = (Stream, u32);

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where to.
    pub stream: Stream,
    /// What decides the partition, and so the order: records of one key are read in the order in which they were appended.
    pub key: Bytes,
    /// The content. Empty on a compacted stream: a tombstone, the key is gone.
    pub value: Bytes,
}

impl Entry {
    /// An entry of anything that is bytes.
    pub fn new(stream: Stream, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { stream, key: key.into(), value: value.into() }
    }
}

/// A record as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place within the partition; grows by one with each append, never used twice.
    pub offset: u64,
    /// As appended.
    pub key: Bytes,
    /// As appended.
    pub value: Bytes,
    /// When the journal took it, milliseconds since the Unix epoch.
    pub recorded_at_ms: i64,
}

/// A place in a partition: `offset` is the next one to read. For an appended record it is the record's own offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The stream.
    pub stream: Stream,
    /// The partition of the stream.
    pub partition: u32,
    /// The next offset to read.
    pub offset: u64,
}

impl Position {
    /// A place in a partition.
    pub const fn new(stream: Stream, partition: u32, offset: u64) -> Self {
        Self { stream, partition, offset }
    }

    /// The partition without the offset.
    pub const fn partition(&self) -> Partition {
        (self.stream, self.partition)
    }
}

/// Consecutive records of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The stream.
    pub stream: Stream,
    /// The partition of the stream.
    pub partition: u32,
    /// The records, by growing offset. Only a compacted stream has holes between them.
    pub records: Vec<Record>,
    /// Where to read on. Never smaller than the last record's offset + 1; on a compacted stream it may skip a hole.
    pub next: u64,
}

impl Batch {
    /// Where to read on, as a position to commit.
    pub const fn position(&self) -> Position {
        Position::new(self.stream, self.partition, self.next)
    }
}

/// Proof of membership: who holds the partitions. A commit that carries it is refused once the partition has moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation {
    /// The member's number; given at joining, never used twice within a group.
    pub member: u64,
    /// The group's generation that the member last saw; grows with every change of members or holders.
    pub number: u64,
}

/// Everything that one step of a stateful consumer changes, to be written together.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Records to append.
    pub entries: Vec<Entry>,
    /// Whose positions and state.
    pub group: String,
    /// How far the input was read.
    pub positions: Vec<Position>,
    /// State to keep under a key of the group's own; `None` removes it. The same key twice: the later wins.
    pub state: Vec<(Bytes, Option<Bytes>)>,
    /// The consumer's [generation](Consumer::generation). `None` is for the only writer of a group that nobody subscribes.
    pub fence: Option<Generation>,
}

/// Where a member begins in a partition that it was assigned, unless it [seeks](Consumer::seek).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the group's committed position; where there is none, at the earliest record.
    #[default]
    Committed,
    /// At the earliest record that is still kept.
    Earliest,
    /// At the end: only what is appended from now on.
    Latest,
    /// At these positions; partitions that are not named start at the earliest record.
    At(Vec<Position>),
}

/// What a consumer asks for.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Members of one group share the partitions between them.
    pub group: String,
    /// The member's own name, stable over restarts. A second member of the same name takes the place of the first at once
    /// (a process that was killed and came back does not wait for its own lease); the first is fenced.
    pub member: String,
    /// The streams to read.
    pub streams: Vec<Stream>,
    /// Where to begin.
    pub start: Start,
    /// How long `next` waits for records, on the journal's clock, before it says [`Delivery::Idle`]. Zero: not at all.
    pub poll: Duration,
    /// The most records in a batch.
    pub max_records: usize,
    /// The most bytes of keys and values in a batch; a single larger record is delivered alone.
    pub max_bytes: usize,
}

impl Subscription {
    /// A subscription with the defaults: committed positions, 100 ms, 1,000 records, 4 MiB.
    pub fn new(group: impl Into<String>, member: impl Into<String>, streams: impl Into<Vec<Stream>>) -> Self {
        Self {
            group: group.into(),
            member: member.into(),
            streams: streams.into(),
            start: Start::Committed,
            poll: Duration::from_millis(100),
            max_records: 1_000,
            max_bytes: 4 << 20,
        }
    }

    /// The same, beginning elsewhere.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// The same, with another time until [`Delivery::Idle`].
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// The same, with other limits of a batch.
    #[must_use]
    pub fn batch(mut self, max_records: usize, max_bytes: usize) -> Self {
        self.max_records = max_records;
        self.max_bytes = max_bytes;
        self
    }
}

/// What a consumer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// These partitions are the member's from now on. An owner that keeps its positions beside its state seeks here.
    Assigned(Vec<Partition>),
    /// These partitions go to another member. Finish and commit what belongs to them; they are handed over when `next` is
    /// called again. If the commit is [fenced](crate::Error::Fenced), they are gone already: drop the work.
    Revoked(Vec<Partition>),
    /// Records of one partition. Never empty.
    Batch(Batch),
    /// Nothing came within the poll time.
    Idle,
}

/// What of a stream may be removed. A record goes when *any* given limit says so, and every group that committed a position in its partition
/// has read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The stream.
    pub stream: Stream,
    /// Remove records taken longer ago than this, in milliseconds.
    pub max_age_ms: Option<i64>,
    /// Keep at most so many records in each partition.
    pub max_records: Option<u64>,
    /// Keep at most so many bytes of keys and values in each partition.
    pub max_bytes: Option<u64>,
}

impl Retention {
    /// A policy without any limit: everything stays.
    pub const fn of(stream: Stream) -> Self {
        Self { stream, max_age_ms: None, max_records: None, max_bytes: None }
    }
}

/// What maintenance removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The number of records.
    pub records: u64,
}

/// What [`Journal::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many records were read and found whole.
    pub records: u64,
    /// How many bytes of keys and values they hold.
    pub bytes: u64,
    /// Damaged records, as ranges.
    pub damaged: Vec<Damage>,
    /// Everything else that is wrong: books that do not add up, pages that do not fit. Empty in a sound journal.
    pub faults: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.faults.is_empty()
    }
}

/// What of the contract depends on where a journal lies. Everything else holds everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promises {
    /// Whether entries, positions and state of one call, or the entries of several partitions, are all there or none, however the call
    /// ended. Where not, a call that was answered is there whole all the same, and one that was not may be there in part:
    /// of each partition a beginning, and positions and state only after all entries.
    pub whole_calls: bool,
    /// Whether [`Journal::compact`] removes what is superseded before it answers. Where not, something else does so by and by.
    pub compacts_at_once: bool,
}

/// Consecutive records that cannot be read back as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The stream.
    pub stream: Stream,
    /// The partition of the stream.
    pub partition: u32,
    /// The first damaged offset.
    pub from: u64,
    /// The offset after the last damaged one.
    pub to: u64,
    /// What does not fit.
    pub reason: String,
}

/// Append, read, resume.
///
/// # The contract
///
/// **Partitions and keys.** Each stream has a fixed number of partitions; a key belongs to one of them, always the same, the same
/// in every implementation ([`Journal::partition_of`]). Offsets within a partition start at 0, grow by one with each append and are never
/// used twice. There is no order between partitions.
///
/// **Order.** Records of one key are read in the order of their appends: within one call the order of the entries; between
/// calls, a call that began after another was answered comes after it. Calls under way at the same time are ordered either way, but never
/// interleaved within a partition.
///
/// **Durability.** [`append`](Journal::append) answers after the disk has the records. From then on they survive the kill of every
/// process and a power cut. Streams that are not [durable](Stream::is_durable) promise the first only. All entries of
/// one call are written, or none. A call that fails has written nothing, except [`Poisoned`](crate::Error::Poisoned),
/// [`Unanswered`](crate::Error::Unanswered) and a future dropped before its answer: then nobody knows, and the caller repeats it. **So
/// records can be there twice** after a crash, and readers must drop duplicates by an id of their own. Where calls are not
/// [whole](Promises::whole_calls), such a call may be there in part, of each partition a beginning.
///
/// **Reading.** A reader sees a record as soon as it is acknowledged, often a little earlier: a record that is seen is committed, but
/// it may not yet be safe from a power cut. Reading removes nothing. `from == end` gives an empty batch; beyond the end is an error.
///
/// **Positions.** A group's committed positions are written by [`append_and_commit`](Journal::append_and_commit) or
/// [`Consumer::commit`], or kept by the owner beside its state elsewhere, in which case it [seeks](Consumer::seek) after each
/// assignment. Either way delivery is *at least once*: what was read after the last commit is read again.
///
/// **`append_and_commit`.** Positions and state become visible and durable together, and never without the entries. Where calls
/// are [whole](Promises::whole_calls), the entries too. Where not (on Kafka), the entries come first: a crash in between, or a
/// member that loses a partition just then, repeats entries. Write folds that do not care.
///
/// **Groups.** Each partition is held by at most one member of a group. Members come and go; partitions are dealt evenly, and only
/// those move that must (cooperative): the old holder is told ([`Delivery::Revoked`]), finishes, calls `next`, and only then
/// the new one is told ([`Delivery::Assigned`]). A process that dies loses its partitions when its lease runs out, a
/// member that does not call `next` when its poll limit runs out.
///
/// **Fencing.** A commit with a [`Generation`] whose member does not hold every named partition is refused whole, with
/// [`Fenced`](crate::Error::Fenced), and nothing of it is written (where calls are not whole: nothing of its positions and state,
/// and entries only of a member that lost its partitions while they were under way). So a member that was thought dead cannot overwrite
/// its heir's work.
///
/// **Truncation.** [`retain`](Journal::retain) removes the oldest records of a partition. Reading what is gone is
/// [`Truncated`](crate::Error::Truncated) and names the earliest offset left; it is never skipped silently. What a group that committed
/// a position in the partition has not read yet stays, whatever the policy says: it was acknowledged to somebody.
///
/// **Compaction.** On a [compacted](Stream::is_compacted) stream the latest record of each key always stays (a tombstone for a
/// time); older ones of the key may vanish at any moment, leaving holes. A reader from the beginning sees at least the latest value of every key.
///
/// **Damage.** Each record carries a checksum over its place, time, key and value. A record that does not match, or that is
/// missing without leave, is [`Damaged`](crate::Error::Damaged): nothing wrong is ever returned.
///
/// **Cancellation.** Dropping a future is always safe; a dropped append may have happened.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// How many partitions a stream has, at least 1.
    fn partitions(&self, stream: Stream) -> u32;

    /// The partition of a key: its xxh3 hash modulo the number of partitions. Of a key of `views` only what comes after its last `@` is
    /// hashed: it names a partition of events, and all that is told of that one stays in order.
    fn partition_of(&self, stream: Stream, key: &[u8]) -> u32 {
        place(stream, key, self.partitions(stream))
    }

    /// What it promises beyond what every journal does.
    fn promises(&self) -> Promises {
        Promises { whole_calls: true, compacts_at_once: true }
    }

    /// The journal's identity, given at its creation. An owner that keeps positions elsewhere keeps this beside them: the positions
    /// of one journal mean nothing in another.
    fn identity(&self) -> String;

    /// Appends all entries or none, and answers with the position of each, in order, after the disk has them.
    ///
    /// # Errors
    /// `TooLarge`, `Full`, `Busy`, `Storage`: nothing was written. `Poisoned`: nobody knows. `Closed`.
    async fn append(&self, entries: Vec<Entry>) -> Result<Vec<Position>>;

    /// Appends, moves the group's positions and changes its state, all or nothing. Answers with the positions of the entries.
    ///
    /// # Errors
    /// Those of `append`; `Fenced`; `Beyond` for a position after the end.
    async fn append_and_commit(&self, commit: Commit) -> Result<Vec<Position>>;

    /// The state of a group whose keys begin with `prefix`, in order of key.
    ///
    /// # Errors
    /// `Corrupt`, `Storage`, `Closed`.
    async fn state(&self, group: &str, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>>;

    /// Reads on from `from`: at most `max_records` records and `max_bytes` bytes of keys and values, but at least one
    /// record if there is one.
    ///
    /// # Errors
    /// `Truncated`, `Beyond`, `Damaged` (when it is the first record; otherwise the batch ends before it), `NoSuchPartition`,
    /// `Storage`, `Closed`.
    async fn read(
        &self,
        stream: Stream,
        partition: u32,
        from: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Batch>;

    /// The offset that the next record of the partition will get.
    ///
    /// # Errors
    /// `NoSuchPartition`, `Corrupt`, `Storage`, `Closed`.
    async fn end(&self, stream: Stream, partition: u32) -> Result<u64>;

    /// The ends of several partitions, in the order asked, for the price of one look where there is such a thing.
    ///
    /// # Errors
    /// Those of [`end`](Journal::end).
    async fn ends(&self, partitions: &[Partition]) -> Result<Vec<u64>> {
        let mut ends = Vec::with_capacity(partitions.len());
        for (stream, partition) in partitions {
            ends.push(self.end(*stream, *partition).await?);
        }
        Ok(ends)
    }

    /// The first offset that is still kept; the same as the end when nothing is.
    ///
    /// # Errors
    /// `NoSuchPartition`, `Corrupt`, `Storage`, `Closed`.
    async fn earliest(&self, stream: Stream, partition: u32) -> Result<u64>;

    /// Waits until the end is greater than `offset`: that is, until the record `offset` is there. Sees the appends of other
    /// processes too, a few milliseconds later.
    ///
    /// # Errors
    /// `NoSuchPartition`, `Closed`.
    async fn wait_past(&self, stream: Stream, partition: u32, offset: u64) -> Result<()>;

    /// The committed positions of a group, in order; empty for a group that never committed.
    ///
    /// # Errors
    /// `Corrupt`, `Storage`, `Closed`.
    async fn committed(&self, group: &str) -> Result<Vec<Position>>;

    /// Joins a group.
    ///
    /// # Errors
    /// `Busy`, `Storage`, `Closed`; `NoSuchPartition` for a start that cannot be.
    async fn subscribe(&self, subscription: Subscription) -> Result<Box<dyn Consumer>>;

    /// Removes what the policies let go, in small steps between the appends. Streams without a policy keep everything.
    ///
    /// # Errors
    /// Those of `append`.
    async fn retain(&self, policies: &[Retention]) -> Result<Swept>;

    /// Removes superseded records of the compacted streams, and tombstones older than `tombstone_ms`, in small steps. Where
    /// somebody else [does so](Promises::compacts_at_once), it answers that it removed nothing.
    ///
    /// # Errors
    /// Those of `append` and `read`.
    async fn compact(&self, tombstone_ms: i64) -> Result<Swept>;

    /// Reads everything, and names all that is damaged. Appends go on meanwhile, but what they leave behind is tidied up only
    /// afterwards: run it at a quiet hour.
    ///
    /// # Errors
    /// `Storage`, `Closed`: only when nothing could be read; damage is in the report.
    async fn verify(&self) -> Result<Report>;

    /// Writes what is queued, and lets go of the storage. Everything afterwards is `Closed`; a second close does nothing.
    ///
    /// # Errors
    /// `Storage`.
    async fn close(&self) -> Result<()>;
}

/// A member of a group. The contract is on [`Journal`].
#[async_trait]
pub trait Consumer: Send {
    /// What comes next. Partitions take turns, so that none starves. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Those of [`Journal::read`]: the same again until the owner [seeks](Consumer::seek). `Fenced` when another member of the same name
    /// took this one's place: for good.
    async fn next(&mut self) -> Result<Delivery>;

    /// Reads on elsewhere in a partition that the member holds; for others it does nothing.
    ///
    /// # Errors
    /// `NoSuchPartition`. An offset that does not exist is noticed by `next`.
    async fn seek(&mut self, position: Position) -> Result<()>;

    /// Commits positions of partitions that the member holds.
    ///
    /// # Errors
    /// Those of [`Journal::append_and_commit`].
    async fn commit(&mut self, positions: Vec<Position>) -> Result<()>;

    /// The member's proof, for the [`fence`](Commit::fence) of a commit.
    fn generation(&self) -> Generation;

    /// Leaves the group at once; the partitions go to the others without waiting for a lease. Dropping does the same, unheard.
    ///
    /// # Errors
    /// `Busy`, `Storage`.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// Whether the stream has the partition.
pub(crate) fn check<J: Journal + ?Sized>(journal: &J, stream: Stream, partition: u32) -> Result<()> {
    let partitions = journal.partitions(stream);
    if partition < partitions { Ok(()) } else { Err(Error::NoSuchPartition { stream, partition, partitions }) }
}

/// See [`Journal::partition_of`].
pub(crate) fn place(stream: Stream, key: &[u8], partitions: u32) -> u32 {
    let hash = xxhash_rust::xxh3::xxh3_64(stream.placed_by(key));
    u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
}
