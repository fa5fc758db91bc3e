//! Every column of a truth beside what the product answers.

use super::{Book, Truth};
use crate::table::{Row, Table};
use anyhow::{Result, ensure};
use std::collections::{BTreeSet, HashSet};

/// What a decimal that was rounded to six places, or to four, may be off by.
const ROUNDING: f64 = 2e-6;
const COARSE_ROUNDING: f64 = 6e-5;
/// How many differences are told.
const TOLD_MAX: usize = 20;
/// The server of rows that name none, as the table writes it.
const NO_SERVER: &str = "NO_SERVER";

/// Columns that say which row it is.
const KEYS: [&str; 5] = ["period", "interval_start", "type", "server", "alias_of"];
/// Averages of half hours are published with four places.
const COARSE: [&str; 2] = ["arr_avg_wait", "arr_avg_talk"];

/// Figures of a row: the truth's column, and what our rows make of it.
type Figures = Vec<(String, f64)>;

/// What was compared, and what differs.
#[derive(Debug, Default)]
pub struct Wrong {
    /// Cells compared.
    pub compared: usize,
    lines: Vec<String>,
    columns: BTreeSet<String>,
}

impl Wrong {
    /// Asks for every figure of a month.
    pub async fn find(book: &Book, truth: &Truth) -> Result<Wrong> {
        let mut wrong = Wrong::of_the_offers(book, truth).await?;
        wrong.columns.clear();
        half_hours(book, &truth.half_hours, &mut wrong).await?;
        wrong.nothing_left_out(&truth.half_hours)?;
        Ok(wrong)
    }

    /// Asks for every figure of a month in which a call counts where it was offered: they do not depend on what other months
    /// left over.
    pub async fn of_the_offers(book: &Book, truth: &Truth) -> Result<Wrong> {
        let mut wrong = Wrong::default();
        for (month, interval) in [(true, "all"), (false, "1d")] {
            let table = if month { &truth.months } else { &truth.days };
            wrong.columns.clear();
            periods(book, interval, table, &mut wrong).await?;
            wrong.nothing_left_out(table)?;
            let table = if month { &truth.agents } else { &truth.agent_days };
            wrong.columns.clear();
            agents(book, interval, table, &mut wrong).await?;
            wrong.nothing_left_out(table)?;
        }
        Ok(wrong)
    }

    /// Fails naming the first differences.
    pub fn none(&self) -> Result<()> {
        let told: String = self.lines.iter().take(TOLD_MAX).map(|line| format!("  {line}\n")).collect();
        ensure!(self.lines.is_empty(), "{} of {} figures differ, such as\n{told}", self.lines.len(), self.compared);
        ensure!(self.compared > 1_000, "only {} figures were compared", self.compared);
        Ok(())
    }

    fn compare(&mut self, what: &str, truth: &Row, figures: Figures) {
        for (column, ours) in figures {
            self.compared += 1;
            let allowed = if COARSE.contains(&column.as_str()) { COARSE_ROUNDING } else { ROUNDING };
            if (ours - truth.number(&column)).abs() > allowed {
                self.lines.push(format!("{what}: {column} is {ours}, wanted {}", truth.text(&column)));
            }
            self.columns.insert(column);
        }
    }

    /// A row that the truth does not have must be empty.
    fn nothing_more(&mut self, what: &str, ours: &Row, columns: &[&str]) {
        for column in columns {
            self.compared += 1;
            if ours.number(column) != 0.0 {
                self.lines.push(format!("{what}: {column} is {}, wanted no such row", ours.text(column)));
            }
        }
    }

    fn nothing_left_out(&self, table: &Table) -> Result<()> {
        let Some(row) = table.0.first() else { return Ok(()) };
        let left: Vec<_> = row.columns().filter(|name| !KEYS.contains(name) && !self.columns.contains(*name)).collect();
        ensure!(left.is_empty(), "columns that nothing was compared with: {}", left.join(", "));
        Ok(())
    }
}

/// A column of a row that may not be there: then nothing happened.
fn number(row: Option<&Row>, column: &str) -> f64 {
    row.map_or(0.0, |row| row.number(column))
}

fn seconds(row: Option<&Row>, column: &str) -> f64 {
    number(row, column) / 1000.0
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

fn named<const N: usize>(figures: [(&str, f64); N]) -> Figures {
    figures.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// Months and days: a call counts where it was offered.
async fn periods(book: &Book, interval: &str, truth: &Table, wrong: &mut Wrong) -> Result<()> {
    let mut by_threshold = Vec::new();
    for time in [20, 30, 60] {
        let threshold = format!("{time}s");
        let more = [("cohort", "true"), ("threshold", threshold.as_str())];
        let late = book.traffic(interval, &[&more[..], &[("policy", "late_abandons")]].concat()).await?;
        by_threshold.push((time, book.traffic(interval, &more).await?, late));
    }
    let before = book.before(interval, &[("cohort", "true")]).await?;
    let agents = book.agents(interval).await?;
    let mut seen = HashSet::new();
    for want in &truth.0 {
        let start = if interval == "all" { String::new() } else { want.text("period").to_owned() };
        let key = (start, want.text("type").to_owned());
        let before = before.get(&key).copied().unwrap_or(0.0);
        let what = format!("{} {}", want.text("period"), want.text("type"));
        for (time, rows, late) in &by_threshold {
            let (row, late) = (rows.get(&key), late.get(&key));
            if *time == 20 {
                wrong.compare(&what, want, whole_period(row, before));
            }
            let within = number(row, "answered_in_t");
            let column = |name: &str| format!("{name}_{time}");
            let figures = vec![
                (column("answered_within"), within),
                (column("abandoned_after"), number(row, "abandoned_after_t")),
                (column("slA"), ratio(within, number(row, "offered") + before)),
                (column("slB"), number(late, "service_level")),
                (column("slC"), number(row, "service_level")),
            ];
            wrong.compare(&what, want, figures);
        }
        let (row, phantom) = (by_threshold[0].1.get(&key), "phantom");
        let rows = number(row, "offered") + before + number(row, phantom);
        wrong.compare(&what, want, named([("rows", rows), (phantom, number(row, phantom))]));
        if key.1 == "ALL" {
            let nobody = number(agents.get(&(key.0.clone(), NO_SERVER.to_owned())), "handled");
            wrong.compare(&what, want, vec![("answered_no_server".to_owned(), nobody)]);
        } else if interval == "all" {
            let nobody = book.count_calls(&key.1, NO_SERVER).await?;
            wrong.compare(&what, want, vec![("answered_no_server".to_owned(), nobody as f64)]);
        }
        seen.insert(key);
    }
    let whole_table = truth.0.iter().any(|row| row.text("type") != "ALL");
    for (key, row) in &by_threshold[0].1 {
        if !seen.contains(key) && (whole_table || key.1 == "ALL") {
            wrong.nothing_more(&format!("{} {}", key.0, key.1), row, &["offered", "answered", "abandoned", "phantom"]);
        }
    }
    Ok(())
}

fn whole_period(row: Option<&Row>, before: f64) -> Figures {
    let (n, s) = (|name: &str| number(row, name), |name: &str| seconds(row, name));
    let (offered, left) = (n("offered") + before, n("abandoned") + before);
    named([
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
    ])
}

/// Half hours: by the offer, and by the event.
async fn half_hours(book: &Book, truth: &Table, wrong: &mut Wrong) -> Result<()> {
    let more = [("threshold", "20s"), ("fill", "true")];
    let event = book.traffic("30m", &more).await?;
    let cohort = book.traffic("30m", &[&more[..], &[("cohort", "true")]].concat()).await?;
    let before = book.before("30m", &[]).await?;
    let mut seen = HashSet::new();
    for want in &truth.0 {
        let key = (want.text("interval_start").to_owned(), want.text("type").to_owned());
        let what = format!("{} {}", key.0, key.1);
        let before = before.get(&key).copied().unwrap_or(0.0);
        let (event, cohort) = (event.get(&key), cohort.get(&key));
        let answered = number(cohort, "answered");
        let figures = [
            ("arr_offered", number(cohort, "offered") + before),
            ("arr_answered", answered),
            ("arr_abandoned", number(cohort, "abandoned") + before),
            ("arr_abandoned_in_queue", number(cohort, "abandoned")),
            ("arr_wait_sum_answered", seconds(cohort, "wait_answered_ms")),
            ("arr_talk_sum_answered", seconds(cohort, "talk_ms")),
            ("arr_answered_within_20", number(cohort, "answered_in_t")),
            ("arr_avg_wait", seconds(cohort, "asa_ms")),
            ("arr_avg_talk", ratio(seconds(cohort, "talk_ms"), answered)),
            ("evt_answered", number(event, "answered")),
            ("evt_wait_sum_answered", seconds(event, "wait_answered_ms")),
            ("evt_abandoned", number(event, "abandoned") + before),
            ("evt_abandoned_in_queue", number(event, "abandoned")),
            ("evt_completed", number(event, "completed")),
            ("talk_s_completed", seconds(event, "talk_ms")),
            ("talk_s_overlap", seconds(event, "talk_overlap_ms")),
            ("wait_s_overlap", seconds(event, "wait_overlap_ms")),
            ("max_waiting", number(event, "max_waiting")),
            ("max_in_service", number(event, "max_in_service")),
            ("waiting_at_start", number(event, "waiting_at_start")),
            ("in_service_at_start", number(event, "in_service_at_start")),
        ];
        wrong.compare(&what, want, named(figures));
        seen.insert(key);
    }
    let quiet =
        ["offered", "answered", "abandoned", "completed", "talk_overlap_ms", "wait_overlap_ms", "max_in_service"];
    for (key, row) in event.iter().filter(|(key, _)| !seen.contains(*key)) {
        wrong.nothing_more(&format!("{} {}", key.0, key.1), row, &quiet);
    }
    Ok(())
}

/// Agents, by month or day.
async fn agents(book: &Book, interval: &str, truth: &Table, wrong: &mut Wrong) -> Result<()> {
    let found = book.agents(interval).await?;
    let mut seen = HashSet::new();
    for want in &truth.0 {
        let start = if interval == "all" { String::new() } else { want.text("period").to_owned() };
        let key = (start, want.text("server").to_owned());
        let row = found.get(&key);
        let figures = [
            ("handled", number(row, "handled")),
            ("talk_s", seconds(row, "talk_ms")),
            ("mean_talk_s", seconds(row, "mean_talk_ms")),
            ("zero_talk", number(row, "zero_talk")),
            ("talk_lt10", number(row, "talk_lt10")),
            ("talk_max", seconds(row, "talk_max_ms")),
            ("days_worked", number(row, "days_worked")),
        ];
        wrong.compare(&format!("{} {}", want.text("period"), key.1), want, named(figures));
        seen.insert(key);
    }
    for (key, row) in found.iter().filter(|(key, _)| !seen.contains(*key)) {
        wrong.nothing_more(&format!("{} {}", key.0, key.1), row, &["handled", "talk_ms"]);
    }
    Ok(())
}
