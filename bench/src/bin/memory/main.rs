//! Memory of the one process, per thing that it follows: the real binary with N and with 2 N of them, the difference divided
//! by N; the middle of some rounds, for what an allocator keeps differs from start to start. Beside it: the bytes of the same live
//! figures as JSON, as the HTTP face serves them.
//!
//! The events go in as live ones do, through a collector, the receiver and the aggregator to the pusher; so what is measured
//! is all that any of them keeps: the fold's state, the call's record, the last view told of it, the wallboard's item, its
//! JSON, and the ids of its events in the window of duplicates. Idle WebSocket clients are measured by `crowd`.

use std::time::Duration;

use anyhow::{Result, ensure};
use bench::population::Population;
use bench::product::Server;
use bench::{Figure, Finding, Spread};
use model::Time;
use service::Clock;

/// How many of each: N, and then 2 N.
const AGENTS: usize = 20_000;
const CALLS: usize = 20_000;
const QUEUES: usize = 5_000;
/// All of it so often.
const ROUNDS: usize = 5;
/// Until checkpoints, compaction and whatever else follows the last event are over.
const SETTLED_AFTER: Duration = Duration::from_secs(4);
/// Queues that the calls wait in when queues are not what is counted.
const FEW_QUEUES: usize = 10;

/// What one population costs, in bytes.
struct Cost {
    memory: f64,
    /// The topic's items, as JSON.
    json: f64,
}

/// What was measured in one round.
struct Round {
    empty: Cost,
    agent: Cost,
    call: Cost,
    queue: Cost,
}

/// Which of a round's costs.
type Thing = fn(&Round) -> &Cost;

impl Round {
    fn measure() -> Result<Round> {
        let agents = |n| Population { agents: n, ..Population::default() };
        let calls = |n| Population { waiting: n, queues: FEW_QUEUES, ..Population::default() };
        let queues = |n| Population { waiting: n, queues: n, ..Population::default() };
        let empty = cost(agents(0), "agents")?;
        let agent = per_one(AGENTS, "agents", agents)?;
        let call = per_one(CALLS, "calls", calls)?;
        // A queue with one caller who waits; the caller is taken off.
        let queue = per_one(QUEUES, "queues", queues)?;
        let queue = Cost { memory: queue.memory - call.memory, ..queue };
        Ok(Round { empty, agent, call, queue })
    }
}

fn main() -> Result<()> {
    let rounds = (0..ROUNDS).map(|_| Round::measure()).collect::<Result<Vec<_>>>()?;
    let spread = |of: &dyn Fn(&Round) -> f64| rounds.iter().map(of).collect::<Spread>();
    let mut finding =
        Finding::new("memory", "Memory grows with what is followed, by some kilobytes each", "script/bench memory");
    let things: [(&str, Thing); 3] = [
        ("an agent, logged in and ready", |round| &round.agent),
        ("an open call that waits in a queue", |round| &round.call),
        ("a queue", |round| &round.queue),
    ];
    for (what, of) in things {
        let (memory, json) = (spread(&|round| of(round).memory / 1e3), spread(&|round| of(round).json / 1e3));
        finding = finding
            .figure(Figure::new(what, memory.median(), "kB").peer("the same live figures as JSON", json.median()))
            .note(format!("{what}: {:.1} to {:.1} kB in {ROUNDS} rounds.", memory.quantile(0.0), memory.max()));
    }
    let empty = spread(&|round| round.empty.memory / 1e6);
    finding
        .figure(Figure::new("everything in one process, nothing followed", empty.median(), "MB"))
        .note(format!(
            "One process: collector, receiver, aggregator, pusher and journal; anonymous resident memory with N and with 2 N, \
             the difference divided by N; N is {AGENTS} agents, {CALLS} calls, {QUEUES} queues."
        ))
        .note("The ids of events that were seen are in it: at most 400,000 of them, about 50 bytes each.")
        .save()
}

/// What one more costs.
fn per_one(n: usize, topic: &str, of: impl Fn(usize) -> Population) -> Result<Cost> {
    let (one, two) = (cost(of(n), topic)?, cost(of(2 * n), topic)?);
    Ok(Cost { memory: (two.memory - one.memory) / n as f64, json: (two.json - one.json) / n as f64 })
}

fn cost(population: Population, topic: &str) -> Result<Cost> {
    let folder = tempfile::tempdir()?;
    let recording = folder.path().join("made.ndjson");
    population.record(&recording, Time(Clock::system().now_ms()))?;
    let mut server = Server::start(folder.path(), &recording)?;
    server.ready()?;
    if population.waiting > 0 {
        server.shows(population.waiting as u64)?;
    }
    std::thread::sleep(SETTLED_AFTER);
    let memory = server.resident()?;
    let items = server.items(topic)?;
    let expected = match topic {
        "agents" => population.agents,
        "calls" => population.waiting,
        _ => population.queues,
    };
    ensure!(items.len() == expected, "{} {topic} are shown, {expected} were told of", items.len());
    let json: usize = items.iter().map(|item| item.to_string().len()).sum();
    Ok(Cost { memory, json: json as f64 })
}
