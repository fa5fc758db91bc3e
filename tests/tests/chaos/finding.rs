//! What many seeds showed, for `docs/proof`.

use anyhow::Result;
use bench::{Aim, Figure, Finding};
use std::collections::BTreeMap;
use std::time::Duration;

use super::storm::Played;

/// Writes the finding.
pub fn record(first: u64, all: &[Played]) -> Result<()> {
    let claim = "many machines over Kafka, PostgreSQL and Redis lose nothing that they acknowledged and count nothing twice, whatever dies, \
                 stands still, comes and goes; screens never show old figures as new";
    let command = format!("TIDEGATE_CHAOS={} cargo test -p tidegate-tests --test chaos whatever", all.len());
    let sum = |of: fn(&Played) -> u64| all.iter().map(of).sum::<u64>() as f64;
    let events = sum(|played| played.ledger.events);
    let mut finding = Finding::new("chaos", claim, &command)
        .figure(Figure::new("seeds", all.len() as f64, "seeds"))
        .figure(Figure::new("events acknowledged", events, "events"))
        .figure(Figure::new("events lost", 0.0, "events").aim(Aim::AtMost(0.0)))
        .figure(Figure::new("events counted twice", 0.0, "events").aim(Aim::AtMost(0.0)));
    let mut acts = BTreeMap::<&str, u64>::new();
    all.iter().flat_map(|played| &played.acts).for_each(|(kind, times)| *acts.entry(kind).or_default() += times);
    for (kind, times) in acts {
        finding = finding.figure(Figure::new(kind, times as f64, "times"));
    }
    let mut waits = BTreeMap::<&str, Vec<Duration>>::new();
    all.iter().flat_map(|played| &played.waits).for_each(|(blow, times)| waits.entry(blow).or_default().extend(times));
    for (blow, times) in &mut waits {
        let figure = |of: &str, time: Duration| {
            Figure::new(format!("partitions of an aggregator without owner, {blow}, {of}"), seconds(time), "s")
        };
        times.sort();
        finding =
            finding.figure(figure("median", times[times.len() / 2])).figure(figure("longest", times[times.len() - 1]));
    }
    let screens = || all.iter().flat_map(|played| &played.screens);
    let mut after: Vec<_> = all.iter().map(|played| played.caught_up).collect();
    after.sort();
    finding
        .figure(Figure::new("frames looked at", screens().map(|told| told.frames).sum::<u64>() as f64, "frames"))
        .figure(Figure::new("of those, called old", screens().map(|told| told.stale).sum::<u64>() as f64, "frames"))
        .figure(
            Figure::new("frames that showed old figures as new", screens().map(|told| told.lies.len()).sum::<usize>() as f64, "frames")
                .aim(Aim::AtMost(0.0)),
        )
        .figure(Figure::new(
            "the greatest age that a screen admitted",
            screens().map(|told| told.oldest_ms).max().unwrap_or_default() as f64 / 1_000.0,
            "s",
        ))
        .figure(Figure::new("after the last blow until all screens were current, median", seconds(after[after.len() / 2]), "s"))
        .figure(Figure::new("the same, longest", seconds(after[after.len() - 1]), "s"))
        .note(format!("seeds {first} to {}; {events} events in {} calls", first + all.len() as u64 - 1, sum(|played| played.ledger.calls)))
        .note(format!(
            "{} sent again unacknowledged, {} sent twice on purpose; {} calls of a simulated centre behind the collector are as its own ledger says",
            sum(|played| played.ledger.repeated),
            sum(|played| played.ledger.doubled),
            sum(|played| played.calls as u64),
        ))
        .note(
            "three brokers (three copies, two in sync), PostgreSQL, Redis, and 12 processes with the files of deploy/config/many, all on two cores, \
             debug build; several of these things happen at the same time, and times without owner include those while a broker or PostgreSQL was away",
        )
        .note(
            "lost and twice are of a test that fails at the first: every figure of every queue, agent and the tenant equals the ledger's at every pusher, \
             and `rebuild --dry-run` finds the database identical. A frame shows old figures as new when a caller is missing in it that had been \
             acknowledged before the age that it admits, or when it is older than 5 s and not called old",
        )
        .note("partitions are without owner from the blow until the first frame of a new owner can be read from `views`; the lease is 3 s")
        .save()
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}
