//! What this process knows of the journal without asking it: ends, generations and living members; and the watch that tells
//! those who wait that something of it changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::contract::Partition;
use crate::group::Standing;

/// The board. Numbers on it only grow, so that a late look at the file cannot undo a newer one.
pub(crate) struct Board {
    ends: HashMap<Partition, AtomicU64>,
    generations: Mutex<HashMap<String, u64>>,
    /// The members of this process, by group and number, with the moment at which they were last seen to be alive.
    members: Mutex<BTreeMap<(String, u64), Duration>>,
    ticks: watch::Sender<u64>,
    closed: AtomicBool,
    threads: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub(crate) fn new(partitions: &[Partition]) -> Self {
        Self {
            ends: partitions.iter().map(|partition| (*partition, AtomicU64::new(0))).collect(),
            generations: Mutex::default(),
            members: Mutex::default(),
            ticks: watch::Sender::new(0),
            closed: AtomicBool::new(false),
            threads: AtomicUsize::new(0),
        }
    }

    /// Takes over what moved, and wakes those who wait if anything is new.
    pub(crate) fn publish(&self, ends: &[(Partition, u64)], generations: &[(String, u64)]) {
        let mut news = false;
        for (partition, end) in ends {
            if let Some(known) = self.ends.get(partition) {
                news |= known.fetch_max(*end, Ordering::SeqCst) < *end;
            }
        }
        let mut known_generations = lock(&self.generations);
        for (group, generation) in generations {
            let known = known_generations.entry(group.clone()).or_default();
            news |= *known < *generation;
            *known = (*known).max(*generation);
        }
        drop(known_generations);
        if news {
            self.tick();
        }
    }

    /// Notes an end that was come across. Whoever waits for it is woken otherwise.
    pub(crate) fn learn(&self, partition: Partition, end: u64) {
        if let Some(known) = self.ends.get(&partition) {
            known.fetch_max(end, Ordering::SeqCst);
        }
    }

    pub(crate) fn tick(&self) {
        self.ticks.send_modify(|tick| *tick += 1);
    }

    pub(crate) fn ticks(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    /// Whether anybody waits for news.
    pub(crate) fn is_watched(&self) -> bool {
        self.ticks.receiver_count() > 0
    }

    pub(crate) fn end(&self, partition: Partition) -> u64 {
        self.ends.get(&partition).map_or(0, |end| end.load(Ordering::SeqCst))
    }

    pub(crate) fn generation(&self, group: &str) -> u64 {
        lock(&self.generations).get(group).copied().unwrap_or(0)
    }

    /// Notes that a member's owner did something.
    pub(crate) fn seen(&self, group: &str, member: u64, at: Duration) {
        lock(&self.members).insert((group.to_owned(), member), at);
    }

    /// Notes what came of a step: a member is in, or the one that wanted to leave is gone.
    pub(crate) fn stepped(&self, group: &str, leaving: Option<u64>, standing: &Standing, at: Duration) {
        match (standing, leaving) {
            (Standing::In { member, .. }, _) => self.seen(group, *member, at),
            (_, Some(member)) => self.forget(group, member),
            _ => {}
        }
    }

    /// Forgets a member that left or was put out.
    pub(crate) fn forget(&self, group: &str, member: u64) {
        lock(&self.members).remove(&(group.to_owned(), member));
    }

    /// The members whose owners did something within `limit`, by group. The others are forgotten: their leases run out.
    pub(crate) fn alive(&self, now: Duration, limit: Duration) -> BTreeMap<String, Vec<u64>> {
        let mut members = lock(&self.members);
        members.retain(|_, seen| now.saturating_sub(*seen) < limit);
        let mut alive: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (group, member) in members.keys() {
            alive.entry(group.clone()).or_default().push(*member);
        }
        alive
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.tick();
    }

    /// Waits until the threads have ended and let go of the file.
    pub(crate) async fn ended(&self) {
        let mut ticks = self.ticks();
        while self.threads.load(Ordering::SeqCst) > 0 {
            // The board holds the sender, so this cannot fail.
            let _ = ticks.changed().await;
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// Held by each thread. Closes the board when one ends, however it ends: who waits for what will not come is told.
pub(crate) struct Bell(Arc<Board>);

impl Bell {
    pub(crate) fn of(board: &Arc<Board>) -> Self {
        board.threads.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(board))
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::SeqCst);
        self.0.close();
    }
}
