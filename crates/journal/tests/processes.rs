//! The embedded journal under real processes: killed while they write, killed while they consume, sharing one file and one group.
//!
//! A child is this test program again, run for the one test [`the_child`] with its part in the environment.

#![allow(clippy::disallowed_methods, reason = "parts are handed to real processes, and these live in real time")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use journal::embedded::{Embedded, Options};
use journal::{Commit, Consumer, Delivery, Entry, Journal, Position, Stream, Subscription, Topology};
use service::Clock;

const PART: &str = "JOURNAL_TEST_PART";
const FILE: &str = "JOURNAL_TEST_FILE";
const LEASE: Duration = Duration::from_millis(600);

async fn open(path: &Path) -> Arc<Embedded> {
    let mut options = Options::new(path, Topology::uniform(3), Clock::system());
    options.lease = LEASE;
    Embedded::open(options).await.expect("the journal opens")
}

fn start(part: &str, path: &Path) -> Child {
    let program = std::env::current_exe().expect("this program's path");
    let mut command = Command::new(program);
    command.args(["--exact", "the_child", "--nocapture", "--test-threads=1"]);
    command.env(PART, part).env(FILE, path).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("a child")
}

/// Reads the child's lines until `enough` says so or it ends.
fn listen(child: &mut Child, mut enough: impl FnMut(&str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.as_mut().expect("a pipe")).lines().map_while(Result::ok) {
        let done = enough(&line);
        lines.push(line);
        if done {
            break;
        }
    }
    lines
}

/// Kills with SIGKILL, then reads what the child had still said.
fn kill(mut child: Child) -> Vec<String> {
    child.kill().expect("killed");
    let rest = listen(&mut child, |_| false);
    child.wait().expect("waited for");
    rest
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent listens");
}

/// Plays a part when the environment names one. Without, there is nothing to play, and nothing may be set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_child() {
    let Ok(part) = std::env::var(PART) else {
        assert!(std::env::var(FILE).is_err(), "a file without a part");
        return;
    };
    let path = std::env::var(FILE).expect("a file");
    let journal = open(Path::new(&path)).await;
    match part.split_once(' ').unwrap_or((&part, "")) {
        ("append", name) => append_for_ever(&*journal, name).await,
        ("classify", name) => classify_for_ever(&*journal, name).await,
        other => panic!("no such part: {other:?}"),
    }
}

/// Four producers, each with its own key; every record says which of how many in its call it is.
async fn append_for_ever(journal: &dyn Journal, name: &str) {
    let producer = |producer: usize| async move {
        let key = format!("{name}.{producer}");
        for round in 0_usize.. {
            let size = 1 + (round * 7 + producer * 3) % 13;
            let entry = |i: usize| Entry::new(Stream::EventsCall, key.clone(), format!("{round} {i}/{size}"));
            journal.append((0..size).map(entry).collect()).await.expect("appended");
            say(&format!("ack {key} {round}"));
        }
    };
    tokio::join!(producer(0), producer(1), producer(2), producer(3));
}

/// A stateful consumer: for each fact one event, with position and a count in the same transaction.
async fn classify_for_ever(journal: &dyn Journal, name: &str) {
    let subscription = Subscription::new("receiver", name, [Stream::Ingest]).batch(5, 1 << 20);
    let mut consumer = journal.subscribe(subscription).await.expect("subscribed");
    loop {
        let Delivery::Batch(batch) = consumer.next().await.expect("next") else { continue };
        let key = format!("count/{}", batch.partition);
        let known = journal.state("receiver", key.as_bytes()).await.expect("state");
        let count: usize =
            known.first().map_or(0, |(_, value)| String::from_utf8_lossy(value).parse().expect("a number"));
        let entry = |record: &journal::Record| Entry::new(Stream::EventsCall, record.key.clone(), record.value.clone());
        let commit = Commit {
            entries: batch.records.iter().map(entry).collect(),
            group: "receiver".to_owned(),
            positions: vec![batch.position()],
            state: vec![(key.into(), Some((count + batch.records.len()).to_string().into()))],
            fence: Some(consumer.generation()),
        };
        if journal.append_and_commit(commit).await.is_ok() {
            say(&format!("did {}", batch.records.len()));
        }
    }
}

/// All values under each key, in the order of reading.
async fn by_key(journal: &dyn Journal, stream: Stream) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for partition in 0..journal.partitions(stream) {
        let mut from = journal.earliest(stream, partition).await.unwrap();
        while from < journal.end(stream, partition).await.unwrap() {
            let batch = journal.read(stream, partition, from, 10_000, 64 << 20).await.unwrap();
            for record in &batch.records {
                let (key, value) = (String::from_utf8_lossy(&record.key), String::from_utf8_lossy(&record.value));
                found.entry(key.into_owned()).or_default().push(value.into_owned());
            }
            from = batch.next;
        }
    }
    found
}

/// Whether the values are whole calls in order, and how many.
fn whole_calls(values: &[String]) -> usize {
    let (mut rounds, mut left) = (0, 0);
    for value in values {
        let (round, place) = value.split_once(' ').expect("a round");
        let (i, size): (usize, usize) =
            place.split_once('/').map(|(i, n)| (i.parse().unwrap(), n.parse().unwrap())).unwrap();
        if left == 0 {
            (rounds, left) = (rounds + 1, size);
        }
        assert_eq!((round.parse::<usize>().unwrap() + 1, i), (rounds, size - left), "torn or out of order: {value}");
        left -= 1;
    }
    assert_eq!(left, 0, "the last call is torn");
    rounds
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_kill_of_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
    for run in 0..8 {
        let mut child = start(&format!("append run{run}"), &path);
        let mut acks = 0;
        let mut said = listen(&mut child, |line| {
            acks += usize::from(line.starts_with("ack"));
            acks >= 3 + run * 17
        });
        said.extend(kill(child));
        for line in said.iter().filter_map(|line| line.strip_prefix("ack ")) {
            // The last line may be cut by the kill; what is whole counts.
            if let Some((key, round)) =
                line.split_once(' ').and_then(|(key, round)| Some((key, round.parse::<usize>().ok()?)))
            {
                acknowledged.insert(key.to_owned(), round + 1);
            }
        }
        let journal = open(&path).await;
        let found = by_key(&*journal, Stream::EventsCall).await;
        for (key, rounds) in &acknowledged {
            let written = whole_calls(found.get(key).map_or(&[], Vec::as_slice));
            assert!(written >= *rounds, "run {run}, {key}: {rounds} calls were acknowledged, {written} are there");
        }
        for values in found.values() {
            whole_calls(values);
        }
        let report = journal.verify().await.unwrap();
        assert!(report.is_sound(), "run {run}: {report:?}");
        journal.close().await.unwrap();
    }
    assert!(acknowledged.len() >= 8 && acknowledged.values().sum::<usize>() > 100, "{acknowledged:?}");
}

#[tokio::test]
async fn a_killed_consumer_repeats_nothing_that_it_committed_and_skips_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let journal = open(&path).await;
    let facts = 900;
    let fact = |n: usize| Entry::new(Stream::Ingest, format!("source-{}", n % 10), n.to_string());
    journal.append((0..facts).map(fact).collect()).await.unwrap();
    let mut kills = 0;
    loop {
        // The same member name: the heir need not wait for the lease of the one that was killed.
        let mut child = start("classify member", &path);
        let mut steps = 0;
        listen(&mut child, |line| {
            steps += usize::from(line.starts_with("did"));
            steps > 10 + kills * 5
        });
        drop(kill(child));
        kills += 1;
        let done: u64 = journal.committed("receiver").await.unwrap().iter().map(|position| position.offset).sum();
        let written = by_key(&*journal, Stream::EventsCall).await.values().map(Vec::len).sum::<usize>();
        assert_eq!(written as u64, done, "events and positions moved together");
        if done > facts as u64 * 2 / 3 {
            break;
        }
        assert!(kills < 60, "no progress: {done} of {facts}");
    }
    assert!(kills >= 3, "it was killed {kills} times");
    let last = tokio::time::timeout(Duration::from_secs(20), async {
        let child = start("classify member", &path);
        while by_key(&*journal, Stream::EventsCall).await.values().map(Vec::len).sum::<usize>() < facts {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        kill(child)
    });
    drop(last.await.expect("the last one finishes"));
    assert_eq!(
        by_key(&*journal, Stream::EventsCall).await,
        by_key(&*journal, Stream::Ingest).await,
        "each once, in order"
    );
    let counts = journal.state("receiver", b"count/").await.unwrap();
    let counted: usize = counts.iter().map(|(_, value)| String::from_utf8_lossy(value).parse::<usize>().unwrap()).sum();
    assert_eq!(counted, facts, "and the state agrees");
}

#[tokio::test]
async fn two_processes_append_to_one_file_and_see_each_other_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let journal = open(&path).await;
    let (mut one, mut two) = (start("append one", &path), start("append two", &path));
    let mut consumer = journal.subscribe(Subscription::new("g", "m", [Stream::EventsCall])).await.unwrap();
    let mut seen = std::collections::HashSet::new();
    let deadline = tokio::time::timeout(Duration::from_secs(20), async {
        while seen.len() < 8 {
            if let Delivery::Batch(batch) = consumer.next().await.unwrap() {
                seen.extend(batch.records.iter().map(|record| record.key.clone()));
            }
            journal.append(vec![Entry::new(Stream::EventsCall, "parent", "0 0/1")]).await.unwrap();
        }
    });
    deadline.await.expect("the consumer sees the producers of both processes");
    let mut acks = (0, 0);
    listen(&mut one, |line| {
        acks.0 += usize::from(line.starts_with("ack"));
        acks.0 > 100
    });
    listen(&mut two, |line| {
        acks.1 += usize::from(line.starts_with("ack"));
        acks.1 > 100
    });
    drop((kill(one), kill(two)));
    let found = by_key(&*journal, Stream::EventsCall).await;
    for (key, values) in found.iter().filter(|(key, _)| *key != "parent") {
        assert!(whole_calls(values) > 0, "{key}");
    }
    let report = journal.verify().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test]
async fn the_partitions_of_a_killed_process_go_to_the_others_when_its_lease_runs_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.db");
    let journal = open(&path).await;
    let mut child = start("classify child", &path);
    journal
        .append((0..30).map(|n| Entry::new(Stream::Ingest, format!("s{n}"), n.to_string())).collect())
        .await
        .unwrap();
    listen(&mut child, |line| line.starts_with("did"));
    let mut consumer = journal.subscribe(Subscription::new("receiver", "parent", [Stream::Ingest])).await.unwrap();
    assert_eq!(held_after(&mut *consumer, LEASE * 3).await, 1, "the living child keeps its share of three");
    drop(kill(child));
    let clock = Clock::system();
    let killed_at = clock.monotonic();
    assert_eq!(held_after(&mut *consumer, LEASE * 4).await, 2, "and the parent inherits the other two");
    assert!(clock.monotonic() - killed_at < LEASE * 5);
    let reached: u64 =
        journal.committed("receiver").await.unwrap().iter().map(|position: &Position| position.offset).sum();
    assert!(reached > 0, "what the child committed stays committed");
}

/// How many partitions a member was newly assigned within a time.
async fn held_after(consumer: &mut dyn Consumer, time: Duration) -> usize {
    let mut assigned = 0;
    let _ = tokio::time::timeout(time, async {
        loop {
            if let Delivery::Assigned(partitions) = consumer.next().await.expect("next") {
                assigned += partitions.len();
            }
        }
    })
    .await;
    assigned
}
