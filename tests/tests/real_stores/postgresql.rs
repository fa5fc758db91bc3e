//! Reports on PostgreSQL.

use anyhow::{Result, ensure};
use model::Time;
use stats::{Dim, Field, Row};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use store::postgres::Options;
use store::reports::{
    BLOCK_MS, Block, BlockKey, Change, Held, Kind, Retention, RowFilter, State, StoredCall, conformance,
};
use store::{Class, Error, Part, Postgres, Reports};
use tidegate_tests::stores::{self, PASSWORD, Stop};

const JOURNAL: &str = "journal";
/// 2026-11-21, 10:00 UTC.
const HOUR: i64 = 1_795_255_200_000;
const DAY: i64 = 86_400_000;

fn options(url: &str) -> Options {
    Options::new(url).expect("an address").password(PASSWORD)
}

async fn opened(server: &stores::Postgres, name: &str) -> Postgres {
    let url = server.database(name).expect("a database can be made");
    Postgres::open(&options(&url)).await.expect("a new database can be opened")
}

async fn take(store: &Postgres, number: u32) -> Held {
    let part = Part::new("events.call", number);
    store.take("tester", JOURNAL, &[part]).await.expect("a partition can be taken").remove(0).held
}

fn change(held: &Held, next: u64) -> Change {
    Change { held: held.clone(), next, calls: Vec::new(), blocks: Vec::new(), states: Vec::new() }
}

fn key(id: &str, hour: i64) -> BlockKey {
    BlockKey { dim: Dim::Queue, hour: Time(hour), tenant: "bank".into(), source: "pbx1".into(), id: id.into() }
}

fn block(id: &str, hour: i64, offered: i64) -> Arc<Block> {
    let mut row = Row::default();
    row.event.add(Field::Offered, offered);
    Arc::new(Block { key: key(id, hour), version: 7, rows: stats::Few::from([(Time(hour), row)]) })
}

fn call(id: &str, at: i64) -> StoredCall {
    let mut record = stats::call::Record::new(id.into(), "pbx1".into(), "bank".into());
    record.offered_at = Time(at);
    StoredCall::of(&record)
}

async fn hours<R: Reports>(store: &R) -> Vec<(String, i64)> {
    let rows = store.rows(&RowFilter::new(Dim::Queue, Time(i64::MIN / 2), Time(i64::MAX / 2))).await;
    rows.expect("rows are found").keys().map(|key| (key.id.to_string(), key.start.ms())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_contract() -> Result<()> {
    let server = stores::Postgres::start()?;
    let next = Cell::new(0);
    conformance::run(async || {
        next.set(next.get() + 1);
        opened(&server, &format!("contract{}", next.get())).await
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn months_are_made_as_they_come_and_dropped_whole_and_odd_clocks_have_a_place() -> Result<()> {
    let server = stores::Postgres::start()?;
    let store = opened(&server, "months").await;
    let held = take(&store, 0).await;
    let odd = [0, -5 * 365 * DAY, 5_000_000_000_000_i64.div_euclid(BLOCK_MS) * BLOCK_MS];
    let times = [HOUR - 70 * DAY, HOUR - 40 * DAY, HOUR - 10 * DAY, HOUR];
    let blocks = odd.iter().chain(&times).map(|hour| block("sales", *hour, 1)).collect();
    store.checkpoint(&[Change { blocks, ..change(&held, 1) }]).await?;
    ensure!(hours(&store).await.len() == odd.len() + times.len());
    let tables = || {
        server.sql(
            "months",
            "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname LIKE 'blocks_y%m__'",
        )
    };
    let made = "blocks_y2026m09 blocks_y2026m10 blocks_y2026m11 blocks_y2026m12";
    ensure!(tables()? == made, "the month after the latest is made ahead: {}", tables()?);

    let swept = store.sweep(Retention { calls_before: None, rows_before: Some(Time(HOUR - 5 * DAY)) }).await?;
    ensure!(
        swept.blocks == 5,
        "two months, one block of the third, and two clocks that stand at the beginning: {swept:?}"
    );
    ensure!(tables()? == "blocks_y2026m11 blocks_y2026m12", "{}", tables()?);
    let left: Vec<i64> = hours(&store).await.into_iter().map(|(_, hour)| hour).collect();
    ensure!(left == [HOUR, odd[2]], "{left:?}");

    // Another process drops a month that this one knows; what comes late into it has a place again.
    let late = Change { blocks: vec![block("late", HOUR - 40 * DAY, 1)], ..change(&held, 2) };
    store.checkpoint(std::slice::from_ref(&late)).await?;
    server.sql("months", "DROP TABLE blocks_y2026m10")?;
    let first = store.checkpoint(&[Change { next: 3, ..late.clone() }]).await;
    ensure!(matches!(&first, Err(error) if error.class() == Class::Transient), "{first:?}");
    store.checkpoint(&[Change { next: 3, ..late }]).await?;
    ensure!(hours(&store).await.contains(&("late".to_owned(), HOUR - 40 * DAY)));
    // What a sweep has left half done is done by the next.
    server.sql("months", "ALTER TABLE blocks DETACH PARTITION blocks_y2026m10")?;
    store
        .checkpoint(&[Change { next: 4, blocks: vec![block("again", HOUR - 40 * DAY, 1)], ..change(&held, 4) }])
        .await
        .ok();
    store
        .checkpoint(&[Change { next: 4, blocks: vec![block("again", HOUR - 40 * DAY, 1)], ..change(&held, 4) }])
        .await?;
    let back = hours(&store).await;
    ensure!(["late", "again"].iter().all(|id| back.contains(&((*id).to_owned(), HOUR - 40 * DAY))), "{back:?}");
    server.sql("months", "ALTER TABLE blocks DETACH PARTITION blocks_y2026m10")?;
    let swept = store.sweep(Retention { calls_before: None, rows_before: Some(Time(HOUR - 15 * DAY)) }).await?;
    ensure!((swept.blocks, tables()?.as_str()) == (2, "blocks_y2026m11 blocks_y2026m12"), "{swept:?} {}", tables()?);
    store.close().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_any_length_and_with_any_character_are_kept() -> Result<()> {
    let server = stores::Postgres::start()?;
    let store = opened(&server, "names").await;
    let held = take(&store, 0).await;
    // Nothing in it repeats, so that nothing is made shorter by compression.
    let long: String = (0..3_000_u32).map(|n| char::from_u32(0x4e00 + (n * 7_919) % 20_000).unwrap_or('x')).collect();
    let names = [long.clone(), format!("{long}!"), "a\0b".to_owned(), "a\u{1a}0b".to_owned(), "a'b\\%_".to_owned()];
    let state = |id: &String| State { kind: Kind::Queue, id: id.clone(), body: Some(b"x".to_vec()) };
    let whole = Change {
        blocks: names.iter().map(|name| block(name, HOUR, 1)).collect(),
        states: names.iter().map(state).collect(),
        calls: vec![call("c\0all", HOUR)],
        ..change(&held, 1)
    };
    store.checkpoint(std::slice::from_ref(&whole)).await?;
    store.checkpoint(std::slice::from_ref(&whole)).await?;
    let mut found: Vec<String> = hours(&store).await.into_iter().map(|(id, _)| id).collect();
    let mut wanted = names.to_vec();
    found.sort();
    wanted.sort();
    ensure!(found == wanted, "{} of {} names", found.len(), wanted.len());
    let keys: Vec<BlockKey> = names.iter().map(|name| key(name, HOUR)).collect();
    ensure!(store.blocks_by_key(&held.part, &keys).await?.len() == names.len());
    ensure!(store.states(Kind::Queue).await?.len() == names.len());
    ensure!(store.call(&"c\0all".into()).await?.is_some());
    ensure!(store.open_calls().await?[0].call.as_str() == "c\0all");
    let filter = RowFilter { ids: vec![names[2].clone()], ..RowFilter::new(Dim::Queue, Time(HOUR), Time(HOUR + 1)) };
    ensure!(store.rows(&filter).await?.len() == 1);
    let gone = State { body: None, ..state(&names[0]) };
    store.checkpoint(&[Change { states: vec![gone], ..change(&held, 2) }]).await?;
    ensure!(store.states(Kind::Queue).await?.len() == names.len() - 1);
    let verified = store.verify().await?;
    ensure!(verified.faults.is_empty() && verified.blocks == names.len() as u64, "{verified:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_in_the_middle_costs_nothing_but_time() -> Result<()> {
    let mut server = stores::Postgres::start()?;
    let store = opened(&server, "restarts").await;
    let held = take(&store, 0).await;
    let writer = {
        let store = store.clone();
        async move {
            let mut failures = 0;
            for n in 0..400_u64 {
                let one = Change {
                    calls: vec![call(&format!("call-{n}"), HOUR + n as i64)],
                    blocks: vec![block("sales", HOUR, n as i64 + 1)],
                    ..change(&held, n + 1)
                };
                while let Err(error) = store.checkpoint(std::slice::from_ref(&one)).await {
                    ensure!(error.class() == Class::Transient, "after {n}: {error}");
                    failures += 1;
                    ensure!(failures < 600, "it does not come back: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(failures)
        }
    };
    let writer = tokio::spawn(writer);
    for how in [Stop::Fast, Stop::Immediate] {
        tokio::time::sleep(Duration::from_millis(700)).await;
        tokio::task::block_in_place(|| server.stop(how).and_then(|()| server.start_again()))?;
    }
    println!("{} attempts failed and were repeated", writer.await??);
    ensure!(store.open_calls().await?.len() == 400);
    let rows = store.rows(&RowFilter::new(Dim::Queue, Time(HOUR), Time(HOUR + 1))).await?;
    ensure!(rows.values().map(|row| row.event.get(Field::Offered)).sum::<i64>() == 400);
    ensure!(store.progress().await?[0].next == Some(400));
    // Away: an error that passes, and soon.
    server.stop(Stop::Fast)?;
    let away = store.progress().await.map(drop);
    ensure!(matches!(&away, Err(error) if error.class() == Class::Transient), "{away:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_gone_back_is_noticed_and_folded_on_from_where_it_is() -> Result<()> {
    let mut server = stores::Postgres::start()?;
    let store = opened(&server, "back").await;
    let held = take(&store, 0).await;
    store.checkpoint(&[Change { blocks: vec![block("sales", HOUR, 1)], ..change(&held, 10) }]).await?;
    server.stop(Stop::Fast)?;
    server.copy_aside()?;
    server.start_again()?;
    let later = Change { blocks: vec![block("support", HOUR, 1)], ..change(&held, 20) };
    until_it_is_there(&store).await?;
    store.checkpoint(&[later]).await?;
    server.stop(Stop::Fast)?;
    server.put_back()?;
    server.start_again()?;
    until_it_is_there(&store).await?;
    let refused = store.checkpoint(&[change(&held, 30)]).await;
    ensure!(matches!(refused, Err(Error::Undone { written: 20, found: 10, .. })), "{refused:?}");
    ensure!(store.progress().await?[0].next == Some(10), "nothing of it is written");
    let again = store.take("tester", JOURNAL, std::slice::from_ref(&held.part)).await?.remove(0);
    ensure!(again.next == Some(10), "from there it is folded again");
    store.checkpoint(&[change(&again.held, 30)]).await?;
    Ok(())
}

async fn until_it_is_there(store: &Postgres) -> Result<()> {
    for _ in 0..600 {
        match store.progress().await {
            Ok(_) => return Ok(()),
            Err(error) => ensure!(error.class() == Class::Transient, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the server does not come back")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_for_us_says_so_and_no_password_is_told() -> Result<()> {
    let mut server = stores::Postgres::start()?;
    let url = server.database("ours")?;
    let wrong = Options::new(&url)?.password("hunter2");
    let told = Postgres::open(&wrong).await.expect_err("a wrong password");
    ensure!(matches!(told, Error::Refused { .. }) && !told.to_string().contains("hunter2"), "{told}");
    let told = Postgres::open(&options(&server.url("nowhere"))).await.expect_err("no such database");
    ensure!(matches!(&told, Error::Refused { place, .. } if place.ends_with("/nowhere")), "{told}");

    let first = Postgres::open(&options(&url)).await?;
    let alone = Postgres::open_alone(&options(&url)).await;
    ensure!(matches!(alone, Err(Error::InUse { alone: false, .. })), "{alone:?}");
    let second = Postgres::open(&options(&url)).await?;
    first.put_meta("a", "1").await?;
    ensure!(second.meta("a").await?.as_deref() == Some("1"));
    first.close().await?;
    ensure!(matches!(first.meta("a").await, Err(Error::Closed)));
    second.close().await?;
    let alone = Postgres::open_alone(&options(&url)).await?;
    let beside = Postgres::open(&options(&url)).await;
    ensure!(matches!(beside, Err(Error::InUse { alone: true, .. })), "{beside:?}");
    ensure!(alone.meta("a").await?.as_deref() == Some("1"));
    alone.close().await?;

    server.sql("ours", "UPDATE meta SET value = '2' WHERE name = 'a'")?;
    let third = Postgres::open(&options(&url)).await?;
    ensure!(matches!(third.meta("a").await, Err(Error::Corrupt { .. })), "a seal is checked");
    ensure!(third.verify().await?.faults.len() == 1);
    third.close().await?;
    server.sql("ours", "INSERT INTO tidegate_schema (version) VALUES (99)")?;
    let newer = Postgres::open(&options(&url)).await;
    ensure!(matches!(newer, Err(Error::Schema { found: 99, .. })), "{newer:?}");
    server.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")?;
    let latin = Postgres::open(&options(&server.url("latin"))).await.expect_err("another encoding");
    ensure!(latin.to_string().contains("UTF8"), "{latin}");
    server.stop(Stop::Fast)?;
    let away = Postgres::open(&options(&url)).await.expect_err("nobody there");
    ensure!(away.class() == Class::Transient, "{away}");
    Ok(())
}
