//! tmp
use stats::{Field, Tally};
/// tmp
pub fn service_level(tally: &Tally, _policy: &str, threshold_ms: i64) -> Option<f64> {
    let (off, short) = (tally.get(Field::Offered), tally.get(Field::ShortAbandoned));
    let within = tally.hist(&[Field::WaitAnswered]).count_le(threshold_ms);
    (off - short > 0).then(|| within as f64 / (off - short) as f64)
}
