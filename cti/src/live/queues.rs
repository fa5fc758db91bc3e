//! Who waits and who is free, of each queue, from the frames of `views`. Pure.
//!
//! Only what the gate asks for is kept: queues, who works for them, agents, their phones, and sources. Frames are merged as `store::frame` says: the
//! newest version of each partition's part, added up; a new owner that is complete clears what the former one left.

use std::collections::{BTreeMap, HashMap};

use model::event::agent::State;
use model::{AgentId, QueueId, SourceId, TenantId, Time};
use stats::Few;
use stats::live::View;
use store::Part;
use store::frame::{self, Body, FOLD_VIEW, Frame, Version};

/// A queue now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    /// Of when: everything that the journal took before is in it.
    pub at: Time,
    /// Callers who wait.
    pub waiting: f64,
    /// Agents who are ready for it.
    pub free: f64,
}

/// The parts of views that are kept at most; more are left out.
const VIEWS_MAX: usize = 200_000;

/// The latest frames.
#[derive(Debug, Default)]
pub struct Queues {
    views: HashMap<Box<str>, Few<Part, (Version, View)>>,
    folds: BTreeMap<Part, (u64, Time)>,
    malformed: u64,
}

/// Whether a view of this key says anything about queues, or of the phones of who works for them.
fn matters(view: &str) -> bool {
    ["queue/", "members/", "agent/", "source/", "device/"].iter().any(|kind| view.starts_with(kind))
}

impl Queues {
    /// Takes in one record of `views`.
    pub fn take(&mut self, key: &[u8], value: &[u8]) {
        let Some((view, part)) = std::str::from_utf8(key).ok().and_then(frame::split) else {
            self.malformed += 1;
            return;
        };
        if view != FOLD_VIEW && !matters(view) {
            return;
        }
        if value.is_empty() {
            return self.remove(view, &part);
        }
        let Ok(frame) = Frame::from_json(value) else {
            self.malformed += 1;
            return;
        };
        match frame.body {
            Body::View(body) if body.key() == view => self.put(view, part, frame.version, body),
            Body::Fold(fold) if view == FOLD_VIEW => {
                if self.folds.get(&part).is_some_and(|(epoch, _)| *epoch > frame.version.epoch) {
                    return;
                }
                if fold.complete {
                    self.clear(&part, frame.version.epoch);
                }
                self.folds.insert(part, (frame.version.epoch, frame.at));
            }
            _ => {}
        }
    }

    fn put(&mut self, view: &str, part: Part, version: Version, body: View) {
        if !self.views.contains_key(view) && self.views.len() >= VIEWS_MAX {
            return;
        }
        let parts = self.views.entry(view.into()).or_default();
        if parts.get(&part).is_none_or(|(known, _)| *known <= version) {
            parts.insert(part, (version, body));
        }
    }

    fn remove(&mut self, view: &str, part: &Part) {
        if let Some(parts) = self.views.get_mut(view) {
            parts.remove(part);
            if parts.is_empty() {
                self.views.remove(view);
            }
        }
    }

    fn clear(&mut self, part: &Part, epoch: u64) {
        self.views.retain(|_, parts| {
            parts.retain(|of, (version, _)| of != part || version.epoch >= epoch);
            !parts.is_empty()
        });
    }

    /// How many records could not be read.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    fn merged(&self, view: &str) -> Option<View> {
        let mut parts = self.views.get(view)?.values().map(|(_, view)| view);
        let first = parts.next()?.clone();
        Some(parts.fold(first, |mut merged, view| {
            merged.merge(view);
            merged
        }))
    }

    /// Whether a partition was heard of to the end of what it had.
    pub fn is_whole(&self) -> bool {
        !self.folds.is_empty()
    }

    /// Who works where on which phone: members of queues, devices, and the sources that they were heard from.
    pub fn people(&self) -> Vec<View> {
        let kinds = ["members/", "device/", "source/"];
        let keys = self.views.keys().filter(|key| kinds.iter().any(|kind| key.starts_with(kind)));
        keys.filter_map(|key| self.merged(key)).collect()
    }

    /// Every queue that somebody works for or waits in; nothing before a partition was heard of.
    pub fn now(&self) -> HashMap<TenantId, HashMap<QueueId, Now>> {
        let mut all: HashMap<TenantId, HashMap<QueueId, Now>> = HashMap::new();
        let Some(at) = self.folds.values().map(|(_, at)| *at).min() else { return all };
        let (agents, sources) = (self.agents(), self.sources());
        for key in self.views.keys() {
            let empty = Now { at, waiting: 0.0, free: 0.0 };
            match self.merged(key) {
                Some(View::Queue(queue)) => {
                    let now = all.entry(queue.tenant).or_default().entry(queue.queue).or_insert(empty);
                    now.waiting = queue.waiting.max(0) as f64;
                }
                Some(View::Members(members)) => {
                    let free = members.members.iter().filter(|(id, member)| {
                        !member.paused && agents.get(*id).is_some_and(|agent| is_free(agent, &sources, at))
                    });
                    let free = free.count() as f64;
                    all.entry(members.tenant).or_default().entry(members.queue).or_insert(empty).free = free;
                }
                _ => {}
            }
        }
        all
    }

    fn agents(&self) -> HashMap<AgentId, stats::live::Agent> {
        let keys = self.views.keys().map(AsRef::as_ref).filter(|key: &&str| key.starts_with("agent/"));
        let agent = |key: &str| match self.merged(key) {
            Some(View::Agent(agent)) => Some((agent.agent.clone(), agent)),
            _ => None,
        };
        keys.filter_map(agent).collect()
    }

    fn sources(&self) -> HashMap<SourceId, stats::live::Source> {
        let keys = self.views.keys().map(AsRef::as_ref).filter(|key: &&str| key.starts_with("source/"));
        let source = |key: &str| match self.merged(key) {
            Some(View::Source(source)) => Some((source.source.clone(), source)),
            _ => None,
        };
        keys.filter_map(source).collect()
    }
}

/// Ready, as far as anybody knows: unknown is never ready.
fn is_free(agent: &stats::live::Agent, sources: &HashMap<SourceId, stats::live::Source>, at: Time) -> bool {
    agent.state_at(sources.get(&agent.source), at).is_some_and(|(state, _)| state == State::Ready)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stats::live::{Agent, Member, Members, Queue, Source};
    use store::frame::Fold;

    fn part(number: u32) -> Part {
        Part::new("events.call", number)
    }

    fn feed(queues: &mut Queues, number: u32, version: (u64, u64), body: Body) {
        let view = match &body {
            Body::View(view) => view.key(),
            _ => FOLD_VIEW.to_owned(),
        };
        let version = Version { epoch: version.0, number: version.1 };
        let frame = Frame { version, as_of: Time(0), at: Time(version.number as i64), body };
        queues.take(frame::key(&view, &part(number)).as_bytes(), &frame.to_json());
    }

    fn waiting(n: i64) -> Body {
        Body::View(View::Queue(Queue { waiting: n, ..Queue::empty("default".into(), "sales".into()) }))
    }

    fn fold(complete: bool) -> Body {
        Body::Fold(Fold { part: "x".into(), owner: "a".into(), next: 9, end: 9, complete })
    }

    fn agent(name: &str, state: State) -> Body {
        Body::View(View::Agent(Agent {
            agent: name.into(),
            tenant: "default".into(),
            source: "pbx1".into(),
            team: None,
            logged_in_since: Some(Time(1)),
            state: Some(state),
            since: Time(1),
            reason: None,
            call: None,
            queue: None,
            device: None,
            skills: BTreeMap::new(),
            last_at: Time(1),
        }))
    }

    fn members(names: &[(&str, bool)]) -> Body {
        let member = |paused| Member { device: None, penalty: 0, paused, reason: None };
        Body::View(View::Members(Members {
            tenant: "default".into(),
            source: "pbx1".into(),
            queue: "sales".into(),
            name: None,
            strategy: None,
            service_level_s: None,
            waiting_max: None,
            members: names.iter().map(|(name, paused)| ((*name).into(), member(*paused))).collect(),
            last_at: Time(1),
        }))
    }

    fn sales(queues: &Queues) -> Option<Now> {
        queues.now().get("default")?.get("sales").copied()
    }

    #[test]
    fn partitions_add_up_and_the_age_is_that_of_the_oldest() {
        let mut queues = Queues::default();
        feed(&mut queues, 0, (1, 5), waiting(2));
        assert_eq!(sales(&queues), None, "nobody said how far it is folded");
        feed(&mut queues, 1, (1, 9), waiting(1));
        feed(&mut queues, 0, (1, 700), fold(true));
        feed(&mut queues, 1, (1, 900), fold(true));
        feed(&mut queues, 0, (1, 4), waiting(7));
        assert_eq!(sales(&queues), Some(Now { at: Time(700), waiting: 3.0, free: 0.0 }));
        feed(&mut queues, 1, (2, 950), fold(true));
        assert_eq!(sales(&queues).unwrap().waiting, 2.0, "a new owner that is complete clears what the old one left");
    }

    #[test]
    fn free_is_who_is_ready_works_here_and_is_not_paused_and_never_who_is_unknown() {
        let mut queues = Queues::default();
        feed(&mut queues, 0, (1, 700), fold(true));
        feed(&mut queues, 0, (1, 5), members(&[("ann", false), ("bob", true), ("cy", false), ("dee", false)]));
        for (name, state) in
            [("ann", State::Ready), ("bob", State::Ready), ("cy", State::Talking), ("eve", State::Ready)]
        {
            feed(&mut queues, 0, (1, 5), agent(name, state));
        }
        assert_eq!(sales(&queues).unwrap().free, 1.0);
        let lost = Source {
            source: "pbx1".into(),
            tenant: "default".into(),
            vendor: String::new(),
            version: None,
            connected: Some(false),
            since: Time(600),
            reason: None,
            heartbeat_at: None,
            every_ms: None,
            round_trip_ms: None,
            snapshot_at: None,
            gaps: Vec::new(),
            trunks: BTreeMap::new(),
            last_at: Time(600),
        };
        feed(&mut queues, 0, (1, 6), Body::View(View::Source(lost)));
        assert_eq!(sales(&queues).unwrap().free, 0.0, "the source is lost");
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_skipped() {
        let mut queues = Queues::default();
        queues.take(b"queue/default/sales@events.call/0", b"{");
        queues.take(b"call/1@events.call/0", b"{");
        queues.take(&[0xff], b"");
        assert_eq!(queues.malformed(), 2);
    }
}
