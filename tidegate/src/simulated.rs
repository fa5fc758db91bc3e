//! When no source is named, the simulator plays, watched through the real Asterisk adapter. It knows its people by name.

use simulator::Config;

/// The settings that this makes: a source, and the directory of the simulated centre.
pub(crate) fn settings(simulator: &Config) -> Vec<String> {
    let mut set = source(simulator);
    set.extend(directory(simulator));
    set
}

fn source(simulator: &Config) -> Vec<String> {
    let ami = simulator.ami.address;
    let mut set = vec![
        "collector.sources.sim.kind=asterisk".to_owned(),
        format!("collector.sources.sim.config.host={}", ami.ip()),
        format!("collector.sources.sim.config.port={}", ami.port()),
    ];
    if let Some(user) = simulator.ami.users.first() {
        set.push(format!("collector.sources.sim.config.username={}", user.name));
        let secret = user.secret.read().unwrap_or_default();
        set.push(format!("collector.sources.sim.config.secret=plain:{secret}"));
    }
    set
}

fn directory(simulator: &Config) -> Vec<String> {
    let mut set = vec![
        "directory.sources.sim.name=Simulated call centre".to_owned(),
        format!("directory.tenants.default.time_zone={}", simulator.time_zone),
    ];
    for queue in &simulator.queues {
        set.push(format!("directory.queues.{}.name={}", queue.id, capitalised(&queue.id)));
        set.push(format!("directory.queues.{}.name_zh={}", queue.id, queue.title));
    }
    for group in &simulator.groups {
        set.push(format!("directory.teams.{}.name={}", group.id, capitalised(&group.id)));
        for number in 0..group.agents {
            let agent = group.first_extension + number;
            set.push(format!("directory.agents.{agent}.team={}", group.id));
        }
    }
    set
}

fn capitalised(id: &str) -> String {
    let mut chars = id.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
