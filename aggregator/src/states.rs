//! How the states of agents, devices, queues and sources stand in the store: as JSON, by their id.

use model::Subject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stats::fold::PartitionFold;
use store::reports::{Kind, State};

use crate::{Error, Result};

/// Gives stored states back to a fold.
pub(crate) fn load(fold: &mut PartitionFold, states: &[State]) -> Result<()> {
    let (mut agents, mut devices, mut queues, mut sources) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for state in states {
        match state.kind {
            Kind::Agent => agents.push(read("agent", state)?),
            Kind::Device => devices.push(read("device", state)?),
            Kind::Queue => queues.push(read("queue", state)?),
            Kind::Source => sources.push(read("source", state)?),
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

/// The state of a subject as the store keeps it; `None` for a call, and for what the fold does not know.
pub(crate) fn stored(fold: &PartitionFold, subject: &Subject) -> Option<State> {
    match subject {
        Subject::Call(_) => None,
        Subject::Agent(id) => Some(state(Kind::Agent, id.as_str(), fold.agent(id)?)),
        Subject::Device(id) => Some(state(Kind::Device, id.as_str(), fold.device(id)?)),
        Subject::Queue(id) => Some(state(Kind::Queue, id.as_str(), fold.queue(id)?)),
        Subject::Source(id) => Some(state(Kind::Source, id.as_str(), fold.source(id)?)),
    }
}

fn state(kind: Kind, id: &str, of: &impl Serialize) -> State {
    State { kind, id: id.to_owned(), body: serde_json::to_vec(of).ok() }
}
