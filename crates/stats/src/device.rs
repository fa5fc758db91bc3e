//! One device (extension): registration and state over time, and the seconds they come to.
//!
//! **Invariant:** as for agents, a function of the set of events, not of their arrival.

use std::collections::HashMap;

use model::event::device::State as Doing;
use model::{DeviceId, Envelope, Event, SourceId, TenantId, Time};
use serde::{Deserialize, Serialize};

use crate::agent::Change;
use crate::field::Field;
use crate::key::Dim;
use crate::live;
use crate::rows::{Rows, Scope};
use crate::track::{Added, Count, In, Missing, Out, Pack, Piece, Point, Track};
use crate::{codec, track};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum What {
    Registered(bool),
    State(Doing),
}

impl Pack for What {
    fn pack<'a>(&'a self, out: &mut Out<'a>) {
        out.byte(match self {
            What::Registered(yes) => u8::from(*yes),
            What::State(state) => 2 + STATES.iter().position(|known| known == state).unwrap_or(0) as u8,
        });
    }

    fn unpack(from: &mut In<'_>) -> codec::Result<Self> {
        Ok(match from.byte()? {
            yes @ (0 | 1) => What::Registered(yes == 1),
            other => What::State(*STATES.get(usize::from(other) - 2).ok_or_else(|| from.damaged())?),
        })
    }
}

/// The states in the order of the numbers that stand for them in a store; new ones come last.
const STATES: [Doing; 5] = [Doing::Idle, Doing::Ringing, Doing::InUse, Doing::Held, Doing::Unavailable];

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Standing {
    registered: Option<bool>,
    state: Option<Doing>,
    since: Time,
}

impl track::Standing for Standing {
    type What = What;

    fn become_what(&mut self, at: Time, what: &What) {
        let before = self.shown();
        match *what {
            What::Registered(yes) => self.registered = Some(yes),
            What::State(state) => self.state = Some(state),
        }
        if self.shown() != before {
            self.since = at;
        }
    }
}

impl Standing {
    /// What counts: a device that is not registered cannot be reached, whatever its state was.
    fn shown(&self) -> Option<Doing> {
        if self.registered == Some(false) { Some(Doing::Unavailable) } else { self.state }
    }
}

/// One device's fold state; this is what a checkpoint stores, with its past in pieces beside it ([`State::take_past`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Which.
    pub device: DeviceId,
    /// Whose.
    pub tenant: TenantId,
    /// From which source.
    pub source: SourceId,
    base: Standing,
    track: Track<Standing>,
    /// Points that came more than 24 hours late and were refused.
    pub refused: u64,
}

impl State {
    /// A device of which nothing is known.
    pub fn new(device: DeviceId, source: SourceId, tenant: TenantId) -> State {
        State { device, tenant, source, base: Standing::default(), track: Track::default(), refused: 0 }
    }

    /// Folds one event in, and what it changes into `rows`.
    pub fn apply(&mut self, e: &Envelope, rows: &mut Rows) -> Change {
        let what = match &e.event {
            Event::DeviceRegistered(_) => What::Registered(true),
            Event::DeviceUnregistered(_) => What::Registered(false),
            Event::DeviceStateChanged(v) => What::State(v.state),
            _ => return Change::Unchanged,
        };
        let (tenant, source, device) = (&self.tenant, &self.source, &self.device);
        let mut counting = Counting { tenant, source, device, rows };
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
    pub fn live(&self) -> live::Device {
        let s = self.track.standing(&self.base);
        live::Device {
            device: self.device.clone(),
            tenant: self.tenant.clone(),
            source: self.source.clone(),
            registered: s.registered,
            state: s.shown(),
            since: s.since,
            last_at: self.track.newest().map_or(Time(0), |p| p.time),
        }
    }
}

/// Where a device's time is counted.
struct Counting<'a> {
    tenant: &'a TenantId,
    source: &'a SourceId,
    device: &'a DeviceId,
    rows: &'a mut Rows,
}

impl Counting<'_> {
    fn scope(&mut self) -> Scope {
        self.rows.scope(self.tenant, self.source, Dim::Device, &self.device.0)
    }
}

impl Count<Standing> for Counting<'_> {
    fn point(&mut self, _: &Standing, p: &Point<What>, sign: i64) {
        let Some(quality) = p.quality else { return };
        let scope = self.scope();
        self.rows.event(&scope, p.time).add(crate::contribution::mark_field(quality), sign);
    }

    fn span(&mut self, s: &Standing, from: Time, to: Time, sign: i64) {
        let Some(doing) = s.shown() else { return };
        let scope = self.scope();
        self.rows.span(&scope, from, to, sign, |t, ms| t.add(state_field(doing), ms));
    }
}

/// Where the time of a state is counted.
pub(crate) fn state_field(doing: Doing) -> Field {
    match doing {
        Doing::Idle => Field::DeviceIdleMs,
        Doing::Ringing => Field::DeviceRingingMs,
        Doing::InUse => Field::DeviceInUseMs,
        Doing::Held => Field::DeviceHeldMs,
        Doing::Unavailable => Field::DeviceUnavailableMs,
    }
}
