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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::envelope::Parsed;
    use model::{AgentId, Envelope};
    use stats::fold::Settings;

    use super::*;

    /// The agent `7#1`, who is ready and busy in turn, a minute each.
    fn event(n: i64) -> Envelope {
        let (state, time) = (["ready", "talking"][n.rem_euclid(2) as usize], model::Time(n * 60_000));
        let text = format!(
            r#"{{"specversion":"1.0","id":"e{n}","source":"pbx","type":"agent.state_changed.v1","subject":"agent/7#1",
                "time":"{time}","data":{{"state":"{state}"}}}}"#
        );
        match Envelope::parse(text.as_bytes()) {
            Ok(Parsed::Known(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_long_day_is_stored_in_parts_and_goes_on_from_them() {
        let subject = Subject::Agent(AgentId::new("7#1"));
        let (mut fold, mut shelf, mut most) = (PartitionFold::new(Settings::default()), BTreeMap::new(), 0);
        for n in 0..400 {
            fold.apply(event(n));
            let changed = stored(&mut fold, &subject);
            most = most.max(changed.iter().filter_map(|state| Some(state.body.as_ref()?.len())).sum());
            shelf.extend(changed.into_iter().map(|state| ((state.kind, state.id.clone()), state)));
        }
        assert!(shelf.len() > 20 && most < 12_000, "{} parts, {most} bytes at once", shelf.len());
        let states: Vec<State> = shelf.into_values().collect();
        let mut again = PartitionFold::new(Settings::default());
        load(&mut again, &states).unwrap();
        // A point that belongs far back, and the next one.
        for fold in [&mut fold, &mut again] {
            fold.take_changes();
            [event(7), event(400)].into_iter().for_each(|event| _ = fold.apply(event));
            let mut late = event(40);
            (late.id, late.time) = (model::EventId::new("late"), late.time + 1);
            fold.apply(late);
        }
        let rows = |fold: &mut PartitionFold| fold.take_changes().rows.into_iter().collect::<BTreeMap<_, _>>();
        let (rows, rows_again) = (rows(&mut fold), rows(&mut again));
        assert!(!rows.is_empty() && rows == rows_again);
        assert_eq!(fold.views(), again.views());

        let without: Vec<State> = states.iter().filter(|state| state.id != "7#1#3").cloned().collect();
        let refused = load(&mut PartitionFold::new(Settings::default()), &without).unwrap_err().to_string();
        assert!(
            refused.contains("agent \"7#1\"") && refused.contains("piece 3") && refused.contains("rebuild"),
            "{refused}"
        );
    }
}
