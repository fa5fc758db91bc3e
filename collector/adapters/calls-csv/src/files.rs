//! The tables as they are read: rows are checked and put in order; their facts are made when they are given.
//!
//! A fact takes many times the memory of what is written of it in a row. So what stays of a whole table are its rows and
//! the times of its facts.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::sync::Arc;

use adapter::recording::{ASIDE_MAX, SAMPLE_BYTES};
use bytes::Bytes;
use csv::StringRecord;
use model::{Fact, Time};

use crate::config::Config;
use crate::rows::{Row, Rows};
use crate::session::Given;
use crate::translate::Table;

/// Files that were read.
#[derive(Default)]
pub struct Files {
    read: Read,
    order: Vec<Place>,
    malformed: Vec<(Bytes, String)>,
    left_out: u64,
    calls: BTreeSet<u128>,
    count: usize,
}

/// The rows of which facts are made.
#[derive(Default)]
pub(crate) struct Read {
    tables: Vec<Table>,
    rows: Vec<(usize, StringRecord)>,
}

/// Where a fact stands in time, and where it comes from; in the order of these fields.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) at: Time,
    /// Which fact of its row.
    pub(crate) nth: u8,
    pub(crate) row: u32,
}

impl Read {
    /// The facts of a row, in the order in which they must have happened.
    pub(crate) fn facts(&self, row: u32) -> Result<Vec<Fact>, String> {
        let found = self.rows.get(row as usize).and_then(|(table, row)| Some((self.tables.get(*table)?, row)));
        let (table, row) = found.ok_or_else(|| format!("row {row} was not read"))?;
        table.facts(row)
    }
}

impl Files {
    /// Reads one table.
    ///
    /// # Errors
    /// What is wrong with the file as a whole: it cannot be read, its header lacks a column, or it has too many rows.
    pub fn read(&mut self, config: &Arc<Config>, name: &str, reader: impl BufRead) -> Result<(), String> {
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
                    Ok(()) => {
                        self.read.rows.push((self.read.tables.len(), fields));
                        continue;
                    }
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
        self.read.tables.push(table);
        Ok(())
    }

    /// Puts the facts of the next row in their places.
    fn row(&mut self, table: &Table, fields: &StringRecord, want: usize) -> Result<(), String> {
        if fields.len() != want {
            return Err(format!("{} fields, the header has {want}", fields.len()));
        }
        let row = u32::try_from(self.read.rows.len()).map_err(|_| "there are too many rows".to_owned())?;
        let facts = table.facts(fields)?;
        once(&facts, &mut self.calls)?;
        self.order.extend((0..).zip(facts).map(|(nth, fact)| Place { at: fact.occurred_at, nth, row }));
        Ok(())
    }

    /// All facts, in the order of their times.
    pub fn sorted(mut self) -> Given {
        self.order.sort_unstable();
        Given::new(self.read, self.order, self.malformed, self.left_out)
    }
}

/// Two rows under one name would melt into one call: the second is set aside.
fn once(facts: &[Fact], calls: &mut BTreeSet<u128>) -> Result<(), String> {
    let name = facts.first().map(|f| f.subject.to_string()).unwrap_or_default();
    if calls.insert(xxhash_rust::xxh3::xxh3_128(name.as_bytes())) {
        Ok(())
    } else {
        Err(format!("{name} was there before; name more columns in columns.call"))
    }
}
