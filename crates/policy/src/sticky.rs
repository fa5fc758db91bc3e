//! A caller's place in the lottery: the same for the hour, so that calling again is not a new ticket.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Where the caller stands in this hour, 0 (turned away first) to below 1. Every gate gives the same answer without asking another.
///
/// `caller` is whatever names the caller (a token of the number); `hour` counts hours since the epoch. A caller who was turned away
/// before moves up with each attempt.
pub fn place(caller: &[u8], hour: i64, attempts: u32) -> f64 {
    let hash = xxh3_64_with_seed(caller, hour as u64);
    // 53 bits are what a double holds exactly
    let ticket = (hash >> 11) as f64 / (1u64 << 53) as f64;
    let moved = 1.0 - 0.5f64.powi(attempts.min(8) as i32);
    // halves what is missing to the top with each attempt, by a tenth of the way: priority, not a free pass
    ticket + 0.1 * moved * (1.0 - ticket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_caller_has_the_same_place_within_the_hour() {
        assert_eq!(place(b"t:1", 5, 0), place(b"t:1", 5, 0));
        assert_ne!(place(b"t:1", 5, 0), place(b"t:1", 6, 0));
        assert_ne!(place(b"t:1", 5, 0), place(b"t:2", 5, 0));
    }

    #[test]
    fn places_are_spread_evenly() {
        let mut tenths = [0u32; 10];
        for caller in 0..100_000u32 {
            tenths[(place(&caller.to_le_bytes(), 1, 0) * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (9_500..10_500).contains(count)), "{tenths:?}");
    }

    #[test]
    fn each_attempt_moves_up_a_little_and_never_to_the_top() {
        let places: Vec<f64> = (0..20).map(|attempts| place(b"t:9", 1, attempts)).collect();
        assert!(places.windows(2).all(|two| two[0] <= two[1]) && places[0] < places[1]);
        assert!(places.iter().all(|place| *place < 1.0));
    }
}
