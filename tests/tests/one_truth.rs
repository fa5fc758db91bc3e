//! One truth: whatever order events come in, however often, over however many partitions, folded by however many, killed,
//! resumed or rebuilt, the reports are the same to the byte. Made-up histories go through the real pipeline: `ingest`, receiver,
//! `events.*`, aggregator, store, reports.
#![allow(clippy::disallowed_methods, reason = "a test's own tasks and patience")]

#[path = "../../crates/stats/tests/support/story.rs"]
mod story;
#[path = "../../crates/stats/tests/support/traffic.rs"]
mod traffic;

use aggregator::{Aggregator, CatchUp, catch_up_to_end};
use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures::FutureExt as _;
use journal::memory::Memory;
use journal::{Commit, Entry, Journal, Stream, Topology};
use model::event::call::Offered;
use model::{Directory, Envelope, Event, Number, Time};
use pusher::report::ask::{Asker, Bounds, CallsAsked, IntervalsAsked};
use pusher::report::{self, flat};
use receiver::Receiver;
use service::tasks::Task;
use service::{Clock, Component, Context, Drain, Millis, Secret, Seeds, Tasks};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{Reports, Sqlite};
use traffic::Dice;

/// Monday, 2026-11-16 08:00 UTC.
const MORNING: i64 = 1_794_816_000_000;
const HOUR: u64 = 3_600_000;
/// The key that numbers are sealed with: the same callers in every way of folding.
const NUMBER_KEY: &str = "the same in every journal of this test";
/// What a wait for a running pipeline may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// A way to come to the figures.
#[derive(Clone, Copy, Debug)]
struct Way {
    partitions: u32,
    /// The order of arrival: as it happened, or any.
    shuffled: bool,
    /// Some events come twice.
    repeated: bool,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// All at once, when everything is there.
    Once,
    /// In so many parts, each time by programs that know only what the ones before them stored.
    Resumed(usize),
    /// While it comes in, by so many aggregators beside each other; one is killed in the middle, and the receiver too.
    Running(usize),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_gives_the_same_reports_and_calls() -> Result<()> {
    let way = |partitions, shuffled, repeated, how| Way { partitions, shuffled, repeated, how };
    let ways = [
        way(4, true, true, How::Once),
        way(64, true, true, How::Once),
        way(1, true, true, How::Resumed(5)),
        way(64, false, true, How::Resumed(3)),
        way(1, false, true, How::Running(1)),
        way(4, true, true, How::Running(3)),
        way(64, true, true, How::Running(3)),
    ];
    for seed in 1..=3 {
        let events = history(seed);
        let plain = come_to(&events, way(1, false, false, How::Once), seed).await?;
        ensure!(plain.lines().count() > 150, "seed {seed}: too little is compared:\n{plain}");
        for way in ways {
            let told = || format!("seed {seed}, {way:?}");
            let other = come_to(&events, way, seed).await.with_context(told)?;
            same(&plain, &other).with_context(told)?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_more_or_less_is_seen() -> Result<()> {
    let events = history(4);
    let way = Way { partitions: 1, shuffled: false, repeated: false, how: How::Once };
    let whole = come_to(&events, way, 4).await?;
    let answer = events.iter().position(|event| matches!(event.event, Event::CallAnswered(_)));
    let mut less = events.clone();
    less.remove(answer.context("somebody is answered")?);
    ensure!(same(&whole, &come_to(&less, way, 4).await?).is_err(), "an answer was lost, and no report shows it");
    Ok(())
}

/// A morning of calls from three phone systems, of people and devices, with what real feeds spoil.
fn history(seed: u64) -> Vec<Envelope> {
    let mut dice = Dice(seed);
    let mut events = traffic::calls(&mut dice, 40, 2 * HOUR);
    events.extend(traffic::people(&mut dice, 100, 2 * HOUR));
    traffic::spoil(&mut dice, &mut events);
    for event in &mut events {
        event.time = Time(event.time.ms() + MORNING);
        if let Event::SourceGap(gap) = &mut event.event {
            (gap.from, gap.to) = (Time(gap.from.ms() + MORNING), Time(gap.to.ms() + MORNING));
        }
        // Most are seen at once, some after the time from which on they are late.
        let seen_after = if dice.once_in(20) { 90_000 } else { dice.below(2_000) as i64 };
        event.observed_time = Some(Time(event.time.ms() + seen_after));
        event.tenant = None;
        if let Event::CallOffered(offer) = &mut event.event {
            let Offered { ani, trunk, .. } = &mut **offer;
            *ani = Some(Number::plain(format!("1380013{:04}", dice.below(25))));
            *trunk = Some(format!("trunk{}", dice.below(2)).as_str().into());
        }
        if event.subject.family() == "call" {
            let which = event.subject.id().bytes().map(u64::from).sum::<u64>() % 3 + 1;
            event.source = format!("pbx{which}").as_str().into();
        }
    }
    events
}

/// Who is who: two tenants, two teams.
fn directory() -> Directory {
    let text = r#"{
        "tenants": { "default": {}, "shop": { "short_abandon_s": 12 } },
        "sources": { "pbx3": { "tenant": "shop" } },
        "teams": { "red": {}, "blue": {} },
        "agents": { "ann": { "team": "red" }, "bob": { "team": "red" }, "cy": { "team": "blue" } }
    }"#;
    serde_json::from_str(text).expect("a directory")
}

/// The events as they arrive.
fn arrival(events: &[Envelope], way: Way, seed: u64) -> Vec<Envelope> {
    let mut dice = Dice(seed ^ u64::from(way.partitions) << 32);
    let mut events = events.to_vec();
    if way.repeated {
        let again: Vec<_> = events.iter().filter(|_| dice.once_in(4)).cloned().collect();
        events.extend(again);
    }
    if way.shuffled {
        dice.shuffle(&mut events);
    } else {
        events.sort_by_key(|event| event.time);
    }
    events
}

/// Everything that the reports say after these events came this way.
async fn come_to(events: &[Envelope], way: Way, seed: u64) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let journal: Arc<dyn Journal> = Memory::new(Topology::uniform(way.partitions), Clock::system());
    let key = (Bytes::from_static(b"number_key"), Some(Bytes::from_static(NUMBER_KEY.as_bytes())));
    let group = receiver::aside::GROUP.to_owned();
    journal.append_and_commit(Commit { group, state: vec![key], ..Commit::default() }).await?;
    let events = arrival(events, way, seed);
    let store = match way.how {
        How::Once => resumed(&journal, folder.path(), &events, 1).await?,
        How::Resumed(parts) => resumed(&journal, folder.path(), &events, parts).await?,
        How::Running(aggregators) => running(&journal, folder.path(), &events, aggregators).await?,
    };
    let fresh: Arc<dyn Reports> = Arc::new(Sqlite::open(folder.path().join("rebuilt.db")).await?);
    aggregator::rebuild(&journal, store.as_ref(), &fresh, &CatchUp::new("rebuild"), &context("rebuild")).await?;
    let verdict = aggregator::diff(store.as_ref(), fresh.as_ref(), |_| {}).await?;
    let first = verdict.differences.first().map(ToString::to_string).unwrap_or_default();
    ensure!(verdict.is_same(), "rebuilt, it is not the same: {verdict}\n{first}");
    reports(&store).await
}

fn context(instance: &str) -> Context {
    Context::new("test", instance, Clock::system(), &Seeds::fixed(1))
}

async fn ingest(journal: &Arc<dyn Journal>, events: &[Envelope]) -> Result<()> {
    let entry = |event: &Envelope| Entry::new(Stream::Ingest, event.source.to_string(), event.to_json());
    journal.append(events.iter().map(entry).collect()).await?;
    Ok(())
}

async fn resumed(
    journal: &Arc<dyn Journal>,
    folder: &Path,
    events: &[Envelope],
    parts: usize,
) -> Result<Arc<dyn Reports>> {
    let mut opened = None;
    for part in events.chunks(events.len().div_ceil(parts)) {
        let store: Arc<dyn Reports> = Arc::new(Sqlite::open(folder.join("store.db")).await?);
        ingest(journal, part).await?;
        let received = receiver::catch_up(Arc::clone(journal), directory(), Clock::system(), || true).await?;
        ensure!(received.aside == 0, "{} events were set aside", received.aside);
        let mut how = CatchUp::new("test");
        how.checkpoint_events = 50;
        catch_up_to_end(journal, &store, &how, &context("test")).await?;
        opened = Some(store);
    }
    opened.context("there are events")
}

async fn running(
    journal: &Arc<dyn Journal>,
    folder: &Path,
    events: &[Envelope],
    aggregators: usize,
) -> Result<Arc<dyn Reports>> {
    let store: Arc<dyn Reports> = Arc::new(Sqlite::open(folder.join("store.db")).await?);
    let mut receiver = Running::receiver(journal).await?;
    let mut folding = Vec::new();
    for number in 0..aggregators {
        folding.push(Running::aggregator(journal, &store, number)?);
    }
    let parts = events.chunks(events.len().div_ceil(6));
    for (number, part) in parts.enumerate() {
        ingest(journal, part).await?;
        match number {
            2 => {
                folding.remove(0).kill().await;
                folding.insert(0, Running::aggregator(journal, &store, 0)?);
            }
            3 => {
                receiver.stop().await?; // killed, it would hold its partitions until its lease ends
                receiver = Running::receiver(journal).await?;
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    until_all_is_folded(journal, &store, &folding).await?;
    receiver.stop().await?;
    for aggregator in folding {
        aggregator.stop().await?;
    }
    Ok(store)
}

/// A component at work.
struct Running {
    context: Context,
    outer: Tasks,
    task: Task,
}

impl Running {
    fn start<C: Component>(component: C, context: Context) -> Result<Running> {
        let outer = Tasks::new("test", 4, Clock::system(), Drain::new());
        let task = outer.spawn("component", component.run(context.clone()))?;
        Ok(Running { context, outer, task })
    }

    async fn receiver(journal: &Arc<dyn Journal>) -> Result<Running> {
        let context = context("receiver").with_shared(Arc::clone(journal)).with_shared(Arc::new(directory()));
        let mut config = receiver::Config::default();
        config.listen.address.set_port(0);
        config.number_key = Some(Secret::plain(NUMBER_KEY));
        config.records_max = 40;
        Running::start(Receiver::build(config, &context).await?, context)
    }

    fn aggregator(journal: &Arc<dyn Journal>, store: &Arc<dyn Reports>, number: usize) -> Result<Running> {
        let config = aggregator::Config {
            tick: Millis::new(5),
            checkpoint_every: Millis::new(20),
            checkpoint_events: 100,
            batch_records: 25,
            ..aggregator::Config::default()
        };
        let component = Aggregator::new(Arc::clone(journal), Arc::clone(store), config);
        Running::start(component, context(&format!("aggregator-{number}")))
    }

    /// Dies where it stands, as far as a task can.
    async fn kill(self) {
        self.task.abort();
        self.task.finished().await;
        let _ = self.context.tasks.shutdown(Duration::ZERO).await;
    }

    async fn stop(self) -> Result<()> {
        self.context.drain.start("the test goes on");
        self.task.finished().await;
        self.outer.shutdown(Duration::from_secs(2)).await?;
        self.context.tasks.shutdown(Duration::from_secs(5)).await?;
        Ok(())
    }
}

/// What came in and is not received or folded yet: nothing in the end.
async fn unfolded(journal: &Arc<dyn Journal>, store: &Arc<dyn Reports>) -> Result<Vec<String>> {
    let mut left = Vec::new();
    let committed = journal.committed(receiver::aside::GROUP).await?;
    for number in 0..journal.partitions(Stream::Ingest) {
        let end = journal.end(Stream::Ingest, number).await?;
        let at = committed.iter().find(|position| position.partition() == (Stream::Ingest, number));
        let at = at.map_or(0, |position| position.offset);
        if at < end {
            left.push(format!("ingest/{number}: received {at} of {end}"));
        }
    }
    let progress = store.progress().await?;
    let folded: BTreeMap<_, _> = progress.into_iter().map(|p| (p.part.to_string(), (p.next, p.owner))).collect();
    for stream in Stream::EVENTS {
        for number in 0..journal.partitions(stream) {
            let (part, end) = (format!("{stream}/{number}"), journal.end(stream, number).await?);
            let (next, owner) = folded.get(&part).cloned().unwrap_or_default();
            if next.unwrap_or(0) < end {
                left.push(format!("{part}: {owner:?} folded {next:?} of {end}"));
            }
        }
    }
    Ok(left)
}

async fn until_all_is_folded(journal: &Arc<dyn Journal>, store: &Arc<dyn Reports>, folding: &[Running]) -> Result<()> {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = unfolded(journal, store).await?;
        if left.is_empty() {
            return Ok(());
        }
        for aggregator in folding {
            if let Some(fault) = aggregator.outer.faulted().now_or_never() {
                bail!("{} died: {fault}", aggregator.context.instance);
            }
        }
        if tokio::time::Instant::now() > patience {
            let health: Vec<_> = folding.iter().map(|each| each.context.health.heartbeat()).collect();
            bail!("waited in vain for {}\n{}", left.join("; "), serde_json::to_string_pretty(&health)?);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reports by everything there is, and all calls, as CSV.
async fn reports(store: &Arc<dyn Reports>) -> Result<String> {
    let directory = directory();
    // The evening: whatever lasts has lasted equally long.
    let now = Time(MORNING + 10 * HOUR as i64);
    let asker = Asker { directory: &directory, tenant: None, now, bounds: Bounds::default() };
    let mut text = String::new();
    for by in ["queue", "agent", "device", "team", "source", "trunk", "ivr", "tenant"] {
        for (interval, cohort) in [("15m", "false"), ("1h", "true"), ("all", "false")] {
            let asked = IntervalsAsked {
                by: Some(by.to_owned()),
                interval: Some(interval.to_owned()),
                cohort: Some(cohort.to_owned()),
                ..range()
            };
            let asked = asker.intervals(&asked).map_err(|refused| anyhow::anyhow!(refused.detail))?;
            let rows = report::intervals::intervals(store.as_ref(), &directory, &asked, now).await?;
            add(&mut text, &format!("intervals by {by}, {interval}, cohort={cohort}"), &rows)?;
        }
    }
    let asked = asker.agents(&range()).map_err(|refused| anyhow::anyhow!(refused.detail))?;
    add(&mut text, "agents", &report::agents::agents(store.as_ref(), &directory, &asked, now).await?)?;
    let asked =
        CallsAsked { from: range().from, to: range().to, limit: Some("1000".to_owned()), ..CallsAsked::default() };
    let asked = asker.calls(&asked).map_err(|refused| anyhow::anyhow!(refused.detail))?;
    let page = report::calls::calls(store.as_ref(), &asked).await?;
    ensure!(page.next.is_none() && page.rows.len() > 20, "one page holds all calls: {}", page.rows.len());
    add(&mut text, "calls", &page.rows)?;
    Ok(text)
}

fn range() -> IntervalsAsked {
    let (from, to) = (Time(MORNING).to_string(), Time(MORNING + 6 * HOUR as i64).to_string());
    IntervalsAsked { from: Some(from), to: Some(to), ..IntervalsAsked::default() }
}

fn add<R: flat::Flat>(text: &mut String, title: &str, rows: &[R]) -> Result<()> {
    let mut out = Vec::new();
    flat::write(&mut out, flat::Format::Csv, &serde_json::Map::new(), rows)?;
    write!(text, "# {title}\n{}", String::from_utf8(out)?)?;
    Ok(())
}

/// Fails with the first cells that differ.
fn same(plain: &str, other: &str) -> Result<()> {
    if plain == other {
        return Ok(());
    }
    let (mut title, mut columns, mut said) = (String::new(), Vec::new(), String::new());
    for (one, two) in plain.lines().zip(other.lines()) {
        if columns.is_empty() {
            columns = one.split(',').collect();
        }
        if one.starts_with('#') {
            (title, columns) = (one.to_owned(), Vec::new());
        }
        let cells = columns.iter().zip(one.split(',').zip(two.split(',')));
        for (column, (one, two)) in cells.filter(|(_, (one, two))| one != two).take(4) {
            let _ = writeln!(said, "{title}: {column} was {one}, is {two}");
        }
        if said.lines().count() >= 20 {
            break;
        }
    }
    bail!("{} lines were, {} are; first:\n{said}", plain.lines().count(), other.lines().count())
}
