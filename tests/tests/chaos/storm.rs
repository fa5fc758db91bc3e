//! One play: everything starts, is broken by a deck of acts while events come in, and is judged.

use anyhow::{Context as _, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use tidegate_tests::feed::{Feed, Ledger};
use tidegate_tests::fleet::Size;
use tidegate_tests::life::Dice;
use tokio::time::{Instant, sleep};

use super::act::{self, Act};
use super::judge;
use super::owners::Owners;
use super::probe::{Probe, Told};
use super::world::World;

/// Acts at the same time.
const AT_ONCE: usize = 3;
/// Calls of the simulated centre that must be as its own ledger says.
const CALLS: usize = 3;
/// Between two batches of a producer.
const PAUSE: Duration = Duration::from_millis(100);
/// What makes the interesting moments frequent, and the simulated centre quick enough to be judged.
const SETTINGS: [&str; 3] =
    ["aggregator.checkpoint_every=200ms", "simulator.speed=5", "simulator.arrivals.calls_per_hour=1200"];

/// What came of a play.
#[derive(Debug)]
pub struct Played {
    pub seed: u64,
    pub ledger: Ledger,
    pub acts: BTreeMap<&'static str, u64>,
    pub waits: BTreeMap<&'static str, Vec<Duration>>,
    pub screens: Vec<Told>,
    pub probes: i64,
    /// From the end of the last act until every screen knew everything and said so.
    pub caught_up: Duration,
    /// Calls of the centre that are as its ledger says.
    pub calls: usize,
    pub took: Duration,
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (frames, stale): (u64, u64) =
            self.screens.iter().fold((0, 0), |sum, told| (sum.0 + told.frames, sum.1 + told.stale));
        writeln!(f, "seed {}: {} in {:.0?}", self.seed, self.ledger, self.took)?;
        writeln!(f, "  {:?}", self.acts)?;
        writeln!(f, "  {} of the centre's calls are as its ledger says", self.calls)?;
        writeln!(f, "  screens: {frames} frames honest over {} callers, {stale} of them called old", self.probes)?;
        writeln!(f, "  all caught up {:.1?} after the last act", self.caught_up)?;
        self.waits
            .iter()
            .try_for_each(|(blow, waits)| writeln!(f, "  partitions without an owner, {blow}: {waits:.1?}"))
    }
}

/// Plays a seed.
pub async fn play(seed: u64) -> Result<Played> {
    let begun = Instant::now();
    let mut dice = Dice(seed);
    let acts = act::deck(&mut dice);
    println!("seed {seed}: {} acts", acts.len());
    let world = World::start(Size::default(), &SETTINGS).await?;
    let owners = Owners::watch(&world.brokers).await?;
    world.fleet.ready().await.with_context(|| world.fleet.all_said())?;
    owners.all_owned().await.with_context(|| world.fleet.all_said())?;
    println!("  everything is ready after {:.1?}", begun.elapsed());
    let mut feed = Feed::start(&world.doors(), 2, seed, PAUSE)?;
    let probe = Probe::start(world.doors(), &world.pushers());
    let told = || world.fleet.all_said();
    let met = suffer(&world, &owners, &mut feed, &probe, acts, &mut dice).await.with_context(told)?;
    let healed = Instant::now();
    world.fleet.ready().await.with_context(told)?;
    let since = judge::whole_since(&world).await?;
    probe.caught_up().await.with_context(told)?;
    owners.all_owned().await.with_context(told)?;
    let caught_up = healed.elapsed();
    let ledger = feed.finish().await.with_context(told)?;
    judge::equals(&world, &ledger).await.with_context(told)?;
    let calls = judge::centre(&world, since, CALLS).await.with_context(told)?;
    let (probes, screens) = probe.finish().await.with_context(told)?;
    judge::end(&world, &ledger).await?;
    let waits = owners.waits();
    Ok(Played { seed, ledger, acts: met, waits, screens, probes, caught_up, calls, took: begun.elapsed() })
}

/// Lets the acts happen, some at the same time, while feed and screens are looked after.
async fn suffer(
    world: &World,
    owners: &Owners,
    feed: &mut Feed,
    probe: &Probe,
    acts: Vec<Act>,
    dice: &mut Dice,
) -> Result<BTreeMap<&'static str, u64>> {
    let begun = Instant::now();
    let (mut waiting, mut met) = (std::collections::VecDeque::from(acts), BTreeMap::new());
    let mut running = futures::stream::FuturesUnordered::new();
    let mut claimed = BTreeSet::<String>::new();
    let mut next_at = Instant::now() + Duration::from_millis(500);
    while !(waiting.is_empty() && running.is_empty()) {
        let free = |act: &Act, claimed: &BTreeSet<String>| act.claims().iter().all(|name| !claimed.contains(name));
        let next = { waiting.iter() }.position(|act| free(act, &claimed));
        if let Some(which) = next.filter(|_| running.len() < AT_ONCE && Instant::now() >= next_at)
            && let Some(act) = waiting.remove(which)
        {
            println!("  {:5.1} s  {act}", begun.elapsed().as_secs_f64());
            *met.entry(act.kind()).or_default() += 1;
            claimed.extend(act.claims());
            running.push(async move { (world.suffer(&act, owners).await, act) });
            next_at = Instant::now() + Duration::from_millis(300 + dice.below(2_500));
        }
        tokio::select! {
            Some((outcome, act)) = futures::StreamExt::next(&mut running), if !running.is_empty() => {
                outcome?;
                println!("  {:5.1} s  over: {act}", begun.elapsed().as_secs_f64());
                act.claims().iter().for_each(|name| _ = claimed.remove(name));
            }
            () = sleep(Duration::from_millis(100)) => {}
        }
        feed.check().await?;
        probe.honest()?;
        world.fleet.sound()?;
    }
    Ok(met)
}
