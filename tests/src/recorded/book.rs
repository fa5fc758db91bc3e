//! The product's reports, as they are asked for over HTTP.

use crate::product::{Product, free_ports, run};
use crate::table::{Row, Table};
use anyhow::{Context as _, Result, ensure};
use jiff::ToSpan as _;
use jiff::civil::Date;
use std::collections::HashMap;
use std::path::Path;

/// Rows by the beginning of their interval (`1999-02-01 00:30`, empty for the whole range) and their id.
pub type Found = HashMap<(String, String), Row>;

/// The reports of a month over HTTP.
#[derive(Debug)]
pub struct Book {
    product: Product,
    from: Date,
    to: Date,
}

impl Book {
    /// Serves the data directory `folder/data`, and asks for a month (`1999-02`).
    pub async fn open(folder: &Path, month: &str) -> Result<Book> {
        // A source with nothing to say, because without any the product plays a simulated centre.
        let silence = folder.join("nothing.ndjson");
        std::fs::write(&silence, "")?;
        let (kind, path) = (
            "collector.sources.nothing.kind=replay",
            format!("collector.sources.nothing.config.paths=[{:?}]", silence.to_string_lossy()),
        );
        let product = Product::up(folder, free_ports(3), &["--set", kind, "--set", &path]).await?;
        let mut book = Book { product, from: Date::ZERO, to: Date::ZERO };
        book.turn_to(month)?;
        Ok(book)
    }

    /// Ends the product, and waits until nothing of its data is in use.
    pub async fn close(self) -> Result<()> {
        self.product.stop().await
    }

    /// From now on, asks for another month.
    pub fn turn_to(&mut self, month: &str) -> Result<()> {
        self.from = format!("{month}-01").parse()?;
        self.to = self.from.checked_add(1.month())?;
        Ok(())
    }

    /// The parameters of a question about the month; one of intervals also sees what lasts into the next.
    fn query(&self, interval: &str, more: &[(&str, &str)]) -> Result<Vec<(String, String)>> {
        let to = if interval == "30m" { self.to.checked_add(2.days())? } else { self.to };
        let mut query = vec![
            ("tenant".to_owned(), "bank".to_owned()),
            ("from".to_owned(), self.from.to_string()),
            ("to".to_owned(), to.to_string()),
            ("interval".to_owned(), interval.to_owned()),
        ];
        query.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Ok(query)
    }

    async fn rows(&self, path: &str, id: &str, interval: &str, more: &[(&str, &str)]) -> Result<Found> {
        let query = self.query(interval, &[more, &[("format", "csv")]].concat())?;
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
    pub async fn traffic(&self, interval: &str, more: &[(&str, &str)]) -> Result<Found> {
        let intervals = "/v1/reports/intervals";
        let mut found = self.rows(intervals, "id", interval, &[more, &[("by", "queue")]].concat()).await?;
        let all = self.rows(intervals, "id", interval, &[more, &[("by", "tenant")]].concat()).await?;
        found.extend(all.into_iter().map(|((start, _), row)| ((start, "ALL".to_owned()), row)));
        Ok(found)
    }

    /// Callers who left in the IVR, by the queue that they would have gone to.
    pub async fn before(&self, interval: &str, more: &[(&str, &str)]) -> Result<HashMap<(String, String), f64>> {
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

    /// Rows of the agents, where a call counts when it was offered.
    pub async fn agents(&self, interval: &str) -> Result<Found> {
        self.rows("/v1/reports/agents", "agent", interval, &[("cohort", "true")]).await
    }

    /// How many calls of the month entered a queue and were answered by an agent.
    pub async fn count_calls(&self, queue: &str, agent: &str) -> Result<usize> {
        let (from, to) = (self.from.to_string(), self.to.to_string());
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let mut query = vec![("tenant", "bank"), ("from", &from), ("to", &to), ("limit", "1000")];
            query.extend([("queue", queue), ("agent", agent)]);
            if !cursor.is_empty() {
                query.push(("cursor", &cursor));
            }
            let page = self.product.get("/v1/reports/calls", &query).await?;
            count += page["rows"].as_array().context("a page has rows")?.len();
            match page["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return Ok(count),
            }
        }
    }

    /// `tidegate report` prints what HTTP answers, byte for byte, in every form.
    pub async fn same_on_the_command_line(&self, directory: &Path) -> Result<()> {
        let data = directory.to_string_lossy();
        for (what, interval, more) in [
            ("intervals", "30m", vec![("by", "queue")]),
            ("intervals", "1d", vec![("by", "ivr"), ("policy", "late_abandons"), ("threshold", "30s")]),
            ("agents", "1d", vec![]),
        ] {
            for format in ["csv", "json", "ndjson"] {
                let query = self.query(interval, &[&more[..], &[("format", format)]].concat())?;
                let flags: Vec<String> =
                    query.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect();
                let mut words = vec!["report", what, "--data", &data];
                words.extend(flags.iter().map(String::as_str));
                let query: Vec<_> = query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let answered = self.product.text(&format!("/v1/reports/{what}"), &query).await?;
                same_text(&run(&words).await?, &answered).with_context(|| format!("tidegate {}", words.join(" ")))?;
            }
        }
        self.same_calls(&data).await
    }

    /// The calls of the month's smallest queue, which HTTP gives page by page.
    async fn same_calls(&self, data: &str) -> Result<()> {
        let (from, to) = (self.from.to_string(), self.to.to_string());
        let asked = [("tenant", "bank"), ("from", &from), ("to", &to), ("queue", "PE")];
        let flags: Vec<_> = asked.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]).collect();
        let mut words = vec!["report", "calls", "--format", "ndjson", "--data", data];
        words.extend(flags.iter().map(String::as_str));
        let (mut answered, mut cursor) = (String::new(), String::new());
        loop {
            let mut query = [&asked[..], &[("limit", "60")]].concat();
            if !cursor.is_empty() {
                query.push(("cursor", &cursor));
            }
            let page = self.product.get("/v1/reports/calls", &query).await?;
            query.push(("format", "ndjson"));
            answered.push_str(&self.product.text("/v1/reports/calls", &query).await?);
            match page["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        same_text(&run(&words).await?, &answered).context("tidegate report calls")
    }
}

fn same_text(printed: &str, answered: &str) -> Result<()> {
    let differ = printed.lines().zip(answered.lines()).find(|(one, other)| one != other);
    ensure!(printed == answered, "prints other rows than HTTP answers, first:\n{differ:?}");
    ensure!(printed.lines().count() > 1, "there are no rows to compare");
    Ok(())
}
