//! One queue, watched: what must be remembered between two ticks, and the plan that a tick drafts.

use std::collections::VecDeque;

use model::control::{Automatic, Event, Figures, Level, PlanIssued, Thresholds};
use model::{EventId, QueueId, Time};
use policy::control::{Controller, Flow};
use policy::plan::{Tenant, rules_of, seconds, seen_of};
use policy::wait::Measured;
use serde::{Deserialize, Serialize};

use super::effect::History;
use super::{Decided, Grown, id};
use crate::figures::{Counts, Key, Queued};
use crate::health::NEWS_MS;

/// What is remembered of a queue between two ticks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    controller: Controller,
    flow: Flow,
    history: History,
    measured: Measured,
    figures: Figures,
    /// Counts at the last tick and when that was, of this instance's own fold: whoever takes over has others.
    #[serde(skip)]
    counts: Option<(Time, Counts)>,
    /// Expected waits of the last minutes, by their time.
    #[serde(skip)]
    expected: VecDeque<(Time, f64)>,
    #[serde(skip)]
    served_at: Option<Time>,
}

/// What a tick sees of a queue.
pub(super) struct View<'a> {
    pub(super) now: Time,
    /// All before this is in the figures.
    pub(super) at: Time,
    pub(super) queue: &'a Queued,
    pub(super) agents: f64,
    /// What the gates say of who came; `None`: there is no gate.
    pub(super) grown: Option<Grown>,
    pub(super) thresholds: &'a Thresholds,
    pub(super) thresholds_version: u64,
    pub(super) tenant: &'a Tenant,
    pub(super) name: &'a QueueId,
}

/// Expected waits are kept for so long, milliseconds: callers who wait longer are not compared.
const EXPECTED_MS: i64 = 900_000;
/// The window of the rates that a plan tells, seconds.
const WINDOW_S: i64 = 10;
/// The window of what a queue needs, seconds.
const NEED_S: i64 = 60;

impl Watch {
    /// One that knows the level alone.
    pub fn at(level: Level) -> Watch {
        Watch { controller: Controller::at(level), ..Watch::default() }
    }

    /// Calls per second that come, over the last minute.
    pub(super) fn come_per_s(&self, now: Time) -> f64 {
        self.flow.attempts.per_s(seconds(now), NEED_S)
    }

    /// The figures of the last tick.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// How wrong the expected waits were so far.
    pub fn measured(&mut self, key: &Key, now: Time, after_ms: i64) -> Option<Decided> {
        let effect = self.history.effect(&key.1, now, after_ms)?;
        let (before, after) = (effect.before, effect.after);
        let wait = |mean: Option<f64>| mean.map_or_else(|| "nobody left".to_owned(), |mean| format!("{mean:.0} s"));
        Some(Decided {
            id: id(&key.0, &format!("effect/{}", effect.change)),
            tenant: key.0.clone(),
            why: format!(
                "from level {} to {}: the mean wait was {}, and is {}; {} were led elsewhere",
                effect.was.number(),
                effect.level.number(),
                wait(before.wait_mean_s),
                wait(after.wait_mean_s),
                after.diverted,
            ),
            cause_id: Some(effect.change.clone()),
            event: Event::from(effect),
        })
    }

    /// The level changed.
    pub(super) fn changed(&mut self, change: EventId, was: Level, level: Level, _now: Time) {
        self.history.changed(change, was, level);
    }

    /// What a plan would say now. Its version is left to whoever issues it.
    pub(super) fn draft(&mut self, view: &View<'_>) -> PlanIssued {
        self.count(view);
        self.figures = Figures {
            at: view.at,
            waiting: view.queue.waiting as f64,
            free: view.queue.free as f64,
            agents: view.agents,
            service_s: view.queue.service_s,
            answered: view.queue.counts.answered.max(0) as u64,
            abandoned: view.queue.counts.abandoned.max(0) as u64,
            waited_s: view.queue.counts.waited_ms.max(0) as f64 / 1_000.0,
        };
        self.history.mark(view.now, view.queue.counts, self.figures.waiting);
        let (now_s, rules) = (seconds(view.now), rules_of(view.thresholds));
        let orders = self.controller.tick(now_s, &seen_of(&self.figures), &self.flow, &rules);
        self.compare(view, orders.wait_s);
        let automatic =
            Automatic { level: orders.level, rate_per_s: orders.rate_per_s, divert_share: orders.divert_share };
        let all = view.tenant.combined(view.name, automatic, view.now);
        // the sum of nothing is -0
        let rate = |counted: &policy::rate::Counted| counted.per_s(now_s, WINDOW_S) + 0.0;
        let flow = model::control::Flow {
            attempts_per_s: rate(&self.flow.attempts),
            first_per_s: rate(&self.flow.first),
            admitted_per_s: rate(&self.flow.admitted),
        };
        let limited = all.level >= Level::DivertShare;
        let diverted_per_s = if limited { (flow.attempts_per_s - all.rate_per_s).max(0.0) } else { 0.0 };
        PlanIssued {
            queue: view.name.clone(),
            version: 0,
            thresholds: view.thresholds_version,
            automatic,
            level: all.level,
            rate_per_s: all.rate_per_s,
            capacity_per_s: orders.drain.capacity_per_s,
            patience_per_s: orders.drain.patience_per_s,
            sustainable_per_s: orders.sustainable_per_s,
            // JSON has no infinity
            wait_s: orders.wait_s.filter(|wait| wait.is_finite()),
            wait_error_s: (self.measured.callers > 0).then_some(self.measured.error_s),
            split: view.tenant.split(view.thresholds, diverted_per_s),
            valid_s: view.thresholds.stale.valid_s,
            figures: self.figures,
            flow,
        }
    }

    /// Who came since the last tick: as the gates say, or else as the queue's own counts show.
    fn count(&mut self, view: &View<'_>) {
        let now_s = seconds(view.now);
        let before = self.counts.replace((view.now, view.queue.counts));
        match view.grown {
            Some(grown) => {
                self.flow.attempts.count(now_s, grown.attempts as f64);
                self.flow.first.count(now_s, grown.first as f64);
                self.flow.admitted.count(now_s, grown.admitted as f64);
            }
            None => {
                // who was admitted is in the figures as soon as it is known here
                let came = before.map_or(0.0, |(at, before)| {
                    let grown = view.queue.counts.since(&before);
                    // after a time without figures, what came in it did not come in this second
                    let share = NEWS_MS as f64 / (view.now.since(at).max(NEWS_MS)) as f64;
                    (grown.offered + grown.diverted) as f64 * share
                });
                self.flow.attempts.count(now_s, came);
                self.flow.first.count(now_s, came);
            }
        }
    }

    /// The last caller who entered service was told so long, and waited so long.
    fn compare(&mut self, view: &View<'_>, wait_s: Option<f64>) {
        if let Some(wait_s) = wait_s {
            self.expected.push_back((view.now, wait_s));
        }
        while self.expected.front().is_some_and(|(at, _)| view.now.since(*at) > EXPECTED_MS) {
            self.expected.pop_front();
        }
        let Some(served) = view.queue.last_served.filter(|served| self.served_at.is_none_or(|at| served.at > at))
        else {
            return;
        };
        let first = self.served_at.replace(served.at).is_none();
        let came = served.at + -served.wait_ms;
        let place = self.expected.partition_point(|(at, _)| *at <= came);
        if let Some((_, told)) = place.checked_sub(1).and_then(|place| self.expected.get(place)).filter(|_| !first) {
            self.measured = self.measured.with(*told, served.wait_ms as f64 / 1_000.0);
        }
    }
}

/// A plan of a queue where nothing is diverted tells its capacity anew when it changed so much, as a share.
const CAPACITY_MOVES: f64 = 0.2;
/// The same of the rate while calls are diverted.
const RATE_MOVES: f64 = 0.05;
/// Shares of callers and of targets that moved so much are told anew.
const SHARE_MOVES: f64 = 0.02;

/// What a draft says that the plan that holds does not; `None`: nothing.
pub(super) fn news(held: Option<&PlanIssued>, draft: &PlanIssued) -> Option<&'static str> {
    let Some(held) = held else { return Some("the first plan") };
    let moved = |from: f64, to: f64, share: f64| (to - from).abs() > share * from.abs().max(0.02);
    let led = |plan: &PlanIssued| plan.split.iter().map(|share| share.target.clone()).collect::<Vec<_>>();
    let limited = draft.level >= Level::DivertShare;
    let split_moved = || {
        let pairs = held.split.iter().zip(&draft.split);
        pairs.into_iter().any(|(from, to)| (from.share - to.share).abs() > SHARE_MOVES)
    };
    if draft.level != held.level || draft.automatic.level != held.automatic.level {
        Some("the level changed")
    } else if draft.thresholds != held.thresholds {
        Some("the thresholds changed")
    } else if led(held) != led(draft) {
        Some("the targets changed")
    } else if moved(held.capacity_per_s, draft.capacity_per_s, if limited { RATE_MOVES } else { CAPACITY_MOVES }) {
        Some("the capacity changed")
    } else if limited && moved(held.rate_per_s, draft.rate_per_s, RATE_MOVES) {
        Some("the rate changed")
    } else if limited && (held.automatic.divert_share - draft.automatic.divert_share).abs() > SHARE_MOVES {
        Some("the share of the callers changed")
    } else if limited && split_moved() {
        Some("the split changed")
    } else {
        None
    }
}

/// A plan in words for people.
pub(super) fn words(plan: &PlanIssued) -> String {
    let (flow, figures) = (&plan.flow, &plan.figures);
    let wait = plan.wait_s.map_or_else(|| "nobody serves".to_owned(), |wait| format!("the next one waits {wait:.0} s"));
    format!(
        "level {}; {:.2} calls a second come, {:.2} can be served by {:.1} agents, {:.0} wait, {wait}; {:.2} may enter",
        plan.level.number(),
        flow.attempts_per_s,
        plan.capacity_per_s,
        figures.agents,
        figures.waiting,
        plan.rate_per_s,
    )
}
