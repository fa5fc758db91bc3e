//! The session: the whole table, sorted by time, given batch by batch.

use std::collections::HashMap;
use std::sync::Arc;

use adapter::recording;
use adapter::{Adapter, Batch, Context, Fault, Session};
use async_trait::async_trait;
use bytes::Bytes;
use model::{Fact, Time};
use service::config::Problems;

use crate::config::Config;
use crate::files::{Files, Place, Read};

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
        let plan = Arc::new(plan.clone());
        recording::whole(move || read(&plan)).await
    }
}

fn read(config: &Arc<Config>) -> Result<Given, Fault> {
    let mut files = Files::default();
    for path in &config.paths {
        let reader = recording::open(path)?;
        files.read(config, &path.display().to_string(), reader).map_err(|e| recording::refused(path, &e))?;
    }
    Ok(files.sorted())
}

/// Every fact of the table, in time order.
pub struct Given {
    read: Read,
    order: std::vec::IntoIter<Place>,
    /// Rows of which some facts were given and some were not.
    begun: HashMap<u32, Vec<Option<Fact>>>,
    malformed: Vec<(Bytes, String)>,
    left_out: u64,
    total: u64,
}

impl Given {
    pub(crate) fn new(read: Read, order: Vec<Place>, malformed: Vec<(Bytes, String)>, left_out: u64) -> Self {
        let total = order.len() as u64;
        Given { read, order: order.into_iter(), begun: HashMap::new(), malformed, left_out, total }
    }

    /// All facts, at once.
    ///
    /// # Errors
    /// As [`Session::next`].
    pub fn into_facts(mut self) -> Result<Vec<Fact>, Fault> {
        self.take(usize::MAX)
    }

    fn take(&mut self, max: usize) -> Result<Vec<Fact>, Fault> {
        let mut facts = Vec::with_capacity(max.min(self.order.len()));
        while facts.len() < max
            && let Some(place) = self.order.next()
        {
            facts.push(self.fact(place)?);
        }
        Ok(facts)
    }

    fn fact(&mut self, Place { row, nth, .. }: Place) -> Result<Fact, Fault> {
        let waiting = match self.begun.get_mut(&row) {
            Some(waiting) => waiting,
            None => {
                let facts = self.read.facts(row).map_err(Fault::Bug)?;
                self.begun.entry(row).or_insert(facts.into_iter().map(Some).collect())
            }
        };
        let fact = waiting.get_mut(usize::from(nth)).and_then(Option::take);
        if waiting.iter().all(Option::is_none) {
            self.begun.remove(&row);
        }
        fact.ok_or_else(|| Fault::Bug(format!("row {row} lost its fact {nth}")))
    }
}

#[async_trait]
impl Session for Given {
    async fn next(&mut self, max: usize) -> Result<Batch, Fault> {
        let facts = self.take(max)?;
        let seen_until: Option<Time> = facts.last().map(|f| f.occurred_at);
        let left = self.order.len();
        Ok(Batch {
            done: left == 0,
            progress: Some((self.total - left as u64, self.total)),
            malformed: std::mem::take(&mut self.malformed),
            left_out: std::mem::take(&mut self.left_out),
            facts,
            seen_until,
            ..Batch::default()
        })
    }
}
