//! Many wallboards, some of them bad: stalled readers beside good ones, ten thousand that come back at once, and what one costs that is
//! idle.
//!
//! The server is our whole pusher in a process of its own; the ten thousand are held by other processes, because one may not open so
//! many files. The peer for memory is a bare tokio-tungstenite broadcast with as many clients.

mod herd;
mod stalled;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bench::crowd::stage::Setup;
use bench::crowd::{Child, stage};
use bench::{Aim, Figure, Finding};
use clap::Parser;
use service::Clock;

/// Many wallboards: stalled ones, ten thousand at once, idle ones.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(clap::Subcommand)]
enum Role {
    /// Our server; started by this program itself.
    Pusher(Setup),
    /// Clients; started by this program itself.
    Herd {
        /// Of whom.
        address: SocketAddr,
        /// Whether the server sends nothing by itself.
        #[arg(long)]
        silent: bool,
    },
}

const SUBSCRIBE: &str = r#"{"op":"subscribe","id":"c","topics":["calls"]}"#;
/// Who is there before the memory of an idle one is measured, and then.
const FEW: usize = 1_000;
const MANY: usize = 10_000;
/// Processes that hold them.
const HERDS: usize = 2;
/// How long memory is left alone before it is looked at.
const SETTLE: Duration = Duration::from_secs(3);

fn main() -> anyhow::Result<()> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match Arguments::parse().role {
        Some(Role::Pusher(setup)) => stage::serve(setup),
        Some(Role::Herd { address, silent }) => herd::serve(address, !silent),
        None => runtime()?.block_on(run()),
    }
}

/// How it was for all of them.
struct Storms {
    storms: Vec<herd::Storm>,
    /// Processor time, seconds.
    server_s: f64,
    clients_s: f64,
}

async fn run() -> anyhow::Result<()> {
    files_suffice()?;
    let clock = Clock::system();
    let folder = tempfile::tempdir()?;
    let mut finding = Finding::new(
        "crowd",
        "bad wallboards harm no good ones, and ten thousand may come back at once",
        "script/bench crowd",
    );
    finding = stalled::measure(&clock, folder.path(), finding).await?;
    let (idle, storm) = ours(&clock, folder.path()).await?;
    let mut bare = Child::beside("bare-broadcast", "broadcast")?;
    let address = bare.hear()?;
    let (peer, _herds) = idle_bytes(&clock, &bare, &[&address, "--silent"]).await?;
    let last = storm.storms.iter().map(|herd| herd.last_ms).fold(0.0, f64::max);
    let middle = storm.storms.iter().map(|herd| herd.median_ms).fold(0.0, f64::max);
    let failed: usize = storm.storms.iter().map(|herd| herd.failed).sum();
    finding
        .figure(Figure::new(format!("{MANY} reconnect at once: until the last has the figures of now"), last, "ms").aim(Aim::AtMost(5_000.0)))
        .figure(Figure::new("the same, until half of them have", middle, "ms"))
        .figure(
            Figure::new("server's memory for an idle client", idle, "B")
                .peer("bare tokio-tungstenite broadcast, its default buffers", peer)
                .aim(Aim::RatioAtMost(1.0)),
        )
        .note(format!(
            "Memory is resident memory of the server's process, at {FEW} and at {MANY} clients, {} s after the last came; what the kernel \
             keeps for a connection is not in it.",
            SETTLE.as_secs()
        ))
        .note(format!(
            "Who reconnects: {MANY} clients in {HERDS} processes close at the same moment and come back with handshake, subscription and a \
             snapshot of 100 calls (some 33 kB) each; {failed} attempts failed and were repeated. Of the machine's processor time the \
             server took {:.2} s and the clients {:.2} s: they share its cores.",
            storm.server_s, storm.clients_s,
        ))
        .save()
}

/// Ours: bytes of an idle client, and how long it takes until all that went are current again.
async fn ours(clock: &Clock, folder: &std::path::Path) -> anyhow::Result<(f64, Storms)> {
    let folder = folder.join("storm");
    std::fs::create_dir(&folder)?;
    let mut server = Child::start(["pusher", "--folder", &folder.display().to_string()])?;
    let address = server.hear()?;
    server.ask("tell 1000 100")?;
    clock.sleep(Duration::from_secs(1)).await;
    server.ask("tell 0 100")?;
    let (idle, mut herds) = idle_bytes(clock, &server, &[&address]).await?;
    server.ask("tell 2 100")?;
    clock.sleep(Duration::from_secs(2)).await;
    let clients = |herds: &[Child]| herds.iter().map(|herd| herd.processor_time()).sum::<anyhow::Result<Duration>>();
    let before = (server.processor_time()?, clients(&herds)?);
    for herd in &mut herds {
        herd.order("storm")?;
    }
    let storms: Vec<herd::Storm> =
        herds.iter_mut().map(|herd| Ok(serde_json::from_str(&herd.hear()?)?)).collect::<anyhow::Result<_>>()?;
    let server_s = (server.processor_time()? - before.0).as_secs_f64();
    let clients_s = (clients(&herds)? - before.1).as_secs_f64();
    Ok((idle, Storms { storms, server_s, clients_s }))
}

/// What one more idle client costs, and the processes of the clients.
async fn idle_bytes(clock: &Clock, server: &Child, whom: &[&str]) -> anyhow::Result<(f64, Vec<Child>)> {
    let start = || Child::start(["herd"].iter().chain(whom));
    let mut herds: Vec<Child> = (0..HERDS).map(|_| start()).collect::<anyhow::Result<_>>()?;
    let mut seen = Vec::new();
    for count in [FEW, MANY - FEW] {
        for herd in &mut herds {
            herd.order(&format!("more {}", count / HERDS))?;
        }
        for herd in &mut herds {
            anyhow::ensure!(herd.hear()? == "ok", "clients could not connect");
        }
        clock.sleep(SETTLE).await;
        seen.push(server.resident()?);
    }
    Ok(((seen[1] - seen[0]) / (MANY - FEW) as f64, herds))
}

fn files_suffice() -> anyhow::Result<()> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit of open files")?;
    let soft: usize = line.split_whitespace().nth(3).and_then(|word| word.parse().ok()).unwrap_or(usize::MAX);
    anyhow::ensure!(soft > MANY + 500, "this needs {} open files, and {soft} are allowed: ulimit -n 20000", MANY + 500);
    Ok(())
}
