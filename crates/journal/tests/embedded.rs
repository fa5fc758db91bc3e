//! The embedded journal keeps the contract.

use journal::Journal;
use journal::conformance::{Fixture, Setup};
use journal::embedded::{Embedded, Options};

async fn on_disk(setup: Setup) -> Fixture {
    let directory = tempfile::tempdir().expect("a directory for the journal");
    let mut options = Options::new(directory.path().join("journal.db"), setup.topology, setup.clock);
    options.lease = setup.lease;
    options.max_poll = setup.lease;
    Fixture { journal: Embedded::open(options).await.expect("a new journal"), keep: Box::new(directory) }
}

journal::conformance!(on_disk);

/// Processes that start together open the file while one of them is making it: each reads a moment of it, never half of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
#[allow(clippy::disallowed_methods, reason = "each of them is a process of its own")]
async fn many_that_open_a_new_journal_together_find_one_journal() {
    for round in 0..40 {
        let directory = tempfile::tempdir().expect("a directory for the journal");
        let path = directory.path().join("journal.db");
        let open = |_| {
            let options = Options::new(&path, journal::Topology::uniform(2), service::Clock::system());
            tokio::spawn(async move { Embedded::open(options).await.map(|journal| journal.identity()) })
        };
        let opened = futures::future::join_all((0..8).map(open)).await;
        let found: Result<std::collections::BTreeSet<_>, _> =
            opened.into_iter().map(|open| open.expect("no panic")).collect();
        let found = found.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(found.len(), 1, "round {round}: one identity, not {found:?}");
    }
}
