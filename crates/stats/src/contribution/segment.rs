//! What one segment adds.

use model::event::call::{Direction, Party, QueueExit, TransferKind};
use model::{AgentId, DeviceId, TeamId, Time};

use super::Sink;
use crate::call::{Alert, AlertEnd, Segment};
use crate::field::Field;
use crate::key::Dim;
use crate::rows::Scope;

/// After-call work is clipped to rows for at most so long before its end, in milliseconds: a day.
const WRAP_UP_SPREAD_MS_MAX: i64 = 86_400_000;

/// The cell of a queue exit.
pub(crate) fn exit_cell(exit: QueueExit) -> u32 {
    QueueExit::ALL.iter().position(|e| *e == exit).unwrap_or(0) as u32
}

/// The cell of a party.
pub(crate) fn party_cell(party: Party) -> u32 {
    match party {
        Party::Caller => 0,
        Party::Agent => 1,
        Party::System => 2,
        Party::Unknown => 3,
    }
}

impl Segment {
    /// The conversation without its holds: the parts that are over, and since when the part lasts that is not.
    pub(crate) fn talk_parts(&self) -> (Vec<(Time, Time)>, Option<Time>) {
        let Some(mut from) = self.answered_at else { return (Vec::new(), None) };
        let mut parts = Vec::with_capacity(self.held.len() + 1);
        for hold in &self.held {
            parts.push((from, hold.from));
            let Some(until) = hold.until else { return (parts, None) };
            from = until;
        }
        if let Some(end) = self.released_at {
            parts.push((from, end));
            return (parts, None);
        }
        (parts, Some(from))
    }
}

impl Sink<'_> {
    /// An agent with their team and device, as far as they are known.
    fn people(&mut self, agent: Option<&AgentId>, team: Option<&TeamId>, device: Option<&DeviceId>) -> Option<Scope> {
        let mut known = [self.tenant; 3];
        let mut n = 0;
        let all =
            [(Dim::Agent, agent.map(|a| &a.0)), (Dim::Team, team.map(|t| &t.0)), (Dim::Device, device.map(|d| &d.0))];
        for (dim, id) in all {
            if let Some(id) = id {
                known[n] = self.scope(dim, id);
                n += 1;
            }
        }
        self.rows.together(&known[..n])
    }

    pub(super) fn segment(&mut self, s: &Segment) {
        let people = self.people(s.agent.as_ref(), s.team.as_ref(), s.device.as_ref());
        if let Some(queue) = &s.queue {
            let queue = self.scope(Dim::Queue, &queue.0);
            let scope = self.wholes_and(Some(queue));
            self.stay(&scope, s);
            self.conversation(&scope, s);
            self.service_level(&scope, s);
            s.alerts.iter().for_each(|a| self.alert(&scope, s, a));
            if let Some(p) = people {
                self.answer_of_person(&p, s);
            }
        } else {
            let outbound = self.record.direction == Direction::Outbound;
            let wholes = self.wholes();
            self.direct(&wholes, s, outbound);
            if let Some(p) = people {
                self.direct(&p, s, outbound);
                if outbound {
                    self.work(&p, s);
                } else {
                    self.answer_of_person(&p, s);
                }
            }
        }
        for alert in &s.alerts {
            if let Some(p) = self.people(Some(&alert.agent), alert.team.as_ref(), alert.device.as_ref()) {
                self.alert(&p, s, alert);
            }
        }
    }

    /// The stay in the queue: offer, answer or exit, and the wait.
    fn stay(&mut self, scope: &Scope, s: &Segment) {
        let offer = s.offered_at;
        self.count(scope, s.entered_at(), offer, Field::Offered);
        let wait = s.wait_ms.unwrap_or(0);
        if let Some(at) = s.counted_answer() {
            self.both(scope, at, offer, |t| {
                t.add(Field::Answered, 1);
                t.add(Field::WaitAnsweredMs, wait);
                t.observe(Field::WaitAnswered, wait);
            });
        } else if let (Some(exit), Some(at)) = (s.exit, s.exit_at) {
            let rang = s.alerts.iter().any(|a| a.end == Some(AlertEnd::CallerLeft));
            self.both(scope, at, offer, |t| match exit {
                QueueExit::Abandoned | QueueExit::ShortAbandoned => {
                    let short = exit == QueueExit::ShortAbandoned;
                    t.add(if short { Field::ShortAbandoned } else { Field::Abandoned }, 1);
                    t.add(Field::WaitAbandonedMs, wait);
                    t.observe(Field::WaitAbandoned, wait);
                    t.add(Field::AbandonRinging, i64::from(rang));
                }
                other => {
                    t.add_cell(Field::FlowOut, exit_cell(other), 1);
                    t.add(Field::WaitOtherMs, wait);
                    t.observe(Field::WaitOther, wait);
                }
            });
        }
        if s.transfer_in.is_some() {
            self.count(scope, offer, offer, Field::TransfersIn); // its kind is counted where it was made
        }
        let from = s.entered_at();
        self.deeds.level(scope, Field::Waiting, from, s.exit_at.map(|t| t.max(from)));
        if let Some(exit_at) = s.exit_at {
            self.overlap(scope, Field::WaitOverlapMs, from, exit_at);
        }
    }

    /// What an answering agent (team, device) did with a call of a queue, or with a direct one.
    fn answer_of_person(&mut self, scope: &Scope, s: &Segment) {
        let Some(at) = s.counted_answer() else { return };
        let wait = if s.queue.is_some() { s.wait_ms.unwrap_or(0) } else { 0 };
        self.both(scope, at, s.offered_at, |t| {
            t.add(Field::Answered, 1);
            t.add(Field::WaitAnsweredMs, wait);
        });
        if s.transfer_in.is_some() {
            self.count(scope, s.offered_at, s.offered_at, Field::TransfersIn);
        }
        self.conversation(scope, s);
    }

    /// From the answer on: talk, hold, after-call work, and what the agent did with the call.
    fn conversation(&mut self, scope: &Scope, s: &Segment) {
        let offer = s.offered_at;
        if let (Some(_), Some(end)) = (s.answered_at, s.released_at) {
            let (talk, hold, wrap) = (s.talk_ms.unwrap_or(0), s.hold_ms, s.wrap_up_ms);
            let by = party_cell(s.ended_by.unwrap_or_default());
            let on_hold = i64::from(s.ended_on_hold);
            // answered and over in one instant, and nobody told of a talk: no conversation is known to have ended
            let known = i64::from(talk > 0 || !s.release_implied);
            self.both(scope, end, offer, |t| {
                t.add(Field::Completed, known);
                t.add(Field::TalkMs, talk);
                t.add(Field::HoldMs, hold);
                t.observe(Field::Talk, talk);
                t.observe(Field::Handle, talk.saturating_add(hold).saturating_add(wrap));
                t.add_cell(Field::EndedBy, by, 1);
                t.add_cell(Field::HoldAbandons, by, on_hold);
            });
        }
        if let Some(at) = s.wrapped_up_at {
            self.both(scope, at, offer, |t| t.add(Field::WrapUpMs, s.wrap_up_ms));
        }
        s.held.iter().for_each(|h| self.count(scope, h.from, offer, Field::Holds));
        self.work(scope, s);
        if let Some(out) = &s.transfer_out {
            let kind = match out.kind {
                TransferKind::Blind => Field::TransfersBlind,
                TransferKind::Attended => Field::TransfersAttended,
            };
            self.both(scope, out.at, offer, |t| {
                t.add(Field::TransfersOut, 1);
                t.add(kind, 1);
            });
        }
        s.consulted_at.iter().for_each(|at| self.count(scope, *at, offer, Field::Consultations));
        s.conferenced_at.iter().for_each(|at| self.count(scope, *at, offer, Field::Conferences));
    }

    /// The time that the conversation and what follows took, in the rows that it fell into.
    fn work(&mut self, scope: &Scope, s: &Segment) {
        for (from, to) in s.talk_parts().0 {
            self.overlap(scope, Field::TalkOverlapMs, from, to);
        }
        for hold in &s.held {
            if let Some(until) = hold.until {
                self.overlap(scope, Field::HoldOverlapMs, hold.from, until);
            }
        }
        if let Some(at) = s.wrapped_up_at {
            let from = at + -s.wrap_up_ms.min(WRAP_UP_SPREAD_MS_MAX);
            self.overlap(scope, Field::WrapUpOverlapMs, from, at);
        }
    }

    /// How many are served at once.
    fn service_level(&mut self, scope: &Scope, s: &Segment) {
        if let Some(from) = s.answered_at {
            self.deeds.level(scope, Field::InService, from, s.released_at);
        }
    }

    fn alert(&mut self, scope: &Scope, s: &Segment, a: &Alert) {
        let offer = s.offered_at;
        self.count(scope, a.at, offer, Field::Alerted);
        let (Some(until), Some(end)) = (a.until, a.end) else { return };
        let rang = a.rang_ms.unwrap_or(0);
        let waited = until.since(s.entered_at());
        let left = end == AlertEnd::CallerLeft && !matches!(scope.dim, Dim::Queue | Dim::Tenant | Dim::Source);
        self.both(scope, until, offer, |t| {
            t.add(Field::RingMs, rang);
            if matches!(end, AlertEnd::Rona(_)) {
                t.add(Field::Rona, 1);
                t.observe(Field::WaitRona, waited);
            }
            t.add(Field::AbandonRinging, i64::from(left));
        });
        self.overlap(scope, Field::RingOverlapMs, a.at, until);
    }

    /// A call that no queue brought.
    fn direct(&mut self, scope: &Scope, s: &Segment, outbound: bool) {
        let offer = s.offered_at;
        let (offered, answered, talked) = if outbound {
            (Field::Outbound, Field::OutboundAnswered, Field::OutboundTalkMs)
        } else {
            (Field::DirectOffered, Field::DirectAnswered, Field::DirectTalkMs)
        };
        self.count(scope, offer, offer, offered);
        if let Some(at) = s.answered_at {
            self.count(scope, at, offer, answered);
        } else if let (Some(at), false, Some(QueueExit::Abandoned)) = (s.exit_at, outbound, s.exit) {
            self.count(scope, at, offer, Field::DirectAbandoned);
        }
        if let (Some(at), Some(talk)) = (s.released_at, s.talk_ms) {
            self.both(scope, at, offer, |t| t.add(talked, talk));
        }
    }
}
