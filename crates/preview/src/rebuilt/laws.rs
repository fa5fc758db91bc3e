//! How long callers wait, and how long calls keep an agent.

use std::collections::HashMap;

use model::QueueId;
use policy::rehearsal::law::Law;

use crate::recorded::{Left, Recorded};

/// A queue with fewer callers who gave up has the patience of all queues.
const GIVEN_UP_MIN: usize = 50;
/// A queue with fewer conversations has the lengths of all queues.
const SERVED_MIN: usize = 20;
/// Where nothing is known at all, seconds.
const SERVICE_S: f64 = 180.0;

/// Patience of each queue's callers, by Kaplan and Meier: those who were served, and those whom something else took out of the queue,
/// would have waited longer.
///
/// Who was served at once showed nothing. Waits of 0 are left out.
pub fn patience(recorded: &Recorded, number: &HashMap<&QueueId, usize>) -> Vec<Law> {
    let mut of_queue: Vec<Vec<(f64, bool)>> = vec![Vec::new(); number.len()];
    for stay in recorded.stays.iter().filter(|stay| stay.waited_ms > 0) {
        let gave_up = stay.left == Left::Abandoned;
        of_queue[number[&stay.queue]].push((stay.waited_ms as f64 / 1_000.0, gave_up));
    }
    let all = Law::censored(of_queue.iter().flatten().copied().collect());
    let gave_up = |waits: &[(f64, bool)]| waits.iter().filter(|(_, gave_up)| *gave_up).count();
    let law = |waits: Vec<_>| if gave_up(&waits) < GIVEN_UP_MIN { all.clone() } else { Law::censored(waits) };
    of_queue.into_iter().map(law).collect()
}

/// How long each queue's calls keep an agent, as often as it was seen; `keeps_s` are those of the stays.
pub fn service(recorded: &Recorded, number: &HashMap<&QueueId, usize>, keeps_s: &[Option<f64>]) -> Vec<Law> {
    let mut of_queue: Vec<Vec<f64>> = vec![Vec::new(); number.len()];
    for (stay, keeps_s) in recorded.stays.iter().zip(keeps_s) {
        of_queue[number[&stay.queue]].extend(keeps_s);
    }
    let all = Law::seen(of_queue.iter().flatten().copied(), SERVICE_S);
    let law = |lengths: Vec<f64>| if lengths.len() < SERVED_MIN { all.clone() } else { Law::seen(lengths, SERVICE_S) };
    of_queue.into_iter().map(law).collect()
}
