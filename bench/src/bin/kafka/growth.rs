//! How the rate of consuming, decoding and folding grows with partitions and with processes that share them.
//!
//! Each process is a member of one group. When all hold their shares they begin at once; the rate is that of all events, from the beginning
//! of the first to the end of the last.

use anyhow::{Context, ensure};
use bench::broker::{Broker, options};
use bench::crowd::process::{answer, orders};
use bench::crowd::{Child, now_us};
use bench::{Figure, Finding, Machine, Spread};
use journal::kafka::Kafka;
use journal::{Delivery, Journal, Position, Start, Stream, Subscription};

use crate::sides::Folds;

/// Partitions and processes; each process has as many partitions as the others.
const SHARES: [(u32, usize); 8] = [(1, 1), (2, 1), (4, 1), (12, 1), (2, 2), (4, 2), (12, 2), (12, 4)];
/// So many times, a tenth of a second each, nothing may move before a member believes that it has its share: while others come in, it may
/// have as many partitions for a moment.
const STILL: u32 = 30;
/// Runs of each, in turn.
const ROUNDS: usize = 3;

/// Measures all, and saves what was found.
pub(crate) async fn measure(calls: usize) -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let mut filled: Vec<(u32, u64)> = Vec::new();
    for (partitions, _) in SHARES {
        if filled.iter().all(|(there, _)| *there != partitions) {
            let journal = Kafka::open(broker.journal(&prefix(partitions), crate::topology(partitions)).await?).await?;
            filled.push((partitions, crate::fill(&*journal, calls).await?.0));
            journal.close().await?;
        }
    }
    let mut rates = vec![Vec::new(); SHARES.len()];
    // The first round warms up.
    for round in 0..=ROUNDS {
        for ((partitions, processes), rates) in SHARES.into_iter().zip(&mut rates) {
            let events = filled.iter().find(|(there, _)| *there == partitions).context("filled")?.1;
            let rate = run(&broker.server(), partitions, processes, events, round)?;
            eprintln!("{partitions} partitions, {processes} processes: {rate:.0} events/s");
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let rates: Vec<f64> = rates.into_iter().map(|rates| rates.into_iter().collect::<Spread>().median()).collect();
    let mut finding = Finding::new(
        "kafka-growth",
        "the rate over Kafka grows with the processes, up to the cores",
        "script/bench kafka-growth",
    );
    for ((partitions, processes), rate) in SHARES.into_iter().zip(&rates) {
        let what = format!("consumed, decoded and wholly folded: partitions {partitions}, processes {processes}");
        let figure = Figure::new(what, *rate, "events/s");
        let alone = SHARES.iter().position(|other| *other == (partitions, 1)).filter(|_| processes > 1);
        finding = finding.figure(match alone {
            Some(alone) => figure.peer("the same partitions, one process", rates[alone]),
            None => figure,
        });
    }
    let events = filled.first().context("filled")?.1;
    finding
        .note(format!(
            "{events} call events of a made-up day ({calls} calls); medians of {ROUNDS} rounds. Broker and processes share the machine's {} \
             cores. A process folds its partitions in one task.",
            Machine::this().cores
        ))
        .save()
}

fn prefix(partitions: u32) -> String {
    format!("growth{partitions}.")
}

/// One run: events a second.
fn run(server: &str, partitions: u32, processes: usize, events: u64, round: usize) -> anyhow::Result<f64> {
    let group = format!("growth-{partitions}-{processes}-{round}");
    let share = partitions as usize / processes;
    let mut members = Vec::new();
    for number in 0..processes {
        let words = [
            "member".to_owned(),
            server.to_owned(),
            prefix(partitions),
            partitions.to_string(),
            share.to_string(),
            group.clone(),
            format!("member-{number}"),
        ];
        members.push(Child::start(words)?);
    }
    for member in &mut members {
        ensure!(member.hear()? == "ready", "a member is not ready");
    }
    members.iter_mut().try_for_each(|member| member.order("go"))?;
    let (mut first, mut last, mut folded) = (u64::MAX, 0, 0);
    for member in &mut members {
        let told = member.hear()?;
        let numbers = told.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let [count, begun, ended] = numbers[..] else { anyhow::bail!("a member says {told:?}") };
        (first, last, folded) = (first.min(begun), last.max(ended), folded + count);
    }
    ensure!(folded == events, "{folded} of {events} events were folded");
    Ok(events as f64 / (last.saturating_sub(first).max(1) as f64 / 1e6))
}

/// A member: says when it holds its share, folds it when told to, and says how many events, from when until when.
pub(crate) async fn member(
    server: &str,
    prefix: &str,
    partitions: u32,
    share: usize,
    (group, name): (&str, &str),
) -> anyhow::Result<()> {
    let journal = Kafka::open(options(server, prefix, crate::topology(partitions))).await?;
    let all: Vec<_> = (0..partitions).map(|number| (Stream::EventsCall, number)).collect();
    let ends = journal.ends(&all).await?;
    let subscription = Subscription::new(group, name, [Stream::EventsCall]).start(Start::Latest).batch(4_000, 16 << 20);
    let mut consumer = journal.subscribe(subscription).await?;
    let mut held = Vec::new();
    let (mut told, mut still) = (false, 0);
    let (go, mut gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || go.send(orders().next().is_some()));
    // The membership is kept until all the others have their shares, too.
    while gone.try_recv().is_err() {
        let mut moved = true;
        match consumer.next().await? {
            // Whoever was told to go earlier may have ended and left.
            _ if told => continue,
            Delivery::Assigned(more) => held.extend(more),
            Delivery::Revoked(less) => held.retain(|partition| !less.contains(partition)),
            Delivery::Batch(_) | Delivery::Idle => moved = false,
        }
        still = if moved { 0 } else { still + 1 };
        if held.len() == share && still >= STILL && !told {
            answer("ready");
            told = true;
        }
    }
    let want: u64 = held.iter().map(|(_, number)| ends[*number as usize]).sum();
    let begun = now_us();
    for (stream, number) in &held {
        consumer.seek(Position::new(*stream, *number, 0)).await?;
    }
    let (mut folds, mut count) = (Folds::default(), 0);
    while count < want {
        // Of a member that is done already, others get its partitions.
        if let Delivery::Batch(batch) = consumer.next().await?
            && held.contains(&(batch.stream, batch.partition))
        {
            count += batch.records.len() as u64;
            folds.take(&batch)?;
        }
    }
    ensure!(!folds.done().is_empty(), "nothing was counted");
    answer(format!("{count} {begun} {}", now_us()));
    consumer.close().await?;
    Ok(journal.close().await?)
}
