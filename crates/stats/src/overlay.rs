//! What lasts now, as rows: the part of the figures that no event has settled yet. The reader adds it to the stored rows,
//! and computes it anew for each moment; so stored rows are a function of events alone, and live figures tick.
//!
//! **Invariant:** when a span ends at `t`, the stored rows grow by what the overlay at `t` said, and the overlay loses it.

use std::sync::Arc;

use model::{SourceId, TenantId, Time};

use crate::agent::add_state;
use crate::call::Record;
use crate::device::state_field;
use crate::field::Field;
use crate::key::Dim;
use crate::live::{self, OPEN_MS_MAX, Open, OpenKind, View};
use crate::rows::{Rows, Scope};

fn open(kind: OpenKind, since: Time) -> Open {
    Open { kind, since, queue: None, agent: None, team: None, device: None, node: None, direct: false }
}

/// What lasts of a call.
pub fn open_of_call(r: &Record) -> Vec<Open> {
    let mut all = Vec::new();
    if r.closed {
        return all;
    }
    for v in r.ivr.iter().filter(|v| v.left_at.is_none()) {
        all.push(Open { node: Some(v.node.clone()), ..open(OpenKind::Ivr, v.entered_at) });
    }
    for s in &r.segments {
        let direct = s.queue.is_none();
        let of_queue = |kind, since| Open { queue: s.queue.clone(), direct, ..open(kind, since) };
        if s.waiting() && !direct {
            all.push(of_queue(OpenKind::Wait, s.entered_at()));
        }
        for a in s.alerts.iter().filter(|a| a.until.is_none()) {
            let (agent, team, device) = (Some(a.agent.clone()), a.team.clone(), a.device.clone());
            all.push(Open { agent, team, device, ..of_queue(OpenKind::Ring, a.at) });
        }
        if !s.talking() {
            continue;
        }
        let served = |kind, since| Open {
            agent: s.agent.clone(),
            team: s.team.clone(),
            device: s.device.clone(),
            direct: direct || r.direction == model::event::call::Direction::Outbound,
            ..of_queue(kind, since)
        };
        all.extend(s.answered_at.map(|t| served(OpenKind::Service, t)));
        all.extend(s.talk_parts().1.map(|t| served(OpenKind::Talk, t)));
        all.extend(s.on_hold().map(|t| served(OpenKind::Hold, t)));
    }
    all
}

/// Adds what lasts of an open call until `as_of`. Nothing lasts longer than [`OPEN_MS_MAX`].
pub fn of_call(call: &live::Call, as_of: Time, rows: &mut Rows) {
    for o in &call.open {
        of_open(&call.tenant, &call.source, o, as_of.min(o.since + OPEN_MS_MAX), rows);
    }
}

fn of_open(tenant: &TenantId, source: &SourceId, o: &Open, until: Time, rows: &mut Rows) {
    let mut scope = |dim, id: &Arc<str>| rows.scope(tenant, source, dim, id);
    let wholes = [scope(Dim::Tenant, &tenant.0), scope(Dim::Source, &source.0)];
    let queues: Vec<Scope> = match &o.queue {
        Some(q) => [scope(Dim::Queue, &q.0)].into_iter().chain(wholes).collect(),
        None => Vec::new(),
    };
    let people = [
        o.agent.as_ref().map(|a| scope(Dim::Agent, &a.0)),
        o.team.as_ref().map(|t| scope(Dim::Team, &t.0)),
        o.device.as_ref().map(|d| scope(Dim::Device, &d.0)),
    ];
    let people = people.into_iter().flatten();
    let (field, scopes): (Field, Vec<Scope>) = match o.kind {
        OpenKind::Ivr => return, // a visit is counted whole, when it is over
        OpenKind::Wait => (Field::WaitOverlapMs, queues),
        OpenKind::Ring => (Field::RingOverlapMs, queues.into_iter().chain(people).collect()),
        OpenKind::Talk => (Field::TalkOverlapMs, queues.into_iter().chain(people).collect()),
        OpenKind::Hold => (Field::HoldOverlapMs, queues.into_iter().chain(people).collect()),
        OpenKind::Service => {
            for q in &queues {
                carry(rows, q, Field::InService, o.since, until);
            }
            return;
        }
    };
    for s in &scopes {
        rows.span(s, o.since, until, 1, |t, ms| t.add(field, ms));
        if o.kind == OpenKind::Wait {
            carry(rows, s, Field::Waiting, o.since, until);
        }
    }
}

/// A level that still stands goes over into the rows that have begun since.
fn carry(rows: &mut Rows, scope: &Scope, field: Field, since: Time, until: Time) {
    let since = Time(since.0 - since.0.rem_euclid(1000));
    rows.carry(scope, field, since, until + 1, 1); // + 1: a row that begins at this very moment has begun
}

/// Adds the state that an agent is in, until `as_of`. From the moment the source was lost the seconds are `unknown`.
pub fn of_agent(agent: &live::Agent, source: Option<&live::Source>, as_of: Time, rows: &mut Rows) {
    let Some(state) = agent.state else { return };
    // contributions up to the last word are stored already, even when that word did not change the state
    let from = agent.since.max(agent.last_at);
    let (now, since) = agent.state_at(source, as_of).unwrap_or((state, from));
    let turn = if now == state { as_of } else { since.clamp(from, as_of.max(from)) };
    let mut agent_scope = |dim, id: &Arc<str>| rows.scope(&agent.tenant, &agent.source, dim, id);
    let team = agent.team.as_ref().map(|t| agent_scope(Dim::Team, &t.0));
    for scope in [Some(agent_scope(Dim::Agent, &agent.agent.0)), team].into_iter().flatten() {
        rows.span(&scope, from, turn, 1, |t, ms| add_state(t, state, agent.reason.as_deref(), ms));
        rows.span(&scope, turn, as_of, 1, |t, ms| add_state(t, now, None, ms));
    }
}

/// Adds the state that a device is in, until `as_of`.
pub fn of_device(device: &live::Device, as_of: Time, rows: &mut Rows) {
    let Some(state) = device.state else { return };
    let scope = rows.scope(&device.tenant, &device.source, Dim::Device, &device.device.0);
    rows.span(&scope, device.last_at, as_of, 1, |t, ms| t.add(state_field(state), ms));
}

/// Adds the time since a source was lost: a gap that nobody has reported yet.
pub fn of_source(source: &live::Source, as_of: Time, rows: &mut Rows) {
    let Some(lost) = source.lost_since(as_of) else { return };
    let told = source.gaps.iter().map(|g| g.to).max().unwrap_or(lost);
    let scope = rows.scope(&source.tenant, &source.source, Dim::Source, &source.source.0);
    rows.span(&scope, lost.max(told), as_of, 1, |t, ms| t.add(Field::GapMs, ms));
}

/// Adds what lasts of any view. `source_of` finds the view of the source that an agent's belongs to.
pub fn of_view<'a>(
    view: &View,
    source_of: impl Fn(&SourceId) -> Option<&'a live::Source>,
    as_of: Time,
    rows: &mut Rows,
) {
    match view {
        View::Call(v) => of_call(v, as_of, rows),
        View::Agent(v) => of_agent(v, source_of(&v.source), as_of, rows),
        View::Device(v) => of_device(v, as_of, rows),
        View::Source(v) => of_source(v, as_of, rows),
        View::Queue(_) | View::Members(_) => {}
    }
}
