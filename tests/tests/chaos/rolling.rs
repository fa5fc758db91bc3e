//! Everything restarted in turn, under load, in the order of docs/operate/upgrade.md: readers before writers, brokers and databases too.
//! No figure is ever wrong, and nobody has to be told of it.

use anyhow::{Context as _, Result, ensure};
use std::sync::Arc;
use std::time::Duration;
use tidegate_tests::feed::Feed;
use tidegate_tests::fleet::{Order, Size};
use tidegate_tests::reported;
use tidegate_tests::stores::Stop;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::judge;
use super::owners::Owners;
use super::probe::Probe;
use super::world::{World, lock};

/// Readers before writers.
const ORDER: [&str; 6] = ["pusher", "aggregator", "console", "cti", "receiver", "collector"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_restarted_in_turn_under_load_and_no_figure_is_ever_wrong() -> Result<()> {
    let world = World::start(Size::default(), &["simulator.speed=5"]).await?;
    let owners = Owners::watch(&world.brokers).await?;
    let told = || world.fleet.all_said();
    world.fleet.ready().await.with_context(told)?;
    owners.all_owned().await.with_context(told)?;
    let mut feed = Feed::start(&world.doors(), 2, 7, Duration::from_millis(100))?;
    let probe = Probe::start(world.doors(), &world.pushers());
    let begun = Instant::now();
    for program in ORDER {
        for instance in world.fleet.of(program) {
            // A clean end is part of it.
            instance.order(Order::Stop).await?;
            instance.order(Order::Start).await?;
            world.fleet.one_ready(instance.name()).await?;
            probe.caught_up().await.with_context(|| format!("after {}\n{}", instance.name(), told()))?;
            holds(&world, &mut feed, &probe).await.with_context(|| format!("after {}", instance.name()))?;
            println!("  {:5.1} s  {} was restarted", begun.elapsed().as_secs_f64(), instance.name());
        }
    }
    servers(&world).await?;
    probe.caught_up().await.with_context(told)?;
    println!("  {:5.1} s  all servers were restarted", begun.elapsed().as_secs_f64());
    let since = judge::whole_since(&world).await?;
    let ledger = feed.finish().await?;
    judge::equals(&world, &ledger).await.with_context(told)?;
    judge::centre(&world, since, 3).await.with_context(told)?;
    let (callers, screens) = probe.finish().await?;
    judge::end(&world, &ledger).await?;
    println!("{ledger}; {callers} callers on {screens:?}");
    Ok(())
}

/// Nothing is counted that was not sent, nobody fell, no screen lied.
async fn holds(world: &World, feed: &mut Feed, probe: &Probe) -> Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
    for pusher in world.pushers() {
        let acknowledged = feed.ledger().acknowledged;
        let found = reported::over_http(&client, pusher, &acknowledged).await?;
        reported::not_more(&found, &feed.ledger().sent)?;
        ensure!(!found.is_empty(), "{pusher} says nothing");
    }
    feed.check().await?;
    probe.honest()?;
    world.fleet.sound()
}

/// One broker after the other, the database, and Redis.
async fn servers(world: &World) -> Result<()> {
    for node in 1..=3 {
        let brokers = Arc::clone(&world.brokers);
        spawn_blocking(move || brokers.stop(node).and_then(|()| brokers.up())).await??;
    }
    let (postgres, redis) = (Arc::clone(&world.postgres), Arc::clone(&world.redis));
    spawn_blocking(move || {
        lock(&postgres).stop(Stop::Fast)?;
        lock(&postgres).start_again()?;
        lock(&redis).stop()?;
        lock(&redis).start_again()
    })
    .await?
}
