//! Who calls again when they were not served.
//!
//! A known caller who gave up and enters a queue again within the hour makes a second attempt of the same wish: in a play it comes only
//! if the first one fails there, too. Callers who are not known cannot be linked; their second attempts are in the record as calls of
//! their own, and come whatever happens.

use std::collections::HashMap;
use std::sync::Arc;

use policy::rehearsal::law::Law;

use crate::recorded::{Left, Recorded};

/// Whoever enters again within this is trying again, seconds.
const WITHIN_S: f64 = 3_600.0;
/// Where nobody was seen to give up: the share that calls again, and after how long, seconds.
const ASSUMED: (f64, f64) = (0.3, 300.0);
/// So few known callers who gave up say nothing.
const KNOWN_MIN: usize = 20;

/// Which stays follow which.
#[derive(Clone, Debug, PartialEq)]
pub struct Links {
    /// For each stay: the one that follows it, and how long after it failed, seconds.
    pub next: Vec<Option<(usize, f64)>>,
    /// For each stay: whether it follows another.
    pub follows: Vec<bool>,
    /// The share of the known callers who gave up and called again.
    pub share: f64,
    /// After how long they did.
    pub after: Law,
}

/// Links the attempts of known callers.
pub fn links(recorded: &Recorded) -> Links {
    let stays = &recorded.stays;
    let (mut next, mut follows) = (vec![None; stays.len()], vec![false; stays.len()]);
    let mut last: HashMap<&Arc<str>, usize> = HashMap::new();
    let (mut failed, mut after_s) = (0usize, Vec::new());
    for (n, stay) in stays.iter().enumerate() {
        let Some(caller) = &stay.caller else { continue };
        if let Some(before) = last.insert(caller, n).filter(|before| fails(&stays[*before].left)) {
            let end = stays[before].entered_at + stays[before].waited_ms;
            let gap_s = stay.entered_at.since(end) as f64 / 1_000.0;
            // who enters again before they left is calling with two phones
            if gap_s <= WITHIN_S && stay.entered_at >= end {
                next[before] = Some((n, gap_s));
                follows[n] = true;
                after_s.push(gap_s);
            }
        }
        failed += usize::from(fails(&stay.left));
    }
    let known = failed >= KNOWN_MIN;
    let share = if known { after_s.len() as f64 / failed as f64 } else { ASSUMED.0 };
    Links { next, follows, share, after: Law::seen(if known { after_s } else { Vec::new() }, ASSUMED.1) }
}

fn fails(left: &Left) -> bool {
    matches!(left, Left::Abandoned | Left::Diverted)
}
