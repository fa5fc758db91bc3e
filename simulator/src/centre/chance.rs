//! Chance: laws of duration and the seeded streams they are drawn from.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A law of duration, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Always the same.
    Fixed {
        /// The duration in ms.
        ms: f64,
    },
    /// Memoryless with this mean.
    Exponential {
        /// The mean in ms.
        mean_ms: f64,
    },
    /// Log-normal: skewed, with a long tail, as talk times and patience are in practice.
    LogNormal {
        /// Mean of the underlying normal law (of ln ms).
        mu: f64,
        /// Standard deviation of the underlying normal law.
        sigma: f64,
    },
    /// Anything between two bounds.
    Uniform {
        /// Least duration in ms.
        low_ms: f64,
        /// Greatest duration in ms.
        high_ms: f64,
    },
}

impl Law {
    /// The log-normal law with this mean and this spread (`sigma`): `mu = ln(mean) - sigma²/2`.
    pub fn log_normal(mean_ms: f64, sigma: f64) -> Law {
        Law::LogNormal { mu: mean_ms.max(1.0).ln() - sigma * sigma / 2.0, sigma }
    }

    /// Draws one duration in whole milliseconds, never negative.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> i64 {
        let ms = match *self {
            Law::Fixed { ms } => ms,
            Law::Exponential { mean_ms } => -unit(rng).ln() * mean_ms,
            Law::LogNormal { mu, sigma } => (mu + sigma * normal(rng)).exp(),
            Law::Uniform { low_ms, high_ms } => low_ms + (high_ms - low_ms) * (1.0 - unit(rng)),
        };
        // A tail of weeks would only keep a call open for ever: one day bounds every law.
        ms.clamp(0.0, 86_400_000.0).round() as i64
    }
}

/// A number in (0, 1]: never zero, so that its logarithm is finite.
pub(crate) fn unit(rng: &mut impl Rng) -> f64 {
    1.0 - rng.random::<f64>()
}

/// A standard normal number (Box and Muller, 1958).
fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * unit(rng).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// True with this probability.
pub(crate) fn happens(rng: &mut impl Rng, share: f64) -> bool {
    rng.random::<f64>() < share
}

/// Which of the shares is hit, where `at` is in [0, 1) of their sum.
pub(crate) fn pick(shares: impl Iterator<Item = f64> + Clone, rng: &mut impl Rng) -> usize {
    let sum: f64 = shares.clone().sum();
    let mut left = rng.random::<f64>() * sum;
    let mut last = 0;
    for (i, share) in shares.enumerate() {
        if share > 0.0 {
            last = i;
            if left < share {
                return i;
            }
        }
        left -= share;
    }
    last
}

/// What a stream of chance is for. Every call has its own, so that what one caller does never depends on how another fared:
/// the same seed with one more agent has the same callers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Call(u64),
    Arrivals,
    Agents,
    Faults,
}

/// The stream of a seed for a purpose.
pub(crate) fn stream(seed: u64, which: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(match which {
        Stream::Arrivals => u64::MAX,
        Stream::Agents => u64::MAX - 1,
        Stream::Faults => u64::MAX - 2,
        Stream::Call(no) => no,
    });
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(law: Law) -> f64 {
        let mut rng = stream(7, Stream::Arrivals);
        (0..40_000).map(|_| law.draw(&mut rng) as f64).sum::<f64>() / 40_000.0
    }

    #[test]
    fn each_law_has_the_mean_it_was_given() {
        for law in [
            Law::Fixed { ms: 60_000.0 },
            Law::Exponential { mean_ms: 60_000.0 },
            Law::log_normal(60_000.0, 0.8),
            Law::Uniform { low_ms: 50_000.0, high_ms: 70_000.0 },
        ] {
            let mean = mean_of(law);
            assert!((mean - 60_000.0).abs() < 1_800.0, "{law:?} has mean {mean}");
        }
    }

    #[test]
    fn a_share_of_zero_is_never_picked() {
        let mut rng = stream(1, Stream::Agents);
        let picked: Vec<_> = (0..500).map(|_| pick([0.0, 1.0, 0.0, 3.0].into_iter(), &mut rng)).collect();
        assert!(picked.iter().all(|i| *i == 1 || *i == 3));
        let threes = picked.iter().filter(|i| **i == 3).count();
        assert!((320..430).contains(&threes), "{threes}");
    }

    #[test]
    fn two_calls_have_two_streams_and_one_call_has_one() {
        let draw = |no| stream(42, Stream::Call(no)).random::<u64>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
