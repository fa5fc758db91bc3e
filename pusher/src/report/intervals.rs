//! The report by interval: one row per interval and thing.

use model::{Directory, Time};
use stats::Field;
use stats::policy::Policy;
use store::Reports;

use super::Error;
use super::ask::Intervals;
use super::base::cells;
use super::columns::{Source, columns, mean, named};
use super::flat::{Named, flat};
use super::range::local;

columns! {
    /// One thing in one interval, every figure of it.
    pub struct IntervalRow(c) {
        /// What the row is of.
        by: String = c.by.as_str().to_owned(),
        /// Which one.
        id: String = c.cell.id.to_string(),
        /// Its name for people.
        name: String = c.name(),
        /// Whose.
        tenant: String = c.cell.tenant.to_string(),
        /// When the interval begins.
        #[schema(value_type = String, format = DateTime)]
        start: Time = c.cell.start,
        /// When it ends.
        #[schema(value_type = String, format = DateTime)]
        end: Time = c.cell.end,
        /// The beginning in the zone of the report, with its offset.
        start_local: String = local(c.cell.start, c.zone),
        /// `event`: each fact where it happened; `cohort`: outcomes in the interval of the offer.
        attribution: String = c.attribution().to_owned(),
        /// The service-level policy.
        policy: String = c.policy.to_string(),
        /// Its version.
        policy_version: u32 = Policy::VERSION,
        /// The service-level threshold T, milliseconds.
        threshold_ms: i64 = c.threshold_ms,
        /// Calls that began.
        calls: i64 = c.f.calls,
        /// Calls that ended.
        calls_ended: i64 = c.f.calls_ended,
        /// Entries that the vendor calls phantoms: counted nowhere else.
        phantom: i64 = c.f.phantom,
        /// Segments that entered the queue.
        offered: i64 = c.f.offered,
        /// Answered by an agent.
        answered: i64 = c.f.answered,
        /// Answered with no wait.
        answered_without_wait: i64 = c.f.answered_without_wait,
        /// Answered with a wait of at most T.
        answered_in_t: i64 = c.f.answered_in_t,
        /// The caller left, after the short limit.
        abandoned: i64 = c.f.abandoned,
        /// The caller left, within the short limit.
        short_abandoned: i64 = c.f.short_abandoned,
        /// Abandoned within T, short ones included.
        abandoned_in_t: i64 = c.f.abandoned_in_t,
        /// Abandoned after T.
        abandoned_after_t: i64 = c.f.abandoned + c.f.short_abandoned - c.f.abandoned_in_t,
        /// Answered, and talked up to the short talk limit.
        short_answered: i64 = c.f.short_answered,
        /// Left for another reason.
        flow_out: i64 = c.f.flow_out,
        /// Those, by cause.
        flow_out_by: Named = named(&c.f.flow_out_by),
        /// Led elsewhere by the flood controller.
        diverted: i64 = c.f.diverted,
        /// Those, by target, rule and level.
        diverted_by: Named = named(&c.f.diverted_by),
        /// Diverted before entering a queue.
        diverted_at_gate: i64 = c.f.diverted_at_gate,
        /// Alerts that were not answered while the caller still waited.
        rona: i64 = c.f.rona,
        /// The caller left while an agent was alerting.
        abandon_ringing: i64 = c.f.abandon_ringing,
        /// Alerts of agents.
        alerted: i64 = c.f.alerted,
        /// Conversations that ended.
        completed: i64 = c.f.completed,
        /// Segments that a transfer led to.
        transfers_in: i64 = c.f.transfers_in,
        /// Segments handed on.
        transfers_out: i64 = c.f.transfers_out,
        /// Of those: blind.
        transfers_blind: i64 = c.f.transfers_blind,
        /// Of those: attended.
        transfers_attended: i64 = c.f.transfers_attended,
        /// Conferences.
        conferences: i64 = c.f.conferences,
        /// Consultations.
        consultations: i64 = c.f.consultations,
        /// Times on hold.
        holds: i64 = c.f.holds,
        /// Calls that ended on hold.
        hold_abandons: i64 = c.f.hold_abandons,
        /// Those, by who ended them.
        hold_abandons_by: Named = named(&c.f.hold_abandons_by),
        /// Conversations that ended, by who ended them.
        ended_by: Named = c.ended_by(),
        /// Offered whose caller was seen within ten minutes before; only with `callers=true`.
        repeat_attempts: Option<i64> = c.callers.map(|told| told.repeat_attempts),
        /// First-call resolution: answered callers not seen again within 24 hours / answered callers; only with `callers=true`.
        fcr: Option<f64> = c.callers.and_then(|told| told.fcr()),
        /// By policy and threshold; event-time rows may exceed 1.
        service_level: Option<f64> = c.f.service_level,
        /// answered / offered.
        answer_rate: Option<f64> = c.f.answer_rate,
        /// abandoned / (offered − short_abandoned).
        abandonment_rate: Option<f64> = c.f.abandonment_rate,
        /// Sum of waits of the answered.
        wait_answered_ms: i64 = c.f.wait_answered_ms,
        /// Sum of waits of the abandoned, short ones included.
        wait_abandoned_ms: i64 = c.f.wait_abandoned_ms,
        /// Sum of waits of those who left otherwise.
        wait_other_ms: i64 = c.f.wait_other_ms,
        /// wait_answered_ms / answered.
        asa_ms: Option<f64> = c.f.asa_ms,
        /// wait_answered_ms / those of the answered who waited.
        asa_waited_ms: Option<f64> = mean(c.f.wait_answered_ms, c.f.answered - c.f.answered_without_wait),
        /// wait_abandoned_ms / (abandoned + short_abandoned).
        avg_abandon_time_ms: Option<f64> = c.f.avg_abandon_time_ms,
        /// The longest wait, all exits.
        max_wait_ms: Option<i64> = c.f.max_wait_ms,
        /// Nearest rank, all exits.
        p50_wait_ms: Option<i64> = c.f.p50_wait_ms,
        /// Nearest rank, all exits.
        p90_wait_ms: Option<i64> = c.f.p90_wait_ms,
        /// Nearest rank, all exits.
        p95_wait_ms: Option<i64> = c.f.p95_wait_ms,
        /// Nearest rank, all exits.
        p99_wait_ms: Option<i64> = c.f.p99_wait_ms,
        /// Nearest rank, the answered.
        p50_wait_answered_ms: Option<i64> = c.answered.quantile(0.5),
        /// Nearest rank, the answered.
        p90_wait_answered_ms: Option<i64> = c.answered.quantile(0.9),
        /// Nearest rank, the answered.
        p95_wait_answered_ms: Option<i64> = c.answered.quantile(0.95),
        /// Nearest rank, the answered.
        p99_wait_answered_ms: Option<i64> = c.answered.quantile(0.99),
        /// Linear between ranks, the answered.
        p50_wait_answered_linear_ms: Option<f64> = c.answered.quantile_linear(0.5),
        /// Linear between ranks, the answered.
        p90_wait_answered_linear_ms: Option<f64> = c.answered.quantile_linear(0.9),
        /// The longest wait of the answered.
        wait_max_answered_ms: Option<i64> = c.f.wait_max_answered_ms,
        /// The longest wait of the abandoned.
        wait_max_abandoned_ms: Option<i64> = c.f.wait_max_abandoned_ms,
        /// Sum of conversations that ended, hold not included.
        talk_ms: i64 = c.f.talk_ms,
        /// Sum of hold.
        hold_ms: i64 = c.f.hold_ms,
        /// Sum of after-call work.
        wrap_up_ms: i64 = c.f.wrap_up_ms,
        /// Sum of ringing at agents.
        ring_ms: i64 = c.f.ring_ms,
        /// (talk_ms + hold_ms + wrap_up_ms) / answered.
        aht_ms: Option<f64> = c.f.aht_ms,
        /// talk_ms / answered.
        att_ms: Option<f64> = c.f.att_ms,
        /// hold_ms / answered.
        avg_hold_ms: Option<f64> = c.f.avg_hold_ms,
        /// wrap_up_ms / answered.
        avg_acw_ms: Option<f64> = c.f.avg_acw_ms,
        /// Handling time / segments of a handling time above 0.
        aht_positive_ms: Option<f64> = mean(c.handle_ms(), c.handle.count() - c.handle.count_le(0)),
        /// Mean handling time of completed segments of at most an hour.
        aht_le_3600s_ms: Option<f64> = c.handle.mean_le(3_600_000),
        /// The longest conversation.
        talk_max_ms: Option<i64> = c.f.talk_max_ms,
        /// The median conversation, nearest rank.
        talk_median_ms: Option<i64> = c.f.talk_median_ms,
        /// Nearest rank.
        talk_p90_ms: Option<i64> = c.talk.quantile(0.9),
        /// Conversations of no length.
        zero_talk: i64 = c.f.zero_talk,
        /// Conversations below ten seconds, those of no length included.
        talk_lt10: i64 = c.f.talk_lt10,
        /// Waiting, clipped to the interval; what lasts counts up to now.
        wait_overlap_ms: i64 = c.f.wait_overlap_ms,
        /// Conversation, clipped to the interval.
        talk_overlap_ms: i64 = c.f.talk_overlap_ms,
        /// Hold, clipped.
        hold_overlap_ms: i64 = c.f.hold_overlap_ms,
        /// Ringing, clipped.
        ring_overlap_ms: i64 = c.f.ring_overlap_ms,
        /// After-call work, clipped.
        wrap_up_overlap_ms: i64 = c.f.wrap_up_overlap_ms,
        /// Most who waited at once, at whole seconds.
        max_waiting: i64 = c.cell.merged.max_waiting,
        /// Most who were served at once, at whole seconds.
        max_in_service: i64 = c.cell.merged.max_in_service,
        /// Waiting at the first second.
        waiting_at_start: i64 = c.cell.merged.waiting_at_start,
        /// Served at the first second.
        in_service_at_start: i64 = c.cell.merged.in_service_at_start,
        /// Calls of agents that no queue brought.
        direct_offered: i64 = c.f.direct_offered,
        /// Of those: answered.
        direct_answered: i64 = c.f.direct_answered,
        /// Of those: the caller left.
        direct_abandoned: i64 = c.f.direct_abandoned,
        /// Their conversations.
        direct_talk_ms: i64 = c.f.direct_talk_ms,
        /// Outbound calls; never in a service level.
        outbound: i64 = c.f.outbound,
        /// Of those: answered.
        outbound_answered: i64 = c.f.outbound_answered,
        /// Their conversations.
        outbound_talk_ms: i64 = c.f.outbound_talk_ms,
        /// Visits of IVR nodes.
        ivr_entered: i64 = c.f.ivr_entered,
        /// Visits that went on.
        ivr_left: i64 = c.f.ivr_left,
        /// Callers who hung up in the IVR.
        ivr_abandoned: i64 = c.f.ivr_abandoned,
        /// Calls that the IVR ended.
        ivr_contained: i64 = c.f.ivr_contained,
        /// What callers chose.
        ivr_choices: Named = named(&c.f.ivr_choices),
        /// Attempts of trunks and call services.
        attempts: i64 = c.f.attempts,
        /// Of those: answered.
        attempts_answered: i64 = c.f.attempts_answered,
        /// answered / attempts.
        asr: Option<f64> = c.f.asr,
        /// (answered + busy + no answer) / attempts.
        ner: Option<f64> = c.f.ner,
        /// Mean conversation of answered attempts.
        acd_ms: Option<f64> = c.f.acd_ms,
        /// Logged in, clipped to the interval.
        staffed_ms: i64 = c.f.staffed_ms,
        /// Ready.
        ready_ms: i64 = c.f.ready_ms,
        /// Not ready.
        not_ready_ms: i64 = c.f.not_ready_ms,
        /// Those, milliseconds by reason.
        not_ready_by: Named = named(&c.f.not_ready_by),
        /// Being rung.
        reserved_ms: i64 = c.f.reserved_ms,
        /// In conversation, hold included.
        talking_ms: i64 = c.f.talking_ms,
        /// After-call work.
        wrap_up_state_ms: i64 = c.f.wrap_up_state_ms,
        /// Not heard of: never ready.
        unknown_ms: i64 = c.f.unknown_ms,
        /// Logged in within the interval.
        logins: i64 = c.n(Field::Logins),
        /// Logged out within the interval.
        logouts: i64 = c.n(Field::Logouts),
        /// (ringing + talking + wrap-up) / (the same + ready).
        occupancy: Option<f64> = c.f.occupancy,
        /// Concurrent work over time that could be worked; may exceed 1.
        occupancy_slots: Option<f64> = c.f.occupancy_slots,
        /// (ringing + talking + wrap-up) / logged in.
        utilisation: Option<f64> = c.f.utilisation,
        /// A device was idle.
        device_idle_ms: i64 = c.n(Field::DeviceIdleMs),
        /// It rang.
        device_ringing_ms: i64 = c.n(Field::DeviceRingingMs),
        /// It was in use.
        device_in_use_ms: i64 = c.n(Field::DeviceInUseMs),
        /// It held a call.
        device_held_ms: i64 = c.n(Field::DeviceHeldMs),
        /// It could not be reached.
        device_unavailable_ms: i64 = c.n(Field::DeviceUnavailableMs),
        /// Mean survey score, 0 to 1 of the best.
        csat: Option<f64> = c.f.csat,
        /// Surveys.
        csat_count: i64 = c.f.csat_count,
        /// Events that came late.
        late: i64 = c.f.late,
        /// Events that were concluded.
        inferred: i64 = c.f.inferred,
        /// Events read from a snapshot.
        snapshot: i64 = c.f.snapshot,
        /// Late and inferred events that restated the row.
        revision: i64 = c.f.revision,
        /// Seconds in which a source of this row was blind.
        gap_s: f64 = c.cell.gap_ms as f64 / 1000.0,
        /// Seconds of agents in state unknown.
        unknown_s: f64 = c.f.unknown_ms as f64 / 1000.0,
        /// `good`; `open`: the interval is not over; `late`, `inferred`, `gap`: the worst that is true.
        quality: String = c.quality().to_owned(),
    }
}

/// Answers a question about intervals. In order of interval, tenant and id.
///
/// # Errors
/// A range with too many intervals or rows; a store that cannot be read.
pub async fn intervals(
    reports: &dyn Reports,
    directory: &Directory,
    asked: &Intervals,
    now: Time,
) -> Result<Vec<IntervalRow>, Error> {
    let cells = cells(reports, asked, now).await?;
    let callers = super::callers::of_cells(reports, asked, &cells).await?;
    let row = |(cell, callers)| {
        let source = Source::new(asked, cell, directory, now);
        IntervalRow::of(&Source { callers, ..source })
    };
    Ok(cells.iter().zip(callers).map(row).collect())
}
