//! A figure over seeds: its mean, and where the mean lies with 95 of 100.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A mean over seeds and its interval (Student's t, 95 %).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Spread {
    /// Of one value for each seed. Of one seed alone the interval is the value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let values: Vec<f64> = values.into_iter().collect();
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let half = if values.len() < 2 { 0.0 } else { t(values.len() - 1) * (squares / (count - 1.0) / count).sqrt() };
        Spread { mean: rounded(mean), low: rounded(mean - half), high: rounded(mean + half) }
    }
}

/// To five decimals: what is behind them is not known, and would differ between machines.
pub(crate) fn rounded(value: f64) -> f64 {
    // adding 0 makes a negative zero a zero
    (value * 1e5).round() / 1e5 + 0.0
}

/// The 97.5 % point of Student's t, from its table.
fn t(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    TABLE.get(degrees.wrapping_sub(1)).copied().unwrap_or(1.96)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_as_wide_as_the_table_says() {
        // by hand: mean 2, deviation 1, t(2) = 4.303
        let spread = Spread::of([1.0, 2.0, 3.0]);
        assert_eq!((spread.mean, spread.low), (2.0, rounded(2.0 - 4.303 / 3f64.sqrt())));
        assert_eq!(Spread::of([7.0]), Spread { mean: 7.0, low: 7.0, high: 7.0 });
        assert_eq!(Spread::of([0.0; 9]).high, 0.0);
        assert_eq!(Spread::of([]), Spread::default());
    }
}
