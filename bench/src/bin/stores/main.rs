//! PostgreSQL beside SQLite in the same run: a checkpoint, the questions of reports, a month imported; and how soon a fold goes on from a
//! checkpoint with 50,000 agents. The same work alternates between the two.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aggregator::CatchUp;
use anyhow::{Context as _, Result, ensure};
use bench::population::Population;
use bench::{Aim, Figure, Finding, Spread, product};
use clap::Parser;
use journal::{Entry, Journal, Stream};
use model::event::agent::LoggedIn;
use model::event::call::Offered;
use model::{Fact, SourceId, Subject, Time};
use service::{Clock, Context, Secret, Seeds};
use stats::Dim;
use store::config::{Config, Kind};
use store::reports::{BLOCK_MS, CallFilter, Change, RowFilter, StoredCall};
use store::{Part, Reports};

/// Times that each thing is done on each store.
const RUNS: usize = 15;
/// A month of a large centre, in the middle of a busy hour, divided by `--small`.
const CENTRE: Population = Population { agents: 50_000, waiting: 5_000, queues: 200, closed: 40_000 };
const DAY_MS: i64 = 24 * BLOCK_MS;

#[derive(Parser)]
struct Args {
    /// An empty PostgreSQL database, whose user owns it.
    #[arg(long, env = "TIDEGATE_BENCH_POSTGRES")]
    postgres: String,
    /// Where its password is.
    #[arg(long, env = "TIDEGATE_BENCH_POSTGRES_PASSWORD")]
    password: PathBuf,
    /// How many times smaller the centre is, for a short look.
    #[arg(long, default_value_t = 1)]
    small: usize,
}

/// A store and what was measured of it.
struct Measured {
    store: Arc<dyn Reports>,
    folded_s: f64,
    checkpoint: Vec<f64>,
    rows: Vec<f64>,
    agents: Vec<f64>,
    page: Vec<f64>,
    recovery: Vec<f64>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let now = Time(Clock::system().now_ms());
    let small = |n: usize| (n / args.small.max(1)).max(1_000);
    let centre = Population {
        agents: small(CENTRE.agents),
        waiting: small(CENTRE.waiting),
        queues: CENTRE.queues,
        closed: small(CENTRE.closed),
    };
    let journal = filled(centre, folder.path(), now).await?;
    let password = serde_json::from_value::<Secret>(format!("file:{}", args.password.display()).into())?;
    let served = Config { kind: Kind::Postgresql, url: args.postgres, password: Some(password), ..Config::default() };
    let mut both = Vec::new();
    for config in [Config::sqlite(folder.path().join("beside.db")), served] {
        let store = config.open().await?;
        ensure!(store.span().await?.is_none(), "the database is not empty");
        let folded_s = fold(&journal, &store).await?;
        let new = Vec::new;
        let measured =
            Measured { store, folded_s, checkpoint: new(), rows: new(), agents: new(), page: new(), recovery: new() };
        both.push(measured);
    }
    let mut size = (0, 0, 0);
    for run in 0..RUNS {
        for (number, one) in both.iter_mut().enumerate() {
            news(&journal, now, &format!("{run}/{number}")).await?;
            size = one.round(&journal, now).await?;
        }
    }
    let states = both[0].store.states(store::reports::Kind::Agent).await?.len();
    ensure!(states >= centre.agents, "only {states} agents are in the checkpoint");
    let [embedded, served] = <[Measured; 2]>::try_from(both).ok().context("two stores")?;
    told(centre, &embedded, &served, size, centre.agents).save()?;
    served.store.close().await?;
    embedded.store.close().await?;
    Ok(())
}

/// A journal of the whole population.
async fn filled(centre: Population, folder: &Path, now: Time) -> Result<Arc<dyn Journal>> {
    let (data, recording) = (folder.join("data"), folder.join("centre.ndjson"));
    centre.record(&recording, now)?;
    product::run(&["import", "replay", "--data", &data.display().to_string(), &recording.display().to_string()])?;
    let config = journal::config::Config { path: data.join("journal.db"), ..Default::default() };
    Ok(config.open(&Clock::system()).await?)
}

/// An event for each partition of calls and agents, so that whoever goes on must read what each of them goes on from. `which` tells
/// them from others.
async fn news(journal: &Arc<dyn Journal>, now: Time, which: &str) -> Result<()> {
    let source = SourceId::new("made");
    let mut entries = Vec::new();
    for (stream, number) in [Stream::EventsCall, Stream::EventsAgent]
        .into_iter()
        .flat_map(|stream| (0..journal.partitions(stream)).map(move |number| (stream, number)))
    {
        let name = (0..)
            .map(|n| format!("new-{which}-{n}"))
            .find(|name| journal.partition_of(stream, name.as_bytes()) == number);
        let name = name.context("a name for each partition")?;
        let fact = match stream {
            Stream::EventsCall => Fact::new(now, Subject::Call(name.as_str().into()), Offered::default()),
            _ => Fact::new(now, Subject::Agent(name.as_str().into()), LoggedIn::default()),
        };
        entries.push(Entry::new(stream, name, fact.into_envelope(&source, now).to_json()));
    }
    journal.append(entries).await?;
    Ok(())
}

/// Folds what is not folded yet; answers how long that took, in seconds.
async fn fold(journal: &Arc<dyn Journal>, store: &Arc<dyn Reports>) -> Result<f64> {
    let clock = Clock::system();
    let context = Context::new("bench", "bench", clock.clone(), &Seeds::fixed(0));
    let begun = clock.monotonic();
    aggregator::catch_up_to_end(journal, store, &CatchUp::new("bench"), &context).await?;
    Ok((clock.monotonic() - begun).as_secs_f64())
}

impl Measured {
    /// Everything once; answers how many calls, blocks and states a checkpoint wrote.
    async fn round(&mut self, journal: &Arc<dyn Journal>, now: Time) -> Result<(usize, usize, usize)> {
        let clock = Clock::system();
        // Next to nothing is new: taking the partitions and reading what a fold goes on from is nearly all that is done.
        self.recovery.push(fold(journal, &self.store).await? * 1e3);
        let (month, day) = (now + -31 * DAY_MS, now + -DAY_MS);
        let begun = clock.monotonic();
        let rows = self.store.rows(&RowFilter::new(Dim::Queue, month, now)).await?.len();
        self.rows.push((clock.monotonic() - begun).as_secs_f64() * 1e3);
        let begun = clock.monotonic();
        let agents = self.store.rows(&RowFilter::new(Dim::Agent, day, now)).await?.len();
        self.agents.push((clock.monotonic() - begun).as_secs_f64() * 1e3);
        let begun = clock.monotonic();
        let page =
            self.store.calls(&CallFilter { newest_first: true, ..CallFilter::new(month, now) }, None, 1_000).await?;
        self.page.push((clock.monotonic() - begun).as_secs_f64() * 1e3);
        ensure!(rows > 0 && agents > 0 && page.calls.len() == 1_000, "{rows} {agents} {}", page.calls.len());
        let change = self.change(now, page.calls.iter().map(StoredCall::of).collect()).await?;
        let size = (change.calls.len(), change.blocks.len(), change.states.len());
        let begun = clock.monotonic();
        self.store.checkpoint(&[change]).await?;
        self.checkpoint.push((clock.monotonic() - begun).as_secs_f64() * 1e3);
        Ok(size)
    }

    /// A busy second: a thousand calls, two thousand hours of rows, two thousand agents, written over themselves in a partition of its own.
    async fn change(&self, now: Time, calls: Vec<StoredCall>) -> Result<Change> {
        let part = Part::new("bench", 0);
        let held = self.store.take("bench", &journal_of(&*self.store).await?, &[part]).await?.remove(0).held;
        let some = self.store.blocks_in(&RowFilter::new(Dim::Agent, now + -31 * DAY_MS, now)).await?;
        // What this one wrote before comes back beside the first: each of them once, as a fold has it.
        let some: BTreeMap<_, _> = some.into_iter().map(|(_, block)| (block.key.clone(), block)).collect();
        let blocks = some.into_values().take(2_000).map(Arc::new).collect();
        let agents = self.store.states(store::reports::Kind::Agent).await?;
        let agents: BTreeMap<_, _> = agents.into_iter().map(|state| (state.id.clone(), state)).collect();
        let states = agents.into_values().take(2_000).collect();
        Ok(Change { held, next: 1, calls, blocks, states })
    }
}

/// The journal that the store was folded from.
async fn journal_of(store: &dyn Reports) -> Result<String> {
    store.meta("journal").await?.context("nothing was folded")
}

fn told(
    centre: Population,
    embedded: &Measured,
    served: &Measured,
    size: (usize, usize, usize),
    agents: usize,
) -> Finding {
    let median = |of: fn(&Measured) -> &Vec<f64>, one: &Measured| of(one).iter().copied().collect::<Spread>().median();
    let pair = |what: &str, of: fn(&Measured) -> &Vec<f64>| {
        Figure::new(what, median(of, served), "ms").peer("SQLite, the same in the same run", median(of, embedded))
    };
    let checkpoint = format!("a checkpoint of {} calls, {} hours of rows, {} states, median", size.0, size.1, size.2);
    let recovery =
        format!("from a checkpoint with {agents} agents and {} open calls to folding on, median", centre.waiting);
    Finding::new("stores", "PostgreSQL is as good a store as SQLite, and a fold goes on in seconds", "script/bench stores")
        .figure(pair(&checkpoint, |one| &one.checkpoint).aim(Aim::AtMost(1_000.0)))
        .figure(pair(&recovery, |one| &one.recovery).aim(Aim::AtMost(5_000.0)))
        .figure(pair("rows of a month by queue, median", |one| &one.rows))
        .figure(pair("rows of a day by agent, median", |one| &one.agents))
        .figure(pair("the latest thousand calls of a month, median", |one| &one.page))
        .figure(
            Figure::new("a month folded into the empty store", served.folded_s * 1e3, "ms")
                .peer("SQLite, the same before it", embedded.folded_s * 1e3),
        )
        .note(format!(
            "{} closed calls of a month, {} open ones in {} queues, {} agents; {RUNS} runs of each, alternating. The server is on the \
             same machine and shares its processors and its disk.",
            centre.closed, centre.waiting, centre.queues, centre.agents
        ))
        .note("A checkpoint on PostgreSQL is on its disk when it is acknowledged (fsync, synchronous_commit); on SQLite it need not be.")
}
