//! What a play, or the record, comes to, for a queue or for all.

use std::collections::BTreeMap;

use model::{QueueId, TargetId};
use policy::rehearsal::centre::{How, Played};

use crate::rebuilt::Rebuilt;
use crate::recorded::{Left, Recorded};

/// What callers of a queue were promised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// T: who is answered after no longer is in time, seconds.
    pub within_s: f64,
    /// Who leaves after no longer is a short abandon, and no failure, seconds; 0: nobody's is.
    pub short_s: f64,
}

/// Counts and waits. By the names of `GET /v1/metrics/dictionary`, where it has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    calls: u64,
    diverted: u64,
    diverted_wrongly: u64,
    answered: u64,
    in_time: u64,
    abandoned: u64,
    short: u64,
    otherwise: u64,
    redials: u64,
    level_changes: u64,
    waited_s: f64,
    waits_s: Vec<f64>,
    by_target: BTreeMap<usize, u64>,
}

/// The names of the figures, in the order in which they are told.
pub const NAMES: [&str; 17] = [
    "calls",
    "redials",
    "offered",
    "diverted",
    "diverted_share",
    "answered",
    "answered_in_t",
    "service_level",
    "service_level_of_calls",
    "abandoned",
    "abandonment_rate",
    "asa_s",
    "p50_wait_s",
    "p90_wait_s",
    "p95_wait_s",
    "level_changes",
    "diverted_from_free_agents",
];

impl Figures {
    /// The figures by name, as numbers.
    pub fn values(&mut self) -> [f64; NAMES.len()] {
        self.waits_s.sort_by(f64::total_cmp);
        let offered = self.calls - self.diverted;
        let counted = offered - self.short;
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let quantile = |share: f64| {
            // nearest rank
            let rank = ((share * self.waits_s.len() as f64).ceil() as usize).max(1);
            self.waits_s.get(rank - 1).copied().unwrap_or(0.0)
        };
        [
            self.calls as f64,
            self.redials as f64,
            offered as f64,
            self.diverted as f64,
            share(self.diverted, self.calls),
            self.answered as f64,
            self.in_time as f64,
            share(self.in_time, counted),
            share(self.in_time, self.calls - self.short),
            self.abandoned as f64,
            share(self.abandoned, counted),
            if self.answered == 0 { 0.0 } else { self.waited_s / self.answered as f64 },
            quantile(0.5),
            quantile(0.9),
            quantile(0.95),
            self.level_changes as f64,
            self.diverted_wrongly as f64,
        ]
    }

    /// How many were led to each target.
    pub fn by_target(&self) -> &BTreeMap<usize, u64> {
        &self.by_target
    }

    /// The share of the offered who were answered in time.
    pub fn service_level(&self) -> f64 {
        let counted = self.calls - self.diverted - self.short;
        if counted == 0 { 1.0 } else { self.in_time as f64 / counted as f64 }
    }

    /// How many entered the queue.
    pub fn offered(&self) -> u64 {
        self.calls - self.diverted
    }

    fn answer(&mut self, waited_s: f64, promise: &Promise) {
        self.calls += 1;
        self.answered += 1;
        self.in_time += u64::from(waited_s <= promise.within_s);
        self.waited_s += waited_s;
        self.waits_s.push(waited_s);
    }

    fn give_up(&mut self, waited_s: f64, promise: &Promise) {
        self.calls += 1;
        let short = promise.short_s > 0.0 && waited_s <= promise.short_s;
        self.short += u64::from(short);
        self.abandoned += u64::from(!short);
    }

    fn divert(&mut self, target: Option<usize>, wrongly: bool) {
        self.calls += 1;
        self.diverted += 1;
        self.diverted_wrongly += u64::from(wrongly);
        if let Some(target) = target {
            *self.by_target.entry(target).or_default() += 1;
        }
    }
}

/// Figures of each queue, of all of them, and of all by day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// By the queue's number.
    pub queues: Vec<Figures>,
    /// Of all queues.
    pub all: Figures,
    /// Of all queues, by days of 24 hours from the beginning of the period.
    pub days: BTreeMap<i64, Figures>,
}

/// A day, seconds.
const DAY_S: f64 = 86_400.0;

impl Sheet {
    fn sized(queues: usize) -> Sheet {
        Sheet { queues: vec![Figures::default(); queues], ..Sheet::default() }
    }

    fn each(&mut self, queue: usize, since_s: f64, count: impl Fn(&mut Figures)) {
        count(&mut self.queues[queue]);
        count(&mut self.all);
        count(self.days.entry((since_s / DAY_S).floor() as i64).or_default());
    }

    /// Of a play.
    pub fn played(played: &Played, rebuilt: &Rebuilt, recorded: &Recorded, promises: &[Promise]) -> Sheet {
        let mut sheet = Sheet::sized(rebuilt.queues.len());
        for ended in played.ended.iter().filter(|e| e.at_s >= rebuilt.from_s && e.at_s < rebuilt.until_s) {
            let promise = promises[ended.queue];
            let redial = ended.repeat > 0 || rebuilt.calls[ended.call].follows;
            let otherwise = ended.repeat == 0 && recorded.stays[ended.call].left == Left::Otherwise;
            sheet.each(ended.queue, ended.at_s - rebuilt.from_s, |figures| {
                figures.redials += u64::from(redial);
                match ended.how {
                    How::Answered(waited_s) => figures.answer(waited_s, &promise),
                    How::Abandoned(_) if otherwise => {
                        figures.calls += 1;
                        figures.otherwise += 1;
                    }
                    How::Abandoned(waited_s) => figures.give_up(waited_s, &promise),
                    How::Diverted(target, wrongly) => figures.divert(Some(target), wrongly),
                }
            });
        }
        for (queue, changes) in played.changes.iter().enumerate() {
            sheet.queues[queue].level_changes += changes;
            sheet.all.level_changes += changes;
        }
        sheet
    }

    /// Of the record itself.
    pub fn recorded(recorded: &Recorded, rebuilt: &Rebuilt, promises: &[Promise]) -> Sheet {
        let mut sheet = Sheet::sized(rebuilt.queues.len());
        for (stay, call) in recorded.stays.iter().zip(&rebuilt.calls).filter(|(_, call)| call.at_s >= rebuilt.from_s) {
            let (promise, waited_s) = (promises[call.queue], stay.waited_ms as f64 / 1_000.0);
            sheet.each(call.queue, call.at_s - rebuilt.from_s, |figures| {
                figures.redials += u64::from(call.follows);
                match stay.left {
                    Left::Served(_) => figures.answer(waited_s, &promise),
                    Left::Abandoned => figures.give_up(waited_s, &promise),
                    Left::Diverted => figures.divert(None, false),
                    Left::Otherwise => {
                        figures.calls += 1;
                        figures.otherwise += 1;
                    }
                }
            });
        }
        sheet
    }
}

/// The names of targets and queues that figures are told under.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Names {
    pub(crate) queues: Vec<QueueId>,
    pub(crate) targets: Vec<TargetId>,
}
