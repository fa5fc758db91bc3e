//! Clients in a process of their own: they come, they are idle, and they come back at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bench::Spread;
use bench::crowd::process::{answer, orders};
use bench::crowd::readers::is_figures;
use bench::crowd::{Client, Heard};
use serde::{Deserialize, Serialize};
use service::{Clock, Drain, Tasks};
use tokio::sync::mpsc;

use super::SUBSCRIBE;

/// How it was to come back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Storm {
    /// Until half had the figures of now.
    pub median_ms: f64,
    /// Until the last had.
    pub last_ms: f64,
    /// Attempts that failed and were repeated.
    pub failed: usize,
}

/// Clients that are there now.
struct Herd {
    address: SocketAddr,
    /// Whether the server sends figures to who subscribes; the peer does not.
    answers: bool,
    clock: Clock,
    tasks: Tasks,
    count: usize,
}

/// Connecting at the same time, when there is no hurry.
const AT_ONCE: usize = 50;
/// How long a storm may last.
const STORM_MAX: Duration = Duration::from_secs(60);

/// Serves until the parent is gone: `more N`, `storm`.
pub fn serve(address: SocketAddr, answers: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let clock = Clock::system();
    let mut herd = Herd { address, answers, tasks: tasks(&clock), clock, count: 0 };
    for order in orders() {
        match order.strip_prefix("more ").and_then(|number| number.parse().ok()) {
            Some(more) => match runtime.block_on(herd.grow(more)) {
                Ok(()) => answer("ok"),
                Err(error) => answer(error),
            },
            None => answer(serde_json::to_string(&runtime.block_on(herd.storm())?)?),
        }
    }
    std::process::exit(0);
}

fn tasks(clock: &Clock) -> Tasks {
    Tasks::new("herd", 20_000, clock.clone(), Drain::new())
}

impl Herd {
    async fn grow(&mut self, more: usize) -> anyhow::Result<()> {
        for some in (0..more).collect::<Vec<_>>().chunks(AT_ONCE) {
            let coming = some.iter().map(|_| come(self.address, self.answers));
            for client in futures::future::join_all(coming).await {
                self.tasks.spawn("client", stay(client?))?;
            }
        }
        self.count += more;
        Ok(())
    }

    /// All leave at once and come back at once.
    async fn storm(&mut self) -> anyhow::Result<Storm> {
        let _ = self.tasks.shutdown(Duration::ZERO).await;
        self.tasks = tasks(&self.clock);
        let (count, begun) = (self.count, self.clock.monotonic());
        let (told, mut current) = mpsc::channel(count);
        let failed = Arc::new(AtomicUsize::new(0));
        for _ in 0..count {
            let (address, clock, told, failed) = (self.address, self.clock.clone(), told.clone(), Arc::clone(&failed));
            self.tasks.spawn("client", async move {
                let client = loop {
                    match come(address, true).await {
                        Ok(client) => break client,
                        Err(_) => {
                            failed.fetch_add(1, Relaxed);
                            clock.sleep(Duration::from_millis(200)).await;
                        }
                    }
                };
                // Room for all: this cannot wait.
                let _ = told.send(clock.monotonic() - begun).await;
                stay(client).await;
            })?;
        }
        drop(told);
        let mut took: Vec<f64> = Vec::new();
        while took.len() < count {
            match self.clock.timeout(STORM_MAX, current.recv()).await {
                Ok(Some(time)) => took.push(time.as_secs_f64() * 1e3),
                _ => anyhow::bail!("{} of {count} came back, {} attempts failed", took.len(), failed.load(Relaxed)),
            }
        }
        let spread: Spread = took.into_iter().collect();
        Ok(Storm { median_ms: spread.median(), last_ms: spread.max(), failed: failed.load(Relaxed) })
    }
}

/// Connects, subscribes, and waits for the first figures where there are some.
async fn come(address: SocketAddr, answers: bool) -> anyhow::Result<Client> {
    let mut client = Client::connect(address, None).await?;
    client.say(SUBSCRIBE).await?;
    if !answers {
        return Ok(client);
    }
    loop {
        match client.hear().await? {
            Heard::Text(text) if is_figures(text) => return Ok(client),
            Heard::Text(_) => {}
            Heard::Closed(code) => anyhow::bail!("closed with {code}"),
        }
    }
}

async fn stay(mut client: Client) {
    while let Ok(Heard::Text(_)) = client.hear().await {}
}
