//! What reports say of made-up calls, beside what a ledger says of them.

use crate::life::{Figures, MORNING_MS};
use crate::table::Table;
use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use std::net::SocketAddr;

/// Stands for a row of something that `of` does not have.
pub const UNEXPLAINED: &str = "a row that nothing sent explains";
/// What reports are about.
pub const KINDS: [&str; 3] = ["queue", "agent", "tenant"];

/// From the first call to two months later.
fn range() -> [String; 2] {
    let day =
        |ms: i64| Timestamp::from_millisecond(ms).expect("a time of the calendar").strftime("%Y-%m-%d").to_string();
    [day(MORNING_MS - 86_400_000), day(MORNING_MS + 60 * 86_400_000)]
}

/// The figures that a pusher tells of everything, of the columns and things that `of` names.
pub async fn over_http(client: &reqwest::Client, pusher: SocketAddr, of: &Figures) -> Result<Figures> {
    let [from, to] = range();
    let mut found = Figures::new();
    for by in KINDS {
        let url = format!("http://{pusher}/v1/reports/intervals?by={by}&interval=all&format=csv&from={from}&to={to}");
        let answer = client.get(&url).send().await.with_context(|| format!("no answer from {url}"))?;
        let status = answer.status();
        let body = answer.text().await?;
        ensure!(status.is_success(), "{url}: {status}: {body}");
        pick(&mut found, by, &Table::parse(&body)?, of);
    }
    Ok(found)
}

/// The arguments of `tidegate report intervals` for the same question.
pub fn arguments(data: &str, by: &str) -> Vec<String> {
    let [from, to] = range();
    let words = ["report", "intervals", "--data", data, "--by", by, "--interval", "all", "--from", &from, "--to", &to];
    words.map(str::to_owned).to_vec()
}

/// Takes those figures of a report that `of` has; a row or a column that is not there counts as 0.
pub fn pick(found: &mut Figures, by: &'static str, report: &Table, of: &Figures) {
    for (figure, _) in of.iter().filter(|((kind, ..), _)| *kind == by) {
        let row = report.0.iter().find(|row| row.text("id") == figure.1);
        found.insert(figure.clone(), row.map_or(0, |row| row.number(figure.2) as i64));
    }
    // What nobody sent must not be counted either.
    for row in report.0.iter().filter(|row| !of.keys().any(|(kind, id, _)| *kind == by && *id == row.text("id"))) {
        found.insert((by, row.text("id").to_owned(), UNEXPLAINED), 1);
    }
}

/// Fails, with the first that differ, unless both are the same.
pub fn same(found: &Figures, truth: &Figures) -> Result<()> {
    let differ = |(figure, n): &(&_, &i64)| truth.get(*figure) != Some(*n);
    let told: Vec<_> =
        found.iter().filter(differ).map(|(f, n)| format!("{f:?} is {n}, truth {:?}", truth.get(f))).collect();
    ensure!(told.is_empty(), "{} figures differ: {}", told.len(), told[..told.len().min(10)].join("; "));
    Ok(())
}

/// Fails with the first figure that is more than what was sent.
pub fn not_more(found: &Figures, sent: &Figures) -> Result<()> {
    let asked = found.iter().filter(|(figure, _)| figure.2 != UNEXPLAINED);
    let more = { asked }.find(|(figure, n)| **n > sent.get(*figure).copied().unwrap_or(0));
    more.map_or(Ok(()), |(figure, n)| Err(anyhow::anyhow!("{figure:?} is {n}, and {:?} was sent", sent.get(figure))))
}
