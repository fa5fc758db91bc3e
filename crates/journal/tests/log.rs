//! The write-ahead log of an embedded journal does not grow without bound, whoever writes and reads.
#![allow(clippy::disallowed_methods, reason = "a disk lives in real time")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::embedded::{Embedded, Options};
use journal::{Entry, Journal, Stream, Topology};
use rusqlite::Connection;
use service::Clock;

/// The log begins anew from here on.
const PAGES: i64 = 256;
/// It is at most four times as long, and a transaction of a thousand records comes on top of it, and a few while readers hinder.
const BOUND: i64 = 4 * PAGES + 1_500;
/// Enough for any disk.
const PATIENCE: Duration = Duration::from_secs(120);

async fn open(path: &Path) -> Arc<Embedded> {
    let mut options = Options::new(path, Topology::uniform(2), Clock::system());
    options.log_pages = PAGES as u32;
    Embedded::open(options).await.expect("the journal opens")
}

/// Appends so many times fifty records of a kilobyte: some fifteen pages each.
async fn append(journal: &dyn Journal, name: &str, times: usize) {
    for n in 0..times {
        let entry = |i: usize| Entry::new(Stream::EventsCall, format!("{name}-{}", i % 7), format!("{n:01000}"));
        journal.append((0..50).map(entry).collect()).await.expect("appended");
    }
}

/// How long the log is, and how much of it was copied.
fn log(conn: &Connection) -> (i64, i64) {
    let looked = conn.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?)));
    looked.expect("the log is looked at")
}

/// Looks at the log for as long as something goes on: the longest that it was.
async fn longest_during(conn: &Connection, work: impl Future<Output = ()>) -> i64 {
    let mut longest = 0;
    tokio::pin!(work);
    loop {
        tokio::select! {
            () = &mut work => return longest,
            () = tokio::time::sleep(Duration::from_millis(2)) => longest = longest.max(log(conn).0),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_constant_load_the_log_begins_anew_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let journal = open(&path).await;
    let conn = Connection::open(&path).unwrap();
    let producers = ["a", "b", "c", "d"].map(|name| append(&*journal, name, 100));
    let all = async { _ = futures::future::join_all(producers).await };
    // Some six thousand pages are written.
    let longest = longest_during(&conn, all).await;
    assert!((1..=BOUND).contains(&longest), "{longest} pages");
    drop(conn);
    assert!(journal.verify().await.unwrap().is_sound());
    journal.close().await.unwrap();
    let journal = open(&path).await;
    assert_eq!(journal.verify().await.unwrap().records, 4 * 100 * 50);
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stays_keeps_its_log_and_when_it_goes_the_log_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let journal = open(&path).await;
    append(&*journal, "before", 10).await;
    let (reader, watcher) = (Connection::open(&path).unwrap(), Connection::open(&path).unwrap());
    let count = |conn: &Connection| conn.query_row("SELECT count(*) FROM record", [], |row| row.get::<_, i64>(0));
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&reader).unwrap(), 500);
    append(&*journal, "beside", 150).await;
    let (grown, copied) = log(&watcher);
    assert!(grown > 2 * PAGES && copied < grown, "{grown} pages, {copied} copied");
    assert_eq!(count(&reader).unwrap(), 500, "it reads what it read at first");
    reader.execute_batch("ROLLBACK").unwrap();
    let begun = Instant::now();
    while log(&watcher).0 > PAGES {
        assert!(begun.elapsed() < PATIENCE, "{:?} pages", log(&watcher));
        append(&*journal, "behind", 1).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    journal.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_share_the_file_each_copies_and_none_fails() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let (one, other) = (open(&path).await, open(&path).await);
    let conn = Connection::open(&path).unwrap();
    let both = async {
        tokio::join!(append(&*one, "one", 150), append(&*other, "other", 150));
    };
    let longest = longest_during(&conn, both).await;
    assert!((1..=BOUND).contains(&longest), "{longest} pages");
    drop(conn);
    one.close().await.unwrap();
    assert_eq!(other.verify().await.unwrap().records, 300 * 50);
    other.close().await.unwrap();
}
