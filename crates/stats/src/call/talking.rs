//! From the answer to the end of the after-call work: talk, hold, transfers, release.

use model::event::call::{
    Answered, Conferenced, Consulted, Destination, Held, Party, QueueExit, Released, Retrieved, Transferred, WrappedUp,
};
use model::{AgentId, Time};

use super::facts::{AlertEnd, Handover, Hold, Segment, VisitEnd};
use super::queueing::fits;
use super::{Record, told_ms};

impl Segment {
    /// Ends the talk.
    pub(super) fn release(&mut self, at: Time, by: Option<Party>, implied: bool) {
        if let Some(hold) = self.held.last_mut().filter(|h| h.until.is_none()) {
            hold.until = Some(at);
        }
        self.released_at = Some(at);
        self.release_implied = implied;
        self.ended_by = by;
        self.settle();
    }

    fn is_of(&self, agent: Option<&AgentId>) -> bool {
        agent.is_none() || self.agent.as_ref() == agent
    }
}

impl Record {
    /// The conversation that an event of `agent` is about; when the vendor names somebody else, the latest.
    fn talk_of(&mut self, agent: Option<&AgentId>) -> Option<&mut Segment> {
        let mine = self.segments.iter().rposition(|s| s.talking() && s.is_of(agent));
        let place = mine.or_else(|| self.segments.iter().rposition(Segment::talking))?;
        self.segments.get_mut(place)
    }

    /// Who talked before a new conversation begins has handed the call on and nobody said so: their talk ends here, so that the
    /// first agent does not seem to talk for an hour. While a third party is consulted both talk.
    pub(super) fn end_lost_talk(&mut self, at: Time, except: Option<usize>) {
        if self.work.consulting {
            return;
        }
        for (i, s) in self.segments.iter_mut().enumerate() {
            if s.talking() && Some(i) != except {
                s.release(at, None, true);
            }
        }
    }

    pub(super) fn answered(&mut self, at: Time, v: &Answered) -> bool {
        let told = self
            .segments
            .iter_mut()
            .find(|s| s.talking() && s.agent.is_some() && s.agent == v.agent && fits(s, v.queue.as_ref()));
        if told.is_some() {
            return false; // told again, as by a snapshot
        }
        self.leave_ivr(at, VisitEnd::Left);
        let place = self.answerable(v).unwrap_or_else(|| self.open_answered(at, v));
        self.end_lost_talk(at, Some(place));
        let s = &mut self.segments[place];
        s.tell_wait(v.waited_ms);
        s.answered_at = Some(at);
        s.agent.clone_from(&v.agent);
        s.device.clone_from(&v.device);
        s.team.clone_from(&v.team);
        for alert in s.alerts.iter_mut().filter(|a| a.until.is_none()) {
            let end = if v.agent.as_ref() == Some(&alert.agent) { AlertEnd::Answered } else { AlertEnd::Cancelled };
            alert.stop(at, end, None);
        }
        if s.exit.is_none() || s.exit_implied {
            s.exit = Some(QueueExit::Answered);
            s.exit_at = Some(at);
            s.exit_implied = s.queue.is_some(); // the queue's own word may follow
        }
        s.settle();
        true
    }

    /// The stay that this answer is of: one that waits; else one whose exit said "answered", or was only concluded from the
    /// end of the call.
    fn answerable(&self, v: &Answered) -> Option<usize> {
        let fit = |s: &Segment| fits(s, v.queue.as_ref());
        let last = |f: &dyn Fn(&Segment) -> bool| self.segments.iter().rposition(f);
        (last(&|s| s.waiting() && fit(s)))
            .or_else(|| last(&|s| s.exit == Some(QueueExit::Answered) && s.answered_at.is_none() && fit(s)))
            .or_else(|| last(&|s| self.closed && s.exit_implied && s.answered_at.is_none() && fit(s)))
    }

    /// The entry was missed, or the call is direct.
    fn open_answered(&mut self, at: Time, v: &Answered) -> usize {
        let mine = |a: &super::Alert| Some(&a.agent) == v.agent.as_ref();
        let rang = self.work.alerts.iter().rposition(mine).map(|i| self.work.alerts.remove(i));
        let waited = v.waited_ms.map_or(0, told_ms);
        let began = rang.as_ref().map_or(at + -waited, |a| a.at);
        let mut segment = self.open_segment(began, v.queue.clone());
        segment.alerts.extend(rang);
        if self.closed {
            segment.release(at, self.ended_by, true); // by a clock that runs behind the hang-up's
        }
        self.put_segment(segment);
        self.segments.len() - 1
    }

    pub(super) fn held(&mut self, at: Time, v: &Held) -> bool {
        match self.talk_of(v.agent.as_ref()) {
            Some(s) if s.on_hold().is_none() => {
                s.held.push(Hold { from: at, until: None });
                true
            }
            _ => false,
        }
    }

    pub(super) fn retrieved(&mut self, at: Time, v: &Retrieved) -> bool {
        // back from a consultation that led to nothing; a conference goes on
        self.work.consulting &= self.segments.iter().any(|s| !s.conferenced_at.is_empty());
        let Some(s) = self.talk_of(v.agent.as_ref()) else { return false };
        let Some(hold) = s.held.last_mut().filter(|h| h.until.is_none()) else { return false };
        hold.until = Some(at);
        s.settle();
        true
    }

    pub(super) fn consulted(&mut self, at: Time, v: &Consulted) -> bool {
        self.work.consulting = true;
        self.talk_of(v.agent.as_ref()).map(|s| s.consulted_at.push(at)).is_some()
    }

    pub(super) fn conferenced(&mut self, at: Time, v: &Conferenced) -> bool {
        self.work.consulting = true;
        self.talk_of(v.agent.as_ref()).map(|s| s.conferenced_at.push(at)).is_some()
    }

    pub(super) fn transferred(&mut self, at: Time, v: &Transferred) -> bool {
        self.work.consulting = false;
        let agent = v.agent.as_ref();
        let talks = self.segments.iter().rposition(|s| s.talking() && s.is_of(agent));
        // the talk may have been ended by what came next, or by the vendor's release at the same moment
        let ended = || {
            self.segments.iter().rposition(|s| s.answered_at.is_some() && s.is_of(agent) && s.transfer_out.is_none())
        };
        let place = talks.or_else(ended).or_else(|| self.segments.iter().rposition(Segment::talking));
        let Some(from) = place else {
            self.work.handover = Some((v.kind, at));
            return false; // nobody was heard to talk: what follows still counts as handed on
        };
        let s = &mut self.segments[from];
        s.transfer_out = Some(Handover { at, kind: v.kind, to: v.to.clone() });
        s.ended_on_hold = false; // who is handed on from hold was not left there
        if s.talking() || s.release_implied {
            s.release(at, Some(Party::Agent), false);
        }
        match self.arrived(from, &v.to) {
            Some(to) => self.segments[to].transfer_in = Some(v.kind),
            None => self.work.handover = Some((v.kind, at)),
        }
        true
    }

    /// The segment that the call was handed to, when it has begun already: the consulted agent's, or the one that followed.
    fn arrived(&self, from: usize, to: &Destination) -> Option<usize> {
        let target = |s: &Segment| match to {
            Destination::Queue(q) => s.queue.as_ref() == Some(q),
            Destination::Agent(a) => s.agent.as_ref() == Some(a) || s.alerts.iter().any(|x| x.agent == *a),
            Destination::Device(d) => {
                s.device.as_ref() == Some(d) || s.alerts.iter().any(|x| x.device.as_ref() == Some(d))
            }
            Destination::Number(_) => false,
        };
        let later = self.segments.iter().enumerate().skip(from + 1);
        later.filter(|(_, s)| s.transfer_in.is_none() && target(s)).map(|(i, _)| i).next()
    }

    pub(super) fn released(&mut self, at: Time, v: &Released) -> bool {
        let agent = v.agent.as_ref();
        let find = |f: &dyn Fn(&Segment) -> bool| self.segments.iter().rposition(|s| s.is_of(agent) && f(s));
        let place = (find(&Segment::talking))
            .or_else(|| find(&|s| s.answered_at.is_some() && s.release_implied))
            .or_else(|| find(&|s| s.answered_at.is_some() && !s.talk_told))
            .or_else(|| self.segments.iter().rposition(Segment::talking))
            .or_else(|| self.unanswered(at, v));
        let Some(s) = place.and_then(|i| self.segments.get_mut(i)) else { return false };
        if s.talking() || s.release_implied {
            let on_hold = s.on_hold().is_some() || s.ended_on_hold;
            s.release(at, Some(v.by), false);
            s.ended_on_hold = on_hold && s.transfer_out.is_none();
        }
        if let Some(ms) = v.talked_ms {
            s.talk_ms = Some(told_ms(ms));
            s.talk_told = true;
        }
        true
    }

    /// The answer was missed, but the talk was told: it began so long ago.
    fn unanswered(&mut self, at: Time, v: &Released) -> Option<usize> {
        let talked = told_ms(v.talked_ms?);
        let place = self
            .segments
            .iter()
            .rposition(|s| s.answered_at.is_none() && (s.waiting() || s.exit == Some(QueueExit::Answered)))?;
        let answer = Answered { agent: v.agent.clone(), ..Answered::default() };
        self.answered(at + -talked, &answer).then_some(place)
    }

    pub(super) fn wrapped_up(&mut self, at: Time, v: &WrappedUp) -> bool {
        let agent = v.agent.as_ref();
        let Some(s) = self.segments.iter_mut().rev().find(|s| s.answered_at.is_some() && s.is_of(agent)) else {
            return false;
        };
        s.wrap_up_ms = told_ms(v.wrap_up_ms);
        s.wrapped_up_at = Some(at);
        true
    }
}
