//! The aggregator as a process of its own, killed without warning while it works.

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{MORNING, assert_same, caught_up, history, publish, reference, sqlite, until};
use journal::embedded::{Embedded, Options};
use journal::{Journal, Topology};
use service::Clock;

fn start(dir: &Path, instance: &str) -> Child {
    let set = |key: &str, value: String| ["--set".to_owned(), format!("{key}={value}")];
    let path = |name: &str| dir.join(name).display().to_string();
    Command::new(env!("CARGO_BIN_EXE_aggregator"))
        .args(set("aggregator.journal.path", path("journal.db")))
        .args(set("aggregator.store.path", path("store.db")))
        .args(set("aggregator.checkpoint_every", "20ms".to_owned()))
        .args(set("aggregator.checkpoint_events", "100".to_owned()))
        .args(set("process.instance", instance.to_owned()))
        .args(set("process.ops.address", "127.0.0.1:0".to_owned()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_killed_at_any_moment_leave_identical_rows() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let options = Options::new(dir.path().join("journal.db"), Topology::default(), clock.clone());
    let journal: Arc<dyn Journal> = Embedded::open(options).await.unwrap();
    let store = sqlite(dir.path(), "store.db").await;
    let events = history(400, MORNING, 9);
    let folded = async || {
        let progress = store.progress().await.unwrap();
        progress.iter().filter_map(|part| part.next).sum::<u64>()
    };
    let (mut done, mut interrupted) = (0, 0);
    for (round, part) in events.chunks(events.len() / 5 + 1).enumerate() {
        let mut child = start(dir.path(), "aggregator-1");
        publish(&journal, part).await;
        until("the process has written a checkpoint", async || folded().await > done).await;
        clock.sleep(Duration::from_millis(7 * round as u64)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        done = folded().await;
        interrupted += u32::from(!caught_up(&journal, &store).await);
    }
    assert!(interrupted > 0, "no kill came before everything was stored: nothing was tried");
    let mut child = start(dir.path(), "aggregator-1");
    until("all is folded", async || caught_up(&journal, &store).await).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_same(&reference(&journal, dir.path()).await, &store).await;
}
