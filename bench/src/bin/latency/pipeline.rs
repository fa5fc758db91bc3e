//! The whole way of an event in a process of its own: receiver, aggregator and pusher as `tidegate up` has them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use aggregator::Aggregator;
use bench::crowd::process::{answer, orders};
use model::Directory;
use pusher::Pusher;
use receiver::Receiver;
use service::http::{Listen, Role, auth::Auth};
use service::{Clock, Component, Host, Millis, Process, Seeds};
use tokio::sync::mpsc;

/// Serves until told to stop. Says the address of the door, then that of the face.
pub fn serve(folder: &Path, tick_ms: u64, journal: journal::config::Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (stop, stopped) = mpsc::channel(1);
    std::thread::spawn(move || {
        let _order = orders().next();
        // When the process ends by itself there is nobody to stop.
        let _ = stop.blocking_send("the bench".to_owned());
    });
    runtime.block_on(run(folder, tick_ms, journal, stopped))?;
    answer("stopped");
    Ok(())
}

fn free() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn plan<C: Component>(config: C::Config) -> anyhow::Result<C::Plan> {
    C::plan(config).map_err(|problems| anyhow::anyhow!("{problems}"))
}

async fn run(
    folder: &Path,
    tick_ms: u64,
    journal: journal::config::Config,
    stopped: mpsc::Receiver<String>,
) -> anyhow::Result<()> {
    let clock = Clock::system();
    let mut process = Process { ops: Listen::loopback(0), ..Process::default() };
    process.log.filter = "warn".to_owned();
    let store = store::config::Config::sqlite(folder.join("store.db"));
    let mut host = Host::new(process, clock.clone(), Seeds::fixed(1));
    let journal = journal.open(&clock).await?;
    host.provide(Arc::new(Directory::default()));
    host.provide(Arc::clone(&journal));
    host.provide(store.open().await?);
    let (door, face) = (free()?, free()?);
    let open = Auth { tokens: Vec::new(), anonymous: Some(Role::Operator) };
    let listen = |address: SocketAddr| Listen::loopback(address.port());
    let receiver = receiver::Config { listen: listen(door), auth: open, ..Default::default() };
    host.build::<Receiver>(plan::<Receiver>(receiver)?).await?;
    let mut aggregator = aggregator::Config::default();
    let mut pusher = pusher::config::Config { listen: listen(face), ..Default::default() };
    if tick_ms > 0 {
        aggregator.tick = Millis::new(tick_ms);
        pusher.tick = Millis::new((tick_ms * 3 / 4).max(5));
    }
    host.build::<Aggregator>(plan::<Aggregator>(aggregator)?).await?;
    host.build::<Pusher>(plan::<Pusher>(pusher)?).await?;
    answer(door);
    answer(face);
    host.run_until(stopped).await?;
    Ok(journal.close().await?)
}
