//! A real PBX that the product watches: how an operator configures it, and the product's reports beside what the PBX itself wrote down.

use crate::compare::{self, Differences, Tolerance};
use crate::face::Face;
use crate::figures;
use crate::oracle::{Exit, Oracle, Stay, Transfer};
use crate::pbx::{PRODUCT_LOGIN, Pbx};
use crate::records::number_of;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The agents whose figures come out of queues alone; 107 is only ever called by others.
const QUEUE_AGENTS: [&str; 7] = ["101", "102", "103", "104", "105", "106", "108"];

/// The product learns of a moment by another event of the PBX than the channel events do.
pub const EACH_MS: i64 = 120;

/// Where the product keeps its data and output. It stays until the next run, for a look at what differed.
pub fn fresh_folder(pbx: &Pbx) -> Result<PathBuf> {
    let folder = pbx.home().with_extension("product");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The PBX as the source `pbx1`, as an operator would write it; `ami` is where it is reached. The secret goes below `folder`.
pub fn source(folder: &Path, pbx: &Pbx, ami: SocketAddr) -> Result<String> {
    let secret = folder.join("secret");
    std::fs::write(&secret, PRODUCT_LOGIN.1)?;
    Ok(format!(
        r#"
        [collector.sources.pbx1]
        kind = "asterisk"
        [collector.sources.pbx1.config]
        host = "{host}"
        port = {port}
        username = "{user}"
        secret = "file:{secret}"
        trunks = {{ endpoints = ["PJSIP/trunk"], inbound_contexts = ["inbound"] }}
        queues = {{ wrap_up = "2s", extensions = {{ 601 = "sales", 602 = "support" }} }}
        backfill = {{ queue_log = "{home}/log/queue_log" }}
        "#,
        host = ami.ip(),
        port = ami.port(),
        user = PRODUCT_LOGIN.0,
        secret = secret.display(),
        home = pbx.home().display(),
    ))
}

/// A drive that leaves something out proves nothing about it.
pub fn everything_happened(oracle: &Oracle) -> Result<()> {
    let stays = &oracle.stays;
    let count = |what: &dyn Fn(&Stay) -> bool| stays.iter().filter(|stay| what(stay)).count();
    let happened = [
        ("calls", oracle.calls.len(), 60),
        ("answers", count(&|stay| stay.exit == Exit::Answered), 20),
        ("abandons", count(&|stay| stay.exit == Exit::Abandoned), 8),
        ("abandons while a phone rang", count(&|stay| stay.left_ringing), 1),
        ("timeouts", count(&|stay| stay.exit == Exit::TimedOut), 2),
        ("unanswered alerts", stays.iter().map(|stay| stay.unanswered.len()).sum(), 10),
        ("holds", oracle.services().filter(|service| service.transfer.is_none() && service.hold_ms > 0).count(), 2),
        ("blind transfers by phone", transfers(oracle, Transfer::Blind, "104"), 3),
        ("blind transfers by desktop", transfers(oracle, Transfer::Blind, "102"), 1),
        ("attended transfers by phone", transfers(oracle, Transfer::Attended, "108"), 3),
        ("attended transfers by desktop", transfers(oracle, Transfer::Attended, "101"), 1),
        ("pauses", oracle.pauses.len(), 4),
    ];
    for (what, found, least) in happened {
        ensure!(found >= least, "the drive had {found} {what}, and needs {least} for the test to mean something");
    }
    Ok(())
}

fn transfers(oracle: &Oracle, kind: Transfer, agent: &str) -> usize {
    oracle.services().filter(|service| service.transfer == Some(kind) && service.agent == agent).count()
}

/// Waits until nothing differs any more; after a while, tells what does.
pub async fn settle(face: &Face, oracle: &Oracle, tolerance: &Tolerance) -> Result<()> {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let differences = judge(face, oracle, tolerance).await?;
        if differences.0.is_empty() {
            return Ok(());
        }
        if Instant::now() > patience {
            let mut told = format!("{} differences from the records of the PBX:\n", differences.0.len());
            for line in &differences.0 {
                writeln!(told, "  {line}")?;
            }
            bail!("{told}\nthe truth: {oracle}");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn judge(face: &Face, oracle: &Oracle, tolerance: &Tolerance) -> Result<Differences> {
    let mut differences = Differences::default();
    let queues = totals(face, oracle, "queue").await?;
    for name in oracle.queues() {
        match queues.iter().find(|row| row["id"] == *name) {
            Some(row) => compare::queue(name, row, &oracle.stays_in(name), tolerance, &mut differences),
            None => differences.note(format!("no row of queue {name}")),
        }
    }
    let agents = totals(face, oracle, "agent").await?;
    for (name, truth) in figures::agents(oracle).into_iter().filter(|(name, _)| QUEUE_AGENTS.contains(&name.as_str())) {
        match agents.iter().find(|row| row["id"].as_str().is_some_and(|id| number_of(id) == name)) {
            Some(row) => compare::agent(&name, row, &truth, &oracle.answered_by(&name), tolerance, &mut differences),
            None => differences.note(format!("no row of agent {name}")),
        }
    }
    let records = records(face, oracle).await?;
    let inbound = records.iter().filter(|record| record["direction"] == "inbound").count();
    differences.same("calls from outside", inbound, oracle.calls.len());
    for call in &oracle.calls {
        let found: Vec<_> =
            records.iter().filter(|record| record["call"].as_str().is_some_and(|id| id.ends_with(&call.id))).collect();
        differences.same(&format!("{}: records", call.id), found.len(), 1);
        let Some(record) = found.first() else { continue };
        differences.same(&format!("{}: closed", call.id), record["closed"].as_bool(), Some(true));
        let stays: Vec<_> = oracle.stays.iter().filter(|stay| stay.call == call.id).collect();
        let whole = face.get(&format!("/v1/calls/{}", record["call"].as_str().unwrap_or("")), &[]).await?;
        compare::segments(&call.id, &whole, &stays, tolerance, &mut differences);
    }
    Ok(differences)
}

/// One row per id over the whole run.
async fn totals(face: &Face, oracle: &Oracle, by: &str) -> Result<Vec<Value>> {
    let (from, to) = span(oracle);
    let query = [("from", from.as_str()), ("to", &to), ("interval", "all"), ("by", by)];
    items(face.get("/v1/reports/intervals", &query).await?)
}

/// Every call record of the run, page by page.
async fn records(face: &Face, oracle: &Oracle) -> Result<Vec<Value>> {
    let (from, to) = span(oracle);
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut query = vec![("from", from.as_str()), ("to", &to), ("limit", "100")];
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let page = face.get("/v1/reports/calls", &query).await?;
        let next = page.get("next").and_then(Value::as_str).unwrap_or("").to_owned();
        all.extend(items(page)?);
        if next.is_empty() {
            return Ok(all);
        }
        cursor = next;
    }
}

/// The seconds of the run that the source's row says were missed.
pub async fn gap_seconds(face: &Face, oracle: &Oracle) -> Result<f64> {
    let rows = totals(face, oracle, "source").await?;
    let row = rows.iter().find(|row| row["id"] == "pbx1").context("no row of the source")?;
    row["gap_s"].as_f64().with_context(|| format!("the row of the source has no gap_s: {row}"))
}

fn items(answer: Value) -> Result<Vec<Value>> {
    answer.get("rows").and_then(Value::as_array).cloned().with_context(|| format!("no rows in {answer}"))
}

/// The quarters of an hour that the run touches, as RFC 3339: what agents did is kept by the quarter.
fn span(oracle: &Oracle) -> (String, String) {
    const QUARTER_MS: i64 = 15 * 60_000;
    let first = oracle.calls.iter().map(|call| call.from).min().unwrap_or(0);
    let last = oracle.calls.iter().map(|call| call.to).max().unwrap_or(0);
    let text = |quarter: i64| {
        jiff::Timestamp::from_millisecond(quarter * QUARTER_MS).map_or(String::new(), |time| time.to_string())
    };
    (text(first / QUARTER_MS), text(last / QUARTER_MS + 1))
}
