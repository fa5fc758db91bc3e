//! The real aggregator at work beside the gate: on a thread of its own, folding events as fast as it can, with its checkpoints on disk and
//! its views in the journal that the gate follows.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use aggregator::Aggregator;
use anyhow::{Context as _, Result};
use journal::{Entry, Journal};
use model::envelope::Parsed;
use model::{Directory, Envelope};
use receiver::admit::stream_of;
use service::{Clock, Component, Context, Drain, Millis, Seeds, Tasks};
use store::Reports;

/// Calls of each made-up day, some eighteen events each.
const CALLS: usize = 2_000;
/// So many events may lie before the aggregator: it always has something to do, and memory is bounded.
const AHEAD: u64 = 20_000;
/// Events appended at once.
const BATCH: usize = 1_000;

/// An aggregator at work.
pub struct Beside {
    drain: Drain,
    thread: JoinHandle<Result<u64>>,
}

impl Beside {
    /// Starts it over `journal`; back when it has folded its first events.
    pub fn start(journal: Arc<dyn Journal>, clock: &Clock) -> Result<Beside> {
        let (drain, clock) = (Drain::new(), clock.clone());
        let over = drain.clone();
        let (told, heard) = sync_channel(1);
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(fold(journal, clock, over, told))
        };
        let thread = std::thread::Builder::new().name("aggregator".to_owned()).spawn(work)?;
        heard.recv_timeout(Duration::from_secs(60)).context("the aggregator folds nothing")?;
        Ok(Beside { drain, thread })
    }

    /// Stops it. How many events it folded.
    pub fn stop(self) -> Result<u64> {
        self.drain.start("the requests are answered");
        self.thread.join().map_err(|_| anyhow::anyhow!("the aggregator panicked"))?
    }
}

async fn fold(
    journal: Arc<dyn Journal>,
    clock: Clock,
    over: Drain,
    told: std::sync::mpsc::SyncSender<()>,
) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let store = store::config::Config { path: folder.path().join("store.db"), ..Default::default() }.open().await?;
    let context = Context::new("aggregator", "aggregator-1", clock.clone(), &Seeds::fixed(1));
    let context = context.with_shared(Arc::new(Directory::default()));
    // often, so that it is known how far it is, and so that checkpoints are part of the load
    let config = aggregator::Config { checkpoint_every: Millis::new(200), ..aggregator::Config::default() };
    let aggregator = Aggregator::new(Arc::clone(&journal), Arc::clone(&store), config);
    let outer = Tasks::new("bench", 4, clock.clone(), Drain::new());
    let at_work = outer.spawn("aggregator", aggregator.run(context.clone()))?;
    let (mut appended, mut folded) = (0, 0);
    for seed in 0.. {
        let day = bench::centre::day(CALLS, seed);
        let mut events = day.iter().filter_map(|line| entry(line)).peekable();
        while events.peek().is_some() && !over.is_started() {
            while appended - folded > AHEAD && !over.is_started() {
                clock.sleep(Duration::from_millis(20)).await;
                folded = progress(&*store).await?;
                if folded > 0 {
                    let _ = told.try_send(()); // once is enough
                }
            }
            let batch: Vec<Entry> = events.by_ref().take(BATCH).collect();
            appended += batch.len() as u64;
            journal.append(batch).await?;
        }
        if over.is_started() {
            break;
        }
    }
    context.drain.start("the bench is over");
    at_work.finished().await;
    outer.shutdown(Duration::from_secs(10)).await?;
    progress(&*store).await
}

fn entry(line: &[u8]) -> Option<Entry> {
    match Envelope::parse(line) {
        Ok(Parsed::Known(event)) => {
            let key = event.subject.id().as_bytes().to_vec();
            Some(Entry::new(stream_of(&event.subject), key, line.to_vec()))
        }
        _ => None,
    }
}

/// Events folded so far: every partition begins at 0.
async fn progress(store: &dyn Reports) -> Result<u64> {
    Ok(store.progress().await?.iter().filter_map(|part| part.next).sum())
}
