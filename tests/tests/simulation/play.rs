//! One run: a town, its trouble, its rest, and the judgement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::Time;
use pusher::ws::topic::Topic;
use service::Seeds;
use service::simulation::World;

use crate::load::{Due, Item, Load};
use crate::nemesis::Nemesis;
use crate::node::Kind;
use crate::oracle::{Faults, Oracle, fresh_call};
use crate::sabotage::Sabotage;
use crate::town::{MORNING, Town};
use crate::trace::digest;

/// How soon a fresh event must be on the board when there is no trouble.
const FRESH: Duration = Duration::from_secs(10);

/// What a run was.
pub struct Outcome {
    pub seed: u64,
    pub faults: Faults,
    pub trace: Vec<String>,
    pub counts: BTreeMap<&'static str, u64>,
    /// Events that were sent.
    pub events: usize,
    /// Simulated time.
    pub lasted: Duration,
    /// How long everything took to come to rest after the trouble.
    pub settled: Duration,
}

impl Outcome {
    /// Whether anything was wrong, a panic somewhere included.
    pub fn is_wrong(&self) -> bool {
        !self.faults.is_empty() || self.counts.contains_key("PANICS")
    }

    /// A number that stands for the whole trace.
    pub fn digest(&self) -> u64 {
        digest(self.trace.iter().map(|line| line.as_bytes()))
    }
}

/// Plays a seed.
pub fn play(seed: u64, sabotage: Sabotage, trouble: bool) -> Outcome {
    let seeds = Seeds::fixed(seed);
    let world = World::new(&seeds.child("world"), MORNING);
    let (town, load) = Town::new(&world, &seeds, sabotage);
    let town = Arc::new(town);
    let home = town.home.clone();
    let own = Arc::clone(&town);
    let (faults, settled, lasted) = world.run(&home, async move {
        let (faults, settled) = day(&own, load, trouble).await;
        (faults, settled, own.clock.monotonic())
    });
    let events = town.ledger.lock().sent.len();
    let (trace, counts) = town.ground.trace.take();
    Outcome { seed, faults, trace, counts, events, lasted, settled }
}

async fn day(town: &Arc<Town>, load: Load, trouble: bool) -> (Faults, Duration) {
    town.begin(load);
    if trouble {
        Nemesis::new(town).run().await;
    }
    let settled = match town.settle("after the trouble").await {
        Ok(took) => took,
        Err(fault) => return (vec![fault], Duration::ZERO),
    };
    let mut faults = fresh(town).await;
    for node in town.nodes.iter().filter(|node| matches!(node.kind, Kind::Collector(_))) {
        node.retire();
    }
    town.clock.sleep(Duration::from_secs(1)).await;
    if let Err(fault) = town.settle("after a fresh event").await {
        faults.push(fault);
        return (faults, settled);
    }
    let mut oracle = Oracle { town, faults };
    oracle.judge().await;
    (oracle.faults, settled)
}

/// A fresh call by each way must be on the board soon.
async fn fresh(town: &Arc<Town>) -> Faults {
    let (now, at) = (Time(town.clock.now_ms()), town.clock.monotonic());
    let mut wanted = Vec::new();
    for vendor in &town.vendors {
        let fact = fresh_call(&vendor.source, now, 1);
        wanted.push(fact.subject.id().to_owned());
        vendor.happens(Due { at, id: fact.id(&vendor.source), item: Item::Fact(fact) });
    }
    let fact = fresh_call(&town.caller.source, now, 2);
    wanted.push(fact.subject.id().to_owned());
    let envelope = fact.into_envelope(&town.caller.source, now);
    let item = Item::Envelope(envelope.to_json());
    town.caller.post(vec![Due { at, id: envelope.id, item }]);
    while !wanted.is_empty() {
        if town.clock.monotonic() > at + FRESH {
            return vec![format!("after the trouble, fresh calls are not on the board within {FRESH:?}: {wanted:?}")];
        }
        town.clock.sleep(Duration::from_millis(20)).await;
        if let Some(hub) = town.board() {
            hub.board(|board| {
                wanted.retain(|call| !board.items(Topic::Calls).any(|item| item.json.contains(&format!("\"{call}\""))));
            });
        }
    }
    Vec::new()
}
