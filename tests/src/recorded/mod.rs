//! Recorded calls: a table of one row a call, the figures that must come out of it, and how the product's reports are held
//! against them.
//!
//! [`Truth`] is a set of tables in the form in which others published theirs. It is read from files, or computed from the call
//! table by [`rules`], which shares nothing with the product.

mod book;
mod judge;
pub mod rules;

pub use book::Book;
pub use judge::Wrong;

use crate::table::Table;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What must come out of the calls of a month.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// A row per month (`period`) and queue (`type`, `ALL` for all).
    pub months: Table,
    /// A row per day and queue.
    pub days: Table,
    /// A row per half hour (`interval_start`) and queue. What is missing is zero.
    pub half_hours: Table,
    /// A row per month and agent (`server`).
    pub agents: Table,
    /// A row per day and agent.
    pub agent_days: Table,
}

impl Truth {
    /// Reads the published figures of a month (`1999-02`).
    pub fn read(folder: &Path, month: &str) -> Result<Truth> {
        let of_month = |name: &str| -> Result<Table> {
            let all = Table::read(&folder.join(name))?;
            Ok(Table(all.0.into_iter().filter(|row| row.text("period").starts_with(month)).collect()))
        };
        Ok(Truth {
            months: of_month("summary.csv")?,
            days: of_month("daily.csv")?,
            half_hours: Table::read(&folder.join(format!("intervals-{month}.csv")))?,
            agents: of_month("servers.csv")?,
            agent_days: Table::read(&folder.join(format!("servers-daily-{month}.csv")))?,
        })
    }
}

/// The product's mapping of the bank's table.
pub fn mapping() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/anonymous-bank.toml")
}
