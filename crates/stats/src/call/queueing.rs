//! From the offer to the answer: IVR, queue, alerts, exits. Tolerant of what is missing, never of order.

use model::event::call::{
    AlertCancelled, Alerting, Dequeued, Diverted, Ended, IvrEntered, IvrLeft, IvrSelected, Offered, Party, QueueExit,
    Queued, Rona,
};
use model::{AgentId, QueueId, Time};

use super::facts::{Alert, AlertEnd, Diversion, Segment, Visit, VisitEnd};
use super::{Record, told_ms};

/// A vendor's clocks may say "answered" so long before "queued" of the same stay, in milliseconds: recorded tables have
/// minutes, and once an hour. What is more is another stay.
pub const CLOCK_SLACK_MS: i64 = 2 * 3_600_000;

/// A PBX that stops the ringing because the caller hung up tells that it stopped first, and that he left so much later at
/// most, in milliseconds.
const HANG_UP_MS: i64 = 500;

impl Segment {
    /// Leaves the queue.
    pub(super) fn leave(&mut self, at: Time, exit: QueueExit, implied: bool) {
        self.exit = Some(exit);
        self.exit_at = Some(at);
        self.exit_implied = implied;
        let by_caller = matches!(exit, QueueExit::Abandoned | QueueExit::ShortAbandoned);
        let end = if by_caller { AlertEnd::CallerLeft } else { AlertEnd::Cancelled };
        self.silence(at, end);
        if by_caller {
            self.explain_cancelled(at);
        }
        self.settle();
    }

    /// The caller left: what stopped ringing a moment before stopped for that.
    fn explain_cancelled(&mut self, left_at: Time) {
        let stopped = |alert: &&mut Alert| {
            alert.end == Some(AlertEnd::Cancelled) && alert.until.is_some_and(|t| left_at.since(t) <= HANG_UP_MS)
        };
        for alert in self.alerts.iter_mut().filter(stopped) {
            alert.end = Some(AlertEnd::CallerLeft);
        }
    }

    /// Ends what still rings.
    pub(super) fn silence(&mut self, at: Time, end: AlertEnd) {
        for alert in self.alerts.iter_mut().filter(|a| a.until.is_none()) {
            alert.stop(at, end, None);
        }
    }

    /// Computes the durations that the vendor did not tell.
    pub(super) fn settle(&mut self) {
        if !self.wait_told {
            self.wait_ms = self.exit_at.map(|t| t.since(self.entered_at()));
        }
        self.hold_ms = self.held.iter().filter_map(|h| Some(h.until?.since(h.from))).sum();
        if !self.talk_told {
            let whole = self.answered_at.zip(self.released_at).map(|(a, r)| r.since(a));
            self.talk_ms = whole.map(|ms| (ms - self.hold_ms).max(0));
        }
    }

    pub(super) fn tell_wait(&mut self, waited_ms: Option<u64>) {
        if let Some(ms) = waited_ms {
            self.wait_ms = Some(told_ms(ms));
            self.wait_told = true;
        }
    }
}

impl Alert {
    pub(super) fn stop(&mut self, at: Time, end: AlertEnd, rang_ms: Option<u64>) {
        self.until = Some(at);
        self.end = Some(end);
        self.rang_ms = rang_ms.map(told_ms).or(Some(at.since(self.at)));
    }

    fn rings(&self, agent: &AgentId) -> bool {
        self.until.is_none() && self.agent == *agent
    }
}

/// Whether a segment's queue can be the one an event names: an event without a queue fits any.
pub(super) fn fits(segment: &Segment, queue: Option<&QueueId>) -> bool {
    queue.is_none() || segment.queue.as_ref() == queue
}

impl Record {
    pub(super) fn offered(&mut self, at: Time, v: &Offered) -> bool {
        if !self.offer_seen {
            self.offered_at = at;
            self.direction = v.direction;
        }
        self.offer_seen = true;
        fill(&mut self.ani, &v.ani);
        fill(&mut self.dnis, &v.dnis);
        fill(&mut self.trunk, &v.trunk);
        fill(&mut self.agent, &v.agent);
        true
    }

    pub(super) fn ivr_entered(&mut self, at: Time, v: &IvrEntered) -> bool {
        if self.ivr.last().is_some_and(|l| l.left_at.is_none() && l.node == v.node) {
            return false; // told again
        }
        self.leave_ivr(at, VisitEnd::Left);
        self.ivr.push(Visit { node: v.node.clone(), entered_at: at, left_at: None, choices: Vec::new(), end: None });
        true
    }

    pub(super) fn ivr_selected(&mut self, at: Time, v: &IvrSelected) -> bool {
        if !self.ivr.iter().any(|x| x.node == v.node) {
            self.ivr_entered(at, &IvrEntered { node: v.node.clone() }); // the entry was missed
        }
        let visit = self.ivr.iter_mut().rev().find(|x| x.node == v.node);
        visit.map(|x| x.choices.push((at, v.choice.clone()))).is_some()
    }

    pub(super) fn ivr_left(&mut self, at: Time, v: &IvrLeft) -> bool {
        match self.ivr.iter_mut().rev().find(|x| x.node == v.node && x.left_at.is_none()) {
            Some(visit) => {
                visit.left_at = Some(at);
                visit.end = Some(VisitEnd::Left);
                true
            }
            None => false,
        }
    }

    pub(super) fn leave_ivr(&mut self, at: Time, end: VisitEnd) {
        for visit in self.ivr.iter_mut().filter(|x| x.left_at.is_none()) {
            visit.left_at = Some(at);
            visit.end = Some(end);
        }
    }

    pub(super) fn queued(&mut self, at: Time, v: &Queued) -> bool {
        self.leave_ivr(at, VisitEnd::Left);
        if let Some(s) = self.segments.iter_mut().rev().find(|s| s.waiting() && s.queue.as_ref() == Some(&v.queue)) {
            let missed = s.queued_at.is_none();
            if missed {
                enter(s, at, v);
            }
            return missed; // else told again, as by a snapshot
        }
        if let Some(s) = self.segments.last_mut().filter(|s| answered_early(s, at, &v.queue)) {
            enter(s, at, v);
            if s.exit_implied {
                s.exit_at = s.exit_at.max(Some(at));
            }
            s.settle();
            return true;
        }
        self.leave_waits(at);
        self.end_lost_talk(at, None);
        let mut segment = self.open_segment(at, Some(v.queue.clone()));
        enter(&mut segment, at, v);
        self.put_segment(segment);
        true
    }

    /// What waits elsewhere has left there, without a word: to another queue, or the direct ringing ran out.
    fn leave_waits(&mut self, at: Time) {
        for s in self.segments.iter_mut().filter(|s| s.waiting()) {
            let exit = if s.queue.is_some() { QueueExit::Overflow } else { QueueExit::Timeout };
            s.leave(at, exit, true);
        }
    }

    /// A segment that begins now, with whatever rang for it, and the transfer that led to it.
    pub(super) fn open_segment(&mut self, at: Time, queue: Option<QueueId>) -> Segment {
        let handover = self.work.handover.take();
        Segment {
            segment_no: self.segments.len() as u32 + 1,
            queue,
            offered_at: at,
            transfer_in: handover.map(|h| h.0),
            ..Segment::default()
        }
    }

    pub(super) fn alerting(&mut self, at: Time, v: &Alerting) -> bool {
        let alert = Alert {
            agent: v.agent.clone(),
            device: v.device.clone(),
            team: v.team.clone(),
            at,
            until: None,
            end: None,
            rang_ms: None,
        };
        if let Some(s) = self.segments.iter_mut().rev().find(|s| s.waiting() && fits(s, v.queue.as_ref())) {
            let again = s.alerts.iter().any(|a| a.rings(&v.agent));
            if !again {
                s.alerts.push(alert);
            }
            return !again;
        }
        if self.segments.iter().any(|s| s.talking() || s.waiting()) {
            // somebody is with the caller: whom this rings for will show when they answer
            self.work.alerts.push(alert);
            return true;
        }
        self.leave_ivr(at, VisitEnd::Left);
        let mut segment = self.open_segment(at, v.queue.clone());
        segment.alerts.push(alert);
        self.put_segment(segment);
        true
    }

    pub(super) fn rona(&mut self, at: Time, v: &Rona) -> bool {
        if self.stop_alert(at, &v.agent, AlertEnd::Rona(v.reason), v.rang_ms) {
            return true;
        }
        // the alert was missed
        let Some(s) = self.segments.iter_mut().rev().find(|s| s.waiting() && fits(s, v.queue.as_ref())) else {
            return false;
        };
        let began = at + -v.rang_ms.map_or(0, told_ms);
        let mut alert = Alert {
            agent: v.agent.clone(),
            device: v.device.clone(),
            team: v.team.clone(),
            at: began,
            until: None,
            end: None,
            rang_ms: None,
        };
        alert.stop(at, AlertEnd::Rona(v.reason), v.rang_ms);
        s.alerts.push(alert);
        true
    }

    pub(super) fn alert_cancelled(&mut self, at: Time, v: &AlertCancelled) -> bool {
        self.stop_alert(at, &v.agent, AlertEnd::Cancelled, v.rang_ms)
    }

    fn stop_alert(&mut self, at: Time, agent: &AgentId, end: AlertEnd, rang_ms: Option<u64>) -> bool {
        let alerts = self.segments.iter_mut().rev().flat_map(|s| s.alerts.iter_mut().rev());
        let mut all = alerts.chain(self.work.alerts.iter_mut().rev());
        let found = all.find(|a| a.rings(agent));
        found.map(|a| a.stop(at, end, rang_ms)).is_some()
    }

    pub(super) fn dequeued(&mut self, at: Time, v: &Dequeued) -> bool {
        let mine = |s: &Segment| s.queue.as_ref() == Some(&v.queue);
        let place = (self.segments.iter().rposition(|s| mine(s) && s.waiting()))
            .or_else(|| self.segments.iter().rposition(|s| mine(s) && s.exit_implied));
        let place = place.unwrap_or_else(|| {
            // its entry was missed
            self.leave_ivr(at, VisitEnd::Left);
            let began = at + -v.waited_ms.map_or(0, told_ms);
            let segment = self.open_segment(began, Some(v.queue.clone()));
            self.put_segment(segment);
            self.segments.len() - 1
        });
        let s = &mut self.segments[place];
        s.tell_wait(v.waited_ms);
        let exit = if s.answered_at.is_some() { QueueExit::Answered } else { v.cause };
        // an agent answered, and who it was will be told: their alert still rings until then
        if exit == QueueExit::Answered {
            (s.exit, s.exit_at, s.exit_implied) = (Some(exit), Some(at), false);
            s.settle();
        } else {
            s.leave(at, exit, false);
        }
        true
    }

    pub(super) fn diverted(&mut self, at: Time, v: &Diverted) -> bool {
        let stay = self.segments.iter().rev().find(|s| {
            s.queue.is_some() && fits(s, v.queue.as_ref()) && (s.waiting() || s.exit_at.is_some_and(|t| t == at))
        });
        self.diversions.push(Diversion {
            at,
            target: v.target.clone(),
            rule: v.rule.clone(),
            level: v.level,
            plan: v.plan,
            queue: v.queue.clone().or_else(|| stay.and_then(|s| s.queue.clone())),
            at_gate: stay.is_none(),
        });
        true
    }

    pub(super) fn ended(&mut self, at: Time, v: &Ended) -> bool {
        self.closed = true;
        self.ended_at = Some(at);
        self.ended_by = Some(v.by);
        self.cause.clone_from(&v.cause);
        self.q850 = v.q850;
        self.merged_into.clone_from(&v.merged_into);
        let lost = v.cause.as_deref() == Some("lost");
        let exit = match v.by {
            _ if lost => QueueExit::SourceLost,
            _ if v.merged_into.is_some() => QueueExit::Overflow, // it goes on under another reference
            Party::Caller | Party::Unknown => QueueExit::Abandoned,
            Party::Agent | Party::System => QueueExit::Error,
        };
        for s in &mut self.segments {
            if s.waiting() {
                s.leave(at, exit, true);
            }
            s.silence(at, AlertEnd::CallerLeft);
            if s.talking() {
                s.ended_on_hold = s.on_hold().is_some() && v.merged_into.is_none() && !lost;
                s.release(at, Some(v.by), true);
            }
        }
        self.end_visits(
            at,
            match v.by {
                _ if v.merged_into.is_some() => VisitEnd::Left,
                _ if lost => VisitEnd::Contained,
                Party::System => VisitEnd::Contained,
                _ => VisitEnd::Abandoned,
            },
        );
        self.work.alerts.clear();
        true
    }

    /// Who was in the IVR when the call ended hung up there, unless a queue or an agent had the call after they came to the IVR
    /// (a clock that runs behind). A vendor that says "left the IVR" and "over" in one breath means the same.
    fn end_visits(&mut self, at: Time, end: VisitEnd) {
        let served = self.segments.iter().filter_map(|s| s.exit_at.max(s.released_at)).max();
        for visit in self.ivr.iter_mut().filter(|x| x.left_at.is_none()) {
            visit.left_at = Some(at);
            visit.end = Some(if served >= Some(visit.entered_at) { VisitEnd::Left } else { end });
        }
        let only_ivr = self.segments.is_empty() && self.diversions.is_empty();
        if let Some(last) = self.ivr.last_mut().filter(|l| only_ivr && l.left_at == Some(at)) {
            last.end = Some(end);
        }
    }
}

fn enter(s: &mut Segment, at: Time, v: &Queued) {
    s.offered_at = v.offered_at.unwrap_or(at);
    s.queued_at = Some(at);
    s.priority = v.priority;
    s.settle();
}

/// The answer of this very stay, by a clock that runs ahead of the queue's.
fn answered_early(s: &Segment, at: Time, queue: &QueueId) -> bool {
    s.queue.as_ref() == Some(queue)
        && s.queued_at.is_none()
        && s.exit_implied
        && s.transfer_out.is_none()
        && s.answered_at.is_some_and(|t| at - t <= CLOCK_SLACK_MS)
}

fn fill<T: Clone>(slot: &mut Option<T>, told: &Option<T>) {
    if slot.is_none() {
        slot.clone_from(told);
    }
}
