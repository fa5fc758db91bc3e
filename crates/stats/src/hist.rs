//! Durations counted by bucket: sparse, and exact for whole seconds, so that any threshold and percentile can be asked later.
//!
//! A bucket holds what is above the edge before it and up to its own edge, inclusive: bucket 0 is exactly 0 (and below),
//! then 100 ms steps up to a minute, then whole seconds. A vendor that counts in whole seconds loses nothing.

/// Up to here buckets are [`FINE_MS`] wide, in milliseconds.
pub const FINE_UP_TO_MS: i64 = 60_000;
/// The width of a fine bucket, in milliseconds.
pub const FINE_MS: i64 = 100;
/// The width of a coarse bucket, in milliseconds.
pub const COARSE_MS: i64 = 1_000;
/// What is longer counts as this long: 100 days, in milliseconds.
pub const LONGEST_MS: i64 = 8_640_000_000;

const FINE: i64 = FINE_UP_TO_MS / FINE_MS;

/// The bucket of a duration in milliseconds.
pub fn bucket(ms: i64) -> u32 {
    let ms = ms.clamp(0, LONGEST_MS);
    let b = if ms <= FINE_UP_TO_MS {
        (ms + FINE_MS - 1) / FINE_MS
    } else {
        FINE + (ms - FINE_UP_TO_MS + COARSE_MS - 1) / COARSE_MS
    };
    b as u32
}

/// The upper edge of a bucket in milliseconds: the longest duration in it.
pub fn edge(bucket: u32) -> i64 {
    let b = i64::from(bucket);
    if b <= FINE { b * FINE_MS } else { FINE_UP_TO_MS + (b - FINE) * COARSE_MS }
}

/// A histogram, ready to be asked. Every answer takes a duration for its bucket's edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hist {
    buckets: Vec<(u32, i64)>,
}

impl Hist {
    /// From buckets and counts in any order; the same bucket may come more than once.
    pub fn new(mut buckets: Vec<(u32, i64)>) -> Hist {
        buckets.sort_unstable_by_key(|b| b.0);
        buckets.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        buckets.retain(|b| b.1 > 0);
        Hist { buckets }
    }

    /// How many durations.
    pub fn count(&self) -> i64 {
        self.buckets.iter().map(|b| b.1).sum()
    }

    /// How many are at most `ms`; exact when `ms` is an edge.
    pub fn count_le(&self, ms: i64) -> i64 {
        self.buckets.iter().take_while(|b| edge(b.0) <= ms).map(|b| b.1).sum()
    }

    /// How many are below `ms`; exact when `ms` is an edge and durations are edges.
    pub fn count_lt(&self, ms: i64) -> i64 {
        self.buckets.iter().take_while(|b| edge(b.0) < ms).map(|b| b.1).sum()
    }

    /// The longest, in milliseconds; `None` when empty.
    pub fn max(&self) -> Option<i64> {
        self.buckets.last().map(|b| edge(b.0))
    }

    /// The mean of those at most `ms`, in milliseconds; `None` when there are none.
    pub fn mean_le(&self, ms: i64) -> Option<f64> {
        let below = self.buckets.iter().take_while(|b| edge(b.0) <= ms);
        let (n, sum) = below.fold((0, 0), |(n, sum), b| (n + b.1, sum + b.1 * edge(b.0)));
        (n > 0).then(|| sum as f64 / n as f64)
    }

    /// The value at 0-based `rank` of the sorted durations, in milliseconds; beyond the last: the last.
    fn at(&self, rank: i64) -> i64 {
        let mut seen = 0;
        for &(b, n) in &self.buckets {
            seen += n;
            if rank < seen {
                return edge(b);
            }
        }
        self.max().unwrap_or(0)
    }

    /// The `q` quantile (0 to 1) by nearest rank, ⌈q·n⌉, in milliseconds; `None` when empty.
    pub fn quantile(&self, q: f64) -> Option<i64> {
        let n = self.count();
        // the small allowance keeps 0.9 · 10 from becoming rank 10 by the last bit
        let rank = ((q * n as f64 - 1e-9).ceil() as i64).clamp(1, n.max(1));
        (n > 0).then(|| self.at(rank - 1))
    }

    /// The `q` quantile (0 to 1), linear between the two nearest ranks at (n − 1)·q, in milliseconds; `None` when empty.
    pub fn quantile_linear(&self, q: f64) -> Option<f64> {
        let n = self.count();
        if n == 0 {
            return None;
        }
        let pos = (n - 1) as f64 * q;
        let below = pos.floor();
        let (lo, hi) = (self.at(below as i64), self.at(below as i64 + 1));
        Some(lo as f64 + (hi - lo) as f64 * (pos - below))
    }

    /// Upper edge in milliseconds and count, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.buckets.iter().map(|&(b, n)| (edge(b), n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ms: &[i64]) -> Hist {
        Hist::new(ms.iter().map(|&m| (bucket(m), 1)).collect())
    }

    #[test]
    fn whole_seconds_and_tenths_keep_their_value() {
        for ms in [0, 100, 59_900, 60_000, 61_000, 749_000, 35_999_000] {
            assert_eq!(edge(bucket(ms)), ms);
        }
        assert_eq!(edge(bucket(60_001)), 61_000);
        assert_eq!(bucket(-5), 0);
    }

    #[test]
    fn quantiles_agree_with_sorting() {
        let h = of(&[5_000, 1_000, 2_000, 4_000]);
        assert_eq!(h.quantile(0.5), Some(2_000));
        assert_eq!(h.quantile_linear(0.5), Some(3_000.0));
        assert_eq!(h.quantile(0.9), Some(5_000));
        assert_eq!((h.count_le(4_000), h.count_lt(4_000), h.max()), (3, 2, Some(5_000)));
        assert_eq!(h.mean_le(2_000), Some(1_500.0));
        assert_eq!(of(&(1..=10).map(|s| s * 1000).collect::<Vec<_>>()).quantile(0.9), Some(9_000));
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!((of(&[]).quantile(0.5), of(&[]).quantile_linear(0.5), of(&[]).max()), (None, None, None));
    }
}
