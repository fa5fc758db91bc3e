//! One agent: login, state and skills over time, and the seconds they come to.
//!
//! **Invariant:** the rows are a function of the set of events of the window, not of their arrival: a late point splits a
//! span, the old contribution is taken back and the new ones are added. The span that still lasts is in no stored row
//! ([`crate::overlay`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::event::agent::State as Doing;
use model::{AgentId, CallId, DeviceId, Envelope, Event, QueueId, SourceId, TeamId, TenantId, Time};
use serde::{Deserialize, Serialize};

use crate::field::Field;
use crate::key::Dim;
use crate::live;
use crate::rows::{Draft, Rows, Scope};
use crate::track::{Added, Count, In, Missing, Out, Pack, Piece, Point, Track};
use crate::{codec, track};

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

impl track::Standing for Standing {
    type What = What;

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
}

impl Standing {
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

/// One agent's fold state; this is what a checkpoint stores, with its past in pieces beside it ([`State::take_past`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Who.
    pub agent: AgentId,
    /// Whose.
    pub tenant: TenantId,
    /// From which source.
    pub source: SourceId,
    base: Standing,
    track: Track<Standing>,
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
        State { agent, tenant, source, base: Standing::default(), track: Track::default(), refused: 0 }
    }

    /// Folds one event in, and what it changes into `rows`.
    pub fn apply(&mut self, e: &Envelope, rows: &mut Rows) -> Change {
        let Some(what) = what(&e.event) else { return Change::Unchanged };
        let (tenant, source, agent) = (&self.tenant, &self.source, &self.agent);
        let mut counting = Counting { tenant, source, agent, rows };
        match self.track.add(&mut self.base, Point::new(e, what), &mut counting) {
            Added::New => Change::Changed,
            Added::Known => Change::Unchanged,
            Added::TooLate => {
                self.refused += 1;
                Change::Refused
            }
        }
    }

    /// What the store is to keep of the past beside this state, and does not yet.
    pub fn take_past(&mut self) -> Vec<Piece> {
        self.track.take_changed()
    }

    /// Gives the past back to a state that was read: before, it says what holds now, and takes no events.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn restore(&mut self, past: &HashMap<u32, &[u8]>) -> Result<(), Missing> {
        self.track.restore(past)
    }

    /// The live view.
    pub fn live(&self) -> live::Agent {
        let s = self.track.standing(&self.base);
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

/// Where an agent's time is counted.
struct Counting<'a> {
    tenant: &'a TenantId,
    source: &'a SourceId,
    agent: &'a AgentId,
    rows: &'a mut Rows,
}

impl Counting<'_> {
    /// The agent, with the team that they are in.
    fn scope(&mut self, s: &Standing) -> Scope {
        let mut scope = |dim, id: &Arc<str>| self.rows.scope(self.tenant, self.source, dim, id);
        let agent = scope(Dim::Agent, &self.agent.0);
        match &s.team {
            Some(team) => {
                let team = scope(Dim::Team, &team.0);
                self.rows.together(&[agent, team]).unwrap_or(agent)
            }
            None => agent,
        }
    }
}

impl Count<Standing> for Counting<'_> {
    fn point(&mut self, s: &Standing, p: &Point<What>, sign: i64) {
        let field = match p.what {
            What::In { .. } => Some(Field::Logins),
            What::Out { .. } => Some(Field::Logouts),
            _ => None,
        };
        let mark = p.quality.map(crate::contribution::mark_field);
        if field.is_none() && mark.is_none() {
            return;
        }
        let scope = self.scope(s);
        let mut tally = self.rows.event(&scope, p.time);
        field.into_iter().chain(mark).for_each(|f| tally.add(f, sign));
    }

    fn span(&mut self, s: &Standing, from: Time, to: Time, sign: i64) {
        let Some(doing) = s.state else { return };
        let scope = self.scope(s);
        self.rows.span(&scope, from, to, sign, |t, ms| add_state(t, doing, s.reason.as_deref(), ms));
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
