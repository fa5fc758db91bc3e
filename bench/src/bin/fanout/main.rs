//! WebSocket frames to many clients, for each second of the server's processor time; beside a bare broadcast.
//!
//! A thousand clients follow our pusher, a thousand a bare tokio-tungstenite broadcast of the same frames at the same rate, with as
//! many threads, in turn. Only the server's processor time counts. Then the pusher is told updates faster than it ticks: what one
//! frame carries together is what a wallboard gains.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bench::crowd::stage::Setup;
use bench::crowd::{Child, Client, Heard, Readers, readers::is_figures, stage};
use bench::{Aim, Figure, Finding, Spread};
use clap::Parser;
use service::Clock;

/// WebSocket frames to many clients, beside a bare broadcast.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(clap::Subcommand)]
enum Role {
    /// Our server; started by this program itself.
    Pusher(Setup),
    /// The peer; started by this program itself.
    Bare,
}

const CLIENTS: usize = 1_000;
/// Frames a second to each client, an update each.
const SINGLE: u64 = 50;
/// Updates a second that are carried together, at a tick of 50 ms: 20 frames a second at most.
const TOGETHER: u64 = 1_000;
/// Open calls that the updates go round.
const CALLS: u64 = 500;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(4);
/// What begins an item of a frame.
const ITEM: &[u8] = br#"{"key":"#;
const SUBSCRIBE: &str = r#"{"op":"subscribe","id":"c","topics":["calls"]}"#;

fn main() -> anyhow::Result<()> {
    match Arguments::parse().role {
        Some(Role::Pusher(setup)) => stage::serve(setup),
        Some(Role::Bare) => broadcast::serve(),
        None => tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run()),
    }
}

/// A server and its clients.
struct Side {
    server: Child,
    readers: Readers,
}

/// What a round came to, for each second of the server's processor time.
struct Round {
    frames: f64,
    updates: f64,
    updates_a_frame: f64,
}

impl Side {
    async fn start(mut server: Child) -> anyhow::Result<(Side, SocketAddr)> {
        let address = server.hear()?.parse()?;
        let readers = Readers::connect(address, CLIENTS, 50, SUBSCRIBE).await?;
        Ok((Side { server, readers }, address))
    }

    async fn round(&mut self, per_second: u64, clock: &Clock) -> anyhow::Result<Round> {
        self.server.ask(&format!("tell {per_second} {CALLS}"))?;
        clock.sleep(Duration::from_millis(500)).await;
        let tally = &self.readers.tally;
        let look = || [&tally.frames, &tally.updates_of_first, &tally.frames_of_first].map(|n| n.load(Relaxed) as f64);
        let (before, used) = (look(), self.server.processor_time()?);
        clock.sleep(ROUND).await;
        let (after, used) = (look(), (self.server.processor_time()? - used).as_secs_f64());
        self.server.ask("tell 0 1")?;
        clock.sleep(Duration::from_millis(300)).await;
        let [frames, updates, of_first] = [0, 1, 2].map(|n| after[n] - before[n]);
        let updates_a_frame = updates / of_first;
        Ok(Round { frames: frames / used, updates: frames * updates_a_frame / used, updates_a_frame })
    }
}

/// A frame of our own with one update, for the peer to send.
async fn frame_of_one(address: SocketAddr, server: &mut Child) -> anyhow::Result<String> {
    let mut client = Client::connect(address, None).await?;
    client.say(SUBSCRIBE).await?;
    server.ask(&format!("tell {SINGLE} {CALLS}"))?;
    loop {
        let Heard::Text(text) = client.hear().await? else { anyhow::bail!("closed") };
        let items = text.windows(ITEM.len()).filter(|part| *part == ITEM).count();
        if is_figures(text) && text.starts_with(br#"{"op":"delta""#) && items == 1 {
            let text = String::from_utf8(text.to_vec())?;
            server.ask("tell 0 1")?;
            return Ok(text);
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let clock = Clock::system();
    let folder = tempfile::tempdir()?;
    let folder = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).map(|()| path.display().to_string())
    };
    let pusher = |tick: &str, folder: String| Child::start(["pusher", "--tick-ms", tick, "--folder", &folder]);
    // A tick below the time between two updates: each is a frame of its own.
    let (mut single, address) = Side::start(pusher("10", folder("single")?)?).await?;
    let frame = frame_of_one(address, &mut single.server).await?;
    let (mut together, _) = Side::start(pusher("50", folder("together")?)?).await?;
    let (mut bare, _) = Side::start(Child::start(["bare"])?).await?;
    bare.server.ask(&format!("frame {frame}"))?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let peer = bare.round(SINGLE, &clock).await?;
        rounds.push((peer, single.round(SINGLE, &clock).await?, together.round(TOGETHER, &clock).await?));
    }
    let median = |of: fn(&(Round, Round, Round)) -> f64| rounds.iter().map(of).collect::<Spread>().median();
    // Each round's own ratio, then the middle one: a busy moment of the machine is in both sides of it, or in one round only.
    let (peer, ratio) = (median(|(peer, _, _)| peer.frames), median(|(peer, ours, _)| ours.updates / peer.frames));
    let gain = median(|(peer, _, ours)| ours.updates / peer.frames);
    let who = "bare tokio-tungstenite broadcast, one update a frame";
    Finding::new("fanout", "a wallboard's frame costs the server hardly more than a bare broadcast of it", "script/bench fanout")
        .figure(
            Figure::new("updates delivered, a frame each, a second of the server's processor time", ratio * peer, "1/s")
                .peer(who, peer)
                .aim(Aim::RatioAtLeast(0.9)),
        )
        .figure(
            Figure::new("updates delivered, when more come than ticks, a second of the server's processor time", gain * peer, "1/s")
                .peer(who, peer)
                .aim(Aim::RatioAtLeast(5.0)),
        )
        .note(format!(
            "{CLIENTS} clients; {SINGLE} frames a second to each; {} bytes a frame. Coalesced: {TOGETHER} updates a second, {:.1} a frame \
             of a tick of 50 ms.",
            frame.len(),
            median(|(_, _, ours)| ours.updates_a_frame)
        ))
        .note(format!(
            "{:.2} updates a frame in the rounds of a frame each: more than one where the machine was too busy to keep the tick.",
            median(|(_, ours, _)| ours.updates_a_frame)
        ))
        .note(format!(
            "{ROUNDS} rounds in turn, the middle ratio. Ours is the whole pusher, reading, merging and painting views from a journal; the \
             peer's tasks only write, and its {} threads are as many as ours.",
            2
        ))
        .save()
}
