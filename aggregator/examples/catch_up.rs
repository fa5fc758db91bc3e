//! How fast the events of a made-up centre are folded into a fresh store, and how large it gets: `cargo run --release
//! -p aggregator --example catch_up -- [CALLS] [FOLDER]`. A journal that is in the folder already is folded instead.

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;

use aggregator::CatchUp;
use journal::embedded::{Embedded, Options};
use journal::{Journal, Topology};
use service::Clock;
use store::Reports;

#[tokio::main]
async fn main() {
    let mut args = std::env::args_os().skip(1);
    let calls = args.next().and_then(|n| n.to_str()?.parse().ok()).unwrap_or(42_078);
    let temporary = tempfile::tempdir().unwrap();
    let dir = args.next().map_or_else(|| temporary.path().to_owned(), Into::into);
    let clock = Clock::system();
    let journal =
        Embedded::open(Options::new(dir.join("journal.db"), Topology::default(), clock.clone())).await.unwrap();
    let journal: Arc<dyn Journal> = journal;
    if common::ends(&journal).await.is_empty() {
        let events = common::history(calls, common::MORNING, 1);
        let begin = clock.monotonic();
        common::publish(&journal, &events).await;
        println!("{calls} calls are {} events, in the journal after {:.2?}", events.len(), clock.monotonic() - begin);
    }
    for name in ["store.db", "again.db"] {
        let store: Arc<dyn Reports> = common::sqlite(&dir, name).await;
        let begin = clock.monotonic();
        let how = CatchUp::new("example");
        let caught = aggregator::catch_up_to_end(&journal, &store, &how, &common::context("example")).await.unwrap();
        let took = clock.monotonic() - begin;
        store.close().await.unwrap();
        let size = std::fs::metadata(dir.join(name)).map_or(0, |file| file.len());
        let rate = caught.folded as f64 / took.as_secs_f64();
        println!("{name}: {} records folded in {took:.2?}, {rate:.0}/s, {:.1} MB", caught.folded, size as f64 / 1e6);
    }
    let store: Arc<dyn Reports> = common::sqlite(&dir, "live.db").await;
    let begin = clock.monotonic();
    let running = common::Running::start("aggregator-1", &journal, &store, aggregator::Config::default());
    while !common::caught_up(&journal, &store).await {
        clock.sleep(std::time::Duration::from_millis(20)).await;
    }
    println!("live.db: the same by the live loop, views and records told, in {:.2?}", clock.monotonic() - begin);
    running.stop().await;
    let (old, new) = (common::sqlite(&dir, "store.db").await, common::sqlite(&dir, "again.db").await);
    let begin = clock.monotonic();
    let verdict = aggregator::diff(&*old, &*new, |_| {}).await.unwrap();
    println!("{verdict}, in {:.2?}", clock.monotonic() - begin);
}
