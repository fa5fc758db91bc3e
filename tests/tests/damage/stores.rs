//! Stores to be damaged: written checkpoint by checkpoint, with everything that a partition keeps.

use anyhow::{Context as _, Result, ensure};
use model::event::call::{Answered, Dequeued, Ended, Offered, QueueExit, Queued};
use model::{Envelope, Event, EventId, Number, Subject, Time};
use stats::call::Record;
use stats::{Dim, Field, Row};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use store::reports::{Block, BlockKey, CallFilter, Change, Held, Kind, Reports, RowFilter, State, StoredCall};
use store::{Class, Error, Part, Sqlite};

use crate::Files;

const HOUR: i64 = 3_600_000;
const QUEUES: [&str; 3] = ["sales", "support", "billing"];

fn part() -> Part {
    Part::new("events.call", 0)
}

/// The call of checkpoint `n`; every fifth is still open.
fn call(n: u64) -> Record {
    let id = format!("call-{n:05}");
    let at = n as i64 * 61_000;
    let queue = QUEUES[n as usize % 3];
    let mut events: Vec<(i64, Event)> = vec![
        (
            0,
            Offered {
                ani: Some(Number { token: Some(format!("token-{}", n % 7)), ..Number::default() }),
                ..Offered::default()
            }
            .into(),
        ),
        (1, Queued { queue: queue.into(), priority: None, position: None, offered_at: None }.into()),
    ];
    if !n.is_multiple_of(5) {
        events.push((4_000, Dequeued { queue: queue.into(), cause: QueueExit::Answered, waited_ms: None }.into()));
        events.push((
            4_000,
            Answered { agent: Some("ann".into()), queue: Some(queue.into()), ..Answered::default() }.into(),
        ));
        events.push((90_000, Ended::default().into()));
    }
    let mut record = Record::new(id.as_str().into(), "pbx1".into(), "bank".into());
    for (after, event) in events {
        record.apply(Envelope {
            id: EventId::new(format!("{id}-{after}-{}", event.ty())),
            source: "pbx1".into(),
            subject: Subject::Call(id.as_str().into()),
            time: Time(at + after),
            tenant: Some("bank".into()),
            observed_time: None,
            cause_id: None,
            seq: None,
            quality: None,
            event,
        });
    }
    record
}

fn row(n: u64) -> Row {
    let mut row = Row::default();
    row.event.add(Field::Offered, n as i64 + 1);
    row.event.add(Field::TalkMs, n as i64 * 1_000 + 7);
    row
}

/// The blocks that checkpoint `n` writes: one of its own, and one that every checkpoint writes again.
fn blocks(n: u64) -> [Block; 2] {
    let key = |id: &str, hour: i64| BlockKey {
        dim: Dim::Queue,
        hour: Time(hour),
        tenant: "bank".into(),
        source: "pbx1".into(),
        id: id.into(),
    };
    let block = |key: BlockKey| {
        let rows = stats::Few::from([(key.hour, row(n)), (key.hour + 60_000, row(n + 1))]);
        Block { key, version: n + 1, rows }
    };
    [block(key("total", 0)), block(key(QUEUES[n as usize % 3], n as i64 / 3 * HOUR))]
}

fn change(held: &Held, n: u64) -> Change {
    let states = vec![
        State { kind: Kind::Agent, id: "ann".to_owned(), body: Some(n.to_string().into_bytes()) },
        State { kind: Kind::Queue, id: format!("q{}", n % 11), body: Some(vec![7; (n % 40) as usize]) },
    ];
    Change {
        held: held.clone(),
        next: n + 1,
        calls: vec![StoredCall::of(&call(n))],
        blocks: blocks(n).map(Arc::new).to_vec(),
        states,
    }
}

/// Writes checkpoints into a new store until its log holds at least `bytes`, and hands over its files as they were then, open. With
/// `copied`, the log is copied into the file on the way.
pub async fn written(folder: &Path, bytes: usize, copied: bool) -> Result<(Files, u64)> {
    let store = Sqlite::open(folder.join("store.db")).await?;
    let held = store.take("tester", "journal-1", &[part()]).await?.remove(0).held;
    let other = rusqlite::Connection::open(folder.join("store.db"))?;
    let mut n = 0;
    loop {
        store.checkpoint(&[change(&held, n)]).await?;
        n += 1;
        let size = std::fs::metadata(folder.join("store.db-wal"))?.len() as usize;
        if size >= bytes {
            break;
        }
    }
    if copied {
        // A reader in the middle of something keeps the log from being begun anew; the next transaction notices that it was copied.
        other.execute_batch("BEGIN; SELECT count(*) FROM parts")?;
        let third = rusqlite::Connection::open(folder.join("store.db"))?;
        third.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        store.put_meta("remark", "after the copy").await?;
    }
    let files = Files::of(folder, "store.db")?;
    drop(other);
    store.close().await?;
    Ok((files, n))
}

/// What came of opening and reading damaged files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything as it was after so many checkpoints.
    Whole(u64),
    /// Refused by name.
    Refused,
}

fn refused(error: &Error) -> Result<Outcome> {
    // Transient failures are repeated for ever by their callers: damage must not be one.
    ensure!(error.class() == Class::Refused, "refused as if it would pass: {error}");
    Ok(Outcome::Refused)
}

macro_rules! ok {
    ($answer:expr) => {
        match $answer {
            Ok(answer) => answer,
            Err(error) => return refused(&error),
        }
    };
}

/// Opens and asks everything. An error means that something wrong was answered, or refused without a name.
pub async fn judged(folder: &Path) -> Result<Outcome> {
    let store = ok!(Sqlite::open(folder.join("store.db")).await);
    let outcome = asked(&store).await;
    store.close().await.context("it does not close")?;
    outcome
}

/// Asks everything, and compares with what so many checkpoints gave.
pub async fn asked(store: &Sqlite) -> Result<Outcome> {
    let progress = ok!(store.progress().await);
    let n = progress.first().and_then(|progress| progress.next).unwrap_or(0);
    ensure!(progress.len() <= 1 && progress.iter().all(|p| p.part == part() && p.owner == "tester"), "{progress:?}");
    let resumed = ok!(store.resume(&part()).await);
    let open: Vec<Record> = (0..n).map(call).filter(|call| !call.closed).collect();
    same_calls(&resumed.open_calls, &open).context("resumed")?;
    same_calls(&ok!(store.open_calls().await), &open).context("open")?;
    let all = CallFilter::new(Time(0), Time(i64::MAX));
    let page = ok!(store.calls(&all, None, 1_000).await);
    same_calls(&page.calls, &(0..n).map(call).collect::<Vec<_>>()).context("listed")?;
    for (queue, which) in QUEUES.into_iter().zip(0..) {
        let of_queue = CallFilter { queue: Some(queue.into()), closed: Some(true), ..all.clone() };
        let expected: Vec<_> = (0..n).filter(|n| n % 3 == which && n % 5 != 0).map(call).collect();
        same_calls(&ok!(store.calls(&of_queue, None, 1_000).await).calls, &expected).context(queue)?;
    }
    let caller = CallFilter { caller: Some("token-3".to_owned()), ..all.clone() };
    let expected: Vec<_> = (0..n).filter(|n| n % 7 == 3).map(call).collect();
    same_calls(&ok!(store.calls(&caller, None, 1_000).await).calls, &expected).context("by caller")?;
    let ids: Vec<_> = (0..n).map(|n| call(n).call).collect();
    ensure!(ok!(store.calls_by_id(&ids).await).len() as u64 == n, "calls by id");
    match rows(store, n).await? {
        Outcome::Whole(_) => states(store, n).await,
        refused => Ok(refused),
    }
}

fn same_calls(found: &[Record], expected: &[Record]) -> Result<()> {
    ensure!(found.len() == expected.len(), "{} calls, want {}", found.len(), expected.len());
    let mut found: Vec<_> = found.iter().collect();
    found.sort_by(|a, b| a.call.cmp(&b.call));
    ensure!(found.iter().zip(expected).all(|(a, b)| *a == b), "a call differs");
    Ok(())
}

async fn rows(store: &Sqlite, n: u64) -> Result<Outcome> {
    let mut expected: BTreeMap<BlockKey, Block> = BTreeMap::new();
    expected.extend((0..n).flat_map(blocks).map(|block| (block.key.clone(), block)));
    let filter = RowFilter::new(Dim::Queue, Time(0), Time(i64::MAX));
    let found = ok!(store.blocks_in(&filter).await);
    ensure!(found.len() == expected.len(), "{} blocks, want {}", found.len(), expected.len());
    ensure!(
        found.iter().all(|(of, block)| *of == part() && expected.get(&block.key) == Some(block)),
        "a block differs"
    );
    let keys: Vec<_> = expected.keys().cloned().collect();
    let looked_up = ok!(store.blocks_by_key(&part(), &keys).await);
    ensure!(looked_up.len() == expected.len(), "{} blocks looked up, want {}", looked_up.len(), expected.len());
    let wanted: BTreeMap<_, _> = expected
        .values()
        .flat_map(|block| block.rows.iter().map(|(start, row)| (block.key.row(*start), row.clone())))
        .collect();
    ensure!(ok!(store.rows(&filter).await) == wanted, "rows differ");
    let one = RowFilter { ids: vec!["total".to_owned()], ..filter };
    let found = ok!(store.rows(&one).await);
    ensure!(found.len() == if n == 0 { 0 } else { 2 }, "{} rows of the total", found.len());
    Ok(Outcome::Whole(n))
}

async fn states(store: &Sqlite, n: u64) -> Result<Outcome> {
    let agents = ok!(store.states(Kind::Agent).await);
    let told = agents.first().and_then(|state| state.body.clone()).unwrap_or_default();
    let last = n.checked_sub(1).map(|n| n.to_string().into_bytes()).unwrap_or_default();
    ensure!(agents.len() as u64 == n.min(1) && told == last, "the agent's state");
    let queues = ok!(store.states(Kind::Queue).await);
    ensure!(queues.len() as u64 == n.min(11), "{} states of queues", queues.len());
    for name in ["journal", "remark"] {
        ok!(store.meta(name).await);
    }
    let span = ok!(store.span().await);
    ensure!(span.is_some() == (n > 0), "{span:?}");
    Ok(Outcome::Whole(n))
}
