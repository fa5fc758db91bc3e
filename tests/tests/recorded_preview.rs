//! Recorded months of a real call centre, played again: without control the simulation must give what was recorded, within the error that
//! `docs/reference/preview.md` states; under thresholds it must give the same answer each time.
#![allow(clippy::disallowed_methods, reason = "these tests run real processes")]

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidegate_tests::product::run;
use tidegate_tests::recorded::mapping;

/// The months, and the day after each.
const MONTHS: [(&str, &str, &str); 2] =
    [("1999-02", "1999-02-01", "1999-03-01"), ("1999-08", "1999-08-01", "1999-09-01")];

/// The stated error: of the month's service level and abandonment, in hundredths; of its mean wait, as a share; of the service level of
/// a day, in the mean and on the worst day.
const SERVICE_LEVEL: f64 = 0.02;
const ABANDONMENT: f64 = 0.02;
const MEAN_WAIT: f64 = 0.10;
const DAY_MEAN: f64 = 0.03;
const DAY_WORST: f64 = 0.10;

/// One queue held to a minute, with a chat that takes three calls a minute and a callback list that takes all.
const THRESHOLDS: &str = r#"
[targets.chat]
kind = "chat"
capacity_per_s = 0.05
containment = 0.6
[targets.callback]
kind = "callback"
capacity_per_s = 1.0
containment = 0.8
[queues.PS]
certainty = 0.84
targets = [{ target = "chat" }, { target = "callback" }]
goal = { share = 0.8, within_s = 60.0 }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn recorded_months_played_without_control_give_what_was_recorded() -> Result<()> {
    for (month, from, to) in MONTHS {
        let folder = import(month).await?;
        let data = folder.path().join("data");
        let open = written(folder.path(), "open.toml", "")?;
        let answer = preview(&data, &[from, to, "3"], &["--thresholds", &open]).await?;
        let answer: Value = serde_json::from_str(&answer)?;
        told(month, &answer);
        faithful(&answer).with_context(|| format!("in {month}"))?;
        same_again(folder.path(), &data, from).await.with_context(|| format!("in {month}"))?;
    }
    Ok(())
}

fn faithful(answer: &Value) -> Result<()> {
    let (recorded, simulated) = figure(answer, "service_level")?;
    ensure!((simulated - recorded).abs() <= SERVICE_LEVEL, "service level {simulated} instead of {recorded}");
    let (recorded, simulated) = figure(answer, "abandonment_rate")?;
    ensure!((simulated - recorded).abs() <= ABANDONMENT, "abandonment {simulated} instead of {recorded}");
    let (recorded, simulated) = figure(answer, "asa_s")?;
    ensure!((simulated / recorded - 1.0).abs() <= MEAN_WAIT, "mean wait {simulated} s instead of {recorded} s");
    let days = number(&answer["fidelity"]["service_level_day_error"])?;
    ensure!(days <= DAY_MEAN, "a day's service level is {days} off in the mean");
    let worst = number(&answer["fidelity"]["service_level_day_worst"])?;
    ensure!(worst.abs() <= DAY_WORST, "the worst day's service level is {worst} off");
    let head_start = number(&answer["estimates"]["head_starts_s"]["2"])?;
    ensure!(head_start == 90.0, "callers of priority 2 were given 90 s by the bank, and {head_start} s were found");
    Ok(())
}

/// The recorded and the simulated value.
fn figure(answer: &Value, name: &str) -> Result<(f64, f64)> {
    let all = answer["fidelity"]["all"].as_array().context("an answer says how faithful it is")?;
    let found = all.iter().find(|repeated| repeated["figure"] == name).with_context(|| format!("no {name}"))?;
    Ok((number(&found["recorded"])?, number(&found["simulated"]["mean"])?))
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().with_context(|| format!("{value} is no number"))
}

fn told(month: &str, answer: &Value) {
    for repeated in answer["fidelity"]["all"].as_array().into_iter().flatten() {
        println!(
            "{month} {}: recorded {}, simulated {}",
            repeated["figure"], repeated["recorded"], repeated["simulated"]
        );
    }
    let fidelity = &answer["fidelity"];
    println!(
        "{month} by day: {} off, worst {}",
        fidelity["service_level_day_error"], fidelity["service_level_day_worst"]
    );
}

/// A week under thresholds: each time the same bytes, no difference to themselves, callers led to both targets.
async fn same_again(folder: &Path, data: &Path, from: &str) -> Result<()> {
    let to = from.parse::<jiff::civil::Date>()?.checked_add(jiff::Span::new().days(3))?.to_string();
    let file = written(folder, "gate.toml", THRESHOLDS)?;
    let period = [from, &to, "2"];
    let once = preview(data, &period, &["--thresholds", &file, "--queue", "PS"]).await?;
    let again = preview(data, &period, &["--thresholds", &file, "--queue", "PS"]).await?;
    ensure!(once == again, "the same question has two answers");
    let answer: Value = serde_json::from_str(&once)?;
    for target in ["chat", "callback"] {
        let led = number(&answer["all"]["diverted_to"][target]["proposed"]["mean"])?;
        ensure!(led > 0.0, "nobody was led to {target}");
    }
    let itself = preview(data, &period, &["--thresholds", &file, "--current", &file]).await?;
    let itself: Value = serde_json::from_str(&itself)?;
    for (name, both) in itself["all"]["figures"].as_object().context("an answer has figures")? {
        ensure!(both["difference"]["low"] == 0.0 && both["difference"]["high"] == 0.0, "{name} differs from itself");
    }
    let wrong = written(folder, "wrong.toml", "[queues.XX]\n[queues.PS]\ncalm_s = -1.0\n")?;
    let refused = preview(data, &period, &["--thresholds", &wrong]).await;
    let refused = format!("{:#}", refused.err().context("impossible thresholds were played")?);
    for named in ["TG0330", "queues.XX", "queues.PS.calm_s"] {
        ensure!(refused.contains(named), "{named} is not in: {refused}");
    }
    Ok(())
}

async fn preview(data: &Path, [from, to, seeds]: &[&str; 3], more: &[&str]) -> Result<String> {
    let data = data.to_string_lossy();
    let asked = ["preview", "--data", &data, "--tenant", "bank", "--from", from, "--to", to, "--seeds", seeds];
    run(&[&asked[..], more, &["--format", "json"]].concat()).await
}

fn written(folder: &Path, name: &str, text: &str) -> Result<String> {
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    Ok(path.to_string_lossy().into_owned())
}

async fn import(month: &str) -> Result<TempDir> {
    let folder = TempDir::new()?;
    let (config, data, file) = (mapping(), folder.path().join("data"), recorded(month)?);
    let (config, data, file) = (config.to_string_lossy(), data.to_string_lossy(), file.to_string_lossy());
    run(&["import", "calls-csv", "--config", &config, "--data", &data, &file]).await?;
    Ok(folder)
}

fn recorded(month: &str) -> Result<PathBuf> {
    let set = std::env::var_os("TIDEGATE_SHARED").map(PathBuf::from);
    let shared = set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let file = shared.join("data").join(format!("anonymous-bank-{month}.csv.gz"));
    ensure!(
        file.is_file(),
        "needs ../shared (or TIDEGATE_SHARED): {} is not there, and it is not part of this repository. Leave this suite out, or put \
         that folder beside the checkout.",
        file.display()
    );
    Ok(file)
}
