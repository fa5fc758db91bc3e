//! Who goes first: the head start of each priority that explains the recorded order of service best.
//!
//! Phone systems do different things with a priority: serve it before all others, or as if the caller had waited some minutes more.
//! Both are a head start, a long one and a short one. For every caller who entered service while others of the same queue went on
//! waiting, the head starts either put them first or not; those with the fewest contradictions are taken.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::QueueId;

use crate::recorded::{Left, Recorded};

/// Head starts that are tried, seconds; the last is "before all others".
const TRIED_S: [f64; 16] =
    [0.0, 10.0, 20.0, 30.0, 45.0, 60.0, 75.0, 90.0, 105.0, 120.0, 150.0, 180.0, 240.0, 300.0, 600.0, 86_400.0];
/// Clocks of whole seconds put two callers in the wrong order by so much, seconds.
const BLUR_S: f64 = 3.0;
/// So many pairs are enough to know.
const PAIRS_MAX: usize = 200_000;
/// With fewer pairs of different priority nothing is concluded.
const PAIRS_MIN: usize = 30;

/// A caller who was served, and one of the same queue who went on waiting.
struct Pair {
    served: i32,
    served_waited_s: f64,
    passed: i32,
    passed_waited_s: f64,
}

/// The head start of each priority that was seen, seconds; the lowest has none.
pub fn head_starts(recorded: &Recorded) -> BTreeMap<i32, f64> {
    let priorities: BTreeSet<i32> = recorded.stays.iter().map(|stay| stay.priority).collect();
    let mut found: BTreeMap<i32, f64> = priorities.iter().map(|priority| (*priority, 0.0)).collect();
    if priorities.len() < 2 {
        return found;
    }
    let pairs = pairs(recorded);
    for _ in 0..3 {
        let before = found.clone();
        for priority in priorities.iter().skip(1) {
            let about = pairs.iter().filter(|pair| (pair.served == *priority) != (pair.passed == *priority));
            if about.clone().count() < PAIRS_MIN {
                continue;
            }
            let contradictions = |head_start_s: f64| {
                let of = |p: i32| if p == *priority { head_start_s } else { found[&p] };
                let contradicts = |pair: &&Pair| {
                    pair.passed_waited_s + of(pair.passed) > pair.served_waited_s + of(pair.served) + BLUR_S
                };
                about.clone().filter(contradicts).count()
            };
            let counted = TRIED_S.map(|head_start_s| (contradictions(head_start_s), head_start_s));
            let best = counted.iter().min_by(|a, b| a.0.cmp(&b.0)).map_or(0.0, |(_, best)| *best);
            found.insert(*priority, best);
        }
        if found == before {
            break;
        }
    }
    found
}

fn pairs(recorded: &Recorded) -> Vec<Pair> {
    let mut of_queue: HashMap<&QueueId, Vec<usize>> = HashMap::new();
    for (n, stay) in recorded.stays.iter().enumerate().filter(|(_, stay)| stay.waited_ms > 0) {
        of_queue.entry(&stay.queue).or_default().push(n);
    }
    let mut queues: Vec<_> = of_queue.into_iter().collect();
    queues.sort();
    let mut pairs = Vec::new();
    for (_, members) in queues {
        let ends = |n: usize| recorded.stays[n].entered_at + recorded.stays[n].waited_ms;
        let mut waiting: Vec<usize> = Vec::new();
        let mut served: Vec<usize> =
            members.iter().copied().filter(|n| matches!(recorded.stays[*n].left, Left::Served(_))).collect();
        served.sort_by_key(|n| (ends(*n), *n));
        let mut entering = members.iter().copied().peekable();
        for one in served {
            let now = ends(one);
            while let Some(n) = entering.next_if(|n| recorded.stays[*n].entered_at < now) {
                waiting.push(n);
            }
            waiting.retain(|n| ends(*n) > now);
            let waited = |n: usize| now.since(recorded.stays[n].entered_at) as f64 / 1_000.0;
            let passed = waiting.iter().filter(|n| recorded.stays[**n].priority != recorded.stays[one].priority);
            pairs.extend(passed.map(|n| Pair {
                served: recorded.stays[one].priority,
                served_waited_s: waited(one),
                passed: recorded.stays[*n].priority,
                passed_waited_s: waited(*n),
            }));
            if pairs.len() > PAIRS_MAX {
                return pairs;
            }
        }
    }
    pairs
}
