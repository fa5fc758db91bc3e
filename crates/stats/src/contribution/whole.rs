//! What a call adds as a whole: its being, its IVR visits, its diversions, its trunk, its quality.

use std::collections::BTreeSet;

use model::{Event, Time};

use super::{Sink, mark_field};
use crate::call::{Entry, Segment, Visit, VisitEnd};
use crate::field::Field;
use crate::key::Dim;
use crate::rows::Scope;

/// Q.850: user busy; no user responding; no answer from user.
const Q850_BUSY: u16 = 17;
const Q850_NO_RESPONSE: u16 = 18;
const Q850_NO_ANSWER: u16 = 19;

impl Segment {
    /// Whether something of this segment was going on at `at`.
    fn covers(&self, at: Time) -> bool {
        let open = self.exit.is_none() || self.talking();
        let end = self.exit_at.max(self.released_at).max(self.wrapped_up_at);
        self.offered_at <= at && (open || end.is_some_and(|e| at <= e))
    }
}

impl Sink<'_> {
    /// A phantom is counted once in each queue and IVR node that it names, and nowhere else.
    pub(super) fn phantom(&mut self) {
        let r = self.record;
        let queues = r.segments.iter().filter_map(|s| s.queue.as_ref()).map(|q| (Dim::Queue, &q.0));
        let nodes = r.ivr.iter().map(|v| (Dim::Ivr, &v.node.0));
        let named: BTreeSet<_> = queues.chain(nodes).collect();
        let mut scopes = vec![self.wholes()];
        scopes.extend(named.into_iter().map(|(dim, id)| self.scope(dim, id)));
        for scope in scopes {
            self.count(&scope, r.offered_at, r.offered_at, Field::Phantom);
        }
    }

    pub(super) fn whole_call(&mut self) {
        let r = self.record;
        let offer = r.offered_at;
        let wholes = self.wholes();
        self.count(&wholes, offer, offer, Field::Calls);
        if let Some(at) = r.ended_at {
            self.count(&wholes, at, offer, Field::CallsEnded);
        }
        for v in &r.ivr {
            let scope = self.scope(Dim::Ivr, &v.node.0);
            let all = self.wholes_and(Some(scope));
            self.visit(&all, v);
            for (at, choice) in &v.choices {
                let choice = self.rows.word(choice);
                self.both(&scope, *at, v.entered_at, |t| t.add_label(Field::IvrChoice, choice));
            }
        }
        self.diversions();
        self.survey();
        self.trunk();
        for entry in r.timeline().iter().filter(|e| e.quality.is_some()) {
            self.mark(entry);
        }
    }

    /// A caller who hangs up in the IVR counts, in the cohort too, when they leave it: that is when they would have been offered.
    fn visit(&mut self, scope: &Scope, v: &Visit) {
        self.count(scope, v.entered_at, v.entered_at, Field::IvrEntered);
        let (Some(at), Some(end)) = (v.left_at, v.end) else { return };
        let field = match end {
            VisitEnd::Left => Field::IvrLeft,
            VisitEnd::Abandoned => Field::IvrAbandoned,
            VisitEnd::Contained => Field::IvrContained,
        };
        let stay = at.since(v.entered_at);
        self.both(scope, at, at, |t| {
            t.add(field, 1);
            t.add(Field::IvrMs, stay);
        });
    }

    fn diversions(&mut self) {
        for d in &self.record.diversions {
            let label = self.rows.word(&format!("{}|{}|{}", d.target, d.rule, d.level));
            let queue = d.queue.as_ref().map(|q| self.scope(Dim::Queue, &q.0));
            let scope = self.wholes_and(queue);
            self.both(&scope, d.at, d.at, |t| {
                t.add_label(Field::Diverted, label);
                t.add(Field::DivertedAtGate, i64::from(d.at_gate));
            });
        }
    }

    /// A survey counts for the call, and for the last queue and agent that served it.
    fn survey(&mut self) {
        let Some(csat) = self.record.csat else { return };
        let last = self.record.segments.iter().rev().find(|s| s.answered_at.is_some());
        let offer = last.map_or(self.record.offered_at, |s| s.offered_at);
        let queue = last.and_then(|s| s.queue.as_ref()).map(|q| self.scope(Dim::Queue, &q.0));
        let agent = last.and_then(|s| s.agent.as_ref()).map(|a| self.scope(Dim::Agent, &a.0));
        let team = last.and_then(|s| s.team.as_ref()).map(|t| self.scope(Dim::Team, &t.0));
        let wholes = self.wholes_and(queue);
        for scope in [Some(wholes), agent, team].into_iter().flatten() {
            self.both(&scope, csat.at, offer, |t| {
                t.add(Field::CsatCount, 1);
                t.add(Field::CsatMicro, csat.micro());
            });
        }
    }

    fn trunk(&mut self) {
        let r = self.record;
        let Some(trunk) = &r.trunk else { return };
        let scope = self.scope(Dim::Trunk, &trunk.0);
        let offer = r.offered_at;
        self.count(&scope, offer, offer, Field::Attempts);
        let by_person = r.segments.iter().filter_map(|s| s.answered_at).min();
        let by_machine = r.ivr.iter().map(|v| v.entered_at).min();
        let answered = match (by_person, by_machine) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Some(at) = answered {
            self.count(&scope, at, offer, Field::AttemptsAnswered);
        }
        let Some(end) = r.ended_at else { return };
        match answered {
            Some(at) => self.both(&scope, end, offer, |t| t.add(Field::ConversationMs, end.since(at))),
            None => match (r.cause.as_deref(), r.q850) {
                (Some("busy"), _) | (_, Some(Q850_BUSY)) => self.count(&scope, end, offer, Field::AttemptsBusy),
                (Some("no_answer"), _) | (_, Some(Q850_NO_ANSWER | Q850_NO_RESPONSE)) => {
                    self.count(&scope, end, offer, Field::AttemptsNoAnswer);
                }
                _ => {}
            },
        }
    }

    /// A mark of quality stands on every row that the event bears on: the call's, and those of the queue and agent it was with.
    fn mark(&mut self, entry: &Entry) {
        let Some(quality) = entry.quality else { return };
        let at = entry.time;
        let (mut queues, mut agents): (Vec<_>, Vec<_>) = named(&entry.event);
        for s in self.record.segments.iter().filter(|s| s.covers(at)) {
            queues.extend(s.queue.clone());
            agents.extend(s.agent.clone());
        }
        queues.sort_unstable();
        queues.dedup();
        agents.sort_unstable();
        agents.dedup();
        let queues = queues.iter().map(|q| self.scope(Dim::Queue, &q.0)).collect::<Vec<_>>();
        let agents = agents.iter().map(|a| self.scope(Dim::Agent, &a.0)).collect::<Vec<_>>();
        let wholes = self.wholes();
        for scope in queues.into_iter().chain(agents).chain([wholes]) {
            self.deeds.event(&scope, at, mark_field(quality));
        }
    }
}

fn named(event: &Event) -> (Vec<model::QueueId>, Vec<model::AgentId>) {
    let (queue, agent) = match event {
        Event::CallQueued(v) => (Some(&v.queue), None),
        Event::CallDequeued(v) => (Some(&v.queue), None),
        Event::CallAlerting(v) => (v.queue.as_ref(), Some(&v.agent)),
        Event::CallRona(v) => (v.queue.as_ref(), Some(&v.agent)),
        Event::CallAnswered(v) => (v.queue.as_ref(), v.agent.as_ref()),
        Event::CallReleased(v) => (None, v.agent.as_ref()),
        Event::CallWrappedUp(v) => (None, v.agent.as_ref()),
        Event::CallTransferred(v) => (None, v.agent.as_ref()),
        _ => (None, None),
    };
    (queue.cloned().into_iter().collect(), agent.cloned().into_iter().collect())
}
