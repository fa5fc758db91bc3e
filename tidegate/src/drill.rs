//! `tidegate drill`: which desk phones would ring, what the phone systems hold of it, and whether the phones really do.

use std::collections::BTreeMap;
use std::time::Duration;

use ami::Fault;
use ami::link::Link;
use cti::hardphone::compare::{Row, Standing};
use cti::hardphone::drill::{Did, Outcome, Way, Wish, drill};
use cti::hardphone::map::{LeftOut, Map, OfSource};
use cti::hardphone::{Diff, Wanted, look, map_of_journal};
use cti::pbx::Pbx;
use cti::{Config, Cti};
use model::{SourceId, Time};
use serde::Serialize;
use service::{Clock, Error, Result};

use crate::cli::{Drill, Shown};
use crate::data;
use crate::tree::Tree;

/// What came out of one phone system.
#[derive(Debug, Default, Serialize)]
struct Told {
    /// The version of the map.
    version: String,
    /// The map is of the last time that the source was heard of.
    lost: bool,
    diff: Diff,
    /// Members' phones that do not ring, by queue.
    left_out: BTreeMap<String, BTreeMap<String, LeftOut>>,
    /// What the test calls did, by queue.
    drilled: Vec<Outcome>,
    /// Queues for which nobody would ring.
    nobody: Vec<String>,
}

/// `tidegate drill …`.
pub(crate) async fn run(args: Drill) -> Result<()> {
    let clock = Clock::system();
    let config = config(&args)?;
    let journal = data::journal_existing(&args.data.data, &clock).await?;
    let map = map_of_journal(&*journal, Time(clock.now_ms()), &config.hard_phones).await;
    let map = map.map_err(|error| data::journal_failed(&error))?.ok_or_else(|| {
        Error::dependency("TG0352", "nothing is known of any queue yet: has the aggregator ever run on this data?")
    })?;
    let mut told: BTreeMap<&SourceId, Told> = BTreeMap::new();
    for (source, pbx) in &config.ami {
        let unkept = |fault: Fault| Error::dependency("TG0350", format!("{source}: {fault}"));
        told.insert(source, one(&args, &clock, pbx, of(&map, source)).await.map_err(unkept)?);
    }
    match args.format {
        Shown::Table => told.iter().for_each(|(source, told)| print(source, told, args.check)),
        Shown::Json => println!("{}", serde_json::to_string_pretty(&told).unwrap_or_default()),
    }
    verdict(&args, &told)
}

fn config(args: &Drill) -> Result<Config> {
    let mut tree = Tree::read(args.config.clone(), Vec::new(), args.set.clone());
    let plan = tree.plan::<Cti>();
    tree.verdict()?;
    let config = plan.ok_or_else(|| Error::bug("cti has no plan and no problem"))?;
    if config.ami.is_empty() {
        let message = "no phone system is configured to be commanded: write a table [cti.ami.SOURCE]";
        return Err(Error::config("TG0352", message));
    }
    Ok(config)
}

fn of(map: &Map, source: &SourceId) -> OfSource {
    map.sources.get(source).cloned().unwrap_or_default()
}

async fn one(args: &Drill, clock: &Clock, pbx: &Pbx, of: OfSource) -> std::result::Result<Told, Fault> {
    let chosen = |queue: &str| args.queue.is_empty() || args.queue.iter().any(|only| only == queue);
    let mut wanted = of.wanted();
    wanted.retain(|queue, _| chosen(queue));
    let mut link = pbx.open(clock).await?;
    let mut diff = look(&mut link, &Wanted { phones: wanted, ..Wanted::default() }).await?;
    diff.phones.retain(|row| chosen(&row.key));
    link.close(clock).await;
    let left_out = of.queues.iter().map(|(queue, ring)| (queue.as_str().to_owned(), ring.left_out.clone()));
    let left_out = left_out.filter(|(queue, out)| chosen(queue) && !out.is_empty()).collect();
    let held = |queue: &str| diff.phones.iter().any(|row| row.key == queue && row.found.is_some());
    let empty = of.queues.keys().map(|queue| queue.as_str()).filter(|queue| chosen(queue) && !held(queue));
    let mut told = Told {
        version: of.version(),
        lost: of.lost,
        nobody: empty.map(str::to_owned).collect(),
        diff,
        left_out,
        drilled: Vec::new(),
    };
    if !args.check {
        call(args, clock, pbx, &mut told).await?;
    }
    Ok(told)
}

/// A test call for each queue that has phones in the PBX, one at a time.
async fn call(args: &Drill, clock: &Clock, pbx: &Pbx, told: &mut Told) -> std::result::Result<(), Fault> {
    let held: Vec<(String, String)> =
        told.diff.phones.iter().filter_map(|row| Some((row.key.clone(), row.found.clone()?))).collect();
    for (queue, phones) in held {
        let way = if args.silent { Way::Silent } else { Way::Switch };
        let wish = Wish { queue: queue.clone(), phones, way, within: args.within, ring: args.ring };
        // a link of its own: what one call leaves to be read is not in the way of the next
        let mut link: Link = pbx.open(clock).await?;
        let outcome = drill(&mut link, clock, &wish).await?;
        link.close(clock).await;
        let busy = outcome.phones.values().any(|did| *did == Did::InUse);
        if !outcome.answers && !busy {
            told.nobody.push(queue);
        }
        told.drilled.push(outcome);
    }
    Ok(())
}

fn verdict(args: &Drill, told: &BTreeMap<&SourceId, Told>) -> Result<()> {
    let left = told.values().flat_map(|told| &told.drilled).any(|outcome| !outcome.put_back);
    if left {
        let message = "a test call is still there: the PBX ends it by itself within a minute";
        return Err(Error::dependency("TG0353", message));
    }
    let uneven: Vec<&str> =
        told.iter().filter(|(_, told)| !told.diff.is_even()).map(|(source, _)| source.as_str()).collect();
    if !uneven.is_empty() {
        let message = format!("{} does not hold the phones that it should", uneven.join(", "));
        return Err(Error::dependency("TG0354", message));
    }
    let nobody: Vec<&str> = told.values().flat_map(|told| &told.nobody).map(String::as_str).collect();
    if !args.check && !nobody.is_empty() {
        return Err(Error::dependency("TG0353", format!("no desk phone would ring for {}", nobody.join(", "))));
    }
    Ok(())
}

fn print(source: &SourceId, told: &Told, check: bool) {
    let known = if told.lost { ", as it was last heard of" } else { "" };
    println!("{source}: map {}{known}", told.version);
    for row in &told.diff.phones {
        println!("  {}: {}", row.key, row.wanted.as_deref().unwrap_or("nobody"));
        if let Some(words) = words(row) {
            println!("    {words}");
        }
        for (phone, why) in told.left_out.get(&row.key).into_iter().flatten() {
            println!("    {phone} does not ring: {}", left_out(*why));
        }
        if let Some(outcome) = told.drilled.iter().find(|outcome| outcome.queue == row.key) {
            outcome.phones.iter().for_each(|(phone, did)| println!("    {phone} {}", this_did(did)));
        }
        if !check {
            println!("    {}", if told.nobody.contains(&row.key) { "nobody would answer" } else { "would answer" });
        }
    }
    for queue in told.nobody.iter().filter(|queue| told.diff.phones.iter().all(|row| row.key != **queue)) {
        println!("  {queue}: nobody");
        for (phone, why) in told.left_out.get(queue).into_iter().flatten() {
            println!("    {phone} does not ring: {}", left_out(*why));
        }
    }
}

fn words(row: &Row) -> Option<String> {
    let found = row.found.as_deref().unwrap_or("nothing");
    Some(match row.standing {
        Standing::Same => return None,
        Standing::Missing => "the PBX holds nothing".to_owned(),
        Standing::Old => format!("the PBX still holds {found}"),
        Standing::ByHand => format!("changed by hand: the PBX holds {found}"),
        Standing::Over => format!("the PBX still holds {found}, and nobody works for it"),
        Standing::Foreign => format!("somebody's own: {found}"),
    })
}

fn left_out(why: LeftOut) -> &'static str {
    match why {
        LeftOut::NotRegistered => "it is not registered",
        LeftOut::Unavailable => "it is unavailable",
        LeftOut::NotDialable => "it is no phone that can be dialled by its name",
        LeftOut::Beyond => "there are more than may ring",
        LeftOut::NoDevice => "no device is known",
    }
}

fn this_did(did: &Did) -> String {
    match did {
        Did::Rang { after_ms } => format!("rang after {:.1} s", *after_ms as f64 / 1_000.0),
        Did::InUse => "is in use, and was not disturbed".to_owned(),
        Did::Failed { status } => format!("could not be called: {status}"),
        Did::Silent => "did not ring".to_owned(),
    }
}

/// The shortest and the longest that a test call may last.
pub(crate) fn span(text: &str) -> std::result::Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let most = Duration::from_secs(30);
    if span < Duration::from_millis(100) || span > most {
        return Err(format!("want 100ms to {most:?}"));
    }
    Ok(span)
}
