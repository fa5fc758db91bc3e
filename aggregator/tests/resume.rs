//! Killed, restarted, shared, handed over: the figures are the same.

mod common;

use std::sync::Arc;

use aggregator::{CatchUp, Config, catch_up_to_end, catch_up_until};
use common::{MORNING, Running, assert_same, caught_up, context, history, memory, publish, reference, sqlite, until};
use journal::embedded::{Embedded, Options};
use journal::{Entry, Journal, Retention, Stream, Topology};
use service::{Clock, Millis};
use store::Reports;

fn config() -> Config {
    Config {
        tick: Millis::new(5),
        checkpoint_every: Millis::new(20),
        checkpoint_events: 200,
        batch_records: 50,
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_aggregator_is_resumed_with_identical_rows() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(2), sqlite(dir.path(), "store.db").await);
    let events = history(400, MORNING, 1);
    for (n, part) in events.chunks(events.len() / 6 + 1).enumerate() {
        // The same name, as after a restart of the process: it does not wait for its own lease.
        let running = Running::start("aggregator-1", &journal, &store, config());
        publish(&journal, part).await;
        let folded = async || store.progress().await.unwrap().iter().any(|p| p.next.is_some_and(|n| n > 0));
        until("something is checkpointed", folded).await;
        if n % 2 == 0 {
            until("it is somewhere in the middle", async || !store.open_calls().await.unwrap().is_empty()).await;
        }
        running.kill().await;
    }
    let running = Running::start("aggregator-1", &journal, &store, config());
    until("all is folded", async || caught_up(&journal, &store).await).await;
    running.stop().await;
    assert_same(&reference(&journal, dir.path()).await, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_aggregators_share_the_partitions_and_hand_them_over() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(4), sqlite(dir.path(), "store.db").await);
    let events = history(300, MORNING, 2);
    let (first, rest) = events.split_at(events.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    let one = Running::start("aggregator-1", &journal, &store, config());
    publish(&journal, first).await;
    let two = Running::start("aggregator-2", &journal, &store, config());
    let owners = async || {
        let progress = store.progress().await.unwrap();
        let own = |name: &str| progress.iter().filter(|p| p.owner == name).count();
        (own("aggregator-1"), own("aggregator-2"))
    };
    publish(&journal, second).await;
    until("both hold partitions", async || {
        let (one, two) = owners().await;
        one >= 8 && two >= 8
    })
    .await;
    one.stop().await;
    publish(&journal, third).await;
    until("the other holds all", async || owners().await.1 == 20).await;
    until("all is folded", async || caught_up(&journal, &store).await).await;
    two.stop().await;
    assert_same(&reference(&journal, dir.path()).await, &store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_and_eight_partitions_give_identical_rows_and_records() {
    let dir = tempfile::tempdir().unwrap();
    let events = history(300, MORNING, 3);
    let mut stores = Vec::new();
    for partitions in [1, 8] {
        let (journal, store) = (memory(partitions), sqlite(dir.path(), &format!("{partitions}.db")).await);
        publish(&journal, &events).await;
        // Small checkpoints and no memory: everything is looked up again.
        let mut how = CatchUp::new("test");
        how.checkpoint_events = 64;
        if partitions == 8 {
            how.rules.settings.closed_kept = 0;
            how.rules.blocks_kept = 0;
        }
        catch_up_to_end(&journal, &store, &how, &context("test")).await.unwrap();
        stores.push(store);
    }
    let verdict = aggregator::diff(&*stores[0], &*stores[1], |_| {}).await.unwrap();
    let other = verdict.differences.iter().filter(|d| !matches!(d, aggregator::Difference::Position { .. }));
    assert_eq!(other.map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    assert!(verdict.rows > 200 && verdict.calls == 300, "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_is_identical_and_a_changed_store_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, old) = (memory(2), sqlite(dir.path(), "old.db").await);
    publish(&journal, &history(200, MORNING, 4)).await;
    catch_up_to_end(&journal, &old, &CatchUp::new("test"), &context("test")).await.unwrap();
    // What came since is not folded in the old store, and must not be in the new one.
    publish(&journal, &history(20, MORNING + 86_400_000, 5)).await;
    let fresh = sqlite(dir.path(), "fresh.db").await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let how = CatchUp::new("rebuild").progress(move |progress| seen.lock().unwrap().push(progress));
    let caught = aggregator::rebuild(&journal, &*old, &fresh, &how, &context("rebuild")).await.unwrap();
    assert_same(&old, &fresh).await;
    let last = *told.lock().unwrap().last().unwrap();
    assert_eq!((last.folded, last.total), (caught.folded, caught.folded));
    assert!(caught.truncated.is_empty());
    let again = aggregator::rebuild(&journal, &*old, &fresh, &how, &context("rebuild")).await;
    assert!(matches!(again, Err(aggregator::Error::NotEmpty(_))));
    catch_up_to_end(&journal, &fresh, &CatchUp::new("test"), &context("test")).await.unwrap();
    let verdict = aggregator::diff(&*old, &*fresh, |_| {}).await.unwrap();
    assert!(!verdict.is_same() && verdict.to_string().starts_with("DIFFERENT"), "{verdict}");
}

#[tokio::test]
async fn what_cannot_be_understood_is_stepped_over() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, clean) = (memory(1), memory(1));
    let events = history(60, MORNING, 6);
    publish(&clean, &events).await;
    for (n, event) in events.iter().enumerate() {
        publish(&journal, std::slice::from_ref(event)).await;
        let odd = match n % 40 {
            0 => b"{ this is no event".to_vec(),
            1 => String::from_utf8(event.to_json()).unwrap().replace(".v1\"", ".v77\"").into_bytes(),
            2 => Vec::new(),
            _ => continue,
        };
        journal.append(vec![Entry::new(Stream::EventsCall, "c1", odd)]).await.unwrap();
    }
    let (dirty, pure) = (sqlite(dir.path(), "dirty.db").await, sqlite(dir.path(), "pure.db").await);
    for (journal, store) in [(&journal, &dirty), (&clean, &pure)] {
        catch_up_to_end(journal, store, &CatchUp::new("test"), &context("test")).await.unwrap();
    }
    let verdict = aggregator::diff(&*pure, &*dirty, |_| {}).await.unwrap();
    assert!(verdict.differences.iter().all(|d| matches!(d, aggregator::Difference::Position { .. })), "{verdict}");
    assert!(caught_up(&journal, &dirty).await);
}

#[tokio::test]
async fn a_store_of_another_journal_or_of_other_rules_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = async |name: &str| {
        let options = Options::new(dir.path().join(name), Topology::uniform(1), Clock::system());
        let journal: Arc<dyn Journal> = Embedded::open(options).await.unwrap();
        journal
    };
    let (one, two) = (open("one.db").await, open("two.db").await);
    let store: Arc<dyn Reports> = sqlite(dir.path(), "store.db").await;
    let how = CatchUp::new("test");
    catch_up_to_end(&one, &store, &how, &context("test")).await.unwrap();
    let foreign = catch_up_to_end(&two, &store, &how, &context("test")).await.unwrap_err();
    assert!(matches!(foreign, aggregator::Error::Store(store::Error::Foreign { .. })), "{foreign}");
    let mut other = how.clone();
    other.rules.settings.grains.traffic_ms = 300_000;
    let refused = catch_up_to_end(&one, &store, &other, &context("test")).await.unwrap_err();
    assert!(matches!(refused, aggregator::Error::Rules { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_journal_no_longer_keeps_is_stepped_over_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(1), sqlite(dir.path(), "store.db").await);
    let events = history(100, MORNING, 8);
    publish(&journal, &events[..200]).await;
    catch_up_to_end(&journal, &store, &CatchUp::new("test"), &context("test")).await.unwrap();
    publish(&journal, &events[200..]).await;
    let keep = Retention { max_records: Some(150), ..Retention::of(Stream::EventsCall) };
    journal.retain(&[keep]).await.unwrap();
    let running = Running::start("aggregator-1", &journal, &store, config());
    until("all that is left is folded", async || caught_up(&journal, &store).await).await;
    let report = running.context.health.report();
    assert!(report.checks["history"].why.contains("no longer kept"), "{report:?}");
    running.stop().await;
    let fresh = sqlite(dir.path(), "fresh.db").await;
    let caught = catch_up_to_end(&journal, &fresh, &CatchUp::new("test"), &context("test")).await.unwrap();
    assert_eq!(caught.truncated.len(), 1, "{:?}", caught.truncated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_folded_while_it_is_written_is_the_same_and_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, store) = (memory(3), sqlite(dir.path(), "store.db").await);
    let events = history(700, MORNING, 5);
    let (tell, over) = tokio::sync::watch::channel(false);
    let how = CatchUp { checkpoint_events: 900, ..CatchUp::new("import") };
    let context = context("import");
    let written = async {
        for part in events.chunks(350) {
            publish(&journal, part).await;
            tokio::task::yield_now().await;
        }
        tell.send_replace(true);
    };
    let folded = catch_up_until(&journal, &store, &how, &context, over);
    let (caught, ()) = tokio::join!(folded, written);
    assert_eq!(caught.unwrap().folded, events.len() as u64);
    assert_same(&reference(&journal, dir.path()).await, &store).await;
}
