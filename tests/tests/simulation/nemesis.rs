//! What goes wrong, drawn from the seed.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use service::Rng;

use crate::node::Node;
use crate::town::Town;
use crate::weather::Sky;

/// How long faults go on: past the end of the load, so that its last events are troubled too.
pub const TROUBLE: Duration = Duration::from_secs(45);

/// The nemesis of a town.
pub struct Nemesis {
    town: Arc<Town>,
    rng: Rng,
}

impl Nemesis {
    pub fn new(town: &Arc<Town>) -> Nemesis {
        Nemesis { town: Arc::clone(town), rng: town.seeds.stream("nemesis") }
    }

    /// Makes trouble until it is over, then heals everything.
    pub async fn run(mut self) {
        let clock = self.town.clock.clone();
        let every = self.rng.random_range(300..3_000);
        while clock.monotonic() < TROUBLE {
            let wait = self.rng.random_range(0..2 * every);
            clock.sleep(Duration::from_millis(wait)).await;
            self.strike();
        }
        self.heal();
    }

    fn strike(&mut self) {
        match self.rng.random_range(0..100) {
            0..18 => self.crash(),
            18..30 => self.stop(),
            30..36 => self.drain(),
            36..48 => self.slow(),
            48..58 => self.refuse(),
            58..61 => self.poison(),
            61..71 => self.cut(),
            71..82 => self.storm(),
            82..92 => self.line(),
            92..97 => self.jump(),
            _ => self.power_cut(),
        }
    }

    fn node(&mut self) -> Arc<Node> {
        let which = self.rng.random_range(0..self.town.nodes.len());
        Arc::clone(&self.town.nodes[which])
    }

    fn millis(&mut self, up_to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(50..up_to))
    }

    fn tell(&self, what: &'static str, of: &str) {
        self.town.ground.trace.count(what);
        self.town.ground.trace.tell(&self.town.home, format_args!("{what}: {of}"));
    }

    /// Later, whatever happens meanwhile.
    fn later(&self, after: Duration, what: impl FnOnce() + Send + 'static) {
        let clock = self.town.clock.clone();
        let work = async move {
            clock.sleep(after).await;
            what();
        };
        self.town.tasks.spawn("later", work).expect("room");
    }

    fn crash(&mut self) {
        let (node, after) = (self.node(), self.millis(10_000));
        if node.is_alive() {
            self.tell("crashes", &node.name);
            node.crash();
            self.later(after, move || node.start());
        }
    }

    fn stop(&mut self) {
        let (node, lasting) = (self.node(), self.millis(12_000));
        self.tell("stops", &node.name);
        node.place.stop();
        self.later(lasting, move || node.place.go_on());
    }

    fn drain(&mut self) {
        let node = self.node();
        self.tell("drains", &node.name);
        node.drain();
    }

    fn turn(&mut self, what: &'static str, sky: Sky, up_to: u64) {
        let (node, lasting) = (self.node(), self.millis(up_to));
        self.tell(what, &node.name);
        node.weather.turn(sky, lasting);
    }

    fn slow(&mut self) {
        let slow_ms = 10_u64.pow(self.rng.random_range(1..=3)) * 2;
        self.turn("slow disks", Sky { slow_ms, ..Sky::default() }, 10_000);
    }

    fn refuse(&mut self) {
        let refused = self.rng.random_range(0.05..0.7);
        self.turn("disks that refuse", Sky { refused, slow_ms: 20, ..Sky::default() }, 6_000);
    }

    fn poison(&mut self) {
        self.turn("disks that fail in a commit", Sky { poisoned: 0.3, ..Sky::default() }, 3_000);
    }

    fn cut(&mut self) {
        self.turn("disks out of reach", Sky { cut: true, ..Sky::default() }, 15_000);
    }

    fn storm(&mut self) {
        let sky = Sky {
            slow_ms: self.rng.random_range(0..3_000),
            lost: self.rng.random_range(0.0..0.6),
            twice: self.rng.random_range(0.0..0.6),
            cut: self.rng.random_range(0..5) == 0,
            ..Sky::default()
        };
        let lasting = self.millis(10_000);
        self.tell(if sky.cut { "network partitions" } else { "network storms" }, "the doors");
        self.town.network.weather.turn(sky, lasting);
    }

    fn line(&mut self) {
        let sky = Sky {
            slow_ms: self.rng.random_range(0..500),
            lost: self.rng.random_range(0.0..0.6),
            twice: self.rng.random_range(0.0..0.8),
            cut: self.rng.random_range(0..4) == 0,
            ..Sky::default()
        };
        let (which, lasting) = (self.rng.random_range(0..self.town.vendors.len()), self.millis(12_000));
        let vendor = Arc::clone(&self.town.vendors[which]);
        self.tell(if sky.cut { "vendor links cut" } else { "bad vendor links" }, vendor.source.as_str());
        vendor.weather.turn(sky, lasting);
    }

    fn jump(&mut self) {
        let (node, by) = (self.node(), self.rng.random_range(-90_000..90_000));
        let place = if self.rng.random_range(0..4) == 0 { &self.town.journal_host } else { &node.place };
        self.tell("clock jumps", &place.name());
        place.jump(by);
    }

    /// Everything dies, and the store is what the disk happened to have of it.
    fn power_cut(&mut self) {
        self.tell("power cuts", "everything");
        self.town.nodes.iter().for_each(|node| node.crash());
        self.town.ground.vault.cut(self.rng.random_range(0..4));
        for node in self.town.nodes.clone() {
            let after = self.millis(5_000);
            self.later(after, move || node.start());
        }
    }

    fn heal(&self) {
        self.town.ground.trace.tell(&self.town.home, "trouble is over");
        let fair = |weather: &crate::weather::Weather| weather.turn(Sky::default(), Duration::ZERO);
        self.town.vendors.iter().for_each(|vendor| fair(&vendor.weather));
        fair(&self.town.network.weather);
        for node in &self.town.nodes {
            fair(&node.weather);
            node.place.go_on();
            node.bury();
            node.start();
        }
    }
}
