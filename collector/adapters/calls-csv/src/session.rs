//! The session: the whole table, sorted by time, given batch by batch.

use std::collections::BTreeSet;
use std::path::Path;

use adapter::{Adapter, Batch, Context, Fault, Session, recording};
use async_trait::async_trait;
use model::{Fact, Time};
use service::config::Problems;

use crate::config::Config;
use crate::translate::Table;

/// The adapter.
pub struct CallsCsv;

#[async_trait]
impl Adapter for CallsCsv {
    const KIND: &'static str = "calls-csv";
    type Config = Config;
    type Plan = Config;
    type Session = Rows;

    fn recording(_plan: &Config) -> bool {
        true
    }

    fn plan(config: Config) -> Result<Config, Problems> {
        Ok(config)
    }

    async fn connect(plan: &Config, _context: Context) -> Result<Rows, Fault> {
        let plan = plan.clone();
        recording::whole(move || Rows::read(&plan)).await
    }
}

/// Every fact of the table, in time order.
pub struct Rows {
    facts: std::vec::IntoIter<Fact>,
    malformed: Vec<(bytes::Bytes, String)>,
    given: u64,
    total: u64,
}

impl Rows {
    fn read(config: &Config) -> Result<Rows, Fault> {
        let mut rows = Rows { facts: Vec::new().into_iter(), malformed: Vec::new(), given: 0, total: 0 };
        let mut facts = Vec::new();
        let mut calls = BTreeSet::new();
        let mut count = 0;
        for path in &config.paths {
            rows.file(config, path, &mut facts, &mut calls, &mut count)?;
        }
        facts.sort_by_key(|f: &Fact| (f.occurred_at, f.seq));
        rows.total = facts.len() as u64;
        rows.facts = facts.into_iter();
        Ok(rows)
    }

    fn file(
        &mut self,
        config: &Config,
        path: &Path,
        facts: &mut Vec<Fact>,
        calls: &mut BTreeSet<u128>,
        count: &mut usize,
    ) -> Result<(), Fault> {
        let fault = |e: &dyn std::fmt::Display| recording::refused(path, e);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(config.delimiter as u8)
            .flexible(true)
            .from_reader(recording::open(path)?);
        let header = reader.headers().map_err(|e| fault(&e))?.clone();
        let table = Table::new(config, &header).map_err(|e| fault(&e))?;
        let mut row = csv::StringRecord::new();
        loop {
            let line = reader.position().line();
            let aside = match reader.read_record(&mut row) {
                Ok(false) => return Ok(()),
                Ok(true) if row.len() != header.len() => {
                    Err(format!("{} fields, the header has {}", row.len(), header.len()))
                }
                Ok(true) => table.facts(&row).and_then(|made| once(made, calls)),
                Err(e) if e.is_io_error() => return Err(fault(&e)),
                Err(e) => Err(e.to_string()),
            };
            *count += 1;
            if *count > config.rows_max {
                return Err(fault(&format!(
                    "more than rows_max = {} rows; raise it or import fewer files",
                    config.rows_max
                )));
            }
            match aside {
                Ok(made) => facts.extend(made),
                Err(why) => {
                    let text = row.iter().collect::<Vec<_>>().join(",");
                    self.malformed.push((text.into(), format!("{} line {line}: {why}", path.display())));
                }
            }
        }
    }
}

/// Two rows under one name would melt into one call: the second is set aside.
fn once(made: Vec<Fact>, calls: &mut BTreeSet<u128>) -> Result<Vec<Fact>, String> {
    let name = made.first().map(|f| f.subject.to_string()).unwrap_or_default();
    if calls.insert(xxhash_rust::xxh3::xxh3_128(name.as_bytes())) {
        Ok(made)
    } else {
        Err(format!("{name} was there before; name more columns in columns.call"))
    }
}

#[async_trait]
impl Session for Rows {
    async fn next(&mut self, max: usize) -> Result<Batch, Fault> {
        let facts: Vec<Fact> = self.facts.by_ref().take(max).collect();
        self.given += facts.len() as u64;
        let seen_until: Option<Time> = facts.last().map(|f| f.occurred_at);
        Ok(Batch {
            done: self.facts.len() == 0,
            progress: Some((self.given, self.total)),
            malformed: std::mem::take(&mut self.malformed),
            facts,
            seen_until,
            ..Batch::default()
        })
    }
}
