//! How the states of agents, devices, queues and sources stand in the store: as JSON, by their id. The past of agents and devices stands
//! beside them in pieces, by their id and a number: it is a day of points, and hardly ever changes.

use std::collections::HashMap;

use model::Subject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stats::Missing;
use stats::fold::PartitionFold;
use store::reports::{Kind, State};

use crate::{Error, Result};

/// Between the id and the number of a piece; an id may have it, too.
const APART: char = '#';

/// Pieces of the past, by whose they are.
type Past<'a> = HashMap<&'a str, HashMap<u32, &'a [u8]>>;

/// Gives stored states back to a fold.
pub(crate) fn load(fold: &mut PartitionFold, states: &[State]) -> Result<()> {
    let (of_agents, of_devices) = (past("agent", Kind::AgentPast, states)?, past("device", Kind::DevicePast, states)?);
    let (mut agents, mut devices, mut queues, mut sources) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for state in states {
        match state.kind {
            Kind::Agent => {
                let mut agent: stats::agent::State = read("agent", state)?;
                whole("agent", state, &of_agents, |past| agent.restore(past))?;
                agents.push(agent);
            }
            Kind::Device => {
                let mut device: stats::device::State = read("device", state)?;
                whole("device", state, &of_devices, |past| device.restore(past))?;
                devices.push(device);
            }
            Kind::Queue => queues.push(read("queue", state)?),
            Kind::Source => sources.push(read("source", state)?),
            Kind::AgentPast | Kind::DevicePast => {}
        }
    }
    fold.load_agents(agents);
    fold.load_devices(devices);
    fold.load_queues(queues);
    fold.load_sources(sources);
    Ok(())
}

fn read<T: DeserializeOwned>(kind: &'static str, state: &State) -> Result<T> {
    let body = state.body.as_deref().unwrap_or_default();
    serde_json::from_slice(body).map_err(|error| Error::State { kind, id: state.id.clone(), reason: error.to_string() })
}

fn past<'a>(name: &'static str, kind: Kind, states: &'a [State]) -> Result<Past<'a>> {
    let mut past = Past::new();
    for state in states.iter().filter(|state| state.kind == kind) {
        let parts = state.id.rsplit_once(APART).and_then(|(id, number)| Some((id, number.parse().ok()?)));
        let Some((id, number)) = parts else {
            let reason = "it is no piece of a past: a number is missing at its end".to_owned();
            return Err(Error::State { kind: name, id: state.id.clone(), reason });
        };
        past.entry(id).or_default().insert(number, state.body.as_deref().unwrap_or_default());
    }
    Ok(past)
}

fn whole(
    kind: &'static str,
    state: &State,
    past: &Past<'_>,
    restore: impl FnOnce(&HashMap<u32, &[u8]>) -> std::result::Result<(), Missing>,
) -> Result<()> {
    let none = HashMap::new();
    restore(past.get(&*state.id).unwrap_or(&none)).map_err(|missing| Error::State {
        kind,
        id: state.id.clone(),
        reason: format!("{missing}; run `tidegate rebuild`"),
    })
}

/// What the store is to keep of a subject now; nothing of a call, and of what the fold does not know.
pub(crate) fn stored(fold: &mut PartitionFold, subject: &Subject) -> Vec<State> {
    let pieces = fold.take_past(subject);
    let (head, past) = match subject {
        Subject::Call(_) => (None, None),
        Subject::Agent(id) => {
            (fold.agent(id).map(|of| state(Kind::Agent, id.as_str(), of)), Some((Kind::AgentPast, id.as_str())))
        }
        Subject::Device(id) => {
            (fold.device(id).map(|of| state(Kind::Device, id.as_str(), of)), Some((Kind::DevicePast, id.as_str())))
        }
        Subject::Queue(id) => (fold.queue(id).map(|of| state(Kind::Queue, id.as_str(), of)), None),
        Subject::Source(id) => (fold.source(id).map(|of| state(Kind::Source, id.as_str(), of)), None),
    };
    let pieces = pieces.into_iter().filter_map(|piece| {
        let (kind, id) = past?;
        Some(State { kind, id: format!("{id}{APART}{}", piece.number), body: piece.bytes })
    });
    head.into_iter().chain(pieces).collect()
}

fn state(kind: Kind, id: &str, of: &impl Serialize) -> State {
    State { kind, id: id.to_owned(), body: serde_json::to_vec(of).ok() }
}
