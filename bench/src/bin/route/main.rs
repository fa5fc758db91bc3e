//! How soon the route gate answers: in process, over HTTP beside a bare axum handler, over FastAGI, and never late.
//!
//! Runs for about a minute. Its servers are threads of this process, with a runtime of one thread each; the peer is in the same run, turn
//! by turn.

mod beside;
mod client;
mod flood;
mod server;

use std::time::Duration;

use anyhow::{Context as _, Result};
use bench::{Aim, Figure, Finding, Spread};
use model::Time;
use service::Clock;

use beside::Beside;
use client::{Client, agi, hammer, paced};
use flood::{CENTRES, Centre, see};
use server::Server;

/// Simulated requests, of which none may be late.
const REQUESTS: u64 = 1_000_000;
/// Turns of each of the two servers, and how long one takes.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 32;

fn main() -> Result<()> {
    let clock = Clock::system();
    let gate = Server::gate(&clock)?;
    let mut finding = Finding::new(
        "route",
        "the route gate answers from memory, in microseconds, and never late",
        "script/bench route",
    );
    for centre in CENTRES {
        let micros = in_process(&gate, centre, 200_000, &clock)?;
        let what = format!("a decision in process, {} agents, p99", centre.agents);
        finding = finding.figure(Figure::new(what, micros.quantile(0.99), "µs").aim(Aim::AtMost(20.0)));
        println!("{} agents: median {:.2} µs, largest {:.1} µs", centre.agents, micros.median(), micros.max());
    }
    finding = never_late(&gate, &clock, finding)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    finding = runtime.block_on(over_the_network(&gate, &clock, finding))?;
    finding
        .note(format!("turns of {TURN:?}, {TURNS} of each server in alternation; medians of the turns"))
        .note("the gate judges a token, a sealed number, a plan and a split, counts, and tells the record; the bare handler reads the same question and answers a constant")
        .note("rates are requests for each second of processor time of the server's own thread")
        .save()
}

/// Decisions one after the other, each timed, microseconds.
fn in_process(server: &Server, centre: Centre, number: u64, clock: &Clock) -> Result<Spread> {
    let gate = server.gate.as_ref().context("the server has a gate")?;
    let mut micros = Vec::new();
    for n in 0..number {
        if n % 10_000 == 0 {
            see(gate, Time(clock.now_ms()));
        }
        let ask = centre.ask(n);
        let begun = clock.monotonic();
        let decided = gate.decide(&ask, begun);
        micros.push((clock.monotonic() - begun).as_secs_f64() * 1e6);
        std::hint::black_box(decided);
    }
    Ok(micros.into_iter().collect())
}

/// A million requests, while a real aggregator folds as fast as it can beside them.
fn never_late(server: &Server, clock: &Clock, finding: Finding) -> Result<Finding> {
    let gate = server.gate.as_ref().context("the server has a gate")?;
    let beside = Beside::start(server.journal.clone().context("the gate has a journal")?, clock)?;
    let (mut late, mut longest, limit) = (0_u64, Duration::ZERO, Duration::from_millis(50));
    let begun_all = clock.monotonic();
    for n in 0..REQUESTS {
        if n % 10_000 == 0 {
            see(gate, Time(clock.now_ms()));
        }
        let ask = CENTRES[(n % 2) as usize].ask(n);
        let begun = clock.monotonic();
        let decided = gate.decide(&ask, begun);
        let took = clock.monotonic() - begun;
        longest = longest.max(took);
        late += u64::from(took > limit || decided.answer.reason == cti::ask::Why::Late);
    }
    let all_s = (clock.monotonic() - begun_all).as_secs_f64();
    let folded = beside.stop()?;
    let what = format!("later than the deadline of {limit:?}, of {REQUESTS} requests");
    let longest_ms = longest.as_secs_f64() * 1_000.0;
    Ok(finding
        .figure(Figure::new(what, late as f64, "requests").aim(Aim::AtMost(0.0)))
        .figure(Figure::new("the longest of them", longest_ms, "ms"))
        .note(format!(
            "beside the million requests ({all_s:.1} s) a real aggregator folded {folded} events, with checkpoints on disk; the gate \
             followed the views that it told"
        )))
}

async fn over_the_network(gate: &Server, clock: &Clock, finding: Finding) -> Result<Finding> {
    let bare = Server::bare()?;
    let fresh = gate.gate.clone().context("the server has a gate")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        see(&fresh, Time(clock.now_ms()));
        ours.push(rate(gate, clock).await?);
        theirs.push(rate(&bare, clock).await?);
    }
    let (ours, theirs): (Spread, Spread) = (ours.into_iter().collect(), theirs.into_iter().collect());
    see(&fresh, Time(clock.now_ms()));
    let waits: Spread = paced(clients(gate, 8).await?, clock, 1_000.0, 10.0).await?.into_iter().collect();
    let bare_waits: Spread = paced(clients(&bare, 8).await?, clock, 1_000.0, 5.0).await?.into_iter().collect();
    let mut calls = Vec::new();
    let to = gate.agi.context("the gate speaks FastAGI")?;
    for number in 0..400 {
        calls.push(agi(to, number, clock).await?);
        clock.sleep(Duration::from_millis(10)).await;
    }
    let calls: Spread = calls.into_iter().collect();
    Ok(finding
        .figure(
            Figure::new("HTTP, requests for each second of one core", ours.median(), "/s")
                .peer("a bare axum handler of the same size", theirs.median())
                .aim(Aim::RatioAtLeast(0.8)),
        )
        .figure(
            Figure::new("HTTP at 1,000 a second, p99", waits.quantile(0.99), "ms")
                .peer("the bare handler", bare_waits.quantile(0.99))
                .aim(Aim::AtMost(1.0)),
        )
        .figure(Figure::new(
            "FastAGI, from connecting to the target, some 80 calls a second, p99",
            calls.quantile(0.99),
            "ms",
        ))
        .note(format!("{CONNECTIONS} connections ask as fast as they are answered, from another core")))
}

/// Requests for each second of the server's processor time.
async fn rate(server: &Server, clock: &Clock) -> Result<f64> {
    let clients = clients(server, CONNECTIONS).await?;
    let (_, clients) = hammer(clients, clock, clock.monotonic() + TURN / 6).await?;
    let before = server.cpu()?;
    let (asked, _) = hammer(clients, clock, clock.monotonic() + TURN).await?;
    Ok(asked as f64 / (server.cpu()? - before).as_secs_f64())
}

async fn clients(server: &Server, number: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(number);
    for n in 0..number as u64 {
        let body = serde_json::to_string(&CENTRES[0].ask(n))?;
        clients.push(Client::connect(server.http, &body, &server.token).await?);
    }
    Ok(clients)
}
