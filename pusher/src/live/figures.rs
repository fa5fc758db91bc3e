//! The figures that the board shows of a tally.

use serde::Serialize;
use stats::metric::{self, Context};
use stats::policy::Policy;
use stats::{Field, Tally};
use utoipa::ToSchema;

/// By what the service level is judged.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Goal {
    /// The policy by which the service level is computed.
    pub policy: &'static str,
    /// The threshold T, milliseconds.
    pub threshold_ms: i64,
    /// The goal, 0 to 1.
    pub target: f64,
}

/// Counts and rates of a time. A rate is `null` when there is nothing to divide by.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Figures {
    /// Segments that entered the queue.
    pub offered: i64,
    /// Of those: answered by an agent.
    pub answered: i64,
    /// Left unanswered by the caller, after the short limit.
    pub abandoned: i64,
    /// Left unanswered by the caller, within the short limit.
    pub short_abandoned: i64,
    /// Left for another reason: timeout, overflow, diverted, …
    pub flow_out: i64,
    /// Alerts that an agent did not answer while the caller still waited.
    pub rona: i64,
    /// Answered within the threshold.
    pub answered_in_t: i64,
    /// The service level by the goal's policy and threshold, 0 to 1.
    pub service_level: Option<f64>,
    /// abandoned / (offered − short_abandoned), 0 to 1.
    pub abandonment_rate: Option<f64>,
    /// Average speed of answer, milliseconds.
    pub asa_ms: Option<i64>,
    /// Average handling time (talk, hold, after-call work), milliseconds.
    pub aht_ms: Option<i64>,
    /// The longest wait of those who left the queue, milliseconds.
    pub max_wait_ms: Option<i64>,
    /// The wait that 90 of 100 did not exceed, milliseconds.
    pub p90_wait_ms: Option<i64>,
}

impl Figures {
    /// The figures of a tally.
    pub fn of(tally: &Tally, goal: &Goal) -> Figures {
        let policy = Policy::parse(goal.policy).unwrap_or_default();
        let context = Context { policy, threshold_ms: goal.threshold_ms, ..Context::default() };
        let all = metric::evaluate(tally, &context);
        let whole = |ms: Option<f64>| ms.map(|ms| ms.round() as i64);
        Figures {
            offered: all.offered,
            answered: all.answered,
            abandoned: all.abandoned,
            short_abandoned: all.short_abandoned,
            flow_out: all.flow_out,
            rona: all.rona,
            answered_in_t: all.answered_in_t,
            service_level: rounded(all.service_level),
            abandonment_rate: rounded(all.abandonment_rate),
            asa_ms: whole(all.asa_ms),
            aht_ms: whole(all.aht_ms),
            max_wait_ms: all.max_wait_ms,
            p90_wait_ms: all.p90_wait_ms,
        }
    }
}

/// To six decimals: more is noise, and bytes on every screen.
fn rounded(rate: Option<f64>) -> Option<f64> {
    rate.map(|rate| (rate * 1e6).round() / 1e6)
}

/// The figures of a sliding window: fewer than the day's, because they are sent five times over.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Window {
    /// Segments that entered the queue.
    pub offered: i64,
    /// Of those: answered by an agent.
    pub answered: i64,
    /// Left unanswered by the caller, after the short limit.
    pub abandoned: i64,
    /// The service level by the goal's policy and threshold, 0 to 1.
    pub service_level: Option<f64>,
    /// abandoned / (offered − short_abandoned), 0 to 1.
    pub abandonment_rate: Option<f64>,
    /// Average speed of answer, milliseconds.
    pub asa_ms: Option<i64>,
}

impl From<Figures> for Window {
    fn from(all: Figures) -> Window {
        Window {
            offered: all.offered,
            answered: all.answered,
            abandoned: all.abandoned,
            service_level: all.service_level,
            abandonment_rate: all.abandonment_rate,
            asa_ms: all.asa_ms,
        }
    }
}

/// How often callers give up, per millisecond of waiting: abandons over all time waited. The maximum-likelihood rate of
/// exponential patience.
pub fn patience_rate(tally: &Tally) -> f64 {
    let waited: i64 =
        [Field::WaitAnsweredMs, Field::WaitAbandonedMs, Field::WaitOtherMs].iter().map(|field| tally.get(*field)).sum();
    let left = tally.get(Field::Abandoned) + tally.get(Field::ShortAbandoned);
    if waited > 0 { left as f64 / waited as f64 } else { 0.0 }
}

/// How sure the figures are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Quality {
    /// Events that came late.
    pub late: i64,
    /// Events that were concluded, not seen.
    pub inferred: i64,
    /// Events read from a snapshot.
    pub snapshot: i64,
    /// Milliseconds in which a source was blind.
    pub gap_ms: i64,
    /// Milliseconds in which agents' states were unknown.
    pub unknown_ms: i64,
    /// How often late or inferred events restated these figures.
    pub revision: i64,
}

impl Quality {
    /// The quality of a tally.
    pub fn of(tally: &Tally) -> Quality {
        let (late, inferred) = (tally.get(Field::Late), tally.get(Field::Inferred));
        Quality {
            late,
            inferred,
            snapshot: tally.get(Field::Snapshot),
            gap_ms: tally.get(Field::GapMs),
            unknown_ms: tally.get(Field::UnknownMs),
            revision: late + inferred,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal { policy: "of_offered", threshold_ms: 20_000, target: 0.8 };

    #[test]
    fn nothing_to_divide_by_is_null_and_never_zero() {
        let figures = Figures::of(&Tally::new(), &GOAL);
        assert_eq!((figures.service_level, figures.asa_ms, figures.abandonment_rate), (None, None, None));
    }

    #[test]
    fn a_short_abandon_is_in_no_denominator() {
        let mut tally = Tally::new();
        tally.add(Field::Offered, 11);
        tally.add(Field::Answered, 8);
        tally.add(Field::Abandoned, 2);
        tally.add(Field::ShortAbandoned, 1);
        tally.observe(Field::WaitAnswered, 20_000, 6);
        tally.observe(Field::WaitAnswered, 21_000, 2);
        tally.add(Field::WaitAnsweredMs, 162_000);
        let figures = Figures::of(&tally, &GOAL);
        assert_eq!((figures.service_level, figures.abandonment_rate), (Some(0.6), Some(0.2)));
        assert_eq!((figures.answered_in_t, figures.asa_ms), (6, Some(20_250)));
    }
}
