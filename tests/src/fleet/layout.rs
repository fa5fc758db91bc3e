//! Who listens where, and what differs from the files of `deploy/config/many` because all are on this one machine.

use crate::servers::Servers;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// How many of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Simulated call centres: one, or none.
    pub simulators: u16,
    /// Collectors: one, or none. A source is collected by one.
    pub collectors: u16,
    /// Receivers.
    pub receivers: u16,
    /// Aggregators.
    pub aggregators: u16,
    /// Consoles.
    pub consoles: u16,
    /// Route gates.
    pub gates: u16,
    /// Pushers.
    pub pushers: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { simulators: 1, collectors: 1, receivers: 2, aggregators: 3, consoles: 2, gates: 1, pushers: 2 }
    }
}

impl Size {
    /// How many of each program, in the order in which data goes.
    pub fn programs(&self) -> [(&'static str, u16); 7] {
        [
            ("simulator", self.simulators),
            ("collector", self.collectors),
            ("receiver", self.receivers),
            ("aggregator", self.aggregators),
            ("console", self.consoles),
            ("cti", self.gates),
            ("pusher", self.pushers),
        ]
    }
}

/// Ports of one instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    port: u16,
}

impl Place {
    /// So many ports each instance has.
    pub(super) const PORTS: u16 = 3;

    pub(super) fn new(first: u16, number: u16) -> Self {
        Self { port: first + number * Self::PORTS }
    }

    /// What it serves: a door, a wallboard, a manager interface.
    pub(super) fn face(self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A second one: the gate's FastAGI, the simulator's control.
    pub(super) fn second(self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port + 1).into()
    }

    /// Health and metrics.
    pub(super) fn ops(self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port + 2).into()
    }
}

/// What the instance `name` of a program is told beyond its file. `centre` is where the simulated call centre is.
pub(super) fn settings(
    program: &str,
    name: &str,
    place: Place,
    centre: Place,
    servers: &Servers,
    key: &Path,
) -> Vec<String> {
    let mut all = vec![
        format!("process.instance={name}"),
        format!("process.ops.address={}", place.ops()),
        "process.log.format=text".to_owned(),
    ];
    if program != "simulator" {
        all.push(servers.of_journal(&format!("{program}.journal")));
    }
    if matches!(program, "aggregator" | "console" | "pusher") {
        all.extend(servers.of_store(&format!("{program}.store")));
    }
    if matches!(program, "cti" | "pusher") {
        all.extend(servers.of_live(&format!("{program}.live")));
    }
    if matches!(program, "receiver" | "cti") {
        all.push(format!("{program}.number_key=file:{}", key.display()));
    }
    if matches!(program, "receiver" | "cti" | "console") {
        // Everything is on loopback.
        all.push(format!("{program}.auth.anonymous=operator"));
    }
    match program {
        "simulator" => all.extend([
            format!("simulator.ami.address={}", place.face()),
            format!("simulator.control.listen.address={}", place.second()),
        ]),
        "collector" => all.extend([
            "collector.sources.pbx1.config.host=127.0.0.1".to_owned(),
            format!("collector.sources.pbx1.config.port={}", centre.face().port()),
            // The simulator's own.
            "collector.sources.pbx1.config.secret=plain:cti-secret".to_owned(),
        ]),
        "aggregator" => {}
        _ => all.push(format!("{program}.listen.address={}", place.face())),
    }
    if program == "cti" {
        all.push(format!("cti.agi.listen.address={}", place.second()));
    }
    all
}
