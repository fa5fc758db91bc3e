//! Holds a cluster on this machine until it is asked to stop: `cluster HOME [--brokers 3] [--receivers 2] …`. `script/cluster` puts it into
//! the background; what it writes into HOME is for that script: `processes` (number, start, name and what each does), and `ready` (the table
//! that is shown when all of them are).
#![allow(clippy::disallowed_methods, reason = "it holds real processes in real time")]

use anyhow::{Context as _, Result, ensure};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidegate_tests::fleet::{Fleet, Size};
use tidegate_tests::servers::Servers;
use tidegate_tests::stores::Disk;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

const USAGE: &str = "usage: cluster HOME [--brokers 1|3] [--collectors 0|1] [--receivers N] [--aggregators N] [--pushers N] \
                     [--consoles N] [--gates N] [--set KEY=VALUE]…";
/// More of one kind than this help nobody on one machine.
const MOST: u16 = 9;

/// What was asked for.
struct Asked {
    home: PathBuf,
    brokers: u16,
    size: Size,
    settings: Vec<String>,
}

fn asked() -> Result<Asked> {
    let mut words = std::env::args().skip(1);
    let home = PathBuf::from(words.next().context(USAGE)?);
    let mut asked = Asked { home, brokers: 1, size: Size::default(), settings: Vec::new() };
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} needs a value\n{USAGE}"))?;
        let (least, most, place) = match word.as_str() {
            "--set" => {
                asked.settings.push(value);
                continue;
            }
            "--brokers" => (1, 3, &mut asked.brokers),
            // A source is collected by one collector.
            "--collectors" => (0, 1, &mut asked.size.collectors),
            "--receivers" => (1, MOST, &mut asked.size.receivers),
            "--aggregators" => (1, MOST, &mut asked.size.aggregators),
            "--pushers" => (1, MOST, &mut asked.size.pushers),
            "--consoles" => (0, MOST, &mut asked.size.consoles),
            "--gates" => (0, MOST, &mut asked.size.gates),
            _ => anyhow::bail!("{word} is unknown\n{USAGE}"),
        };
        *place = value.parse().with_context(|| format!("{word} {value}"))?;
        ensure!((least..=most).contains(place), "{word} {value}: {least} to {most}");
    }
    ensure!(asked.brokers != 2, "--brokers 2: one, or three with three copies of everything");
    asked.size.simulators = asked.size.collectors;
    Ok(asked)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let asked = asked()?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopped = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    };
    tokio::select! {
        () = stopped => eprintln!("stopped while it started"),
        started = start(&asked) => return hold(&asked.home, started?).await,
    }
    Ok(())
}

async fn start(asked: &Asked) -> Result<(Servers, Fleet)> {
    let servers = Servers::start(asked.brokers.into(), Disk::Synced).await?;
    let settings: Vec<_> = asked.settings.iter().map(String::as_str).collect();
    let fleet = Fleet::start(&asked.home.join("logs"), &servers, asked.size, &settings).await?;
    fs::write(asked.home.join("processes"), processes(&servers, &fleet))?;
    fleet.ready().await.with_context(|| fleet.all_said())?;
    fs::write(asked.home.join("ready"), table(&asked.home, &servers, &fleet))?;
    Ok((servers, fleet))
}

/// Until it is asked to stop: then everybody finishes in the order in which data goes, the servers last.
async fn hold(home: &Path, (servers, fleet): (Servers, Fleet)) -> Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut told = String::new();
    loop {
        let now = processes(&servers, &fleet);
        if now != told {
            // Whole, or not at all: somebody may be reading it.
            let aside = home.join("processes.new");
            fs::write(&aside, &now)?;
            fs::rename(&aside, home.join("processes"))?;
            told = now;
        }
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            () = sleep(Duration::from_millis(200)) => {}
        }
    }
    let stopped = fleet.stop().await;
    drop((fleet, servers));
    stopped
}

/// A line for each process.
fn processes(servers: &Servers, fleet: &Fleet) -> String {
    let mut text = String::new();
    let mut line = |pid: Option<u32>, name: &str, doing: &str| {
        let started = pid.and_then(started).unwrap_or_default();
        let _ = writeln!(text, "{} {started} {name} {doing}", pid.unwrap_or_default());
    };
    servers.processes().iter().for_each(|(name, pid)| line(Some(*pid), name, "runs"));
    for instance in fleet.all() {
        let state = instance.state();
        let again = match state.restarts {
            0 => String::new(),
            times => format!(", started again {times} times"),
        };
        line(state.pid, instance.name(), &format!("{}{again}", state.doing));
    }
    text
}

/// When a process began, in the kernel's own count: with its number it names one process for ever.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: the state is the third word, the start the 22nd.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

/// What a person wants to know of it.
fn table(home: &Path, servers: &Servers, fleet: &Fleet) -> String {
    let mut text = String::new();
    let mut line = |name: &str, what: String| _ = writeln!(text, "{name:<14} {what}");
    line("kafka", servers.brokers.servers().join(","));
    line("postgresql", servers.database.clone());
    line("redis", servers.redis.url());
    for (program, what) in [
        ("simulator", "AMI"),
        ("collector", ""),
        ("receiver", "POST http://{}/v1/ingest"),
        ("aggregator", ""),
        ("console", "http://{}/v1/plans"),
        ("cti", "POST http://{}/v1/route"),
        ("pusher", "http://{}/"),
    ] {
        for (instance, face) in fleet.of(program).iter().zip(fleet.faces(program)) {
            let ops = fleet.ops(instance.name()).map(|ops| format!("http://{ops}/readyz")).unwrap_or_default();
            let what = match what {
                "" => String::new(),
                "AMI" => format!("AMI {face}   "),
                url => url.replace("{}", &face.to_string()) + "   ",
            };
            line(instance.name(), what + &ops);
        }
    }
    line("logs", home.join("logs").display().to_string());
    if let Some(face) = fleet.faces("pusher").first() {
        line("wallboard", format!("http://{face}/"));
    }
    text
}
