//! The session: the whole table, sorted by time, given batch by batch.

use std::collections::BTreeSet;
use std::io::BufRead;

use adapter::recording::{self, ASIDE_MAX, SAMPLE_BYTES};
use adapter::{Adapter, Batch, Context, Fault, Session};
use async_trait::async_trait;
use bytes::Bytes;
use csv::StringRecord;
use model::{Fact, Time};
use service::config::Problems;

use crate::config::Config;
use crate::rows::{Row, Rows};
use crate::translate::Table;

/// The adapter.
pub struct CallsCsv;

#[async_trait]
impl Adapter for CallsCsv {
    const KIND: &'static str = "calls-csv";
    type Config = Config;
    type Plan = Config;
    type Session = Given;

    fn recording(_plan: &Config) -> bool {
        true
    }

    fn plan(config: Config) -> Result<Config, Problems> {
        Ok(config)
    }

    async fn connect(plan: &Config, _context: Context) -> Result<Given, Fault> {
        let plan = plan.clone();
        recording::whole(move || Files::of(&plan)).await
    }
}

/// Every fact of the table, in time order.
pub struct Given {
    facts: std::vec::IntoIter<Fact>,
    malformed: Vec<(Bytes, String)>,
    left_out: u64,
    given: u64,
    total: u64,
}

/// Files that were read.
#[derive(Default)]
pub struct Files {
    facts: Vec<Fact>,
    malformed: Vec<(Bytes, String)>,
    left_out: u64,
    calls: BTreeSet<u128>,
    count: usize,
}

impl Files {
    fn of(config: &Config) -> Result<Given, Fault> {
        let mut files = Files::default();
        for path in &config.paths {
            let reader = recording::open(path)?;
            files.read(config, &path.display().to_string(), reader).map_err(|e| recording::refused(path, &e))?;
        }
        Ok(files.sorted())
    }

    /// Reads one table.
    ///
    /// # Errors
    /// What is wrong with the file as a whole: it cannot be read, its header lacks a column, or it has too many rows.
    pub fn read(&mut self, config: &Config, name: &str, reader: impl BufRead) -> Result<(), String> {
        let mut rows = Rows::new(reader, u8::try_from(config.delimiter).unwrap_or(b','));
        let header = match rows.read().map_err(|e| e.to_string())? {
            Some(Row { fields: Ok(header), .. }) => header,
            Some(Row { fields: Err((_, why)), .. }) => return Err(format!("the header: {why}")),
            None => StringRecord::new(),
        };
        let table = Table::new(config, &header)?;
        while let Some(row) = rows.read().map_err(|e| e.to_string())? {
            self.count += 1;
            if self.count > config.rows_max {
                return Err(format!("more than rows_max = {} rows; raise it or import fewer files", config.rows_max));
            }
            let (text, why) = match row.fields {
                Ok(fields) => match self.row(&table, &fields, header.len()) {
                    Ok(()) => continue,
                    Err(why) => (fields.iter().collect::<Vec<_>>().join(",").into_bytes(), why),
                },
                Err(aside) => aside,
            };
            if self.malformed.len() == ASIDE_MAX {
                self.left_out += 1;
                continue;
            }
            let text = Bytes::copy_from_slice(&text[..text.len().min(SAMPLE_BYTES)]);
            self.malformed.push((text, format!("{name} line {}: {why}", row.line)));
        }
        Ok(())
    }

    fn row(&mut self, table: &Table<'_>, fields: &StringRecord, want: usize) -> Result<(), String> {
        if fields.len() != want {
            return Err(format!("{} fields, the header has {want}", fields.len()));
        }
        let made = once(table.facts(fields)?, &mut self.calls)?;
        self.facts.extend(made);
        Ok(())
    }

    /// All facts, in the order of their times.
    pub fn sorted(mut self) -> Given {
        self.facts.sort_by_key(|f: &Fact| (f.occurred_at, f.seq));
        Given {
            total: self.facts.len() as u64,
            facts: self.facts.into_iter(),
            malformed: self.malformed,
            left_out: self.left_out,
            given: 0,
        }
    }
}

impl Given {
    /// All facts, at once.
    pub fn into_facts(self) -> Vec<Fact> {
        self.facts.collect()
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
impl Session for Given {
    async fn next(&mut self, max: usize) -> Result<Batch, Fault> {
        let facts: Vec<Fact> = self.facts.by_ref().take(max).collect();
        self.given += facts.len() as u64;
        let seen_until: Option<Time> = facts.last().map(|f| f.occurred_at);
        Ok(Batch {
            done: self.facts.len() == 0,
            progress: Some((self.given, self.total)),
            malformed: std::mem::take(&mut self.malformed),
            left_out: std::mem::take(&mut self.left_out),
            facts,
            seen_until,
            ..Batch::default()
        })
    }
}
