//! Two collectors of one phone system, as processes on one journal, under a simulated load: the one that writes is killed, then the other
//! one is stopped for longer than its lease and wakes up again. No call is missing, no event is there twice, and nobody was blind.
#![allow(clippy::disallowed_methods, reason = "these tests run real processes in real time")]

mod pair;

use anyhow::Result;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_on_one_host_loses_and_doubles_nothing_when_one_dies_or_stands_still() -> Result<()> {
    let place = TempDir::new()?;
    let path = place.path().join("journal.db");
    let journal = journal::config::Config { path: path.clone(), ..journal::config::Config::default() };
    pair::play(place.path(), &|at| format!("[{at}]\npath = {path:?}\n")).await?;
    pair::Record::read(&journal).await?.judge()
}
