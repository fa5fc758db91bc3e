//! Where the journal's times come from. The journal reads no clock of its own: its opener hands one in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The two clocks that the journal needs: wall time, which is written into records and leases, and a monotonic one for measuring.
///
/// With the `service` crate: `Clock::new({let c = clock.clone(); move || c.now_ms()}, move || clock.monotonic())`.
#[derive(Clone)]
pub struct Clock {
    wall: Arc<dyn Fn() -> i64 + Send + Sync>,
    monotonic: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    /// A clock of two functions: `wall` gives milliseconds since the Unix epoch, `monotonic` the time since any fixed moment.
    pub fn new(
        wall: impl Fn() -> i64 + Send + Sync + 'static,
        monotonic: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self { wall: Arc::new(wall), monotonic: Arc::new(monotonic) }
    }

    /// A clock that stands still at `start_ms` until its [`Hands`] are moved: for tests.
    pub fn manual(start_ms: i64) -> (Self, Hands) {
        let hands = Hands(Arc::new(AtomicI64::new(start_ms)));
        let (wall, monotonic) = (hands.clone(), hands.clone());
        let clock = Self::new(
            move || wall.now_ms(),
            move || Duration::from_millis(monotonic.now_ms().saturating_sub(start_ms).max(0).unsigned_abs()),
        );
        (clock, hands)
    }

    /// Wall time, milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        (self.wall)()
    }

    /// Time since a fixed moment; never goes back.
    pub fn monotonic(&self) -> Duration {
        (self.monotonic)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("now_ms", &self.now_ms()).finish_non_exhaustive()
    }
}

/// The hands of a [manual clock](Clock::manual).
#[derive(Clone, Debug)]
pub struct Hands(Arc<AtomicI64>);

impl Hands {
    /// Moves the clock on by `by`.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    /// What the clock shows, milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
