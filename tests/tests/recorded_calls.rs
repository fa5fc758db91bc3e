//! Recorded months of a real call centre, imported from the command line and asked over HTTP: every figure that an independent
//! program computed from the same files (`data/truth` of the shared folder, which is not part of this repository).
#![allow(clippy::disallowed_methods, reason = "these tests run real processes")]

use anyhow::{Context as _, Result, ensure};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tidegate_tests::product::{Product, run};
use tidegate_tests::table::{Row, Table};

/// What a rounded decimal of the truth may be off by.
const ROUNDING: f64 = 2e-6;

/// Figures of a row of the truth: its column, and what our rows make of it.
type Figures = Vec<(String, f64)>;

#[tokio::test(flavor = "multi_thread")]
async fn every_published_figure_of_every_recorded_month_is_exact() -> Result<()> {
    let data = shared()?;
    let mut months: Vec<_> = std::fs::read_dir(&data)?
        .filter_map(|entry| {
            Some(entry.ok()?.file_name().to_str()?.strip_prefix("anonymous-bank-")?.strip_suffix(".csv.gz")?.to_owned())
        })
        .filter(|month| data.join(format!("truth/intervals-{month}.csv")).exists())
        .collect();
    months.sort();
    ensure!(!months.is_empty(), "{} holds no recorded month with a truth", data.display());
    for (month, port) in months.iter().zip((14_000..).step_by(10)) {
        one_month(&data, month, port).await.with_context(|| format!("in {month}"))?;
    }
    Ok(())
}

async fn one_month(data: &Path, month: &str, port: u16) -> Result<()> {
    let folder = TempDir::new()?;
    let directory = folder.path().join("data");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/anonymous-bank.toml");
    let file = data.join(format!("anonymous-bank-{month}.csv.gz"));
    let (config, directory, file) = (config.to_string_lossy(), directory.to_string_lossy(), file.to_string_lossy());
    run(&["import", "calls-csv", "--config", &config, "--data", &directory, &file]).await?;
    let product = Product::up(folder.path(), port, &["--set", "simulator.control.enabled=false"]).await?;
    let book = Book { product: &product, year: month.get(..4).context("a month begins with its year")?.parse()? };
    let truth = |name: &str| Table::read(&data.join("truth").join(name));
    let mut wrong = Wrong::default();

    let summary = truth("summary.csv")?;
    let months: Vec<_> = summary.0.iter().filter(|row| row.text("period") == month).collect();
    periods(&book, "all", &months, &mut wrong).await?;
    let daily = truth("daily.csv")?;
    let days: Vec<_> = daily.0.iter().filter(|row| row.text("period").starts_with(month)).collect();
    periods(&book, "1d", &days, &mut wrong).await?;
    half_hours(&book, &truth(&format!("intervals-{month}.csv"))?, &mut wrong).await?;
    let servers = truth("servers.csv")?;
    let months: Vec<_> = servers.0.iter().filter(|row| row.text("period") == month).collect();
    agents(&book, "all", &months, &mut wrong).await?;
    let servers = truth(&format!("servers-daily-{month}.csv"))?;
    agents(&book, "1d", &servers.0.iter().collect::<Vec<_>>(), &mut wrong).await?;
    same_on_the_command_line(&book, &directory).await?;
    println!("{month}: {} figures compared", wrong.compared);
    ensure!(
        wrong.lines.is_empty(),
        "{} of {} figures differ, such as\n{}",
        wrong.lines.len(),
        wrong.compared,
        wrong.some()
    );
    Ok(())
}

/// Where the recorded calls are.
fn shared() -> Result<PathBuf> {
    let set = std::env::var_os("TIDEGATE_SHARED").map(PathBuf::from);
    let data = set.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared")).join("data");
    ensure!(data.is_dir(), "needs ../shared (or TIDEGATE_SHARED): {} is not there", data.display());
    Ok(data)
}

/// The reports of the imported year.
struct Book<'a> {
    product: &'a Product,
    year: i32,
}

/// Rows by the beginning of their interval (`1999-02-01 00:30`, empty for the whole year) and their id.
type Found = HashMap<(String, String), Row>;

impl Book<'_> {
    fn query(&self, interval: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut query = vec![
            ("tenant".to_owned(), "bank".to_owned()),
            ("from".to_owned(), format!("{}-01-01", self.year)),
            ("to".to_owned(), format!("{}-01-01", self.year + 1)),
            ("interval".to_owned(), interval.to_owned()),
            ("format".to_owned(), "csv".to_owned()),
        ];
        query.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        query
    }

    async fn rows(&self, path: &str, id: &str, interval: &str, more: &[(&str, &str)]) -> Result<Found> {
        let query = self.query(interval, more);
        let query: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let table = Table::parse(&self.product.text(path, &query).await?)?;
        let start = |row: &Row| match interval {
            "all" => String::new(),
            "1d" => row.text("start_local")[..10].to_owned(),
            _ => row.text("start_local")[..16].replace('T', " "),
        };
        Ok(table.0.into_iter().map(|row| ((start(&row), row.text(id).to_owned()), row)).collect())
    }

    /// Rows of the queues and, as `ALL`, of the tenant.
    async fn traffic(&self, interval: &str, more: &[(&str, &str)]) -> Result<Found> {
        let intervals = "/v1/reports/intervals";
        let mut found = self.rows(intervals, "id", interval, &[more, &[("by", "queue")]].concat()).await?;
        let all = self.rows(intervals, "id", interval, &[more, &[("by", "tenant")]].concat()).await?;
        found.extend(all.into_iter().map(|((start, _), row)| ((start, "ALL".to_owned()), row)));
        Ok(found)
    }

    /// Callers who left in the IVR, by the queue that they would have gone to.
    async fn before(&self, interval: &str, more: &[(&str, &str)]) -> Result<HashMap<(String, String), f64>> {
        let nodes = self.rows("/v1/reports/intervals", "id", interval, &[more, &[("by", "ivr")]].concat()).await?;
        let mut before: HashMap<(String, String), f64> = HashMap::new();
        for ((start, node), row) in nodes {
            let queue = node.rsplit('/').next().unwrap_or(&node).to_owned();
            for name in [queue, "ALL".to_owned()] {
                *before.entry((start.clone(), name)).or_default() += row.number("ivr_abandoned");
            }
        }
        Ok(before)
    }
}

/// What differs.
#[derive(Default)]
struct Wrong {
    compared: usize,
    lines: Vec<String>,
}

impl Wrong {
    fn compare(&mut self, what: &str, truth: &Row, figures: Figures) {
        for (column, ours) in figures {
            self.compared += 1;
            if (ours - truth.number(&column)).abs() > ROUNDING {
                self.lines.push(format!("{column} of {what}: {ours} is not {}", truth.text(&column)));
            }
        }
    }

    fn some(&self) -> String {
        self.lines.iter().take(40).map(|line| format!("  {line}\n")).collect()
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

/// Months and days: a call counts where it was offered.
async fn periods(book: &Book<'_>, interval: &str, truth: &[&Row], wrong: &mut Wrong) -> Result<()> {
    let mut by_threshold = Vec::new();
    for seconds in [20, 30, 60] {
        let threshold = format!("{seconds}s");
        let more = [("cohort", "true"), ("threshold", threshold.as_str())];
        let late = book.traffic(interval, &[&more[..], &[("policy", "late_abandons")]].concat()).await?;
        by_threshold.push((seconds, book.traffic(interval, &more).await?, late));
    }
    let before = book.before(interval, &[("cohort", "true")]).await?;
    for want in truth {
        let start = if interval == "all" { String::new() } else { want.text("period").to_owned() };
        let key = (start, want.text("type").to_owned());
        let before = before.get(&key).copied().unwrap_or(0.0);
        let what = format!("{} {}", want.text("period"), want.text("type"));
        for (seconds, rows, late) in &by_threshold {
            let (Some(row), Some(late)) = (rows.get(&key), late.get(&key)) else {
                wrong.compare(&what, want, vec![("offered_queue".to_owned(), 0.0)]);
                continue;
            };
            if *seconds == 20 {
                wrong.compare(&what, want, whole_period(row, before, key.1 == "ALL"));
            }
            let within = row.number("answered_in_t");
            let column = |name: &str| format!("{name}_{seconds}");
            wrong.compare(
                &what,
                want,
                vec![
                    (column("answered_within"), within),
                    (column("abandoned_after"), row.number("abandoned_after_t")),
                    (column("slA"), ratio(within, row.number("offered") + before)),
                    (column("slB"), late.number("service_level")),
                    (column("slC"), row.number("service_level")),
                ],
            );
        }
    }
    Ok(())
}

fn whole_period(row: &Row, before: f64, all: bool) -> Figures {
    let (n, s) = (|name: &str| row.number(name), |name: &str| row.seconds(name));
    let (offered, left) = (n("offered") + before, n("abandoned") + before);
    let mut figures = vec![
        ("offered", offered),
        ("answered", n("answered")),
        ("abandoned", left),
        ("abandoned_in_queue", n("abandoned")),
        ("abandoned_before_queue", before),
        ("offered_queue", n("offered")),
        ("answered_without_wait", n("answered_without_wait")),
        ("answered_after_wait", n("answered") - n("answered_without_wait")),
        ("abandon_rate", ratio(left, offered)),
        ("abandon_rate_queue", n("abandonment_rate")),
        ("wait_sum_answered", s("wait_answered_ms")),
        ("asa", s("asa_ms")),
        ("asa_of_those_who_waited", s("asa_waited_ms")),
        ("wait_median_nr", s("p50_wait_answered_ms")),
        ("wait_p90_nr", s("p90_wait_answered_ms")),
        ("wait_median_lin", s("p50_wait_answered_linear_ms")),
        ("wait_p90_lin", s("p90_wait_answered_linear_ms")),
        ("wait_max", s("wait_max_answered_ms")),
        ("wait_sum_abandoned_in_queue", s("wait_abandoned_ms")),
        ("mean_wait_abandoned_in_queue", s("avg_abandon_time_ms")),
        ("mean_wait_abandoned_all", ratio(s("wait_abandoned_ms"), left)),
        ("wait_max_abandoned", s("wait_max_abandoned_ms")),
        ("talk_sum", s("talk_ms")),
        ("aht", s("aht_ms")),
        ("aht_pos", s("aht_positive_ms")),
        ("aht_le3600", s("aht_le_3600s_ms")),
        ("talk_median_nr", s("talk_median_ms")),
        ("talk_max", s("talk_max_ms")),
    ];
    if all {
        figures.push(("phantom", n("phantom")));
    }
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Half hours: by the offer, and by the event.
async fn half_hours(book: &Book<'_>, truth: &Table, wrong: &mut Wrong) -> Result<()> {
    let more = [("threshold", "20s"), ("fill", "true")];
    let event = book.traffic("30m", &more).await?;
    let cohort = book.traffic("30m", &[&more[..], &[("cohort", "true")]].concat()).await?;
    let before = book.before("30m", &[]).await?;
    for want in &truth.0 {
        let key = (want.text("interval_start").to_owned(), want.text("type").to_owned());
        let what = format!("{} {}", key.0, key.1);
        let before = before.get(&key).copied().unwrap_or(0.0);
        let (Some(event), Some(cohort)) = (event.get(&key), cohort.get(&key)) else {
            wrong.compare(&what, want, vec![("arr_offered".to_owned(), before), ("evt_completed".to_owned(), 0.0)]);
            continue;
        };
        let figures = [
            ("arr_offered", cohort.number("offered") + before),
            ("arr_answered", cohort.number("answered")),
            ("arr_abandoned", cohort.number("abandoned") + before),
            ("arr_abandoned_in_queue", cohort.number("abandoned")),
            ("arr_wait_sum_answered", cohort.seconds("wait_answered_ms")),
            ("arr_talk_sum_answered", cohort.seconds("talk_ms")),
            ("arr_answered_within_20", cohort.number("answered_in_t")),
            ("evt_answered", event.number("answered")),
            ("evt_wait_sum_answered", event.seconds("wait_answered_ms")),
            ("evt_abandoned", event.number("abandoned") + before),
            ("evt_abandoned_in_queue", event.number("abandoned")),
            ("evt_completed", event.number("completed")),
            ("talk_s_completed", event.seconds("talk_ms")),
            ("talk_s_overlap", event.seconds("talk_overlap_ms")),
            ("wait_s_overlap", event.seconds("wait_overlap_ms")),
            ("max_waiting", event.number("max_waiting")),
            ("max_in_service", event.number("max_in_service")),
            ("waiting_at_start", event.number("waiting_at_start")),
            ("in_service_at_start", event.number("in_service_at_start")),
        ];
        wrong.compare(&what, want, figures.map(|(name, value)| (name.to_owned(), value)).to_vec());
    }
    Ok(())
}

/// Agents, by month or day.
async fn agents(book: &Book<'_>, interval: &str, truth: &[&Row], wrong: &mut Wrong) -> Result<()> {
    let found = book.rows("/v1/reports/agents", "agent", interval, &[("cohort", "true")]).await?;
    for want in truth {
        let start = if interval == "all" { String::new() } else { want.text("period").to_owned() };
        let key = (start, want.text("server").to_owned());
        let what = format!("{} {}", want.text("period"), key.1);
        let Some(row) = found.get(&key) else {
            wrong.compare(&what, want, vec![("handled".to_owned(), 0.0)]);
            continue;
        };
        let figures = [
            ("handled", row.number("handled")),
            ("talk_s", row.seconds("talk_ms")),
            ("zero_talk", row.number("zero_talk")),
            ("talk_lt10", row.number("talk_lt10")),
            ("talk_max", row.seconds("talk_max_ms")),
            ("days_worked", row.number("days_worked")),
        ];
        wrong.compare(&what, want, figures.map(|(name, value)| (name.to_owned(), value)).to_vec());
    }
    Ok(())
}

/// `tidegate report` prints what HTTP answers, byte for byte.
async fn same_on_the_command_line(book: &Book<'_>, directory: &str) -> Result<()> {
    let (from, to) = (format!("{}-01-01", book.year), format!("{}-01-01", book.year + 1));
    for what in ["intervals", "agents"] {
        let common = [
            "--data",
            directory,
            "--tenant",
            "bank",
            "--from",
            &from,
            "--to",
            &to,
            "--interval",
            "1d",
            "--format",
            "csv",
        ];
        let printed = run(&[&["report", what][..], &common].concat()).await?;
        let query = book.query("1d", &[]);
        let query: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answered = book.product.text(&format!("/v1/reports/{what}"), &query).await?;
        ensure!(printed == answered, "`tidegate report {what}` prints other rows than HTTP answers");
    }
    Ok(())
}
