//! Tables as text: what the product prints as CSV, and what others published as CSV.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// One line by its column names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(BTreeMap<String, String>);

impl Row {
    /// A line of these columns.
    pub fn of<'a>(columns: impl IntoIterator<Item = (&'a str, String)>) -> Row {
        Row(columns.into_iter().map(|(name, text)| (name.to_owned(), text)).collect())
    }

    /// The names of its columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The text of a column; a column that does not exist is a fault of the test, and named.
    pub fn text(&self, column: &str) -> &str {
        self.0.get(column).unwrap_or_else(|| panic!("no column is called {column}; there are {:?}", self.0.keys()))
    }

    /// A column as a number; 0 where it is empty.
    pub fn number(&self, column: &str) -> f64 {
        let text = self.text(column);
        if text.is_empty() { 0.0 } else { text.parse().unwrap_or_else(|_| panic!("{column} is no number: {text:?}")) }
    }

    /// A column of milliseconds, in seconds.
    pub fn seconds(&self, column: &str) -> f64 {
        self.number(column) / 1000.0
    }
}

/// All lines, in order.
#[derive(Clone, Debug, Default)]
pub struct Table(pub Vec<Row>);

impl Table {
    /// Parses CSV with a header line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        Ok(Self(reader.deserialize().map(|row| row.map(Row)).collect::<Result<_, _>>()?))
    }

    /// Reads a file of CSV.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }
}
