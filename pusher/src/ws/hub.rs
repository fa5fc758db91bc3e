//! The hub: one board, the feeds that carry it, and the pulse that wakes the connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::Time;
use tokio::sync::watch;

use super::board::Board;
use super::feed::{Feed, Ring, Stamp, stamp_json};
use super::topic::Selection;
use super::wire::Wire;

/// What wakes a connection.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// Grows whenever some feed has something new.
    pub tick: u64,
    /// Grows with each beat.
    pub beat: u64,
    /// The beat's message, shared by all connections.
    pub beat_frame: Wire,
    /// The stamp of the last tick or beat.
    pub stamp: Stamp,
    /// The server stops: everybody is to come back later.
    pub closing: bool,
}

/// Bounds of the hub.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most feeds.
    pub feeds: usize,
    /// The memory of each.
    pub ring: Ring,
    /// How long a feed without followers is kept for those who come back.
    pub linger: Duration,
    /// From which age on the figures are stale.
    pub stale_after: Duration,
}

/// There are as many feeds as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} different selections are followed, which is the limit: use one that others use, too")]
pub struct Full(pub usize);

#[derive(Debug, Default)]
struct Inner {
    board: Board,
    feeds: HashMap<Selection, Held>,
    lives: u64,
}

#[derive(Debug)]
struct Held {
    feed: Arc<Feed>,
    alone_since: Option<Duration>,
}

/// One board, its feeds, its pulse.
#[derive(Debug)]
pub struct Hub {
    inner: Mutex<Inner>,
    pulse: watch::Sender<Pulse>,
    bounds: Bounds,
    epoch: String,
}

impl Hub {
    /// An empty hub; `epoch` names this life of the process.
    pub fn new(epoch: String, bounds: Bounds) -> Hub {
        Hub { inner: Mutex::default(), pulse: watch::Sender::new(Pulse::default()), bounds, epoch }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes or reads the board. What changed is sent by the next [`Hub::publish`].
    pub fn board<R>(&self, f: impl FnOnce(&mut Board) -> R) -> R {
        f(&mut self.inner().board)
    }

    /// Numbers what changed, in every feed that carries it, and wakes the connections. Says whether anybody had news.
    pub fn publish(&self, stamp: Stamp) -> bool {
        let mut inner = self.inner();
        let changes = inner.board.take_changes();
        let mut any = false;
        for held in inner.feeds.values() {
            held.feed.tick();
            any |= held.feed.apply(&changes, stamp);
        }
        // The stamp is kept even when nobody has news: who asks next is told the age of now.
        self.pulse.send_if_modified(|pulse| {
            pulse.stamp = stamp;
            pulse.tick += u64::from(any);
            any
        });
        any
    }

    /// Tells every connection how old the figures are.
    pub fn beat(&self, stamp: Stamp) {
        let frame = Wire::text(&format!(r#"{{"op":"beat",{}}}"#, stamp_json(stamp)));
        self.pulse.send_modify(|pulse| {
            pulse.beat += 1;
            pulse.beat_frame = frame;
            pulse.stamp = stamp;
        });
    }

    /// Sends every connection away, those too that are just coming: the server stops.
    pub fn close(&self) {
        self.pulse.send_modify(|pulse| pulse.closing = true);
    }

    /// How many connections there are.
    pub fn followers(&self) -> usize {
        self.pulse.receiver_count()
    }

    /// What wakes a connection.
    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        let mut pulse = self.pulse.subscribe();
        if pulse.borrow().closing {
            pulse.mark_changed();
        }
        pulse
    }

    /// The stamp of the last tick or beat.
    pub fn stamp(&self) -> Stamp {
        self.pulse.borrow().stamp
    }

    /// The stamp of now: the figures have aged since the last tick.
    pub fn stamp_at(&self, now: Time) -> Stamp {
        let last = self.stamp();
        let older = |age: i64| age + now.since(last.time);
        self.judged(now, last.age_ms.map(older), last.details.0.map(older))
    }

    /// A stamp: what is older than allowed is stale, and so is what never came.
    pub fn judged(&self, time: Time, age_ms: Option<i64>, details_ms: Option<i64>) -> Stamp {
        let limit = i64::try_from(self.bounds.stale_after.as_millis()).unwrap_or(i64::MAX);
        let stale = |age: Option<i64>| age.is_none_or(|age| age > limit);
        Stamp { time, age_ms, stale: stale(age_ms), details: (details_ms, stale(details_ms)) }
    }

    /// The feed of a selection; made when nobody followed it yet. It lives while somebody holds it, and a while longer.
    ///
    /// # Errors
    /// [`Full`].
    pub fn follow(&self, selection: &Selection) -> Result<Arc<Feed>, Full> {
        let mut inner = self.inner();
        if let Some(held) = inner.feeds.get_mut(selection) {
            held.alone_since = None;
            return Ok(Arc::clone(&held.feed));
        }
        if inner.feeds.len() >= self.bounds.feeds {
            return Err(Full(self.bounds.feeds));
        }
        inner.lives += 1;
        let epoch = format!("{}-{}", self.epoch, inner.lives);
        // What waits to be published is in the board already; the new feed would get it twice, which changes nothing.
        let feed = Arc::new(Feed::new(selection.clone(), epoch, self.bounds.ring, &inner.board));
        inner.feeds.insert(selection.clone(), Held { feed: Arc::clone(&feed), alone_since: None });
        Ok(feed)
    }

    /// Forgets feeds that nobody followed for a while. `now`: monotonic.
    pub fn sweep(&self, now: Duration) {
        let linger = self.bounds.linger;
        self.inner().feeds.retain(|_, held| {
            if Arc::strong_count(&held.feed) > 1 {
                held.alone_since = None;
                return true;
            }
            now.saturating_sub(*held.alone_since.get_or_insert(now)) < linger
        });
    }

    /// How many feeds there are.
    pub fn feeds(&self) -> usize {
        self.inner().feeds.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::board::Item;
    use crate::ws::topic::{Filter, Keys, Topic};

    fn hub() -> Hub {
        let ring = Ring { frames: 8, bytes: 1 << 20 };
        Hub::new(
            "e".into(),
            Bounds { feeds: 2, ring, linger: Duration::from_secs(60), stale_after: Duration::from_secs(5) },
        )
    }

    fn all(topic: Topic) -> Selection {
        Selection { tenant: None, topic, filter: Filter::default() }
    }

    #[test]
    fn a_feed_outlives_its_last_follower_for_a_while_and_then_has_another_epoch() {
        let hub = hub();
        let epoch = hub.follow(&all(Topic::Queues)).unwrap().epoch.clone();
        hub.sweep(Duration::from_secs(100));
        hub.sweep(Duration::from_secs(159));
        assert_eq!(hub.follow(&all(Topic::Queues)).unwrap().epoch, epoch);
        hub.sweep(Duration::from_secs(200));
        hub.sweep(Duration::from_secs(261));
        assert_eq!(hub.feeds(), 0);
        assert_ne!(hub.follow(&all(Topic::Queues)).unwrap().epoch, epoch);
    }

    #[test]
    fn only_feeds_with_news_wake_the_connections() {
        let hub = hub();
        let _calls = hub.follow(&all(Topic::Calls)).unwrap();
        let pulse = hub.pulse();
        let item = Item { key: "q".into(), keys: Keys::default(), json: "{}".into(), settled: false };
        hub.board(|board| board.put(Topic::Queues, item));
        assert!(!hub.publish(Stamp::default()));
        assert!(!pulse.has_changed().unwrap());
        hub.beat(Stamp::default());
        assert!(pulse.has_changed().unwrap());
    }

    #[test]
    fn more_feeds_than_allowed_are_refused() {
        let hub = hub();
        let _held = [hub.follow(&all(Topic::Calls)).unwrap(), hub.follow(&all(Topic::Queues)).unwrap()];
        assert_eq!(hub.follow(&all(Topic::Agents)).unwrap_err(), Full(2));
    }
}
