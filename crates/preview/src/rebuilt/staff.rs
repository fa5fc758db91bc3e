//! Who was at work, as their calls show it.
//!
//! - An agent's conversations with gaps of no more than a quarter of an hour are one stay at work; a longer gap is a break.
//! - Within a stay, an agent who takes no call while callers wait whom they serve is not free: until the last such moment the gap belongs
//!   to the call before it (work after the call, a short pause). While nobody waits they are taken to be free: nothing shows otherwise.
//! - Who would have been given a call is known by what they took in the same shift; stays less than six hours apart are one shift.
//! - A stay ends with a call. Had the agent been taken to be there until that end, a play would give them calls beyond it; so they are
//!   taken to leave half a mean handling time earlier, and to finish what they began.
//! - A name whose conversations overlap is several people ("unknown"): each overlap is a place of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{QueueId, Time};
use policy::rehearsal::centre::Agent;

use crate::recorded::{Left, Recorded};

/// A longer gap between two calls is a break, milliseconds.
const BREAK_MS: i64 = 15 * 60_000;
/// A longer gap is the end of the shift, milliseconds.
const SHIFT_MS: i64 = 6 * 3_600_000;
/// Clocks of whole seconds let one agent's calls overlap by so much, milliseconds.
const BLUR_MS: i64 = 5_000;
/// The shortest stay that is believed, seconds.
const STAY_MIN_S: f64 = 30.0;

/// Who was at work, and how long each call kept them.
#[derive(Clone, Debug, PartialEq)]
pub struct Staff {
    /// One for each shift.
    pub agents: Vec<Agent>,
    /// For each stay of the record: how long it kept its agent, with what followed it, seconds.
    pub keeps_s: Vec<Option<f64>>,
}

/// A conversation.
#[derive(Clone, Copy)]
struct Talk {
    stay: usize,
    from: Time,
    to: Time,
}

/// Estimates the staff.
pub fn of(recorded: &Recorded, number: &HashMap<&QueueId, usize>, seconds: &dyn Fn(Time) -> f64) -> Staff {
    let mut keeps_s: Vec<Option<f64>> = vec![None; recorded.stays.len()];
    let mut named: BTreeMap<&str, Vec<Talk>> = BTreeMap::new();
    for (stay, is) in recorded.stays.iter().enumerate() {
        let Left::Served(Some(service)) = &is.left else { continue };
        keeps_s[stay] = Some(service.to.since(service.from) as f64 / 1_000.0);
        let name = service.agent.as_ref().map_or("", |agent| agent.as_str());
        named.entry(name).or_default().push(Talk { stay, from: service.from, to: service.to });
    }
    let waiting = Waiting::of(recorded, number);
    let queue_of = |talk: &Talk| number[&recorded.stays[talk.stay].queue];
    let mut shifts = Vec::new();
    for talks in named.into_values() {
        for place in places(talks) {
            for shift in parted(&place, SHIFT_MS) {
                let queues: BTreeSet<usize> = shift.iter().map(queue_of).collect();
                let queues: Vec<usize> = queues.into_iter().collect();
                let stays = parted(shift, BREAK_MS);
                for stay in &stays {
                    follow_up(stay, &queues, &waiting, &mut keeps_s);
                }
                let ends = |stay: &[Talk]| stay.iter().map(|talk| talk.to).max().unwrap_or_default();
                shifts.push((queues, stays.iter().map(|stay| (stay[0].from, ends(stay))).collect::<Vec<_>>()));
            }
        }
    }
    let (known, whole_s) = keeps_s.iter().flatten().fold((0u64, 0.0), |(n, sum), s| (n + 1, sum + s));
    let early_s = if known == 0 { 0.0 } else { whole_s / known as f64 / 2.0 };
    let stay = |(from, to): (Time, Time)| {
        let from_s = seconds(from);
        (from_s, (seconds(to) - early_s).max(from_s + STAY_MIN_S))
    };
    let agent = |(queues, stays): (Vec<usize>, Vec<(Time, Time)>)| Agent {
        queues,
        stays: stays.into_iter().map(stay).collect(),
    };
    Staff { agents: shifts.into_iter().map(agent).collect(), keeps_s }
}

/// One name's conversations, in order, without overlaps: as many places as it takes.
fn places(mut talks: Vec<Talk>) -> Vec<Vec<Talk>> {
    talks.sort_by_key(|talk| (talk.from, talk.to, talk.stay));
    let mut places: Vec<(Time, Vec<Talk>)> = Vec::new();
    for talk in talks {
        let fits = places.iter().position(|(end, _)| end.since(talk.from) <= BLUR_MS);
        let at = fits.unwrap_or_else(|| {
            places.push((talk.from, Vec::new()));
            places.len() - 1
        });
        places[at].0 = places[at].0.max(talk.to);
        places[at].1.push(talk);
    }
    places.into_iter().map(|(_, talks)| talks).collect()
}

/// Cut wherever nobody talked for longer than this.
fn parted(talks: &[Talk], gap_ms: i64) -> Vec<&[Talk]> {
    talks.chunk_by(|one, next| next.from.since(one.to) <= gap_ms).collect()
}

/// Adds to each call of a stay the part of the gap behind it in which the agent was not free.
fn follow_up(stay: &[Talk], queues: &[usize], waiting: &Waiting, keeps_s: &mut [Option<f64>]) {
    for (one, next) in stay.iter().zip(&stay[1..]) {
        let last = queues.iter().filter_map(|queue| waiting.last_between(*queue, one.to, next.from)).max();
        if let (Some(last), Some(keeps_s)) = (last, keeps_s[one.stay].as_mut()) {
            *keeps_s += last.since(one.to) as f64 / 1_000.0;
        }
    }
}

/// When anybody waited, for each queue: spans in order that do not touch.
struct Waiting(Vec<Vec<(Time, Time)>>);

impl Waiting {
    fn of(recorded: &Recorded, number: &HashMap<&QueueId, usize>) -> Waiting {
        let mut of_queue: Vec<Vec<(Time, Time)>> = vec![Vec::new(); number.len()];
        for stay in recorded.stays.iter().filter(|stay| stay.waited_ms > 0) {
            let (from, to) = (stay.entered_at, stay.entered_at + stay.waited_ms);
            let spans = &mut of_queue[number[&stay.queue]];
            match spans.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => spans.push((from, to)),
            }
        }
        Waiting(of_queue)
    }

    /// The last moment between two at which somebody waited.
    fn last_between(&self, queue: usize, after: Time, before: Time) -> Option<Time> {
        let spans = &self.0[queue];
        let (_, to) = spans[..spans.partition_point(|(from, _)| *from < before)].last()?;
        (*to > after).then(|| (*to).min(before))
    }
}
