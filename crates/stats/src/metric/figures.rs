//! Every figure of one tally. A rate whose denominator is 0 is `None`, never NaN.

use std::collections::BTreeMap;

use model::event::call::QueueExit;
use serde::Serialize;

use crate::field::Field;
use crate::policy::Policy;
use crate::tally::Tally;

/// What figures are asked with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Context {
    /// The service-level policy.
    pub policy: Policy,
    /// The threshold T, in milliseconds.
    pub threshold_ms: i64,
    /// Up to here a conversation is short, in milliseconds.
    pub short_answer_ms: i64,
}

impl Default for Context {
    fn default() -> Self {
        Context { policy: Policy::default(), threshold_ms: 20_000, short_answer_ms: 10_000 }
    }
}

/// Every figure of one tally. `_ms` are milliseconds, rates are shares of 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each field is a metric of the dictionary, or a plain sum that its name and unit tell")]
pub struct Figures {
    pub offered: i64,
    pub answered: i64,
    pub answered_in_t: i64,
    pub answered_without_wait: i64,
    pub abandoned: i64,
    pub abandoned_in_t: i64,
    pub short_abandoned: i64,
    pub short_answered: i64,
    pub flow_out: i64,
    pub flow_out_by: BTreeMap<&'static str, i64>,
    pub diverted: i64,
    pub diverted_by: BTreeMap<String, i64>,
    pub diverted_at_gate: i64,
    pub rona: i64,
    pub abandon_ringing: i64,
    pub alerted: i64,
    pub completed: i64,
    pub transfers_in: i64,
    pub transfers_out: i64,
    pub transfers_blind: i64,
    pub transfers_attended: i64,
    pub conferences: i64,
    pub consultations: i64,
    pub holds: i64,
    pub hold_abandons: i64,
    pub hold_abandons_by: BTreeMap<&'static str, i64>,
    pub calls: i64,
    pub calls_ended: i64,
    pub phantom: i64,
    pub direct_offered: i64,
    pub direct_answered: i64,
    pub direct_abandoned: i64,
    pub outbound: i64,
    pub outbound_answered: i64,
    pub ivr_entered: i64,
    pub ivr_left: i64,
    pub ivr_abandoned: i64,
    pub ivr_contained: i64,
    pub ivr_choices: BTreeMap<String, i64>,
    pub attempts: i64,
    pub attempts_answered: i64,
    pub wait_answered_ms: i64,
    pub wait_abandoned_ms: i64,
    pub wait_other_ms: i64,
    pub wait_max_answered_ms: Option<i64>,
    pub wait_max_abandoned_ms: Option<i64>,
    pub max_wait_ms: Option<i64>,
    pub p50_wait_ms: Option<i64>,
    pub p90_wait_ms: Option<i64>,
    pub p95_wait_ms: Option<i64>,
    pub p99_wait_ms: Option<i64>,
    pub asa_ms: Option<f64>,
    pub avg_abandon_time_ms: Option<f64>,
    pub talk_ms: i64,
    pub hold_ms: i64,
    pub wrap_up_ms: i64,
    pub ring_ms: i64,
    pub direct_talk_ms: i64,
    pub outbound_talk_ms: i64,
    pub talk_max_ms: Option<i64>,
    pub talk_median_ms: Option<i64>,
    pub zero_talk: i64,
    pub talk_lt10: i64,
    pub aht_ms: Option<f64>,
    pub att_ms: Option<f64>,
    pub avg_hold_ms: Option<f64>,
    pub avg_acw_ms: Option<f64>,
    pub abandonment_rate: Option<f64>,
    pub answer_rate: Option<f64>,
    pub service_level: Option<f64>,
    pub talk_overlap_ms: i64,
    pub hold_overlap_ms: i64,
    pub wait_overlap_ms: i64,
    pub ring_overlap_ms: i64,
    pub wrap_up_overlap_ms: i64,
    pub staffed_ms: i64,
    pub ready_ms: i64,
    pub not_ready_ms: i64,
    pub not_ready_by: BTreeMap<String, i64>,
    pub reserved_ms: i64,
    pub talking_ms: i64,
    pub wrap_up_state_ms: i64,
    pub unknown_ms: i64,
    pub occupancy: Option<f64>,
    pub occupancy_slots: Option<f64>,
    pub utilisation: Option<f64>,
    pub csat: Option<f64>,
    pub csat_count: i64,
    pub asr: Option<f64>,
    pub ner: Option<f64>,
    pub acd_ms: Option<f64>,
    pub late: i64,
    pub inferred: i64,
    pub snapshot: i64,
    pub revision: i64,
    pub gap_ms: i64,
}

fn share(n: i64, d: i64) -> Option<f64> {
    (d > 0).then(|| n as f64 / d as f64)
}

/// The names of parties, in the order of their cells.
const PARTIES: [&str; 4] = ["caller", "agent", "system", "unknown"];

const WAITS: [Field; 3] = [Field::WaitAnswered, Field::WaitAbandoned, Field::WaitOther];

/// Every figure of `t`.
pub fn evaluate(t: &Tally, ctx: &Context) -> Figures {
    let mut f = Figures::default();
    counts(t, &mut f);
    waits(t, ctx, &mut f);
    talks(t, ctx, &mut f);
    states(t, &mut f);
    f.service_level = ctx.policy.level(t, ctx.threshold_ms);
    f
}

fn counts(t: &Tally, f: &mut Figures) {
    let n = |field| t.get(field);
    let text = |field| t.labels(field).map(|(k, v)| (k.to_owned(), v)).collect::<BTreeMap<_, _>>();
    f.offered = n(Field::Offered);
    f.answered = n(Field::Answered);
    f.abandoned = n(Field::Abandoned);
    f.short_abandoned = n(Field::ShortAbandoned);
    f.flow_out = t.total(Field::FlowOut);
    f.flow_out_by =
        t.cells(Field::FlowOut).filter_map(|(c, v)| Some((QueueExit::ALL.get(c as usize)?.as_str(), v))).collect();
    f.diverted_by = text(Field::Diverted);
    f.diverted = f.diverted_by.values().sum();
    f.diverted_at_gate = n(Field::DivertedAtGate);
    f.rona = n(Field::Rona);
    f.abandon_ringing = n(Field::AbandonRinging);
    f.alerted = n(Field::Alerted);
    f.completed = n(Field::Completed);
    f.transfers_in = n(Field::TransfersIn);
    f.transfers_out = n(Field::TransfersOut);
    f.transfers_blind = n(Field::TransfersBlind);
    f.transfers_attended = n(Field::TransfersAttended);
    f.conferences = n(Field::Conferences);
    f.consultations = n(Field::Consultations);
    f.holds = n(Field::Holds);
    f.hold_abandons = t.total(Field::HoldAbandons);
    f.hold_abandons_by =
        t.cells(Field::HoldAbandons).filter_map(|(c, v)| Some((*PARTIES.get(c as usize)?, v))).collect();
    f.calls = n(Field::Calls);
    f.calls_ended = n(Field::CallsEnded);
    f.phantom = n(Field::Phantom);
    f.direct_offered = n(Field::DirectOffered);
    f.direct_answered = n(Field::DirectAnswered);
    f.direct_abandoned = n(Field::DirectAbandoned);
    f.outbound = n(Field::Outbound);
    f.outbound_answered = n(Field::OutboundAnswered);
    f.ivr_entered = n(Field::IvrEntered);
    f.ivr_left = n(Field::IvrLeft);
    f.ivr_abandoned = n(Field::IvrAbandoned);
    f.ivr_contained = n(Field::IvrContained);
    f.ivr_choices = text(Field::IvrChoice);
    f.abandonment_rate = share(f.abandoned, f.offered - f.short_abandoned);
    f.answer_rate = share(f.answered, f.offered);
    f.csat_count = n(Field::CsatCount);
    f.csat = share(n(Field::CsatMicro), f.csat_count).map(|micro| micro / 1e6);
    f.attempts = n(Field::Attempts);
    f.attempts_answered = n(Field::AttemptsAnswered);
    let effective = f.attempts_answered + n(Field::AttemptsBusy) + n(Field::AttemptsNoAnswer);
    f.asr = share(f.attempts_answered, f.attempts);
    f.ner = share(effective, f.attempts);
    f.acd_ms = share(n(Field::ConversationMs), f.attempts_answered);
    (f.late, f.inferred, f.snapshot) = (n(Field::Late), n(Field::Inferred), n(Field::Snapshot));
    f.revision = f.late + f.inferred;
    f.gap_ms = n(Field::GapMs);
}

fn waits(t: &Tally, ctx: &Context, f: &mut Figures) {
    let (answered, abandoned) = (t.hist(&[Field::WaitAnswered]), t.hist(&[Field::WaitAbandoned]));
    let all = t.hist(&WAITS);
    f.answered_in_t = answered.count_le(ctx.threshold_ms);
    f.answered_without_wait = answered.count_le(0);
    f.abandoned_in_t = abandoned.count_le(ctx.threshold_ms);
    f.wait_answered_ms = t.get(Field::WaitAnsweredMs);
    f.wait_abandoned_ms = t.get(Field::WaitAbandonedMs);
    f.wait_other_ms = t.get(Field::WaitOtherMs);
    f.wait_max_answered_ms = answered.max();
    f.wait_max_abandoned_ms = abandoned.max();
    f.max_wait_ms = all.max();
    f.p50_wait_ms = all.quantile(0.50);
    f.p90_wait_ms = all.quantile(0.90);
    f.p95_wait_ms = all.quantile(0.95);
    f.p99_wait_ms = all.quantile(0.99);
    f.asa_ms = share(f.wait_answered_ms, f.answered);
    f.avg_abandon_time_ms = share(f.wait_abandoned_ms, f.abandoned + f.short_abandoned);
    f.wait_overlap_ms = t.get(Field::WaitOverlapMs);
}

fn talks(t: &Tally, ctx: &Context, f: &mut Figures) {
    let talk = t.hist(&[Field::Talk]);
    f.talk_ms = t.get(Field::TalkMs);
    f.hold_ms = t.get(Field::HoldMs);
    f.wrap_up_ms = t.get(Field::WrapUpMs);
    f.ring_ms = t.get(Field::RingMs);
    f.direct_talk_ms = t.get(Field::DirectTalkMs);
    f.outbound_talk_ms = t.get(Field::OutboundTalkMs);
    f.talk_max_ms = talk.max();
    f.talk_median_ms = talk.quantile(0.5);
    f.zero_talk = talk.count_le(0);
    f.talk_lt10 = talk.count_lt(10_000);
    f.short_answered = talk.count_le(ctx.short_answer_ms);
    f.aht_ms = share(f.talk_ms + f.hold_ms + f.wrap_up_ms, f.answered);
    f.att_ms = share(f.talk_ms, f.answered);
    f.avg_hold_ms = share(f.hold_ms, f.answered);
    f.avg_acw_ms = share(f.wrap_up_ms, f.answered);
    f.talk_overlap_ms = t.get(Field::TalkOverlapMs);
    f.hold_overlap_ms = t.get(Field::HoldOverlapMs);
    f.ring_overlap_ms = t.get(Field::RingOverlapMs);
    f.wrap_up_overlap_ms = t.get(Field::WrapUpOverlapMs);
}

fn states(t: &Tally, f: &mut Figures) {
    f.staffed_ms = t.get(Field::StaffedMs);
    f.ready_ms = t.get(Field::ReadyMs);
    f.not_ready_ms = t.get(Field::NotReadyMs);
    f.not_ready_by = t.labels(Field::NotReadyReasonMs).map(|(k, v)| (k.to_owned(), v)).collect();
    f.reserved_ms = t.get(Field::ReservedMs);
    f.talking_ms = t.get(Field::TalkingMs);
    f.wrap_up_state_ms = t.get(Field::WrapUpStateMs);
    f.unknown_ms = t.get(Field::UnknownMs);
    let busy = f.reserved_ms + f.talking_ms + f.wrap_up_state_ms;
    f.occupancy = share(busy, busy + f.ready_ms);
    f.utilisation = share(busy, f.staffed_ms);
    let work = f.talk_overlap_ms + f.hold_overlap_ms + f.ring_overlap_ms + f.wrap_up_overlap_ms;
    f.occupancy_slots = share(work, f.staffed_ms - f.not_ready_ms - f.unknown_ms);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gives_no_rate_and_no_nan() {
        let text = serde_json::to_string(&evaluate(&Tally::new(), &Context::default())).unwrap();
        assert!(!text.contains("NaN") && text.contains(r#""asa_ms":null"#), "{text}");
    }

    #[test]
    fn occupancy_leaves_breaks_and_the_unknown_out() {
        let mut t = Tally::new();
        for (field, ms) in [
            (Field::TalkingMs, 30),
            (Field::WrapUpStateMs, 10),
            (Field::ReadyMs, 40),
            (Field::NotReadyMs, 15),
            (Field::UnknownMs, 5),
        ] {
            t.add(field, ms);
            t.add(Field::StaffedMs, ms);
        }
        let f = evaluate(&t, &Context::default());
        assert_eq!((f.occupancy, f.utilisation), (Some(0.5), Some(0.4)));
    }
}
