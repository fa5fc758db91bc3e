//! Watches a PBX for a while, cuts the link now and then, and sets what was said against the PBX's own queue_log.
//!
//! `cargo run -p adapter-asterisk --example watch -- HOST PORT USER SECRET QUEUE_LOG SECONDS [facts=FILE] [reorder=5s] [CUT_AT:BLIND_FOR …]`
//!
//! With `facts=FILE` what was said is written there, an envelope a line. A QUEUE_LOG of `-` means that there is none.
//! A cut drops the session as a kill would: what was not yet handed over is lost with it, and only the stored state comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use adapter::{Adapter, Context, Fault, Known, Session};
use adapter_asterisk::{Asterisk, Config};
use adapter_queue_log::line::{QueueLogLine, Verb};
use model::event::Event;
use model::event::call::QueueExit;
use model::{EventId, Fact, Quality, SourceId, Time};
use service::{Clock, Millis, Secret, Seeds};

#[derive(Default)]
struct Kept {
    facts: Vec<Fact>,
    ids: BTreeSet<EventId>,
    duplicates: usize,
    twice: BTreeMap<&'static str, usize>,
    known: Known,
    malformed: usize,
    rounds: Vec<u64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, user, secret, log, seconds, cuts @ ..] = args.as_slice() else {
        return Err("usage: watch HOST PORT USER SECRET QUEUE_LOG SECONDS [CUT_AT:BLIND_FOR …]".into());
    };
    let mut config = Config {
        host: host.clone(),
        port: port.parse()?,
        username: user.clone(),
        secret: Secret::plain(secret),
        ..Config::default()
    };
    config.queues.wrap_up = Millis::seconds(2);
    if log != "-" {
        config.backfill.queue_log = log.into();
    }
    if let Some(within) = args.iter().find_map(|arg| arg.strip_prefix("reorder=")) {
        config.reorder_within = within.parse()?;
    }
    let plan = Asterisk::plan(config).map_err(|p| format!("{p:?}"))?;
    let clock = Clock::system();
    let began = Time(clock.now_ms());
    let end = clock.monotonic() + Duration::from_secs(seconds.parse()?);
    let mut cuts: Vec<(u64, u64)> = cuts
        .iter()
        .filter_map(|c| c.split_once(':'))
        .map(|(a, b)| Ok::<_, std::num::ParseIntError>((a.parse()?, b.parse()?)))
        .collect::<Result<_, _>>()?;
    cuts.reverse();
    let start = clock.monotonic();
    let mut kept = Kept::default();
    while clock.monotonic() < end {
        let cut = cuts.pop();
        let until = cut.map_or(end, |(at, _)| start + Duration::from_secs(at)).min(end);
        let context = Context {
            source: SourceId::new("pbx1"),
            known: kept.known.clone(),
            clock: clock.clone(),
            seeds: Seeds::fixed(1),
        };
        let session = Asterisk::connect(&plan, context).await?;
        watch(session, &mut kept, &clock, until).await?;
        if let Some((_, blind)) = cut {
            println!("cut after {} s, blind for {blind} s", (clock.monotonic() - start).as_secs());
            clock.sleep(Duration::from_secs(blind)).await;
        }
    }
    if let Some(path) = args.iter().find_map(|arg| arg.strip_prefix("facts=")) {
        let source = SourceId::new("pbx1");
        let said = kept.facts.iter().map(|f| f.clone().into_envelope(&source, f.occurred_at).to_json());
        std::fs::write(path, said.collect::<Vec<_>>().join(&b'\n'))?;
    }
    let log = if log == "-" { String::new() } else { std::fs::read_to_string(log)? };
    report(&kept, &log, began);
    Ok(())
}

async fn watch(mut session: impl Session, kept: &mut Kept, clock: &Clock, until: Duration) -> Result<(), Fault> {
    loop {
        let left = until.saturating_sub(clock.monotonic());
        let Ok(batch) = clock.timeout(left, session.next(500)).await else { return Ok(()) };
        let batch = batch?;
        for fact in batch.facts {
            if kept.ids.insert(fact.id(&SourceId::new("pbx1"))) {
                kept.facts.push(fact);
            } else {
                kept.duplicates += 1;
                *kept.twice.entry(fact.event.ty()).or_default() += 1;
            }
        }
        for (key, value) in batch.state {
            match value {
                Some(value) => kept.known.state.insert(key, value),
                None => kept.known.state.remove(&key),
            };
        }
        kept.known.last_seen = batch.seen_until.or(kept.known.last_seen);
        kept.malformed += batch.malformed.len();
        kept.rounds.extend(batch.round_trip_ms);
        session.acked().await?;
    }
}

fn report(kept: &Kept, log: &str, began: Time) {
    let mut rows: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for fact in &kept.facts {
        if let Some(key) = said(fact) {
            rows.entry(key).or_default().0 += 1;
        }
    }
    for line in log.lines().filter_map(|l| QueueLogLine::parse(l).ok()).filter(|l| l.at >= began) {
        if let Some(key) = logged(&line) {
            rows.entry(key).or_default().1 += 1;
        }
    }
    let mut differ = 0;
    for (key, (ours, theirs)) in &rows {
        let mark = if ours == theirs { "" } else { "   <- differs" };
        differ += usize::from(ours != theirs);
        println!("{key:40} {ours:5} {theirs:5}{mark}");
    }
    let quality = |q: Quality| kept.facts.iter().filter(|f| f.quality == Some(q)).count();
    let open: BTreeSet<_> =
        kept.facts.iter().filter(|f| matches!(f.event, Event::CallOffered(_))).map(|f| f.subject.id()).collect();
    let ended: BTreeSet<_> =
        kept.facts.iter().filter(|f| matches!(f.event, Event::CallEnded(_))).map(|f| f.subject.id()).collect();
    println!("said twice under one id: {:?}", kept.twice);
    println!(
        "facts {} (inferred {}, snapshot {}), duplicate ids {}, malformed {}, calls {} ended {}, state entries {}, round trips {:?} ms",
        kept.facts.len(),
        quality(Quality::Inferred),
        quality(Quality::Snapshot),
        kept.duplicates,
        kept.malformed,
        open.len(),
        ended.len(),
        kept.known.state.len(),
        kept.rounds.iter().max(),
    );
    println!("{}", if differ == 0 { "everything agrees with queue_log" } else { "DIFFERS from queue_log" });
}

fn said(fact: &Fact) -> Option<String> {
    Some(match &fact.event {
        Event::CallQueued(e) => format!("queued {}", e.queue),
        Event::CallDequeued(e) => match e.cause {
            QueueExit::Timeout | QueueExit::Overflow => format!("timeout {}", e.queue),
            QueueExit::Answered => return None,
            cause => format!("{} {}", cause.as_str(), e.queue),
        },
        Event::CallAnswered(e) if e.queue.is_some() => format!("answered by {}", e.agent.as_ref()?),
        Event::CallRona(e) if e.queue.is_some() => format!("rona {}", e.agent),
        Event::CallTransferred(e) => format!("{:?} transfer by {}", e.kind, e.agent.as_ref()?),
        _ => return None,
    })
}

fn logged(line: &QueueLogLine) -> Option<String> {
    let queue = line.queue.clone().unwrap_or_default();
    let agent = line.agent.as_deref().unwrap_or_default().trim_start_matches("Agent ");
    Some(match line.verb {
        Verb::EnterQueue { .. } => format!("queued {queue}"),
        Verb::Connect { .. } => format!("answered by {agent}"),
        Verb::CompleteAgent(_) | Verb::CompleteCaller(_) => return None,
        Verb::Abandon(_) => format!("abandoned {queue}"),
        Verb::ExitWithTimeout(_) => format!("timeout {queue}"),
        Verb::RingNoAnswer { .. } => format!("rona {agent}"),
        Verb::BlindTransfer { .. } => format!("Blind transfer by {agent}"),
        Verb::AttendedTransfer { .. } => format!("Attended transfer by {agent}"),
        _ => return None,
    })
}
