//! The books: a topic in which every process says what its groups do, and reads what all say. One thread per process reads, and keeps
//! the members of this process alive.
//!
//! What is said counts at the place where it lies in the books, so there is one order for everybody, and nobody need ask a coordinator.
//! A member is missed by others, by their own clocks, when nothing was heard of it for a lease although the books went on; the note that
//! it is missed counts only if it gave no sign of life before the note.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::Consumer as _;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::oneshot;

use super::client::{Inquiries, Net, Reader, Voice, number, offset};
use super::cursor::Cursors;
use super::ledger::{Club, Heard, Ledger, Outcome};
use super::outbox::{Message, Outbox};
use super::wire::{self, Id, Pairs, Said};
use crate::board::{Bell, Board};
use crate::contract::Commit;
use crate::{Error, Result, Topology};
use service::Clock;

/// The topic of the books, after the prefix.
pub(crate) const BOOKS: &str = "groups";
/// How long the thread sleeps when nothing is said.
const POLL: Duration = Duration::from_millis(20);
/// The most records between two looks at the clock.
const ROUND: usize = 500;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the books are kept with.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) topology: Topology,
    pub(crate) clock: Clock,
    pub(crate) lease: Duration,
    pub(crate) max_poll: Duration,
    pub(crate) timeout: Duration,
}

struct Waiter {
    reply: oneshot::Sender<Outcome>,
    since: Duration,
}

/// The books of this process.
pub(crate) struct Clerk {
    net: Net,
    topic: Arc<str>,
    partitions: u32,
    terms: Terms,
    session: u64,
    said: Mutex<u64>,
    inquiries: Inquiries,
    outbox: Arc<Outbox>,
    board: Arc<Board>,
    ledgers: Mutex<BTreeMap<u32, Arc<Mutex<Ledger>>>>,
    waiters: Mutex<HashMap<Id, Waiter>>,
    /// When the last sign of life that was read back was given, by partition of the books.
    proven: Mutex<BTreeMap<u32, Duration>>,
}

impl Clerk {
    /// Opens the books and starts to read them, as far as somebody asks for them.
    pub(crate) fn open(
        net: &Net,
        partitions: u32,
        terms: Terms,
        inquiries: &Inquiries,
        outbox: &Arc<Outbox>,
        board: &Arc<Board>,
        cursors: &Arc<Cursors>,
    ) -> Result<Arc<Self>> {
        let mut config = net.reader_config();
        // what is gone lies in a snapshot further on
        config.set("auto.offset.reset", "earliest");
        let reader: Reader = net.client(&config, Voice::default())?;
        let clerk = Arc::new(Self {
            net: net.clone(),
            topic: net.topic(BOOKS).into(),
            partitions: partitions.max(1),
            terms,
            session: session(),
            said: Mutex::new(0),
            inquiries: inquiries.clone(),
            outbox: Arc::clone(outbox),
            board: Arc::clone(board),
            ledgers: Mutex::default(),
            waiters: Mutex::default(),
            proven: Mutex::default(),
        });
        let (bell, thread, cursors) = (Bell::of(board), Arc::clone(&clerk), Arc::clone(cursors));
        let work = move || {
            Rounds::new(thread, reader, cursors).run();
            drop(bell);
        };
        let named = std::thread::Builder::new().name("journal-books".to_owned());
        named.spawn(work).map_err(|e| Error::Storage(e.to_string()))?;
        Ok(clerk)
    }

    /// The partition of the books that a group is in.
    pub(crate) fn partition_of(&self, group: &str) -> u32 {
        let hash = xxhash_rust::xxh3::xxh3_64(group.as_bytes());
        u32::try_from(hash % u64::from(self.partitions)).unwrap_or(0)
    }

    /// How many partitions the books have.
    pub(crate) fn partitions(&self) -> u32 {
        self.partitions
    }

    fn ledger(&self, partition: u32) -> Arc<Mutex<Ledger>> {
        let make = || Arc::new(Mutex::new(Ledger::new(self.terms.topology.clone())));
        Arc::clone(lock(&self.ledgers).entry(partition).or_insert_with(make))
    }

    /// Reads what lies in the books by now, and then looks at them.
    pub(crate) async fn fresh<T>(&self, partition: u32, look: impl FnOnce(&Ledger) -> T) -> Result<T> {
        let ledger = self.ledger(partition);
        let end = self.inquiries.end((self.topic.to_string(), partition)).await?;
        crate::metering::books_behind(end.saturating_sub(lock(&ledger).next));
        self.until(&ledger, end).await?;
        let ledger = lock(&ledger);
        Ok(look(&ledger))
    }

    /// As [`fresh`](Self::fresh), at one group.
    pub(crate) async fn fresh_club<T>(&self, group: &str, look: impl FnOnce(Option<&Club>) -> T) -> Result<T> {
        self.fresh(self.partition_of(group), |ledger| look(ledger.clubs.get(group))).await
    }

    /// Looks at a group as far as it is known here.
    pub(crate) fn known_club<T>(&self, group: &str, look: impl FnOnce(Option<&Club>) -> T) -> T {
        look(lock(&self.ledger(self.partition_of(group))).clubs.get(group))
    }

    async fn until(&self, ledger: &Mutex<Ledger>, end: u64) -> Result<()> {
        let mut ticks = self.board.ticks();
        loop {
            {
                let ledger = lock(ledger);
                if ledger.next >= end && !ledger.is_waiting() {
                    return Ok(());
                }
            }
            if self.board.is_closed() {
                return Err(Error::Closed);
            }
            let changed = self.terms.clock.timeout(self.terms.timeout, ticks.changed()).await;
            changed.map_err(|late| Error::Unanswered(late.to_string()))?.map_err(|_| Error::Closed)?;
        }
    }

    fn messages(&self, partition: u32, id: Id, said: &Said, pairs: &Pairs) -> Result<Vec<Message>> {
        let at_ms = self.terms.clock.now_ms();
        let message =
            |value: Bytes| Message { topic: Arc::clone(&self.topic), partition, key: None, value: Some(value), at_ms };
        Ok(wire::write(id, said, pairs)?.into_iter().map(message).collect())
    }

    fn next_id(&self) -> Id {
        let mut number = lock(&self.said);
        *number += 1;
        Id { session: self.session, number: *number }
    }

    /// Says something, and answers what became of it.
    pub(crate) async fn say(&self, partition: u32, said: &Said, pairs: &Pairs) -> Result<Outcome> {
        if self.board.is_closed() {
            return Err(Error::Closed);
        }
        let _reading = self.ledger(partition);
        let id = self.next_id();
        let messages = self.messages(partition, id, said, pairs)?;
        let (reply, outcome) = oneshot::channel();
        let waiter = Waiter { reply, since: self.terms.clock.monotonic() };
        lock(&self.waiters).insert(id, waiter);
        let forget = Forget { clerk: self, id };
        self.outbox.send(messages).await?;
        let outcome = outcome.await;
        drop(forget);
        if self.board.is_closed() && outcome.is_err() {
            return Err(Error::Closed);
        }
        outcome.map_err(|_| Error::Unanswered("the books could not be read back".to_owned()))
    }

    /// Says something that nobody waits for.
    pub(crate) fn mention(&self, partition: u32, said: &Said) -> Result<Id> {
        let id = self.next_id();
        self.outbox.post(self.messages(partition, id, said, &Pairs::new())?, None)?;
        Ok(id)
    }

    /// Whether a member may write now: it holds what it commits, and nobody can have missed it meanwhile.
    pub(crate) async fn admit(&self, commit: &Commit) -> Result<()> {
        let Some(fence) = commit.fence else { return Ok(()) };
        let partition = self.partition_of(&commit.group);
        let stranger = || {
            let what = "its membership".to_owned();
            Error::Fenced { group: commit.group.clone(), member: fence.member, what }
        };
        let look =
            |club: Option<&Club>| club.ok_or_else(stranger)?.admits(&commit.group, fence.member, &commit.positions);
        let proven = lock(&self.proven).get(&partition).copied();
        let recent = |at: Duration| self.terms.clock.monotonic().saturating_sub(at) < self.terms.lease / 2;
        if proven.is_some_and(recent) {
            return self.known_club(&commit.group, look);
        }
        // We may have slept: somebody may have missed us, and what we know of it is old.
        let given = self.terms.clock.monotonic();
        let said = Said::Alive { members: vec![(commit.group.clone(), fence.member)] };
        self.say(partition, &said, &Pairs::new()).await?;
        lock(&self.proven).insert(partition, given);
        self.known_club(&commit.group, look)
    }
}

/// Takes a waiter away however the wait ends.
struct Forget<'a> {
    clerk: &'a Clerk,
    id: Id,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.clerk.waiters).remove(&self.id);
    }
}

/// A number that no other process has. Nothing depends on its value.
pub(crate) fn session() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The seed of a hash map is the one source of chance that the standard library has; `service::Seeds` would give two processes
    // with one seed the same number.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// What the thread alone knows.
struct Rounds {
    clerk: Arc<Clerk>,
    reader: Reader,
    cursors: Arc<Cursors>,
    open: BTreeSet<u32>,
    /// When something was last heard of a member.
    heard: HashMap<(String, u64), Duration>,
    /// Our signs of life that were not read back yet, with the moment they were given.
    given: HashMap<Id, Duration>,
    given_at: Option<Duration>,
    /// Since when the books go on without a halt, by partition: whoever was silent during a halt could not speak.
    going_since: BTreeMap<u32, Duration>,
    missed: BTreeSet<(String, u64, u64)>,
    snapshots: BTreeSet<u32>,
}

impl Rounds {
    fn new(clerk: Arc<Clerk>, reader: Reader, cursors: Arc<Cursors>) -> Self {
        Self {
            clerk,
            reader,
            cursors,
            open: BTreeSet::new(),
            heard: HashMap::new(),
            given: HashMap::new(),
            given_at: None,
            going_since: BTreeMap::new(),
            missed: BTreeSet::new(),
            snapshots: BTreeSet::new(),
        }
    }

    fn run(mut self) {
        while !self.clerk.board.is_closed() {
            self.open_what_is_asked_for();
            let mut wait = POLL;
            let (mut read, mut generations) = (0, Vec::new());
            while read < ROUND {
                let Some(polled) = self.reader.poll(wait) else { break };
                wait = Duration::ZERO;
                match polled {
                    Ok(message) => {
                        read += 1;
                        let value = message.payload().map(Bytes::copy_from_slice).unwrap_or_default();
                        let at = u64::try_from(message.offset()).unwrap_or_default();
                        let partition = u32::try_from(message.partition()).unwrap_or_default();
                        drop(message);
                        self.take(partition, at, value, &mut generations);
                    }
                    Err(error) => tracing::debug!(%error, "the books cannot be read just now"),
                }
            }
            if read > 0 {
                self.clerk.board.publish(&[], &generations);
                self.clerk.board.tick();
            }
            self.keep();
            self.cursors.listen();
            self.write_snapshots();
        }
        lock(&self.clerk.waiters).clear();
    }

    fn open_what_is_asked_for(&mut self) {
        let asked: Vec<u32> = lock(&self.clerk.ledgers).keys().filter(|p| !self.open.contains(p)).copied().collect();
        for partition in asked {
            let mut list = TopicPartitionList::new();
            let begin = rdkafka::Offset::Beginning;
            let added = list.add_partition_offset(&self.clerk.topic, number(partition), begin);
            if let Err(error) = added.and_then(|()| self.reader.incremental_assign(&list)) {
                tracing::warn!(%error, partition, "the books cannot be opened");
                continue;
            }
            self.open.insert(partition);
        }
    }

    fn take(&mut self, partition: u32, at: u64, value: Bytes, generations: &mut Vec<(String, u64)>) {
        let ledger = self.clerk.ledger(partition);
        let mut ledger = lock(&ledger);
        let heard = ledger.take(at, value);
        let now = self.clerk.terms.clock.monotonic();
        for Heard { id, outcome, alive, group, snapshot_due, obsolete_before } in heard {
            for member in alive {
                self.heard.insert(member, now);
            }
            if let Some(group) = group {
                let generation = ledger.clubs.get(&group).map_or(0, |club| club.group.generation());
                generations.push((group, generation));
            }
            if id.session != self.clerk.session {
                continue;
            }
            if let Some(waiter) = lock(&self.clerk.waiters).remove(&id) {
                let _ = waiter.reply.send(outcome); // nobody listens when the caller has gone
            }
            if let Some(given) = self.given.remove(&id) {
                lock(&self.clerk.proven).insert(partition, given);
                if now.saturating_sub(given) > self.clerk.terms.lease / 3 {
                    self.going_since.insert(partition, now);
                }
                self.miss(partition, given, &ledger);
            }
            if snapshot_due {
                self.snapshots.insert(partition);
            }
            if let Some(next) = obsolete_before {
                self.remove_before(partition, next);
            }
        }
    }

    /// Says of whom nothing was heard for a lease, up to the moment `now` at which we could speak ourselves.
    fn miss(&mut self, partition: u32, now: Duration, ledger: &Ledger) {
        let going = self.going_since.get(&partition).copied().unwrap_or_default();
        for (group, club) in &ledger.clubs {
            for member in club.group.members() {
                let heard = *self.heard.entry((group.clone(), member)).or_insert(now);
                let signs = club.signs.get(&member).copied().unwrap_or_default();
                let silent = now.saturating_sub(heard.max(going)) >= self.clerk.terms.lease;
                if silent && self.missed.insert((group.clone(), member, signs)) {
                    tracing::info!(group, member, "a member was not heard of for a lease");
                    let said = Said::Missed { group: group.clone(), member, signs };
                    if let Err(error) = self.clerk.mention(partition, &said) {
                        tracing::debug!(%error, "nobody can be missed just now");
                        self.missed.remove(&(group.clone(), member, signs));
                    }
                }
            }
        }
    }

    /// Gives a sign of life for the members of this process, and lets those go who waited for too long.
    fn keep(&mut self) {
        let terms = &self.clerk.terms;
        let now = terms.clock.monotonic();
        lock(&self.clerk.waiters).retain(|_, waiter| now.saturating_sub(waiter.since) < terms.timeout * 2);
        if self.given_at.is_some_and(|given| now.saturating_sub(given) < terms.lease / 3) {
            return;
        }
        let mut by_partition: BTreeMap<u32, Vec<(String, u64)>> = BTreeMap::new();
        for (group, members) in self.clerk.board.alive(now, terms.max_poll) {
            let alive = by_partition.entry(self.clerk.partition_of(&group)).or_default();
            alive.extend(members.into_iter().map(|member| (group.clone(), member)));
        }
        // None is under way any more that was given so long ago.
        self.given.retain(|_, given| now.saturating_sub(*given) < terms.timeout * 2);
        let nobody = by_partition.is_empty();
        for (partition, members) in by_partition {
            match self.clerk.mention(partition, &Said::Alive { members }) {
                Ok(id) => _ = self.given.insert(id, now),
                Err(error) => tracing::debug!(%error, "no sign of life can be given just now"),
            }
        }
        if !nobody {
            self.given_at = Some(now);
            if self.missed.len() > 10_000 {
                self.missed.clear();
            }
        }
    }

    fn write_snapshots(&mut self) {
        for partition in std::mem::take(&mut self.snapshots) {
            let ledger = self.clerk.ledger(partition);
            let ledger = lock(&ledger);
            if !ledger.can_be_kept() {
                // Somebody speaks just now: at the next round.
                self.snapshots.insert(partition);
                continue;
            }
            let (said, pairs) = ledger.snapshot();
            drop(ledger);
            let id = self.clerk.next_id();
            let messages = self.clerk.messages(partition, id, &said, &pairs);
            if let Err(error) = messages.and_then(|messages| self.clerk.outbox.post(messages, None)) {
                tracing::warn!(%error, "no snapshot of the books could be written; the next speaker tries again");
            }
        }
    }

    /// Removes what our snapshot holds. On a thread of its own: signs of life must not wait for it.
    fn remove_before(&self, partition: u32, next: u64) {
        let (net, topic) = (self.clerk.net.clone(), Arc::clone(&self.clerk.topic));
        let work = move || {
            let removed = (|| -> std::result::Result<(), String> {
                let config = net.config();
                let admin: AdminClient<DefaultClientContext> = config.create().map_err(|e| e.to_string())?;
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&topic, number(partition), offset(next)).map_err(|e| e.to_string())?;
                let options = AdminOptions::new().request_timeout(Some(net.timeout));
                futures::executor::block_on(admin.delete_records(&list, &options)).map_err(|e| e.to_string())?;
                Ok(())
            })();
            if let Err(error) = removed {
                tracing::warn!(
                    error,
                    "what a snapshot holds could not be removed from the books; it does no harm there"
                );
            }
        };
        // Nothing is lost when there is no thread: the next snapshot removes more.
        let _ = std::thread::Builder::new().name("journal-sweep".to_owned()).spawn(work);
    }
}
