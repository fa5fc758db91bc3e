//! One agent: login, state and skills over time, and the seconds they come to.
//!
//! **Invariant:** the rows are a function of the set of events of the window, not of their arrival: a late point splits a
//! span, the old contribution is taken back and the new ones are added. The span that still lasts is in no stored row
//! ([`crate::overlay`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use model::event::agent::State as Doing;
use model::{AgentId, CallId, DeviceId, Envelope, Event, QueueId, SourceId, TeamId, TenantId, Time};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::field::Field;
use crate::key::Dim;
use crate::live;
use crate::rows::{Draft, Rows, Scope};
use crate::track::{In, Out, Pack, Placed, Point, Track};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum What {
    In { device: Option<DeviceId>, team: Option<TeamId> },
    Out { team: Option<TeamId> },
    State { state: Doing, reason: Option<String>, call: Option<CallId>, queue: Option<QueueId>, team: Option<TeamId> },
    Skills { skills: BTreeMap<QueueId, i32>, team: Option<TeamId> },
}

impl Pack for What {
    fn pack<'a>(&'a self, out: &mut Out<'a>) {
        let team = match self {
            What::In { device, team } => {
                out.byte(0);
                out.word(device.as_ref().map(DeviceId::as_str));
                team
            }
            What::Out { team } => {
                out.byte(1);
                team
            }
            What::Skills { skills, team } => {
                out.byte(2);
                out.number(skills.len() as i64);
                for (queue, level) in skills {
                    out.word(Some(queue.as_str()));
                    out.number(i64::from(*level));
                }
                team
            }
            What::State { state, reason, call, queue, team } => {
                let place = STATES.iter().position(|known| known == state);
                out.byte(3 + place.unwrap_or(0) as u8);
                out.word(reason.as_deref());
                out.word(call.as_ref().map(CallId::as_str));
                out.word(queue.as_ref().map(QueueId::as_str));
                team
            }
        };
        out.word(team.as_ref().map(TeamId::as_str));
    }

    fn unpack(from: &mut In<'_>) -> codec::Result<Self> {
        let team = |from: &mut In<'_>| from.word().map(|team| team.map(TeamId));
        Ok(match from.byte()? {
            0 => What::In { device: from.word()?.map(DeviceId), team: team(from)? },
            1 => What::Out { team: team(from)? },
            2 => {
                let mut skills = BTreeMap::new();
                for _ in 0..from.number()? {
                    let queue = from.word()?.ok_or_else(|| from.damaged())?;
                    let level = i32::try_from(from.number()?).map_err(|_| from.damaged())?;
                    skills.insert(QueueId(queue), level);
                }
                What::Skills { skills, team: team(from)? }
            }
            other => {
                let state = *STATES.get(usize::from(other) - 3).ok_or_else(|| from.damaged())?;
                let reason = from.word()?.map(|reason| reason.as_ref().to_owned());
                let (call, queue) = (from.word()?.map(CallId), from.word()?.map(QueueId));
                What::State { state, reason, call, queue, team: team(from)? }
            }
        })
    }
}

/// The states in the order of the numbers that stand for them in a store; new ones come last.
const STATES: [Doing; 6] =
    [Doing::Ready, Doing::NotReady, Doing::Reserved, Doing::Talking, Doing::WrapUp, Doing::Unknown];

/// What holds after a point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Standing {
    team: Option<TeamId>,
    device: Option<DeviceId>,
    logged_in_since: Option<Time>,
    state: Option<Doing>,
    since: Time,
    reason: Option<String>,
    call: Option<CallId>,
    queue: Option<QueueId>,
    skills: BTreeMap<QueueId, i32>,
}

impl Standing {
    fn become_what(&mut self, at: Time, what: &What) {
        let team = match what {
            What::In { team, .. } | What::Out { team } | What::State { team, .. } | What::Skills { team, .. } => team,
        };
        if team.is_some() {
            self.team.clone_from(team);
        }
        match what {
            What::In { device, .. } => {
                if device.is_some() {
                    self.device.clone_from(device);
                }
                if self.logged_in_since.is_none() {
                    self.logged_in_since = Some(at);
                    // nobody said ready yet, and who is not known to be ready is not
                    self.enter(at, Some(Doing::NotReady), None, None, None);
                }
            }
            What::Out { .. } => {
                self.logged_in_since = None;
                self.enter(at, None, None, None, None);
            }
            What::State { state, reason, call, queue, .. } => {
                self.logged_in_since.get_or_insert(at); // the login was missed
                self.enter(at, Some(*state), reason.clone(), call.clone(), queue.clone());
            }
            What::Skills { skills, .. } => self.skills.clone_from(skills),
        }
    }

    fn enter(
        &mut self,
        at: Time,
        state: Option<Doing>,
        reason: Option<String>,
        call: Option<CallId>,
        queue: Option<QueueId>,
    ) {
        if self.state != state || self.reason != reason || self.call != call {
            self.since = at; // told again is not begun again
        }
        (self.state, self.reason, self.call, self.queue) = (state, reason, call, queue);
    }
}

/// One agent's fold state; this is what a checkpoint stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Who.
    pub agent: AgentId,
    /// Whose.
    pub tenant: TenantId,
    /// From which source.
    pub source: SourceId,
    base: Standing,
    track: Track<What>,
    #[serde(skip)]
    now: Option<Standing>,
    /// Points that came more than 24 hours late and were refused.
    pub refused: u64,
}

/// Whether an event changed the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It did.
    Changed,
    /// It was known, or is of no concern here.
    Unchanged,
    /// It came too late.
    Refused,
}

impl State {
    /// An agent of whom nothing is known.
    pub fn new(agent: AgentId, source: SourceId, tenant: TenantId) -> State {
        State { agent, tenant, source, base: Standing::default(), track: Track::default(), now: None, refused: 0 }
    }

    /// Folds one event in, and what it changes into `rows`.
    pub fn apply(&mut self, e: &Envelope, rows: &mut Rows) -> Change {
        let Some(what) = what(&e.event) else { return Change::Unchanged };
        let point = Point::new(e, what);
        let placed = self.track.place(&point);
        match placed {
            Placed::Duplicate => return Change::Unchanged,
            Placed::TooLate => {
                self.refused += 1;
                return Change::Refused;
            }
            Placed::Last => {
                let mut now = self.now.take().unwrap_or_else(|| self.standing());
                if let Some(last) = self.track.newest() {
                    self.count_span(&now, last.time, point.time, 1, rows);
                }
                now.become_what(point.time, &point.what);
                self.count_point(&now, &point, 1, rows);
                self.now = Some(now);
                self.track.put(placed, point);
            }
            Placed::At(i) => {
                let from = i.saturating_sub(1);
                let before = self.before();
                self.count(&before, from, -1, rows);
                self.track.put(placed, point);
                self.now = None;
                self.count(&before, from, 1, rows);
            }
        }
        for p in self.track.settle() {
            self.base.become_what(p.time, &p.what);
        }
        Change::Changed
    }

    fn standing(&self) -> Standing {
        self.now.clone().unwrap_or_else(|| {
            let mut s = self.base.clone();
            self.track.each(|p| s.become_what(p.time, &p.what));
            s
        })
    }

    /// What holds before the recent points.
    fn before(&self) -> Standing {
        let mut s = self.base.clone();
        self.track.each_before(|p| s.become_what(p.time, &p.what));
        s
    }

    /// The contributions of the recent points and closed spans from place `from` on.
    fn count(&self, before: &Standing, from: usize, sign: i64, rows: &mut Rows) {
        let mut s = before.clone();
        let points = self.track.recent();
        for (i, p) in points.iter().enumerate() {
            s.become_what(p.time, &p.what);
            if i < from {
                continue;
            }
            self.count_point(&s, p, sign, rows);
            if let Some(next) = points.get(i + 1) {
                self.count_span(&s, p.time, next.time, sign, rows);
            }
        }
    }

    /// The agent, with the team that they are in.
    fn scope(&self, s: &Standing, rows: &mut Rows) -> Scope {
        let mut scope = |dim, id: &Arc<str>| rows.scope(&self.tenant, &self.source, dim, id);
        let agent = scope(Dim::Agent, &self.agent.0);
        match &s.team {
            Some(team) => {
                let team = scope(Dim::Team, &team.0);
                rows.together(&[agent, team]).unwrap_or(agent)
            }
            None => agent,
        }
    }

    fn count_point(&self, s: &Standing, p: &Point<What>, sign: i64, rows: &mut Rows) {
        let field = match p.what {
            What::In { .. } => Some(Field::Logins),
            What::Out { .. } => Some(Field::Logouts),
            _ => None,
        };
        let mark = p.quality.map(crate::contribution::mark_field);
        if field.is_none() && mark.is_none() {
            return;
        }
        let scope = self.scope(s, rows);
        let mut tally = rows.event(&scope, p.time);
        field.into_iter().chain(mark).for_each(|f| tally.add(f, sign));
    }

    fn count_span(&self, s: &Standing, from: Time, to: Time, sign: i64, rows: &mut Rows) {
        let Some(doing) = s.state else { return };
        let scope = self.scope(s, rows);
        rows.span(&scope, from, to, sign, |t, ms| add_state(t, doing, s.reason.as_deref(), ms));
    }

    /// The live view.
    pub fn live(&self) -> live::Agent {
        let s = self.standing();
        live::Agent {
            agent: self.agent.clone(),
            tenant: self.tenant.clone(),
            source: self.source.clone(),
            team: s.team,
            logged_in_since: s.logged_in_since,
            state: s.state,
            since: s.since,
            reason: s.reason,
            call: s.call,
            queue: s.queue,
            device: s.device,
            skills: s.skills,
            last_at: self.track.newest().map_or(Time(0), |p| p.time),
        }
    }
}

/// Adds `ms` of a state.
pub(crate) fn add_state(t: &mut Draft<'_>, doing: Doing, reason: Option<&str>, ms: i64) {
    t.add(Field::StaffedMs, ms);
    let field = match doing {
        Doing::Ready => Field::ReadyMs,
        Doing::NotReady => Field::NotReadyMs,
        Doing::Reserved => Field::ReservedMs,
        Doing::Talking => Field::TalkingMs,
        Doing::WrapUp => Field::WrapUpStateMs,
        Doing::Unknown => Field::UnknownMs,
    };
    t.add(field, ms);
    if doing == Doing::NotReady {
        t.add_label(Field::NotReadyReasonMs, reason.unwrap_or(""), ms);
    }
}

fn what(e: &Event) -> Option<What> {
    Some(match e {
        Event::AgentLoggedIn(v) => What::In { device: v.device.clone(), team: v.team.clone() },
        Event::AgentLoggedOut(v) => What::Out { team: v.team.clone() },
        Event::AgentStateChanged(v) => What::State {
            state: v.state,
            reason: v.reason.clone(),
            call: v.call.clone(),
            queue: v.queue.clone(),
            team: v.team.clone(),
        },
        Event::AgentSkillsChanged(v) => What::Skills { skills: v.skills.clone(), team: v.team.clone() },
        _ => return None,
    })
}
