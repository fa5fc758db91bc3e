//! Our pusher in a child process, on a journal in memory, with views that are told at a steady rate.
//!
//! The whole component runs: the live loop reads `views`, merges, paints, and numbers the frames; nothing is cut out to look fast.
//! Each update is an open call of which something changed; its `agent` is a stamp, by which a reader knows when it was made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use journal::{Entry, Journal, Stream, Topology};
use model::Time;
use model::event::call::Direction;
use pusher::Pusher;
use service::http::Listen;
use service::{Clock, Component as _, Context, Drain, Millis, Seeds, Tasks};
use stats::live::{Call, Stage, View};
use store::frame::{self, Body, Fold, Frame, Version};
use store::{Part, Reports};

use super::now_us;
use super::process::{answer, orders};

/// How a pusher is set up.
#[derive(Clone, Debug, clap::Args)]
pub struct Setup {
    /// Where its store may be.
    #[arg(long)]
    pub folder: std::path::PathBuf,
    /// The shortest time between two frames, milliseconds.
    #[arg(long, default_value_t = 50)]
    pub tick_ms: u64,
    /// How long a client may take to accept what is sent, milliseconds.
    #[arg(long, default_value_t = 10_000)]
    pub write_timeout_ms: u64,
    /// The most clients.
    #[arg(long, default_value_t = 15_000)]
    pub places: u32,
}

/// Updates a second; the calls that they go round.
struct Rate {
    per_second: AtomicU64,
    calls: AtomicU64,
}

/// Serves until the parent is gone. Says its address; then takes orders: `tell PER_SECOND CALLS`.
///
/// # Errors
///
/// When the pusher cannot be built.
pub fn serve(setup: Setup) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rate = Arc::new(Rate { per_second: AtomicU64::new(0), calls: AtomicU64::new(1) });
    let address = runtime.block_on(start(setup, Arc::clone(&rate)))?;
    answer(address);
    for order in orders() {
        let numbers: Vec<u64> = order.split(' ').filter_map(|word| word.parse().ok()).collect();
        if let [per_second, calls] = numbers[..] {
            rate.calls.store(calls.max(1), Relaxed);
            rate.per_second.store(per_second, Relaxed);
        }
        answer("ok");
    }
    std::process::exit(0);
}

async fn start(setup: Setup, rate: Arc<Rate>) -> anyhow::Result<SocketAddr> {
    let clock = Clock::system();
    let journal: Arc<dyn Journal> = journal::memory::Memory::new(Topology::default(), clock.clone());
    let store: Arc<dyn Reports> = Arc::new(store::Sqlite::open(setup.folder.join("store.db")).await?);
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let context = Context::new("pusher", "bench", clock.clone(), &Seeds::fixed(1))
        .with_shared(Arc::clone(&journal))
        .with_shared(Arc::clone(&store));
    let listen = Listen { connections_max: setup.places + 100, ..Listen::loopback(port) };
    let address = listen.address;
    let mut config = pusher::config::Config { listen, tick: Millis::new(setup.tick_ms), ..Default::default() };
    config.limits.connections = setup.places;
    config.limits.write_timeout = Millis::new(setup.write_timeout_ms);
    let plan = Pusher::plan(config).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let pusher = Pusher::build(plan, &context).await?;
    let tasks = Tasks::new("stage", 2, clock.clone(), Drain::new());
    tasks.spawn("pusher", pusher.run(context))?;
    tasks.spawn("views", tell(journal, clock, rate))?;
    Ok(address)
}

async fn tell(journal: Arc<dyn Journal>, clock: Clock, rate: Arc<Rate>) -> journal::Result<()> {
    let part = Part::new("events.call", 0);
    let (mut number, mut told, mut since) = (0, 0, clock.monotonic());
    let (mut pace, mut tidied) = (0, since);
    loop {
        let (per_second, calls) = (rate.per_second.load(Relaxed), rate.calls.load(Relaxed));
        let now = clock.monotonic();
        if pace != per_second {
            (pace, told, since) = (per_second, 0, now);
        }
        let due = ((now - since).as_secs_f64() * per_second as f64) as u64;
        let mut entries: Vec<Entry> = Vec::new();
        while told < due {
            (told, number) = (told + 1, number + 1);
            entries.push(entry(&clock, &part, number, Some(number % calls)));
        }
        if now - tidied > Duration::from_secs(1) {
            tidied = now;
            number += 1;
            entries.push(entry(&clock, &part, number, None));
            journal.compact(0).await?;
        }
        if !entries.is_empty() {
            journal.append(entries).await?;
        }
        clock.sleep(Duration::from_millis(1)).await;
    }
}

/// A call that changed; or, without one, that the partition is folded.
fn entry(clock: &Clock, part: &Part, number: u64, call: Option<u64>) -> Entry {
    let at = Time(clock.now_ms());
    let (view, body) = match call {
        Some(call) => (format!("call/c{call:05}"), Body::View(View::Call(changed(call, at)))),
        None => {
            let fold =
                Fold { part: part.to_string(), owner: "bench".into(), next: number, end: number, complete: true };
            (frame::FOLD_VIEW.to_owned(), Body::Fold(fold))
        }
    };
    let value = Frame { version: Version { epoch: 1, number }, as_of: at, at, body }.to_json();
    Entry::new(Stream::Views, frame::key(&view, part), value)
}

fn changed(call: u64, at: Time) -> Call {
    Call {
        call: format!("c{call:05}").as_str().into(),
        source: "pbx".into(),
        tenant: "default".into(),
        direction: Direction::Inbound,
        stage: Stage::Talking,
        since: at,
        offered_at: at,
        queue: Some("sales".into()),
        queued_at: Some(at),
        agent: Some(now_us().to_string().as_str().into()),
        caller: Some("138****0000".into()),
        priority: None,
        open: Vec::new(),
        last_at: at,
    }
}
