//! Names made up without end: queues, agents, devices, callers, and calls that never end.

use super::victim::{PATIENCE, Victim, event};
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Names that are followed, and open calls that are kept, in each partition: few, so that a bomb of some seconds is too much.
const KEPT: u64 = 2_000;
const CONFIG: &str = "[aggregator]\nopen_calls_kept = 2000\nnames_kept = 2000\n";
/// Batches, and what each makes up: so many calls, each of a queue, an agent and a caller of its own, and as many agents and devices.
const BATCHES: u64 = 30;
const NAMES: u64 = 700;
/// What the process may take, in MB: an unoptimised build, in which three components follow the live views.
const RESIDENT_MAX_MB: f64 = 1_000.0;

#[tokio::test(flavor = "multi_thread")]
async fn made_up_names_take_bounded_memory_are_counted_and_the_totals_are_right() -> Result<()> {
    let place = tempfile::TempDir::new()?;
    let victim = Victim::up(place.path(), CONFIG).await?;
    let mut resident = victim.resident_mb()?;
    for batch in 0..BATCHES {
        let body: String = (0..NAMES).map(|n| made_up(batch * NAMES + n)).collect();
        ensure!(victim.send(body).await? == 5 * NAMES, "a bomb is well-formed");
        resident = resident.max(victim.resident_mb()?);
    }
    let calls = BATCHES * NAMES;
    let patience = Instant::now() + PATIENCE * 3;
    loop {
        let live = victim.get("/v1/live/totals").await;
        let seen = live.ok().and_then(|live| live["items"][0]["today"]["offered"].as_u64()).unwrap_or(0);
        resident = resident.max(victim.resident_mb()?);
        if seen == calls {
            break;
        }
        ensure!(seen < calls && Instant::now() < patience, "{calls} calls were offered, {seen} are in the live totals");
        sleep(Duration::from_millis(200)).await;
    }
    // Rows are written less often than totals are told, and still less often when there is much to do.
    let patience = Instant::now() + PATIENCE * 3;
    loop {
        let report = victim.get("/v1/reports/intervals?by=tenant&interval=all").await?;
        let offered = report["rows"][0]["offered"].as_u64().context("offered")?;
        if offered == calls {
            break;
        }
        ensure!(
            offered < calls && Instant::now() < patience,
            "{calls} calls were offered, {offered} are in the report"
        );
        sleep(Duration::from_millis(200)).await;
    }
    // Four partitions of calls, two of agents.
    let items = async |topic: &str| -> Result<u64> {
        let live = victim.get(&format!("/v1/live/{topic}")).await?;
        Ok(live["items"].as_array().context("items")?.len() as u64)
    };
    // What is too much is forgotten with the next checkpoints.
    let patience = Instant::now() + PATIENCE;
    let (agents, devices, queues) = loop {
        let (agents, devices, queues) = (items("agents").await?, items("devices").await?, items("queues").await?);
        // Queues with calls today, as many as the board has places for, and those of open calls.
        if agents <= 2 * KEPT && devices <= KEPT && queues <= 10_000 + 4 * KEPT {
            break (agents, devices, queues);
        }
        let told = format!("{agents} agents, {devices} devices and {queues} queues are followed");
        ensure!(Instant::now() < patience, "{told}");
        sleep(Duration::from_millis(500)).await;
    };
    let refused = victim.metric("aggregator_refused_total").await?;
    ensure!(refused >= (calls - 2 * KEPT + calls - KEPT) as f64, "{refused} made-up names were counted");
    ensure!(resident <= RESIDENT_MAX_MB, "{resident:.0} MB were taken");
    println!(
        "{calls} calls, {agents} agents, {devices} devices, {queues} queues shown; {refused} refused; {resident:.0} MB"
    );
    victim.stop().await
}

/// A call of its own queue, agent and caller that never ends, another agent, another device.
fn made_up(n: u64) -> String {
    let (call, agent) = (format!("b{n}"), format!("agent/b{n}"));
    let state =
        |subject: &str, ty: &str, data: &str| event(&format!("{n}-{ty}"), ty, "x", data).replace("call/x", subject);
    [
        event(
            &format!("{n}-o"),
            "call.offered.v1",
            &call,
            &format!(r#"{{"direction":"inbound","ani":{{"digits":"+{n:012}"}}}}"#),
        ),
        event(&format!("{n}-q"), "call.queued.v1", &call, &format!(r#"{{"queue":"queue-{n}"}}"#)),
        event(&format!("{n}-a"), "call.alerting.v1", &call, &format!(r#"{{"agent":"other-{n}","queue":"queue-{n}"}}"#)),
        state(&agent, "agent.logged_in.v1", "{}"),
        state(&format!("device/b{n}"), "device.state_changed.v1", r#"{"state":"idle"}"#),
    ]
    .join("\n")
        + "\n"
}
