//! Live state on Redis.

use anyhow::{Result, ensure};
use service::Clock;
use std::cell::Cell;
use store::live::redis::Options;
use store::live::{Limits, Partial, Redis, Slot, Version, conformance};
use store::{Class, Error, Live, Part};
use tidegate_tests::stores::{self, PASSWORD};

fn options(server: &stores::Redis, prefix: &str) -> Options {
    Options::new(&server.url(), prefix, Clock::system()).expect("an address").password(PASSWORD)
}

fn opened(server: &stores::Redis, prefix: &str) -> Redis {
    Redis::new(options(server, prefix)).expect("a handle")
}

fn put(key: &str, number: u64, value: Option<&[u8]>) -> Partial {
    let slot = Slot { key: key.into(), part: Part::new("events.call", 0) };
    Partial { slot, version: Version { epoch: 1, number }, value: value.map(Into::into) }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_contract() -> Result<()> {
    let server = stores::Redis::start()?;
    let next = Cell::new(0);
    conformance::run(async || {
        next.set(next.get() + 1);
        opened(&server, &format!("contract{}", next.get()))
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_the_bounds_is_refused_whole_and_old_removals_are_forgotten() -> Result<()> {
    let server = stores::Redis::start()?;
    let live = Redis::new(options(&server, "bounds").limits(Limits { slots: 2, value_bytes: 2, emptied: 1 }))?;
    ensure!(matches!(live.put(vec![put("a", 1, Some(b"123"))], None).await, Err(Error::TooLarge { .. })));
    let three = ["a", "b", "c"].map(|key| put(key, 1, Some(b"1"))).to_vec();
    ensure!(matches!(live.put(three, None).await, Err(Error::TooLarge { size: 3, .. })));
    ensure!(live.snapshot("").await?.partials.is_empty());
    live.put(vec![put("a", 1, Some(b"1")), put("b", 1, Some(b"1"))], None).await?;
    live.put(vec![put("a", 2, None), put("b", 2, None)], None).await?;
    let lapsed = live.changes(0, 10).await;
    ensure!(matches!(lapsed, Err(Error::Lapsed { since: 0, oldest: 3 })), "{lapsed:?}");
    live.put(vec![put("c", 1, Some(b"1"))], None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_many_slots_is_of_one_moment_while_others_write() -> Result<()> {
    let server = stores::Redis::start()?;
    let live = opened(&server, "many");
    // Of each pair both are always put together: a snapshot must never show two that differ.
    let pair = |n: u64, round: u64| {
        let value = round.to_string();
        [
            put(&format!("left/{n}"), round, Some(value.as_bytes())),
            put(&format!("right/{n}"), round, Some(value.as_bytes())),
        ]
    };
    for chunk in (0..5_000).collect::<Vec<u64>>().chunks(1_000) {
        live.put(chunk.iter().flat_map(|n| pair(*n, 1)).collect(), None).await?;
    }
    let writer = {
        let live = live.clone();
        tokio::spawn(async move {
            for round in 2..60_u64 {
                let some = (0..100).map(|n| (n * 37 + round * 11) % 5_000);
                live.put(some.flat_map(|n| pair(n, round)).collect(), None).await?;
            }
            Ok::<_, Error>(())
        })
    };
    let mut snapshots = 0;
    while !writer.is_finished() || snapshots == 0 {
        let snapshot = live.snapshot("").await?;
        ensure!(snapshot.partials.len() == 10_000, "{}", snapshot.partials.len());
        let (left, right) = snapshot.partials.split_at(5_000);
        ensure!(left.iter().zip(right).all(|(left, right)| left.value == right.value), "a pair is torn");
        snapshots += 1;
    }
    writer.await??;
    println!("{snapshots} snapshots");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_goes_and_comes_is_an_error_that_passes_and_what_it_lost_is_noticed() -> Result<()> {
    let mut server = stores::Redis::start()?;
    let live = opened(&server, "comes");
    let cursor = live.put(vec![put("a", 1, Some(b"1"))], None).await?;
    server.stop()?;
    let away = live.put(vec![put("b", 1, Some(b"1"))], Some(cursor)).await.expect_err("nobody is there");
    ensure!(away.class() == Class::Transient && !away.to_string().contains(PASSWORD), "{away}");
    server.start_again()?;
    let back = again(&live, cursor).await?;
    ensure!(live.snapshot("").await?.partials.len() == 2, "what it had is there");
    server.stop()?;
    server.lose_everything()?;
    server.start_again()?;
    let mut moved = live.put(vec![put("c", 1, Some(b"1"))], Some(back)).await;
    for _ in 0..600 {
        match &moved {
            Err(Error::Moved { .. }) => break,
            _ => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
        moved = live.put(vec![put("c", 1, Some(b"1"))], Some(back)).await;
    }
    ensure!(matches!(moved, Err(Error::Moved { cursor: 0, .. })), "{moved:?}");
    ensure!(live.snapshot("").await?.partials.is_empty(), "and nothing was put into the hole");
    let wrong = Redis::new(Options::new(&server.url(), "x", Clock::system())?.password("hunter2"))?;
    let told = wrong.snapshot("").await.expect_err("a wrong password");
    ensure!(told.class() == Class::Refused && !told.to_string().contains("hunter2"), "{told}");
    Ok(())
}

/// Puts until it is taken.
async fn again(live: &Redis, cursor: u64) -> Result<u64> {
    for _ in 0..600 {
        match live.put(vec![put("b", 1, Some(b"1"))], Some(cursor)).await {
            Ok(cursor) => return Ok(cursor),
            Err(error) => ensure!(error.class() == Class::Transient, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    anyhow::bail!("Redis does not come back")
}
