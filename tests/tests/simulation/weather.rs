//! How bad things are just now for one process: its disk, its ways to others. The nemesis changes it; disks and networks ask it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use service::{Clock, Rng};

/// What can go wrong with one process's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sky {
    /// The most that is added to a call, in milliseconds.
    pub slow_ms: u64,
    /// The share of calls that are refused: locked, full, failed.
    pub refused: f64,
    /// The share of commits after which nobody knows.
    pub poisoned: f64,
    /// Nothing gets through.
    pub cut: bool,
    /// The share of messages that are lost.
    pub lost: f64,
    /// The share of messages that come twice.
    pub twice: f64,
}

/// The weather of one process. It turns; what was fair becomes fair again by itself after a while.
pub struct Weather {
    clock: Clock,
    inner: Mutex<(Sky, Duration, Rng)>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It works.
    Fair,
    /// It is refused; nothing was done.
    Refused,
    /// It is done or not, and the handle is no good any more.
    Poisoned,
}

impl Weather {
    pub fn new(clock: Clock, rng: Rng) -> Weather {
        Weather { clock, inner: Mutex::new((Sky::default(), Duration::ZERO, rng)) }
    }

    /// Turns for so long.
    pub fn turn(&self, sky: Sky, lasting: Duration) {
        let mut inner = self.lock();
        (inner.0, inner.1) = (sky, self.clock.monotonic() + lasting);
    }

    /// As it is now.
    pub fn sky(&self) -> Sky {
        let inner = self.lock();
        if self.clock.monotonic() < inner.1 { inner.0 } else { Sky::default() }
    }

    /// How long a call takes that usually takes up to `usual`.
    pub fn delay(&self, usual: Duration) -> Duration {
        let slow = Duration::from_millis(self.sky().slow_ms);
        let mut inner = self.lock();
        let rng = &mut inner.2;
        let extra = if slow.is_zero() { Duration::ZERO } else { rng.random_range(Duration::ZERO..=slow) };
        rng.random_range(Duration::ZERO..=usual) + extra
    }

    /// Whether something of this share happens now.
    pub fn happens(&self, share: f64) -> bool {
        share > 0.0 && self.lock().2.random_bool(share)
    }

    /// A number below `n`.
    pub fn below(&self, n: usize) -> usize {
        self.lock().2.random_range(0..n)
    }

    /// What becomes of a call that changes something.
    pub fn fate(&self) -> Fate {
        let sky = self.sky();
        match () {
            () if self.happens(sky.refused) => Fate::Refused,
            () if self.happens(sky.poisoned) => Fate::Poisoned,
            () => Fate::Fair,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Sky, Duration, Rng)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
