//! The report of agents: one row per interval and agent, or one for the range.

use std::sync::Arc;

use model::{Directory, Time};
use stats::Field;
use store::Reports;

use super::Error;
use super::ask::Intervals;
use super::base::{cells, days};
use super::columns::{Source, columns, mean, named};
use super::flat::{Named, flat};
use super::range::local;

columns! {
    /// One agent in one interval.
    pub struct AgentRow(c) {
        /// The agent.
        agent: String = c.cell.id.to_string(),
        /// The name for people.
        name: String = c.name(),
        /// The team, from the directory.
        team: Option<String> = c.team(),
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
        /// Calls answered: of queues and direct ones.
        handled: i64 = c.f.answered,
        /// Conversations that ended.
        completed: i64 = c.f.completed,
        /// Days with a call answered.
        days_worked: i64 = c.days_worked,
        /// Sum of conversations that ended, hold not included.
        talk_ms: i64 = c.f.talk_ms,
        /// talk_ms / handled.
        mean_talk_ms: Option<f64> = mean(c.f.talk_ms, c.f.answered),
        /// Conversations of no length.
        zero_talk: i64 = c.f.zero_talk,
        /// Conversations below ten seconds, those of no length included.
        talk_lt10: i64 = c.f.talk_lt10,
        /// The longest conversation.
        talk_max_ms: Option<i64> = c.f.talk_max_ms,
        /// The median conversation, nearest rank.
        talk_median_ms: Option<i64> = c.f.talk_median_ms,
        /// Sum of hold.
        hold_ms: i64 = c.f.hold_ms,
        /// Sum of after-call work.
        wrap_up_ms: i64 = c.f.wrap_up_ms,
        /// Sum of ringing.
        ring_ms: i64 = c.f.ring_ms,
        /// (talk_ms + hold_ms + wrap_up_ms) / handled.
        aht_ms: Option<f64> = c.f.aht_ms,
        /// Times rung.
        alerted: i64 = c.f.alerted,
        /// Of those: not answered while the caller still waited.
        rona: i64 = c.f.rona,
        /// Of those: the caller left.
        abandon_ringing: i64 = c.f.abandon_ringing,
        /// Calls that a transfer led to.
        transfers_in: i64 = c.f.transfers_in,
        /// Calls handed on.
        transfers_out: i64 = c.f.transfers_out,
        /// Of those: blind.
        transfers_blind: i64 = c.f.transfers_blind,
        /// Of those: attended.
        transfers_attended: i64 = c.f.transfers_attended,
        /// Consultations.
        consultations: i64 = c.f.consultations,
        /// Conferences.
        conferences: i64 = c.f.conferences,
        /// Times on hold.
        holds: i64 = c.f.holds,
        /// Conversations that ended, by who ended them.
        ended_by: Named = c.ended_by(),
        /// Calls that no queue brought.
        direct_offered: i64 = c.f.direct_offered,
        /// Of those: answered.
        direct_answered: i64 = c.f.direct_answered,
        /// Their conversations.
        direct_talk_ms: i64 = c.f.direct_talk_ms,
        /// Outbound calls.
        outbound: i64 = c.f.outbound,
        /// Of those: answered.
        outbound_answered: i64 = c.f.outbound_answered,
        /// Their conversations.
        outbound_talk_ms: i64 = c.f.outbound_talk_ms,
        /// Conversation, clipped to the interval; what lasts counts up to now.
        talk_overlap_ms: i64 = c.f.talk_overlap_ms,
        /// Hold, clipped.
        hold_overlap_ms: i64 = c.f.hold_overlap_ms,
        /// Ringing, clipped.
        ring_overlap_ms: i64 = c.f.ring_overlap_ms,
        /// After-call work, clipped.
        wrap_up_overlap_ms: i64 = c.f.wrap_up_overlap_ms,
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

/// Answers a question about agents. In order of interval, tenant and id.
///
/// # Errors
/// A range with too many intervals or rows; a store that cannot be read.
pub async fn agents(
    reports: &dyn Reports,
    directory: &Directory,
    asked: &Intervals,
    now: Time,
) -> Result<Vec<AgentRow>, Error> {
    let worked = days(reports, asked, now, |merged| merged.tally.get(Field::Answered) > 0).await?;
    let row = |cell: &super::base::Cell| {
        let days = worked.get(&(cell.start, cell.tenant.clone(), Arc::clone(&cell.id))).copied().unwrap_or(0);
        AgentRow::of(&Source { days_worked: days, ..Source::new(asked, cell, directory, now) })
    };
    Ok(cells(reports, asked, now).await?.iter().map(row).collect())
}
