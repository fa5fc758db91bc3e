//! Many samples of one quantity.

/// Samples, sorted. Percentiles are the nearest rank: always a value that was measured.
#[derive(Clone, Debug, Default)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// The `share` of the samples (0 to 1) is not above this; 0 without samples.
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share.clamp(0.0, 1.0) * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied().unwrap_or(0.0)
    }

    /// The middle one.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The largest; 0 without samples.
    pub fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Spread {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Spread(sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample_of_the_nearest_rank() {
        let spread: Spread = (1..=100).rev().map(f64::from).collect();
        assert_eq!((spread.median(), spread.quantile(0.99), spread.max()), (50.0, 99.0, 100.0));
        assert_eq!((spread.quantile(0.0), spread.quantile(1.0)), (1.0, 100.0));
        assert_eq!(Spread::default().median(), 0.0);
    }
}
