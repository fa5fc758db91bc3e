//! The whole of a run: processes, what they stand on, who sends, and what makes trouble.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use journal::memory::Memory;
use journal::{Journal, Stream, Topology};
use pusher::ws::hub::Hub;
use rand::Rng as _;
use service::simulation::{Place, World};
use service::{Clock, Drain, Seeds, Tasks};
use store::Reports as _;

use crate::caller::{Caller, Door, Network};
use crate::load::{Ledger, Load, WATCHED};
use crate::node::{Ground, Kind, Node};
use crate::sabotage::Sabotage;
use crate::shelf::Vault;
use crate::trace::Trace;
use crate::vendor::Vendor;
use crate::weather::Weather;

/// Monday, 2026-11-16 08:00 UTC.
pub const MORNING: i64 = 1_794_816_000_000;
/// How long a member of a group may be unheard of.
const LEASE: Duration = Duration::from_secs(5);
/// How long a tombstone stays: longer than any reader is stopped or dead.
const TOMBSTONE_MS: i64 = 60_000;
/// After faults end, everything must be folded within this simulated time.
const SETTLE: Duration = Duration::from_secs(120);

/// The whole of a run.
pub struct Town {
    pub home: Place,
    pub clock: Clock,
    pub seeds: Seeds,
    pub tasks: Tasks,
    pub ground: Ground,
    pub ledger: Arc<Ledger>,
    pub nodes: Vec<Arc<Node>>,
    pub vendors: Vec<Arc<Vendor>>,
    pub network: Arc<Network>,
    pub caller: Arc<Caller>,
    pub hub: Arc<Mutex<Option<Arc<Hub>>>>,
    pub topology: Topology,
    /// Where the clock of the journal's host is.
    pub journal_host: Place,
}

impl Town {
    /// Draws a town from a seed.
    pub fn new(world: &World, seeds: &Seeds, sabotage: Sabotage) -> (Town, Load) {
        let mut rng = seeds.stream("town");
        let (home, ether, journal_host) = (world.place("home"), world.place("network"), world.place("journal"));
        let clock = home.clock();
        let topology = Topology::uniform(rng.random_range(1..=4));
        let journal: Arc<dyn Journal> = Memory::with_lease(topology.clone(), journal_host.clock(), LEASE);
        let trace = Arc::new(Trace::default());
        let ground = Ground {
            journal,
            vault: Arc::new(Vault::default()),
            graveyard: Arc::default(),
            trace: Arc::clone(&trace),
            sabotage,
            seeds: seeds.clone(),
        };
        let ledger = Arc::new(Ledger::default());
        let mut load = Load::new(seeds, MORNING);
        let tasks = |name: &str, limit| Tasks::new(name, limit, clock.clone(), Drain::new());
        let weather = |name: &str| Arc::new(Weather::new(clock.clone(), seeds.stream(name)));
        let (mut nodes, mut vendors, mut doors) = (Vec::new(), Vec::new(), Vec::new());
        let node = |name: String, kind| Node::new(&name, world.place(name.as_str()), kind, ground.clone());
        for name in WATCHED {
            let watchers = rng.random_range(1..=2);
            let vendor = Arc::new(Vendor {
                source: name.into(),
                log: Mutex::new(load.watched.remove(name).unwrap_or_default()),
                acked: AtomicUsize::new(0),
                place: ether.clone(),
                weather: weather(&format!("line of {name}")),
                ledger: Arc::clone(&ledger),
                trace: Arc::clone(&trace),
                sabotage,
                watchers,
            });
            for n in 0..watchers {
                nodes.push(node(format!("collect-{name}-{n}"), Kind::Collector(Arc::clone(&vendor))));
            }
            vendors.push(vendor);
        }
        for n in 0..rng.random_range(1..=2) {
            let door = Door::default();
            doors.push(Arc::clone(&door));
            nodes.push(node(format!("receive-{n}"), Kind::Receiver(door)));
        }
        for n in 0..rng.random_range(1..=3) {
            nodes.push(node(format!("aggregate-{n}"), Kind::Aggregator));
        }
        let hub = Arc::default();
        nodes.push(node("push".to_owned(), Kind::Pusher(Arc::clone(&hub))));
        let network = Arc::new(Network {
            clock: clock.clone(),
            place: ether.clone(),
            weather: weather("network"),
            trace,
            doors,
            tasks: tasks("network", 10_000),
        });
        let caller = Arc::new(Caller {
            source: "pbx3".into(),
            network: Arc::clone(&network),
            ledger: Arc::clone(&ledger),
            place: ether,
            clock: clock.clone(),
            tasks: tasks("caller", 1_000),
            busy: AtomicUsize::new(0),
        });
        let tasks = tasks("town", 1_000);
        let seeds = seeds.clone();
        let town = Town {
            home,
            clock,
            seeds,
            tasks,
            ground,
            ledger,
            nodes,
            vendors,
            network,
            caller,
            hub,
            topology,
            journal_host,
        };
        (town, load)
    }

    /// Starts everything, and whoever keeps it running: what ends by itself is started again after a second.
    pub fn begin(self: &Arc<Self>, load: Load) {
        self.nodes.iter().for_each(Node::start);
        let caller = Arc::clone(&self.caller);
        self.caller.tasks.spawn("calls", caller.run(load.door)).expect("room");
        let own = Arc::clone(self);
        let tend = async move {
            for turn in 0_u64.. {
                own.clock.sleep(Duration::from_millis(1_000)).await;
                for node in &own.nodes {
                    if node.bury() {
                        node.start();
                    }
                }
                if turn % 2 == 0 {
                    own.ground.vault.remember();
                }
                if turn % 7 == 0 {
                    own.ground.journal.compact(TOMBSTONE_MS).await.expect("a journal");
                }
            }
        };
        self.tasks.spawn("supervisor", tend).expect("room");
    }

    /// What is not received, folded or stored yet: nothing in the end.
    pub async fn unsettled(&self) -> Vec<String> {
        let mut left = Vec::new();
        if !self.caller.is_done() {
            left.push(format!("the caller: {:?}", self.caller.tasks.names()));
        }
        left.extend(self.vendors.iter().filter(|vendor| !vendor.is_done()).map(|vendor| vendor.source.to_string()));
        left.extend(
            self.nodes
                .iter()
                .filter(|node| !node.is_alive() && !node.is_retired())
                .map(|node| format!("{} is dead", node.name)),
        );
        let journal = &self.ground.journal;
        let committed = journal.committed(receiver::aside::GROUP).await.expect("a journal");
        for number in 0..journal.partitions(Stream::Ingest) {
            let end = journal.end(Stream::Ingest, number).await.expect("a journal");
            let at = committed.iter().find(|at| at.partition() == (Stream::Ingest, number)).map_or(0, |at| at.offset);
            if at < end {
                left.push(format!("ingest/{number}: received {at} of {end}"));
            }
        }
        let progress = self.ground.vault.now().progress().await.expect("a store");
        for stream in Stream::EVENTS {
            for number in 0..journal.partitions(stream) {
                let (part, end) = (format!("{stream}/{number}"), journal.end(stream, number).await.expect("a journal"));
                let folded = progress.iter().find(|one| one.part.to_string() == part).and_then(|one| one.next);
                if folded.unwrap_or(0) < end {
                    left.push(format!("{part}: folded {folded:?} of {end}"));
                }
            }
        }
        left
    }

    /// Waits until nothing is unsettled for a moment.
    pub async fn settle(&self, when: &str) -> Result<Duration, String> {
        let began = self.clock.monotonic();
        let mut quiet = 0;
        loop {
            self.clock.sleep(Duration::from_millis(250)).await;
            let left = self.unsettled().await;
            quiet = if left.is_empty() { quiet + 1 } else { 0 };
            let took = self.clock.monotonic() - began;
            if quiet >= 8 {
                return Ok(took);
            }
            if took > SETTLE {
                return Err(format!("{when}: not settled within {SETTLE:?}: {}", left.join("; ")));
            }
        }
    }

    /// What the wallboard's process shows, if it lives.
    pub fn board(&self) -> Option<Arc<Hub>> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
